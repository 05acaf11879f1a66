"""Schedules: what they mean, in time zones and through changes of the clock, and what is said of those that are none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faktory_tw.schedule import LONGEST, Schedule

BERLIN, NEW_YORK, LORD_HOWE, HAVANA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


def moment(text: str, zone: str = "UTC", fold: int = 0) -> float:
    """Seconds since the epoch of a time on a wall; ``fold`` 1: the second time that the clock shows it."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def ticks(schedule: Schedule, after: float, until: float) -> list[float]:
    found, tick = [], schedule.after(after)
    while tick is not None and tick <= until:
        found.append(tick)
        tick = schedule.after(tick)
    return found


def searched(schedule: Schedule, after: float, until: float, count: int) -> tuple[list[float], int]:
    """The newest ticks, and how often it was looked for them."""
    search, looks = schedule.newest(after, until, count), 0
    while True:
        try:
            next(search)
            looks += 1
        except StopIteration as end:
            return end.value, looks


def on_the_wall(schedule: str, zone: str, start: str, end: str) -> list[str]:
    """The ticks in a span of time, as the clock shows them, with its offset."""
    found = ticks(Schedule(schedule, zone), moment(start, zone) - 1, moment(end, zone))
    return [datetime.fromtimestamp(tick, ZoneInfo(zone)).strftime("%d %H:%M %z") for tick in found]


# -- fields --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "after", "due"),
    [
        ("* * * * *", "2025-11-21T12:00:00", "2025-11-21T12:01:00"),
        ("* * * * *", "2025-11-21T12:00:59", "2025-11-21T12:01:00"),
        ("*/15 * * * *", "2025-11-21T12:45:00", "2025-11-21T13:00:00"),
        ("5-10/2,50 8 * * *", "2025-11-21T08:07:00", "2025-11-21T08:09:00"),
        ("5-10/2,50 8 * * *", "2025-11-21T08:09:00", "2025-11-21T08:50:00"),
        ("0 0 31 * *", "2025-11-21T00:00:00", "2025-12-31T00:00:00"),
        ("0 0 31 * *", "2026-01-31T00:00:00", "2026-03-31T00:00:00"),
        ("0 0 29 2 *", "2025-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 29 2 *", "2096-02-29T00:00:00", "2104-02-29T00:00:00"),
        ("0 0 L * *", "2028-02-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 L * *", "2027-02-01T00:00:00", "2027-02-28T00:00:00"),
        ("59 23 31 12 *", "2025-12-31T23:59:00", "2026-12-31T23:59:00"),
        ("0 0 13 * FRI", "2026-02-14T00:00:00", "2026-02-20T00:00:00"),
        ("0 0 */13 * FRI", "2025-11-21T00:00:00", "2026-02-27T00:00:00"),
        ("0 0 * * MON-FRI", "2025-11-21T00:00:00", "2025-11-24T00:00:00"),
        ("0 0 * * 7", "2025-11-21T00:00:00", "2025-11-23T00:00:00"),
        ("0 0 * jan,Mar sun", "2025-11-21T00:00:00", "2026-01-04T00:00:00"),
        ("0 9 * * MON#1", "2025-11-21T00:00:00", "2025-12-01T09:00:00"),
        ("@hourly", "2025-11-21T12:00:00", "2025-11-21T13:00:00"),
        ("@daily", "2025-11-21T12:00:00", "2025-11-22T00:00:00"),
        ("@midnight", "2025-11-21T12:00:00", "2025-11-22T00:00:00"),
        ("@weekly", "2025-11-21T12:00:00", "2025-11-23T00:00:00"),
        ("@monthly", "2025-11-21T12:00:00", "2025-12-01T00:00:00"),
        ("@yearly", "2025-11-21T12:00:00", "2026-01-01T00:00:00"),
        (" @Annually ", "2025-11-21T12:00:00", "2026-01-01T00:00:00"),
    ],
)
def test_a_schedule_is_due_when_its_fields_say(text: str, after: str, due: str) -> None:
    assert Schedule(text).after(moment(after)) == moment(due)


def test_two_schedules_are_equal_when_they_are_written_alike() -> None:
    assert Schedule("@daily", BERLIN) == Schedule("@daily", BERLIN)
    assert Schedule("@daily", BERLIN) != Schedule("@daily")
    assert Schedule("@daily") != Schedule("0 0 * * *")


