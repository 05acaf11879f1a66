"""The server with a cron whose minutes last a second.

    FAST_CRON_BEGIN=1795300000 python -m tests.system.fast_cron -n --pidfile= faktory -d …

Only cron's clock is fast, and it goes on over restarts: FAST_CRON_BEGIN says when it was right.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from faktory_tw.core.manager import JobManager
from faktory_tw.core.tasks import Clock
from faktory_tw.features.cron import Cron
from faktory_tw.storage.store import Store

FACTOR = 60.0
BEGIN = "FAST_CRON_BEGIN"


class FastClock:
    """The wall clock of another one, FACTOR times as fast since `begin`."""

    def __init__(self, clock: Clock, begin: float) -> None:
        self._clock = clock
        self._begin = begin
        self.monotonic = clock.monotonic

    def time(self) -> float:
        return self._begin + FACTOR * (self._clock.time() - self._begin)


def make_fast(begin: float, change: Callable[[object, str, object], None] = setattr) -> None:
    """Do it in this process; `change` is what undoes it again after a test."""
    join = Cron.join

    def fast_join(cron: Cron, manager: JobManager, store: Store, clock: Clock) -> None:
        join(cron, manager, store, FastClock(clock, begin))

    change(Cron, "join", fast_join)


if __name__ == "__main__":
    from twisted.scripts.twistd import run

    make_fast(float(os.environ[BEGIN]))
    run()
