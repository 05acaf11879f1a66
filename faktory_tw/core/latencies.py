"""How long the next job of a queue has waited, for many queues at once.

When a job was enqueued is known of those in the cache; of the others it is on disk. It is read in slices bounded in
bytes, because a job may be large, and remembered as long as the job does not move: a backlog that stands still is read
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from faktory_tw.core.cache import JobCache
from faktory_tw.core.queues import Queue
from faktory_tw.core.slices import Stride
from faktory_tw.storage.store import JobRow

_MOST_REMEMBERED = 50_000  # jobs, at about a hundred bytes


class QueueState(NamedTuple):
    """One queue. ``latency`` is in seconds, 0 for an empty queue, and None while it is not known."""

    name: str
    size: int
    paused: bool
    latency: float | None


class HeadTimes:
    """When the jobs at the heads of queues were enqueued. ``read`` is the store's.

    ``moves`` grows when a job that others may have been told of enters a queue again.
    """

    def __init__(self, cache: JobCache, read: Callable[[Sequence[int]], list[JobRow]]) -> None:
        self._cache = cache
        self._stride = Stride(read)
        self._remembered: dict[int, float] = {}
        self.moves = 0

    def moved(self, job_id: int) -> None:
        """The job enters a queue again: another time counts from now on."""
        self._remembered.pop(job_id, None)
        self.moves += 1

    def states(self, queues: Iterable[Queue], now: float) -> list[QueueState]:
        """These queues, after one slice of reading. ``now`` is in seconds since the epoch."""
        heads = [(queue, queue.peek()) for queue in queues]
        times = self.enqueued_at([head[0] for _, head in heads if head], reads=True)
        return [
            QueueState(
                queue.name,
                len(queue),
                queue.paused,
                _since(times.get(head[0]), now) if head else 0.0,
            )
            for queue, head in heads
        ]

    def enqueued_at(self, ids: Sequence[int], reads: bool) -> dict[int, float]:
        """When these jobs were enqueued, those that are known, after one slice of reading unless nothing is to be read."""
        times: dict[int, float] = {}
        unknown = []
        for job_id in ids:
            job = self._cache.get(job_id)
            at = self._remembered.get(job_id) if job is None else job.enqueued_at
            if at is None:
                unknown.append(job_id)
            else:
                times[job_id] = at
        if reads and unknown:
            times.update(self._read(unknown))
        return times

    def _read(self, ids: Sequence[int]) -> dict[int, float]:
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.clear()
        rows, count = self._stride.read(ids)
        found = dict.fromkeys(ids[:count], float("inf"))  # a job without a time has waited for no time
        found.update((row.id, row.enqueued_at) for row in rows if row.enqueued_at is not None)
        self._remembered.update(found)
        return found


def _since(at: float | None, now: float) -> float | None:
    return None if at is None else max(now - at, 0.0)
