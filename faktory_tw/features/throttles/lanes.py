"""One throttle at work: its lanes, their slots and their buckets of tokens.

A throttle without a key has one lane; one with a key has a lane for each value of the key, as long as jobs of that value
wait, are worked, or have lately been. A job takes a slot, and a token, of its lane when a worker gets it.

A bucket fills by the monotonic clock. What is recorded of it is its level and the wall time, so that a restart gives
nobody a full one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from faktory_tw.config.throttles import Rate
from faktory_tw.config.throttles import Throttle as Setting
from faktory_tw.core.aside import Lane as WaitedFor

_MANY = 2**63
_NEARLY = 1e-9  # of a token: what is lost in adding up


class Bucket:
    """Tokens, as floats; ``at`` is when there were ``level``, monotonic."""

    __slots__ = ("rate", "level", "at")

    def __init__(self, rate: Rate, level: float, at: float) -> None:
        self.rate = rate
        self.level = level
        self.at = at

    def fill(self, now: float) -> float:
        """Let in what came since; returns how many there are."""
        if now > self.at:
            self.level = min(self.level + (now - self.at) * self.rate.limit / self.rate.period, float(self.rate.burst))
            self.at = now
        return self.level

    def is_full(self, now: float) -> bool:
        """Whether no token is missing."""
        return self.fill(now) >= self.rate.burst - _NEARLY

    def wait(self, level: float) -> float:
        """How long from ``at`` until there are so many."""
        return max((level - self.level) * self.rate.period / self.rate.limit, 0.0)


class QueueGate(Protocol):
    """Who is told when a lane is closed or opened; ``passed`` counts the FETCHes that went by."""

    passed: int

    def see(self) -> None:
        """One of its lanes was closed, or opened."""


class Lane(WaitedFor):
    """The jobs of a throttle that have the same key. ``taken`` of its slots are."""

    __slots__ = ("throttle", "key", "taken", "by_worker", "waiting", "bucket", "gate", "fills", "alarmed")

    def __init__(self, throttle: Throttle, key: str, bucket: Bucket | None) -> None:
        super().__init__()
        self.throttle = throttle
        self.key = key
        self.taken = 0
        self.by_worker: dict[str, int] = {}
        self.waiting = 0
        self.bucket = bucket
        self.gate: QueueGate | None = None  # of the queue, all of whose jobs it is for
        self.fills = False  # whether it is remembered that the bucket is not full, and that there is no token in it
        self.alarmed = False

    def offer(self) -> None:
        super().offer()
        if self.gate is not None:
            self.gate.see()

    def adopt(self, now: float) -> None:
        """Go by the limits of the throttle, which have changed."""
        rate = self.throttle.setting.rate
        if rate is None:
            self.bucket = None
        else:
            level = float(rate.burst) if self.bucket is None else min(self.bucket.fill(now), float(rate.burst))
            self.bucket = Bucket(rate, level, now)
        self.alarmed = False  # it may come earlier now
        self.refresh(now)
        if self.gate is not None:
            self.gate.see()

    def full_for(self, wid: str) -> bool:
        most = self.throttle.setting.worker
        return most is not None and self.by_worker.get(wid, 0) >= most

    def changed(self, count: int) -> None:
        self.waiting += count
        self.throttle.waiting += count
        if not self.waiting:
            self.throttle.on_idle(self)

    def refresh(self, now: float) -> bool:
        """See whether it is closed."""
        most = self.throttle.setting.concurrency
        closed = (most is not None and self.taken >= most) or self.lacks_token(now)
        if closed != self.closed:
            self.closed = closed
            self.offer()
        return closed

    def lacks_token(self, now: float) -> bool:
        """Whether its bucket has no whole token."""
        return self.bucket is not None and self.bucket.fill(now) < 1 - _NEARLY

    def is_idle(self, now: float) -> bool:
        """Whether it says no more than that it is there."""
        return (self.bucket is None or self.bucket.is_full(now)) and not self.taken and not self.waiting


class Held(msgspec.Struct, gc=False):
    """A slot that is taken: by which worker, and since when, monotonic."""

    lane: Lane
    wid: str
    since: float


class Throttle:
    """A throttle with its lanes, by their key, and what it has counted since it began.

    ``held`` has the slots that are taken, by the id of the job, the oldest first; ``on_idle`` is told of a lane that may
    be one. ``counts``: the reservations that were there before are being counted, and until then nobody gets a job.
    """

    def __init__(self, setting: Setting, on_idle: Callable[[Lane], None]) -> None:
        self.setting = setting
        self.alone = (self,)  # as the only one of a job
        self.is_keyed = bool(setting.key) or setting.jobtype is not None  # jobs must be looked at
        self.begin()
        self.held_count = 0
        self.held_seconds = 0.0
        self.overage = 0
        self.reclaimed = 0
        self.on_idle = on_idle

    def begin(self) -> None:
        """No job waits and none is worked."""
        self.lanes: dict[str, Lane] = {}
        self.held: dict[int, Held] = {}
        self.held_since = 0.0  # the sum of what `held` has
        self.counts = False
        self.waiting = 0

    @property
    def passed(self) -> int:
        """How often a FETCH, or a job, had to go by."""
        whole = None if self.is_keyed else self.lanes.get("")
        return self.overage + (whole.gate.passed if whole is not None and whole.gate is not None else 0)

    def lane(self, key: str, now: float) -> Lane:
        """The lane of a key, which is made if it is missing."""
        lane = self.lanes.get(key)
        if lane is None:
            rate = self.setting.rate
            bucket = Bucket(rate, float(rate.burst), now) if rate is not None else None
            lane = self.lanes[key] = Lane(self, key, bucket)
        return lane

    def take(self, lane: Lane, job_id: int, wid: str, since: float, now: float) -> None:
        """A worker has a job since then."""
        lane.taken += 1
        by_worker = lane.by_worker
        by_worker[wid] = by_worker.get(wid, 0) + 1
        self.held[job_id] = Held(lane, wid, since)
        self.held_since += since
        if lane.bucket is not None or (self.setting.concurrency or _MANY) <= lane.taken:
            lane.refresh(now)

    def free(self, job_id: int, now: float) -> Lane | None:
        """A job counts no more. Returns its lane if another one may go for that."""
        held = self.held.pop(job_id, None)
        if held is None:
            return None
        lane, wid, since = held.lane, held.wid, held.since
        self.held_seconds += now - since
        self.held_since -= since
        lane.taken -= 1
        was_full = self.setting.worker is not None and lane.full_for(wid)
        left = lane.by_worker[wid] = lane.by_worker[wid] - 1
        if not left:
            del lane.by_worker[wid]
        opens = (lane.closed and not lane.refresh(now)) or (was_full and not lane.closed)
        if not lane.taken:
            if not self.held:
                self.held_since = 0.0  # what was lost in adding up
            if not lane.waiting and self.is_keyed:
                self.on_idle(lane)
        return lane if opens else None
