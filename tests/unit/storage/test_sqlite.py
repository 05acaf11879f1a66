"""What is written is read back, whole batches or nothing of them; also after faults, crashes and cut files."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faktory_tw.storage import sqlite as module
from faktory_tw.storage.sqlite import DURABILITIES, SQLiteStore
from faktory_tw.storage.store import DayRecord, JobRecord, Place, PlaceRecord, QueueRecord, StoreError
from tests.unit.doubles import FULL, IOERR, FakeClock, Faults, copy_directory, failing_connect

Fill = Callable[[SQLiteStore], None]

TABLES = ("jobs", "places", "queues", "workers", "days")


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Callable[..., SQLiteStore]]:
    """Opens stores, in directories of the test, and closes them at its end."""
    opened: list[SQLiteStore] = []

    def make(directory: Path | None = None, durability: str = "os") -> SQLiteStore:
        opened.append(SQLiteStore(directory or tmp_path / "data", durability))
        return opened[-1]

    yield make
    for store in opened:
        store.finish()
        store.close()


@pytest.fixture
def store(stores: Callable[..., SQLiteStore]) -> SQLiteStore:
    return stores()


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Faults of every connection that is opened from now on; use it before ``store``."""
    faults = Faults()
    monkeypatch.setattr(sqlite3, "connect", failing_connect(faults))
    return faults


def body_of(job_id: int, text: str = "") -> bytes:
    return b'{"jid":"job-%06d","text":"%b"}' % (job_id, text.encode())


def add(store: SQLiteStore, *ids: int, at: float | None = None, text: str = "", queue: str = "q") -> None:
    for job_id in ids:
        store.batch.add(JobRecord(job_id, queue, 5, at, None if at else 1.5, body_of(job_id, text)))


def move(store: SQLiteStore, job_id: int, place: Place, position: int = 0, failure: bytes = b"") -> None:
    at = 2.5 if place in (Place.RETRIES, Place.DEAD, Place.WORKING) else None
    store.batch.move(PlaceRecord(job_id, int(place), position or job_id, at, 1.5, failure, "w", 3.5))


def commit(store: SQLiteStore) -> None:
    batch = store.seal()
    store.write(batch)
    store.written()


def copied(store: SQLiteStore, name: str) -> SQLiteStore:
    """Another store on a copy of the directory: what a crash now would leave."""
    return SQLiteStore(copy_directory(store.directory, store.directory.with_name(name)), "os")


def ids_on_disk(store: SQLiteStore, name: str) -> list[int]:
    copy = copied(store, name)
    try:
        ids = [job_id for _, _, run in copy.queued() for job_id in run] + [row.id for row in copy.placed()]
        assert [row.id for row in copy.read(ids)] == ids
        return sorted(ids)
    finally:
        copy.finish()
        copy.close()


# -- reading -------------------------------------------------------------------------------------------------------


def test_jobs_are_read_in_the_order_asked_for_and_the_missing_are_left_out(store: SQLiteStore) -> None:
    add(store, 1, 2)
    commit(store)
    add(store, 3)
    store.seal()
    add(store, 4)
    assert [row.id for row in store.read([4, 99, 1, 3, 2])] == [4, 1, 3, 2]
    assert store.read([]) == []


def test_changes_that_are_not_written_yet_are_read(store: SQLiteStore) -> None:
    add(store, 1, 2, 3)
    commit(store)
    move(store, 1, Place.WORKING)
    move(store, 2, Place.WORKING)
    store.seal()
    move(store, 2, Place.RETRIES, failure=b'{"a":1}')
    assert [(row.place, row.failure) for row in store.read([1, 2, 3])] == [
        (Place.WORKING, b""),
        (Place.RETRIES, b'{"a":1}'),
        (Place.QUEUED, b""),
    ]


def test_a_first_place_follows_from_the_push(store: SQLiteStore) -> None:
    add(store, 1)
    add(store, 2, at=7.25)
    rows = store.read([1, 2])
    commit(store)
    assert store.read([1, 2]) == rows
    assert [(row.place, row.position, row.at, row.enqueued_at, row.wid) for row in rows] == [
        (Place.QUEUED, 1, None, 1.5, ""),
        (Place.SCHEDULED, 2, 7.25, None, ""),
    ]