@pytest.mark.parametrize("after", [-1e300, 253_402_300_000.0, 1e300])
def test_beyond_the_calendar_nothing_is_due(after: float) -> None:
    assert Schedule("@daily").after(after) is None
    assert Schedule("@daily", BERLIN).after(after) is None
    assert Schedule("@hourly", BERLIN).after(after) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must have five fields, minute, hour, day of the month, month and day of the week, such as"),
        ("* * * *", "not 4"),
        ("0 * * * * *", "not 6"),
        ("60 * * * *", "'60' cannot be the minute"),
        ("* 24 * * *", "'24' cannot be the hour"),
        ("* * 0 * *", "'0' cannot be the day of the month"),
        ("* * * 13 *", "'13' cannot be the month"),
        ("* * * * 8", "'8' cannot be the day of the week"),
        ("* * * * MO", "'MO' cannot be the day of the week"),
        ("*/0 * * * *", "'*/0' cannot be the minute"),
        ("5-1 * * * *", "'5-1' cannot be the minute"),
        ("1L/2 * * * *", "'1L/2' cannot be the minute"),
        ("* * * * 1#1/2", "'1#1/2' cannot be the day of the week"),
        ("* * L-1 * *", "'L-1' cannot be the day of the month"),
        ("* * ? * *", "'?' cannot be the day of the month"),
        ("² * * * *", "'²' cannot be the minute"),
        ("1" * 150 + " * * * *", "cannot be the minute"),
        ("/1" * 90 + " * * * *", "cannot be the minute"),
        ("* * * * *" + " " * LONGEST, f"must have {LONGEST} characters at most"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6 *", "never comes"),
        ("@reboot", "'@reboot' is not known; there are @hourly"),
        ("@every 5m", "'@every 5m' is not known"),
    ],
)
def test_what_is_no_schedule_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"must|cannot|never|known") as refused:
        Schedule(text)
    assert said in str(refused.value)


@given(st.text(alphabet="0123456789*/,-#LWMONJAFEB @", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    try:
        schedule = Schedule(text)
    except ValueError:
        return
    tick = schedule.after(moment("2025-11-21T12:00:00"))
    assert tick is not None
    assert tick % MINUTE == 0


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Berlni", "did you mean Europe/Berlin?"),
        ("europe/BERLIN", "did you mean Europe/Berlin?"),
        ("", "is no name of a time zone, such as"),
        ("../../etc/passwd", "is no name of a time zone"),
        ("/etc/localtime", "is no name of a time zone"),
        ("Europe", "is no name of a time zone"),
        ("x\0y", "is no name of a time zone"),
        ("x" * 10_000, "is no name of a time zone"),
    ],
)
def test_what_is_no_time_zone_is_refused_with_what_was_meant(zone: str, said: str) -> None:
    with pytest.raises(ValueError, match="is no name of a time zone") as refused:
        Schedule("@daily", zone)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 200


# -- time zones and changes of the clock ---------------------------------------------------------------------------


def test_a_schedule_is_due_by_the_clock_of_its_zone() -> None:
    assert on_the_wall("0 9 * * *", "Asia/Kathmandu", "2025-11-21T00:00", "2025-11-22T00:00") == ["21 09:00 +0545"]
    assert Schedule("0 9 * * *", "Asia/Kathmandu").after(moment("2025-11-21T00:00")) == moment("2025-11-21T03:15")


@pytest.mark.parametrize(
    ("schedule", "zone", "start", "end", "due"),
    [
        # Put forward: 02:00 is 03:00.
        ("30 2 * * *", BERLIN, "2025-03-30T00:00", "2025-03-31T12:00", ["30 03:00 +0200", "31 02:30 +0200"]),
        ("0,30 2,3 * * *", BERLIN, "2025-03-30T00:00", "2025-03-30T12:00", ["30 03:00 +0200", "30 03:30 +0200"]),
        ("30 2 * * *", NEW_YORK, "2025-03-09T00:00", "2025-03-09T12:00", ["09 03:00 -0400"]),
        ("0 0 * * *", HAVANA, "2025-03-08T12:00", "2025-03-09T12:00", ["09 01:00 -0400"]),
        ("15 2 * * *", LORD_HOWE, "2025-10-05T00:00", "2025-10-05T12:00", ["05 02:30 +1100"]),
        ("*/30 2 * * *", BERLIN, "2025-03-30T00:00", "2025-03-30T12:00", []),
        ("30 */1 * * *", BERLIN, "2025-03-30T01:00", "2025-03-30T04:00", ["30 01:30 +0100", "30 03:30 +0200"]),
        ("0 * * * *", LORD_HOWE, "2025-10-05T01:00", "2025-10-05T04:00", ["05 01:00 +1030", "05 03:00 +1100", "05 04:00 +1100"]),
        # Put back: 03:00 is 02:00.
        ("30 2 * * *", BERLIN, "2025-10-26T00:00", "2025-10-26T12:00", ["26 02:30 +0200"]),
        ("0,30 2 * * *", BERLIN, "2025-10-26T00:00", "2025-10-26T12:00", ["26 02:00 +0200", "26 02:30 +0200"]),
        ("30 1 * * *", NEW_YORK, "2025-11-02T00:00", "2025-11-02T12:00", ["02 01:30 -0400"]),
        ("30 0 * * *", HAVANA, "2025-11-02T00:00", "2025-11-02T12:00", ["02 00:30 -0400"]),
        ("45 1 * * *", LORD_HOWE, "2025-04-06T00:00", "2025-04-06T12:00", ["06 01:45 +1100"]),
        ("*/30 2 * * *", BERLIN, "2025-10-26T00:00", "2025-10-26T12:00",
         ["26 02:00 +0200", "26 02:30 +0200", "26 02:00 +0100", "26 02:30 +0100"]),
        ("15 * * * *", BERLIN, "2025-10-26T01:00", "2025-10-26T03:30",
         ["26 01:15 +0200", "26 02:15 +0200", "26 02:15 +0100", "26 03:15 +0100"]),
        ("*/20 1 * * *", LORD_HOWE, "2025-04-06T00:00", "2025-04-06T12:00",
         ["06 01:00 +1100", "06 01:20 +1100", "06 01:40 +1100", "06 01:40 +1030"]),
        # A day that was left out: Samoa crossed the date line.
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", "2011-12-31T13:00",
         ["29 12:00 -1000", "31 00:00 +1400", "31 12:00 +1400"]),
        ("0 */12 * * *", "Pacific/Apia", "2011-12-29T11:00", "2011-12-31T13:00",
         ["29 12:00 -1000", "31 00:00 +1400", "31 12:00 +1400"]),
    ],
)  # fmt: skip
def test_a_change_of_the_clock_is_taken_as_debian_does(
    schedule: str, zone: str, start: str, end: str, due: list[str]
) -> None:
    assert on_the_wall(schedule, zone, start, end) == due


