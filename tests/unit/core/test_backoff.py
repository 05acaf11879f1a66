"""How long a failed job waits when its producer or its worker says how long."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec import Raw

from faktory_tw.core.backoff import LONGEST_DELAY, MOST_DELAYS, Backoff, backoff_seconds, time_of_retry
from faktory_tw.core.marks import Marks, kept_marks, pushed_marks
from faktory_tw.core.retry import FailureReport
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import NOON, Dice, Engine
from tests.unit.house import EPOCH, House, job
from tests.unit.test_session import bulk, info

YEAR = 365 * 86_400


def seconds(backoff: Any, *counts: int, dice: int = 0) -> list[float]:
    """What a job with this ``custom.backoff`` waits, by the number of retries before."""
    marks = pushed_marks(Raw(json.dumps({"backoff": backoff}).encode()))
    assert marks is not None
    return [backoff_seconds(marks.backoff, count, Dice(dice)) for count in counts]


def fail(engine: Engine, **said: Any) -> float:
    """Let the next job fail; the seconds until it is tried again, of which its record says the same."""
    job = engine.fetch()
    assert job is not None
    engine.fail(job["jid"], **said)
    [row] = engine.rows(Place.RETRIES)
    assert row.at is not None
    assert json.loads(row.failure)["next_at"] == rfc3339(row.at)
    return row.at - engine.clock.time()


def later(at: float) -> FailureReport:
    """What a worker says that wants its job to be tried again then."""
    return FailureReport("RuntimeError", "try later", None, at)


# -- the producer's wish -------------------------------------------------------------------------------------------


def test_constant_is_the_base_each_time() -> None:
    assert seconds({"type": "constant", "base": 2.5}, 0, 1, 7, 10**9) == [2.5] * 4


def test_linear_grows_by_the_base() -> None:
    assert seconds({"type": "linear", "base": 10}, 0, 1, 2, 9) == [10, 20, 30, 100]


def test_exponential_doubles() -> None:
    assert seconds({"type": "exponential", "base": 3}, 0, 1, 2, 10) == [3, 6, 12, 3072]


@pytest.mark.parametrize("kind", ["linear", "exponential"])
def test_a_cap_limits_and_without_one_it_is_a_year(kind: str) -> None:
    assert seconds({"type": kind, "base": 3, "cap": 5}, 0, 1, 2, 2**31) == [3, 5, 5, 5]
    assert seconds({"type": kind, "base": 3}, 2**31) == [YEAR]
    assert seconds({"type": kind, "base": 0}, 0, 2**31) == [0, 0]


def test_a_list_says_the_seconds_one_by_one_and_the_last_counts_for_the_rest() -> None:
    assert seconds([10, 60, 300], 0, 1, 2, 3, 2**31) == [10, 60, 300, 300, 300]
    assert seconds([0.5], 0, 1) == [0.5, 0.5]


def test_jitter_takes_off_a_part_that_is_drawn_each_time() -> None:
    wish = {"type": "constant", "base": 100, "jitter": 0.2}
    assert [seconds(wish, 0, dice=number) for number in (0, 500, 1000)] == [[100], [90], [80]]
    dice = Dice(1000)
    assert backoff_seconds(Backoff("constant", 100, jitter=1), 0, dice) == 0
    assert dice.asked == [1001]


def test_who_wants_no_jitter_is_drawn_no_number() -> None:
    dice = Dice(5)
    backoff_seconds(Backoff("linear", 10), 3, dice)
    backoff_seconds([1.0], 3, dice)
    assert dice.asked == []


@given(
    kind=some.sampled_from(["constant", "linear", "exponential"]),
    base=some.floats(0, LONGEST_DELAY),
    cap=some.none() | some.floats(0, LONGEST_DELAY),
    jitter=some.none() | some.floats(0, 1),
    count=some.integers(0, 2**31),
    dice=some.integers(0, 1000),
)
def test_no_wish_waits_for_less_than_nothing_or_more_than_its_cap(
    kind: Any, base: float, cap: float | None, jitter: float | None, count: int, dice: int
) -> None:
    waits = backoff_seconds(Backoff(kind, base, cap, jitter), count, Dice(dice))
    assert 0 <= waits <= (LONGEST_DELAY if cap is None else cap)


def test_a_failed_job_is_tried_again_as_its_producer_wished_also_after_a_restart(engine: Engine) -> None:
    engine.push(custom={"backoff": [7, 70]}, retry=3)
    assert fail(engine) == 7
    engine.restart()
    engine.pass_time(6)
    assert engine.sizes()["queued"] == 0
    engine.pass_time(1)
    assert fail(engine) == 70
    engine.pass_time(70)
    engine.fetch()
    engine.restart()  # its worker is lost with the reservation
    engine.pass_time(1800)
    [row] = engine.rows(Place.RETRIES)
    assert row.at == engine.clock.time() + 70


def test_a_wish_does_not_change_how_often_a_job_is_tried(engine: Engine) -> None:
    engine.push(custom={"backoff": {"type": "constant", "base": 0}}, retry=1)
    assert fail(engine) == 0
    engine.upkeep()
    engine.fail(engine.fetch()["jid"])  # type: ignore[index]
    assert engine.sizes()["dead"] == 1


def test_other_jobs_keep_the_formula(engine: Engine) -> None:
    engine.push(custom={"backoff": None, "track": 0})
    assert fail(engine) == 15


@pytest.mark.parametrize(
    "wish",
    [
        "10",
        '"constant"',
        "true",
        "{}",
        '{"type":"constant"}',
        '{"base":1}',
        '{"type":"Constant","base":1}',
        '{"type":"constant","base":-1}',
        '{"type":"constant","base":"1"}',
        '{"type":"constant","base":1e400}',
        f'{{"type":"constant","base":{YEAR + 1}}}',
        '{"type":"constant","base":1,"cap":-1}',
        '{"type":"constant","base":1,"jitter":1.1}',
        '{"type":"constant","base":1,"jitter":-0.1}',
        '{"type":"constant","base":1,"maximum":5}',
        "[]",
        "[-1]",
        "[null]",
        '["10"]',
        "[[1]]",
        f"[{'1,' * MOST_DELAYS}1]",
        "[" * 400 + "]" * 400,
        f"[{'9' * 1_000_000}]",
    ],
    ids=lambda wish: wish[:40],
)
def test_a_wish_that_cannot_be_meant_so_is_refused_with_what_to_give_and_passed_over_in_an_old_job(wish: str) -> None:
    custom = Raw(f'{{"backoff":{wish},"expires_in":5}}'.encode())
    said = r"^custom\.backoff must be an object such as .* or a list such as \[10,60,300\] of 100 at most; in seconds"
    with pytest.raises(CommandError, match=said) as refusal:
        pushed_marks(custom)
    assert len(str(refusal.value)) < 400
    assert kept_marks(custom) == Marks(expires_in=5)


# -- the worker's wish ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "at"),
    [
        (b"", None),
        (b"null", None),
        (b"0", NOON),
        (b"-0.0", NOON),
        (b"90.5", NOON + 90.5),
        (b"31536000", NOON + YEAR),
        (b'"2025-11-21T12:01:00Z"', NOON + 60),
        (b'"2025-11-21T13:01:00.5+01:00"', NOON + 60.5),
        (b'"2001-01-01T00:00:00Z"', NOON),
        (b'"2026-11-21T12:00:00Z"', NOON + YEAR),
    ],
)
def test_a_worker_gives_seconds_or_a_time_and_the_past_is_now(after: bytes, at: float | None) -> None:
    assert time_of_retry(Raw(after), NOON) == at


BAD = (
    "-1",
    "-0.001",
    "31536000.001",
    "1e400",
    "9" * 5000,
    "true",
    "[60]",
    "{}",
    '"60"',
    '""',
    '"soon"',
    '"2025-11-21"',
    '"9999-12-31T23:59:59Z"',
    '"2025-02-30T00:00:00Z"',
)


@pytest.mark.parametrize("after", [*BAD, '"2026-11-21T12:00:01Z"'], ids=lambda after: after[:20])
def test_what_is_neither_is_refused_with_what_to_give(after: str) -> None:
    said = "^retry_after must be a number of seconds from 0 to 31536000, or a time within them such as"
    with pytest.raises(CommandError, match=said):
        time_of_retry(Raw(after.encode()), NOON)


@pytest.mark.parametrize("after", BAD, ids=lambda after: after[:20])
def test_after_a_bad_retry_after_the_job_is_still_reserved_and_can_fail(house: House, after: str) -> None:
    talk = house.talk()
    talk.say(b"PUSH " + job(1))
    jid = bulk(talk.say(b"FETCH default"))["jid"]
    reply = talk.say(f'FAIL {{"jid":"{jid}","retry_after":{after}}}'.encode())
    assert (reply or b"").startswith(b"-ERR retry_after must be ")
    assert info(house)["faktory"]["sets"]["working"] == 1
    assert info(house)["faktory"]["total_failures"] == 0
    assert talk.say(f'FAIL {{"jid":"{jid}","Retry_After":60}}'.encode()) == b"+OK\r\n"
    [(at, _)] = house.manager.walk(Place.RETRIES, None, 10)
    assert at == EPOCH + 60


def test_the_worker_wins_over_the_producer_once(engine: Engine) -> None:
    engine.push(custom={"backoff": [7]})
    job = engine.fetch()
    assert job is not None
    report = later(engine.clock.time() + 33)
    engine.manager.fail(job["jid"], "", report)
    [row] = engine.rows(Place.RETRIES)
    assert row.at == engine.clock.time() + 33
    assert json.loads(row.failure)["next_at"] == rfc3339(row.at)
    engine.pass_time(33)
    assert fail(engine) == 7


@pytest.mark.parametrize(("retry", "place"), [(1, "dead"), (0, "none"), (-1, "dead")])
def test_a_retry_after_gives_no_job_another_try(engine: Engine, retry: int, place: str) -> None:
    engine.push(retry=retry)
    for _ in range(2 if retry == 1 else 1):
        job = engine.fetch()
        assert job is not None
        engine.manager.fail(job["jid"], "", later(engine.clock.time()))
        engine.upkeep()
    assert engine.sizes()["dead"] == (place == "dead")
    assert engine.sizes()["retries"] == engine.sizes()["queued"] == 0
