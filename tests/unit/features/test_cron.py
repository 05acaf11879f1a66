"""Cron: each tick once, whatever happens to the server and its clock, and what becomes of those that were missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from faktory_tw.features import cron as cron_module
from faktory_tw.features.cron import MISSED, Cron
from faktory_tw.features.cron.records import MOST_SPANS
from tests.unit.doubles import DAY, HOUR, FakeClock
from tests.unit.features.crontab import Tower, at, entry

# -- ticks ---------------------------------------------------------------------------------------------------------


def test_a_job_is_pushed_at_each_tick(tower: Tower) -> None:
    tower.use(entry(schedule="*/2 * * * *"))
    tower.live(400)
    assert tower.pushed() == ["12:02:00", "12:04:00", "12:06:00"]
    assert tower.runs() == [
        ("12:02:00", "cron-000001", ""),
        ("12:04:00", "cron-000002", ""),
        ("12:06:00", "cron-000003", ""),
    ]
    assert tower.next_at() == "12:08:00"


def test_the_job_is_the_one_of_the_settings_with_a_jid_of_its_own(tower: Tower) -> None:
    job = {"jobtype": "Report", "queue": "low", "retry": 3, "args": ["ä", 1.0], "reserve_for": 600, "priority": 9}
    tower.use(entry(job={**job, "custom": {"locale": "de"}}))
    tower.go_to("12:01:00")
    (pushed,) = tower.jobs("low")
    assert pushed.pop("enqueued_at").startswith("2025-11-21T12:01:00")
    assert pushed.pop("created_at").startswith("2025-11-21T12:01:00")
    assert pushed == {**job, "jid": "cron-000001", "custom": {"locale": "de"}}


def test_a_jid_is_long_and_random() -> None:
    jids = {Cron()._new_jid() for _ in range(100)}
    assert len(jids) == 100
    assert {len(jid) for jid in jids} == {24}


def test_a_new_entry_begins_now(tower: Tower) -> None:
    tower.use(entry(catch_up="all"))
    tower.engine.upkeep()
    assert tower.pushed() == []
    assert tower.next_at() == "12:01:00"


def test_a_tick_is_not_carried_out_early(tower: Tower) -> None:
    tower.use(entry())
    tower.go_to("12:00:59.999")
    assert tower.pushed() == []
    tower.go_to("12:01:00")
    assert tower.pushed() == ["12:01:00"]
    tower.live(59.9)
    assert tower.pushed() == []


@pytest.mark.parametrize(
    ("start", "schedule", "zone", "due"),
    [
        ("2025-11-30T12:00", "0 0 31 * *", "UTC", ["2025-12-31T00:00", "2026-01-31T00:00", "2026-03-31T00:00"]),
        ("2027-12-01T00:00", "30 9 29 2 *", "UTC", ["2028-02-29T09:30"]),
        ("2026-02-01T00:00", "0 0 28 2 *", "UTC", ["2026-02-28T00:00"]),
        ("2026-02-12T12:00", "0 0 13 * FRI", "UTC", ["2026-02-13T00:00", "2026-02-20T00:00"]),
        ("2025-03-29T12:00", "30 2 * * *", "Europe/Berlin", ["2025-03-30T01:00", "2025-03-31T00:30"]),
        ("2025-10-25T12:00", "30 2 * * *", "Europe/Berlin", ["2025-10-26T00:30", "2025-10-27T01:30"]),
        ("2025-10-26T00:10", "15 * * * *", "Europe/Berlin", ["2025-10-26T00:15", "2025-10-26T01:15", "2025-10-26T02:15"]),
        ("2025-03-08T12:00", "30 2 * * *", "America/New_York", ["2025-03-09T07:00", "2025-03-10T06:30"]),
        ("2025-11-01T20:00", "30 1 * * *", "America/New_York", ["2025-11-02T05:30", "2025-11-03T06:30"]),
        ("2025-12-31T23:00", "@yearly", "UTC", ["2026-01-01T00:00"]),
    ],
)  # fmt: skip
def test_the_calendar_and_the_zone_say_when(
    tmp_path: Path, start: str, schedule: str, zone: str, due: list[str]
) -> None:
    tower = Tower(tmp_path / "data", FakeClock(at(start)))
    tower.use(entry(schedule=schedule, timezone=zone))
    for moment in due:
        assert tower.cron.entry("beat").next_at == at(moment)
        tower.go_to(moment)
        assert len(tower.pushed()) == 1
    tower.engine.stop()


def test_jobs_are_pushed_in_the_order_of_their_ticks_and_then_of_their_names(tower: Tower) -> None:
    tower.use(entry("b", "2 * * * *"), entry("c", "1 * * * *", catch_up="last"), entry("a", "2 * * * *"))
    tower.go_to("12:02:00")
    assert [job["args"][0] for job in tower.jobs()] == ["c", "a", "b"]


def test_thousands_that_are_due_at_once_let_commands_in(tower: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    tower.use(*(entry(f"e{number:04}") for number in range(1000)))
    tower.engine.upkeep()
    tower.clock.advance(60)
    slices = 0
    while tower.cron.step():
        slices += 1
        assert len(tower.engine.store.batch.jobs) <= slices * cron_module._SLICE
    assert slices >= 5
    assert len(tower.jobs()) == 1000


def test_a_slow_machine_does_less_at_a_time(tower: Tower) -> None:
    tower.use(*(entry(f"e{number}") for number in range(10)))
    tower.go_to("12:00:30")
    tower.clock.advance(30)
    new_jid = tower.cron._new_jid

    def slow() -> str:
        tower.clock.advance(0.02)
        return new_jid()

    tower.cron._new_jid = slow
    assert tower.cron.step()
    assert len(tower.jobs()) == 1
    tower.engine.upkeep()
    assert len(tower.jobs()) == 9


# -- restarts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True])
def test_a_tick_that_was_carried_out_is_not_again_after_a_start(tower: Tower, crash: bool) -> None:
    tower.use(entry(catch_up="all"))
    tower.go_to("12:01:00")
    tower.engine.commit()
    tower.down(10, crash=crash)
    assert tower.pushed() == ["12:01:00"]
    assert tower.runs() == [("12:01:00", "cron-000001", "")]
    assert tower.next_at() == "12:02:00"


def test_a_tick_that_was_lost_with_its_job_is_carried_out_after_the_start(tower: Tower) -> None:
    tower.use(entry())
    tower.engine.commit()
    tower.go_to("12:01:00")
    tower.down(10, crash=True)
    assert tower.pushed() == ["12:01:10"]
    assert tower.runs() == [("12:01:00", "cron-000002", "")]


def test_job_and_tick_are_in_one_batch(tower: Tower) -> None:
    tower.use(entry())
    tower.engine.commit()
    tower.go_to("12:01:00")
    batch = tower.engine.manager.seal()
    assert len(batch.jobs) == 1
    assert set(batch.entries) == {("cron", b"beat"), ("cron", b"beat\0\0")}
    tower.engine.store.write(batch)
    tower.engine.store.written()


@pytest.mark.parametrize(
    ("catch_up", "pushed", "runs"),
    [
        ("skip", [], ["12:05:00 missed"]),
        ("last", ["12:06:30"], ["12:05:00"]),
        ("all", ["12:06:30"] * 5, ["12:01:00", "12:02:00", "12:03:00", "12:04:00", "12:05:00"]),
    ],
)
def test_ticks_that_were_missed_go_by_catch_up(tower: Tower, catch_up: str, pushed: list[str], runs: list[str]) -> None:
    tower.use(entry(schedule="1-5 * * * *", catch_up=catch_up))
    tower.down(390)
    assert tower.pushed() == pushed
    assert [f"{tick} {reason}".strip() for tick, _, reason in tower.runs()] == runs
    assert tower.next_at() == "13:01:00"
    tower.down(10)
    assert tower.pushed() == []


def test_not_more_than_the_limit_is_caught_up_and_the_newest_are(tower: Tower) -> None:
    tower.use(entry(catch_up="all", catch_up_limit=3))
    tower.down(3 * DAY + 30)
    assert [tick for tick, _, _ in tower.runs()] == ["11:58:00", "11:59:00", "12:00:00"]
    assert len(tower.jobs()) == 3


@pytest.mark.parametrize(("late", "pushed"), [(59, ["12:01:59"]), (60, [])])
@pytest.mark.parametrize("crash", [False, True])
def test_a_tick_less_than_a_minute_late_is_not_missed(
    tower: Tower, late: float, pushed: list[str], crash: bool
) -> None:
    tower.use(entry(schedule="1 12 * * *"))
    tower.engine.commit()
    tower.down(60 + late, crash=crash)
    assert tower.pushed() == pushed
    assert tower.runs() == [("12:01:00", "cron-000001" if pushed else "", "" if pushed else MISSED)]


def test_of_ticks_that_are_late_the_last_is_carried_out(tower: Tower) -> None:
    tower.use(entry())
    tower.down(190)
    assert tower.runs() == [("12:03:00", "cron-000001", "")]


def test_a_crash_while_ticks_are_made_up_for_repeats_none(tower: Tower) -> None:
    tower.use(entry(catch_up="all", catch_up_limit=1000))
    tower.engine.commit()
    tower.clock.advance(600 * 60)
    tower.cron.step()
    tower.engine.commit()
    assert 0 < tower.engine.sizes()["queued"] < 300
    tower.cron.step()
    tower.down(0, crash=True)
    assert len(tower.jobs()) == 600


# -- the clock -----------------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_repeats_no_tick(tower: Tower) -> None:
    tower.use(entry(schedule="*/20 * * * *", catch_up="all"))
    tower.live(HOUR, every=20)
    tower.step(-HOUR)
    tower.down(60)
    tower.live(HOUR - 60, every=20)
    assert tower.pushed() == ["12:20:00", "12:40:00", "13:00:00"]
    tower.live(20 * 60, every=20)
    assert tower.pushed() == ["13:20:00"]


@pytest.mark.parametrize(("catch_up", "pushed"), [("skip", 0), ("last", 1), ("all", 3)])
def test_ticks_over_which_the_clock_was_set_were_missed_and_come_when_it_is_set_back(
    tower: Tower, catch_up: str, pushed: int
) -> None:
    tower.use(entry(schedule="*/20 * * * *", catch_up=catch_up))
    tower.step(HOUR + 120)
    assert len(tower.pushed()) == pushed
    tower.step(-HOUR)
    tower.live(HOUR, every=20)
    assert tower.pushed() == ["12:20:00", "12:40:00", "13:00:00"][: 3 - pushed]
    tower.live(20 * 60, every=20)
    assert len(tower.pushed()) == 1


def test_an_entry_of_a_clock_that_was_wrong_begins_when_it_is_set_back(tower: Tower) -> None:
    tower.step(HOUR)
    tower.use(entry(schedule="*/20 * * * *"))
    tower.step(-HOUR)
    tower.live(HOUR + 30 * 60, every=20)
    assert tower.pushed() == ["12:20:00", "12:40:00", "13:20:00"]


def test_a_clock_that_is_set_back_before_the_first_duties_is_noticed(tower: Tower) -> None:
    tower.use(entry(schedule="*/20 * * * *"))
    tower.step(-HOUR)
    tower.live(30 * 60, every=20)
    assert tower.pushed() == ["11:20:00"]


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_was_days_ahead_for_some_hours_silences_no_entry(tower: Tower, restart: bool) -> None:
    days = 9 * DAY
    tower.use(entry(schedule="*/20 * * * *", catch_up="last"))
    tower.live(30 * 60, every=60)
    tower.step(days)
    tower.live(5 * HOUR, every=60)
    assert len(tower.pushed()) == 1 + 1 + 15
    tower.step(-days)
    if restart:
        tower.down(0)
    tower.live(HOUR, every=60)
    assert tower.pushed() == ["17:40:00", "18:00:00", "18:20:00"]
    tower.step(days - 5 * HOUR)
    tower.live(5 * HOUR, every=60)
    assert tower.pushed() == ["13:30:00", "17:40:00", "18:00:00", "18:20:00"], "one was missed, three are new"


def test_a_clock_that_was_wrong_many_times_repeats_no_tick(tower: Tower) -> None:
    tower.use(entry(schedule="*/20 * * * *", catch_up="last"))
    for number in range(30):
        tower.step(DAY * (number % 7) + HOUR)
        tower.live(HOUR, every=60)
        tower.step(-DAY * (number % 7) - HOUR * 2)
        tower.live(HOUR, every=60)
    runs = [run.tick for run in tower.cron.entry("beat").runs]
    assert len(runs) == len(set(runs)) == 20
    assert len(tower.cron._lines["beat"].record.state.past) <= MOST_SPANS


def test_a_clock_that_comes_back_to_the_second_of_many_times_repeats_no_tick(tower: Tower) -> None:
    tower.use(entry(schedule="*/20 * * * *", catch_up="last"))
    for _ in range(MOST_SPANS):
        tower.live(HOUR, every=60)
        tower.step(DAY)
    tower.pushed()
    tower.step(-(DAY + HOUR) * (MOST_SPANS - 1) + 60)
    tower.live(HOUR - 120, every=60)
    assert tower.pushed() == []


# -- jobs that are refused -----------------------------------------------------------------------------------------


def test_a_job_that_is_not_unique_is_told_in_the_history_and_its_tick_is_over(tower: Tower) -> None:
    tower.use(entry(job={"custom": {"unique_for": 3600}}))
    tower.live(121)
    assert tower.runs() == [("12:01:00", "cron-000001", ""), ("12:02:00", "", "Job not unique")]
    assert len(tower.pushed()) == 1
    tower.down(10)
    assert tower.pushed() == []
    tower.live(60)
    assert len(tower.pushed()) == 1


def test_a_full_queue_is_told_in_the_history(tmp_path: Path) -> None:
    tower = Tower(tmp_path / "data", max_queue_size=1)
    tower.use(entry())
    tower.live(121)
    (_, second) = tower.runs()
    assert second[2] == "default is too large, currently 1, max size is 1"
    tower.engine.stop()


def test_what_is_told_of_a_refusal_is_bounded(tower: Tower) -> None:
    tower.use(entry(job={"queue": "x" * 5000}))
    tower.go_to("12:01:00")
    ((_, _, reason),) = tower.runs()
    assert reason.startswith("queue names must have 1024 characters")
    tower.use(entry(job={"queue": " " * 900}))
    tower.go_to("12:02:00")
    assert len(tower.runs()[1][2]) == 200


def test_a_job_of_cron_expires(tower: Tower) -> None:
    tower.use(entry(schedule="1 12 * * *", job={"custom": {"expires_in": 30}}))
    tower.go_to("12:01:00")
    tower.live(29)
    assert tower.engine.sizes()["queued"] == 1
    tower.live(1)
    assert tower.engine.sizes()["queued"] == 0


@pytest.mark.parametrize(("catch_up", "pushed"), [("skip", 1), ("last", 1), ("all", 5)])
def test_while_pushes_are_refused_cron_waits(tower: Tower, catch_up: str, pushed: int) -> None:
    tower.use(entry(schedule="1-5 * * * *", catch_up=catch_up))
    tower.engine.manager.refuse_pushes = "the disk is full"
    tower.live(10 * 60, every=10)
    assert (tower.runs(), tower.next_at()) == ([], "12:01:00")
    tower.engine.manager.refuse_pushes = ""
    tower.live(1)
    assert len(tower.pushed()) == pushed
    tower.live(10 * 60, every=10)
    assert tower.pushed() == []


def test_what_was_missed_before_pushes_were_refused_stays_missed(tower: Tower) -> None:
    tower.use(entry(schedule="1 12 * * *"))
    tower.clock.advance(HOUR)
    tower.engine.manager.refuse_pushes = "the disk is full"
    tower.live(10)
    tower.engine.manager.refuse_pushes = ""
    tower.live(10)
    assert tower.runs() == [("12:01:00", "", MISSED)]


def test_that_pushes_were_refused_once_is_not_remembered_for_ever(tower: Tower) -> None:
    tower.use(entry(schedule="*/30 * * * *"))
    tower.engine.manager.refuse_pushes = "the disk is full"
    tower.live(2)
    tower.engine.manager.refuse_pushes = ""
    tower.live(2)
    tower.step(HOUR + 120)
    assert tower.runs() == [("13:00:00", "", MISSED)]
