"""FETCHes that wait: who gets the job, and what happens to it when the client is gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faktory_tw.core.waiting import WAIT_SECONDS, Waiter, Waiting
from faktory_tw.times import rfc3339
from tests.unit.doubles import HOUR, NOON, Client, Engine

ALL_WAYS = ["push", "scheduled", "retry", "requeue", "resume", "give back"]


def got(*clients: Client) -> list[list[str | None]]:
    return [[None if job is None else job["jid"] for job in client.jobs] for client in clients]


def waiter(*queues: str, deadline: float = 2.0) -> Waiter:
    return Waiter(queues, None, lambda _: True, deadline)


# -- Waiting -------------------------------------------------------------------------------------------------------


def test_the_longest_waiting_is_found_for_each_queue() -> None:
    waiting = Waiting()
    first, second = waiter("a", "b"), waiter("b", "c")
    waiting.add(first)
    waiting.add(second)
    assert [waiting.longest(name) for name in "abcd"] == [first, first, second, None]
    waiting.remove(first)
    waiting.remove(first)
    assert [waiting.longest(name) for name in "abcd"] == [None, second, second, None]
    assert len(waiting) == 1


def test_a_waiter_that_names_a_queue_twice_waits_once() -> None:
    waiting = Waiting()
    waiting.add(waiter("a", "a"))
    found = waiting.longest("a")
    assert found is not None
    waiting.remove(found)
    assert waiting.longest("a") is None
    assert len(waiting) == 0


def test_those_whose_time_is_over_are_taken_in_the_order_in_which_they_came() -> None:
    waiting = Waiting()
    waiters = [waiter("a", deadline=float(number)) for number in range(5)]
    for one in waiters:
        waiting.add(one)
    waiting.remove(waiters[1])
    assert waiting.take_expired(2.0) == [waiters[0], waiters[2]]
    assert waiting.longest("a") is waiters[3]
    assert waiting.take_expired(float("inf")) == waiters[3:]
    assert len(waiting) == 0


# -- who gets the job ----------------------------------------------------------------------------------------------


def prepared(engine: Engine, way: str) -> tuple[str, Callable[[], object]]:
    """A job that is about to enter the queue ``q`` in one of ALL_WAYS: its jid, and what makes it enter."""
    at = rfc3339(NOON + 1) if way == "scheduled" else None
    if way == "push":
        return "pushed-1", lambda: engine.push("pushed-1", queue="q")
    jid = engine.push(queue="q", at=at)
    if way == "resume":
        engine.manager.pause(["q"])
        return jid, lambda: engine.manager.pause(["q"], paused=False)
    if way == "scheduled":
        return jid, lambda: engine.pass_time(1)
    reservation = engine.reserve("q")
    assert reservation is not None
    if way == "give back":
        return jid, lambda: engine.manager.give_back(reservation)
    engine.fail(jid)
    return jid, (lambda: engine.mutate("requeue", "retries")) if way == "requeue" else (lambda: engine.pass_time(15))


@pytest.mark.parametrize("way", ALL_WAYS)
def test_a_job_goes_to_the_client_that_has_waited_longest_however_it_enters_its_queue(engine: Engine, way: str) -> None:
    jid, enter = prepared(engine, way)
    clients = [Client(engine, "other"), Client(engine, "q", "other"), Client(engine, "q")]
    assert got(*clients) == [[], [], []]
    enter()
    assert got(*clients) == [[], [jid], []]
    assert engine.sizes() == {"scheduled": 0, "queued": 0, "working": 1, "retries": 0, "dead": 0}
    engine.commit()
    engine.crash()
    assert engine.sizes()["working"] == 1


def test_each_waiting_client_gets_one_job(engine: Engine) -> None:
    clients = [Client(engine, "a"), Client(engine, "a", "b"), Client(engine, "b")]
    jids = [engine.push(queue=name) for name in "aabb"]
    assert got(*clients) == [[jids[0]], [jids[1]], [jids[2]]]
    assert engine.sizes()["queued"] == 1


def test_a_job_for_a_paused_queue_is_given_to_nobody_until_it_goes_on(engine: Engine) -> None:
    engine.push(queue="q")
    engine.jids("q")
    engine.manager.pause(["q"])
    client = Client(engine, "q")
    first, second = engine.push(queue="q", priority=1), engine.push(queue="q", priority=9)
    assert got(client) == [[]]
    engine.manager.pause(["q"], paused=False)
    assert got(client) == [[second]]
    assert engine.jids("q") == [first]


def test_queues_that_go_on_together_serve_one_after_the_other(engine: Engine) -> None:
    jids = [engine.push(queue=name) for name in "ab"]
    engine.manager.pause(["*"])
    clients = [Client(engine, "b"), Client(engine, "a", "b")]
    engine.manager.pause(["*"], paused=False)
    assert got(*clients) == [[jids[1]], [jids[0]]]


def test_a_worker_that_is_to_be_quiet_waits_in_vain(engine: Engine) -> None:
    worker = engine.worker("worker-1")
    engine.manager.beat("worker-1", "quiet", 0)
    client = Client(engine, "q", worker=worker)
    jid = engine.push(queue="q")
    assert got(client) == [[]]
    engine.pass_time(WAIT_SECONDS)
    engine.manager.end_waits()
    assert got(client) == [[None]]
    assert engine.jids("q") == [jid]


@pytest.mark.parametrize("state", ["quiet", "terminate"])
def test_a_worker_that_is_told_to_be_quiet_while_it_waits_lets_the_next_one_go_first(
    engine: Engine, state: str
) -> None:
    quiet, here = Client(engine, "q", worker=engine.worker("worker-1")), Client(engine, "q")
    engine.manager.beat("worker-1", state, 0)
    first = engine.push(queue="q")
    second = engine.push(queue="q")
    assert got(quiet, here) == [[], [first]]
    assert engine.jids("q") == [second]
    engine.pass_time(WAIT_SECONDS)
    engine.manager.end_waits()
    assert got(quiet) == [[None]]


def test_the_job_is_reserved_for_the_worker_that_waited(engine: Engine) -> None:
    worker = engine.worker("worker-1")
    client = Client(engine, "q", worker=worker)
    engine.push(queue="q", reserve_for=600)
    [reservation] = engine.manager.reservations()
    assert (reservation.wid, reservation.seconds, client.reservation) == ("worker-1", 600, reservation)


def test_a_client_may_wait_for_a_queue_that_does_not_exist_yet(engine: Engine) -> None:
    client = Client(engine, "new")
    jid = engine.push(queue="new")
    assert got(client) == [[jid]]


def test_a_waiting_client_survives_a_flush(engine: Engine) -> None:
    client = Client(engine, "q")
    engine.manager.flush()
    jid = engine.push(queue="q")
    assert got(client) == [[jid]]


# -- how long ------------------------------------------------------------------------------------------------------


def test_a_wait_ends_after_two_seconds_whatever_the_wall_clock_shows(engine: Engine) -> None:
    client = Client(engine, "q")
    engine.clock.step_wall(HOUR)
    engine.clock.advance(1.9)
    engine.manager.end_waits()
    assert client.jobs == []
    engine.clock.step_wall(-3 * HOUR)
    engine.clock.advance(0.1)
    engine.manager.end_waits()
    assert client.jobs == [None]
    engine.push(queue="q")
    engine.manager.end_waits(everybody=True)
    assert client.jobs == [None]


def test_everybody_is_answered_at_the_end(engine: Engine) -> None:
    clients = [Client(engine, "q"), Client(engine, "r")]
    engine.manager.end_waits(everybody=True)
    assert got(*clients) == [[None], [None]]


def test_many_waits_that_are_over_are_ended_in_turns(engine: Engine) -> None:
    clients = [Client(engine, "q") for _ in range(450)]
    engine.clock.advance(WAIT_SECONDS)
    last = Client(engine, "q")
    answered = []
    while engine.manager.end_waits():
        answered.append(sum(len(client.jobs) for client in clients))
    assert answered == [200, 400]
    assert got(*clients, last) == [[None]] * 450 + [[]]


def test_at_the_end_everybody_is_answered_in_one_turn(engine: Engine) -> None:
    clients = [Client(engine, "q") for _ in range(450)]
    assert not engine.manager.end_waits(everybody=True)
    assert got(*clients) == [[None]] * 450


def test_a_client_that_stopped_waiting_gets_nothing(engine: Engine) -> None:
    client, other = Client(engine, "q"), Client(engine, "q")
    engine.manager.stop_waiting(client.waiter)
    engine.manager.stop_waiting(client.waiter)
    jid = engine.push(queue="q")
    engine.manager.end_waits(everybody=True)
    assert got(client, other) == [[], [jid]]


# -- clients that are gone -----------------------------------------------------------------------------------------


def test_the_next_client_gets_the_whole_job_when_the_first_is_gone(engine: Engine) -> None:
    gone, here = Client(engine, "q", there=False), Client(engine, "q")
    jid = engine.push(queue="q", args=["whole"])
    assert got(gone, here) == [[], [jid]]
    assert here.jobs[0] is not None
    assert here.jobs[0]["args"] == ["whole"]
    assert engine.sizes()["working"] == 1


@pytest.mark.parametrize("restarts", [False, True])
def test_a_job_nobody_was_there_for_is_fetched_whole(engine: Engine, restarts: bool) -> None:
    for _ in range(2):
        Client(engine, "q", there=False)
    jid = engine.push(queue="q", args=["whole"])
    assert engine.sizes() == {"scheduled": 0, "queued": 1, "working": 0, "retries": 0, "dead": 0}
    if restarts:
        engine.restart()
    job = engine.fetch("q")
    assert job is not None
    assert (job["jid"], job["args"]) == (jid, ["whole"])


def test_a_due_job_nobody_was_there_for_is_fetched_whole(engine: Engine) -> None:
    engine.push(queue="q", at=rfc3339(NOON + 1), args=["whole"])
    Client(engine, "q", there=False)
    engine.pass_time(1)
    job = engine.fetch("q")
    assert job is not None
    assert job["args"] == ["whole"]


def test_a_job_given_back_returns_to_the_head_with_its_old_position(engine: Engine) -> None:
    jids = [engine.push() for _ in range(3)]
    reservation = engine.reserve()
    assert reservation is not None
    engine.manager.give_back(reservation)
    assert engine.sizes()["queued"] == 3
    engine.restart()
    assert engine.jids() == jids


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_jobs_given_back_in_any_order_are_fetched_in_their_old_one(
    engine: Engine, order: tuple[int, ...], restarts: bool
) -> None:
    jids = [engine.push() for _ in range(4)]
    reservations = [engine.reserve() for _ in range(3)]
    for number in order:
        reservation = reservations[number]
        assert reservation is not None
        engine.manager.give_back(reservation)
    if restarts:
        engine.restart()
    assert engine.jids() == jids


def test_a_retried_job_given_back_keeps_the_position_of_its_retry(engine: Engine) -> None:
    retried = engine.push()
    engine.fetch()
    engine.fail(retried)
    before = engine.push()
    engine.pass_time(15)
    after = engine.push()
    assert [job["jid"] for job in [engine.fetch()] if job is not None] == [before]
    reservation = engine.reserve()
    assert reservation is not None
    engine.manager.give_back(reservation)
    engine.restart()
    assert engine.jids() == [retried, after]


def test_a_job_given_back_is_not_lost_when_others_entered_its_empty_queue_meanwhile(engine: Engine) -> None:
    first = engine.push(queue="q")
    reservation = engine.reserve("q")
    assert reservation is not None
    second = engine.push(queue="q", at=rfc3339(NOON + 10))
    engine.pass_time(10)
    engine.manager.give_back(reservation)
    engine.restart()
    assert engine.jids("q") == [first, second]


def test_a_job_of_a_removed_queue_that_is_given_back_is_removed_too(engine: Engine) -> None:
    engine.push(queue="q")
    reservation = engine.reserve("q")
    engine.commit()
    engine.manager.remove_queues(["q"])
    fresh = engine.push(queue="q")
    assert reservation is not None
    engine.manager.give_back(reservation)
    assert engine.sizes()["working"] == 0
    engine.restart()
    assert engine.jids("q") == [fresh]
    assert engine.rows_on_disk() == 1


def test_a_job_that_was_finished_meanwhile_is_not_given_back(engine: Engine) -> None:
    jid = engine.push()
    reservation = engine.reserve()
    assert reservation is not None
    engine.manager.ack(jid, "")
    engine.manager.give_back(reservation)
    assert set(engine.sizes().values()) == {0}


def test_giving_back_too_late_takes_the_job_from_nobody_else(engine: Engine) -> None:
    jid = engine.push(reserve_for=60)
    late = engine.reserve()
    assert late is not None
    engine.pass_time(60)
    engine.pass_time(15)
    assert engine.jids() == [jid]
    engine.manager.give_back(late)
    assert engine.sizes() == {"scheduled": 0, "queued": 0, "working": 1, "retries": 0, "dead": 0}
    assert engine.manager.ack(jid, "")
