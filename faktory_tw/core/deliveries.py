"""Giving queued jobs to those who fetch them, at once or while they wait.

Every job on its way into a queue comes through :meth:`Deliveries.enqueue`, so that a FETCH that waits gets it first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from faktory_tw.core import job as jobs
from faktory_tw.core.admission import Admission
from faktory_tw.core.cache import JobCache
from faktory_tw.core.gates import Gate
from faktory_tw.core.job import Job
from faktory_tw.core.queues import Queue
from faktory_tw.core.reservations import Reservation
from faktory_tw.core.slices import SLICE_BYTES
from faktory_tw.core.tasks import Clock
from faktory_tw.core.waiting import WAIT_SECONDS, Waiter, Waiting
from faktory_tw.core.workers import Worker
from faktory_tw.storage.store import Place, PlaceRecord, Store

if TYPE_CHECKING:
    from faktory_tw.core.manager import JobManager

_MOST_DROPPED = 256  # jobs that are over, on the way to the next one; the rest is for the periodic duties
_MOST_ASKED = 200  # workers that may have no more, on the way to one that may
_MOST_IN_VAIN = 2000  # of these, in one turn
_LOOKED_PAST = 16  # FETCHes of workers that were asked: that takes as long as to ask one
_WAITS_ENDED = 200  # FETCHes answered in one turn of the reactor because their time is over
_WORKING = int(Place.WORKING)


class Deliveries:
    """The jobs of ``manager`` on their way from a queue to a worker."""

    def __init__(self, manager: JobManager, store: Store, cache: JobCache, clock: Clock) -> None:
        self._manager = manager
        self._store = store
        self._cache = cache
        self._clock = clock
        self._waiting = Waiting()
        self._admission = Admission(self, cache, lambda: manager.hurry(0.0))
        self._in_vain = 0  # workers that were asked in this turn and may have no more

    def __len__(self) -> int:
        """How many FETCHes wait."""
        return len(self._waiting)

    def enqueue(self, queue: Queue, job: Job) -> None:
        """Give the job, already recorded as queued, to whoever waits for it, or put it into its queue."""
        if job.marks is not None and self._manager.facts.is_over(job):
            self._drop(job)
            return
        if queue.gate is None and queue.name in self._waiting.by_queue and not queue.paused:
            body = job.body
            while (waiter := self._waiting.longest(queue.name)) is not None:
                if self._hand_over(job, waiter):
                    return
                job.body = body  # the delivery that failed had dropped it
        queue.append(job.priority, job.id)
        self._cache.put(job)
        if queue.gate is not None:
            self.serve(queue)

    def next_job(self, queue: Queue) -> Job | None:
        """Take the job whose turn it is. The disk is read before anything is changed.

        Jobs that are over are dropped on the way, some hundred at most: None does not say that the queue is empty.
        """
        dropped = size = 0
        while (fifo := queue.first()) is not None:
            job_id = fifo.head[0]
            job = self._cache.pop(job_id)
            if job is None:
                self._cache.read_ahead(fifo.peek)
                job = self._cache.pop(job_id)
            fifo.popleft()
            if job is None:
                continue
            if job.marks is None or not self._manager.facts.is_over(job):
                return job
            size += len(job.body)
            dropped += 1
            self._drop(job)
            if dropped == _MOST_DROPPED or size > SLICE_BYTES:
                return None
        return None

    def next_admitted(self, queue: Queue, gate: Gate, worker: Worker | None) -> Job | None:
        """As :meth:`next_job`, for a queue with a gate: the next one that this worker may have."""
        wid = worker.wid if worker is not None else ""
        if gate.asks and gate.closed(wid):
            gate.passed += 1
            return None
        return self._admission.next_job(queue, gate, wid)

    def drop_if_over(self, job: Job) -> bool:
        """Drop a job that has left its queue if a feature says that it is over."""
        over = job.marks is not None and self._manager.facts.is_over(job)
        if over:
            self._drop(job)
        return over

    def _drop(self, job: Job) -> None:
        """A job that is over has left its queue, or does not get in."""
        self._store.batch.remove(job.id)
        self._manager.facts.expired(job)

    def reserve(self, job: Job, wid: str) -> Reservation:
        """Put a job that has left its queue into the hands of a worker."""
        manager, now = self._manager, self._clock.time()
        # lease_seconds would say the same without a reserve_for, but most jobs have none and a call less counts here
        seconds = jobs.lease_seconds(job.reserve_for) if job.reserve_for else jobs.DEFAULT_RESERVE_SECONDS
        reservation = Reservation(job, wid, now, seconds)
        manager.working.add(reservation, self._clock.monotonic())
        until = now + seconds
        self._store.batch.move(
            PlaceRecord(job.id, _WORKING, job.position, until, job.enqueued_at, job.failure, wid, now)
        )
        manager.fetched += 1
        if manager.observer is not None:
            manager.observer.fetched(reservation)
        return reservation

    def record_reserved(self, reservation: Reservation, until: float) -> None:
        """Record that a worker may have its job until then."""
        job, wid, since = reservation.job, reservation.wid, reservation.reserved_at
        self._store.batch.move(
            PlaceRecord(job.id, _WORKING, job.position, until, job.enqueued_at, job.failure, wid, since)
        )

    def wait(
        self, names: Sequence[str], worker: Worker | None, deliver: Callable[[Reservation | None], bool]
    ) -> Waiter:
        """Wait for a job of these queues, once a FETCH has found none; see :class:`Waiter`.

        A worker that is to be quiet waits in vain.
        """
        waiter = Waiter(names, worker, deliver, self._clock.monotonic() + WAIT_SECONDS)
        self._waiting.add(waiter)
        return waiter

    def stop_waiting(self, waiter: Waiter) -> None:
        """The client is gone."""
        self._waiting.remove(waiter)

    def end_waits(self, everybody: bool = False) -> bool:
        """Answer the waiting FETCHes whose time is over, some hundred at most, or all that wait.

        Returns whether there may be more; then the caller lets commands in and calls again.
        """
        if everybody:
            expired = self._waiting.take_expired(float("inf"))
        else:
            expired = self._waiting.take_expired(self._clock.monotonic(), _WAITS_ENDED)
        for waiter in expired:
            waiter.deliver(None)
        return not everybody and len(expired) == _WAITS_ENDED

    def give_back(self, reservation: Reservation) -> None:
        """The client left before it got the job: back to the head, with its old position."""
        job = reservation.job
        if self._manager.working.get(job.id) is not reservation:
            return
        self._manager.working.take_id(job.id)
        self.record_queued(job, job.position)
        if self._manager.observer is not None:
            self._manager.observer.given_back(reservation)
        self._manager.facts.given_back(job)
        queue = self._manager.queues().get(job.queue)
        if queue is None or job.position < queue.floor:
            self._store.batch.remove(job.id)  # its queue was removed meanwhile
            self._manager.facts.discarded(job)
            return
        queue.put_back(job.priority, job.id, job.position)
        self.serve(queue)

    def _hand_over(self, job: Job, waiter: Waiter) -> bool:
        """Give a job to a FETCH that waits. False when its client is gone: then the job is recorded as queued again."""
        self._waiting.remove(waiter)
        reservation = self.reserve(job, waiter.worker.wid if waiter.worker is not None else "")
        if waiter.deliver(reservation):
            if job.marks is not None:
                self._manager.facts.fetched(job)
            return True
        self._manager.working.take_id(job.id)
        self.record_queued(job, job.position)
        if self._manager.observer is not None:
            self._manager.observer.given_back(reservation)
        return False

    def record_queued(self, job: Job, position: int) -> None:
        """Record a job as one of its queue."""
        place = int(Place.QUEUED)
        self._store.batch.move(PlaceRecord(job.id, place, position, None, job.enqueued_at, job.failure, "", None))

    def serve(self, queue: Queue) -> None:
        """Give waiting jobs to waiting FETCHes."""
        if queue.gate is not None:
            while (
                queue.name in self._waiting.by_queue
                and not self._admission.tired
                and self._serve_admitted(queue, queue.gate)
            ):
                pass
            return
        while not queue.paused and self._waiting.longest(queue.name) is not None and queue.first() is not None:
            job = self.next_job(queue)
            if job is None:
                return
            waiter = self._waiting.longest(queue.name)  # another one, if a job that was over had consequences
            if waiter is None or not self._hand_over(job, waiter):
                queue.put_back(job.priority, job.id, job.position)

    def _serve_admitted(self, queue: Queue, gate: Gate) -> bool:
        """Give one job to the FETCH that has waited longest of those that may have it. False when there is none such."""
        if queue.paused or gate.shut or not len(queue):
            return False
        if self._in_vain > _MOST_IN_VAIN:
            self._admission.rest(queue)
            return False
        if gate.choosy:
            self._in_vain += len(self._waiting.by_queue[queue.name]) // _LOOKED_PAST
        for waiter in self._waiting.first(queue.name, _MOST_ASKED if gate.choosy else 1):
            wid = waiter.worker.wid if waiter.worker is not None else ""
            self._in_vain += gate.choosy
            if gate.closed(wid):
                continue
            job = self._admission.next_job(queue, gate, wid)
            if job is not None:
                # A job that was over may have had consequences: then somebody else may be the one to have this.
                if not waiter.waits or not self._hand_over(job, waiter):
                    queue.put_back(job.priority, job.id, job.position)
                return True
            if self._admission.tired:
                break
        return False

    def look_on(self) -> bool:
        """Go on looking for jobs of queues with a gate where one turn was not enough. Returns whether more is to do."""
        left, self._admission.tired, self._in_vain = deque(self._admission.tired), {}, 0
        while left and not self._admission.tired:
            self._manager.serve(left.popleft())
        if left:
            self._admission.tired = {**dict.fromkeys(left), **self._admission.tired}  # the others come first then
        return bool(self._admission.tired)
