"""When backups are taken, what is told of them, and that a failure stays visible until one succeeds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faktory_tw.backups import Backups
from faktory_tw.config import Settings
from faktory_tw.storage import backup, snapshot
from faktory_tw.storage.backup import Backup, BackupError
from faktory_tw.storage.sqlite import SQLiteStore
from tests.unit.doubles import HOUR, NOON, FakeClock
from tests.unit.storage.backups import files, fill

MINUTE = 60.0


class Log:
    """Remembers what was logged, as (level, text with the values in it)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda text, **values: self.lines.append((level, text.format(**values)))

    def of(self, level: str) -> list[str]:
        return [text for logged, text in self.lines if logged == level]


class Taken:
    """Stands in for ``storage.backup``: takes no time but that of the test, and fails on demand."""

    def __init__(self, clock: FakeClock) -> None:
        self.times: list[float] = []
        self.purged: list[int] = []
        self.error: Exception | None = None
        self._clock = clock

    def create(self, _database: Path, directory: Path, now: float, _least: int, _abandoned: object) -> Backup:
        self.times.append(now)
        if self.error is not None:
            raise self.error
        name = f"faktory-{len(self.times)}.db"
        return Backup(name, directory / name, now, 1 << 20, 7, True, len(self.times))

    def purge(self, _directory: Path, keep: int) -> list[Backup]:
        self.purged.append(keep)
        return []

    def list_backups(self, _directory: Path) -> list[Backup]:
        return []


