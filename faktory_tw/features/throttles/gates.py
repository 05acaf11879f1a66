"""The gate of a queue that has throttles, and who takes their slots.

A gate knows at once whether the queue as a whole is closed. Of a job it knows so when it has looked at it; what it found
out then is used again when the job is given to a worker in the same turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from faktory_tw.core.aside import Lane as WaitedFor
from faktory_tw.core.gates import Gate
from faktory_tw.core.hooks import Observer
from faktory_tw.core.job import Job
from faktory_tw.core.manager import JobManager
from faktory_tw.core.reservations import Reservation
from faktory_tw.core.tasks import Clock
from faktory_tw.features.throttles.keys import keys_of
from faktory_tw.features.throttles.lanes import Lane, Throttle

Subject = tuple[Throttle, str]
"""A throttle and the key of the lane in it."""


class ThrottleGate(Gate):
    """The gate of one queue: ``whole`` are the lanes of the throttles of all of it, ``keyed`` the others."""

    __slots__ = ("whole", "keyed", "throttles", "_clock", "_looked_at", "_subjects")

    def __init__(self, queue: str, clock: Clock) -> None:
        super().__init__(queue)
        self.whole: tuple[Lane, ...] = ()
        self.keyed: tuple[Throttle, ...] = ()
        self.throttles: tuple[Throttle, ...] = ()  # of `whole`
        self._clock = clock
        self._looked_at = 0  # the job
        self._subjects: list[Subject] = []  # what it is subject to

    def use(self, throttles: Sequence[Throttle]) -> None:
        """Go by these throttles from now on."""
        now = self._clock.monotonic()
        self.whole = tuple(throttle.lane("", now) for throttle in throttles if not throttle.is_keyed)
        for lane in self.whole:
            if lane.gate is not self:
                lane.throttle.overage = lane.throttle.passed - self.passed  # it counts what comes
                lane.gate = self
        self.keyed = tuple(throttle for throttle in throttles if throttle.is_keyed)
        self.throttles = tuple(lane.throttle for lane in self.whole)
        self.picks = bool(self.keyed)
        self.choosy = any(throttle.setting.worker is not None for throttle in throttles)
        self._looked_at = 0
        self.see()

    def see(self) -> None:
        """A lane whose tokens come with time is asked each time, and one that is full for some workers only."""
        counts = any(throttle.counts for throttle in (*self.throttles, *self.keyed))
        self.shut = counts or any(lane.closed and lane.bucket is None for lane in self.whole)
        self.asks = any(lane.bucket is not None or lane.throttle.setting.worker is not None for lane in self.whole)
        self.plain = not (self.asks or self.picks or self.aside.size)

    def closed(self, wid: str) -> bool:
        for lane in self.whole:
            if lane.closed and lane.bucket is not None:
                lane.refresh(self._clock.monotonic())
            if lane.closed or lane.full_for(wid):
                return True
        return False

    def obstacle(self, job: Job, wid: str) -> WaitedFor | None:
        self._look(job)
        for throttle, key in self._subjects:
            lane = throttle.lanes.get(key)
            if lane is None:
                continue
            if lane.closed and lane.bucket is not None:
                closed = lane.refresh(self._clock.monotonic())
                if not closed and self.aside in lane.lines:
                    return lane  # others have waited for that
            if not lane.closed and self.aside.is_unoffered(lane):
                return lane  # it goes behind them
            if lane.closed or lane.full_for(wid):
                throttle.overage += 1
                return lane
        return None

    def _look(self, job: Job) -> None:
        keys = keys_of([throttle.setting for throttle in self.keyed], job.body)
        found = zip(self.keyed, keys, strict=True)
        self._subjects = [(throttle, key) for throttle, key in found if key is not None]
        self._looked_at = job.id

    def lanes(self, job: Job, now: float) -> tuple[Lane, ...]:
        """The lanes of a job that a worker gets, if the gate ``picks``."""
        if self._looked_at != job.id:
            self._look(job)
        return (*self.whole, *(throttle.lane(key, now) for throttle, key in self._subjects))


class Slots(Observer):
    """Takes slots and tokens for jobs that workers get, and frees them when that ends.

    ``took`` is called when a lane has lost a token, ``opened`` when another job may go, and ``later`` when that is to be
    seen to in another turn.
    """

    def __init__(
        self,
        manager: JobManager,
        clock: Clock,
        took: Callable[[Lane, float], None],
        opened: Callable[[Lane], None],
        later: Callable[[Lane], None],
    ) -> None:
        self._manager = manager
        self._queues = manager.queues()
        self._clock = clock
        self._took = took
        self._opened = opened
        self._later = later
        self.by_job: dict[int, tuple[Throttle, ...]] = {}  # where a job holds a slot, or has until its time was over

    def fetched(self, reservation: Reservation) -> None:
        job = reservation.job
        queue = self._queues.get(job.queue)
        if queue is None or not isinstance(queue.gate, ThrottleGate):
            return
        gate, job_id, now = queue.gate, job.id, self._clock.monotonic()
        lanes = gate.lanes(job, now) if gate.picks else gate.whole
        for lane in lanes:
            throttle = lane.throttle
            throttle.held_count += 1
            bucket = lane.bucket
            if bucket is not None:
                bucket.fill(now)
                bucket.level -= 1
            throttle.take(lane, job_id, reservation.wid, now, now)
            if bucket is not None:
                self._took(lane, now)
        if lanes:
            self.by_job[job_id] = tuple([lane.throttle for lane in lanes]) if gate.picks else gate.throttles

    def count(self, job_id: int, subject: Subject, wid: str, since: float) -> None:
        """A job that was being worked already has a slot, too."""
        throttle, key = subject
        now = self._clock.monotonic()
        throttle.take(throttle.lane(key, now), job_id, wid, since, now)
        before = self.by_job.get(job_id)
        self.by_job[job_id] = throttle.alone if before is None else (*before, throttle)

    def acked(self, reservation: Reservation) -> None:
        job_id = reservation.job.id
        throttles = self.by_job.pop(job_id, None)
        if throttles is None:
            return
        now = self._clock.monotonic()
        opened = [lane for throttle in throttles if (lane := throttle.free(job_id, now)) is not None]
        for lane in opened:  # all slots are free before anybody is served
            self._opened(lane)

    failed = taken_back = acked

    def forget(self) -> None:
        """All jobs and queues were flushed; the others are new ones."""
        self._manager.sweeper.free(self.by_job)
        self.by_job = {}
        self._queues = self._manager.queues()

    def given_back(self, reservation: Reservation) -> None:
        """As if it had never been fetched; the queue gets the job back in a moment, and is served then."""
        job_id, now = reservation.job.id, self._clock.monotonic()
        for throttle in self.by_job.pop(job_id, ()):
            held = throttle.held.get(job_id)
            if held is None:
                continue
            throttle.held_count -= 1
            bucket = held.lane.bucket
            if bucket is not None:
                bucket.level = min(bucket.fill(now) + 1, float(bucket.rate.burst))
                self._took(held.lane, now)
            lane = throttle.free(job_id, now)
            if lane is not None:
                self._later(lane)
