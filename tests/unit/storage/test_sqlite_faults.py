"""A batch is on disk as a whole or not at all, whatever fails and wherever the log is cut."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from faktory_tw.storage import database
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import DayRecord, Place, PlaceRecord, QueueRecord, StoreError
from tests.unit.doubles import FULL, IOERR, FakeClock, Faults, copy_directory
from tests.unit.storage.batches import OpenStore, add, commit, copied, ids_on_disk, move

TABLES = ("jobs", "places", "queues", "workers", "days", "entries")


# -- faults --------------------------------------------------------------------------------------------------------


def full_batch(store: SQLiteStore) -> None:
    """Something for every statement."""
    add(store, 11, 12)
    move(store, 11, Place.WORKING)
    store.batch.remove(1)
    store.batch.queues = {"q": QueueRecord("q", True, 1), "r": None}
    store.batch.workers = {"new": True, "old": None}
    store.batch.days = [DayRecord("total", 9, 9)]
    store.batch.enter("kind", b"new", b"value")
    store.batch.enter("kind", b"old", None)


STATEMENTS = [
    "BEGIN",
    "INSERT INTO jobs",
    "INSERT OR REPLACE INTO places",
    "DELETE FROM jobs",
    "DELETE FROM places",
    "DELETE FROM queues",
    "INSERT INTO queues",
    "INSERT OR IGNORE INTO workers",
    "DELETE FROM workers",
    "INSERT OR REPLACE INTO days",
    "INSERT OR REPLACE INTO entries",
    "DELETE FROM entries",
    "COMMIT",
]


@pytest.mark.parametrize("code", [IOERR, FULL])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_batch_that_cannot_be_written_is_an_error_and_nothing_of_it_is_visible(
    statement: str, code: int, faults: Faults, store: SQLiteStore
) -> None:
    add(store, 1)
    store.batch.queues = {"r": QueueRecord("r", False, 1)}
    store.batch.workers = {"old": True}
    store.batch.enter("kind", b"old", b"value")
    commit(store)
    before = dump(store, "before")
    full_batch(store)
    batch = store.seal()
    faults.fail(statement, code)
    with pytest.raises(StoreError, match=r"^cannot write .*(disk I/O error|database or disk is full)$"):
        store.write(batch)
    faults.heal()
    assert dump(store, "after") == before
    connection = sqlite3.connect(store.path)
    assert [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES] == [1, 0, 1, 1, 0, 1]
    connection.close()


def dump(store: SQLiteStore, name: str) -> list[str]:
    """All rows, as a store on a copy of the directory has them."""
    copy = copied(store, name)
    connection = sqlite3.connect(copy.path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()
        copy.finish()
        copy.close()


@pytest.mark.parametrize("statement", ["INSERT INTO jobs", "COMMIT"])
def test_the_reserve_is_given_up_when_the_disk_is_full_and_the_batch_is_written(
    statement: str, faults: Faults, store: SQLiteStore
) -> None:
    reserve = store.directory / "reserve"
    assert reserve.stat().st_size > 0
    full_batch(store)
    batch = store.seal()
    faults.fail(statement, FULL, times=1)
    store.write(batch)
    store.written()
    assert not reserve.exists()
    assert ids_on_disk(store, "copy") == [11, 12]
    faults.fail("COMMIT", FULL, times=1)
    add(store, 13)
    with pytest.raises(StoreError, match="full"):
        store.write(store.seal())


def test_the_reserve_is_kept_when_something_else_is_wrong(faults: Faults, store: SQLiteStore) -> None:
    add(store, 1)
    faults.fail("COMMIT", IOERR, times=1)
    with pytest.raises(StoreError):
        store.write(store.seal())
    assert (store.directory / "reserve").exists()


def test_a_disk_that_is_really_full_is_an_error_and_the_batches_before_are_whole(
    faults: Faults, store: SQLiteStore
) -> None:
    add(store, 1, 2)
    commit(store)
    [writer] = faults.writers()
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages + 1}")
    add(store, *range(3, 60), text="x" * 1000)
    with pytest.raises(StoreError, match="full"):
        store.write(store.seal())
    assert ids_on_disk(store, "copy") == [1, 2]


def test_a_read_that_fails_is_an_error_for_the_operator(faults: Faults, store: SQLiteStore) -> None:
    add(store, 1)
    commit(store)
    faults.fail("SELECT", IOERR)
    with pytest.raises(StoreError, match=r"^cannot read .*: disk I/O error; if it is damaged, put a backup of it"):
        store.read([1])


def test_a_checkpoint_that_fails_is_an_error(faults: Faults, store: SQLiteStore) -> None:
    faults.fail("PRAGMA wal_checkpoint", IOERR)
    for job_id in range(1, 202):
        add(store, job_id)
        commit(store)
    assert store.upkeep_due()
    with pytest.raises(StoreError, match="disk I/O error"):
        store.upkeep()


def test_a_checkpoint_that_finds_the_disk_full_gives_up_the_reserve_and_is_tried_again_later(
    faults: Faults, stores: OpenStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost by putting it off: the log has all that was written."""
    monkeypatch.setattr(database, "time", clock)  # which stands still: it is too early to take the reserve again
    store = stores()
    faults.fail("PRAGMA wal_checkpoint", FULL, times=1)
    tried = []
    for job_id in range(1, 402):
        add(store, job_id)
        commit(store)
        if store.upkeep_due():
            store.upkeep()
            assert not (store.directory / "reserve").exists()
            tried.append(job_id)
    assert 2 <= len(tried) <= 5
    assert 10 <= tried[1] - tried[0] <= 200
    assert ids_on_disk(store, "copy") == list(range(1, 402))


