"""What an operator, or the clock, does to jobs that nobody works on: delete, kill, enqueue now, another priority.

Whoever makes a job leave its place otherwise than a producer or a worker does comes through here: MUTATE, ADMIN, the web
UI and the periodic duties. A job that is being worked is its worker's.

A job's push record is never rewritten, so a job that gets another priority is recorded anew, with a new id and at the
end of that priority, and its old row is removed in the same batch: after a crash there is exactly one of the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from faktory_tw.core import job as jobs
from faktory_tw.core.aside import Order
from faktory_tw.core.cache import JobCache
from faktory_tw.core.latencies import HeadTimes
from faktory_tw.core.queues import Fifo, Queue
from faktory_tw.core.retry import DEAD_SECONDS
from faktory_tw.core.slices import Stride
from faktory_tw.core.tasks import Clock
from faktory_tw.storage.store import JobRecord, JobRow, Place, PlaceRecord, QueueRecord, Store

if TYPE_CHECKING:
    from faktory_tw.core.manager import JobManager

_WINDOW = 10_000  # jobs of a queue among which those that are over are looked for together
_WINDOWS = 2  # in one turn of the reactor: each takes some milliseconds

Entry = tuple[float, int]
"""A job in a set: (time, id)."""


class Edits:
    """Changes jobs of ``manager``. What is not, or no longer, where it is said to be is left alone."""

    def __init__(self, manager: JobManager, store: Store, cache: JobCache, head_times: HeadTimes, clock: Clock) -> None:
        self._manager = manager
        self._store = store
        self._cache = cache
        self._head_times = head_times
        self._clock = clock
        self._stride = Stride(store.read)

    # -- jobs of a set -------------------------------------------------------------------------------------------

    def discard(self, place: Place, entry: Entry, row: JobRow | None = None) -> bool:
        """Drop a job from a set. Returns whether it was there. ``row``: if it was read anyway."""
        if not self._manager.timed(place).discard(*entry):
            return False
        if self._manager.facts.matter():
            self._manager.facts.discarded_rows(self._store.read([entry[1]]) if row is None else [row])
        self._store.batch.remove(entry[1])
        return True

    def discard_entries(self, place: Place, entries: Sequence[Entry]) -> int:
        """Drop the first of these jobs of a set, as many as one turn is good for; returns how many that were."""
        rows: dict[int, JobRow] = {}
        count = len(entries)
        if self._manager.facts.matter():
            found, count = self._stride.read([job_id for _, job_id in entries])
            rows = {row.id: row for row in found}
        for entry in entries[:count]:
            self.discard(place, entry, rows.get(entry[1]))
        return count

    def kill(self, place: Place, entry: Entry, row: JobRow) -> bool:
        """Move a job from a set to the dead, for 180 days from now."""
        if not self._manager.timed(place).discard(*entry):
            return False
        self._bury(row)
        return True

    def requeue(self, place: Place, entry: Entry, row: JobRow) -> bool:
        """Put a job from a set into its queue now, at the end of its priority."""
        if not self._manager.timed(place).discard(*entry):
            return False
        job = jobs.job_of(row)
        job.enqueued_at = self._clock.time()
        job.position = self._manager.take_id()
        self._head_times.moved(job.id)
        self._manager.facts.requeued(job)
        self._manager.enter(job)
        return True

    def _bury(self, row: JobRow) -> None:
        at = self._clock.time() + DEAD_SECONDS
        self._manager.put_into_set(row.id, Place.DEAD, at, row.enqueued_at, row.failure)
        if self._manager.facts.matter():
            self._manager.facts.died(jobs.job_of(row))

    # -- jobs of a queue -----------------------------------------------------------------------------------------

    def discard_queued(
        self, name: str, priority: int, ids: Sequence[int], start: int = 0, rows: Sequence[JobRow] | None = None
    ) -> set[int]:
        """Drop jobs of one priority from a queue, and return which. ``start``: about where they are; see Fifo.

        Without their ``rows`` it may be only the first of them, as many as one turn is good for.
        """
        if self._manager.facts.matter():
            if rows is None:
                rows, count = self._stride.read(ids)
                ids = ids[:count]
        else:
            rows = None
        taken = self._take(name, priority, ids, start)
        self._manager.facts.discarded_rows(row for row in rows or () if row.id in taken)
        for job_id in taken:
            self._store.batch.remove(job_id)
        return taken

    def expire(self, rows: Sequence[JobRow]) -> tuple[set[str], list[JobRow]]:
        """Drop jobs that are over from their queues and sets; those that are worked stay.

        Returns the queues, and for another turn those jobs that stand too far from each other in a long one.
        """
        lanes: dict[tuple[str, int], list[JobRow]] = {}
        for row in rows:
            if row.place == Place.QUEUED:
                lanes.setdefault((row.queue, row.priority), []).append(row)
            elif row.place != Place.WORKING and self._manager.timed(Place(row.place)).discard(row.at or 0.0, row.id):
                self._expire(row)
        left: list[JobRow] = []
        windows = _WINDOWS
        for (name, priority), lane in lanes.items():
            queue = self._manager.queues().get(name)
            if queue is None:
                continue
            rest = sorted(lane, key=lambda row: row.position)
            while rest and windows:
                windows -= 1
                rest = self._expire_near(queue.order(priority), rest)
            left += rest
        return {name for name, _ in lanes}, left

    def neighbours(self, row: JobRow) -> list[int]:
        """The ids of a queued job and of those that stand near it: :meth:`expire` can drop these in one turn."""
        fifo = self._manager.queues()[row.queue].order(row.priority)
        return fifo.part(self._manager.views.index(row), _WINDOW)

    def _expire_near(self, fifo: Fifo | Order, lane: list[JobRow]) -> list[JobRow]:
        """Drop the first of these jobs, and those that stand near it. Returns the others."""
        start = self._manager.views.index(lane[0])
        near = set(fifo.part(start, _WINDOW))
        there = [row for row in lane if row.id in near] or lane[:1]
        taken = self._take(lane[0].queue, lane[0].priority, [row.id for row in there], start)
        for row in there:
            if row.id in taken:
                self._expire(row)
        handled = {row.id for row in there}
        return [row for row in lane if row.id not in handled]

    def _expire(self, row: JobRow) -> None:
        self._store.batch.remove(row.id)
        self._manager.facts.expired(jobs.job_of(row))

    def kill_queued(self, rows: Sequence[JobRow], start: int = 0) -> set[int]:
        """Move jobs of one queue and priority to the dead."""
        taken = self._take_rows(rows, start)
        for row in rows:
            if row.id in taken:
                self._bury(row)
        return taken

    def prioritize(self, rows: Sequence[JobRow], priority: int, start: int = 0) -> dict[int, int]:
        """Move jobs of one queue and priority to the end of another priority. Returns new ids by old ones."""
        taken = self._take_rows(rows, start)
        return {row.id: self._record_anew(row, priority) for row in rows if row.id in taken}

    def _record_anew(self, row: JobRow, priority: int) -> int:
        batch = self._store.batch
        batch.remove(row.id)
        job = jobs.job_of(row)
        job.id = job.position = self._manager.take_id()
        job.priority = priority
        job.body = jobs.with_priority(row.body, priority)
        batch.add(JobRecord(job.id, job.queue, priority, None, row.enqueued_at, job.body))
        if job.failure:
            place = int(Place.QUEUED)
            batch.move(PlaceRecord(job.id, place, job.id, None, row.enqueued_at, job.failure, "", None))
        self._manager.facts.renumbered(row.id, job)
        self._manager.enter(job, recorded=True)
        return job.id

    def _take_rows(self, rows: Sequence[JobRow], start: int) -> set[int]:
        if not rows:
            return set()
        return self._take(rows[0].queue, rows[0].priority, [row.id for row in rows], start)

    def _take(self, name: str, priority: int, ids: Collection[int], start: int) -> set[int]:
        queue = self._manager.queues().get(name)
        if queue is None:
            return set()
        taken = queue.order(priority).discard(ids, start)
        for job_id in taken:
            self._cache.pop(job_id)
            self._head_times.moved(job_id)
        return taken

    # -- whole queues --------------------------------------------------------------------------------------------

    def clear_queue(self, name: str) -> int:
        """Drop all jobs of a queue, which stays, and stays paused if it is. Returns how many; it takes no time."""
        queue = self._manager.queues().get(name)
        if queue is None:
            return 0
        count = len(queue)
        self._manager.sweeper.condemn(queue.take_all())
        queue.floor = self._manager.newest_id() + 1
        self._store.batch.queues[name] = QueueRecord(name, queue.paused, queue.floor)
        return count

    def remove_queues(self, queues: Iterable[Queue]) -> None:
        """Drop queues and the jobs in them at once; the rows are swept from the disk in the background."""
        for queue in queues:
            self._manager.sweeper.condemn(queue.take_all())
            self._manager.forget_queue(queue.name)
            self._store.batch.queues[queue.name] = None
