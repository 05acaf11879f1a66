"""What a failure leaves behind, when a job is tried again, and when it is given up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faktory_tw.core.backoff import default_seconds
from faktory_tw.core.retry import DEAD_SECONDS, next_failure
from faktory_tw.storage.store import Place
from faktory_tw.times import parse_rfc3339, rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import DAY, NOON, Dice, Engine, jid_of, report


def failed(engine: Engine, **said: Any) -> str:
    """Fetch a job and let it fail."""
    job = engine.fetch()
    assert job is not None
    engine.fail(job["jid"], **said)
    return str(job["jid"])


def record_of(before: bytes, retry: int, **said: Any) -> dict[str, Any]:
    record = json.loads(next_failure(before, retry, report(**said), NOON, Dice())[0])
    assert isinstance(record, dict)
    return record


# -- back-off ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 24])
@pytest.mark.parametrize("number", [0, 1, 29])
def test_the_back_off_is_the_documented_formula(count: int, number: int) -> None:
    dice = Dice(number)
    assert default_seconds(count, dice) == count**4 + 15 + number * (count + 1)
    assert dice.asked == [30]


def test_25_retries_span_three_weeks() -> None:
    seconds = sum(default_seconds(count, Dice(14)) for count in range(25))
    assert 20 * DAY < seconds < 22 * DAY


@pytest.mark.parametrize("number", [0, 7, 29])
def test_a_failed_job_is_tried_again_after_exactly_the_back_off(engine: Engine, number: int) -> None:
    engine.dice.number = number
    engine.push()
    for count in range(5):
        failed(engine)
        wait = count**4 + 15 + number * (count + 1)
        engine.pass_time(wait - 1)
        assert engine.sizes() == {"scheduled": 0, "queued": 0, "working": 0, "retries": 1, "dead": 0}
        engine.pass_time(1)
        assert engine.sizes() == {"scheduled": 0, "queued": 1, "working": 0, "retries": 0, "dead": 0}


def test_a_retried_job_goes_to_the_tail_of_its_own_priority(engine: Engine) -> None:
    first = engine.push(priority=7)
    failed(engine)
    low, same = engine.push(priority=1), engine.push(priority=7)
    engine.pass_time(15)
    after = engine.push(priority=7)
    assert engine.jids() == [same, first, after, low]


# -- how often -----------------------------------------------------------------------------------------------------


def test_retry_n_gives_n_retries_and_then_death(engine: Engine) -> None:
    engine.push(retry=2)
    for _ in range(3):
        assert engine.sizes()["dead"] == 0
        failed(engine)
        engine.pass_time(100)
    assert engine.sizes() == {"scheduled": 0, "queued": 0, "working": 0, "retries": 0, "dead": 1}


def test_a_job_without_retry_has_25(engine: Engine) -> None:
    engine.push()
    for _ in range(25):
        failed(engine)
        engine.pass_time(400_000)
    assert engine.sizes()["queued"] == 1
    failed(engine)
    assert engine.sizes() == {"scheduled": 0, "queued": 0, "working": 0, "retries": 0, "dead": 1}


def test_retry_0_is_dropped_at_its_first_failure(engine: Engine) -> None:
    engine.push(retry=0)
    engine.commit()
    failed(engine)
    assert set(engine.sizes().values()) == {0}
    engine.commit()
    assert engine.rows_on_disk("jobs") == engine.rows_on_disk("places") == 0


def test_retry_minus_1_is_dead_at_its_first_failure(engine: Engine) -> None:
    jid = engine.push(retry=-1)
    failed(engine)
    [row] = engine.rows(Place.DEAD)
    assert jid_of(row) == jid
    assert "next_at" not in json.loads(row.failure)


def test_retry_does_not_depend_on_a_restart_between_the_failures(engine: Engine) -> None:
    engine.push(retry=1)
    failed(engine)
    engine.restart()
    engine.pass_time(15)
    engine.restart()
    failed(engine)
    engine.restart()
    assert engine.sizes()["dead"] == 1


# -- the record ----------------------------------------------------------------------------------------------------


def test_the_worker_sees_the_failures_before(engine: Engine) -> None:
    engine.push(retry=2)
    failed(engine, errtype="IOError", message="no such file", backtrace=["a.py:1", "b.py:2"])
    engine.pass_time(15)
    job = engine.fetch()
    assert job is not None
    first = {
        "failed_at": rfc3339(NOON),
        "next_at": rfc3339(NOON + 15),
        "message": "no such file",
        "errtype": "IOError",
        "backtrace": ["a.py:1", "b.py:2"],
        "retry_count": 0,
        "remaining": 2,
    }
    assert job["failure"] == first
    engine.fail(job["jid"], errtype="OSError", message="still none")
    engine.pass_time(16)
    job = engine.fetch()
    assert job is not None
    again = {
        "next_at": rfc3339(NOON + 31),
        "message": "still none",
        "errtype": "OSError",
        "retry_count": 1,
        "remaining": 1,
    }
    del first["backtrace"]
    assert job["failure"] == {**first, **again}


def test_a_dead_job_keeps_the_time_of_its_last_retry_in_its_record() -> None:
    before, _ = next_failure(b"", 1, report(), NOON, Dice())
    record = json.loads(next_failure(before, 1, report("again"), NOON + 15, Dice())[0])
    assert record["next_at"] == rfc3339(NOON + 15)
    assert record["failed_at"] == rfc3339(NOON)
    assert record["message"] == "again"


def test_remaining_begins_with_retry_and_stops_at_zero() -> None:
    record, remaining = b"", []
    for _ in range(5):
        record, _ = next_failure(record, 3, report(), NOON, Dice())
        remaining.append(json.loads(record)["remaining"])
    assert remaining == [3, 2, 1, 0, 0]
    assert record_of(b"", -1)["remaining"] == -1


def test_retry_count_and_remaining_are_there_from_the_first_failure() -> None:
    record = record_of(b"", 5)
    assert (record["retry_count"], record["remaining"]) == (0, 5)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, "unknown"),
        ("", "unknown"),
        (" \t\n ", "unknown"),
        ("  spaced out \n", "spaced out"),
        ("x" * 100, "x" * 100),
        ("x" * 101, "x" * 100),
        (" " * 50 + "x" * 100, "x" * 100),
        ("é" * 50, "é" * 50),
        ("é" * 51, "é" * 50),
        ("x" + "é" * 50, "x" + "é" * 49),
        ("x" * 98 + "€", "x" * 98),
        ("x" * 97 + "€", "x" * 97 + "€"),
        ("x" * 97 + "😀", "x" * 97),
        ("x" * 96 + "😀", "x" * 96 + "😀"),
    ],
    ids=lambda text: f"{len(text.encode())} bytes" if text else "none",
)
def test_texts_are_trimmed_and_cut_between_characters_to_a_number_of_bytes(said: str | None, kept: str) -> None:
    assert record_of(b"", 5, errtype=said)["errtype"] == kept


@pytest.mark.parametrize(("said", "kept"), [(None, "unknown"), (" ", "unknown"), (" too  bad\n", "too  bad")])
def test_a_message_is_trimmed_and_never_empty(said: str | None, kept: str) -> None:
    assert record_of(b"", 5, message=said)["message"] == kept


def test_a_message_is_cut_to_1000_bytes_and_a_backtrace_to_50_lines() -> None:
    record = record_of(b"", 5, message="é" * 501, backtrace=[f"line {number}" for number in range(51)])
    assert record["message"] == "é" * 500
    assert record["backtrace"] == [f"line {number}" for number in range(50)]
    assert "backtrace" not in record_of(b"", 5, backtrace=[])
    assert "backtrace" not in record_of(b"", 5)


# -- dead jobs -----------------------------------------------------------------------------------------------------


def test_a_dead_job_is_kept_for_180_days(engine: Engine) -> None:
    assert DEAD_SECONDS == 180 * DAY
    engine.push(retry=-1)
    failed(engine)
    engine.restart()
    engine.pass_time(180 * DAY - 1)
    assert engine.sizes()["dead"] == 1
    engine.pass_time(1)
    assert engine.sizes()["dead"] == 0
    engine.commit()
    assert engine.rows_on_disk("jobs") == engine.rows_on_disk("places") == 0


# -- refusals and odd records --------------------------------------------------------------------------------------


@pytest.mark.parametrize("jid", ["unknown-jid", ""])
def test_a_fail_of_a_job_that_nobody_holds_is_refused_and_counts_nothing(engine: Engine, jid: str) -> None:
    with pytest.raises(CommandError, match=f"^Job not found {jid}$"):
        engine.fail(jid)
    assert engine.manager.history.processed == engine.manager.history.failures == 0


def test_a_job_can_fail_once_for_each_fetch(engine: Engine) -> None:
    engine.push()
    jid = failed(engine)
    with pytest.raises(CommandError, match=r"^Job not found "):
        engine.fail(jid)
    assert not engine.manager.ack(jid, "")
    assert engine.sizes()["retries"] == 1


@pytest.mark.parametrize("retry", [-1, 25, 2**63 - 1])
@pytest.mark.parametrize("retry_count", [-(2**63), -1, 600, 10_000, 10**15, 2**63 - 1])
def test_no_record_that_a_client_pushes_makes_a_failure_fail(engine: Engine, retry: int, retry_count: int) -> None:
    """The job is in one place afterwards, also after a restart, and can be fetched and fail again."""
    engine.push("12345678", retry=retry, failure={"retry_count": retry_count, "remaining": -(2**63)})
    failed(engine)
    assert sum(engine.sizes().values()) == 1
    for row in engine.rows(Place.RETRIES):
        parse_rfc3339(json.loads(row.failure)["next_at"])
    engine.restart()
    for target in ("retries", "dead"):
        engine.mutate("requeue", target)
    assert engine.sizes()["queued"] == 1
    failed(engine)
    engine.restart()
    assert sum(engine.sizes().values()) == 1