def test_every_field_comes_back(store: SQLiteStore) -> None:
    add(store, 1)
    move(store, 1, Place.WORKING, position=77, failure=b'{"message":"\xc3\xa9"}')
    [unwritten] = store.read([1])
    commit(store)
    [written] = store.read([1])
    assert written == unwritten
    assert (written.queue, written.priority, written.position, written.at) == ("q", 5, 77, 2.5)
    assert (written.enqueued_at, written.wid, written.reserved_at) == (1.5, "w", 3.5)
    assert (written.failure, written.body) == (b'{"message":"\xc3\xa9"}', body_of(1))


@pytest.mark.parametrize(
    "body",
    [
        b'{"text":"\\u0000 \\ud83d\\ude00 \xf0\x9f\x98\x80 \xe2\x80\xa8"}',
        b"[" * 512 + b"]" * 512,
        b'{"args":[123456789012345678901234567890,1e400,-0.0]}',
        b'{"sql":"\'); DROP TABLE jobs; --"}',
        b"{" + b"x" * 3_000_000 + b"}",
        b"",
    ],
)
def test_no_content_changes_on_its_way(store: SQLiteStore, body: bytes) -> None:
    store.batch.add(JobRecord(1, "q", 5, None, 1.0, body))
    store.batch.move(PlaceRecord(1, int(Place.RETRIES), 1, 1.0, 1.0, body, "w\x00id \u2028", 1.0))
    commit(store)
    [row] = store.read([1])
    assert (row.body, row.failure, row.wid) == (body, body, "w\x00id \u2028")


@pytest.mark.parametrize("count", [1, 63, 64, 65, 127, 128, 129, 256, 511, 512, 513, 1099])
def test_batches_of_any_size_are_written_and_read_whole(store: SQLiteStore, count: int) -> None:
    ids = list(range(1, count + 1))
    add(store, *ids)
    for job_id in ids[::2]:
        move(store, job_id, Place.RETRIES)
    commit(store)
    assert [row.id for row in store.read(ids)] == ids
    assert sum(len(run) for _, _, run in store.queued()) == len(ids[1::2])
    assert [row.id for row in store.placed()] == ids[::2]
    for job_id in ids:
        store.batch.remove(job_id)
    commit(store)
    assert store.read(ids) == []


def test_a_removed_job_is_read_no_more_though_its_row_is_still_there(store: SQLiteStore) -> None:
    add(store, 1, 2, 3)
    commit(store)
    store.batch.remove(1)
    assert [row.id for row in store.read([1, 2, 3])] == [2, 3]
    store.seal()
    store.batch.remove(2)
    assert [row.id for row in store.read([1, 2, 3])] == [3]


def test_nothing_older_than_a_flush_is_read(store: SQLiteStore) -> None:
    add(store, 1)
    commit(store)
    store.batch.flush()
    add(store, 2)
    assert [row.id for row in store.read([1, 2])] == [2]
    store.seal()
    assert [row.id for row in store.read([1, 2])] == [2]


# -- contents ------------------------------------------------------------------------------------------------------


def test_queues_workers_and_days_are_kept_replaced_and_deleted(store: SQLiteStore) -> None:
    store.batch.queues = {"a": QueueRecord("a", False, 1), "b": QueueRecord("b", True, 5)}
    store.batch.workers = {"w1": True, "w2": True}
    store.batch.days = [DayRecord("total", 3, 1), DayRecord("2025-11-21", 3, 1)]
    commit(store)
    store.batch.queues = {"a": QueueRecord("a", True, 9), "b": None, "c": None}
    store.batch.workers = {"w1": None, "w2": True, "w3": None}
    store.batch.days = [DayRecord("total", 4, 1)]
    commit(store)
    contents = store.contents()
    assert contents.queues == [QueueRecord("a", True, 9)]
    assert contents.workers == ["w2"]
    assert sorted(contents.days) == [DayRecord("2025-11-21", 3, 1), DayRecord("total", 4, 1)]


def test_the_next_id_is_above_every_number_that_is_in_use(store: SQLiteStore) -> None:
    assert store.contents().next_id == 1
    add(store, 7)
    commit(store)
    assert store.contents().next_id == 8
    move(store, 7, Place.QUEUED, position=20)
    commit(store)
    assert store.contents().next_id == 21
    store.batch.queues["q"] = QueueRecord("q", False, 33)
    store.batch.remove(7)
    commit(store)
    assert store.contents().next_id > 33


def test_runs_are_in_the_order_of_their_ids_and_placed_jobs_in_that_of_their_positions(store: SQLiteStore) -> None:
    add(store, *range(1, 11), queue="a")
    add(store, *range(11, 16), queue="b")
    add(store, 16, at=5.0)
    move(store, 2, Place.QUEUED, position=30)
    move(store, 4, Place.QUEUED, position=25)
    commit(store)
    assert [(queue, list(ids)) for queue, _, ids in store.queued()] == [
        ("a", [1, 3, 5, 6, 7, 8, 9, 10]),
        ("b", [11, 12, 13, 14, 15]),
    ]
    assert [(row.id, row.position) for row in store.placed()] == [(16, 16), (4, 25), (2, 30)]


