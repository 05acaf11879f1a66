"""What a job may be, what is refused, and that a worker gets what the producer sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faktory_tw.core.job import (
    MAXIMUM_DEPTH,
    check,
    check_queue_name,
    complete,
    lease_seconds,
    parse_folded,
    parse_job,
    parse_jobs,
)
from faktory_tw.wire import CommandError
from tests.unit.doubles import NOON, Engine, job_json

JOB = b'{"jid":"12345678","jobtype":"Work","args":%b}'
LIKE_JOB = b'{"jid":"12345678","jobtype":"Work","args":[],%b}'


def kept(text: bytes) -> bytes:
    """The body that is kept of a pushed job."""
    payload = parse_job(text)
    check(payload)
    return complete(payload, NOON)


def kept_fields(**fields: Any) -> dict[str, Any]:
    body = json.loads(kept(job_json("12345678", **fields)))
    assert isinstance(body, dict)
    return body


def refusal(text: bytes) -> str:
    with pytest.raises(CommandError) as refused:
        kept(text)
    assert refused.value.code == "ERR"
    return str(refused.value)


# -- required fields and limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("jid", ['"1234567"', '""', "null", '"ééé"', '"\\u0041bcdefg"'])
def test_a_jid_of_fewer_than_eight_bytes_is_refused(jid: str) -> None:
    text = b'{"jid":%b,"jobtype":"Work","args":[]}' % jid.encode()
    assert refusal(text) == "jobs must have a reasonable jid parameter"


@pytest.mark.parametrize("jid", ["12345678", "éééé", "😀😀", "x" * 10_000])
def test_a_jid_of_eight_bytes_is_enough(jid: str) -> None:
    assert json.loads(kept(job_json(jid)))["jid"] == jid


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"jobtype":"Work","args":[]}', "jobs must have a reasonable jid parameter"),
        (b'{"jid":"12345678","args":[]}', "jobs must have a jobtype parameter"),
        (b'{"jid":"12345678","jobtype":"","args":[]}', "jobs must have a jobtype parameter"),
        (b'{"jid":"12345678","jobtype":null,"args":[]}', "jobs must have a jobtype parameter"),
        (b'{"jid":"12345678","jobtype":"Work"}', "jobs must have an args parameter"),
        (b'{"jid":"12345678","jobtype":"Work","args":null}', "jobs must have an args parameter"),
        (b'{"jid":"12345678","jobtype":"Work","args": null }', "jobs must have an args parameter"),
        (b"{}", "jobs must have a reasonable jid parameter"),
        (b"null", "jobs must have a reasonable jid parameter"),
    ],
)
def test_a_job_without_a_required_field_is_refused(text: bytes, told: str) -> None:
    assert refusal(text) == told


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"[]",
        b'"text"',
        b"17",
        b"{",
        b'{"jid":"12345678","jobtype":"Work","args":[]} x',
        b"{'jid':'12345678'}",
        JOB % b"{}",
        JOB % b'"text"',
        JOB % b"[1,]",
        JOB % b"[01]",
        JOB % b"[NaN]",
        JOB % b"[tru]",
        JOB % b"[1 2]",
        JOB % b'["\x01"]',
        JOB % b'["\t"]',
        JOB % b'["\r"]',
        JOB % b'["\\x"]',
        JOB % b'["\\ud800"]',
        LIKE_JOB % b'"custom":[]',
        LIKE_JOB % b'"custom":"text"',
        LIKE_JOB % b'"custom":1',
        LIKE_JOB % b'"priority":-1',
        LIKE_JOB % b'"priority":1.5',
        LIKE_JOB % b'"priority":1.0',
        LIKE_JOB % b'"priority":"5"',
        LIKE_JOB % b'"priority":true',
        LIKE_JOB % b'"retry":"1"',
        LIKE_JOB % b'"retry":99999999999999999999',
        LIKE_JOB % b'"at":1763726400',
        LIKE_JOB % b'"queue":5',
        LIKE_JOB % b'"reserve_for":"60"',
        LIKE_JOB % b'"other":tru',
    ],
)
def test_what_is_no_job_is_refused_as_invalid_json(text: bytes) -> None:
    assert refusal(text).startswith("invalid JSON: ")


@pytest.mark.parametrize(
    "text",
    [
        JOB % b'["\xff"]',
        JOB % b'["\xed\xa0\x80"]',
        JOB % b'["\xc3"]',
        LIKE_JOB % b'"o\xffther":1',
        b'{"jid":"1234567\xff"}',
    ],
)
def test_bytes_that_are_not_utf_8_are_refused_wherever_they_stand(text: bytes) -> None:
    assert refusal(text).startswith("invalid JSON: ")


def test_a_reservation_of_more_than_a_day_is_refused() -> None:
    assert kept_fields(reserve_for=86_400)["reserve_for"] == 86_400
    assert refusal(job_json("12345678", reserve_for=86_401)) == "jobs cannot be reserved for more than one day"


def test_a_worker_holds_a_job_for_half_an_hour_or_what_it_asked_for_but_a_minute_at_least() -> None:
    asked = [0, 1, 59, 60, 61, 1800, 86_400, -5]
    assert [lease_seconds(seconds) for seconds in asked] == [1800, 60, 60, 60, 61, 1800, 86_400, 60]


@pytest.mark.parametrize("name", ["default", "a", "A.b_c-9", "retries", "dead", "-", "x" * 300])
def test_a_queue_may_be_named_with_letters_digits_dot_underscore_and_hyphen(name: str) -> None:
    check_queue_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "é", "a/b", "a:b", "*", "\u0661"])
def test_any_other_queue_name_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="queue names must match"):
        check_queue_name(name)


# -- nesting -------------------------------------------------------------------------------------------------------


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    """A job whose brackets nest ``depth`` deep: the job itself is one, its args another."""
    inner = opening * (depth - 2) + "1" + closing * (depth - 2)
    return JOB % f"[{inner}]".encode()


def test_brackets_may_nest_as_deep_as_the_limit_and_no_deeper() -> None:
    assert kept(nested(MAXIMUM_DEPTH)).count(b"[") == MAXIMUM_DEPTH - 1
    assert refusal(nested(MAXIMUM_DEPTH + 1)) == "invalid JSON: nested more than 512 deep"
    assert kept(nested(MAXIMUM_DEPTH, '{"a":', "}"))
    assert refusal(nested(MAXIMUM_DEPTH + 1, '{"a":', "}")) == "invalid JSON: nested more than 512 deep"
    assert refusal(nested(1_000_000)) == "invalid JSON: nested more than 512 deep"


def test_brackets_beside_each_other_or_in_strings_are_no_nesting() -> None:
    assert kept(JOB % (b"[" + b"[],{}," * 2000 + b"[]]"))
    assert kept(JOB % (b'["' + b"[{" * 2000 + b'"]'))
    assert kept(JOB % (b'["\\"' + b"[{" * 2000 + b'\\\\"]'))


@pytest.mark.parametrize("string", [rb"\\", rb"\\\\", rb"\"", rb"\\\"", rb"\"\\", rb"\\\u0022[", rb"]\n\"[{", b""])
def test_brackets_nest_no_deeper_for_the_escapes_in_strings_beside_them(string: bytes) -> None:
    def among(depth: int) -> bytes:
        opening = b'["%b",' % string
        return JOB % (opening * (depth - 1) + b'"%b"' % string + b"]" * (depth - 1))

    assert kept(among(MAXIMUM_DEPTH))
    assert refusal(among(MAXIMUM_DEPTH + 1)) == "invalid JSON: nested more than 512 deep"


@pytest.mark.parametrize(
    "text", [b'["' * 1000, b'["' + b"[" * 100_000, b'{"jid":"' + b'\\"[' * 100_000, b"[" * 100_000]
)
def test_depth_is_measured_of_valid_json_only(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was quadratic for strings without an end."""
    measured: list[bytes] = []
    monkeypatch.setattr("faktory_tw.core.job._depth", measured.append)
    for wrong in (text, LIKE_JOB[:-3] % () + b'"args":' + text):
        assert refusal(wrong).startswith("invalid JSON: ")
    assert not measured


