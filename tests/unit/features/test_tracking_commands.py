"""TRACK SET, TRACK GET, and an ACK with a result: what is taken, what is refused, and what clients read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faktory_tw.core.job import MAXIMUM_DEPTH, parse_job
from faktory_tw.features.tracking import MAXIMUM_DESC, MAXIMUM_JID
from faktory_tw.times import rfc3339
from faktory_tw.wire import Held
from tests.unit.doubles import DAY, HOUR, NOON, job_json
from tests.unit.features.floor import Floor

TRACKED = {"track": 1}
JID = "job-0001"
DEEP = "[" * (MAXIMUM_DEPTH + 1) + "]" * (MAXIMUM_DEPTH + 1)


@pytest.fixture
def working(floor: Floor) -> Floor:
    """A server with a tracked job that a worker has."""
    floor.engine.push(JID, custom=TRACKED)
    floor.fetch()
    return floor


def told(floor: Floor, jid: str = JID) -> dict[str, Any]:
    """What TRACK GET says of a job."""
    answer = floor.say(f"TRACK GET {jid}")
    assert isinstance(answer, dict)
    return answer


# -- TRACK GET ---------------------------------------------------------------------------------------------------------


def test_nothing_is_told_that_was_never_set(working: Floor) -> None:
    assert told(working) == {"jid": JID, "state": "working", "updated_at": rfc3339(NOON)}


def test_everything_is_told_that_was_set(working: Floor) -> None:
    working.clock.advance(1)
    working.set(JID, percent=0, desc="thinking…", result={"b": [1, 1e300, None], "a": "é"})
    assert told(working) == {
        "jid": JID,
        "percent": 0,
        "desc": "thinking…",
        "state": "working",
        "updated_at": rfc3339(NOON + 1),
        "result": {"b": [1, 1e300, None], "a": "é"},
    }


@pytest.mark.parametrize(
    "line",
    ["TRACK GET job-0001 ", "TRACK GET  job-0001", 'TRACK GET {"jid":"job-0001"}', 'track get {"JID":"job-0001"}'],
)
def test_get_is_read_generously(working: Floor, line: str) -> None:
    line = line.replace("track", "TRACK")
    assert working.say(line)["state"] == "working"


def test_an_answer_waits_for_no_disk(working: Floor) -> None:
    assert not isinstance(working.talk().say(b"TRACK GET job-0001"), Held)


@pytest.mark.parametrize("jid", ["nobody", "ünknown", "two words", "\\u0000"])
def test_unknown_is_what_rust_expects(floor: Floor, jid: str) -> None:
    reply = floor.talk().say(f"TRACK GET {jid}".encode())
    body = json.dumps({"jid": jid, "state": "unknown", "updated_at": ""}, ensure_ascii=False, separators=(",", ":"))
    assert reply == b"$%d\r\n%b\r\n" % (len(body.encode()), body.encode())


@pytest.mark.parametrize(
    "line",
    [
        "TRACK",
        "TRACK ",
        "TRACK GET",
        "TRACK GET ",
        'TRACK GET {"jid":""}',
        'TRACK GET {"jid":1}',
        "TRACK GET {",
        "TRACK PUT x",
        "TRACK SET",
        "TRACK SET {}",
        "TRACK SET null",
        "TRACK SET 1",
    ],
)
def test_what_is_no_command_is_refused(working: Floor, line: str) -> None:
    assert working.refused(line)


# -- TRACK SET ---------------------------------------------------------------------------------------------------------


def test_what_is_absent_or_null_stays(working: Floor) -> None:
    working.set(JID, percent=10, desc="a", result=[1])
    working.set(JID, desc=None, percent=None, result=None, reserve_until=None)
    working.set(JID)
    assert (told(working)["percent"], told(working)["desc"], told(working)["result"]) == (10, "a", [1])
    working.set(JID, desc="", percent=9, result=0)
    assert (told(working)["percent"], told(working).get("desc"), told(working)["result"]) == (9, None, 0)


def test_names_may_be_spelled_in_any_case_and_unknown_ones_are_dropped(working: Floor) -> None:
    assert working.say(f'TRACK SET {{"JID":"{JID}","Percent":3,"reserveUntil":"x","DESC":"d"}}') == "+OK"
    assert (told(working)["percent"], told(working)["desc"]) == (3, "d")


def test_a_job_can_be_told_of_before_it_is_fetched_and_after_it_ended(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED)
    floor.set(JID, desc="in line")
    floor.fetch()
    floor.say(f'ACK {{"jid":"{JID}"}}')
    floor.set(JID, percent=100)
    assert (told(floor)["state"], told(floor)["percent"], told(floor)["desc"]) == ("success", 100, "in line")


@pytest.mark.parametrize(
    "percent", ["-1", "101", "1.5", '"1"', "true", "[]", "1e400", "NaN", str(10**400), "-" + "9" * 5000]
)
def test_a_percentage_that_is_none_is_refused(working: Floor, percent: str) -> None:
    assert "percent" in working.refused(f'TRACK SET {{"jid":"{JID}","desc":"x","percent":{percent}}}')


@pytest.mark.parametrize(
    "said", ['"desc":1', '"desc":["x"]', '"reserve_until":1', '"jid":5', '"result":[', '"desc":"\\ud800"']
)
def test_members_of_a_wrong_type_are_refused(working: Floor, said: str) -> None:
    assert "invalid TRACK SET" in working.refused(f'TRACK SET {{"jid":"{JID}",{said}}}')


def test_a_long_description_is_cut(working: Floor) -> None:
    working.set(JID, desc="ä" * 1_000_000)
    assert told(working)["desc"] == "ä" * MAXIMUM_DESC


def test_a_description_stays_on_one_line_of_the_reply(working: Floor) -> None:
    working.set(JID, desc='"\r\n\0')
    assert told(working)["desc"] == '"\r\n\0'


def test_a_job_of_which_nothing_is_known_cannot_be_set(floor: Floor) -> None:
    floor.engine.push("job-0002")
    for jid in ("job-0002", "nobody-1", "x" * 100_000):
        refusal = floor.refused(f'TRACK SET {{"jid":"{jid}","percent":1}}')
        assert "nothing is known of a job" in refusal
        assert len(refusal) < 500


def test_a_very_long_jid_cannot_be_tracked(floor: Floor) -> None:
    jid = "x" * (MAXIMUM_JID + 1)
    push = json.dumps({"jid": jid, "jobtype": "a", "args": [], "custom": TRACKED})
    assert "255 characters" in floor.refused(f"PUSH {push}")
    floor.engine.push(jid)
    floor.fetch()
    assert "255 characters" in floor.refused(f'TRACK SET {{"jid":"{jid}"}}')
    assert "255 characters" in floor.refused(f'ACK {{"jid":"{jid}","result":1}}')
    assert floor.engine.sizes()["working"] == 1


def test_a_job_that_the_server_owes_is_not_refused_and_not_tracked(floor: Floor) -> None:
    jid = "x" * (MAXIMUM_JID + 1)
    floor.engine.manager.push(parse_job(job_json(jid, custom=TRACKED)), own=True)
    floor.fetch()
    floor.engine.fail(jid)
    assert len(floor.tracking) == 0


# -- reserve_until -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("custom", [None, TRACKED])
@pytest.mark.parametrize("restart", [False, True])
def test_a_reservation_is_extended(floor: Floor, custom: dict[str, object] | None, restart: bool) -> None:
    floor.engine.push(JID, custom=custom)
    floor.fetch()
    floor.set(JID, reserve_until=rfc3339(NOON + 2 * HOUR))
    if restart:
        floor.restart()
    floor.engine.pass_time(2 * HOUR - 1)
    assert floor.engine.sizes()["working"] == 1
    floor.engine.pass_time(1)
    assert floor.engine.sizes()["retries"] == 1
    assert floor.state(JID) == "failed"


def test_a_reservation_that_was_extended_while_the_clock_was_wrong_ends_within_a_day_of_a_restart(floor: Floor) -> None:
    floor.engine.push(JID)
    floor.fetch()
    floor.clock.step_wall(30 * DAY)
    floor.set(JID, reserve_until=rfc3339(NOON + 30 * DAY + HOUR))
    floor.clock.step_wall(-30 * DAY)
    floor.restart()
    floor.engine.pass_time(DAY - 1)
    assert floor.engine.sizes()["working"] == 1
    floor.engine.pass_time(1)
    assert floor.engine.sizes()["retries"] == 1


@pytest.mark.parametrize("until", [NOON - DAY, NOON, NOON + 1799])
def test_a_reservation_is_never_shortened(working: Floor, until: float) -> None:
    working.set(JID, reserve_until=rfc3339(until))
    working.engine.pass_time(1799)
    assert working.engine.sizes()["working"] == 1


@pytest.mark.parametrize(
    "until", ["tomorrow", "", "2025-13-01T00:00:00Z", "9999-12-31T23:59:59Z", rfc3339(NOON + DAY + 1), "x" * 100_000]
)
def test_a_time_that_is_none_or_too_far_is_refused(working: Floor, until: str) -> None:
    refusal = working.refused(f'TRACK SET {{"jid":"{JID}","percent":1,"reserve_until":"{until}"}}')
    assert refusal.startswith("reserve_until must")
    assert len(refusal) < 500
    assert "percent" not in told(working)


def test_the_farthest_that_can_be_asked_for_is_a_day(working: Floor) -> None:
    working.set(JID, reserve_until=rfc3339(NOON + DAY))
    working.engine.pass_time(DAY - 1)
    assert working.engine.sizes()["working"] == 1


def test_a_job_that_nobody_has_cannot_be_reserved_longer(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED)
    refusal = floor.refused(f'TRACK SET {{"jid":"{JID}","reserve_until":"{rfc3339(NOON + 60)}"}}')
    assert "no reservation" in refusal


def test_of_two_jobs_with_one_jid_a_worker_extends_its_own(floor: Floor) -> None:
    for wid in ("worker-1", "worker-2"):
        floor.engine.push(JID)
        floor.fetch(wid)
    floor.set(JID, "worker-2", reserve_until=rfc3339(NOON + 2 * HOUR))
    floor.engine.pass_time(1800)
    assert [each.wid for each in floor.engine.manager.reservations()] == ["worker-2"]


# -- results -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("custom", [None, TRACKED])
@pytest.mark.parametrize("restart", [False, True])
def test_a_job_leaves_a_result(floor: Floor, custom: dict[str, object] | None, restart: bool) -> None:
    floor.engine.push(JID, custom=custom)
    floor.fetch()
    reply = floor.talk().say(f'ACK {{"jid":"{JID}", "result": {{"n": [1.50, 123456789012345678901]}} }}'.encode())
    assert reply == b"+OK\r\n"
    assert isinstance(reply, Held)
    if restart:
        floor.restart()
    reply = floor.talk().say(b"TRACK GET job-0001")
    assert reply is not None
    assert b'"result":{"n":[1.50,123456789012345678901]}' in reply
    assert told(floor)["state"] == "success"
    assert floor.engine.sizes()["working"] == 0


@pytest.mark.parametrize("line", ['ACK {"jid":"job-0001","result":null}', 'ACK {"jid":"job-0001"}'])
def test_null_is_no_result(floor: Floor, line: str) -> None:
    floor.engine.push(JID)
    floor.fetch()
    assert floor.say(line) == "+OK"
    assert told(floor)["state"] == "unknown"
    assert floor.engine.sizes()["working"] == 0


def test_the_result_of_a_job_that_nobody_has_is_dropped(floor: Floor) -> None:
    assert floor.say('ACK {"jid":"nobody-1","result":1}') == "+OK"
    assert floor.say(f'ACK {{"jid":"{JID}","result":"{"x" * 70_000}"}}').startswith("-ERR a result")
    assert len(floor.tracking) == 0


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ('"' + "x" * 65_535 + '"', "65536 bytes"),
        (DEEP, "nested"),
        ("[" * 100_000, "invalid"),
        ("nothing", "invalid"),
        ('"\\ud8"', "invalid"),
    ],
)
@pytest.mark.parametrize("verb", ["ACK", "TRACK SET"])
def test_a_result_that_cannot_be_kept_is_refused_and_nothing_changes(
    working: Floor, verb: str, result: str, why: str
) -> None:
    refusal = working.refused(f'{verb} {{"jid":"{JID}","result":{result}}}')
    assert why in refusal
    assert len(refusal) < 2000
    assert told(working)["state"] == "working"
    assert working.engine.sizes()["working"] == 1


@pytest.mark.parametrize("verb", [b"ACK", b"TRACK SET"])
def test_a_result_that_is_no_text_is_refused(working: Floor, verb: bytes) -> None:
    reply = working.talk().say(verb + b' {"jid":"job-0001","result":"\xff"}')
    assert reply is not None
    assert reply.startswith(b"-ERR invalid")
    assert working.engine.sizes()["working"] == 1


def test_a_result_of_the_greatest_length_is_kept(working: Floor) -> None:
    result = "x" * 65_534
    assert working.say(f'ACK {{"jid":"{JID}","result":  "{result}" }}') == "+OK"
    working.restart()
    assert told(working)["result"] == result


def test_a_result_may_be_as_deep_as_the_args_of_a_job(working: Floor) -> None:
    assert working.say(f'ACK {{"jid":"{JID}","result":{DEEP[1:-1]}}}') == "+OK"
    assert "result" in working.talk().say(b"TRACK GET job-0001").decode()  # type: ignore[union-attr]


def test_a_server_that_keeps_no_results_says_so(working: Floor) -> None:
    working.tracking._max_result_bytes = 0
    assert "keeps no results" in working.refused(f'ACK {{"jid":"{JID}","result":1}}')
    assert working.say(f'ACK {{"jid":"{JID}","result":null}}') == "+OK"


def test_fail_carries_no_result(working: Floor) -> None:
    working.say(f'FAIL {{"jid":"{JID}","errtype":"E","message":"m","result":1}}')
    assert "result" not in told(working)
