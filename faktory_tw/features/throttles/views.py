"""What may be seen of throttles: for administration and the web."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest
from itertools import islice
from typing import Any, NamedTuple

from faktory_tw.config.throttles import Throttle as Setting
from faktory_tw.core.queues import Queue
from faktory_tw.features.throttles.lanes import Lane, Throttle

MOST_LANES = 20
LOOKED_AT = 20_000  # lanes among which the busiest of all that are listed are looked for


class LaneView(NamedTuple):
    """A key, how many of its jobs are worked, and how many wait for a slot or a token. ``tokens`` None: has no rate."""

    key: str
    taken: int
    waiting: int
    tokens: float | None


class ThrottleView(NamedTuple):
    """A throttle. ``size``: jobs in its queue, None when it is for all queues.

    ``taken``: its jobs that are worked; ``free``: how many more may begin now, None when that depends on the worker or the
    key. ``waiting``: jobs whose turn came and that stand aside. Counted since the server started, or the throttle began:
    ``held_count`` slots were taken, for ``held_seconds`` altogether; ``overage`` times a FETCH, or a job, had to pass;
    ``reclaimed`` slots came back because their time was over.
    """

    name: str
    queue: str | None
    jobtype: str | None
    key: str | None
    limits: str
    concurrency: int | None
    worker: int | None
    timeout: float | None
    rate: dict[str, float] | None
    size: int | None
    taken: int
    free: int | None
    waiting: int
    held_count: int
    held_seconds: float
    overage: int
    reclaimed: int
    lane_count: int
    lanes: list[LaneView]


def throttle_view(throttle: Throttle, queues: Mapping[str, Queue], now: float, most: int) -> ThrottleView:
    """What a throttle does at the moment; ``now`` is monotonic. ``most``: lanes looked at."""
    setting, rate = throttle.setting, throttle.setting.rate
    held_now = len(throttle.held) * now - throttle.held_since
    return ThrottleView(
        name=setting.name,
        queue=setting.queue,
        jobtype=setting.jobtype,
        key=".".join(setting.key) or None,
        limits=limits_text(setting),
        concurrency=setting.concurrency,
        worker=setting.worker,
        timeout=setting.timeout,
        rate=None if rate is None else {"limit": rate.limit, "period": rate.period, "burst": rate.burst},
        size=None if setting.queue is None else len(queues.get(setting.queue, ())),
        taken=len(throttle.held),
        free=_free(throttle, now),
        waiting=throttle.waiting,
        held_count=throttle.held_count,
        held_seconds=max(throttle.held_seconds + held_now, 0.0),
        overage=throttle.passed,
        reclaimed=throttle.reclaimed,
        lane_count=len(throttle.lanes),
        lanes=_busiest(throttle, now, most) if setting.key else [],
    )


def as_json(view: ThrottleView) -> dict[str, Any]:
    """As ADMIN and the API tell it."""
    told = view._asdict()
    told["held_seconds"] = round(view.held_seconds, 3)
    told["lanes"] = [
        {**lane._asdict(), "tokens": None if lane.tokens is None else round(lane.tokens, 3)} for lane in view.lanes
    ]
    return told


def limits_text(setting: Setting) -> str:
    """The limits in words: ``10 concurrent``, ``2 per worker``, ``100 per 60 s``."""
    parts = []
    if setting.concurrency is not None:
        parts.append(f"{setting.concurrency} concurrent")
    if setting.worker is not None:
        parts.append(f"{setting.worker} per worker")
    if setting.rate is not None:
        parts.append(f"{setting.rate.limit:g} per {setting.rate.period:g} s")
    return ", ".join(parts)


def _free(throttle: Throttle, now: float) -> int | None:
    setting = throttle.setting
    lane = throttle.lanes.get("")
    if setting.key:
        return None
    counts = []
    if setting.concurrency is not None:
        counts.append(setting.concurrency - (lane.taken if lane is not None else 0))
    if setting.rate is not None:
        full = lane is None or lane.bucket is None
        counts.append(setting.rate.burst if full else _whole(lane, now))
    return max(min(counts), 0) if counts else None


def _whole(lane: Lane | None, now: float) -> int:
    return 0 if lane is None or lane.bucket is None else int(lane.bucket.fill(now) + 1e-9)


def _busiest(throttle: Throttle, now: float, most: int) -> list[LaneView]:
    """Those for whose slots most jobs wait, and after these those with most jobs in work."""
    some = list(islice(throttle.lanes.values(), most))
    some = nlargest(MOST_LANES, some, key=lambda lane: (lane.waiting, lane.taken))
    return [
        LaneView(lane.key, lane.taken, lane.waiting, None if lane.bucket is None else lane.bucket.fill(now))
        for lane in some
    ]
