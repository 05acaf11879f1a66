"""Backups: whole, checked, listed; what is damaged is refused, and what fails or is killed leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from faktory_tw.storage import database, snapshot
from faktory_tw.storage.backup import Backup, BackupError, create, find, list_backups, purge, verify
from faktory_tw.storage.journal import JOURNAL_SECONDS
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import DayRecord, Place, QueueRecord
from tests.unit.doubles import FULL, HOUR, NOON, FakeClock, Faults
from tests.unit.storage.backups import (
    NAME,
    Crashes,
    count_rows,
    execute,
    files,
    ids_in,
    take,
    take_some,
    without_facts,
)
from tests.unit.storage.batches import OpenStore, add, commit, move

# -- taking --------------------------------------------------------------------------------------------------------


def test_a_backup_says_when_it_was_taken_how_large_it_is_and_what_is_in_it(
    filled: SQLiteStore, directory: Path
) -> None:
    taken = take(filled, directory)
    assert taken == Backup(NAME, directory / NAME, NOON, taken.path.stat().st_size, 100, True, 1)
    assert list_backups(directory) == [taken]
    assert verify(taken.path) == taken
    assert ids_in(taken.path) == list(range(1, 101))


def test_a_backup_is_one_file_of_ordinary_sqlite_and_one_with_what_is_known_of_it(
    filled: SQLiteStore, directory: Path
) -> None:
    take(filled, directory)
    assert files(directory) == [NAME, f"{NAME}.json"]
    with closing(sqlite3.connect(directory / NAME)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA user_version").fetchone() == (database.schema_version(),)
    facts = json.loads((directory / f"{NAME}.json").read_bytes())
    assert sorted(facts) == ["jobs", "number", "sha256", "size_bytes", "taken_at"]


def test_nobody_else_may_read_a_backup(filled: SQLiteStore, directory: Path) -> None:
    mask = os.umask(0)
    try:
        take(filled, directory)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_what_is_only_in_the_journal_is_in_the_tables_of_the_backup(
    tmp_path: Path, directory: Path, clock: FakeClock
) -> None:
    store = SQLiteStore(tmp_path / "data", "os", JOURNAL_SECONDS, clock.monotonic)
    try:
        add(store, 1, 2, 3)
        commit(store)
        clock.advance(JOURNAL_SECONDS)
        store.batch.remove(1)
        move(store, 2, Place.DEAD)
        commit(store)
        add(store, 4, at=99.0)
        store.batch.days = [DayRecord("total", 1, 0)]
        commit(store)
        assert count_rows(store.path, "journal") > 0
        taken = take(store, directory)
        assert ids_in(taken.path) == [2, 3, 4]
        assert [count_rows(taken.path, table) for table in ("journal", "places", "days")] == [0, 1, 1]
    finally:
        store.finish()
        store.close()


def test_jobs_that_are_swept_away_in_the_background_are_not_counted(store: SQLiteStore, directory: Path) -> None:
    store.batch.queues = {"q": QueueRecord("q", False, 5)}
    add(store, 1, 2, 5, 6)
    add(store, 3, queue="gone")
    add(store, 7, at=9.0, queue="gone")  # scheduled: it will make its queue anew
    for job_id, place in enumerate((Place.DEAD, Place.RETRIES, Place.WORKING, Place.SCHEDULED), 10):
        add(store, job_id, queue="gone")
        move(store, job_id, place)
    add(store, 4)
    move(store, 4, Place.QUEUED, position=20)
    commit(store)
    assert take(store, directory).jobs == len([5, 6, 7, 10, 11, 12, 13, 4])


def test_an_empty_database_has_a_backup_too(store: SQLiteStore, directory: Path) -> None:
    assert take(store, directory).jobs == 0


def test_a_database_of_an_older_version_has_a_backup_of_the_newest(
    stores: OpenStore, tmp_path: Path, directory: Path
) -> None:
    path = tmp_path / "faktory.db"
    schema = Path(database.__file__).parent / "schema" / "001.sql"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema.read_text(encoding="utf-8") + "PRAGMA user_version = 1;")
    execute(path, "INSERT INTO queues VALUES ('q', 0, 1)", "INSERT INTO jobs VALUES (1, 'q', 5, NULL, 1.0, '{}')")
    assert verify(create(path, directory, NOON, 0).path).jobs == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_backup_has_every_batch_that_was_acknowledged_before_it_and_none_in_part(
    stores: OpenStore, directory: Path
) -> None:
    """One thread commits, each batch ten jobs, and the other takes backups of whatever there is."""
    store = stores(journal_seconds=0.01)
    add(store, *range(1, 5001), text="x" * 200)
    commit(store)
    written = [500]
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            first = written[0] * 10 + 1
            add(store, *range(first, first + 10))
            commit(store)
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            before = written[0]
            ids = ids_in(take(store, directory, NOON + number).path)
            after = written[0] + 1
            assert ids == list(range(1, len(ids) + 1))
            assert len(ids) % 10 == 0
            assert before <= len(ids) // 10 <= after
    finally:
        ended.set()
        writer.join()


def test_two_backups_in_one_second_have_two_names(filled: SQLiteStore, directory: Path) -> None:
    first, second = take(filled, directory), take(filled, directory)
    assert [first.name, second.name] == [NAME, "faktory-20251121T120000Z-2.db"]
    assert list_backups(directory) == [second, first]


def test_a_second_backup_at_the_same_time_is_refused(filled: SQLiteStore, directory: Path) -> None:
    refused: list[str] = []

    def try_another() -> bool:
        with pytest.raises(BackupError) as refusal:
            take(filled, directory, NOON + 1)
        refused.append(str(refusal.value))
        return False

    take(filled, directory, abandoned=try_another)
    assert refused[0].startswith(f"another backup into {directory} is under way (process {os.getpid()}); wait")
    assert len(list_backups(directory)) == 1


def test_progress_goes_up_to_its_end(filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_LOOK_EVERY", 10)
    told: list[tuple[int, int]] = []
    take(filled, directory, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 0


def test_a_backup_of_what_is_not_there_is_an_error_and_makes_no_database(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(BackupError, match=r"^there is no file .*faktory\.db; look for the name"):
        create(tmp_path / "faktory.db", directory, NOON)
    assert not (tmp_path / "faktory.db").exists()
    assert files(directory) == []


def test_the_log_that_grew_meanwhile_is_copied_and_cut_afterwards(store: SQLiteStore) -> None:
    """A reader stands in for the backup: what the database was when it began must stay."""
    log = Path(f"{store.path}-wal")
    ordinary = log.stat().st_size
    add(store, 1)
    commit(store)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM jobs").fetchall()
        for job_id in range(2, 302):
            add(store, job_id, text="x" * 2000)
            commit(store)
            if store.upkeep_due():
                store.upkeep()
        assert log.stat().st_size > 2 * ordinary
        assert not store.upkeep_due()
    store.checkpoint_soon()
    assert store.upkeep_due()
    store.upkeep()
    assert not store.upkeep_due()
    add(store, 400)
    commit(store)
    assert log.stat().st_size <= ordinary
    assert store.read([1, 301, 400])[2].id == 400


# -- failing -------------------------------------------------------------------------------------------------------


def test_there_is_no_backup_where_there_is_no_room_and_the_numbers_are_told(
    filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "free_bytes", lambda _: 70 << 20)
    told = (
        r"^not enough room: up to 0\.\d MiB will be used, 80\.0 MiB are to stay free, and .*backups has 70\.0 MiB; make"
    )
    with pytest.raises(BackupError, match=told):
        create(filled.path, directory, NOON, min_free_bytes=80 << 20)
    assert files(directory) == []


def test_the_log_that_grows_meanwhile_is_counted(
    filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RESERVE_BYTES", 50 << 20)
    monkeypatch.setattr(snapshot, "free_bytes", lambda _: 50 << 20)
    with pytest.raises(BackupError, match=r"up to 50\.\d MiB will be used"):
        create(filled.path, directory, NOON, min_free_bytes=0)


def test_a_backup_is_abandoned_when_the_room_goes_meanwhile(
    filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_LOOK_EVERY", 10)
    free = iter([1 << 40])
    monkeypatch.setattr(snapshot, "free_bytes", lambda _: next(free, 1 << 20))
    with pytest.raises(BackupError, match=r"^abandoned, because fewer than 64\.0 MiB are free in .*; make room"):
        create(filled.path, directory, NOON)
    assert files(directory) == []


def test_a_disk_that_is_full_after_all_is_an_error_that_leaves_nothing(
    faults: Faults, filled: SQLiteStore, directory: Path
) -> None:
    faults.fail("VACUUM INTO", FULL)
    with pytest.raises(
        BackupError, match=r"^cannot copy .*: database or disk is full; make room, or use another disk$"
    ):
        take(filled, directory)
    assert files(directory) == []


@pytest.mark.parametrize("name", ["fsync", "rename", "write", "open"])
def test_a_backup_that_fails_leaves_nothing(
    name: str, filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(filled, directory)
    there = files(directory)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, name, fail)
        with pytest.raises(BackupError, match=r"No space left on device.*; make room, or use another disk$"):
            take(filled, directory, NOON + 1)
    assert files(directory) == there
    assert len(list_backups(directory)) == 1


def test_a_directory_that_cannot_be_written_is_named(filled: SQLiteStore, directory: Path) -> None:
    directory.write_text("in the way")
    with pytest.raises(BackupError, match=r"^cannot make a backup in .*backups: .*: .*backups"):
        take(filled, directory)


@pytest.mark.parametrize("looks", [0, 1, 5, 1000])
def test_a_backup_is_abandoned_when_it_is_told_so(
    looks: int, filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_LOOK_EVERY", 10)
    left = iter(range(looks))
    if looks == 1000:  # none of the statements: the checksum
        monkeypatch.setattr(snapshot, "_LOOK_EVERY", 10**9)
        left = iter(())
    with pytest.raises(BackupError, match=r"^the backup was abandoned before it was complete"):
        take(filled, directory, abandoned=lambda: next(left, None) is None)
    assert files(directory) == []


def test_a_crash_at_any_step_leaves_no_backup_or_a_whole_one_and_the_next_one_tidies_up(
    filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = take(filled, directory)
    with monkeypatch.context() as watched:
        crashes = Crashes(directory, tmp_path / "crashes", watched)
        second = take(filled, directory, NOON + 1)
    assert len(crashes.trees) > 4
    counts = set()
    for tree in crashes.trees:
        found = list_backups(tree)
        counts.add(len(found))
        assert [(one.name, one.jobs, one.verified) for one in found][-1] == (first.name, 100, True)
        for one in found:
            assert verify(one.path).jobs == 100
        third = take(filled, tree, NOON + 2)
        assert find(tree, "latest") == third
        assert files(tree) == sorted([name for one in (*found, third) for name in (one.name, f"{one.name}.json")])
    assert counts == {1, 2}
    assert find(directory, "latest") == second


# -- finding -------------------------------------------------------------------------------------------------------


def test_a_backup_is_found_as_the_latest_by_its_name_and_as_a_file(filled: SQLiteStore, directory: Path) -> None:
    newest, oldest = take_some(filled, directory, 2)
    assert find(directory, "latest") == newest
    assert find(directory, NAME) == find(directory, NAME.removesuffix(".db")) == oldest
    elsewhere = directory.with_name("elsewhere.db")
    shutil.copyfile(newest.path, elsewhere)
    os.utime(elsewhere, (NOON, NOON + 5))
    found = find(directory, str(elsewhere))
    assert (found.path, found.jobs, found.verified, found.taken_at) == (elsewhere, 100, False, NOON + 5)


@pytest.mark.parametrize("name", ["faktory-20000101T000000Z.db", "", "/nowhere.db", "../faktory.db"])
def test_what_is_not_found_is_told_with_what_there_is(name: str, filled: SQLiteStore, directory: Path) -> None:
    take(filled, directory)
    with pytest.raises(BackupError, match=rf"there is no backup '{name}' in .*, and no such file; there are {NAME}"):
        find(directory, name)


def test_there_is_no_latest_of_none(directory: Path) -> None:
    assert list_backups(directory) == []
    assert purge(directory, 3) == []
    with pytest.raises(BackupError, match=r"^there is no backup in .*; take one"):
        find(directory, "latest")


def test_the_newest_is_the_one_that_was_taken_last_whatever_the_clock_said(
    filled: SQLiteStore, directory: Path
) -> None:
    ahead = take(filled, directory, NOON + 1000 * HOUR)
    right = take(filled, directory, NOON)
    lost = take(filled, directory, NOON + HOUR)
    newest = take(filled, directory, NOON + 2 * HOUR)
    without_facts(lost)
    assert [one.name for one in list_backups(directory)] == [one.name for one in (newest, lost, right, ahead)]


# -- deleting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "left"), [(3, 3), (1, 1), (0, 1), (-5, 1), (24, 5)])
def test_so_many_of_the_newest_are_kept_but_one_always(
    keep: int, left: int, filled: SQLiteStore, directory: Path
) -> None:
    taken = take_some(filled, directory, 5)
    assert purge(directory, keep) == taken[left:]
    assert list_backups(directory) == taken[:left]
    assert len(files(directory)) == 2 * left


def test_the_last_good_one_is_kept(filled: SQLiteStore, directory: Path) -> None:
    taken = take_some(filled, directory, 4)
    for bad in taken[:2]:
        os.truncate(bad.path, 4096)
    assert purge(directory, 2) == taken[3:]
    assert [one.name for one in list_backups(directory)] == [one.name for one in taken[:3]]


@pytest.mark.parametrize("keep", [0, -1])
def test_the_only_one_is_kept_though_it_is_not_known_to_be_good(
    keep: int, filled: SQLiteStore, directory: Path
) -> None:
    without_facts(take(filled, directory))
    assert purge(directory, keep) == []
    assert len(list_backups(directory)) == 1


def test_what_a_crash_left_is_deleted_and_what_is_none_of_ours_stays(filled: SQLiteStore, directory: Path) -> None:
    take(filled, directory)
    stays = ["faktory.db", "notes.txt", "faktory-copy.db", "faktory-20251121T120000Z.db.bak", "other.json"]
    goes = [f".{NAME}.part", f".{NAME}.part-journal", f".{NAME}.json.part", "faktory-20251121T110000Z.db.json"]
    for name in stays + goes:
        (directory / name).write_text("")
    assert purge(directory, 5) == []
    assert files(directory) == sorted([*stays, NAME, f"{NAME}.json"])


def test_what_is_being_written_is_no_leftover(filled: SQLiteStore, directory: Path) -> None:
    def purge_meanwhile() -> bool:
        purge(directory, 1)
        return False

    assert verify(take(filled, directory, abandoned=purge_meanwhile).path).jobs == 100


def test_a_backup_that_cannot_be_deleted_is_an_error(
    filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_some(filled, directory, 2)

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    told = r"^cannot delete old backups in .*: Operation not permitted: .*\.db; make it accessible to this user$"
    with pytest.raises(BackupError, match=told):
        purge(directory, 1)