def test_what_is_too_deep_for_the_decoder_is_said_to_be_nested_too_deep() -> None:
    deep = b"[" * 1_000_000 + b"]" * 1_000_000
    for text in (JOB % deep, LIKE_JOB % (b'"other":%b' % deep), LIKE_JOB % (b'"custom":{"a": %b}' % deep)):
        assert refusal(text) == "invalid JSON: nested more than 512 deep"
    with pytest.raises(CommandError, match="nested more than 512 deep"):
        list(parse_jobs(deep))


def test_nesting_is_counted_in_every_field() -> None:
    deep = b"[" * 600 + b"]" * 600
    assert "nested" in refusal(LIKE_JOB % (b'"custom":{"a":%b}' % deep))
    assert "nested" in refusal(LIKE_JOB % (b'"other":%b' % deep))


# -- keys and nulls ------------------------------------------------------------------------------------------------


def test_keys_may_be_spelled_in_any_case() -> None:
    body = kept(b'{"JID":"12345678","JobType":"Work","ARGS":[1],"Reserve_For":70,"pRiOrItY":3}')
    assert json.loads(body) == {
        "retry": 25,
        "jid": "12345678",
        "jobtype": "Work",
        "created_at": "2025-11-21T12:00:00.000000Z",
        "args": [1],
        "reserve_for": 70,
        "priority": 3,
    }


