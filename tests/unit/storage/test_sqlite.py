"""What is written is read back, in order and unchanged."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from faktory_tw.storage import sqlite as module
from faktory_tw.storage.sqlite import DURABILITIES, SQLiteStore
from faktory_tw.storage.store import DayRecord, JobRecord, Place, PlaceRecord, QueueRecord, StoreError
from tests.unit.doubles import FakeClock, Faults
from tests.unit.storage.batches import OpenStore, add, body_of, commit, ids_on_disk, move

# -- reading -------------------------------------------------------------------------------------------------------


def test_jobs_are_read_in_the_order_asked_for_and_the_missing_are_left_out(store: SQLiteStore) -> None:
    add(store, 1, 2)
    commit(store)
    add(store, 3)
    store.seal()
    add(store, 4)
    assert [row.id for row in store.read([4, 99, 1, 3, 2])] == [4, 1, 3, 2]
    assert store.read([]) == []


def test_an_entry_is_the_one_of_the_latest_change(store: SQLiteStore) -> None:
    for key in (b"a", b"b", b"c"):
        store.batch.enter("kind", key, b"1")
    store.batch.enter("other", b"a", b"0")
    commit(store)
    store.batch.enter("kind", b"b", None)
    store.batch.enter("kind", b"c", b"2")
    store.seal()
    store.batch.enter("kind", b"c", b"3")
    assert [store.entry("kind", key) for key in (b"a", b"b", b"c", b"d")] == [b"1", None, b"3", None]
    assert store.entry("other", b"a") == b"0"
    store.batch.flush()
    store.batch.enter("kind", b"d", b"4")
    assert [store.entry("kind", key) for key in (b"a", b"b", b"c", b"d")] == [None, None, None, b"4"]


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


def test_an_empty_batch_writes_nothing(store: SQLiteStore, tmp_path: Path) -> None:
    before = (store.directory / "faktory.db-wal").read_bytes()
    commit(store)
    assert (store.directory / "faktory.db-wal").read_bytes() == before


# -- durability ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "synchronous"), [("commit", 2), ("second", 1), ("os", 1)])
def test_a_commit_syncs_the_log_when_it_is_asked_to(
    durability: str, synchronous: int, faults: Faults, stores: OpenStore
) -> None:
    """SQLite's FULL, 2, syncs the log at every COMMIT; NORMAL, 1, at checkpoints only."""
    assert durability in DURABILITIES
    stores(durability=durability)
    [level] = {c.execute("PRAGMA synchronous").fetchone()[0] for c in faults.writers()}
    assert level == synchronous


def test_once_a_second_means_once_a_second(
    stores: OpenStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
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


def test_the_store_says_when_the_late_sync_is_due(
    stores: OpenStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores(durability="second")
    monkeypatch.setattr(module, "time", clock)
    assert store.sync_due_in() is None
    add(store, 1)
    commit(store)
    assert store.sync_due_in() == 1.0
    clock.advance(0.75)
    add(store, 2)
    commit(store)
    assert store.sync_due_in() == 0.25
    store.sync_late()
    assert store.sync_due_in() == 0.25
    clock.advance(3)
    assert store.sync_due_in() == 0.0
    store.sync_late()
    assert store.sync_due_in() is None


def test_what_is_written_during_a_late_sync_is_synced_by_the_next(
    stores: OpenStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells nobody whether it took part."""
    store = stores(durability="second")
    monkeypatch.setattr(module, "time", clock)

    def write_meanwhile(descriptor: int) -> None:
        add(store, 2)
        commit(store)

    monkeypatch.setattr(os, "fdatasync", write_meanwhile)
    add(store, 1)
    commit(store)
    clock.advance(1)
    store.sync_late()
    assert store.sync_due_in() == 1.0
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)


def test_a_system_without_fdatasync_syncs_all_the_same(
    stores: OpenStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores(durability="second")
    synced: list[int] = []
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.delattr(os, "fdatasync")
    monkeypatch.setattr(os, "fsync", synced.append)
    add(store, 1)
    commit(store)
    clock.advance(1)
    store.sync_late()
    assert len(synced) == 1


def test_a_late_sync_that_fails_is_an_error(
    stores: OpenStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
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
        with pytest.raises(StoreError, match=r"cannot sync .*Input/output error"):
            call()
    monkeypatch.undo()


# -- other programs ------------------------------------------------------------------------------------------------


class Shell:
    """Another program with a write transaction; each sleep of the store advances the clock, and may end it."""

    def __init__(self, store: SQLiteStore, clock: FakeClock) -> None:
        self._connection = sqlite3.connect(store.path, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")
        self._clock = clock
        self.monotonic = clock.monotonic
        self.sleeps: list[float] = []
        self.ends_after = 0

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self._clock.advance(seconds)
        if len(self.sleeps) == self.ends_after:
            self.end()

    def end(self) -> None:
        self._connection.close()


@pytest.fixture
def shell(store: SQLiteStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    shell = Shell(store, clock)
    monkeypatch.setattr(module, "time", shell)
    yield shell
    shell.end()


def test_a_batch_is_written_when_the_other_program_is_done(store: SQLiteStore, shell: Shell) -> None:
    shell.ends_after = 7
    add(store, 1)
    commit(store)
    assert len(shell.sleeps) == 7
    assert ids_on_disk(store, "copy") == [1]


def test_patience_with_another_program_has_an_end(store: SQLiteStore, shell: Shell) -> None:
    add(store, 1)
    with pytest.raises(StoreError, match=r"another program holds a write transaction on .*300 seconds"):
        store.write(store.seal())
    assert 299 < sum(shell.sleeps) < 301
    assert (store.directory / "reserve").exists()


def test_patience_is_short_when_the_server_stops(store: SQLiteStore, shell: Shell) -> None:
    add(store, 1)
    store.closing = True
    with pytest.raises(StoreError, match=r"another program holds a write transaction on .*5 seconds"):
        store.write(store.seal())
    assert 4.9 < sum(shell.sleeps) < 5.1


# -- the end -------------------------------------------------------------------------------------------------------


def test_reading_goes_on_until_the_store_is_closed(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "data")
    add(store, 1)
    commit(store)
    store.finish()
    assert [row.id for row in store.read([1])] == [1]
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.read([1])
    assert not (tmp_path / "data" / "faktory.db-wal").exists()


def test_what_was_written_is_there_after_the_end_and_what_was_sealed_is_not(stores: OpenStore, tmp_path: Path) -> None:
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
