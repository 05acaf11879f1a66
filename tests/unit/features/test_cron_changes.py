"""Cron: what settings, operators and FLUSH change."""

from __future__ import annotations

from typing import Any

import pytest

from faktory_tw.features import cron as cron_module
from faktory_tw.features.cron import REMEMBERED_SECONDS
from faktory_tw.wire import CommandError
from tests.unit.doubles import HOUR
from tests.unit.features.crontab import Tower, at, entry

# -- settings ------------------------------------------------------------------------------------------------------


def test_an_entry_that_is_added_begins_now_and_one_that_is_removed_ends(tower: Tower) -> None:
    tower.use(entry("a"))
    tower.live(90)
    tower.use(entry("b", catch_up="all"))
    tower.live(60)
    assert [job["args"][0] for job in tower.jobs()] == ["a", "b"]
    with pytest.raises(CommandError, match=r'^there is no cron entry "a"$'):
        tower.cron.entry("a")
    assert [view.name for view in tower.cron.entries()] == ["b"]
    assert len(tower.cron) == 1


def test_an_entry_with_another_job_goes_on(tower: Tower) -> None:
    tower.use(entry(catch_up="last"))
    tower.live(90)
    tower.down(120, entries=[entry(catch_up="last", job={"queue": "other"})])
    assert tower.pushed() == ["12:01:00"]
    assert tower.pushed("other") == ["12:03:30"]
    assert len(tower.runs()) == 2


@pytest.mark.parametrize("change", [{"schedule": "*/2 * * * *"}, {"timezone": "Asia/Kathmandu"}])
@pytest.mark.parametrize("restart", [False, True])
def test_an_entry_with_another_schedule_begins_now(tower: Tower, change: dict[str, str], restart: bool) -> None:
    tower.use(entry(schedule="*/3 * * * *", catch_up="all"))
    tower.live(90)
    changed = entry(**{"schedule": "*/3 * * * *", "catch_up": "all", **change})
    if restart:
        tower.down(600, entries=[changed])
    else:
        tower.clock.advance(600)
        tower.use(changed)
        tower.engine.upkeep()
    assert tower.pushed() == []
    assert tower.next_at() == "12:12:00"


def test_settings_that_change_nothing_change_nothing(tower: Tower) -> None:
    tower.use(entry(catch_up="all"))
    tower.live(61)
    tower.engine.commit()
    tower.clock.advance(60)
    tower.use(entry(catch_up="all"))
    assert not tower.engine.store.batch
    tower.engine.upkeep()
    assert len(tower.pushed()) == 2


def test_an_entry_that_comes_back_is_paused_as_it_was_and_makes_up_for_nothing(tower: Tower) -> None:
    tower.use(entry("a", catch_up="all"), entry("b", catch_up="all"))
    tower.live(61)
    tower.cron.pause("b")
    tower.use()
    tower.down(600)
    tower.use(entry("a", catch_up="all"), entry("b", catch_up="all"))
    tower.engine.upkeep()
    assert len(tower.pushed()) == 2
    assert [view.paused for view in tower.cron.entries()] == [False, True]
    assert len(tower.runs("a")) == 1
    assert tower.next_at("a") == "12:12:00"


def test_an_entry_that_has_left_is_forgotten_after_a_month(tower: Tower) -> None:
    tower.use(entry("a"), entry("b"))
    tower.live(61)
    tower.use(entry("b"))
    tower.down(REMEMBERED_SECONDS - 1)
    assert len([key for key in tower.cron._records if key == "a"]) == 1
    tower.live(2)
    assert set(tower.cron._records) == {"b"}
    rows = len(tower.runs("b")) + 1
    assert tower.kept() == rows
    tower.down(1)
    assert set(tower.cron._records) == {"b"}


def test_not_more_than_some_that_have_left_are_remembered(tower: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cron_module, "_MOST_REMEMBERED", 3)
    for number in range(6):
        tower.use(entry(f"e{number}"))
        tower.live(1)
    assert set(tower.cron._records) == {"e2", "e3", "e4", "e5"}
    assert tower.kept() == 4


# -- pause and run now ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True])
def test_an_entry_that_is_paused_rests_through_restarts_until_it_goes_on_from_then(tower: Tower, crash: bool) -> None:
    tower.use(entry(catch_up="all"))
    tower.live(30)
    tower.cron.pause("beat")
    assert tower.cron.entry("beat").paused
    assert tower.next_at() == ""
    tower.engine.commit()
    tower.down(120, crash=crash)
    tower.use(entry(catch_up="all"))
    tower.live(120)
    assert tower.pushed() == []
    tower.cron.pause("beat", paused=False)
    assert tower.next_at() == "12:05:00"
    tower.engine.commit()
    tower.down(30, crash=crash)
    assert tower.pushed() == ["12:05:00"]


def test_an_entry_that_goes_on_after_the_clock_was_set_back_repeats_no_tick(tower: Tower) -> None:
    tower.use(entry(schedule="*/20 * * * *", catch_up="all"))
    tower.live(HOUR, every=20)
    tower.step(-HOUR)
    tower.cron.pause("beat")
    tower.cron.pause("beat", paused=False)
    tower.live(HOUR, every=20)
    assert len(tower.pushed()) == 3


def test_to_pause_twice_is_to_pause_once(tower: Tower) -> None:
    tower.use(entry())
    tower.cron.pause("beat")
    tower.engine.commit()
    tower.cron.pause("beat")
    assert not tower.engine.store.batch
    tower.cron.pause("beat", False)
    tower.cron.pause("beat", False)
    tower.live(61)
    assert len(tower.pushed()) == 1


