"""Cancel: who is told that a job is to stop, and what becomes of the job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faktory_tw.features import admin, cancel
from faktory_tw.storage.store import Place
from faktory_tw.wire import Held
from tests.unit.doubles import NOON
from tests.unit.features.floor import Floor

JID = "job-0001"


@pytest.fixture
def working(floor: Floor) -> Floor:
    """A server with a job that a worker has, and was asked to stop."""
    floor.engine.push(JID)
    floor.fetch()
    assert ask(floor) == {"asked": 1}
    return floor


def ask(floor: Floor, jid: str = JID) -> Any:
    """What an operator's request is answered."""
    return floor.say(f'ADMIN CANCEL {{"jid":{json.dumps(jid)}}}', "operator")


def beat(floor: Floor, wid: str = "worker-1", **said: Any) -> Any:
    """What a worker is told that wants to know."""
    return floor.say(f"BEAT {json.dumps({'wid': wid, 'cancels': True, **said})}", wid)


def restart(floor: Floor) -> None:
    """Start again; the worker connects again."""
    floor.restart()
    floor.talk()


# -- being told --------------------------------------------------------------------------------------------------------


def test_a_worker_that_asks_is_told_its_jobs_until_they_end(floor: Floor) -> None:
    for number in range(4):
        floor.engine.push(f"job-000{number}")
        floor.fetch("worker-1" if number else "worker-2")
    for number in (3, 0, 1):
        ask(floor, f"job-000{number}")
    assert beat(floor) == {"cancel": ["job-0003", "job-0001"]}
    assert beat(floor, "worker-2") == {"cancel": ["job-0000"]}
    floor.say('ACK {"jid":"job-0003"}')
    assert beat(floor) == {"cancel": ["job-0001"]}
    floor.say('FAIL {"jid":"job-0001"}')
    assert beat(floor) == "+OK"


@pytest.mark.parametrize(
    "line",
    ['BEAT {"wid":"worker-1"}', 'BEAT {"wid":"worker-1","cancels":false}', 'BEAT {"wid":"worker-1","cancels":null}'],
)
def test_a_worker_that_does_not_ask_is_answered_as_ever(working: Floor, line: str) -> None:
    assert working.say(line) == "+OK"


@pytest.mark.parametrize("state", ["quiet", "terminate"])
def test_its_state_is_told_in_the_same_reply(working: Floor, state: str) -> None:
    working.say(f'ADMIN WORKER {{"wid":"worker-1","state":"{state}"}}', "operator")
    assert beat(working) == {"state": state, "cancel": [JID]}
    working.say(f'ACK {{"jid":"{JID}"}}')
    assert beat(working) == {"state": state}


def test_without_any_request_the_reply_is_the_plain_one(floor: Floor) -> None:
    assert beat(floor) == "+OK"
    assert floor.say('BEAT {"wid":"nobody","cancels":true}') == "-ERR Unknown worker nobody"
    assert floor.say('BEAT {"wid":"worker-1","cancels":"yes"}').startswith("-ERR invalid BEAT")


@pytest.mark.parametrize("custom", [None, {"track": 1}])
def test_the_track_of_its_job_tells_it_too(floor: Floor, custom: dict[str, object] | None) -> None:
    floor.engine.push(JID, custom=custom)
    floor.fetch()
    assert "cancel" not in floor.say(f"TRACK GET {JID}")
    ask(floor)
    assert floor.say(f"TRACK GET {JID}")["cancel"] is True
    floor.say(f'ACK {{"jid":"{JID}"}}')
    assert "cancel" not in floor.say(f"TRACK GET {JID}")


def test_of_two_jobs_with_one_jid_both_are_asked(floor: Floor) -> None:
    for wid in ("worker-1", "worker-2"):
        floor.engine.push(JID)
        floor.fetch(wid)
    assert ask(floor) == {"asked": 2}
    floor.say(f'ACK {{"jid":"{JID}"}}', "worker-2")
    assert (beat(floor), beat(floor, "worker-2")) == ({"cancel": [JID]}, "+OK")


