"""Sets ordered by time, leases that run on the monotonic clock, and scheduled jobs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw.core.timed import Leases, TimedSet
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import DAY, HOUR, NOON, Engine, jid_of

# -- TimedSet ------------------------------------------------------------------------------------------------------


def filled(*entries: tuple[float, int]) -> TimedSet:
    timed = TimedSet()
    for entry in entries:
        timed.add(*entry)
    return timed


def test_the_earliest_comes_first_and_at_one_time_the_lower_id() -> None:
    timed = filled((3.0, 1), (1.0, 9), (1.0, 2), (2.0, 5))
    assert list(timed) == [(1.0, 2), (1.0, 9), (2.0, 5), (3.0, 1)]


def test_what_is_due_now_is_taken_and_what_is_due_later_stays() -> None:
    timed = filled((1.0, 1), (2.0, 2), (2.0, 3), (2.5, 4))
    assert timed.take_due(0.5, 10) == []
    assert timed.take_due(2.0, 2) == [(1.0, 1), (2.0, 2)]
    assert timed.take_due(2.0, 10) == [(2.0, 3)]
    assert list(timed) == [(2.5, 4)]
    assert timed.take_due(float("inf"), 10) == [(2.5, 4)]


def test_an_entry_is_discarded_once() -> None:
    timed = filled((1.0, 1), (1.0, 2))
    assert timed.discard(1.0, 1)
    assert not timed.discard(1.0, 1)
    assert not timed.discard(2.0, 2)
    assert len(timed) == 1


def test_a_walk_in_slices_meets_every_entry_once_though_entries_leave_behind_it() -> None:
    timed = TimedSet()
    timed.load([(float(number % 7), number) for number in range(100)])
    met: list[tuple[float, int]] = []
    last = None
    while entries := timed.after(last, 9):
        last = entries[-1]
        met += entries
        for entry in entries[::2]:
            timed.discard(*entry)
    assert met == sorted((float(number % 7), number) for number in range(100))


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1000)), unique=True), st.integers(-1, 21), st.integers(0, 9)
)
def test_a_loaded_set_gives_what_is_due_in_order(entries: list[tuple[int, int]], now: int, count: int) -> None:
    timed = TimedSet()
    timed.load([(float(at), job_id) for at, job_id in entries])
    due = sorted(entry for entry in entries if entry[0] <= now)[:count]
    assert timed.take_due(now, count) == due
    assert sorted(timed) == sorted(set(entries) - set(due))


# -- Leases --------------------------------------------------------------------------------------------------------


def test_a_lease_is_over_when_its_seconds_have_passed() -> None:
    leases = Leases()
    leases.add(1, 60, 100.0)
    leases.add(2, 30, 100.0)
    leases.add(3, 60, 110.0)
    assert leases.expired(129.9) == []
    assert leases.expired(130.0) == [2]
    assert sorted(leases.expired(160.0)) == [1, 2]
    assert sorted(leases.expired(170.0)) == [1, 2, 3]


def test_a_lease_that_is_discarded_never_ends() -> None:
    leases = Leases()
    leases.add(1, 60, 0.0)
    leases.add(2, 60, 0.0)
    leases.discard(1, 60)
    leases.discard(7, 60)
    leases.discard(7, 61)
    assert leases.expired(1000.0) == [2]


def test_a_lease_that_begins_again_ends_later() -> None:
    leases = Leases()
    leases.add(1, 60, 0.0)
    leases.add(2, 60, 10.0)
    leases.discard(1, 60)
    leases.add(1, 60, 20.0)
    assert leases.expired(70.0) == [2]
    assert sorted(leases.expired(80.0)) == [1, 2]


def test_thousands_of_durations_are_forgotten_when_their_leases_are() -> None:
    leases = Leases()
    for seconds in range(60, 3060):
        leases.add(seconds, seconds, 0.0)
    for seconds in range(60, 3060):
        leases.discard(seconds, seconds)
    assert leases.expired(float("inf")) == []


# -- scheduled jobs ------------------------------------------------------------------------------------------------


def test_a_job_for_later_waits_in_the_scheduled_set_and_is_enqueued_when_it_is_due(engine: Engine) -> None:
    jid = engine.push(at="2025-11-21T14:00:00+01:00")
    assert engine.sizes() == {"scheduled": 1, "queued": 0, "working": 0, "retries": 0, "dead": 0}
    assert engine.manager.queue_sizes() == {}
    engine.pass_time(HOUR - 1)
    assert engine.fetch() is None
    engine.pass_time(1)
    assert engine.sizes()["scheduled"] == 0
    job = engine.fetch()
    assert job is not None
    assert job["jid"] == jid
    assert job["at"] == "2025-11-21T14:00:00+01:00"
    assert job["enqueued_at"] == rfc3339(NOON + HOUR)
    assert job["created_at"] == rfc3339(NOON)


@pytest.mark.parametrize("at", ["2025-11-21T12:00:00Z", "2025-11-21T13:00:00+01:00", "0001-01-01T00:00:00Z", ""])
def test_a_job_for_now_or_the_past_is_enqueued_at_once(engine: Engine, at: str) -> None:
    engine.push(at=at)
    job = engine.fetch()
    assert job is not None
    assert job.get("at", "") == at


@pytest.mark.parametrize("at", ["tomorrow", "2025-11-21T12:00:00", "2025-02-30T12:00:00Z"])
def test_a_time_that_is_none_is_refused_with_the_text_that_was_sent(engine: Engine, at: str) -> None:
    with pytest.raises(CommandError, match=f"^invalid timestamp for 'at': \"{at}\": "):
        engine.push(at=at)
    assert engine.sizes()["scheduled"] == 0


def test_a_scheduled_job_needs_a_valid_queue_name_too(engine: Engine) -> None:
    with pytest.raises(CommandError, match="queue names must match"):
        engine.push(queue="not a name", at="2030-01-01T00:00:00Z")


def test_the_last_second_of_the_calendar_can_be_waited_for(engine: Engine) -> None:
    engine.push(at="9999-12-31T23:59:59.999999999-23:59")
    engine.restart()
    engine.pass_time(DAY * 365)
    assert engine.sizes()["scheduled"] == 1


def test_due_jobs_enter_their_queue_in_the_order_of_their_times_at_the_tail_of_their_priority(engine: Engine) -> None:
    queued = engine.push(priority=5)
    later = engine.push(at=rfc3339(NOON + 20), priority=5)
    sooner = engine.push(at=rfc3339(NOON + 10), priority=5)
    urgent = engine.push(at=rfc3339(NOON + 30), priority=9)
    engine.pass_time(30)
    pushed = engine.push(priority=5)
    assert engine.jids() == [urgent, queued, sooner, later, pushed]


def test_scheduled_jobs_survive_a_restart_and_become_due_after_it(engine: Engine) -> None:
    jids = [engine.push(at=rfc3339(NOON + seconds), queue="q") for seconds in (30, 10, 20)]
    engine.restart()
    assert [jid_of(row) for row in engine.rows(Place.SCHEDULED)] == [jids[1], jids[2], jids[0]]
    engine.clock.advance(25)
    engine.restart()
    engine.upkeep()
    assert engine.jids("q") == [jids[1], jids[2]]


def test_a_due_job_stays_enqueued_after_a_crash_only_when_that_was_on_disk(engine: Engine) -> None:
    engine.push(at=rfc3339(NOON + 10))
    engine.commit()
    engine.pass_time(10)
    engine.crash()
    assert engine.sizes()["scheduled"] == 1
    engine.upkeep()
    engine.commit()
    engine.crash()
    assert engine.sizes() == {"scheduled": 0, "queued": 1, "working": 0, "retries": 0, "dead": 0}


def test_a_wall_clock_that_is_set_back_makes_a_scheduled_job_wait_and_loses_none(engine: Engine) -> None:
    jid = engine.push(at=rfc3339(NOON + 60))
    engine.clock.step_wall(-5 * HOUR)
    engine.pass_time(60)
    assert engine.fetch() is None
    engine.clock.step_wall(5 * HOUR)
    engine.upkeep()
    assert engine.jids() == [jid]


def test_a_due_job_leaves_a_paused_queue_paused(engine: Engine) -> None:
    """Also an empty one: nothing but RESUME may make it go on."""
    engine.push(queue="q")
    engine.jids("q")
    engine.manager.pause(["q"])
    jid = engine.push(queue="q", at=rfc3339(NOON + 60))
    engine.pass_time(60)
    assert engine.fetch("q") is None
    engine.restart()
    assert engine.fetch("q") is None
    engine.manager.pause(["q"], paused=False)
    assert engine.jids("q") == [jid]
