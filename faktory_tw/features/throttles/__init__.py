"""Throttles: no more than so many jobs of a kind at once, or in a time. ``[throttles]`` in the files of ``conf.d``.

A throttle limits the jobs of a queue, of a jobtype, or of each value of a key that stands in the args, and of these how
many are worked at once (``concurrency``), at once in one worker process (``worker``), and how many are begun in a time
(``rate``). A job takes a slot when a worker gets it, and frees it when its reservation ends in whatever way, or after
``timeout`` seconds: the job is left to its worker then, but another one may begin.

Slots are not recorded. They follow from the reservations, so they are as exact after a restart as these. Tokens are
recorded, those of a lane in one entry, in the batch of the job that took one.

Everything that takes longer with the number of jobs, queues or lanes is done in slices by :meth:`Throttles.step`: closing
the gates of all queues, counting who is being worked when a throttle is new, opening the lanes of one that is gone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush, merge
from itertools import islice
from struct import Struct

from faktory_tw.config import Settings
from faktory_tw.config.throttles import Throttle as Setting
from faktory_tw.core.facts import Feature
from faktory_tw.core.manager import JobManager
from faktory_tw.core.queues import Queue
from faktory_tw.core.reservations import Reservation
from faktory_tw.core.slices import Stride
from faktory_tw.core.tasks import Clock
from faktory_tw.features.throttles.gates import Slots, ThrottleGate
from faktory_tw.features.throttles.keys import keys_of
from faktory_tw.features.throttles.lanes import Bucket, Held, Lane, Throttle
from faktory_tw.features.throttles.views import LOOKED_AT, ThrottleView, throttle_view
from faktory_tw.storage.store import Store

MOST_LISTED = 200
_SLICE = 500
_MOST_SERVED = 500  # queues told that a job may go, from one turn of the periodic duties to the next
_SERVED_TOGETHER = 20
_SOONEST = 0.01  # seconds until a token is looked for: what comes meanwhile comes together
_VALUE = Struct(">dd")  # tokens, and when there were so many, seconds since the epoch

_Later = tuple[float, int, Lane]
_Found = tuple[float, int, int, str]  # since when, the job, the number of the throttle, the key


class Throttles(Feature):
    """The throttles of one server, by name."""

    kind = "throttles"

    def __init__(self) -> None:
        self._throttles: dict[str, Throttle] = {}
        self._by_queue: dict[str, list[Throttle]] = {}
        self._everywhere: list[Throttle] = []
        self._loaded = False
        self._number = 0  # tells apart what is due at the same moment
        self._stale: list[bytes] = []  # entries of nobody
        self._begin()

    def _begin(self) -> None:
        self._queues: deque[str] = deque()  # whose gate is to be seen to
        self._draining: OrderedDict[str, None] = (
            OrderedDict()
        )  # without a throttle any more, but with jobs that stand aside
        self._changed: deque[Lane] = deque()  # with other limits than before
        self._opened: dict[Lane, int] = {}  # for which a job may go, and how many queues are still to be told
        self._serves = _MOST_SERVED  # left until the next turn of the periodic duties
        self._counting: Iterator[None] | None = None
        self._uncounted: list[Throttle] = []
        self._alarms: list[_Later] = []  # heap of the lanes without a token, by when there will be one
        self._fills: list[_Later] = []  # heap of those whose bucket is not full, by when it will be

    def join(self, manager: JobManager, store: Store, clock: Clock) -> None:
        super().join(manager, store, clock)
        self._stride = Stride(store.read)
        self._slots = Slots(manager, clock, self._took, self._serve, self._serve_later)
        manager.gate_of = self._gate_of

    # -- settings ------------------------------------------------------------------------------------------------

    def configure(self, settings: Settings) -> None:
        before = self._throttles
        if list(settings.throttles) == [throttle.setting for throttle in before.values()]:
            return
        self._throttles = {}
        for setting in settings.throttles:
            throttle = before.get(setting.name)
            if throttle is None or throttle.setting.meant != setting.meant:
                throttle = Throttle(setting, self._on_idle)
                throttle.counts = self._loaded
                self._uncounted.append(throttle)
            elif throttle.setting != setting:
                self._limit(throttle, setting)
            self._throttles[setting.name] = throttle
        for name, throttle in before.items():
            if self._throttles.get(name) is not throttle:
                self._limit(throttle, Setting(name, *throttle.setting.meant[1:]))
        self._assign()
        if self._throttles:
            self.manager.observe(self._slots)
        else:
            self.manager.ignore(self._slots)
            self.manager.sweeper.free(self._slots.by_job)
            self._slots.by_job = {}
            self._alarms, self._fills = [], []
            self._counting, self._uncounted = None, []
        if self._loaded:
            self._see_to_queues()
            self._refresh_changed(self.clock.monotonic())
            self.manager.hurry(0.0)

    def _limit(self, throttle: Throttle, setting: Setting) -> None:
        throttle.setting = setting
        self._changed.extend(throttle.lanes.values())

    def _assign(self) -> None:
        """Find out which throttles a queue has, and which queues have others than before."""
        names, everywhere = set(self._by_queue), self._everywhere
        self._by_queue, self._everywhere = {}, []
        for throttle in self._throttles.values():
            queue = throttle.setting.queue
            (self._everywhere if queue is None else self._by_queue.setdefault(queue, [])).append(throttle)
        all_queues = everywhere or self._everywhere
        self._queues.extend(list(self.manager.queues()) if all_queues else names.union(self._by_queue))

    def _of(self, queue: str) -> Sequence[Throttle]:
        return (*self._by_queue.get(queue, ()), *self._everywhere)

    def _gate_of(self, name: str) -> ThrottleGate | None:
        throttles = self._of(name)
        if not throttles:
            return None
        gate = ThrottleGate(name, self.clock)
        gate.use(throttles)
        return gate

    def _see_to(self, queue: Queue) -> None:
        gate = queue.gate
        if not isinstance(gate, ThrottleGate):
            queue.gate = self._gate_of(queue.name)
        elif gate.aside.size or self._of(queue.name):
            gate.use(self._of(queue.name))
            if not self._of(queue.name):
                self._draining[queue.name] = None  # those that stand aside find their lanes open and go
        else:
            queue.gate = None
        self.manager.serve(queue.name)

    # -- start ---------------------------------------------------------------------------------------------------

    def load(self, entries: Iterator[tuple[bytes, bytes]]) -> None:
        now, wall = self.clock.monotonic(), self.clock.time()
        for entry, value in entries:
            name, _, key = entry.decode("utf-8", "replace").partition("\0")
            throttle = self._throttles.get(name)
            rate = throttle.setting.rate if throttle is not None else None
            if throttle is None or rate is None or bool(key) > throttle.is_keyed:
                self._stale.append(entry)
                continue
            level, at = _VALUE.unpack(value)
            bucket = Bucket(rate, min(level, float(rate.burst)), now - max(wall - at, 0.0))
            if bucket.is_full(now):
                self._stale.append(entry)
                continue
            lane = throttle.lane(key, now)
            lane.bucket = bucket
            lane.refresh(now)
            self._expect(lane, now)
        for queue in self.manager.queues().values():
            self._see_to(queue)
        self._queues.clear()
        self._loaded = True
        while self._count_on():
            pass

    def _count_on(self) -> bool:
        """One slice of finding out who is being worked, for throttles that are new. Returns whether there is more."""
        if self._counting is None and self._uncounted and not self._queues:
            self._counting = self._count(self._uncounted)
            self._uncounted = []
        if self._counting is None:
            return False
        if next(self._counting, self) is self:
            self._counting = None
        return self._counting is not None or bool(self._uncounted)

    def _count(self, new: list[Throttle]) -> Iterator[None]:
        """Nobody gets a job that these throttles may be for until all are counted."""
        reservations = list(self.manager.reservations())
        runs: list[list[_Found]] = []
        among, start = {throttle: number for number, throttle in enumerate(new)}, 0
        while start < len(reservations):
            found: list[_Found] = []
            start += self._find(reservations[start : start + _SLICE], among, found)
            runs.append(sorted(found, key=_since, reverse=True))
            yield
        # To sort all of them together would take one long turn, and so would it to free them together.
        in_order = merge(*map(_used_up, runs), key=_since)
        while part := list(islice(in_order, _SLICE)):
            for since, job_id, number, key in part:
                reservation = self.manager.working.get(job_id)
                if reservation is not None:
                    self._slots.count(job_id, (new[number], key), reservation.wid, since)
            yield
        for throttle in new:
            throttle.counts = False
            queue = throttle.setting.queue
            self._queues.extend(list(self.manager.queues()) if queue is None else [queue])

    def _find(self, part: Sequence[Reservation], new: dict[Throttle, int], found: list[_Found]) -> int:
        """Look at reservations, as many as one turn is good for; returns how many that were.

        What is found has nothing but numbers and texts in it: of a million such tuples the garbage collector knows nothing.
        """
        now, wall = self.clock.monotonic(), self.clock.time()
        subject = [[each for each in self._of(reservation.job.queue) if each in new] for reservation in part]
        unread = [index for index, throttles in enumerate(subject) if any(each.is_keyed for each in throttles)]
        rows, count = self._stride.read([part[index].job.id for index in unread])
        bodies = {row.id: row.body for row in rows}
        looked_at = len(part) if count == len(unread) else unread[count]
        for reservation, meant in zip(part[:looked_at], subject, strict=False):
            since = now - max(wall - reservation.reserved_at, 0.0)
            throttles = [each for each in meant if since + (each.setting.timeout or float("inf")) > now]
            keys = keys_of([each.setting for each in throttles], bodies.get(reservation.job.id, b"{}"))
            for throttle, key in zip(throttles, keys, strict=True):
                if key is not None:
                    found.append((since, reservation.job.id, new[throttle], key))
        return looked_at

    # -- slots and tokens ----------------------------------------------------------------------------------------

    def _took(self, lane: Lane, now: float) -> None:
        """A token was taken, or given back."""
        assert lane.bucket is not None
        self.store.batch.enter(self.kind, _entry(lane), _VALUE.pack(lane.bucket.level, self.clock.time()))
        self._expect(lane, now)

    def _expect(self, lane: Lane, now: float) -> None:
        """Remember when a token comes, and when all have come."""
        bucket = lane.bucket
        if bucket is None:
            return
        self._number += 1
        if lane.lacks_token(now) and not lane.alarmed:
            lane.alarmed = True
            at = bucket.at + max(bucket.wait(1.0), _SOONEST)
            heappush(self._alarms, (at, self._number, lane))
            self.manager.hurry(max(at - now, 0.0))
        if not lane.fills:
            lane.fills = True
            at = bucket.at + max(bucket.wait(bucket.rate.burst), _SOONEST)
            heappush(self._fills, (at, self._number, lane))

    def _on_idle(self, lane: Lane) -> None:
        """Forget a lane that says no more than that it is there."""
        throttle = lane.throttle
        if throttle.is_keyed and throttle.lanes.get(lane.key) is lane and lane.is_idle(self.clock.monotonic()):
            del throttle.lanes[lane.key]

    def _serve(self, lane: Lane, most: int | None = None) -> None:
        """Another job may go: give it to a FETCH that waits. ``most``: of so many queues, those asked are to be asked last."""
        queue = lane.throttle.setting.queue
        if not lane.throttle.is_keyed and queue is not None:
            self.manager.serve(queue)
            return
        left = len(lane.wanted) if most is None else min(most, len(lane.wanted))
        while left and lane.wanted and self._serves > 0:
            for aside in list(islice(lane.wanted, min(left, _SERVED_TOGETHER))):
                if lane.closed:
                    return
                left -= 1
                self._serves -= 1
                lane.tell(aside)
                self.manager.serve(aside.queue)
        if left and lane.wanted:
            self._opened[lane] = left
            self.manager.hurry(0.0)

    def _serve_later(self, lane: Lane) -> None:
        self._opened[lane] = len(lane.wanted)
        self.manager.hurry(0.0)

    def flushed(self) -> None:
        sweeper = self.manager.sweeper
        self._slots.forget()
        self._begin()
        for throttle in self._throttles.values():
            sweeper.free(throttle.lanes, throttle.held)
            throttle.begin()

    # -- periodic duties -----------------------------------------------------------------------------------------

    def step(self) -> bool:
        if not self._throttles and not (self._changed or self._queues or self._draining or self._stale):
            return self.manager.look_on()
        now = self.clock.monotonic()
        self._serves = _MOST_SERVED
        more = self._see_to_queues()
        more = self._count_on() or more
        self._open_for_good()
        more = self._refresh_changed(now) or more
        more = self._reclaim(now) or more
        more = self._ring(now) or more
        more = self._see_full(now) or more
        for lane in list(islice(self._opened, _SLICE)):
            self._serve(lane, self._opened.pop(lane))
        for entry in self._stale[-_SLICE:]:
            self._drop_entry(entry)
        del self._stale[-_SLICE:]
        more = self.manager.look_on() or more
        return more or bool(self._queues or self._uncounted or self._opened or self._stale)

    def _see_to_queues(self) -> bool:
        for _ in range(min(len(self._queues), _SLICE)):
            queue = self.manager.queues().get(self._queues.popleft())
            if queue is not None:
                self._see_to(queue)
        return bool(self._queues)

    def _open_for_good(self) -> None:
        """Take the gates away of queues that need none any more."""
        for _ in range(min(len(self._draining), _SLICE)):
            queue = self.manager.queues().get(self._draining.popitem(last=False)[0])
            if queue is not None:
                self._see_to(queue)

    def _refresh_changed(self, now: float) -> bool:
        for _ in range(min(len(self._changed), _SLICE)):
            lane = self._changed.popleft()
            had_bucket = lane.bucket is not None
            lane.adopt(now)
            self._expect(lane, now)
            if had_bucket and lane.bucket is None:
                self._stale.append(_entry(lane))
            self._serve(lane)
            self._on_idle(lane)
        return bool(self._changed)

    def _reclaim(self, now: float) -> bool:
        """Free the slots whose time is over."""
        left = _SLICE
        for throttle in self._throttles.values():
            timeout = throttle.setting.timeout
            if timeout is None:
                continue
            for job_id in list(islice(_over(throttle.held, timeout, now), left)):
                left -= 1
                throttle.reclaimed += 1
                lane = throttle.free(job_id, now)
                if lane is not None:
                    self._serve(lane)
        return not left

    def _ring(self, now: float) -> bool:
        """Open the lanes for which a token has come."""
        alarms, left = self._alarms, _SLICE
        while alarms and alarms[0][0] <= now and left:
            left -= 1
            lane = heappop(alarms)[2]
            lane.alarmed = False
            lane.refresh(now)
            self._serve(lane)
            self._expect(lane, now)
        if alarms:
            self.manager.hurry(max(alarms[0][0] - now, 0.0))
        return not left

    def _see_full(self, now: float) -> bool:
        """Forget the buckets that are full."""
        fills, left = self._fills, _SLICE
        while fills and fills[0][0] <= now and left:
            left -= 1
            lane = heappop(fills)[2]
            lane.fills = False
            if lane.bucket is not None and not lane.bucket.is_full(now):
                self._expect(lane, now)
                continue
            self._drop_entry(_entry(lane))
            self._on_idle(lane)
        return not left

    def _drop_entry(self, entry: bytes) -> None:
        """Forget what is recorded of a lane, unless another one of that name needs it."""
        name, _, key = entry.decode("utf-8", "replace").partition("\0")
        throttle = self._throttles.get(name)
        lane = throttle.lanes.get(key) if throttle is not None else None
        if lane is None or lane.bucket is None or lane.bucket.is_full(self.clock.monotonic()):
            self.store.batch.enter(self.kind, entry, None)

    # -- looking -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many there are."""
        return len(self._throttles)

    def list(self, start: int = 0, count: int = MOST_LISTED) -> list[ThrottleView]:
        """The throttles from the ``start``-th on, in the order of the files."""
        queues, now = self.manager.queues(), self.clock.monotonic()
        some = list(islice(self._throttles.values(), start, start + min(count, MOST_LISTED)))
        return [throttle_view(each, queues, now, LOOKED_AT // len(some)) for each in some]


def _over(held: dict[int, Held], timeout: float, now: float) -> Iterator[int]:
    """The jobs whose slots were taken so long ago; the oldest come first."""
    for job_id, each in held.items():
        if each.since + timeout > now:
            return
        yield job_id


def _since(found: _Found) -> float:
    return found[0]


def _used_up(found: list[_Found]) -> Iterator[_Found]:
    """From the last to the first."""
    while found:
        yield found.pop()


def _entry(lane: Lane) -> bytes:
    return f"{lane.throttle.setting.name}\0{lane.key}".encode()