def test_after_the_reserve_was_given_up_the_log_is_copied_before_the_next_write(
    faults: Faults, store: SQLiteStore
) -> None:
    """Then it is used from its beginning, and needs no more room."""
    log = store.directory / "faktory.db-wal"
    faults.fail("COMMIT", FULL, times=1)
    add(store, *range(1, 200), text="x" * 4000)
    commit(store)
    assert store.upkeep_due()
    store.upkeep()
    assert not store.upkeep_due()
    assert (store.directory / "faktory.db").stat().st_size > 199 * 4000
    length = log.stat().st_size
    add(store, *range(200, 300), text="x" * 4000)
    commit(store)
    assert log.stat().st_size <= length


def test_without_a_reserve_no_checkpoint_is_begun_that_the_disk_has_no_room_for(
    faults: Faults, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = store.directory / "faktory.db"
    size = database.stat().st_size
    disk = SimpleNamespace(f_bavail=100, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    faults.fail("COMMIT", FULL, times=1)
    add(store, *range(1, 200), text="x" * 4000)
    commit(store)
    store.upkeep()
    assert database.stat().st_size == size
    tried_again = 0
    while not store.upkeep_due() and tried_again < 1000:
        tried_again += 1
        add(store, 1000 + tried_again)
        commit(store)
    assert 10 <= tried_again <= 200
    disk.f_bavail = 1000
    store.upkeep()
    assert database.stat().st_size > 199 * 4000


# -- the log -------------------------------------------------------------------------------------------------------


def test_the_log_is_copied_into_the_database_from_time_to_time_and_stays_short(store: SQLiteStore) -> None:
    log = store.directory / "faktory.db-wal"
    for job_id in range(1, 1200):
        add(store, job_id, text="x" * 100)
        if job_id > 5:
            store.batch.remove(job_id - 5)
        commit(store)
        if store.upkeep_due():
            store.upkeep()
    assert log.stat().st_size < 16 * 1024 * 1024
    assert ids_on_disk(store, "copy") == [1195, 1196, 1197, 1198, 1199]


def test_large_bodies_bring_the_checkpoint_forward(store: SQLiteStore) -> None:
    for job_id in range(1, 10):
        add(store, job_id, text="x" * 1_000_000)
        commit(store)
    assert store.upkeep_due()
    store.upkeep()
    assert not store.upkeep_due()
    assert ids_on_disk(store, "copy") == list(range(1, 10))


def test_failures_bring_the_checkpoint_forward(store: SQLiteStore) -> None:
    add(store, 1)
    for _ in range(9):
        move(store, 1, Place.RETRIES, failure=b"x" * 1_000_000)
        commit(store)
    assert store.upkeep_due()
    store.upkeep()
    assert not store.upkeep_due()


def test_names_of_workers_bring_the_checkpoint_forward(store: SQLiteStore) -> None:
    add(store, 1)
    for _ in range(200):
        store.batch.move(PlaceRecord(1, int(Place.WORKING), 1, 2.5, 1.5, b"", "w" * 60_000, 3.5))
    assert not store.batch.small
    commit(store)
    assert store.upkeep_due()


def test_a_log_that_became_long_is_cut_when_it_is_begun_anew(store: SQLiteStore) -> None:
    log = store.directory / "faktory.db-wal"
    with open(log, "ab") as file:
        file.truncate(100 * 1024 * 1024)
    add(store, 1, text="x" * 9_000_000)
    commit(store)
    assert store.upkeep_due()
    store.upkeep()
    add(store, 2)
    commit(store)
    assert log.stat().st_size < 30 * 1024 * 1024


def test_many_records_bring_the_checkpoint_forward(store: SQLiteStore) -> None:
    for start in range(1, 100_001, 10_000):
        store.batch.removed.update(dict.fromkeys(range(start, start + 10_000)))
        commit(store)
    assert store.upkeep_due()


def test_a_cut_log_leaves_whole_batches_up_to_the_cut(store: SQLiteStore, tmp_path: Path) -> None:
    """What a torn write at a crash leaves: each batch wholly or not at all, and none after a missing one."""
    log = store.directory / "faktory.db-wal"
    batches: list[list[int]] = []
    ends: list[int] = []
    for number in range(5):
        ids = list(range(number * 10 + 1, number * 10 + 11))
        before = log.read_bytes()
        add(store, *ids, text="x" * 500)
        commit(store)
        batches.append(ids)
        ends.append(changed_up_to(before, log.read_bytes()))
    assert ends == sorted(ends)
    found: set[int] = set()
    for cut in [*ends, *(end - 1 for end in ends), *(end - 3000 for end in ends), *range(ends[0], ends[-1], 2999)]:
        directory = copy_directory(store.directory, tmp_path / f"cut-{cut}-{len(found)}")
        with open(directory / "faktory.db-wal", "r+b") as file:
            file.truncate(cut)
        whole = sum(end <= cut for end in ends)
        cut_store = SQLiteStore(directory, "os")
        ids = sorted(job_id for _, _, run in cut_store.queued() for job_id in run)
        cut_store.finish()
        cut_store.close()
        shutil.rmtree(directory)
        assert ids == [job_id for batch in batches[:whole] for job_id in batch]
        found.add(whole)
    assert found == {0, 1, 2, 3, 4, 5}


def changed_up_to(before: bytes, after: bytes) -> int:
    """The end of what was written into the log."""
    length = min(len(before), len(after))
    if after[length:].strip(b"\0"):
        return length + len(after[length:].rstrip(b"\0"))
    return max(index + 1 for index in range(length) if before[index] != after[index])
