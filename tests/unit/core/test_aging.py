"""Jobs that wait come before those of a higher priority, in time; and nothing is read from the disk again and again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from faktory_tw.config.policies import QueuePolicy
from faktory_tw.core import slices
from faktory_tw.core.manager import Limits
from faktory_tw.core.reservations import Reservation
from faktory_tw.storage.store import JobRow
from tests.unit.doubles import Engine, MakeEngine

MINUTE = {"default": QueuePolicy(aging=60)}


def fetched(engine: Engine) -> list[int]:
    """The priorities of all jobs, as they are fetched."""
    priorities = []
    while (reservation := engine.reserve()) is not None:
        priorities.append(reservation.job.priority)
    return priorities


@pytest.mark.parametrize(("waited", "first"), [(0, 9), (60, 9), (479, 9), (480, 9), (481, 1), (10_000, 1)])
@pytest.mark.parametrize("restart", [False, True])
def test_each_minute_counts_as_a_priority(make_engine: MakeEngine, waited: int, first: int, restart: bool) -> None:
    engine = make_engine(policies=MINUTE)
    engine.push(priority=1)
    engine.clock.advance(waited)
    engine.push(priority=9)
    if restart:
        engine.restart()
    assert fetched(engine) == [first, 10 - first]


def test_without_aging_a_low_priority_waits_for_ever(engine: Engine) -> None:
    engine.push(priority=1)
    engine.clock.advance(1e9)
    engine.push(priority=2)
    assert fetched(engine) == [2, 1]


def test_jobs_of_one_priority_stay_in_their_order(make_engine: MakeEngine) -> None:
    engine = make_engine(policies=MINUTE)
    pushed = []
    for _ in range(20):
        pushed.append(engine.push(priority=3))
        engine.clock.advance(50)
        engine.push(priority=9)
    restarted = engine.jids()
    assert [jid for jid in restarted if jid in pushed] == pushed


def test_a_low_priority_is_served_however_many_jobs_of_a_high_one_come(make_engine: MakeEngine) -> None:
    engine = make_engine(policies=MINUTE)
    low = engine.push(priority=1)
    fetched_jids: list[str] = []
    while low not in fetched_jids:
        engine.clock.advance(1)
        engine.push(priority=9)
        engine.push(priority=9)
        job = engine.fetch()
        assert job is not None
        fetched_jids.append(job["jid"])
    assert len(fetched_jids) == 2 * 480 + 1, "two jobs a second had come in the eight minutes of their head start"


def test_a_retry_begins_to_wait_anew(make_engine: MakeEngine) -> None:
    engine = make_engine(policies=MINUTE)
    jid = engine.push(priority=4)
    engine.clock.advance(1000)
    engine.fetch()
    engine.fail(jid)
    engine.pass_time(15)
    engine.push(priority=5)
    assert fetched(engine) == [5, 4]


def test_a_retry_that_is_first_again_has_another_time_than_when_it_was_first_before(make_engine: MakeEngine) -> None:
    engine = make_engine(policies=MINUTE)
    jid = engine.push(priority=4)
    engine.push(priority=1)
    assert engine.reserve().job.jid == jid  # type: ignore[union-attr]
    engine.fail(jid)
    engine.pass_time(1000)
    assert fetched(engine) == [1, 4]


def test_a_job_that_is_given_back_has_its_turn_again(make_engine: MakeEngine) -> None:
    engine = make_engine(policies=MINUTE)
    engine.push(priority=1)
    engine.clock.advance(1000)
    engine.push(priority=9)
    reservation = engine.reserve()
    assert reservation is not None
    engine.manager.give_back(reservation)
    assert fetched(engine) == [1, 9]


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_clock_that_is_set_changes_nothing_among_the_jobs_that_wait(make_engine: MakeEngine, step: int) -> None:
    engine = make_engine(policies=MINUTE)
    engine.push(priority=1)
    engine.clock.advance(100)
    engine.push(priority=4)
    engine.clock.step_wall(step)
    assert fetched(engine) == [4, 1]


def test_aging_begins_and_ends_while_jobs_wait(engine: Engine) -> None:
    for priority in (1, 1, 1):
        engine.push(priority=priority)
    engine.clock.advance(1000)
    engine.push(priority=9)
    engine.push(priority=9)
    hour, another = {"default": QueuePolicy(aging=3600)}, {"other": QueuePolicy(aging=60)}
    for policies, priority in ((MINUTE, 1), (another, 9), (MINUTE, 1), (hour, 9), ({}, 1)):
        engine.manager.limit(Limits(policies=policies))
        assert engine.reserve().job.priority == priority  # type: ignore[union-attr]


def test_the_latency_of_a_queue_is_that_of_the_job_whose_turn_it_is(make_engine: MakeEngine) -> None:
    engine = make_engine(policies=MINUTE)
    engine.push(priority=1)
    engine.clock.advance(1000)
    engine.push(priority=9)
    assert engine.manager.latencies(["default"]) == {"default": 1000}
    view = engine.manager.views.queue("default")
    assert view is not None
    assert view.latency == 1000


# -- against a model -----------------------------------------------------------------------------------------------

moves = some.lists(
    some.one_of(
        some.tuples(some.just("push"), some.integers(1, 9)),
        some.tuples(some.just("wait"), some.integers(0, 4)),
        some.tuples(some.sampled_from(["fetch", "restart", "give back", "forget"]), some.just(0)),
    ),
    max_size=60,
)


class Line:
    """An engine, and a list that is searched for the job that counts most now; a tie goes to the higher priority."""

    def __init__(self, directory: Path) -> None:
        self.engine = Engine(directory, policies=MINUTE)
        self.jobs: list[tuple[int, float, str]] = []

    def push(self, priority: int) -> None:
        self.jobs.append((priority, self.engine.clock.time(), self.engine.push(priority=priority)))

    def counts(self, job: tuple[int, float, str]) -> tuple[float, int]:
        priority, since, _ = job
        return priority + (self.engine.clock.time() - since) / 60, priority

    def fetch(self) -> Reservation | None:
        reservation = self.engine.reserve()
        turn = max(self.jobs, key=self.counts, default=None)
        assert (reservation and reservation.job.jid) == (turn and turn[2])
        if turn is not None:
            self.jobs.remove(turn)
        return reservation

    def fetch_and_leave(self) -> None:
        jobs = list(self.jobs)
        reservation = self.fetch()
        if reservation is not None:
            self.engine.manager.give_back(reservation)
        self.jobs = jobs

    def move(self, what: str, number: int) -> None:
        if what == "push":
            self.push(number)
        elif what == "wait":
            self.engine.clock.advance(60 * number)
        elif what == "restart":
            self.engine.restart()
        elif what == "forget":
            self.engine.commit()
            self.engine.manager._cache.clear()
        elif what == "give back":
            self.fetch_and_leave()
        else:
            self.fetch()


@settings(max_examples=60, deadline=None)
@given(moves=moves)
def test_the_order_is_that_of_a_list_that_is_searched_for_the_job_that_counts_most(
    moves: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    line = Line(Path(tmp_path_factory.mktemp("aging")) / "data")
    try:
        for move in moves:
            line.move(*move)
        while line.fetch() is not None:
            pass
    finally:
        line.engine.stop()


# -- the disk ------------------------------------------------------------------------------------------------------


def count_reads(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many rows each read asks for that only wants to know when a job was enqueued."""
    asked: list[int] = []
    stride: Any = engine.manager._head_times._stride
    read = stride._read

    def counted(ids: Sequence[int]) -> list[JobRow]:
        asked.append(len(ids))
        rows: list[JobRow] = read(ids)
        return rows

    monkeypatch.setattr(stride, "_read", counted)
    return asked


