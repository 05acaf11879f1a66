"""How long the event loop is held: what its turns take.

Everything is done in one thread, a turn after the other: between two looks at the connections nobody else is served.
Long work is cut in slices, so a turn takes some milliseconds, or some tens of them when there is much to do. One that
takes longer by the clock on the wall is something to look into. If its processor time is as long, the server did it; if
not, the machine was doing something else, or the disk kept it waiting.

A :class:`Stalls` stands in the reactor where it keeps its epoll object, which is the one place that every turn passes.
It costs less than a microsecond a turn. Where the reactor has none, nothing is measured.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

_SECONDS = 60


class Longest(NamedTuple):
    """Of the turns of a while the longest time, and the longest processor time, of whichever turn it was; in seconds."""

    wall: float
    processor: float


class Stalls:
    """What the turns of the last minute took. ``epoll`` is what the reactor asked until now."""

    def __init__(
        self,
        epoll: Any,
        monotonic: Callable[[], float] = time.monotonic,
        thread_time: Callable[[], float] = time.thread_time,
    ) -> None:
        self.register, self.modify, self.unregister = epoll.register, epoll.modify, epoll.unregister
        self._poll = epoll.poll
        self._monotonic = monotonic
        self._thread_time = thread_time
        self._began = monotonic()
        self._processor_began = thread_time()
        self._wall = self._processor = 0.0  # the longest of this second
        self._seconds: deque[Longest] = deque(maxlen=_SECONDS)

    def poll(self, timeout: float = -1, most: int = -1) -> list[tuple[int, int]]:
        """Look at the connections: a turn is over, and the next begins when this returns."""
        processor_now = self._thread_time()  # to wait takes none, so one look a turn is enough
        wall = self._monotonic() - self._began
        processor = processor_now - self._processor_began
        self._processor_began = processor_now
        self._wall = max(self._wall, wall)
        self._processor = max(self._processor, processor)
        events: list[tuple[int, int]] = self._poll(timeout, most)
        self._began = self._monotonic()
        return events

    def tick(self) -> None:
        """A second is over."""
        self._seconds.append(Longest(self._wall, self._processor))
        self._wall = self._processor = 0.0

    @property
    def longest(self) -> Longest:
        """The longest turns of the last minute."""
        seconds = [*self._seconds, Longest(self._wall, self._processor)]
        return Longest(max(each.wall for each in seconds), max(each.processor for each in seconds))


def watch(reactor: Any) -> Stalls | None:
    """Measure the turns of a reactor from now on; None when that is not possible with this one."""
    epoll = getattr(reactor, "_poller", None)
    if epoll is None or not all(hasattr(epoll, name) for name in ("poll", "register", "modify", "unregister")):
        return None
    stalls = reactor._poller = Stalls(epoll)  # noqa: SLF001 - it offers no other place that every turn passes
    return stalls