def test_in_the_hour_that_comes_again_a_time_of_the_day_has_been() -> None:
    schedule = Schedule("30 2 * * *", BERLIN)
    assert schedule.after(moment("2025-10-26T02:10", BERLIN, fold=1)) == moment("2025-10-27T02:30", BERLIN)
    assert Schedule("30 */2 * * *", BERLIN).after(moment("2025-10-26T02:10", BERLIN, fold=1)) == moment(
        "2025-10-26T02:30", BERLIN, fold=1
    )


def _shown(schedule: Schedule, zone: str, after: float, until: float) -> Iterator[float]:
    """The minutes at which the clock shows a time of the schedule, each looked at."""
    plain = Schedule(schedule.text)
    tick = after // MINUTE * MINUTE + MINUTE
    while tick <= until:
        offset = datetime.fromtimestamp(tick, ZoneInfo(zone)).utcoffset()
        assert offset is not None
        local = tick + offset.total_seconds()
        if plain.after(local - 1) == local:
            yield tick
        tick += MINUTE


CHANGES = [
    (BERLIN, "2025-03-30T01:00"),
    (BERLIN, "2025-10-26T01:00"),
    (LORD_HOWE, "2025-04-05T15:00"),
    (LORD_HOWE, "2025-10-04T15:30"),
    (HAVANA, "2025-03-09T05:00"),
    (HAVANA, "2025-11-02T05:00"),
    ("Africa/Cairo", "2025-10-30T21:00"),
    ("Africa/Casablanca", "2025-02-23T02:00"),
]


@pytest.mark.parametrize(("zone", "change"), CHANGES)
@pytest.mark.parametrize("text", ["*/7 */5 * * 0", "*/15 0,1,2 * * *", "50 * * * *", "* 2 * * *"])
def test_a_schedule_with_a_star_is_due_whenever_the_clock_shows_it(zone: str, change: str, text: str) -> None:
    schedule = Schedule(text, zone)
    after, until = moment(change) - 30 * HOUR + 17, moment(change) + 30 * HOUR
    assert ticks(schedule, after, until) == list(_shown(schedule, zone, after, until))


@given(
    st.sampled_from(CHANGES),
    st.sampled_from(["* * * * *", "*/7 */5 * * *", "30 2 * * *", "0,30 0-3 * * *", "0 0 * * *", "15 * * * *"]),
    st.floats(-40 * HOUR, 40 * HOUR),
    st.floats(0, 60 * HOUR),
    st.integers(1, 30),
)
@settings(max_examples=150, deadline=None)
def test_the_newest_ticks_are_the_last_of_all(
    place: tuple[str, str], text: str, start: float, length: float, count: int
) -> None:
    zone, change = place
    schedule = Schedule(text, zone)
    after = moment(change) + start
    walked = list(takewhile(lambda tick: tick <= after + length, schedule._ticks(after)))
    assert walked == sorted(set(walked))
    assert searched(schedule, after, after + length, count)[0] == walked[-count:]


def test_a_day_has_one_tick_of_a_time_of_day_in_any_zone() -> None:
    for zone, change in CHANGES:
        for hour in range(24):
            found = ticks(Schedule(f"30 {hour} * * *", zone), moment(change) - 10 * DAY, moment(change) + 10 * DAY)
            gaps = {later - tick for tick, later in pairwise(found)}
            assert min(gaps) >= 23 * HOUR
            assert max(gaps) <= 25 * HOUR


def test_to_find_the_last_of_half_a_million_ticks_takes_few_looks() -> None:
    start, end = moment("2025-01-01T00:00"), moment("2026-01-01T00:00:30")
    found, looks = searched(Schedule("* * * * *", BERLIN), start, end, 1)
    assert found == [moment("2026-01-01T00:00")]
    assert looks < 30