def test_when_the_first_jobs_were_enqueued_is_read_once(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(policies=MINUTE)
    for number in range(900):
        engine.push(priority=number % 9 + 1)
    engine.restart()
    asked = count_reads(engine, monkeypatch)
    for _ in range(900):
        assert engine.reserve() is not None
    assert 9 <= sum(asked) <= 9 * 2


def test_who_only_looks_at_a_queue_reads_nothing_for_it(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(policies=MINUTE)
    engine.push(priority=1)
    engine.clock.advance(1000)
    engine.push(priority=9)
    engine.restart()
    asked = count_reads(engine, monkeypatch)
    queue = engine.manager.queues()["default"]
    assert len(queue.peek()) == 1
    assert asked == []
    engine.reserve()
    assert sum(asked) == 2


def test_a_queue_with_jobs_of_one_priority_needs_no_times(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(policies=MINUTE)
    for _ in range(5):
        engine.push(priority=4)
    engine.restart()
    asked = count_reads(engine, monkeypatch)
    assert fetched(engine) == [4] * 5
    assert asked == []


def test_first_jobs_that_are_too_large_to_be_read_in_one_turn_are_read_in_several(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", 100)
    engine = make_engine(policies=MINUTE)
    for priority in range(1, 10):
        engine.push(priority=priority, args=["x" * 200])
        engine.clock.advance(1000)
    engine.restart()
    assert sorted(fetched(engine)) == list(range(1, 10))