def test_a_reply_names_a_jid_once_and_no_more_than_fit(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel, "_TOLD_BYTES", 20)
    for jid in (JID, JID, "job-0002", "job-0003", "job-0004"):
        floor.engine.push(jid)
        floor.fetch()
    for jid in (JID, "job-0002", "job-0003", "job-0004"):
        ask(floor, jid)
    assert beat(floor) == {"cancel": [JID, "job-0002"]}


def test_a_worker_without_a_name_cannot_be_told_by_a_heartbeat(floor: Floor) -> None:
    floor.engine.push(JID)
    floor.fetch("")
    assert ask(floor) == {"asked": 1}
    assert floor.say(f"TRACK GET {JID}", "")["cancel"] is True


# -- asking ------------------------------------------------------------------------------------------------------------


def test_who_asks_is_answered_when_it_is_on_disk(floor: Floor) -> None:
    floor.engine.push(JID)
    floor.fetch()
    assert isinstance(floor.talk().say(b'ADMIN CANCEL {"jid":"job-0001"}'), Held)


def test_to_ask_twice_changes_nothing(working: Floor) -> None:
    working.clock.advance(5)
    assert ask(working) == {"asked": 1}
    assert working.cancel.asked_at(working.job_id(JID)) == NOON
    assert working.kept("cancel") == len(working.cancel) == 1


def test_by_the_internal_id(floor: Floor) -> None:
    floor.engine.push(JID)
    assert not floor.cancel.ask(1)
    floor.fetch()
    assert floor.cancel.asked_at(1) is None
    assert floor.cancel.ask(1)
    assert floor.cancel.ask(1)
    assert not floor.cancel.ask(2)
    assert floor.cancel.asked_at(1) == NOON


@pytest.mark.parametrize("place", ["queued", "scheduled", "retries", "dead"])
def test_of_a_job_that_nobody_has_it_is_said_where_it_is(floor: Floor, place: str) -> None:
    floor.engine.push(
        JID, at="2099-01-01T00:00:00Z" if place == "scheduled" else None, retry=-1 if place == "dead" else 5
    )
    if place in ("retries", "dead"):
        floor.fetch()
        floor.engine.fail(JID)
    refusal = floor.refused(f'ADMIN CANCEL {{"jid":"{JID}"}}')
    queue = " --queue default" if place == "queued" else ""
    assert f"it is {place}: to get rid of it, faktory-tw delete {place} {JID}{queue}" in refusal


@pytest.mark.parametrize("request_", ["", "{}", '{"jid":""}', '{"jid":null}', '{"jid":1}', "nonsense"])
def test_a_request_without_a_jid_is_refused(floor: Floor, request_: str) -> None:
    assert "ADMIN CANCEL" in floor.refused(f"ADMIN CANCEL {request_}")


def test_a_job_that_is_not_there_is_an_error(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        floor.refused('ADMIN CANCEL {"jid":"nobody-1"}') == "there is no job nobody-1: it is done, or was never pushed"
    )
    assert len(floor.refused(f'ADMIN CANCEL {{"jid":"{"x" * 100_000}"}}')) < 300
    monkeypatch.setattr(admin, "MOST_EXAMINED", 2)
    for number in range(2000):
        floor.engine.push(f"job-{number:04}")
    assert "faktory-tw show job-1999" in floor.refused('ADMIN CANCEL {"jid":"job-1999"}')


