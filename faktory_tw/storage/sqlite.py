"""The embedded store: one SQLite database in WAL mode, one writing thread, one reading connection.

How a batch is written
    A small one goes into the journal as a whole, and into the tables later; see journal.py, and rows.py for the tables.

Checkpoints
    Automatic ones are off: they would run inside COMMIT, before the replies. They run between two writes, after the
    replies of the last one were released, on the writing connection and nowhere else. SQLite before 3.51.3 can corrupt
    a database when a checkpoint on one connection meets a commit on another that restarts the log; with a single
    connection that both commits and checkpoints it cannot happen.

    A backup reads the database as it was at one moment, and until it has read it all the log cannot be used from its
    beginning again: it grows. :meth:`SQLiteStore.checkpoint_soon` is called afterwards, and the commit that begins the
    log anew cuts the file to its ordinary length.

Other programs
    Somebody's SQLite shell may hold the write lock. The writing connection never waits for it inside SQLite, for its
    caller may be the reactor: :meth:`write_at_once` leaves the batch be, and only :meth:`write` waits.

A full disk
    A write that finds no room gives up the reserve, which is larger than the log: the batch is written, and the log is
    copied into the database before the next one, so that it is used from its beginning again. Without the reserve no
    checkpoint is begun for which there is no room: it would take what the next commits need, and fail.

Durability
    ``commit``: the log is synced before :meth:`write` returns. ``second``: it is synced once a second. ``os``: the
    operating system decides. A killed process loses nothing in any of them; a power cut loses what was not synced.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from faktory_tw.storage.damage import check_files, unwritable
from faktory_tw.storage.database import (
    LOG_PAGES,
    DirectoryLock,
    Reserve,
    connect,
    free_bytes,
    is_full,
    is_locked,
    lengthen_log,
    limit_log,
    log_is_long,
    migrate,
)
from faktory_tw.storage.journal import JOURNAL_SECONDS, Journal
from faktory_tw.storage.replacement import finish_replacement
from faktory_tw.storage.rows import job_row, read_rows, write_rows
from faktory_tw.storage.store import (
    Batch,
    Contents,
    DayRecord,
    IndexRow,
    JobRecord,
    JobRow,
    Place,
    PlaceRecord,
    QueueRecord,
    StoreError,
    remedy,
    unreadable,
)

DURABILITIES = ("commit", "second", "os")

_FEWEST_WRITES = 200  # between two checkpoints
_RETRY_WRITES = 50  # after a checkpoint that found the disk full
_LATE_SYNC_SECONDS = 1.0
_PATIENCE_SECONDS = 300.0  # with another program's transaction
_LAST_PATIENCE_SECONDS = 5.0  # when the server stops
_PATIENCE_STEP_SECONDS = 0.02


class SQLiteStore:
    """A store in ``directory``, which is made when it is missing. Raises StoreError when it cannot be used.

    ``durability`` is one of DURABILITIES; ``clock`` tells the journal how the ``journal_seconds`` pass.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        durability: str = "commit",
        journal_seconds: float = JOURNAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = Path(directory)
        self.durability = durability
        self.waits_for_disk = durability != "os"
        self.path = self.directory / "faktory.db"
        self.batch = Batch(1)
        self._sealed: Batch | None = None
        self._journaled = False  # the sealed batch goes into the journal
        self._failed = False
        self.closing = False
        self._log_descriptor = -1
        self._unsynced_since: float | None = None
        self._writes_to_checkpoint = _FEWEST_WRITES
        self._writes_since_checkpoint = 0
        self._bytes_since_checkpoint = 0
        self._checkpoints = 0
        self._room_was_made = False  # the reserve was given up since the last checkpoint
        self._log_was_held = False  # by a reader, such as a backup: it may be long
        self._lock = DirectoryLock(self.directory)
        with ExitStack() as opened:  # what is open when a later step fails is closed again
            opened.callback(self._lock.release)
            self._finish_replacement()
            check_files(self.path, durability == "commit")
            self._writer = connect(self.path, "FULL" if durability == "commit" else "NORMAL")
            opened.callback(self._writer.close)
            migrate(self._writer, self.path)
            self._make_log()
            lengthen_log(self.path)
            self._reader = connect(self.path, "NORMAL")
            opened.callback(self._reader.close)
            self._reserve = Reserve(self.directory)
            self._journal = Journal(self._writer, journal_seconds, clock)
            self._take_over_journal()
            opened.pop_all()

    # -- start ---------------------------------------------------------------------------------------------------

    def _finish_replacement(self) -> None:
        try:
            finish_replacement(self.directory)
        except OSError as error:
            raise StoreError(
                f"cannot finish the restore of a backup in {self.directory}: {error.strerror}; make it writable for"
                " this user, and start the server again"
            ) from error

    def _make_log(self) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE").execute("COMMIT")
            self._writer.execute("PRAGMA busy_timeout = 0")  # from now on: see `Other programs`
        except sqlite3.Error as error:
            if is_locked(error):
                raise StoreError(
                    f"cannot write: another program holds a write transaction on {self.path}; end it"
                ) from error
            raise unwritable(self.path, error) from error

    def _take_over_journal(self) -> None:
        """Bring into the tables what an earlier server had no time for."""
        try:
            left = self._journal.read()
        except (sqlite3.Error, ValueError) as error:
            raise StoreError(
                f"cannot read the journal in {self.path}: {error}; if it is damaged, {remedy(self.path)}"
            ) from error
        self.write(left)

    def contents(self) -> Contents:
        query = self._rows
        highest = query(
            "SELECT max(coalesce((SELECT max(id) FROM jobs), 0), coalesce((SELECT max(position) FROM places), 0),"
            " coalesce((SELECT max(floor) FROM queues), 0))"
        )
        return Contents(
            queues=[QueueRecord(name, bool(paused), floor) for name, paused, floor in query("SELECT * FROM queues")],
            days=[DayRecord(*row) for row in query("SELECT day, processed, failures FROM days")],
            workers=[wid for (wid,) in query("SELECT wid FROM workers")],
            next_id=int(next(highest)[0]) + 1,
        )

    def queued(self) -> Iterator[tuple[str, int, Sequence[int]]]:
        blocks = self._blocks(
            "SELECT queue, priority, id FROM jobs WHERE at IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM places WHERE places.id = jobs.id) ORDER BY id"
        )
        for block in blocks:
            lanes: dict[tuple[str, int], list[int]] = {}
            for queue, priority, job_id in block:
                lanes.setdefault((queue, priority), []).append(job_id)
            for (queue, priority), ids in lanes.items():
                yield queue, priority, ids

    def placed(self) -> Iterator[IndexRow]:
        rows = self._rows(
            "SELECT jobs.id, queue, priority, place, position, places.at"  # nosec B608
            " FROM places JOIN jobs USING (id)"
            f" UNION ALL SELECT id, queue, priority, {int(Place.SCHEDULED)}, id, at FROM jobs"
            " WHERE at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM places WHERE places.id = jobs.id)"
            " ORDER BY position"
        )
        return itertools.starmap(IndexRow, rows)

    def entries(self, kind: str) -> Iterator[tuple[bytes, bytes]]:
        return self._rows("SELECT key, value FROM entries WHERE kind = ? ORDER BY key", kind)

    def _rows(self, query: str, *parameters: str) -> Iterator[Any]:
        return itertools.chain.from_iterable(self._blocks(query, *parameters))

    def _blocks(self, query: str, *parameters: str) -> Iterator[list[Any]]:
        """The rows, so many at a time. Raises StoreError, for here a damaged database is found out."""
        try:
            rows = self._reader.execute(query, parameters)
            while block := rows.fetchmany(20_000):
                yield block
        except (sqlite3.Error, ValueError) as error:
            raise unreadable(self.path, error) from error

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, ids: Sequence[int]) -> list[JobRow]:
        jobs: dict[int, JobRecord] = {}
        places: dict[int, PlaceRecord] = {}
        batches = self._unwritten()
        for batch in batches:
            jobs.update((job_id, batch.jobs[job_id]) for job_id in ids if job_id in batch.jobs)
        if not (batches and batches[0].flushed):
            self._read_rows([job_id for job_id in ids if job_id not in jobs], jobs, places)
        for batch in batches:
            places.update((job_id, batch.places[job_id]) for job_id in ids if job_id in batch.places)
            for job_id in batch.removed.keys() & jobs.keys():
                del jobs[job_id]
        return [job_row(jobs[job_id], places.get(job_id)) for job_id in ids if job_id in jobs]

    def entry(self, kind: str, key: bytes) -> bytes | None:
        batches = self._unwritten()
        for batch in reversed(batches):
            if (kind, key) in batch.entries:
                return batch.entries[kind, key]
        if batches and batches[0].flushed:
            return None
        try:
            row = self._reader.execute("SELECT value FROM entries WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {self.path}: {error}") from error
        return None if row is None else bytes(row[0])

    def _unwritten(self) -> list[Batch]:
        """The batches that are not in the tables, the older first, from the latest flush on."""
        batches = [self._journal.unapplied, self._sealed, self.batch]
        unwritten = [batch for batch in batches if batch is not None]
        while any(batch.flushed for batch in unwritten[1:]):
            del unwritten[0]
        return unwritten

    def _read_rows(self, ids: list[int], jobs: dict[int, JobRecord], places: dict[int, PlaceRecord]) -> None:
        try:
            read_rows(self._reader.execute, ids, jobs, places)
        except sqlite3.Error as error:
            raise unreadable(self.path, error) from error

    # -- writing -------------------------------------------------------------------------------------------------

    def seal(self) -> Batch:
        if self._sealed is not None:
            raise RuntimeError("a sealed batch is not written yet")
        sealed, self.batch = self.batch, Batch(self.batch.number + 1)
        self._journaled = self._journal.takes(sealed)
        self._sealed = sealed if self._journaled else self._journal.take_over(sealed)
        return self._sealed

    def unsealed(self) -> bool:
        return bool(self.batch) or self._journal.due

    def written(self) -> None:
        if self._sealed is not None and self._journaled:
            self._journal.appended(self._sealed)
        self._sealed = None

    def write_at_once(self, batch: Batch) -> bool:
        if not self._journaled:
            return False
        if not batch:
            return True
        try:
            self._commit(batch)
        except sqlite3.Error as error:
            if is_locked(error) or is_full(error):  # :meth:`write` waits, or makes room
                return False
            raise self._error(error) from error
        self._count(batch)
        return True

    def write(self, batch: Batch) -> None:
        if not batch and (self._journaled or not self._journal.filled):
            return
        began = time.monotonic()
        while self._commit_meets_lock(batch):
            waited = time.monotonic() - began
            if waited >= (_LAST_PATIENCE_SECONDS if self.closing else _PATIENCE_SECONDS):
                self._failed = True
                raise StoreError(
                    f"cannot write: another program holds a write transaction on {self.path}"
                    f" for {waited:.0f} seconds; end it, and start the server again"
                )
            time.sleep(_PATIENCE_STEP_SECONDS)
        self._count(batch)

    def _count(self, batch: Batch) -> None:
        """A batch was written."""
        self._writes_since_checkpoint += 1
        self._bytes_since_checkpoint += batch.bytes_to_write
        if self.durability == "second" and self._unsynced_since is None:
            self._unsynced_since = time.monotonic()

    def _commit_meets_lock(self, batch: Batch) -> bool:
        """Commit; if need be, in the room of the reserve. True: another program holds the database, and it was not."""
        while True:
            try:
                self._commit(batch)
                return False
            except sqlite3.Error as error:
                if is_locked(error):
                    return True
                if not is_full(error) or not self._reserve.give_up():
                    raise self._error(error) from error
                self._room_was_made = True

    def _error(self, error: sqlite3.Error) -> StoreError:
        """A write failed: whatever the disk says from now on, nothing more is written to it."""
        self._failed = True
        return unwritable(self.path, error)

    def _commit(self, batch: Batch) -> None:
        if self._journaled:
            self._journal.append(batch)
            return
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            write_rows(self._writer.execute, batch)
            self._journal.empty()
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.rollback()
            raise
        self._journal.emptied()

    def upkeep_due(self) -> bool:
        return self._checkpoint_due() or self.sync_due_in() == 0.0 or self._reserve.wanted()

    def upkeep(self) -> None:
        self.sync_late()
        try:
            if self._checkpoint_due():
                self._checkpoint()
            self._reserve.restore()
        except OSError as error:
            raise StoreError(f"cannot use {self.directory}: {error}") from error
        except sqlite3.Error as error:
            if not is_full(error):
                raise StoreError(f"cannot sync {self.path}: {error}") from error
            self._reserve.give_up()  # nothing is lost: the log still has it all
            self._put_checkpoint_off()

    def sync_due_in(self) -> float | None:
        since = self._unsynced_since  # read once: the other thread may clear it
        return None if since is None else max(since + _LATE_SYNC_SECONDS - time.monotonic(), 0.0)

    def sync_late(self) -> None:
        if self.sync_due_in() == 0.0:
            try:
                self._sync_log()
            except OSError as error:
                raise StoreError(f"cannot sync {self.path}: {error}") from error

    def _sync_log(self) -> None:
        """Sync the log. Its descriptor stays open: closing one would not hurt the log, but costs two calls."""
        if self._log_descriptor < 0:
            self._log_descriptor = os.open(f"{self.path}-wal", os.O_RDONLY)
        since, self._unsynced_since = self._unsynced_since, None  # first: a write meanwhile may miss this sync
        try:
            getattr(os, "fdatasync", os.fsync)(self._log_descriptor)  # macOS has no fdatasync
        except OSError:
            self._unsynced_since = since
            raise

    def _checkpoint_due(self) -> bool:
        return (
            self._room_was_made
            or self._log_was_held
            or self._writes_since_checkpoint >= self._writes_to_checkpoint
            or self._bytes_since_checkpoint > LOG_PAGES * 2048
        )

    def facts(self) -> dict[str, str | int]:
        return {
            "engine": f"SQLite {sqlite3.sqlite_version}",
            "journal_records": len(self._journal.unapplied),
            "checkpoints": self._checkpoints,
            "writes_since_checkpoint": self._writes_since_checkpoint,
            "bytes_since_checkpoint": self._bytes_since_checkpoint,
        }

    def checkpoint_soon(self) -> None:
        """A backup has read what it wanted: copy the log into the database after the next write. In any thread."""
        self._log_was_held = True

    def _checkpoint(self) -> None:
        """Copy the log into the database, and learn how many writes fill the log."""
        held, self._log_was_held = self._log_was_held, False
        if not self._reserve.held and self._growth() > free_bytes(self.directory):
            self._put_checkpoint_off()
            return
        limit_log(self._writer, held or log_is_long(self.path))
        _busy, pages, _copied = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages < 0:  # another program is at it
            self._put_checkpoint_off()
            return
        self._checkpoints += 1
        learned = int(LOG_PAGES * self._writes_since_checkpoint / max(pages, 1))
        self._writes_to_checkpoint = max(learned, _FEWEST_WRITES)
        self._writes_since_checkpoint = self._bytes_since_checkpoint = 0
        self._room_was_made = False

    def _growth(self) -> int:
        """By how many bytes a checkpoint makes the database longer. Pages that it has are written in their place."""
        pages = int(self._writer.execute("PRAGMA page_count").fetchone()[0])
        page_bytes = int(self._writer.execute("PRAGMA page_size").fetchone()[0])
        return pages * page_bytes - self.path.stat().st_size

    def _put_checkpoint_off(self) -> None:
        self._writes_since_checkpoint = self._writes_to_checkpoint - _RETRY_WRITES
        self._bytes_since_checkpoint = 0
        self._room_was_made = False

    def finish(self) -> None:
        try:
            if self.durability == "second" and self._unsynced_since is not None:
                self._sync_log()
        except OSError as error:
            raise StoreError(f"cannot sync {self.path}: {error}") from error
        with suppress(sqlite3.Error):  # nothing is lost: the log still has it all, and the journal
            if not self._failed:
                self._apply_journal()
                # Here, for else the reactor's thread would do it, closing the last connection.
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._writer.close()

    def _apply_journal(self) -> None:
        if self._journal.filled and self._sealed is None:  # a sealed batch may have what was in it, and is not written
            self._journaled = False
            self._commit(self._journal.unapplied)
            self._journal.take_over(Batch(0))  # only now: until then reading needs it

    def close(self) -> None:
        self._reader.close()
        if self._log_descriptor >= 0:
            os.close(self._log_descriptor)
        self._lock.release()