class Thread:
    """Another thread that works when it is told to."""

    def __init__(self) -> None:
        self.slow = False
        self._waiting: list[tuple[Callable[[], None], Callable[[], None]]] = []

    def __call__(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        self._waiting.append((work, done))
        if not self.slow:
            self.go_on()

    def go_on(self) -> None:
        while self._waiting:
            work, done = self._waiting.pop(0)
            work()
            done()


class Office:
    """Backups with all that they need; ``pass_time`` ticks every second as the service does."""

    def __init__(self, directory: Path, clock: FakeClock, **settings: Any) -> None:
        self.clock = clock
        self.log = Log()
        self.thread = Thread()
        self.released = 0
        self.settings = Settings("production", directory, directory, None, backup_seconds=3600)
        self.settings = replace(self.settings, **settings)
        self.start()

    def start(self) -> None:
        self.backups = Backups(
            self.settings.directory / "faktory.db", self.settings, self.log, self.thread, self._release, self.clock
        )

    def _release(self) -> None:
        self.released += 1

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            self.backups.tick()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Taken:
    taken = Taken(clock)
    for name in ("create", "purge", "list_backups"):
        monkeypatch.setattr(backup, name, getattr(taken, name))
    return taken


@pytest.fixture
def office(tmp_path: Path, clock: FakeClock, taken: Taken) -> Office:
    """It starts at ten past twelve."""
    clock.advance(10 * MINUTE)
    return Office(tmp_path, clock)


# -- when ----------------------------------------------------------------------------------------------------------


def test_a_backup_is_taken_at_every_full_hour_and_at_no_other_time(office: Office, taken: Taken) -> None:
    office.pass_time(4 * HOUR)
    assert taken.times == [NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR, NOON + 4 * HOUR]
    assert office.backups.count == 4


def test_a_server_that_starts_just_before_the_hour_takes_one_then(
    tmp_path: Path, clock: FakeClock, taken: Taken
) -> None:
    clock.advance(HOUR - 1)
    Office(tmp_path, clock).pass_time(60)
    assert taken.times == [NOON + HOUR]


def test_a_server_that_starts_after_the_hour_waits_for_the_next(office: Office, taken: Taken) -> None:
    office.pass_time(50 * MINUTE)
    office.start()
    office.pass_time(59 * MINUTE)
    assert taken.times == [NOON + HOUR]


def test_periods_of_any_length_begin_at_their_multiples(tmp_path: Path, clock: FakeClock, taken: Taken) -> None:
    clock.advance(100)
    Office(tmp_path, clock, backup_seconds=300).pass_time(1000)
    assert taken.times == [NOON + 300, NOON + 600, NOON + 900]


def test_there_are_none_when_the_setting_says_so(tmp_path: Path, clock: FakeClock, taken: Taken) -> None:
    office = Office(tmp_path, clock, backup_seconds=0)
    office.pass_time(3 * HOUR)
    assert taken.times == []
    office.backups.begin()
    assert len(taken.times) == 1


def test_a_tick_that_comes_late_takes_the_backup_then(office: Office, taken: Taken) -> None:
    office.clock.advance(52 * MINUTE)
    office.backups.tick()
    assert taken.times == [NOON + 62 * MINUTE]


def test_a_clock_that_is_set_back_across_the_hour_brings_no_second_one(office: Office, taken: Taken) -> None:
    office.pass_time(50 * MINUTE + 5)
    for _ in range(3):
        office.clock.step_wall(-10)
        office.pass_time(10)
    assert taken.times == [NOON + HOUR]
    office.pass_time(HOUR)
    assert taken.times == [NOON + HOUR, NOON + 2 * HOUR]


def test_a_clock_that_is_set_back_an_hour_brings_no_second_one_for_that_hour(office: Office, taken: Taken) -> None:
    office.pass_time(2 * HOUR)  # 14:10
    office.clock.step_wall(-HOUR)
    office.pass_time(49 * MINUTE)  # 13:59
    assert taken.times == [NOON + HOUR, NOON + 2 * HOUR]
    office.pass_time(HOUR)
    assert len(taken.times) == 2
    office.pass_time(MINUTE)
    assert taken.times[2:] == [NOON + 3 * HOUR]


def test_a_clock_that_is_set_back_a_day_is_not_followed_by_a_day_without_backups(office: Office, taken: Taken) -> None:
    for _ in range(24):
        office.pass_time(HOUR)
    before = len(taken.times)
    office.clock.step_wall(-24 * HOUR)
    office.pass_time(12 * HOUR)
    assert 4 <= len(taken.times) - before <= 6


def test_a_clock_that_is_set_forward_brings_one_at_once_and_not_one_for_each_hour(office: Office, taken: Taken) -> None:
    office.clock.step_wall(5 * HOUR)
    office.pass_time(10)
    assert taken.times == [NOON + 5 * HOUR + 10 * MINUTE + 1]
    office.clock.step_wall(-5 * HOUR)
    office.pass_time(51 * MINUTE)
    assert taken.times[1:] == [NOON + HOUR]


def test_a_backup_that_takes_longer_than_an_hour_is_not_followed_by_those_it_missed(
    office: Office, taken: Taken
) -> None:
    office.thread.slow = True
    office.pass_time(3 * HOUR)
    assert office.backups.running
    office.thread.go_on()
    office.thread.slow = False
    assert not office.backups.running
    assert len(taken.times) == 1
    assert office.log.of("warn") == ["No backup for this period: the one before is still under way"] * 2
    office.pass_time(HOUR)
    assert len(taken.times) == 2


# -- on demand -----------------------------------------------------------------------------------------------------


def test_a_backup_on_demand_tells_when_it_is_done_and_deletes_none(office: Office, taken: Taken) -> None:
    office.thread.slow = True
    told: list[str] = []
    office.backups.begin(lambda: told.append("done"))
    assert office.backups.running
    assert told == []
    office.thread.go_on()
    assert told == ["done"]
    assert taken.purged == []
    assert office.backups.count == 1


def test_two_at_once_are_refused(office: Office, taken: Taken) -> None:
    office.thread.slow = True
    office.backups.begin()
    with pytest.raises(BackupError, match="a backup is under way already; wait"):
        office.backups.begin()
    office.thread.go_on()
    office.backups.begin()


def test_one_on_demand_does_not_take_the_place_of_the_automatic_one(office: Office, taken: Taken) -> None:
    office.backups.begin()
    office.pass_time(HOUR)
    assert len(taken.times) == 2


# -- what is told --------------------------------------------------------------------------------------------------


def test_what_was_taken_is_told_and_logged(office: Office, taken: Taken) -> None:
    backups = office.backups
    assert (backups.count, backups.last, backups.last_error, backups.running) == (0, None, "", False)
    assert backups.age_seconds(NOON) is None
    office.pass_time(HOUR)
    assert backups.last is not None
    assert backups.last.jobs == 7
    assert backups.age_seconds(NOON + HOUR + 30) == 30
    assert backups.age_seconds(NOON) == 0
    [line] = office.log.of("info")
    assert line.endswith("faktory-1.db: 7 jobs, 1.0 MiB, in 0.0 s, 0 old ones deleted")
    assert taken.purged == [24]
    assert office.released == 1


def test_a_failure_is_an_error_in_the_log_and_stays_until_one_succeeds(office: Office, taken: Taken) -> None:
    office.pass_time(HOUR)
    taken.error = BackupError("not enough room")
    told: list[str] = []
    office.backups.begin(lambda: told.append(office.backups.last_error))
    assert told == ["not enough room"]
    assert office.log.of("error") == [
        "BACKUP FAILED: not enough room; the latest good one is of 2025-11-21T13:00:00.000000Z"
    ]
    assert office.backups.count == 1
    assert office.backups.last is not None
    assert office.released == 2
    office.pass_time(40 * MINUTE)
    assert office.backups.last_error == "not enough room"
    taken.error = None
    office.pass_time(10 * MINUTE)
    assert office.backups.last_error == ""


def test_what_nobody_thought_of_is_a_failure_too(office: Office, taken: Taken) -> None:
    taken.error = RuntimeError("odd")
    office.backups.begin()
    assert office.backups.last_error == "unexpected: RuntimeError('odd')"
    assert office.log.of("error") == ["BACKUP FAILED: unexpected: RuntimeError('odd'); the latest good one is missing"]
    assert not office.backups.running


def test_old_ones_that_cannot_be_deleted_are_an_error_though_the_backup_is_good(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BackupError("cannot delete old backups")

    monkeypatch.setattr(backup, "purge", fail)
    office.pass_time(HOUR)
    assert office.backups.count == 1
    assert office.backups.last_error == "cannot delete old backups"
    assert len(office.log.of("error")) == 1


# -- settings ------------------------------------------------------------------------------------------------------


def test_other_settings_hold_from_the_next_backup_on(office: Office, taken: Taken, tmp_path: Path) -> None:
    assert office.backups.directory == tmp_path / "backups"
    office.backups.configure(
        replace(office.settings, backup_seconds=300, backup_keep=3, backup_directory=tmp_path / "other")
    )
    office.pass_time(300)
    assert taken.times == [NOON + 15 * MINUTE]
    assert taken.purged == [3]
    assert office.backups.last is not None
    assert office.backups.last.path.parent == tmp_path / "other"
    office.backups.configure(replace(office.settings, backup_seconds=0))
    office.pass_time(HOUR)
    assert len(taken.times) == 1


def test_the_same_settings_once_more_bring_no_second_backup(office: Office, taken: Taken) -> None:
    office.pass_time(50 * MINUTE)
    office.backups.configure(office.settings)
    office.pass_time(10)
    assert len(taken.times) == 1


# -- with a real database ------------------------------------------------------------------------------------------


@pytest.fixture
def real(tmp_path: Path, clock: FakeClock) -> Any:
    store = fill(SQLiteStore(tmp_path, "os", 0.0))
    yield Office(tmp_path, clock, backup_keep=2, min_free_disk_bytes=0)
    store.finish()
    store.close()


def listed(office: Office) -> list[Backup]:
    found: list[Backup] = []
    office.backups.list_soon(lambda backups, _error: found.extend(backups))
    return found


def test_real_backups_are_taken_listed_and_deleted_when_they_are_old(real: Office, tmp_path: Path) -> None:
    for _ in range(3):
        real.pass_time(HOUR)
    found = listed(real)
    assert [one.taken_at for one in found] == [NOON + 3 * HOUR, NOON + 2 * HOUR]
    assert real.backups.last == found[0]
    assert found[0].jobs == 100


def test_the_backups_of_an_earlier_server_are_known(real: Office) -> None:
    real.pass_time(HOUR)
    real.start()
    assert real.backups.count == 0
    assert real.backups.age_seconds(NOON + 2 * HOUR) == HOUR


def test_a_server_that_stops_abandons_the_backup_and_begins_none(real: Office, tmp_path: Path) -> None:
    real.thread.slow = True
    real.backups.begin()
    real.backups.stop()
    real.thread.go_on()
    assert files(tmp_path / "backups") == []
    assert real.log.of("error") == []
    assert not real.backups.running
    with pytest.raises(BackupError, match="the server stops"):
        real.backups.begin()
    real.pass_time(HOUR)
    assert files(tmp_path / "backups") == []


def test_a_directory_that_cannot_be_read_is_told_but_is_no_backup_that_failed(real: Office, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("in the way")
    real.start()
    [line] = real.log.of("error")
    assert line.startswith("cannot list the backups in")
    told: list[object] = []
    real.backups.list_soon(lambda *outcome: told.extend(outcome))
    assert told == [[], line]
    assert (real.backups.last, real.backups.last_error) == (None, "")


def test_backups_are_listed_in_another_thread(real: Office) -> None:
    real.pass_time(HOUR)
    real.thread.slow = True
    told: list[object] = []
    real.backups.list_soon(lambda *outcome: told.extend(outcome))
    assert told == []
    real.thread.go_on()
    assert told == [[real.backups.last], ""]


# -- room --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """How many backups the disk has room for."""
    most = [1000]

    def free_bytes(_: Path) -> int:
        return 1 << 40 if len(list((tmp_path / "backups").glob("*.db"))) < most[0] else 0

    monkeypatch.setattr(snapshot, "free_bytes", free_bytes)
    return most


def test_backups_beyond_those_to_keep_are_deleted_though_no_other_can_be_taken(real: Office, room: list[int]) -> None:
    for number in range(5):
        real.clock.advance(number)
        real.backups.begin()
    newest = listed(real)[0]
    room[0] = 0
    real.pass_time(HOUR)
    assert real.backups.last_error.startswith("not enough room")
    assert listed(real) == [newest]
    real.pass_time(HOUR)
    assert listed(real) == [newest]


def test_a_disk_that_the_backups_have_filled_has_room_for_the_next(real: Office, room: list[int]) -> None:
    real.pass_time(2 * HOUR)
    room[0] = 2
    for hour in (3, 4):
        real.pass_time(HOUR)
        assert real.backups.last_error == ""
        assert [one.taken_at for one in listed(real)] == [NOON + hour * HOUR, NOON + (hour - 1) * HOUR]
    assert real.log.of("info")[-1].endswith("1 old ones deleted")


def test_a_backup_on_demand_deletes_none_for_want_of_room(real: Office, room: list[int]) -> None:
    real.pass_time(2 * HOUR)
    room[0] = 2
    real.backups.begin()
    assert real.backups.last_error.startswith("not enough room")
    assert len(listed(real)) == 2


def test_those_to_keep_stay_and_the_others_go_when_a_backup_fails_for_another_reason(
    real: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        real.clock.advance(1)
        real.backups.begin()

    def fail(*_: object) -> None:
        raise BackupError("the database is damaged")

    monkeypatch.setattr(backup, "create", fail)
    real.pass_time(HOUR)
    assert real.backups.last_error == "the database is damaged"
    assert len(listed(real)) == 2


def test_the_last_good_one_stays_when_there_is_no_room(real: Office, room: list[int], tmp_path: Path) -> None:
    for _ in range(3):
        real.clock.advance(1)
        real.backups.begin()
    bad, worse, good = listed(real)
    for one in (bad, worse):
        os.truncate(one.path, 4096)
    room[0] = 0
    real.pass_time(HOUR)
    assert [one.name for one in listed(real)] == [bad.name, good.name]


def test_old_ones_that_cannot_be_deleted_do_not_prevent_a_backup(real: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BackupError("cannot delete old backups")

    for _ in range(3):
        real.clock.advance(1)
        real.backups.begin()
    monkeypatch.setattr(backup, "purge", fail)
    real.pass_time(HOUR)
    assert real.backups.count == 4
    assert real.backups.last_error == "cannot delete old backups"