# -- what becomes of the job -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True])
def test_an_acknowledged_job_is_done(working: Floor, again: bool) -> None:
    if again:
        restart(working)
    working.say(f'ACK {{"jid":"{JID}"}}')
    assert sum(working.engine.sizes().values()) == 0
    assert working.kept("cancel") == len(working.cancel) == 0
    assert working.engine.manager.observer is None


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("how", ["failed", "over", "gone"])
def test_a_job_that_ends_otherwise_is_not_tried_again(working: Floor, how: str, again: bool) -> None:
    working.say('BEAT {"wid":"worker-1"}')
    if again:
        restart(working)
        assert beat(working) == {"cancel": [JID]}
    if how == "failed":
        working.say(f'FAIL {{"jid":"{JID}","errtype":"Cancelled","message":"as asked"}}')
    elif how == "over":
        working.engine.pass_time(1800)
    else:
        working.talk().leave()
        working.engine.pass_time(60)
    sizes = working.engine.sizes()
    assert (sizes["dead"], sizes["retries"], sizes["working"]) == (1, 0, 0)
    assert working.kept("cancel") == len(working.cancel) == 0
    assert working.engine.manager.observer is None


def test_a_job_with_retry_0_is_dropped_as_ever(floor: Floor) -> None:
    floor.engine.push(JID, retry=0)
    floor.fetch()
    ask(floor)
    floor.engine.fail(JID)
    assert sum(floor.engine.sizes().values()) == 0


def test_a_job_that_had_failed_before_is_not_tried_again(floor: Floor) -> None:
    floor.engine.push(JID)
    for _ in range(2):
        floor.fetch()
        floor.engine.fail(JID)
        floor.engine.mutate("requeue", "retries")
    floor.fetch()
    ask(floor)
    floor.engine.fail(JID)
    (row,) = floor.engine.rows(Place.DEAD)
    assert json.loads(row.failure)["retry_count"] == 2


def test_an_operator_may_have_it_tried_again_and_then_it_is_an_ordinary_job(working: Floor) -> None:
    working.engine.fail(JID)
    working.engine.mutate("requeue", "dead")
    working.fetch()
    assert beat(working) == "+OK"
    working.engine.fail(JID)
    assert working.engine.sizes()["retries"] == 1


def test_a_job_that_is_given_back_was_asked_nothing(floor: Floor) -> None:
    floor.engine.push(JID)
    reservation = floor.engine.reserve()
    assert reservation is not None
    assert floor.cancel.ask(reservation.job.id)
    floor.engine.manager.give_back(reservation)
    assert floor.kept("cancel") == len(floor.cancel) == 0
    floor.fetch()
    floor.engine.fail(JID)
    assert floor.engine.sizes()["retries"] == 1


def test_flush_forgets_requests(working: Floor) -> None:
    working.say("FLUSH")
    assert len(working.cancel) == 0
    assert working.engine.manager.observer is None
    assert beat(working) == "+OK"
    working.engine.upkeep()
    assert working.kept("cancel") == 0


def test_the_requests_of_a_crash_are_those_on_disk(floor: Floor) -> None:
    for number in range(3):
        floor.engine.push(f"job-000{number}")
        floor.fetch()
    ask(floor, "job-0000")
    ask(floor, "job-0001")
    floor.engine.commit()
    ask(floor, "job-0002")
    floor.engine.manager.ack("job-0001", "worker-1")
    floor.crash()
    assert beat(floor) == {"cancel": ["job-0000", "job-0001"]}


def test_many_thousand_jobs_can_be_asked_to_stop(floor: Floor) -> None:
    count = 10_000
    for number in range(count):
        floor.engine.push(f"job-{number:06}", now=NOON)
    while floor.engine.fetch() is not None:
        pass
    assert all(floor.cancel.ask(job_id) for job_id in range(1, count + 1))
    assert len(floor.cancel) == count
    for number in range(count):
        floor.engine.fail(f"job-{number:06}")
    assert (len(floor.cancel), floor.engine.sizes()["dead"]) == (0, count)
    assert floor.kept("cancel") == 0


def test_a_job_that_was_asked_to_stop_has_no_retries_remaining(working: Floor) -> None:
    working.say(f'FAIL {{"jid":"{JID}"}}')
    working.engine.mutate("requeue", "dead")
    assert working.fetch()["failure"]["remaining"] == 0
