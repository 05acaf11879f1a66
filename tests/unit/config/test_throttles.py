"""Reading ``[throttles]``: what an entry may say, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw import config
from faktory_tw.config import ConfigError
from faktory_tw.config.files import Document, Tree
from faktory_tw.config.throttles import MOST_THROTTLES, Rate, Throttle, read_throttles
from faktory_tw.reload import reload

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("10m"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(["queue", "jobtype", "key", "concurrency", "worker", "timeout", "rate", "other"])


def read(text: str) -> tuple[tuple[Throttle, ...], list[str]]:
    """What is below ``[throttles]``, read; and what is wrong, without the directory."""
    tree, problems = Tree(), []  # type: tuple[Tree, list[str]]
    tree.add(Document(Path("a.toml"), f"[throttles]\n{text}"), problems)
    return read_throttles(tree, tree.values["throttles"], problems), problems


@pytest.mark.parametrize(
    ("text", "throttle"),
    [
        (
            "bulk = { concurrency = 10, timeout = 60 }",
            Throttle("bulk", queue="bulk", concurrency=10, timeout=60.0),
        ),
        ("email = { worker = 2 }", Throttle("email", queue="email", worker=2)),
        ('x = { worker = 2, queue = "y.z", timeout = "10m" }', Throttle("x", queue="y.z", worker=2, timeout=600.0)),
        ('x = { jobtype = "A::B", worker = 1 }', Throttle("x", jobtype="A::B", worker=1)),
        ('x.key = "0.tenant_id"\nx.concurrency = 1', Throttle("x", key=("0", "tenant_id"), concurrency=1)),
        (
            "api = { rate = { limit = 100, period = 60, burst = 20 } }",
            Throttle("api", queue="api", rate=Rate(100.0, 60.0, 20)),
        ),
        ('api = { rate = { limit = 2.5, period = "1m" } }', Throttle("api", queue="api", rate=Rate(2.5, 60.0, 2))),
        ("api = { rate = { limit = 0.5, period = 1 } }", Throttle("api", queue="api", rate=Rate(0.5, 1.0, 1))),
    ],
)
def test_an_entry_is_read(text: str, throttle: Throttle) -> None:
    assert read(text) == ((throttle,), [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1", "a.toml:2: throttles.a must be a table such as { concurrency = 10, timeout = 60 }, not 1"),
        ("a = {}", "a.toml:2: throttles.a limits nothing: give it concurrency, worker or rate"),
        ("a = { timeout = 1 }", "a.toml:2: throttles.a limits nothing"),
        (
            "a = { concurrency = 0 }",
            "a.toml:2: throttles.a.concurrency must be a whole number from 1 to 1000000, not 0",
        ),
        ("a = { concurrency = true }", "a.toml:2: throttles.a.concurrency must be a whole number"),
        ("\n[throttles.a]\nworker = 1.5", "a.toml:4: throttles.a.worker must be a whole number"),
        ("a = { worker = 1, timeout = 0 }", "a.toml:2: throttles.a.timeout must be a number of seconds"),
        ("a = { worker = 1, timeout = nan }", "a.toml:2: throttles.a.timeout must be"),
        ("a = { worker = 1, timeout = -inf }", "a.toml:2: throttles.a.timeout must be"),
        ('a = { worker = 1, timeout = "soon" }', "a.toml:2: throttles.a.timeout must be"),
        ("a = { workers = 1 }", "a.toml:2: throttles.a.workers is no key of a throttle; its keys are queue, jobtype, "),
        ('"a b" = { worker = 1 }', "a.toml:2: throttles.a b is no name of a queue: say which one is meant"),
        ('a = { worker = 1, queue = "b c" }', "a.toml:2: throttles.a.queue must be the name of a queue"),
        ('a = { worker = 1, jobtype = "" }', "a.toml:2: throttles.a.jobtype must be a jobtype"),
        ('a = { worker = 1, key = "0..b" }', "a.toml:2: throttles.a.key must be a path into the args"),
        ("a = { worker = 1, key = 0 }", "a.toml:2: throttles.a.key must be a path into the args"),
        ("a = { rate = 5 }", "a.toml:2: throttles.a.rate must be a table such as { limit = 100"),
        ("a = { rate = { limit = 5 } }", "a.toml:2: throttles.a.rate needs limit and period"),
        ("a = { rate = { limit = 5, period = 1, per = 1 } }", "a.toml:2: throttles.a.rate has per, which it cannot"),
        ("a = { rate = { limit = 0, period = 1 } }", "a.toml:2: throttles.a.rate must have a limit"),
        ("a = { rate = { limit = 1, period = 0 } }", "a.toml:2: throttles.a.rate must have a period and a burst"),
        ("a = { rate = { limit = 1, period = 1, burst = 0 } }", "a.toml:2: throttles.a.rate must have a period and"),
        ('"a\\u0000" = { worker = 1, jobtype = "X" }', "a.toml:2: throttles.a\0 has a bad name"),
    ],
)
def test_an_entry_that_is_wrong_is_named_with_its_line_and_what_to_do(text: str, said: str) -> None:
    throttles, problems = read(text)
    assert throttles == ()
    assert len(problems) == 1
    assert problems[0].startswith(said)


def test_the_others_are_read_all_the_same() -> None:
    throttles, problems = read("a = { worker = 1 }\nb = { worker = 0, timeout = 0 }\nc = { worker = 3 }")
    assert [throttle.name for throttle in throttles] == ["a", "c"]
    assert len(problems) == 2


def test_there_may_not_be_endlessly_many() -> None:
    tree, problems = Tree(), []  # type: tuple[Tree, list[str]]
    tree.add(Document(Path("a.toml"), "[throttles]"), problems)
    content = {f"q{number}": {"worker": 1} for number in range(MOST_THROTTLES + 1)}
    assert read_throttles(tree, content, problems) == ()
    assert "more than 10000; use a key" in problems[0]


@given(content=st.dictionaries(st.text(max_size=3), st.dictionaries(keys, values, max_size=4) | values, max_size=3))
def test_junk_is_a_problem_and_never_an_exception(content: dict[str, object]) -> None:
    tree, problems = Tree(), []  # type: tuple[Tree, list[str]]
    tree.add(Document(Path("a.toml"), "[throttles]"), problems)
    throttles = read_throttles(tree, content, problems)
    assert len(throttles) + len(problems) >= len(content)


def write(directory: Path, text: str) -> dict[str, str]:
    (directory / "conf.d").mkdir(exist_ok=True)
    (directory / "conf.d" / "throttles.toml").write_text(text)
    return {"environment": "development", "config": str(directory)}


def test_a_bad_entry_keeps_the_server_from_starting_and_a_reload_from_happening(tmp_path: Path) -> None:
    options = write(tmp_path, "[throttles]\nbulk = { concurrency = 1 }")
    settings = config.load(options, {}).settings
    assert settings.throttles == (Throttle("bulk", queue="bulk", concurrency=1),)
    assert settings.throttles[0].place == f"{tmp_path}/conf.d/throttles.toml:2"
    write(tmp_path, "[throttles]\nbulk = { concurrency = 0 }")
    with pytest.raises(ConfigError, match=r"throttles.toml:2: throttles.bulk.concurrency must be"):
        config.load(options, {})
    kept = reload(settings, lambda: config.load(options, {}).settings)
    assert kept.settings is settings


def test_a_reload_takes_the_throttles_over_and_says_so(tmp_path: Path) -> None:
    options = write(tmp_path, "[throttles]\nbulk = { concurrency = 1 }")
    settings = config.load(options, {}).settings
    write(tmp_path, "\n\n[throttles]\nbulk = { concurrency = 1 }")
    assert reload(settings, lambda: config.load(options, {}).settings).changed == []
    write(tmp_path, "[throttles]\nbulk = { concurrency = 2 }")
    reloaded = reload(settings, lambda: config.load(options, {}).settings)
    assert reloaded.changed == ["throttles"]
    assert reloaded.settings.throttles == (Throttle("bulk", queue="bulk", concurrency=2),)
