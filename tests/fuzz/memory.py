"""A store in memory from which a server can be started again: what a round trip of everything that is kept needs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

from faktory_tw.storage.journal import decode, encode
from faktory_tw.storage.store import Batch, Contents, DayRecord, IndexRow, JobRecord, Place, PlaceRecord, QueueRecord
from tests.unit.house import Disk

_LEAST, _MOST = -(2**63), 2**63 - 1


class Unwritable(AssertionError):
    """A batch has what no disk could take, or what would not come back as it was."""


class Memory(Disk):
    """Batches reach it at once, and are looked at: what is in them must be what a database can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_for_disk = False
        self._queues: dict[str, QueueRecord] = {}
        self._days: dict[str, DayRecord] = {}
        self._workers: dict[str, None] = {}

    def let_through(self, writes: int = 1) -> None:
        """Nothing is ever held up."""

    def job_count(self) -> int:
        """How many jobs it has, those of removed queues that nobody has swept included."""
        return len(self._rows)

    def entry_count(self) -> int:
        """How many entries of features it has."""
        return len(self._entries)

    def reopened(self) -> Memory:
        """What a start on the same directory finds."""
        other = Memory()
        other._rows, other._entries = dict(self._rows), dict(self._entries)
        other._queues, other._days = dict(self._queues), dict(self._days)
        other._workers = dict(self._workers)
        return other

    def put(self, kind: str, key: bytes, value: bytes) -> None:
        """Have an entry, whoever wrote it."""
        self._entries[kind, key] = value

    def contents(self) -> Contents:
        ids = [0, *self._rows, *(row.position for row in self._rows.values())]
        floors = [queue.floor for queue in self._queues.values()]
        return Contents(
            list(self._queues.values()), list(self._days.values()), list(self._workers), max([*ids, *floors]) + 1
        )

    def queued(self) -> Iterator[tuple[str, int, Sequence[int]]]:
        lanes: dict[tuple[str, int], list[int]] = {}
        for job_id, row in sorted(self._rows.items()):
            if row.place == Place.QUEUED and row.position == job_id:
                lanes.setdefault((row.queue, row.priority), []).append(job_id)
        for (queue, priority), ids in lanes.items():
            yield queue, priority, ids

    def placed(self) -> Iterator[IndexRow]:
        rows = [row for row in self._rows.values() if row.place != Place.QUEUED or row.position != row.id]
        for row in sorted(rows, key=lambda row: row.position):
            yield IndexRow(row.id, row.queue, row.priority, row.place, row.position, row.at)

    def _take(self, batch: Batch) -> None:
        check_batch(batch)
        if batch.flushed:
            self._queues.clear()
            self._days.clear()
            self._workers.clear()
        super()._take(batch)
        for name, queue in batch.queues.items():
            if queue is None:
                self._queues.pop(name, None)
            else:
                self._queues[name] = queue
        for wid, alive in batch.workers.items():
            if alive:
                self._workers[wid] = None
            else:
                self._workers.pop(wid, None)
        self._days.update((day.day, day) for day in batch.days)


def check_batch(batch: Batch) -> None:
    """Fail unless everything in a batch can be written, and comes back from the journal as it was."""
    for job in batch.jobs.values():
        _check_job(job)
    for place in batch.places.values():
        _check_place(place)
    for name, queue in batch.queues.items():
        _check_whole(0 if queue is None else queue.floor, f"the floor of {name}")
    for kind, key in batch.entries:
        if not isinstance(key, bytes) or len(key) > 10_000:
            raise Unwritable(f"an entry of {kind} has the key {key[:100]!r}")
    if not batch.flushed:
        again = decode(encode(batch))
        for part in ("jobs", "places", "removed", "queues", "workers", "days", "entries"):
            if getattr(again, part) != getattr(batch, part):
                raise Unwritable(f"the journal changes {part} of a batch: {getattr(batch, part)!r}"[:1000])


def _check_job(job: JobRecord) -> None:
    _check_whole(job.id, "an id")
    _check_time(job.at, "when a job is due")
    _check_time(job.enqueued_at, "when a job was enqueued")
    job.queue.encode()
    _check_object(job.body, "a body")


def _check_place(place: PlaceRecord) -> None:
    _check_whole(place.position, "a position")
    _check_time(place.at, "the time of a place")
    _check_time(place.enqueued_at, "when a job was enqueued")
    _check_time(place.reserved_at, "when a job was reserved")
    place.wid.encode()
    if place.failure:
        _check_object(place.failure, "a failure")


def _check_whole(number: int, what: str) -> None:
    if not _LEAST <= number <= _MOST:
        raise Unwritable(f"{what} is {number}")


def _check_time(seconds: float | None, what: str) -> None:
    if seconds is not None and not (math.isfinite(seconds) and abs(seconds) < 1e13):
        raise Unwritable(f"{what} is {seconds}")


def _check_object(text: bytes, what: str) -> None:
    if text[:1] != b"{" or b"\n" in text:
        raise Unwritable(f"{what} is {text[:200]!r}")
    try:
        json.loads(text.decode(), parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise Unwritable(f"{what} is no JSON: {error}: {text[:200]!r}") from None
