"""A batch is on disk as a whole or not at all, whatever fails and wherever the log is cut."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import DayRecord, Place, QueueRecord, StoreError
from tests.unit.doubles import FULL, IOERR, Faults, copy_directory
from tests.unit.storage.batches import add, commit, copied, ids_on_disk, move

TABLES = ("jobs", "places", "queues", "workers", "days")


# -- faults --------------------------------------------------------------------------------------------------------


def full_batch(store: SQLiteStore) -> None:
    """Something for every statement."""
    add(store, 11, 12)
    move(store, 11, Place.WORKING)
    store.batch.remove(1)
    store.batch.queues = {"q": QueueRecord("q", True, 1), "r": None}
    store.batch.workers = {"new": True, "old": None}
    store.batch.days = [DayRecord("total", 9, 9)]


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
    "COMMIT",
]


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("code", [IOERR, FULL])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_batch_that_cannot_be_written_is_an_error_and_nothing_of_it_is_visible(
    statement: str, code: int, staged: bool, faults: Faults, store: SQLiteStore
) -> None:
    add(store, 1)
    store.batch.queues = {"r": QueueRecord("r", False, 1)}
    store.batch.workers = {"old": True}
    commit(store)
    before = dump(store, "before")
    full_batch(store)
    batch = store.seal()
    faults.fail(statement, code)
    if staged:
        store.stage(batch)
    with pytest.raises(StoreError, match=r"^cannot write .*(disk I/O error|database or disk is full)$"):
        store.write(batch)
    faults.heal()
    assert dump(store, "after") == before
    connection = sqlite3.connect(store.path)
    assert [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES] == [1, 0, 1, 1, 0]
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


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("statement", ["INSERT INTO jobs", "COMMIT"])
def test_the_reserve_is_given_up_when_the_disk_is_full_and_the_batch_is_written(
    statement: str, staged: bool, faults: Faults, store: SQLiteStore
) -> None:
    reserve = store.directory / "reserve"
    assert reserve.stat().st_size > 0
    full_batch(store)
    batch = store.seal()
    faults.fail(statement, FULL, times=2 if staged and statement != "COMMIT" else 1)
    if staged:
        store.stage(batch)
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
    with pytest.raises(StoreError, match=r"^cannot read .*: disk I/O error$"):
        store.read([1])


def test_a_checkpoint_that_fails_is_an_error(faults: Faults, store: SQLiteStore) -> None:
    faults.fail("PRAGMA wal_checkpoint", IOERR)
    for job_id in range(1, 202):
        add(store, job_id)
        commit(store)
    assert store.upkeep_due()
    with pytest.raises(StoreError, match="disk I/O error"):
        store.upkeep()


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
