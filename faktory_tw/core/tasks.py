"""What the manager is given and what it counts: the clock, an operator's limits, the counters of periodic duties."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from faktory_tw.config.policies import Policies

MOST_RECORDS = 20_000  # records in the open batch beyond which what is done in slices waits for the disk


class Clock(Protocol):
    """Where the time comes from; the module ``time`` is one."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since anything, never running back."""


@dataclass
class Limits:
    """What an operator may set. ``max_queue_size`` 0 is no limit; ``policies`` is by queue, which need not exist."""

    max_queue_size: int = 0
    cache_bytes: int = 16 * 1024 * 1024
    reclaim_dead_workers: bool = True
    policies: Policies = field(default_factory=dict)


class TaskCounter:
    """What INFO tells of a periodic duty."""

    __slots__ = ("enqueued", "cycles", "wall_time", "reaped")

    def __init__(self) -> None:
        self.enqueued = self.cycles = self.reaped = 0
        self.wall_time = 0.0
