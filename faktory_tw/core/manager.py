"""The job manager: what the commands mean.

Each public method is one command or one periodic duty. It works in three steps inside one turn of the reactor: it
checks, and may refuse with a CommandError that leaves nothing changed; it changes memory and records the same change in
the store's open batch; it reacts, for instance by handing the job to a FETCH that waits. It returns a plain record at
once; that the change is not on disk yet is the caller's business (``wire.Held``).

The clock has ``time()``, wall seconds since the epoch for dates, and ``monotonic()``, seconds for durations. Nobody
outside the core reaches into the containers: what the protocol and the web ask for is a method here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy

from faktory_tw.core import job as jobs
from faktory_tw.core.cache import JobCache
from faktory_tw.core.deliveries import Deliveries
from faktory_tw.core.duties import Duties
from faktory_tw.core.edits import Edits
from faktory_tw.core.facts import Arrival, Facts, Feature
from faktory_tw.core.gates import Gate
from faktory_tw.core.history import History
from faktory_tw.core.hooks import Observer, joined, without
from faktory_tw.core.job import Job, Payload
from faktory_tw.core.latencies import HeadTimes, QueueState
from faktory_tw.core.loading import Loader, reservation_of
from faktory_tw.core.marks import pushed_marks
from faktory_tw.core.policies import QueuePolicies
from faktory_tw.core.queues import Queue
from faktory_tw.core.reservations import Reservation, Reservations
from faktory_tw.core.retry import DEAD_SECONDS, FailureReport, next_failure
from faktory_tw.core.slices import Stride
from faktory_tw.core.sweeper import Sweeper
from faktory_tw.core.tasks import Clock, Limits
from faktory_tw.core.timed import TimedSet
from faktory_tw.core.views import Views
from faktory_tw.core.waiting import Waiter
from faktory_tw.core.weights import Weighted
from faktory_tw.core.workers import State, Worker, Workers
from faktory_tw.storage.store import Batch, JobRecord, JobRow, Place, PlaceRecord, QueueRecord, Store
from faktory_tw.wire import CommandError

__all__ = ["Clock", "JobManager", "Limits", "Reservation"]

_LOADED_AT_ONCE = 500  # reservations
_MOST_NAMES = 1000  # in one question for latencies: each may have to be read from disk


class JobManager:
    """All jobs of one server. ``random(n)`` gives an integer from 0 to n - 1."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        random: Callable[[int], int],
        limits: Limits | None = None,
        features: Sequence[Feature] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._limits = limits or Limits()
        self._next_id = 1
        self._queues: dict[str, Queue] = {}
        self._sets = {place: TimedSet() for place in (Place.SCHEDULED, Place.RETRIES, Place.DEAD)}
        self.working = Reservations()
        self._cache = JobCache(self._limits.cache_bytes, store.read)
        self._head_times = HeadTimes(self._cache, store.read)
        self.policies = QueuePolicies(self._limits, self._head_times)
        self.observer: Observer | None = None
        self._deliveries = Deliveries(self, store, self._cache, clock)
        self._duties = Duties(self, store, clock, self._limits.reclaim_dead_workers)
        self.facts = Facts(features)
        self.sweeper = Sweeper(store, self._cache, self.facts)
        self.views = Views(self, store, self._cache, clock)
        self.edits = Edits(self, store, self._cache, self._head_times, clock)
        self.workers = Workers()
        self.history = History()
        self.tasks = self._duties.tasks
        self.pushed = 0  # jobs accepted since the start
        self.fetched = 0  # reservations made since the start
        self.gate_of: Callable[[str], Gate | None] = lambda _name: None  # of a queue that is made
        self.hurry: Callable[[float], None] = lambda _seconds: None  # asks for `upkeep` in so many seconds
        self.facts.join(self, store, clock)
        self.refuse_pushes = ""  # why PUSH is refused at the moment, for the client; empty when it is not

    def limit(self, limits: Limits) -> None:
        """Keep to other limits from now on; the size of the cache stays."""
        self._limits = limits
        self._duties.reclaims = limits.reclaim_dead_workers
        self.policies.change(limits, self._queues)

    # -- start ---------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Take over what the store holds. Reservations and heartbeats begin anew on the monotonic clock."""
        contents = self._store.contents()
        self._next_id = contents.next_id
        for name, paused, floor in contents.queues:
            self._queues[name] = self.policies.new_queue(name, floor, paused)
        self.history.load(contents.days)
        self.workers.load(contents.workers, self._clock.monotonic())
        loader = Loader(self._store, self._queues, self._sets)
        loader.run()
        self.sweeper.condemn([loader.condemned])
        stride, start = Stride(self._store.read), 0
        while start < len(loader.working):
            start += self._load_working(stride, loader.working[start : start + _LOADED_AT_ONCE])
        self.facts.load(self._store)

    def _load_working(self, stride: Stride, ids: Sequence[int]) -> int:
        now = self._clock.monotonic()
        rows, count = stride.read(ids)
        for row in rows:
            self.working.add(reservation_of(row, self._store), now)
        return count

    # -- commands of producers -----------------------------------------------------------------------------------

    def push(self, payload: Payload, now: float | None = None, own: bool = False) -> int:
        """Accept a job: into its queue, or into the scheduled set. Returns its id. Raises CommandError.

        ``now`` gives the jobs of one PUSHB the same ``created_at``. ``own``: the server owes this job to somebody, so
        neither a full queue nor an equal job keeps it out.
        """
        jobs.check(payload)
        at = jobs.due_time(payload.at) if payload.at else None
        name = payload.queue = payload.queue or jobs.DEFAULT_QUEUE
        queue = self._queues.get(name)
        if queue is None:
            jobs.check_queue_name(name)
        policy = self._limits.policies.get(name) if self._limits.policies else None
        if self.refuse_pushes or self._limits.max_queue_size or policy is not None:
            self._check_room(None if own else queue)
        if now is None:
            now = self._clock.time()
        failure = jobs.pushed_failure(payload) if payload.failure else b""
        default_priority = jobs.DEFAULT_PRIORITY if policy is None else jobs.fill(payload, policy)
        body = jobs.complete(payload, now)
        arrival = self._checked_by_features(payload, now, at, own) if payload.custom else None
        self.pushed += 1
        job_id = self._next_id
        self._next_id = job_id + 1
        if arrival is not None:
            self.facts.pushed(job_id, arrival)
        priority = payload.priority
        if priority is None or not 1 <= priority <= jobs.HIGHEST_PRIORITY:
            priority = default_priority
        if at is not None and at > now:
            self._store.batch.add(JobRecord(job_id, name, priority, at, None, body))
            if failure:
                place = int(Place.SCHEDULED)
                self._store.batch.move(PlaceRecord(job_id, place, job_id, at, None, failure, "", None))
            self._sets[Place.SCHEDULED].add(at, job_id)
            return job_id
        if queue is None:
            queue = self._create_queue(name, job_id)
        self._store.batch.add(JobRecord(job_id, name, priority, None, now, body))
        if failure:
            self._store.batch.move(PlaceRecord(job_id, int(Place.QUEUED), job_id, None, now, failure, "", None))
        retry, reserve_for = payload.retry or 0, payload.reserve_for or 0
        marks = arrival.marks if arrival is not None else None
        job = Job(job_id, payload.jid or "", name, priority, job_id, retry, reserve_for, now, failure, body, marks)
        self._deliveries.enqueue(queue, job)
        return job_id

    def vet(self, payload: Payload) -> None:
        """Refuse with a CommandError, and change nothing, what :meth:`push` would refuse as the server's own job."""
        jobs.check(payload)
        at = jobs.due_time(payload.at) if payload.at else None
        payload.queue = payload.queue or jobs.DEFAULT_QUEUE
        jobs.check_queue_name(payload.queue)
        jobs.pushed_failure(payload)
        now = self._clock.time()
        jobs.complete(copy(payload), now)
        if payload.custom:
            self._checked_by_features(payload, now, at, own=True)

    def _checked_by_features(self, payload: Payload, now: float, at: float | None, own: bool) -> Arrival | None:
        """What the features of a job are told of it, once none of them has refused it; None when it concerns none."""
        marks = pushed_marks(payload.custom)
        if marks is None:
            return None
        arrival = Arrival(payload, marks, now, now if at is None else max(at, now), own=own)
        self.facts.check_push(arrival)
        return arrival

    def _check_room(self, queue: Queue | None) -> None:
        if self.refuse_pushes:
            raise CommandError(self.refuse_pushes)
        if queue is not None:
            self.policies.check_room(queue)

    def _create_queue(self, name: str, floor: int) -> Queue:
        queue = self._queues[name] = self.policies.new_queue(name, floor)
        queue.gate = self.gate_of(name)
        self._store.batch.queues[name] = QueueRecord(name, False, floor)
        return queue

    def enter(self, job: Job, recorded: bool = False) -> None:
        """Put a job, with a new position, into its queue, which is made if it is missing."""
        queue = self._queues.get(job.queue)
        if queue is None:
            queue = self._create_queue(job.queue, job.position)
        if not recorded:
            self._deliveries.record_queued(job, job.position)
        self._deliveries.enqueue(queue, job)

    # -- commands of workers -------------------------------------------------------------------------------------

    def fetch(self, names: Sequence[str], worker: Worker | None) -> Reservation | None:
        """The next job of the first of these queues that has one, reserved for the worker. None when none has.

        If they have weights, it is drawn which one is the first.
        """
        if worker is not None and worker.state is not State.RUNNING:
            return None
        for name in names if names.__class__ is tuple else self._in_order(names):
            queue = self._queues.get(name)
            if queue is not None and not queue.paused:
                gate = queue.gate
                if gate is None:
                    job = self._deliveries.next_job(queue)
                elif gate.shut:
                    gate.passed += 1
                    continue
                elif gate.plain:
                    job = self._deliveries.next_job(queue)
                else:
                    job = self._deliveries.next_admitted(queue, gate, worker)
                if job is not None:
                    reservation = self._deliveries.reserve(job, worker.wid if worker is not None else "")
                    if job.marks is not None:
                        self.facts.fetched(job)
                    return reservation
        return None

    def _in_order(self, names: Sequence[str]) -> Iterable[str]:
        return names.drawn(self._queues, self._random) if isinstance(names, Weighted) else names

    def wait(
        self, names: Sequence[str], worker: Worker | None, deliver: Callable[[Reservation | None], bool]
    ) -> Waiter:
        """Wait for a job of these queues; see :class:`Waiter`. A worker that is to be quiet waits in vain."""
        return self._deliveries.wait(names, worker, deliver)

    def stop_waiting(self, waiter: Waiter) -> None:
        """The client is gone."""
        self._deliveries.stop_waiting(waiter)

    def end_waits(self, everybody: bool = False) -> bool:
        """Answer the waiting FETCHes whose time is over, some hundred at most, or all that wait.

        Returns whether there may be more; then the caller lets commands in and calls again.
        """
        return self._deliveries.end_waits(everybody)

    def give_back(self, reservation: Reservation) -> None:
        """The client left before it got the job: back to the head, with its old position."""
        self._deliveries.give_back(reservation)

    def ack(self, jid: str, wid: str) -> bool:
        """The job is done. False when no such job is reserved: finished already, expired, or never there."""
        reservation = self.working.take(jid, wid)
        if reservation is None:
            return False
        self._store.batch.remove(reservation.job.id)
        self.history.count(self._clock.time(), failed=False)
        if reservation.job.marks is not None:
            self.facts.acked(reservation.job)
        if self.observer is not None:
            self.observer.acked(reservation)
        return True

    def extend(self, reservation: Reservation, until: float) -> None:
        """Let a worker have its job until then, seconds since the epoch; never for less long than it may already."""
        seconds = math.ceil(until - self._clock.time())
        if self.working.extend(reservation, seconds, self._clock.monotonic()):
            self._deliveries.record_reserved(reservation, until)

    def fail(self, jid: str, wid: str, report: FailureReport) -> None:
        """The job failed: it is tried again later, or dead, or dropped when it has ``retry`` 0."""
        reservation = self.working.take(jid, wid)
        if reservation is None:
            raise CommandError(f"Job not found {jid}")
        self._failed(reservation.job, report)
        if self.observer is not None:
            self.observer.failed(reservation)

    def _failed(self, job: Job, report: FailureReport) -> None:
        now = self._clock.time()
        self.history.count(now, failed=True)
        if job.retry == 0:
            self._store.batch.remove(job.id)
            self.facts.discarded(job)
            return
        backoff = job.marks.backoff if job.marks is not None else None
        failure, retry_at = next_failure(job.failure, job.retry, report, now, self._random, backoff)
        place, at = (Place.DEAD, now + DEAD_SECONDS) if retry_at is None else (Place.RETRIES, retry_at)
        self.put_into_set(job.id, place, at, job.enqueued_at, failure)
        if place is Place.DEAD:
            self.facts.died(job)
        else:
            self.facts.failed(job)

    def put_into_set(self, job_id: int, place: Place, at: float, enqueued_at: float | None, failure: bytes) -> None:
        """Record a job that has left its place as one of a set, the last that came there, and add it."""
        position = self.take_id()
        self._store.batch.move(PlaceRecord(job_id, int(place), position, at, enqueued_at, failure, "", None))
        self._sets[place].add(at, job_id)

    def beat(self, wid: str, state: str | None, rss_kb: int) -> State | None:
        """A heartbeat: what the worker is to do. None when no such worker is connected."""
        worker = self.workers.beat(wid, state, rss_kb, self._clock.monotonic())
        if worker is None:
            return None
        if not worker.beaten:
            worker.beaten = True
            self._store.batch.workers[wid] = True
        return worker.state

    def tell_workers(self, wid: str, state: State) -> int:
        """Have a worker (``*``: each) become quiet or end. How many were told; 0 when it is not connected."""
        return self.workers.tell(wid, state)

    def connect_worker(self, wid: str, hostname: str, pid: int, labels: list[str]) -> Worker:
        """A connection of a worker was opened."""
        return self.workers.connect(wid, hostname, pid, labels, self._clock.time())

    def disconnect_worker(self, worker: Worker) -> None:
        """A connection of a worker ended."""
        self.workers.disconnect(worker, self._clock.monotonic())

    # -- queues and sets -----------------------------------------------------------------------------------------

    def pause(self, names: Sequence[str], paused: bool = True) -> None:
        """Pause queues, or let them go on; unknown names are ignored, ``*`` alone is every queue."""
        for queue in self._named(names):
            if queue.paused != paused:
                queue.paused = paused
                self._store.batch.queues[queue.name] = QueueRecord(queue.name, paused, queue.floor)
                self._deliveries.serve(queue)

    def remove_queues(self, names: Sequence[str]) -> None:
        """Drop queues and the jobs in them at once; the rows are swept from the disk in the background."""
        self.edits.remove_queues(self._named(names))

    def serve(self, name: str) -> None:
        """Let FETCHes that wait for jobs of a queue have what is in it: what stood before those is gone."""
        if name in self._queues:
            self._deliveries.serve(self._queues[name])

    def look_on(self) -> bool:
        """Let FETCHes go on for which one turn was not enough; see :meth:`Deliveries.look_on`."""
        return self._deliveries.look_on()

    def forget_queue(self, name: str) -> None:
        """A queue was emptied and is no more."""
        del self._queues[name]

    def latencies(self, names: Sequence[str]) -> dict[str, float]:
        """Seconds since the next job of each queue was enqueued; 0 for an empty or unknown one. Raises CommandError."""
        distinct = dict.fromkeys(names)
        if len(distinct) > _MOST_NAMES:
            raise CommandError(f"more than {_MOST_NAMES} queue names")
        now = self._clock.time()
        return {name: self._latency(name, now) for name in distinct}

    def _latency(self, name: str, now: float) -> float:
        queue = self._queues.get(name)
        head = queue.peek() if queue is not None else []
        if not head:
            return 0
        job = self._cache.get(head[0])
        enqueued_at = job.enqueued_at if job is not None else (self._store.read(head)[0].enqueued_at or now)
        return max(now - enqueued_at, 0)

    def _named(self, names: Sequence[str]) -> list[Queue]:
        if names and names[0] == "*":
            return list(self._queues.values())
        return [self._queues[name] for name in dict.fromkeys(names) if name in self._queues]

    def flush(self) -> None:
        """Forget everything: jobs, queues, reservations, statistics. Connections and waiting FETCHes stay."""
        self._store.batch.flush()
        self.sweeper.flush(self._sets.values())
        self.sweeper.free(self._queues, *self.working.containers())
        self._queues = {}
        self._sets = {place: TimedSet() for place in self._sets}
        self.working = Reservations()
        self.history.clear()
        self._duties.forget()
        self.workers.forget_heartbeats()
        self.facts.flushed()
        if self.observer is not None:
            self.observer.flushed()

    def walk(self, place: Place, after: tuple[float, int] | None, count: int) -> list[tuple[float, int]]:
        """Entries (at, id) of a set that follow ``after``, for a long command to go through in slices."""
        return self._sets[place].after(after, count)

    def read(self, ids: Sequence[int]) -> list[JobRow]:
        """Everything about these jobs; those that are gone are left out."""
        return self._store.read(ids)

    # -- periodic duties -----------------------------------------------------------------------------------------

    def upkeep(self) -> bool:
        """One slice of what is due: scheduled jobs, retries, old dead jobs, reservations, gone workers, sweeping.

        Returns whether more is due; then the caller lets commands in and calls again.
        """
        return self._duties.step()

    def take_back(self, job_id: int, report: FailureReport) -> bool:
        """End a reservation as if its worker had reported a failure. False when there is none."""
        reservation = self.working.take_id(job_id)
        if reservation is None:
            return False
        self._failed(reservation.job, report)
        if self.observer is not None:
            self.observer.taken_back(reservation)
        return True

    # -- what others may know ------------------------------------------------------------------------------------

    def observe(self, observer: Observer) -> None:
        """Tell ``observer`` from now on what happens to jobs that are worked."""
        self.observer = joined(self.observer, observer)

    def ignore(self, observer: Observer) -> None:
        """Tell it no more."""
        self.observer = without(self.observer, observer)

    def queue_names(self) -> list[str]:
        """The names of all queues, sorted."""
        return sorted(self._queues)

    def queue_states(self, names: Sequence[str]) -> list[QueueState]:
        """Size, latency and pause of these queues; unknown ones are left out. Reads a few MiB at most from disk.

        A queue for whose latency that did not suffice has None there; asking for those again reaches further.
        """
        queues = [self._queues[name] for name in names if name in self._queues]
        return self._head_times.states(queues, self._clock.time())

    def waits(self) -> int:
        """How many FETCHes wait for a job."""
        return len(self._deliveries)

    def queue_sizes(self) -> dict[str, int]:
        """Jobs in each queue, by name."""
        return {name: len(self._queues[name]) for name in sorted(self._queues)}

    def newest_id(self) -> int:
        """The highest id that a job or a position has."""
        return self._next_id - 1

    def take_id(self) -> int:
        """A new id, which is a position, too."""
        self._next_id += 1
        return self._next_id - 1

    def timed(self, place: Place) -> TimedSet:
        """A set, for those inside the core that look at it or change it."""
        return self._sets[place]

    def queues(self) -> Mapping[str, Queue]:
        """The queues by name, for those inside the core that look at them."""
        return self._queues

    def set_sizes(self) -> dict[str, int]:
        """Jobs in each set, as INFO names them."""
        return {
            "dead": len(self._sets[Place.DEAD]),
            "retries": len(self._sets[Place.RETRIES]),
            "scheduled": len(self._sets[Place.SCHEDULED]),
            "working": len(self.working),
        }

    def reservations(self) -> Iterator[Reservation]:
        """The jobs being worked."""
        return iter(self.working)

    def seal(self) -> Batch:
        """Close the open batch, with the statistics as they are now."""
        self._store.batch.days = self.history.changes()
        return self._store.seal()
