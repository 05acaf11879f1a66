"""The interface between the job manager and the disk: batches of records on the way down, rows on the way up.

The manager changes its memory and records the same change in the open :class:`Batch`, in one turn of the reactor. The
committer seals that batch from time to time, has it written, and only then sends the replies that depend on it. Nothing here knows how a batch is written; nothing below knows what a job means.

Inside the open batch records coalesce: a job that is pushed and acknowledged before the batch is sealed costs no row.
A sealed batch never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec


class StoreError(Exception):
    """The store cannot be opened, read or written. The text is for the operator and says what to do."""


def remedy(path: Path) -> str:
    """What to do when a database is damaged."""
    return f"put a backup of it in its place: faktory-tw restore latest -d {path.parent}"


def unreadable(path: Path, error: object) -> StoreError:
    """What there is cannot be used."""
    return StoreError(f"cannot read {path}: {error}; if it is damaged, {remedy(path)}")


class Place(IntEnum):
    """Where a job is. It is in exactly one place, or it is gone."""

    QUEUED = 0
    SCHEDULED = 1
    RETRIES = 2
    DEAD = 3
    WORKING = 4


class JobRecord(msgspec.Struct, array_like=True, gc=False):
    """A job as it was pushed; written once, never changed. Its first place is its queue, or the scheduled set."""

    id: int
    queue: str
    priority: int
    at: float | None  # when it is due; None when it was enqueued at once, at position `id`
    enqueued_at: float | None
    body: bytes


class PlaceRecord(msgspec.Struct, array_like=True, gc=False):
    """Where a job is now, once it has left its first place. ``at`` is the due time, or when a dead job is dropped.

    ``position`` is its turn of arrival in that place: a number that was new then, above all ids and positions there were.
    While the job is worked, it is still that of its queue, to which it may be given back.
    """

    id: int
    place: int
    position: int
    at: float | None
    enqueued_at: float | None
    failure: bytes
    wid: str
    reserved_at: float | None


class JobRow(msgspec.Struct, gc=False):
    """What the store knows of one job: its push record with its present place laid over it."""

    id: int
    queue: str
    priority: int
    place: int
    position: int
    at: float | None
    enqueued_at: float | None
    failure: bytes
    wid: str
    reserved_at: float | None
    body: bytes


class QueueRecord(NamedTuple):
    """A queue that exists. Jobs queued at a position below ``floor`` were removed with an earlier queue of the name."""

    name: str
    paused: bool
    floor: int


class DayRecord(NamedTuple):
    """What was processed and what failed on one UTC day; the day ``total`` holds the sum of all time."""

    day: str
    processed: int
    failures: int


_RECORD_BYTES = 100  # of a record's columns beside its body and failure, about
_SMALL_BYTES = 256 * 1024
_SMALL_RECORDS = 200
_SMALL_NAMES = 50  # queues and workers: a statement each


class Batch:
    """The changes between two commits.

    ``number`` grows by one a batch. ``flushed`` says that everything older is to be forgotten first. In ``queues``,
    ``workers`` and ``entries`` the value None stands for a row to delete; an entry is found by its kind and key.
    ``content_bytes`` counts bodies, failures, names and entries, those of places and entries that were replaced or removed
    again in the same batch included.
    """

    __slots__ = (
        "number",
        "flushed",
        "jobs",
        "places",
        "removed",
        "queues",
        "workers",
        "days",
        "entries",
        "content_bytes",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.flushed = False
        self._clear()

    def _clear(self) -> None:
        self.jobs: dict[int, JobRecord] = {}
        self.places: dict[int, PlaceRecord] = {}
        self.removed: dict[int, None] = {}
        self.queues: dict[str, QueueRecord | None] = {}
        self.workers: dict[str, bool | None] = {}
        self.days: list[DayRecord] = []
        self.entries: dict[tuple[str, bytes], bytes | None] = {}
        self.content_bytes = 0

    def add(self, record: JobRecord) -> None:
        """A job was pushed."""
        self.jobs[record.id] = record
        self.content_bytes += len(record.body) + len(record.queue)

    def move(self, record: PlaceRecord) -> None:
        """A job is in another place now, or its place changed."""
        self.places[record.id] = record
        self.content_bytes += len(record.failure) + len(record.wid)

    def remove(self, job_id: int) -> None:
        """A job is finished, or was dropped."""
        record = self.jobs.pop(job_id, None)
        if record is None:
            self.removed[job_id] = None
        else:
            self.content_bytes -= len(record.body) + len(record.queue)
        self.places.pop(job_id, None)

    def enter(self, kind: str, key: bytes, value: bytes | None) -> None:
        """A feature keeps ``value`` under ``key`` from now on; None: nothing any more."""
        self.entries[kind, key] = value
        self.content_bytes += len(key) + len(value or b"")

    def flush(self) -> None:
        """Everything recorded up to now is forgotten."""
        self._clear()
        self.flushed = True

    def absorb(self, later: Batch) -> None:
        """Lay a later batch over this one."""
        if later.flushed:
            self.flush()
        self.jobs.update(later.jobs)
        self.places.update(later.places)
        self.content_bytes += later.content_bytes
        for job_id in later.removed:
            self.remove(job_id)
        self.queues.update(later.queues)
        self.workers.update(later.workers)
        self.entries.update(later.entries)
        if later.days:
            self.days = list({record.day: record for record in self.days + later.days}.values())

    @property
    def bytes_to_write(self) -> int:
        """What the batch puts into the log, about."""
        return self.content_bytes + _RECORD_BYTES * len(self)

    @property
    def small(self) -> bool:
        """Whether it is small enough for the journal, and for the reactor's thread to write."""
        return (
            not self.flushed
            and self.bytes_to_write <= _SMALL_BYTES
            and len(self) <= _SMALL_RECORDS
            and len(self.queues) + len(self.workers) <= _SMALL_NAMES
        )

    def __len__(self) -> int:
        """Records in the batch, about."""
        return len(self.jobs) + len(self.places) + len(self.removed) + len(self.queues) + len(self.entries)

    def __bool__(self) -> bool:
        return bool(
            self.jobs
            or self.places
            or self.removed
            or self.days
            or self.queues
            or self.workers
            or self.entries
            or self.flushed
        )


