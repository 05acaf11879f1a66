"""RFC 3339 text, as Go reads and writes it, and the calendar days of the statistics."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw.times import parse_rfc3339, rfc3339, utc_day

LAST_SECOND = 253_402_300_799.0  # 9999-12-31T23:59:59Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2025-11-21T12:00:00Z", 1_763_726_400.0),
        ("2025-11-21T12:00:00.5Z", 1_763_726_400.5),
        ("2025-11-21T12:00:00,5Z", 1_763_726_400.5),
        ("2025-11-21T12:00:00.250000Z", 1_763_726_400.25),
        ("2025-11-21T12:00:00.000000000000000000001Z", 1_763_726_400.0),
        ("2025-11-21T13:00:00+01:00", 1_763_726_400.0),
        ("2025-11-21T04:30:00-07:30", 1_763_726_400.0),
        ("2025-11-21T12:00:00-00:00", 1_763_726_400.0),
        ("2025-11-22T11:59:00+23:59", 1_763_726_400.0),
        ("2024-02-29T00:00:00Z", 1_709_164_800.0),
        ("2000-02-29T23:59:59Z", 951_868_799.0),
        ("0001-01-01T00:00:00Z", -62_135_596_800.0),
        ("9999-12-31T23:59:59Z", LAST_SECOND),
    ],
)
def test_a_time_with_a_zone_is_read(text: str, seconds: float) -> None:
    assert parse_rfc3339(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2025-11-21",
        "2025-11-21T12:00:00",
        "2025-11-21 12:00:00Z",
        "2025-11-21t12:00:00Z",
        "2025-11-21T12:00:00z",
        "2025-11-21T12:00:00.Z",
        "2025-11-21T12:00Z",
        "2025-11-21T12:00:00+0100",
        "2025-11-21T12:00:00+01",
        " 2025-11-21T12:00:00Z",
        "2025-11-21T12:00:00Z\n",
        "25-11-21T12:00:00Z",
        "12025-11-21T12:00:00Z",
        "\u0662025-11-21T12:00:00Z",
        "-2025-11-21T12:00:00Z",
        "1763726400",
    ],
)
def test_anything_else_is_refused_with_an_example_of_a_time(text: str) -> None:
    with pytest.raises(ValueError, match="not a time such as 2026-"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    "text",
    [
        "0000-01-01T00:00:00Z",
        "2025-00-21T12:00:00Z",
        "2025-13-21T12:00:00Z",
        "2025-11-00T12:00:00Z",
        "2025-11-31T12:00:00Z",
        "2025-02-29T12:00:00Z",
        "1900-02-29T12:00:00Z",
        "2024-02-30T12:00:00Z",
        "2025-11-21T24:00:00Z",
        "2025-11-21T12:60:00Z",
        "2025-11-21T12:00:60Z",
        "2025-11-21T12:00:00+24:00",
        "2025-11-21T12:00:00+01:60",
    ],
)
def test_a_time_that_no_calendar_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        parse_rfc3339(text)


def test_the_end_of_the_calendar_is_not_passed_by_a_zone_or_a_fraction() -> None:
    assert parse_rfc3339("9999-12-31T23:59:59-23:59") == LAST_SECOND
    assert parse_rfc3339("9999-12-31T23:59:59.999999Z") == LAST_SECOND


def test_the_beginning_of_the_calendar_is_not_passed_by_a_zone() -> None:
    assert parse_rfc3339("0001-01-01T00:00:00+23:59") == parse_rfc3339("0001-01-01T00:00:00Z")
    with pytest.raises(ValueError, match="the year 0 is out of range"):
        parse_rfc3339("0000-12-31T23:59:59Z")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00.000000Z", "0987-06-05T04:03:02.000000Z"])
def test_a_year_has_four_digits(text: str) -> None:
    assert rfc3339(parse_rfc3339(text)) == text
    assert utc_day(parse_rfc3339(text)) == text[:10]


def test_time_is_written_in_utc_with_six_digits() -> None:
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(1_763_726_400.25) == "2025-11-21T12:00:00.250000Z"
    assert rfc3339(1_763_726_400.0000625) == "2025-11-21T12:00:00.000062Z"
    assert rfc3339(LAST_SECOND) == "9999-12-31T23:59:59.000000Z"


def test_times_of_different_seconds_do_not_share_their_text() -> None:
    texts = [rfc3339(seconds) for seconds in (10.0, 10.5, 11.0, 10.25, 86_400.0, 10.0)]
    assert [text[11:26] for text in texts] == [
        "00:00:10.000000",
        "00:00:10.500000",
        "00:00:11.000000",
        "00:00:10.250000",
        "00:00:00.000000",
        "00:00:10.000000",
    ]


@given(st.floats(min_value=0, max_value=LAST_SECOND))
def test_what_is_written_is_read_back_to_the_microsecond(seconds: float) -> None:
    assert parse_rfc3339(rfc3339(seconds)) == pytest.approx(seconds, rel=1e-15, abs=1.01e-6)


@given(st.datetimes(min_value=datetime.datetime(1970, 1, 1), max_value=datetime.datetime(9999, 12, 30)))  # noqa: DTZ001
def test_any_time_is_read_as_the_calendar_of_python_reads_it(moment: datetime.datetime) -> None:
    moment = moment.replace(tzinfo=datetime.timezone.utc)
    assert parse_rfc3339(moment.isoformat()) == pytest.approx(moment.timestamp(), rel=1e-15, abs=1e-6)


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_a_later_time_has_a_text_that_sorts_later(seconds: int) -> None:
    assert rfc3339(seconds) < rfc3339(seconds + 0.5) < rfc3339(seconds + 1.0)


@pytest.fixture
def machine_in_auckland(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time 13 hours ahead of UTC."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "NZST-13")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("machine_in_auckland")
def test_days_and_times_are_utc_whatever_the_zone_of_the_machine() -> None:
    assert rfc3339(1_763_726_400.0) == "2025-11-21T12:00:00.000000Z"
    assert parse_rfc3339("2025-11-21T12:00:00Z") == 1_763_726_400.0
    assert utc_day(1_763_726_400.0 + 12 * 3600 - 0.001) == "2025-11-21"
    assert utc_day(1_763_726_400.0 + 12 * 3600) == "2025-11-22"
    assert utc_day(0.0) == "1970-01-01"