def test_a_flush_deletes_all_that_was_there_and_nothing_that_comes_with_it(store: SQLiteStore) -> None:
    add(store, 1, 2)
    move(store, 2, Place.DEAD)
    store.batch.queues["q"] = QueueRecord("q", False, 1)
    store.batch.workers["w"] = True
    store.batch.days = [DayRecord("total", 1, 1)]
    commit(store)
    store.batch.flush()
    add(store, 3)
    commit(store)
    assert ids_on_disk(store, "copy") == [3]
    assert store.contents()[:3] == ([], [], [])


# -- sealing -------------------------------------------------------------------------------------------------------


def test_one_batch_is_sealed_at_a_time_and_numbers_grow(store: SQLiteStore) -> None:
    first = store.seal()
    with pytest.raises(RuntimeError):
        store.seal()
    store.written()
    assert store.seal().number == first.number + 1


def test_a_sealed_batch_is_not_changed_by_what_comes_after_it(store: SQLiteStore) -> None:
    add(store, 1)
    sealed = store.seal()
    store.batch.remove(1)
    assert list(sealed.jobs) == [1]
    assert list(store.batch.removed) == [1]


def test_a_staged_batch_is_not_on_disk_before_it_is_written(store: SQLiteStore) -> None:
    add(store, 1)
    batch = store.seal()
    store.stage(batch)
    assert ids_on_disk(store, "staged") == []
    store.write(batch)
    store.written()
    assert ids_on_disk(store, "written") == [1]
    assert [row.id for row in store.read([1])] == [1]


def test_an_empty_batch_writes_nothing(store: SQLiteStore, tmp_path: Path) -> None:
    before = (store.directory / "faktory.db-wal").read_bytes()
    commit(store)
    assert (store.directory / "faktory.db-wal").read_bytes() == before


# -- durability ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "synchronous"), [("commit", 2), ("second", 1), ("os", 1)])
def test_a_commit_syncs_the_log_when_it_is_asked_to(
    durability: str, synchronous: int, faults: Faults, stores: Callable[..., SQLiteStore]
) -> None:
    """SQLite's FULL, 2, syncs the log at every COMMIT; NORMAL, 1, at checkpoints only."""
    assert durability in DURABILITIES
    stores(durability=durability)
    [level] = {c.execute("PRAGMA synchronous").fetchone()[0] for c in faults.writers()}
    assert level == synchronous


def test_once_a_second_means_once_a_second(
    stores: Callable[..., SQLiteStore], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores(durability="second")
    synced: list[int] = []
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    store.sync_late()
    for job_id in range(1, 5):
        add(store, job_id)
        commit(store)
        store.sync_late()
        clock.advance(0.24)
    assert synced == []
    assert not store.upkeep_due()
    clock.advance(0.1)
    assert store.upkeep_due()
    store.upkeep()
    assert len(synced) == 1
    store.sync_late()
    clock.advance(5)
    store.sync_late()
    assert len(synced) == 1
    add(store, 9)
    commit(store)
    store.finish()
    assert len(synced) == 2


def test_a_late_sync_that_fails_is_an_error(
    stores: Callable[..., SQLiteStore], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    store = stores(durability="second")
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(os, "fdatasync", fail)
    add(store, 1)
    commit(store)
    clock.advance(1)
    for call in (store.sync_late, store.upkeep, store.finish):
        with pytest.raises(StoreError, match="cannot sync .*Input/output error"):
            call()
    monkeypatch.undo()


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
    with pytest.raises(StoreError, match="^cannot write .*(disk I/O error|database or disk is full)$"):
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
    with pytest.raises(StoreError, match="^cannot read .*: disk I/O error$"):
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
    found = set()
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


# -- the end -------------------------------------------------------------------------------------------------------


def test_what_was_written_is_there_after_the_end_and_what_was_sealed_is_not(
    stores: Callable[..., SQLiteStore], tmp_path: Path
) -> None:
    store = SQLiteStore(tmp_path / "data")
    add(store, 1)
    commit(store)
    add(store, 2)
    store.seal()
    add(store, 3)
    store.finish()
    store.close()
    again = stores(tmp_path / "data")
    assert [row.id for row in again.read([1, 2, 3])] == [1]
