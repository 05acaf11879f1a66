"""Start: putting what the store holds back into queues, sets and the working set.

A million queued jobs come as runs of ids and never as objects. Jobs that re-entered a queue (retries, scheduled jobs)
have a position of their own and are merged into the runs by it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from faktory_tw.core.job import MAXIMUM_RESERVE_SECONDS, job_of, lease_seconds
from faktory_tw.core.queues import Fifo, Queue
from faktory_tw.core.reservations import Reservation
from faktory_tw.core.timed import TimedSet
from faktory_tw.storage.store import JobRow, Place, Store, unreadable

_Lane = tuple[str, int]  # queue and priority


class Loader:
    """Reads the jobs of ``store`` into ``queues`` and ``sets``.

    Afterwards ``working`` holds the ids of jobs that were being worked, ``condemned`` those of removed queues.
    """

    def __init__(self, store: Store, queues: dict[str, Queue], sets: dict[Place, TimedSet]) -> None:
        self._store = store
        self._queues = queues
        self._sets = sets
        self._moved: dict[_Lane, deque[tuple[int, int]]] = {}  # (position, id) of jobs that re-entered a queue
        self.working: list[int] = []  # by the end of their reservation, so about as they were fetched
        self.condemned = Fifo()

    def run(self) -> None:
        self._load_placed()
        for name, priority, ids in self._store.queued():
            self._load_run(name, priority, ids)
        for (name, priority), rest in self._moved.items():
            fifo = self._queues[name].fifo(priority)
            for _, job_id in rest:
                fifo.append(job_id)

    def _load_placed(self) -> None:
        timed: dict[int, list[tuple[float, int]]] = {place: [] for place in (*self._sets, Place.WORKING)}
        for row in self._store.placed():
            if row.place == Place.QUEUED:
                queue = self._queues.get(row.queue)
                if queue is None or row.position < queue.floor:
                    self.condemned.append(row.id)
                else:
                    self._moved.setdefault((row.queue, row.priority), deque()).append((row.position, row.id))
            else:
                timed[row.place].append((row.at or 0.0, row.id))
        self.working = [job_id for _, job_id in sorted(timed.pop(Place.WORKING))]
        for place, entries in timed.items():
            self._sets[Place(place)].load(entries)

    def _load_run(self, name: str, priority: int, ids: Sequence[int]) -> None:
        """Append jobs that never left their first queue; their ids are their positions."""
        queue = self._queues.get(name)
        floor = queue.floor if queue is not None else 2**63
        if ids[0] < floor:
            for job_id in ids:
                if job_id < floor:
                    self.condemned.append(job_id)
            ids = [job_id for job_id in ids if job_id >= floor]
        if queue is None or not ids:
            return
        fifo = queue.fifo(priority)
        moved = self._moved.get((name, priority))
        if not moved or moved[0][0] > ids[-1]:
            fifo.extend(ids)
            return
        for job_id in ids:
            while moved and moved[0][0] < job_id:
                fifo.append(moved.popleft()[1])
            fifo.append(job_id)


def reservation_of(row: JobRow, store: Store) -> Reservation:
    """The reservation of a job that was being worked. Raises StoreError when the job is not as it was written."""
    since = row.reserved_at or 0.0
    try:
        job = job_of(row)
        extended = min(math.ceil((row.at or 0.0) - since), MAXIMUM_RESERVE_SECONDS)
    except (ValueError, ArithmeticError) as error:
        raise unreadable(store.path, f"the job number {row.id} is not as it was written, {error!r}") from error
    job.body = b""
    return Reservation(job, row.wid, since, max(lease_seconds(job.reserve_for), extended))
