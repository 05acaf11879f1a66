"""How long the next job of a queue has waited, when it has to be read from disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from faktory_tw.storage.store import JobRow
from tests.unit.doubles import NOON, Engine, MakeEngine


def latencies(engine: Engine, *names: str) -> dict[str, float | None]:
    return {state.name: state.latency for state in engine.manager.queue_states(names)}


def count_reads(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many rows each read of the disk asks for."""
    asked: list[int] = []
    engine.commit()
    head_times: Any = engine.manager._head_times
    read = head_times._stride._read

    def counted(ids: Sequence[int]) -> list[JobRow]:
        asked.append(len(ids))
        rows: list[JobRow] = read(ids)
        return rows

    monkeypatch.setattr(head_times._stride, "_read", counted)
    return asked


def test_the_state_of_a_queue_has_its_size_its_pause_and_the_age_of_its_next_job(engine: Engine) -> None:
    engine.push(queue="a")
    engine.clock.advance(5)
    engine.push(queue="a")
    engine.push(queue="b")
    engine.fetch("b")
    engine.manager.pause(["b"])
    engine.clock.advance(2)
    assert engine.manager.queue_states(["a", "nowhere", "b"]) == [("a", 2, False, 7.0), ("b", 0, True, 0.0)]


def test_a_clock_that_was_set_back_makes_no_negative_latency(engine: Engine) -> None:
    engine.push()
    engine.clock.step_wall(-3600)
    assert latencies(engine, "default") == {"default": 0.0}


def test_what_is_on_disk_is_read_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        engine.push(queue=f"q{number}")
    engine.restart()
    asked = count_reads(engine, monkeypatch)
    engine.clock.advance(3)
    assert latencies(engine, *engine.manager.queue_names()) == {f"q{number}": 3.0 for number in range(5)}
    engine.clock.advance(1)
    assert set(latencies(engine, *engine.manager.queue_names()).values()) == {4.0}
    assert sum(asked) == 5


def test_a_job_that_was_retried_has_waited_only_since_then(engine: Engine) -> None:
    jid = engine.push()
    engine.restart()
    engine.clock.advance(10)
    assert latencies(engine, "default") == {"default": 10.0}
    engine.fetch()
    engine.fail(jid)
    engine.pass_time(3600)  # longer than the first retry takes
    assert engine.manager.queue_sizes() == {"default": 1}
    engine.commit()
    engine.manager._cache.clear()
    engine.clock.advance(2)
    assert latencies(engine, "default") == {"default": 2.0}


def test_large_jobs_are_read_a_few_at_a_time_and_all_in_the_end(make_engine: MakeEngine) -> None:
    engine = make_engine(cache_bytes=1)
    for number in range(12):
        engine.push(queue=f"q{number:02}", args=["x" * 700_000])
    engine.push(queue="last")
    engine.commit()
    engine.clock.advance(1)
    names, rounds = engine.manager.queue_names(), 0
    known = latencies(engine, *names)
    while unknown := [name for name, latency in known.items() if latency is None]:
        rounds += 1
        assert len(unknown) < len(names)
        known.update(latencies(engine, *unknown))
    assert set(known.values()) == {1.0}
    assert rounds


def test_a_job_that_is_not_on_disk_has_waited_for_no_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.push()
    engine.restart()
    monkeypatch.setattr(engine.manager._head_times._stride, "_read", lambda ids: [])
    assert latencies(engine, "default") == {"default": 0.0}


def test_what_is_remembered_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faktory_tw.core.latencies._MOST_REMEMBERED", 3)
    for number in range(9):
        engine.push(queue=f"q{number}")
    engine.restart()
    for name in engine.manager.queue_names():
        assert latencies(engine, name) == {name: engine.clock.time() - NOON}
    assert len(engine.manager._head_times._remembered) <= 4
