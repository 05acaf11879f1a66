"""Jobs that expire: ``custom.expires_at``, a time, and ``custom.expires_in``, seconds from when the job is enqueued.

An expired job is given to no worker. It is dropped when its turn comes, and by a sweep that looks at all that are queued,
scheduled or to be tried again, so that it does not wait for a worker to be dropped. While a job is being worked it stays:
its worker may finish it, and only when it fails it is dropped. A dead job does not expire; an operator who has it tried
again means it.

The moment is one of the wall clock: a clock that is set forward makes jobs expire earlier. Of two moments the earlier one
counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from faktory_tw.core.facts import Arrival, Feature
from faktory_tw.core.job import Job
from faktory_tw.core.manager import JobManager
from faktory_tw.core.marks import Marks
from faktory_tw.core.slices import Stride
from faktory_tw.core.tasks import Clock
from faktory_tw.core.timed import TimedSet
from faktory_tw.storage.store import JobRow, Store
from faktory_tw.times import parse_rfc3339
from faktory_tw.wire import CommandError

_SLICE = 500
_FEWEST = 8
_KEY = Struct(">q")
_VALUE = Struct(">d")


class Expiry(Feature):
    """When jobs expire, by id, and in the order of time those that nobody works on."""

    kind = "expires"

    def __init__(self) -> None:
        self._ends: dict[int, float] = {}
        self._idle = TimedSet()
        self._slice = _SLICE  # fewer when the jobs of one slice stand far from each other in a long queue

    def join(self, manager: JobManager, store: Store, clock: Clock) -> None:
        super().join(manager, store, clock)
        self._stride = Stride(store.read)

    def load(self, entries: Iterator[tuple[bytes, bytes]]) -> None:
        """Take all jobs for idle; the sweep passes over those that are worked."""
        for key, value in entries:
            self._ends[_KEY.unpack(key)[0]] = _VALUE.unpack(value)[0]
        self._idle.load([(end, job_id) for job_id, end in self._ends.items()])

    def concerns(self, marks: Marks) -> bool:
        return marks.expires_at is not None or marks.expires_in is not None

    def holds(self) -> bool:
        return bool(self._ends)

    def __len__(self) -> int:
        """How many jobs may expire."""
        return len(self._ends)

    def end(self, job_id: int) -> float | None:
        """When a job expires, in seconds since the epoch; None: never."""
        return self._ends.get(job_id)

    def step(self) -> bool:
        due = self._idle.take_due(self.clock.time(), self._slice)
        if not due:
            return False
        rows, count = self._stride.read([job_id for _, job_id in due])
        for entry in due[count:]:
            self._idle.add(*entry)
        for job_id in {job_id for _, job_id in due[:count]}.difference(row.id for row in rows):
            self._forget(job_id)
        names, left = self.manager.edits.expire(rows)
        for row in left:
            self._is_idle(row.id)
        if left:
            names |= self._drop_near(left[0])
        more = len(due) == self._slice or count < len(due) or bool(left)
        self._slice = max(count - len(left), _FEWEST) if left else min(self._slice * 2, _SLICE)
        for name in names:
            self.manager.serve(name)
        return more

    def _drop_near(self, row: JobRow) -> set[str]:
        """Drop what is over near a queued job, whenever it expired: one pass over that part of the queue takes it all."""
        now = self.clock.time()
        over = [job_id for job_id in self.manager.edits.neighbours(row) if self._ends.get(job_id, now + 1) <= now]
        rows, _ = self._stride.read(over[:_SLICE])
        return self.manager.edits.expire(rows)[0]

    # -- checks --------------------------------------------------------------------------------------------------

    def check_push(self, arrival: Arrival) -> None:
        try:
            _end(arrival)
        except ValueError as error:
            raise CommandError(f'custom.expires_at must be a time such as "2026-11-22T08:00:00Z": {error}') from None

    def is_over(self, job: Job) -> bool:
        end = self._ends.get(job.id)
        return end is not None and end <= self.clock.time()

    # -- facts ---------------------------------------------------------------------------------------------------

    def pushed(self, job_id: int, arrival: Arrival) -> None:
        self._keep(job_id, _end(arrival))

    def fetched(self, job: Job) -> None:
        if job.id in self._ends:
            self._idle.discard(self._ends[job.id], job.id)

    def given_back(self, job: Job) -> None:
        self._is_idle(job.id)

    def failed(self, job: Job) -> None:
        self._is_idle(job.id)

    def acked(self, job: Job) -> None:
        self._forget(job.id)

    def died(self, job: Job) -> None:
        self._forget(job.id)

    def discarded(self, job: Job) -> None:
        self._forget(job.id)

    def expired(self, job: Job) -> None:
        self._forget(job.id)
        self.manager.tasks["Expired"].reaped += 1
        if self.manager.observer is not None:
            self.manager.observer.expired(job)

    def renumbered(self, old_id: int, job: Job) -> None:
        end = self._ends.get(old_id)
        if end is not None:
            self._forget(old_id)
            self._keep(job.id, end)

    def flushed(self) -> None:
        self.manager.sweeper.free(self._ends, self._idle)
        self._ends = {}
        self._idle = TimedSet()

    def _keep(self, job_id: int, end: float) -> None:
        self._ends[job_id] = end
        self._idle.add(end, job_id)
        self.store.batch.enter(self.kind, _KEY.pack(job_id), _VALUE.pack(end))

    def _is_idle(self, job_id: int) -> None:
        end = self._ends.get(job_id)
        if end is not None:
            self._idle.discard(end, job_id)  # one that was there at the start may be among the idle
            self._idle.add(end, job_id)

    def _forget(self, job_id: int) -> None:
        end = self._ends.pop(job_id, None)
        if end is not None:
            self._idle.discard(end, job_id)
            self.store.batch.enter(self.kind, _KEY.pack(job_id), None)


def _end(arrival: Arrival) -> float:
    """When a job expires, in seconds since the epoch. Raises ValueError."""
    marks = arrival.marks
    ends = []
    if marks.expires_at is not None:
        ends.append(parse_rfc3339(marks.expires_at))
    if marks.expires_in is not None:
        ends.append(arrival.due + marks.expires_in)
    return min(ends)
