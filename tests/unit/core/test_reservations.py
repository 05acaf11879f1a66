"""Who holds which job, until when, and what becomes of it when the time is over."""

from __future__ import annotations

import json

import pytest

from faktory_tw.core.job import Job
from faktory_tw.core.reservations import Reservation, Reservations
from faktory_tw.storage.store import Place
from faktory_tw.wire import CommandError
from tests.unit.doubles import DAY, HOUR, NOON, Engine, jid_of

JID = "same-jid"


def held(job_id: int, jid: str = JID, wid: str = "", seconds: int = 1800) -> Reservation:
    return Reservation(Job(job_id, jid, "q", 5, job_id, 25, 0, 0.0, b"", b""), wid, NOON, seconds)


def all_of(*reservations: Reservation) -> Reservations:
    working = Reservations()
    for reservation in reservations:
        working.add(reservation, 0.0)
    return working


# -- Reservations --------------------------------------------------------------------------------------------------


def test_a_reservation_is_taken_once() -> None:
    one, other = held(1, "first-jid"), held(2, "other-jid")
    working = all_of(one, other)
    assert working.take("first-jid", "any") is one
    assert working.take("first-jid", "any") is None
    assert working.take_id(1) is None
    assert working.take_id(2) is other
    assert working.take("other-jid", "") is None
    assert len(working) == 0
    assert working.expired(float("inf")) == []


def test_of_several_with_one_jid_the_workers_own_is_taken_else_the_oldest() -> None:
    mine, yours, hers = held(1, wid="me"), held(2, wid="you"), held(3, wid="her")
    working = all_of(mine, yours, hers)
    assert working.take(JID, "you") is yours
    assert working.take(JID, "you") is mine
    assert working.take(JID, "you") is hers
    assert working.take(JID, "you") is None


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 2, 1], [2, 1, 3], [2, 3, 1]])
def test_reservations_of_one_jid_end_one_by_one_by_their_ids(order: list[int]) -> None:
    working = all_of(held(1), held(2), held(3))
    for job_id in order:
        reservation = working.take_id(job_id)
        assert reservation is not None
        assert reservation.job.id == job_id
    assert len(working) == 0
    assert working.take(JID, "") is None


def test_reservations_end_each_at_its_time() -> None:
    working = all_of(held(1, "a", seconds=60), held(2, "b", seconds=600), held(3, "c", seconds=60))
    working.take("a", "")
    assert working.expired(59.9) == []
    assert working.expired(60.0) == [3]
    assert sorted(working.expired(600.0)) == [2, 3]


def test_the_jobs_of_workers_are_found() -> None:
    working = all_of(held(1, "a", "me"), held(2, "b", "you"), held(3, "c", "me"), held(4, "d"))
    assert [one.job.id for one in working.of_workers({"me", "nobody"})] == [1, 3]
    assert [reservation.job.id for reservation in working] == [1, 2, 3, 4]


# -- how long ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reserve_for", "seconds"), [(None, 1800), (0, 1800), (1, 60), (59, 60), (60, 60), (90, 90), (86_400, 86_400)]
)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_job_is_held_for_what_it_asked_for(
    engine: Engine, reserve_for: int | None, seconds: int, restarts: bool
) -> None:
    engine.push(reserve_for=reserve_for)
    if restarts:
        engine.restart()
    engine.fetch()
    engine.pass_time(seconds - 0.5)
    assert engine.sizes()["working"] == 1
    engine.pass_time(0.5)
    assert engine.sizes() == {"scheduled": 0, "queued": 0, "working": 0, "retries": 1, "dead": 0}


def test_more_than_a_day_is_refused_at_the_push(engine: Engine) -> None:
    with pytest.raises(CommandError, match=r"^jobs cannot be reserved for more than one day$"):
        engine.push(reserve_for=86_401)
    assert set(engine.sizes().values()) == {0}


def test_an_expired_reservation_is_a_failure_that_says_so(engine: Engine) -> None:
    jid = engine.push(reserve_for=60)
    engine.fetch()
    engine.pass_time(60)
    [row] = engine.rows(Place.RETRIES)
    failure = json.loads(row.failure)
    assert (failure["errtype"], failure["message"]) == ("ReservationExpired", "Faktory job reservation expired")
    assert "backtrace" not in failure
    assert engine.manager.tasks["Busy"].reaped == 1
    assert not engine.manager.ack(jid, "")
    with pytest.raises(CommandError, match=r"^Job not found "):
        engine.fail(jid)


@pytest.mark.parametrize(("retry", "place"), [(-1, "dead"), (25, "retries"), (0, None)])
def test_an_expired_reservation_goes_through_the_retry_process(engine: Engine, retry: int, place: str | None) -> None:
    engine.push(retry=retry)
    engine.fetch()
    engine.pass_time(1800)
    expected = {"scheduled": 0, "queued": 0, "working": 0, "retries": 0, "dead": 0}
    assert engine.sizes() == (expected | {place: 1} if place else expected)


