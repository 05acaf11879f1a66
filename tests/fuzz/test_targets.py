"""The targets, tried with hypothesis, the same in every run, and with the corpus; atheris is not needed.

``FAKTORY_TW_EXAMPLES=5000`` tries as many of each, others every time.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.corpus import kept
from tests.fuzz.grammar import STRATEGIES
from tests.fuzz.targets import TARGETS

EXAMPLES = int(os.environ.get("FAKTORY_TW_EXAMPLES", "0"))
FEW = {"storage": 5, "conversation": 40, "framing": 15}
small = settings(
    max_examples=EXAMPLES or 30,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_is_tried_breaks_anything(name: str) -> None:
    target = TARGETS[name]
    begin = list(target.begin_with())
    strategy = STRATEGIES.get(name)
    if strategy is None:
        strategy = st.tuples(st.sampled_from(begin), st.integers(0, 5000), st.binary(max_size=4)).map(_changed)

    @settings(small, max_examples=EXAMPLES or FEW.get(name, 30))
    @given(strategy)
    def nothing_breaks(data: bytes) -> None:
        target.run(data)

    nothing_breaks()


def _changed(told: tuple[bytes, int, bytes]) -> bytes:
    text, at, instead = told
    at %= len(text) + 1
    return text[:at] + instead + text[at + len(instead) :]


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_of_the_corpus_breaks_anything(name: str) -> None:
    for data in (*kept(name), *TARGETS[name].edges()):
        TARGETS[name].run(data)
