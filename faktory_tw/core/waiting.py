"""FETCHes that found no job and wait for one, the longest waiting first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from faktory_tw.core.workers import State, Worker

if TYPE_CHECKING:
    from faktory_tw.core.manager import Reservation

WAIT_SECONDS = 2.0
_MOST_LOOKED_AT = 2000  # FETCHes, many of which may be of the same worker


class Waiter:
    """One waiting FETCH. ``deliver`` is called once: with a reservation, or with None when the time is over.

    It returns whether the client is still there; if not, the job goes back to the head of its queue.
    """

    __slots__ = ("queues", "worker", "deliver", "deadline", "waits")

    def __init__(
        self,
        queues: Sequence[str],
        worker: Worker | None,
        deliver: Callable[[Reservation | None], bool],
        deadline: float,
    ) -> None:
        self.queues = queues
        self.worker = worker
        self.deliver = deliver
        self.deadline = deadline
        self.waits = True


class Waiting:
    """All waiting FETCHes, by queue name (which need not exist) and by deadline."""

    def __init__(self) -> None:
        self.by_queue: dict[str, dict[Waiter, None]] = {}  # a name is there only while somebody waits for it
        self._by_deadline: deque[Waiter] = deque()  # all wait equally long, so the oldest ends first

    def add(self, waiter: Waiter) -> None:
        for name in waiter.queues:
            self.by_queue.setdefault(name, {})[waiter] = None
        self._by_deadline.append(waiter)

    def remove(self, waiter: Waiter) -> None:
        """It waits no longer. Removing it twice does no harm."""
        if not waiter.waits:
            return
        waiter.waits = False
        for name in waiter.queues:
            waiters = self.by_queue.get(name)
            if waiters is not None:
                waiters.pop(waiter, None)
                if not waiters:
                    del self.by_queue[name]

    def longest(self, name: str) -> Waiter | None:
        """Who has waited longest for a job of this queue; a worker that was told to be quiet waits in vain."""
        for waiter in self.by_queue.get(name, ()):
            if waiter.worker is None or waiter.worker.state is State.RUNNING:
                return waiter
        return None

    def first(self, name: str, most: int) -> list[Waiter]:
        """Those who have waited longest, ``most`` of them, and of each worker the one that has."""
        waiters = self.by_queue.get(name, ())
        running = (each for each in waiters if each.worker is None or each.worker.state is State.RUNNING)
        found: dict[str, Waiter] = {}
        for waiter in islice(running, _MOST_LOOKED_AT):
            found.setdefault("" if waiter.worker is None else waiter.worker.wid, waiter)
            if len(found) == most:
                break
        return list(found.values())

    def take_expired(self, now: float, most: float = float("inf")) -> list[Waiter]:
        """Remove, and return, ``most`` of the waiters whose time is over; ``now`` may be infinite: of all of them."""
        expired: list[Waiter] = []
        line = self._by_deadline
        while line and len(expired) < most and (line[0].deadline <= now or not line[0].waits):
            waiter = line.popleft()
            if waiter.waits:
                self.remove(waiter)
                expired.append(waiter)
        return expired

    def __len__(self) -> int:
        return sum(waiter.waits for waiter in self._by_deadline)
