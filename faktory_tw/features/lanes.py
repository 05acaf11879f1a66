"""One throttle at work: its lanes, their slots and their buckets of tokens.

A throttle without a key has one lane; one with a key has a lane for each value of the key, as long as jobs of that value
wait, are worked, or have lately been. A job takes a slot, and a token, of its lane when a worker gets it.

A bucket fills by the monotonic clock. What is recorded of it is its level and the wall time, so that a restart gives
nobody a full one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from faktory_tw.config.throttles import Rate
from faktory_tw.config.throttles import Throttle as Setting
from faktory_tw.core.aside import Lane as WaitedFor

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


class Lane(WaitedFor):
    """The jobs of a throttle that have the same key. ``taken`` of its slots are."""

    __slots__ = ("throttle", "key", "taken", "by_worker", "waiting", "bucket", "fills", "alarmed")

    def __init__(self, throttle: Throttle, key: str, bucket: Bucket | None) -> None:
        super().__init__()
        self.throttle = throttle
        self.key = key
        self.taken = 0
        self.by_worker: dict[str, int] = {}
        self.waiting = 0
        self.bucket = bucket
        self.fills = False  # whether it is remembered that the bucket is not full, and that there is no token in it
        self.alarmed = False

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


class Held(NamedTuple):
    """A slot that is taken: by a job of which worker, since when, monotonic."""

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
        self.begin()
        self.held_count = 0
        self.held_seconds = 0.0
        self.overage = 0
        self.reclaimed = 0
        self.on_idle = on_idle

    def begin(self) -> None:
        """No job waits and none is worked."""
        self.lanes: dict[str, Lane] = {}
        self.held: OrderedDict[int, Held] = OrderedDict()
        self.held_since = 0.0  # the sum of what `held` has
        self.counts = False
        self.waiting = 0

    @property
    def is_keyed(self) -> bool:
        """Whether jobs must be looked at to know which it is for."""
        return bool(self.setting.key) or self.setting.jobtype is not None

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
        lane.by_worker[wid] = lane.by_worker.get(wid, 0) + 1
        self.held[job_id] = Held(lane, wid, since)
        self.held_since += since
        lane.refresh(now)

    def free(self, job_id: int, now: float) -> Lane | None:
        """A job counts no more. Returns its lane if another one may go for that."""
        held = self.held.pop(job_id, None)
        if held is None:
            return None
        lane, wid = held.lane, held.wid
        opens = lane.closed or lane.full_for(wid)
        lane.taken -= 1
        left = lane.by_worker[wid] = lane.by_worker[wid] - 1
        if not left:
            del lane.by_worker[wid]
        self.held_seconds += now - held.since
        self.held_since = self.held_since - held.since if self.held else 0.0
        lane.refresh(now)
        if not lane.taken and not lane.waiting:
            self.on_idle(lane)
        return lane if opens and not lane.closed else None