def test_an_entry_may_begin_paused_and_the_operator_decides_until_the_settings_change(tower: Tower) -> None:
    tower.use(entry(paused=True, catch_up="all"))
    tower.live(61)
    assert tower.pushed() == []
    tower.cron.pause("beat", paused=False)
    tower.use(entry(paused=True, catch_up="all"))
    tower.live(61)
    assert len(tower.pushed()) == 1
    tower.use(entry(paused=False, catch_up="all"))
    tower.use(entry(paused=True, catch_up="all"))
    tower.live(300)
    assert tower.pushed() == []
    tower.use(entry(paused=False, catch_up="all"))
    tower.engine.upkeep()
    assert tower.pushed() == []
    tower.live(61)
    assert len(tower.pushed()) == 1


def test_an_entry_that_is_paused_while_its_ticks_are_made_up_for_stops(tower: Tower) -> None:
    tower.use(entry(catch_up="all", catch_up_limit=1000))
    tower.clock.advance(600 * 60)
    assert tower.cron.step()
    tower.cron.pause("beat")
    tower.engine.upkeep()
    assert 0 < len(tower.jobs()) < 300


@pytest.mark.parametrize("paused", [False, True])
def test_an_entry_can_be_run_now_and_its_ticks_stay(tower: Tower, paused: bool) -> None:
    tower.use(entry(paused=paused))
    tower.live(30)
    jid = tower.cron.run_now("beat")
    assert [job["jid"] for job in tower.jobs()] == [jid]
    assert tower.runs() == [("", jid, "")]
    tower.live(30)
    assert len(tower.jobs()) == (not paused)
    tower.down(1)
    assert tower.runs()[0] == ("", jid, "")


def test_a_run_that_is_refused_is_told_to_who_wants_it(tower: Tower) -> None:
    tower.use(entry(job={"custom": {"unique_for": 3600}}))
    tower.cron.run_now("beat")
    with pytest.raises(CommandError, match=r"^Job not unique$"):
        tower.cron.run_now("beat")
    tower.engine.manager.refuse_pushes = "the disk is full"
    with pytest.raises(CommandError, match=r"^the disk is full$"):
        tower.cron.run_now("beat")
    assert len(tower.runs()) == 1


@pytest.mark.parametrize("change", ["pause", "run_now", "entry"])
def test_an_entry_that_does_not_exist_cannot_be_changed(tower: Tower, change: str) -> None:
    call: Any = getattr(tower.cron, change)
    with pytest.raises(CommandError, match=r"^there is no cron entry "):
        call("x" * 10_000)


# -- history and FLUSH ---------------------------------------------------------------------------------------------


def test_the_last_twenty_runs_are_kept(tower: Tower) -> None:
    tower.use(entry(catch_up="all"))
    for _ in range(3):
        tower.live(14 * 60, every=20)
        tower.down(1)
    assert [jid for _, jid, _ in tower.runs()] == [f"cron-{number:06}" for number in range(23, 43)]
    tower.live(25 * 60, every=20)
    assert [jid for _, jid, _ in tower.runs()] == [f"cron-{number:06}" for number in range(48, 68)]
    assert tower.kept() == 21
    tower.use()
    tower.live(REMEMBERED_SECONDS + 1, every=REMEMBERED_SECONDS + 1)
    assert tower.kept() == 0


@pytest.mark.parametrize("commit", [False, True])
def test_flush_forgets_the_runs_but_no_tick_and_no_pause(tower: Tower, commit: bool) -> None:
    tower.use(entry("a", catch_up="all"), entry("b"), entry("c"))
    tower.live(61)
    tower.cron.pause("b")
    tower.use(entry("a", catch_up="all"), entry("b"))
    if commit:
        tower.engine.commit()
    tower.engine.manager.flush()
    assert tower.runs("a") == []
    assert tower.kept() == 2
    tower.down(10, crash=True)
    assert tower.pushed() == []
    assert [view.paused for view in tower.cron.entries()] == [False, True]
    tower.live(60)
    assert len(tower.runs("a")) == 1


def test_a_flush_while_other_settings_are_taken_over_forgets_what_had_left_for_good(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cron_module, "_SLICE", 2)
    tower.use(entry("old"), *(entry(f"then{number}") for number in range(3)))
    tower.live(1)
    tower.use(*(entry(f"then{number}") for number in range(3)))
    tower.live(1)
    tower.use(entry(paused=True))
    assert tower.cron._admitting is not None
    tower.engine.manager.flush()
    tower.live(1)
    tower.live(REMEMBERED_SECONDS + 60, every=100_000)
    assert tower.kept() == 1


def test_what_people_see_of_an_entry(tower: Tower) -> None:
    custom = {"unique_for": 60}
    made = entry(schedule="@hourly", timezone="Europe/Berlin", catch_up="last", job={"queue": "low", "custom": custom})
    tower.use(made, entry("other", paused=True))
    view, other = tower.cron.entries()
    assert view == tower.cron.entry("beat")
    assert (view.name, view.schedule, view.timezone, view.jobtype) == ("beat", "@hourly", "Europe/Berlin", "Beat")
    assert (view.queue, view.custom, view.job, view.catch_up) == ("low", b'{"unique_for": 60}', made.job, "last")
    assert (view.paused, view.next_at, view.runs) == (False, at("13:00:00"), ())
    assert (other.paused, other.next_at) == (True, None)
    assert len(tower.cron) == 2