class Contents(NamedTuple):
    """What a store holds when it is opened, but the jobs: :meth:`Store.queued` and :meth:`Store.placed` tell those."""

    queues: list[QueueRecord]
    days: list[DayRecord]
    workers: list[str]
    next_id: int  # above every id, position and floor in use


class IndexRow(NamedTuple):
    """The part of a job that is kept in memory."""

    id: int
    queue: str
    priority: int
    place: int
    position: int
    at: float | None


class Store(Protocol):
    """What the manager and the committer ask of an engine.

    Two threads share a store. :meth:`write`, :meth:`upkeep_due`, :meth:`upkeep`, :meth:`sync_due_in`, :meth:`sync_late`
    and :meth:`finish` belong to the writer's thread, everything else to the reactor's. :meth:`write_at_once` is called
    only while the writer's thread has neither a batch nor upkeep to do.
    """

    batch: Batch
    path: Path  # of the database, from which backups are taken
    waits_for_disk: bool  # whether a write does
    closing: bool  # set when the server stops: another program's lock is waited for no longer than seconds

    def contents(self) -> Contents:
        """Everything but the jobs, once, at start."""

    def queued(self) -> Iterator[tuple[str, int, Sequence[int]]]:
        """Jobs that never left their first queue: (queue, priority, ids in order), in runs; at start."""

    def placed(self) -> Iterator[IndexRow]:
        """All other jobs, ordered by position; at start."""

    def entries(self, kind: str) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of all entries of a kind, ordered by key; at start."""

    def entry(self, kind: str, key: bytes) -> bytes | None:
        """The value of one entry, a change not yet written included; None when there is none."""

    def read(self, ids: Sequence[int]) -> list[JobRow]:
        """The rows of these jobs, changes not yet written included, in the order asked for; the missing left out."""

    def seal(self) -> Batch:
        """Close the open batch and open the next. At most one batch is sealed and not yet written."""

    def written(self) -> None:
        """The sealed batch is on disk."""

    def unsealed(self) -> bool:
        """Whether there is anything to seal: changes, or older ones whose time in the journal is over."""

    def write_at_once(self, batch: Batch) -> bool:
        """Do what :meth:`write` does, in the reactor's thread. Raises StoreError.

        False: nothing was done, for that would have taken long, or meant to wait for more than one sync of the disk;
        it is left to :meth:`write`.
        """

    def write(self, batch: Batch) -> None:
        """Put a sealed batch on disk, as durably as the store was told to. Raises StoreError.

        While another program holds the database it waits, for minutes if need be. The caller asks :meth:`upkeep_due`
        afterwards.
        """

    def upkeep_due(self) -> bool:
        """Whether the store wants :meth:`upkeep`."""

    def upkeep(self) -> None:
        """What is to be done between two writes, and may take some time. Raises StoreError."""

    def facts(self) -> dict[str, str | int]:
        """What an administrator may want to know of the engine, by name; ``engine`` says what it is."""

    def checkpoint_soon(self) -> None:
        """A backup has read what it wanted of :attr:`path`: what was put off meanwhile can be done. In any thread."""

    def sync_late(self) -> None:
        """Sync what was written without, if that is due; called while nothing is written. Raises StoreError."""

    def sync_due_in(self) -> float | None:
        """Seconds until :meth:`sync_late` has something to do, 0 when it is overdue; None when all is synced."""

    def finish(self) -> None:
        """Close the writing side; nothing is written afterwards."""

    def close(self) -> None:
        """Close the reading side and give the directory free. Nothing is called afterwards."""
