"""Looking at queues and workers: parts of many, one by its name, and the jobs that a worker holds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from faktory_tw.core.timed import TimedSet
from faktory_tw.storage.store import JobRow, Place
from tests.unit.doubles import Engine, jid_of


def names(engine: Engine, **wanted: object) -> list[str]:
    return [view.name for views in engine.manager.views.queues(**wanted) for view in views]  # type: ignore[arg-type]


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_jobs_are_read_by_their_ids_and_those_that_are_gone_are_left_out(engine: Engine) -> None:
    for queue in ("a", "b", "a", "b"):
        engine.push(queue=queue, args=["x" * 400_000])
    engine.commit()
    views = engine.manager.views
    slices = list(views.rows([4, 1, 99, 2, 3]))
    assert [row.id for rows in slices for row in rows] == [4, 1, 2, 3]
    engine.manager.remove_queues(["a"])
    engine.push(queue="a")
    assert sorted(row.id for rows in views.rows([1, 2, 3, 4]) for row in rows) == [2, 4]
    assert list(views.rows([])) == []


# -- queues ------------------------------------------------------------------------------------------------------------


def test_queues_are_chosen_by_their_names_and_some_are_skipped(engine: Engine) -> None:
    for number in range(2500):
        engine.push(queue=f"{'ab'[number % 2]}{number:04}")
    everything = engine.manager.queue_names()
    assert names(engine, skip=2400) == everything[2400:]
    assert names(engine, skip=1) == everything[1:]
    assert names(engine, skip=2500) == names(engine, skip=10_000) == []
    chosen = [name for name in everything if name.endswith("7")]
    assert names(engine, wanted=lambda name: name.endswith("7")) == chosen
    assert names(engine, after=chosen[3], wanted=lambda name: name.endswith("7"), skip=2) == chosen[6:]


def test_skipped_queues_are_not_looked_at(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1200):
        engine.push(queue=f"q{number:04}")
    engine.restart()
    read, asked = engine.store.read, list[int]()

    def counted(ids: Sequence[int]) -> list[JobRow]:
        asked.extend(ids)
        return read(ids)

    monkeypatch.setattr(engine.store, "read", counted)
    slices = list(engine.manager.views.queues(skip=1150))
    assert sum(map(len, slices)) == 50
    assert len(asked) <= 50


def test_one_queue_is_seen_by_its_name(engine: Engine) -> None:
    engine.push(queue="a", priority=9)
    engine.push(queue="a")
    engine.clock.advance(30)
    engine.manager.pause(["a"])
    for _ in range(2):
        view = engine.manager.views.queue("a")
        assert view is not None
        assert (view.name, view.size, view.paused, view.latency, view.priorities) == ("a", 2, True, 30, {9: 1, 5: 1})
        engine.restart()
    assert engine.manager.views.queue("b") is None


# -- workers -----------------------------------------------------------------------------------------------------------


def test_one_worker_is_seen_with_what_it_holds(engine: Engine) -> None:
    worker, other = engine.worker("w1"), engine.worker("w2", beats=False)
    jids = [engine.push() for _ in range(5)]
    for holder in (worker, other, worker, None, worker):
        engine.fetch(worker=holder)
    engine.clock.advance(7)
    view = engine.manager.views.worker("w1")
    assert view is not None
    assert (view.worker, view.busy, view.beat_age) == (worker, 3, 7)
    quiet = engine.manager.views.worker("w2")
    assert quiet is not None
    assert quiet.beat_age is None
    assert engine.manager.views.worker("w3") is None

    def held(wid: str, start: int = 0, count: int = 100) -> list[str]:
        return [jid_of(row) for rows in engine.manager.views.worker_jobs(wid, start, count) for row in rows]

    assert held("w1") == [jids[0], jids[2], jids[4]]
    assert held("w1", 1, 1) == [jids[2]]
    assert held("") == [jids[3]]
    assert held("w3") == []


def test_a_job_that_ends_while_one_looks_is_not_told(engine: Engine) -> None:
    worker = engine.worker("w1")
    jids = [engine.push(args=["x" * 500_000]) for _ in range(20)]
    for _ in jids:
        engine.fetch(worker=worker)
    slices = engine.manager.views.worker_jobs("w1")
    assert next(slices)
    engine.manager.ack(jids[-1], "w1")
    engine.fail(jids[-2], "w1")
    rest = [jid_of(row) for rows in slices for row in rows]
    assert not set(rest) & set(jids[-2:])


# -- parts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5])
def test_parts_of_a_set_from_either_end(size: int) -> None:
    timed = TimedSet()
    entries = [(float(number), number) for number in range(size)]
    timed.load(entries)
    for start in range(7):
        for count in range(7):
            assert timed.part(start, count) == entries[start : start + count]
            assert timed.part(start, count, backwards=True) == entries[::-1][start : start + count]
    for entry in (None, (2.0, 2), (2.5, 0), (99.0, 0), (-1.0, 0)):
        front = [each for each in entries if entry is None or each < entry]
        assert timed.before(entry, 2) == front[::-1][:2]


def test_the_place_of_a_job_is_found_though_its_position_is_not_its_id(engine: Engine) -> None:
    engine.push(retry=25)
    engine.jids()
    engine.fail("job-0001")
    for _ in range(9):
        engine.push()
    engine.pass_time(100)
    engine.push()
    rows = [row for rows in engine.manager.views.page(Place.QUEUED, "default") for row in rows]
    assert [engine.manager.views.index(row) for row in rows] == list(range(11))