def test_the_last_of_several_keys_of_one_name_counts() -> None:
    assert json.loads(kept(LIKE_JOB % b'"jid":"abcdefgh"'))["jid"] == "abcdefgh"
    assert json.loads(kept(LIKE_JOB % b'"JID":"abcdefgh"'))["jid"] == "abcdefgh"


def test_unknown_keys_are_dropped() -> None:
    assert kept(LIKE_JOB % b'"other":{"a":[1]},"enqueued_at":"x","jids":"y"') == kept(JOB % b"[]")


def test_null_is_absent_in_every_field() -> None:
    names = b'"queue" "at" "created_at" "retry" "reserve_for" "backtrace" "custom" "priority" "failure"'.split()
    nulls = b",".join(b"%b:null" % name for name in names)
    assert kept(LIKE_JOB % nulls) == kept(JOB % b"[]")
    assert kept(LIKE_JOB % nulls.replace(b":null", b": null")) == kept(JOB % b"[]")


def test_a_folded_object_takes_any_case_and_drops_the_rest() -> None:
    payload = parse_folded(b'{"JID":"12345678","Other":1}', type(parse_job(b"{}")))
    assert payload.jid == "12345678"
    assert parse_folded(b" null ", type(payload)) == parse_job(b"{}")
    for text in (b"[]", b"", b'{"jid":1}', b"\xff", b'{"jid":"\xff"}', b"[" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            parse_folded(text, type(payload))


# -- what is kept --------------------------------------------------------------------------------------------------


def test_nothing_is_added_but_retry_and_created_at() -> None:
    assert kept(JOB % b"[]") == (
        b'{"retry":25,"jid":"12345678","jobtype":"Work","created_at":"2025-11-21T12:00:00.000000Z","args":[]}'
    )


def test_every_field_of_a_full_job_is_kept_as_it_was_pushed() -> None:
    job = {
        "jid": "12345678",
        "jobtype": "Work",
        "args": [1, {"a": None}],
        "queue": "bulk",
        "priority": 200,
        "created_at": "yesterday, about noon",
        "at": "2020-01-01T00:00:00+02:00",
        "reserve_for": 7,
        "retry": 0,
        "backtrace": 3,
        "custom": {"track": 1, "_bid": "b-1"},
    }
    assert json.loads(kept(json.dumps(job).encode())) == job


def test_what_means_nothing_is_left_out() -> None:
    empty = b'"at":"","created_at":"","reserve_for":0,"backtrace":0,"custom":{},"failure":null'
    assert kept(LIKE_JOB % empty) == kept(JOB % b"[]")


@pytest.mark.parametrize("retry", [-1, 0, 1, 25, 2**63 - 1])
def test_retry_is_kept_and_25_when_it_is_absent(retry: int) -> None:
    assert kept_fields(retry=retry)["retry"] == retry
    assert kept_fields()["retry"] == 25


@pytest.mark.parametrize(
    "args",
    [
        b"[123456789012345678901234567890]",
        b"[1.0,1.00,1e5,1E+5,-0.0,-0,0.1000,1e400,12345678901234567.89]",
        rb'["\u00e9\u2028\/\"\\\n","<>&","\u0000","\ud83d\ude00"]',
        '["é","\u2028","😀"]'.encode(),
        b'[{"b":1,"a":2,"a":3}]',
        b"[[],{},[[]],null,true,false]",
        b'["a b  c"]',
        b'["  ",{"a b":1.50}]',
    ],
)
def test_args_and_custom_come_back_byte_for_byte(args: bytes) -> None:
    body = kept(b'{"jid":"12345678","jobtype":"Work","args":%b,"custom":{"x":%b}}' % (args, args))
    assert b'"args":%b' % args in body
    assert b'"custom":{"x":%b}' % args in body


def test_white_space_between_the_tokens_is_taken_out() -> None:
    text = (
        b'{ "jid" : "12345678",\t"jobtype" : "Work" , "args" : [ 1.0 , { "a b" : [ ] } ] , "custom" : { "k" :\t1 } } '
    )
    body = kept(text)
    assert b'"args":[1.0,{"a b":[]}]' in body
    assert b'"custom":{"k":1}' in body


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(args=st.lists(_VALUES, max_size=4), spaced=st.booleans(), ascii_only=st.booleans())
@example(args=["\x7f\x80 "], spaced=True, ascii_only=False)
def test_any_args_come_back_as_the_compact_json_of_them(args: list[Any], spaced: bool, ascii_only: bool) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    text = json.dumps(args, separators=separators, ensure_ascii=ascii_only)
    compact = json.dumps(args, separators=(",", ":"), ensure_ascii=ascii_only)
    assert kept(JOB % text.encode()).endswith(b',"args":%b}' % compact.encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b'{"jid":"12345678","jobtype":"Work","args":[]}')
def test_no_bytes_do_more_than_be_refused(text: bytes) -> None:
    for candidate in (text, LIKE_JOB % text, JOB % text):
        try:
            body = kept(candidate)
        except CommandError:
            continue
        assert isinstance(json.loads(body), dict)
        assert b"\n" not in body
        assert b"\r" not in body


# -- several at once -----------------------------------------------------------------------------------------------


def test_several_jobs_are_parsed_one_by_one() -> None:
    jobs = parse_jobs(b"[%b, %b ,null]" % (job_json("12345678"), job_json("abcdefgh")))
    assert [payload.jid for payload in jobs] == ["12345678", "abcdefgh", None]
    assert list(parse_jobs(b"[]")) == []
    assert list(parse_jobs(b"null")) == []


@pytest.mark.parametrize("text", [b"", b"{}", b'"x"', b"[", b"[1", b"[{}]]", b"[" * 100_000])
def test_what_is_no_array_of_jobs_is_refused_at_once(text: bytes) -> None:
    with pytest.raises(CommandError, match=r"^invalid JSON: "):
        parse_jobs(text)


@pytest.mark.parametrize("text", [b"[1]", b'["x"]', b"[{},[]]", b'[{"jid":1}]', b'[{"jid":"\xff"}]'])
def test_a_member_that_is_no_job_is_refused_when_its_turn_comes(text: bytes) -> None:
    jobs = parse_jobs(text)
    with pytest.raises(CommandError, match=r"^invalid JSON: "):
        list(jobs)


# -- what a worker gets --------------------------------------------------------------------------------------------


def test_a_worker_gets_what_was_pushed_and_when_it_was_enqueued(engine: Engine) -> None:
    pushed = {"jid": "12345678", "jobtype": "Work", "args": [1.5], "queue": "bulk", "retry": 3, "custom": {"a": 1}}
    engine.manager.push(parse_job(json.dumps(pushed).encode()))
    assert engine.fetch("bulk") == {
        **pushed,
        "created_at": "2025-11-21T12:00:00.000000Z",
        "enqueued_at": "2025-11-21T12:00:00.000000Z",
    }


def test_a_job_without_a_queue_says_that_it_was_in_the_default_one(engine: Engine) -> None:
    engine.push("12345678")
    job = engine.fetch("default")
    assert job is not None
    assert job["queue"] == "default"
    assert "priority" not in job


@pytest.mark.parametrize("priority", [0, 1, 5, 9, 10, 255, 70_000])
def test_the_priority_comes_back_as_it_was_pushed(engine: Engine, priority: int) -> None:
    engine.push("12345678", priority=priority)
    engine.restart()
    job = engine.fetch("default")
    assert job is not None
    assert job["priority"] == priority


def test_a_failure_that_came_with_the_push_is_kept_with_what_clients_rely_on(engine: Engine) -> None:
    engine.push("12345678", failure={"retry_count": 2, "message": "before", "other": 1})
    engine.push("abcdefgh", failure={"retry_count": 4, "remaining": 1, "failed_at": "then"}, at="2025-11-21T13:00:00Z")
    engine.restart()
    engine.pass_time(3600)
    failures = [job["failure"] for job in (engine.fetch(), engine.fetch()) if job is not None]
    assert failures == [
        {"failed_at": "", "message": "before", "retry_count": 2, "remaining": 0},
        {"failed_at": "then", "retry_count": 4, "remaining": 1},
    ]


@pytest.mark.parametrize("failure", [b"[]", b"1", b'"x"', b'{"retry_count":"2"}', b'{"message":5}'])
def test_a_failure_that_is_none_is_refused_and_nothing_is_kept(engine: Engine, failure: bytes) -> None:
    with pytest.raises(CommandError, match=r"^invalid JSON: "):
        engine.manager.push(parse_job(LIKE_JOB % (b'"failure":%b' % failure)))
    assert engine.sizes()["queued"] == 0
