"""Overload in the small, see tests/system/overload: all are served, in order, nothing is lost, nothing held back.

Run as a program it takes ten thousand connections and a million jobs, and prints how long the event loop was held; here
are few, and no times.
"""

from __future__ import annotations

import pytest

from tests.system.overload.__main__ import PARTS
from tests.system.overload.stand import Options

SMALL = Options(scale=0.003)
# Of the others the time is what counts.
CHOSEN = ("herd_with_password", "bulk", "producers", "queues", "workers")


@pytest.mark.parametrize("part", CHOSEN)
def test_everybody_is_served_and_nothing_is_lost(part: str) -> None:
    stand = PARTS[part](SMALL)
    assert stand.rows
    assert not stand.wrong
