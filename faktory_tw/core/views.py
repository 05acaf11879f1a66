"""Looking at jobs, queues and workers, in slices and without changing anything: what administration and the web list.

A place is gone through with a :class:`Walk`. It remembers where it is by what orders the jobs there, not by counting
them, so that jobs may come and go between two slices, and between two pages: one that stays is seen exactly once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.config.policies import QueuePolicy
from faktory_tw.core.aside import Order
from faktory_tw.core.cache import JobCache
from faktory_tw.core.queues import Fifo, Queue
from faktory_tw.core.slices import Stride
from faktory_tw.core.tasks import Clock
from faktory_tw.core.workers import Worker
from faktory_tw.storage.store import JobRow, Place, Store

if TYPE_CHECKING:
    from faktory_tw.core.manager import JobManager

_JOBS = 200  # looked at in one turn of the reactor: a millisecond or two
_QUEUES = 100
_NAMES = 1000  # of queues, looked up or put in order in one turn
_CHANGED = 250  # queues paused, or removed, in one turn
_WORKERS = 500
_LAST = 2**63 - 1
_SHIFT = 2 * _JOBS  # so far back a job is looked for whose queue was served, or cleared, since the last slice

Mark = tuple[float, int]
"""Where a walk is: (minus the priority, position) in a queue, (time, id) in a set, (0, id) among the jobs worked."""


class QueueView(NamedTuple):
    """A queue: jobs in it, seconds since the next one was enqueued, and how many there are of which priority.

    ``policy`` is what applies to it, ``special`` whether the operator says something of this very queue.
    """

    name: str
    size: int
    paused: bool
    latency: float
    priorities: dict[int, int]
    policy: QueuePolicy
    special: bool


class WorkerView(NamedTuple):
    """A worker, how many jobs it holds, and seconds since its last heartbeat (None: it has sent none)."""

    worker: Worker
    busy: int
    beat_age: float | None


class Views:
    """What may be seen of the jobs of ``manager``."""

    def __init__(self, manager: JobManager, store: Store, cache: JobCache, clock: Clock) -> None:
        self._manager = manager
        self._store = store
        self._cache = cache
        self._clock = clock

    def walk(self, place: Place, queue: str = "", after: Mark | None = None, backwards: bool = False) -> Walk:
        """Go through a place (of Place.QUEUED: one queue), behind ``after``. A set may be gone through backwards."""
        return Walk(self._manager, self._store, self.position, place, queue, after, backwards)

    def page(self, place: Place, queue: str = "", start: int = 0, count: int = 100) -> Iterator[list[JobRow]]:
        """The jobs number ``start`` and following of a place, in slices.

        A queue is in the order in which it will be fetched, scheduled jobs and retries soonest first, the dead with
        the one that died last first, and those being worked by id.
        """
        ids = self._ids(place, queue, start, count)
        stride = Stride(self._store.read)
        while ids:
            rows, done = stride.read(ids)
            ids = ids[done:]
            yield [row for row in rows if row.place == place]

    def _ids(self, place: Place, queue: str, start: int, count: int) -> list[int]:
        if place is Place.WORKING:
            return sorted(reservation.job.id for reservation in self._manager.reservations())[start : start + count]
        if place is not Place.QUEUED:
            entries = self._manager.timed(place).part(start, count, backwards=place is Place.DEAD)
            return [job_id for _, job_id in entries]
        ids: list[int] = []
        found = self._manager.queues().get(queue)
        for _, fifo in found.orders() if found is not None else ():
            ids += fifo.part(start, count - len(ids))
            start = max(start - len(fifo), 0)
            if len(ids) >= count:
                break
        return ids

    def queued_ids(self, queue: str, priority: int, start: int, count: int) -> list[int]:
        """The ids of the jobs number ``start`` and following of one priority of a queue, without reading them."""
        found = self._manager.queues().get(queue)
        return [] if found is None else found.order(priority).part(start, count)

    def find(self, job_id: int) -> JobRow | None:
        """A job by its id, wherever it is; None when it is gone."""
        rows = self._store.read([job_id])
        return rows[0] if rows and self._is_there(rows[0]) else None

    def rows(self, ids: Sequence[int]) -> Iterator[list[JobRow]]:
        """These jobs, wherever they are, in slices; those that are gone are left out."""
        stride = Stride(self._store.read)
        while ids:
            rows, done = stride.read(ids)
            ids = ids[done:]
            yield [row for row in rows if self._is_there(row)]

    def _is_there(self, row: JobRow) -> bool:
        """Whether a job is not one of a queue that was removed and is not swept yet."""
        if row.place != Place.QUEUED:
            return True
        queue = self._manager.queues().get(row.queue)
        return queue is not None and row.position >= queue.floor

    def index(self, row: JobRow) -> int:
        """About where a queued job is among those of its queue and priority."""
        fifo = self._manager.queues()[row.queue].order(row.priority)
        return max(_behind(fifo, row.position, self.position) - 1, 0)

    def position(self, job_id: int) -> int | None:
        """The position of a queued job."""
        job = self._cache.get(job_id)
        if job is not None:
            return job.position
        rows = self._store.read([job_id])
        return rows[0].position if rows else None

    def newest(self) -> int:
        """The highest id there is now: who has looked, and acts later, leaves jobs alone that have a higher one."""
        return self._manager.newest_id()

    def size(self, place: Place, queue: str = "") -> int:
        """How many jobs are in a place."""
        if place is Place.QUEUED:
            return len(self._manager.queues().get(queue, ()))
        return self._manager.set_sizes()[place.name.lower()]

    def queue_sizes(self) -> Iterator[dict[str, int]]:
        """How many jobs are in each queue, in slices and in no order."""
        for names in self._queue_names():
            queues = self._manager.queues()
            yield {name: len(queues[name]) for name in names if name in queues}

    def slices_of(self, names: Sequence[str]) -> Iterator[list[str]]:
        """These names of queues, ``*`` alone standing for all, as many at a time as are changed in one turn."""
        found = list(self._manager.queues()) if names and names[0] == "*" else [name for name in names if name != "*"]
        for start in range(0, len(found), _CHANGED):
            yield found[start : start + _CHANGED]

    def _queue_names(self) -> Iterator[list[str]]:
        names = list(self._manager.queues())
        for start in range(0, len(names), _NAMES):
            yield names[start : start + _NAMES]

    def queues(
        self, after: str = "", wanted: Callable[[str], bool] | None = None, skip: int = 0
    ) -> Iterator[list[QueueView]]:
        """The queues behind ``after`` by name, in slices, of which the first are empty while the names are put in order.

        Of a queue that nobody touched lately, the first job is read from disk. ``wanted`` chooses by the name; ``skip``
        of the queues are left out, and cost nothing but that.
        """
        stride = Stride(self._store.read)
        ordered: list[list[str]] = []
        for some in self._queue_names():
            if ordered:
                yield []
            ordered.append(sorted(name for name in some if name > after and (wanted is None or wanted(name))))
        names = merge(*ordered)
        while skip > 0 and list(islice(names, min(skip, _NAMES))):
            skip -= _NAMES
            yield []
        part: list[str] = []
        while part := [*part, *islice(names, _QUEUES - len(part))]:
            unread = self._unread_heads(part)
            rows, count = stride.read(list(unread))
            enqueued_at = {row.id: row.enqueued_at for row in rows}
            left = list(unread.values())[count:]
            done = part.index(left[0]) if left else len(part)
            yield self._queue_views(part[:done], enqueued_at)
            part = part[done:]

    def queue(self, name: str) -> QueueView | None:
        """One queue; None when there is none of that name."""
        queue = self._manager.queues().get(name)
        if queue is None:
            return None
        rows = self._store.read(list(self._unread_heads([name])))
        return self._queue_view(queue, {row.id: row.enqueued_at for row in rows}, self._clock.time())

    def _unread_heads(self, names: list[str]) -> dict[int, str]:
        """The next job of each of these queues, and the queue, where it is not in memory."""
        queues, heads = self._manager.queues(), {}
        for name in names:
            queue = queues.get(name)
            for head in queue.peek() if queue is not None else ():
                if self._cache.get(head) is None:
                    heads[head] = name
        return heads

    def _queue_views(self, names: list[str], enqueued_at: dict[int, float | None]) -> list[QueueView]:
        now = self._clock.time()
        queues = self._manager.queues()
        return [self._queue_view(queues[name], enqueued_at, now) for name in names if name in queues]

    def _queue_view(self, queue: Queue, enqueued_at: dict[int, float | None], now: float) -> QueueView:
        latency = 0.0
        for head in queue.peek():
            job = self._cache.get(head)
            since = enqueued_at.get(head) if job is None else job.enqueued_at
            latency = max(now - (since or now), 0.0)
        priorities = {priority: len(fifo) for priority, fifo in queue.orders() if len(fifo)}
        policy, special = self._manager.policies.of(queue.name)
        return QueueView(queue.name, len(queue), queue.paused, latency, priorities, policy, special)

    def worker(self, wid: str) -> WorkerView | None:
        """One worker; None when it is not connected."""
        worker = self._manager.workers.connected(wid)
        if worker is None:
            return None
        busy = len(self._manager.working.of_workers({wid}))
        beat_age = None if worker.beaten_at is None else self._clock.monotonic() - worker.beaten_at
        return WorkerView(worker, busy, beat_age)

    def worker_jobs(self, wid: str, start: int = 0, count: int = 100) -> Iterator[list[JobRow]]:
        """The jobs that a worker holds, by id, in slices; an empty wid stands for connections without one."""
        held = self._manager.working.of_workers({wid})
        ids = sorted(reservation.job.id for reservation in held)[start : start + count]
        stride = Stride(self._store.read)
        while ids:
            rows, done = stride.read(ids)
            ids = ids[done:]
            yield [row for row in rows if row.place == Place.WORKING and row.wid == wid]

    def workers(self) -> Iterator[list[WorkerView]]:
        """All connected workers, in slices."""
        now = self._clock.monotonic()
        workers = list(self._manager.workers)
        busy = Counter(reservation.wid for reservation in self._manager.reservations())
        for start in range(0, len(workers), _WORKERS):
            yield [
                WorkerView(worker, busy[worker.wid], None if worker.beaten_at is None else now - worker.beaten_at)
                for worker in workers[start : start + _WORKERS]
            ]


class Walk:
    """Goes through the jobs of one place. ``after`` is where it is; ``ended`` says that nothing follows.

    ``start`` is where the jobs of the last slice begin among those of their queue and priority.
    """

    def __init__(
        self,
        manager: JobManager,
        store: Store,
        position_of: Callable[[int], int | None],
        place: Place,
        queue: str,
        after: Mark | None,
        backwards: bool,
    ) -> None:
        self._manager = manager
        self._position_of = position_of
        self._backwards = backwards
        self._stride = Stride(store.read)
        self._place = place
        self._queue = queue
        self._working: list[int] | None = None
        self._left: tuple[int, int] | None = None  # index behind the last job seen in a queue, and who was there
        self._at_end: int | None = None  # the place (of a queue: the priority) was seen to its end: no waiting for more
        self.after = after
        self.start = 0
        self.ended = False

    def __iter__(self) -> Iterator[list[JobRow]]:
        """The jobs in slices, of which any may be empty: its jobs have gone meanwhile."""
        while True:
            rows = self.next()
            if self.ended:
                return
            yield rows

    def next(self) -> list[JobRow]:
        """The next jobs, as many as one turn of the reactor is good for."""
        if self._place is Place.QUEUED:
            return self._next_queued()
        entries = self._next_working() if self._place is Place.WORKING else self._next_timed()
        if not entries or self._at_end is not None:
            self.ended = True
            return []
        rows, count = self._stride.read([job_id for _, job_id in entries])
        self.after = entries[count - 1]
        if self._working is not None:
            self._working.extend(job_id for _, job_id in reversed(entries[count:]))
        elif count == len(entries) < _JOBS:
            self._at_end = self._place
        return [row for row in rows if row.place == self._place]

    def _next_timed(self) -> list[Mark]:
        if self._backwards:
            return self._manager.timed(self._place).before(self.after, _JOBS)
        return self._manager.walk(self._place, self.after, _JOBS)

    def _next_working(self) -> list[Mark]:
        """Reservations have no order that lasts, but ids have."""
        if self._working is None:
            least = 0 if self.after is None else self.after[1]
            ids = sorted(reservation.job.id for reservation in self._manager.reservations())
            self._working = [job_id for job_id in reversed(ids) if job_id > least]
        entries: list[Mark] = []
        while self._working and len(entries) < _JOBS:
            entries.append((0, self._working.pop()))
        return entries

    def _next_queued(self) -> list[JobRow]:
        queue = self._manager.queues().get(self._queue)
        for priority, fifo in queue.orders() if queue is not None else ():
            start = self._start(priority, fifo)
            ids = fifo.part(start, _JOBS + 1) if start is not None else []
            if start is not None and ids:
                rows, count = self._stride.read(ids[:_JOBS])
                self.after = (-priority, rows[-1].position if rows else _LAST)
                self._left = (start + count, ids[count]) if count < len(ids) else None
                self._at_end = priority if count == len(ids) else None
                self.start = start
                return rows
        self.ended = True
        return []

    def _start(self, priority: int, fifo: Fifo | Order) -> int | None:
        """Where to go on among the jobs of one priority; None when the walk is beyond them."""
        if self.after is None or self.after[0] < -priority:
            return 0
        if self.after[0] > -priority:
            return None
        if self._at_end == priority:
            return None
        if self._left is not None:
            index, job_id = self._left
            if fifo.part(index, 1) == [job_id]:
                return index
            first = max(index - _SHIFT, 0)
            near = fifo.part(first, index - first)
            if job_id in near:
                return first + near.index(job_id)
        return _behind(fifo, self.after[1], self._position_of)


def _behind(fifo: Fifo | Order, position: float, position_of: Callable[[int], int | None]) -> int:
    """Where the jobs behind a position begin. Positions grow along a queue: twenty are looked up of a million.

    A job's position is its id, or higher.
    """
    low, high = 0, len(fifo)
    while low < high:
        middle = (low + high) // 2
        [job_id] = fifo.part(middle, 1)
        found = job_id if job_id > position else position_of(job_id)
        if found is not None and found <= position:
            low = middle + 1
        else:
            high = middle
    return low