def test_a_finished_job_does_not_expire(engine: Engine) -> None:
    jids = [engine.push(), engine.push()]
    engine.jids()
    engine.manager.ack(jids[0], "")
    engine.fail(jids[1])
    engine.pass_time(14)
    engine.pass_time(DAY)
    assert engine.manager.history.failures == 1


@pytest.mark.parametrize("step", [-10 * HOUR, -HOUR, HOUR, 10 * HOUR, 170 * DAY])
def test_a_wall_clock_that_is_set_loses_and_expires_nothing(engine: Engine, step: float) -> None:
    for name in ("working", "dead", "queued"):
        engine.push(queue=name, retry=-1)
    engine.fetch("working")
    engine.fetch("dead")
    engine.fail("job-0002")
    before = engine.sizes()
    engine.clock.step_wall(step)
    engine.pass_time(1)
    assert engine.sizes() == before
    engine.restart()
    engine.pass_time(1700)
    assert engine.sizes() == before
    assert engine.manager.ack("job-0001", "")


# -- over a restart ------------------------------------------------------------------------------------------------


def test_the_working_set_survives_and_can_be_acknowledged_after_a_restart(engine: Engine) -> None:
    jids = [engine.push() for _ in range(3)]
    worker = engine.worker("worker-1")
    for _ in jids:
        engine.fetch(worker=worker)
    engine.commit()
    engine.crash()
    assert [(r.job.jid, r.wid, r.reserved_at) for r in engine.manager.reservations()] == [
        (jid, "worker-1", NOON) for jid in jids
    ]
    assert engine.manager.ack(jids[0], "worker-1")
    engine.fail(jids[1])
    assert engine.sizes() == {"scheduled": 0, "queued": 0, "working": 1, "retries": 1, "dead": 0}
    assert [jid_of(row) for row in engine.rows(Place.RETRIES)] == [jids[1]]


def test_reservations_begin_anew_at_a_start(engine: Engine) -> None:
    engine.push(reserve_for=100)
    engine.fetch()
    engine.pass_time(99)
    engine.restart()
    engine.pass_time(99)
    assert engine.sizes()["working"] == 1
    engine.pass_time(1)
    assert engine.sizes()["retries"] == 1


def test_a_job_whose_fetch_was_not_on_disk_is_delivered_again(engine: Engine) -> None:
    jid = engine.push()
    engine.commit()
    engine.fetch()
    engine.crash()
    assert engine.jids() == [jid]


def test_an_acknowledged_job_does_not_come_back(engine: Engine) -> None:
    jid = engine.push()
    engine.commit()
    engine.fetch()
    engine.manager.ack(jid, "")
    engine.commit()
    engine.crash()
    assert set(engine.sizes().values()) == {0}
    assert engine.rows_on_disk("jobs") == engine.rows_on_disk("places") == 0


# -- two jobs with one jid -----------------------------------------------------------------------------------------


def test_both_jobs_of_one_jid_are_worked_and_no_ghost_stays(engine: Engine) -> None:
    me, you = engine.worker("me"), engine.worker("you")
    engine.push(JID, args=[1], retry=0)
    engine.push(JID, args=[2], retry=0)
    jobs = [engine.fetch(worker=me), engine.fetch(worker=you)]
    assert [job["args"] for job in jobs if job is not None] == [[1], [2]]
    assert engine.sizes()["working"] == 2
    assert engine.manager.ack(JID, "you")
    assert [reservation.wid for reservation in engine.manager.reservations()] == ["me"]
    engine.fail(JID, "me")
    assert not engine.manager.ack(JID, "me")
    engine.restart()
    assert set(engine.sizes().values()) == {0}


def test_an_ack_of_a_stranger_ends_the_oldest_reservation_of_the_jid(engine: Engine) -> None:
    for number in range(3):
        engine.push(JID, args=[number])
        engine.fetch(worker=engine.worker(f"worker-{number}"))
    engine.restart()
    assert engine.manager.ack(JID, "stranger")
    assert [reservation.wid for reservation in engine.manager.reservations()] == ["worker-1", "worker-2"]
    engine.pass_time(60)
    assert engine.sizes()["retries"] == 2


def test_only_some_of_the_reservations_that_are_over_are_looked_at(engine: Engine) -> None:
    """A million may end in one second."""
    for _ in range(1700):
        engine.push(reserve_for=60)
        engine.fetch()
    engine.clock.advance(60)
    assert len(engine.manager.working.expired(engine.clock.monotonic(), 500)) == 500
    left = []
    while engine.manager.upkeep():
        left.append(engine.sizes()["working"])
    assert left == [1200, 700, 200]
    assert engine.sizes()["retries"] == 1700
