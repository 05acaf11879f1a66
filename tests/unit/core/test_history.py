"""What was processed and what failed, in all and by UTC day."""

from __future__ import annotations

import pytest

from faktory_tw.core.history import History
from faktory_tw.storage.store import DayRecord
from tests.unit.doubles import DAY, HOUR, NOON, Engine

TODAY, TOMORROW = "2025-11-21", "2025-11-22"


def work(engine: Engine, fails: bool = False) -> None:
    """One job, from its push to its end."""
    jid = engine.push(retry=0)
    engine.fetch()
    if fails:
        engine.fail(jid)
    else:
        engine.manager.ack(jid, "")


def told(engine: Engine) -> tuple[int, int, dict[str, tuple[int, int]]]:
    history = engine.manager.history
    return history.processed, history.failures, history.days()


def test_a_failed_job_counts_as_processed_too() -> None:
    history = History()
    history.count(NOON, failed=False)
    history.count(NOON, failed=True)
    assert (history.processed, history.failures) == (2, 1)
    assert history.days() == {TODAY: (2, 1)}


def test_changes_are_told_once_with_the_total() -> None:
    history = History()
    assert history.changes() == []
    history.count(NOON, failed=True)
    assert history.changes() == [DayRecord("total", 1, 1), DayRecord(TODAY, 1, 1)]
    assert history.changes() == []
    history.count(NOON + 1, failed=False)
    assert history.changes() == [DayRecord("total", 2, 1), DayRecord(TODAY, 2, 1)]


def test_both_days_are_told_when_midnight_passes_between_two_commits() -> None:
    history = History()
    history.count(NOON, failed=False)
    history.count(NOON + DAY, failed=True)
    assert history.changes() == [DayRecord("total", 2, 1), DayRecord(TODAY, 1, 0), DayRecord(TOMORROW, 1, 1)]


@pytest.mark.parametrize("commits", [False, True])
def test_a_clock_that_steps_over_midnight_and_back_loses_no_count(commits: bool) -> None:
    history, rows = History(), {}
    for moment in (NOON, NOON + DAY, NOON, NOON + 1, NOON + DAY, NOON):
        history.count(moment, failed=False)
        if commits:
            rows.update({day: processed for day, processed, _ in history.changes()})
    rows.update({day: processed for day, processed, _ in history.changes()})
    assert history.days() == {TODAY: (4, 0), TOMORROW: (2, 0)}
    assert rows == {"total": 6, TODAY: 4, TOMORROW: 2}


def test_a_loaded_day_goes_on_counting() -> None:
    history = History()
    history.load([DayRecord("total", 10, 4), DayRecord(TODAY, 3, 1), DayRecord("2025-11-20", 7, 3)])
    history.count(NOON, failed=True)
    assert (history.processed, history.failures) == (11, 5)
    assert history.days() == {TODAY: (4, 2), "2025-11-20": (7, 3)}
    assert history.changes() == [DayRecord("total", 11, 5), DayRecord(TODAY, 4, 2)]


def test_a_cleared_history_begins_at_zero() -> None:
    history = History()
    history.count(NOON, failed=True)
    history.clear()
    assert (history.processed, history.failures, history.days(), history.changes()) == (0, 0, {}, [])
    history.count(NOON, failed=False)
    assert history.changes() == [DayRecord("total", 1, 0), DayRecord(TODAY, 1, 0)]


# -- through the manager -------------------------------------------------------------------------------------------


def test_acknowledged_and_failed_jobs_are_counted_by_utc_day_and_in_all(engine: Engine) -> None:
    engine.clock.step_wall(11 * HOUR + 3599)
    work(engine)
    engine.clock.advance(1)
    work(engine)
    work(engine, fails=True)
    assert told(engine) == (3, 1, {TODAY: (1, 0), TOMORROW: (2, 1)})
    engine.restart()
    assert told(engine) == (3, 1, {TODAY: (1, 0), TOMORROW: (2, 1)})
    work(engine, fails=True)
    engine.restart()
    assert told(engine) == (4, 2, {TODAY: (1, 0), TOMORROW: (3, 2)})


def test_statistics_survive_a_crash_as_they_were_at_the_last_commit(engine: Engine) -> None:
    work(engine)
    engine.commit()
    work(engine)
    engine.crash()
    assert told(engine) == (1, 0, {TODAY: (1, 0)})


def test_a_job_that_leaves_no_row_is_counted_on_disk_all_the_same(engine: Engine) -> None:
    work(engine)
    engine.commit()
    engine.crash()
    assert engine.rows_on_disk("jobs") == 0
    assert told(engine) == (1, 0, {TODAY: (1, 0)})


def test_an_acknowledgement_of_nothing_is_not_counted(engine: Engine) -> None:
    assert not engine.manager.ack("unknown-jid", "")
    jid = engine.push()
    assert not engine.manager.ack(jid, "")
    engine.fetch()
    assert engine.manager.ack(jid, "")
    assert not engine.manager.ack(jid, "")
    assert told(engine) == (1, 0, {TODAY: (1, 0)})


def test_a_reservation_that_ends_counts_as_a_failure(engine: Engine) -> None:
    engine.push()
    engine.fetch()
    engine.pass_time(1800)
    assert told(engine)[:2] == (1, 1)


def test_flush_clears_the_statistics(engine: Engine) -> None:
    work(engine, fails=True)
    engine.commit()
    engine.manager.flush()
    assert told(engine) == (0, 0, {})
    work(engine)
    engine.restart()
    assert told(engine) == (1, 0, {TODAY: (1, 0)})
