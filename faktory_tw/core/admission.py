"""Fetching from a queue that has a gate.

Those that have to wait are put aside on the way to one that may go, some hundred in one turn of the reactor at most. Each
is put aside once and comes back when its lane is open, so that on average a FETCH looks at no more than a job or two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from faktory_tw.core.cache import JobCache
from faktory_tw.core.gates import Gate
from faktory_tw.core.job import Job
from faktory_tw.core.queues import Queue
from faktory_tw.core.slices import SLICE_BYTES

if TYPE_CHECKING:
    from faktory_tw.core.deliveries import Deliveries

_MOST_LOOKED_AT = 256  # jobs put aside, or dropped, in one turn
_READ_TOGETHER = 32  # jobs of one line, of which the next ones will come soon
_KEPT = 4  # in a line so short a job stays in the cache


class Admission:
    """Finds the next job of a queue that a worker may have."""

    def __init__(self, deliveries: Deliveries, cache: JobCache, hurry: Callable[[], None]) -> None:
        self._deliveries = deliveries
        self._cache = cache
        self._hurry = hurry  # asks for another turn
        self.tired: dict[str, None] = {}  # queues in which enough was looked at for one turn

    def next_job(self, queue: Queue, gate: Gate, wid: str) -> Job | None:
        """Take that job. Its gate is not closed. None: there is none, or it was not found in this turn."""
        if not gate.picks and not gate.aside.size:
            return self._deliveries.next_job(queue)
        if self.tired:
            self.rest(queue)
            return None
        looked = size = 0
        while looked < _MOST_LOOKED_AT and size < SLICE_BYTES:
            number = queue.first_aside(gate, wid)
            if number is None or queue.leads(number):
                job = self._deliveries.next_job(queue)
                if job is None and queue.first() is not None:
                    break  # it has dropped as many as one turn is good for
                if job is None and number is None:
                    return None  # otherwise all that led were over, and those that stand aside are next
            else:
                job = self._recall(gate, number)
            looked += 1
            if job is None:
                continue
            size += len(job.body)
            lane = gate.obstacle(job, wid)
            if lane is None:
                return job
            if gate.aside.put(job, lane) <= _KEPT:
                self._cache.put(job)
        self.rest(queue)
        return None

    def rest(self, queue: Queue) -> None:
        """Go on with a queue in another turn."""
        self.tired[queue.name] = None
        self._hurry()

    def _recall(self, gate: Gate, number: int) -> Job | None:
        """Take a job that stands aside. None when it is over, or gone."""
        ahead = gate.aside.neighbours(number, _READ_TOGETHER)
        job = self._cache.pop(ahead[0])
        if job is None:
            self._cache.read_ahead(lambda count: ahead[:count])
            job = self._cache.pop(ahead[0])
        gate.aside.take(number)
        if job is not None and self._deliveries.drop_if_over(job):
            return None
        return job
