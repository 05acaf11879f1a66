"""A start: what is read back is what was there, in the order in which it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw.core.loading import Loader, reservation_of
from faktory_tw.core.queues import Queue
from faktory_tw.core.timed import TimedSet
from faktory_tw.storage.store import IndexRow, JobRow, Place, StoreError
from faktory_tw.times import rfc3339
from tests.unit.doubles import NOON, Engine, jid_of
from tests.unit.house import Disk

TIMED = (Place.SCHEDULED, Place.RETRIES, Place.DEAD)


class Contents:
    """A store that only tells what it was given: ``runs`` of queued jobs, and rows of placed ones."""

    def __init__(self, runs: list[tuple[str, int, list[int]]], placed: list[IndexRow]) -> None:
        self._runs = runs
        self._placed = sorted(placed, key=lambda row: row.position)

    def queued(self) -> Iterator[tuple[str, int, Sequence[int]]]:
        return iter(self._runs)

    def placed(self) -> Iterator[IndexRow]:
        return iter(self._placed)


def loaded(contents: Contents, **floors: int) -> tuple[Loader, dict[str, Queue], dict[Place, TimedSet]]:
    queues = {name: Queue(name, floor) for name, floor in floors.items()}
    sets = {place: TimedSet() for place in TIMED}
    loader = Loader(contents, queues, sets)  # type: ignore[arg-type]
    loader.run()
    return loader, queues, sets


def moved(job_id: int, position: int, queue: str = "q", priority: int = 5) -> IndexRow:
    return IndexRow(job_id, queue, priority, int(Place.QUEUED), position, None)


# -- Loader --------------------------------------------------------------------------------------------------------


def test_runs_are_put_one_behind_the_other_by_queue_and_priority() -> None:
    runs = [("q", 5, [1, 4]), ("q", 9, [2]), ("r", 5, [3]), ("q", 5, [6, 8]), ("r", 5, [7])]
    _, queues, _ = loaded(Contents(runs, []), q=1, r=1)
    assert list(queues["q"].fifo(5)) == [1, 4, 6, 8]
    assert list(queues["q"].fifo(9)) == [2]
    assert list(queues["r"].fifo(5)) == [3, 7]


def test_jobs_that_entered_a_queue_again_are_merged_by_their_position() -> None:
    runs = [("q", 5, [10, 20, 30]), ("q", 5, [40, 50])]
    placed = [
        moved(1, 5),
        moved(2, 25),
        moved(3, 26),
        moved(4, 45),
        moved(5, 60),
        moved(6, 70),
        moved(7, 15, priority=9),
    ]
    _, queues, _ = loaded(Contents(runs, placed), q=1)
    assert list(queues["q"].fifo(5)) == [1, 10, 20, 2, 3, 30, 40, 4, 50, 5, 6]
    assert list(queues["q"].fifo(9)) == [7]


def test_jobs_below_the_floor_of_their_queue_or_of_no_queue_are_condemned() -> None:
    runs = [("q", 5, [1, 2, 7, 8]), ("gone", 5, [3]), ("q", 9, [4])]
    loader, queues, _ = loaded(Contents(runs, [moved(5, 6), moved(6, 9), moved(9, 9, "gone")]), q=7)
    assert list(queues["q"].fifo(5)) == [7, 8, 6]
    assert sorted(loader.condemned) == [1, 2, 3, 4, 5, 9]
    assert "gone" not in queues


def test_each_set_gets_its_jobs_and_the_working_ones_are_told() -> None:
    placed = [IndexRow(number, "q", 5, int(place), number, float(10 - number)) for number, place in enumerate(Place)]
    loader, queues, sets = loaded(Contents([], placed), q=0)
    assert list(queues["q"].fifo(5)) == [0]
    assert {place: list(sets[place]) for place in TIMED} == {
        Place.SCHEDULED: [(9.0, 1)],
        Place.RETRIES: [(8.0, 2)],
        Place.DEAD: [(7.0, 3)],
    }
    assert loader.working == [4]


@given(
    positions=st.lists(st.tuples(st.integers(1, 60), st.booleans(), st.integers(1, 3)), unique_by=lambda one: one[0]),
    run_length=st.integers(1, 12),
    floor=st.integers(0, 60),
)
def test_any_mixture_is_loaded_in_the_order_of_the_positions(
    positions: list[tuple[int, bool, int]], run_length: int, floor: int
) -> None:
    positions.sort()
    placed = [moved(1000 + position, position, priority=priority) for position, again, priority in positions if again]
    first = [(position, priority) for position, again, priority in positions if not again]
    runs = []
    for start in range(0, len(first), run_length):
        block = first[start : start + run_length]
        runs += [("q", level, [p for p, priority in block if priority == level]) for level in {one[1] for one in block}]
    loader, queues, _ = loaded(Contents(runs, placed), q=floor)
    for level in (1, 2, 3):
        expected = [p + 1000 * again for p, again, priority in positions if priority == level and p >= floor]
        assert list(queues["q"].fifo(level)) == expected
    assert sorted(loader.condemned) == sorted(p + 1000 * again for p, again, _ in positions if p < floor)


# -- the whole engine ----------------------------------------------------------------------------------------------


def test_an_empty_directory_holds_nothing(engine: Engine) -> None:
    assert set(engine.sizes().values()) == {0}
    engine.restart()
    assert set(engine.sizes().values()) == {0}
    assert engine.manager.queue_sizes() == {}


def test_everything_is_where_it_was_after_a_restart(engine: Engine) -> None:
    for name, retry in (("dead", -1), ("retries", 5), ("working", 5)):
        engine.push(queue=name, retry=retry)
        engine.fetch(name)
    engine.fail("job-0001")
    engine.fail("job-0002")
    engine.push(queue="queued")
    engine.push(at=rfc3339(NOON + 100))
    before = engine.sizes(), engine.manager.queue_sizes()
    assert set(before[0].values()) == {1}
    for _ in range(2):
        engine.restart()
        assert (engine.sizes(), engine.manager.queue_sizes()) == before
        assert [jid_of(row) for place in TIMED for row in engine.rows(place)] == ["job-0005", "job-0002", "job-0001"]


def test_the_order_after_a_restart_is_the_order_before(engine: Engine) -> None:
    engine.push("retried-1", queue="q", priority=7)
    engine.push("retried-2", queue="q")
    for jid in engine.jids("q"):
        engine.fail(jid)
    engine.push("pushed-1", queue="q")
    engine.pass_time(15)
    engine.push("pushed-2", queue="q", priority=7)
    engine.push("scheduled", queue="q", at=rfc3339(NOON + 20))
    engine.push("pushed-3", queue="q")
    engine.pass_time(5)
    engine.push("pushed-4", queue="q")
    engine.restart()
    expected = ["retried-1", "pushed-2", "pushed-1", "retried-2", "pushed-3", "scheduled", "pushed-4"]
    assert engine.jids("q") == expected


def test_pauses_survive_a_restart_also_of_an_empty_queue(engine: Engine) -> None:
    for name in ("a", "b", "empty"):
        engine.push(queue=name)
    engine.jids("empty")
    engine.manager.pause(["a", "empty"])
    engine.restart()
    assert [engine.fetch(name) is None for name in ("a", "b", "empty")] == [True, False, True]
    jid = engine.push(queue="empty")
    assert engine.fetch("empty") is None
    engine.manager.pause(["a", "empty"], paused=False)
    engine.restart()
    assert engine.jids("empty") == [jid]
    assert len(engine.jids("a")) == 1


def test_a_crash_leaves_exactly_what_was_committed(engine: Engine) -> None:
    engine.push("committed-1")
    engine.push("committed-2")
    engine.fetch()
    engine.commit()
    engine.push("lost-job-1")
    engine.manager.ack("committed-1", "")
    engine.fetch()
    engine.manager.pause(["default"])
    engine.manager.seal()
    engine.push("lost-job-2")
    engine.crash()
    assert engine.sizes() == {"scheduled": 0, "queued": 1, "working": 1, "retries": 0, "dead": 0}
    assert engine.jids() == ["committed-2"]
    assert engine.manager.ack("committed-1", "")


@pytest.mark.parametrize("restarts", [1, 2])
def test_jobs_pushed_after_a_restart_survive_the_next_one_in_a_queue_that_was_emptied(
    engine: Engine, restarts: int
) -> None:
    """Numbers of finished jobs are free after a restart; a queue made by one of them must not take new ones for old."""
    for _ in range(10):
        engine.push(queue="first")
    engine.push(queue="second")
    for jid in engine.jids("first") + engine.jids("second"):
        engine.manager.ack(jid, "")
    for _ in range(restarts):
        engine.restart()
    pushed = [engine.push(queue="second") for _ in range(3)]
    engine.restart()
    assert engine.manager.queue_sizes()["second"] == 3
    assert engine.jids("second") == pushed


def test_a_retry_that_made_its_queue_again_survives_restarts(engine: Engine) -> None:
    jid = engine.push(queue="q")
    engine.fetch("q")
    engine.fail(jid)
    engine.manager.remove_queues(["q"])
    for _ in range(10):
        engine.push(queue="other")
    for other in engine.jids("other"):
        engine.manager.ack(other, "")
    engine.manager.remove_queues(["other"])
    for seconds in (15, 16):
        engine.pass_time(seconds)
        engine.restart()
        assert engine.manager.queue_sizes() == {"q": 1}
        engine.fetch("q")
        engine.fail(jid)
        engine.restart()


def test_a_job_given_back_after_a_restart_of_an_emptied_queue_is_not_lost(engine: Engine) -> None:
    engine.push(queue="first")
    engine.push(queue="second")
    for jid in engine.jids("first") + engine.jids("second"):
        engine.manager.ack(jid, "")
    engine.restart()
    jid = engine.push(queue="second")
    reservation = engine.reserve("second")
    assert reservation is not None
    engine.manager.give_back(reservation)
    assert engine.jids("second") == [jid]


def test_a_load_changes_nothing_on_disk(engine: Engine) -> None:
    engine.push()
    engine.push(at=rfc3339(NOON + 100))
    engine.fetch()
    engine.restart()
    assert not engine.manager.seal()


def test_of_jobs_that_share_a_jid_the_one_fetched_first_is_the_oldest_after_a_restart_too(engine: Engine) -> None:
    engine.push(jid="shared-jid", queue="a", reserve_for=600)
    engine.push(jid="shared-jid", queue="b", reserve_for=600)
    for queue in ("b", "a"):
        assert engine.reserve(queue) is not None
        engine.pass_time(1)
    engine.restart()
    assert engine.manager.ack("shared-jid", "")
    assert [reservation.job.queue for reservation in engine.manager.reservations()] == ["a"]


@pytest.mark.parametrize(
    ("at", "body"), [(float("inf"), b'{"jid":"1"}'), (float("-inf"), b'{"jid":"1"}'), (NOON, b"[")]
)
def test_a_reservation_that_is_not_as_it_was_written_is_refused_with_a_remedy(at: float, body: bytes) -> None:
    row = JobRow(1, "q", 5, int(Place.WORKING), 1, at, NOON, b"", "me", NOON, body)
    with pytest.raises(StoreError, match=r"the job number 1 is not as it was written.*restore"):
        reservation_of(row, Disk())
