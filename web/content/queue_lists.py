"""One page of the queues: those whose name has a text in it, in the order of their names, sizes or latencies.

There may be tens of thousands. Everything here is done in slices; only of the queues of the page, and for the order of
latencies, is a job read from disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice

from faktory_tw.core.manager import JobManager
from faktory_tw.core.views import QueueView

ORDERS = ("name", "size", "latency")
_NAMES = 250  # whose latencies are looked up in one slice
_SKIPPED = 2000  # queues before the page, passed over in one slice
_MOST_SLICES = 1000  # of reading, some MiB each; what is not known then is taken for 0, and is known the next time

Key = tuple[float, str]


class QueueList:
    """``part``: a text that the names must have, in whatever case. ``order`` is one of ORDERS; the largest come first.

    ``number`` counts pages from 1; beyond the end, it becomes that of the last. ``matched`` queues have the text,
    ``total`` are there, ``jobs`` are in those that match, and ``paused`` of these are.
    """

    def __init__(
        self, manager: JobManager, part: str = "", order: str = "name", number: int = 1, count: int = 50
    ) -> None:
        self._manager = manager
        self._part = part.lower()
        self._order = order
        self._count = count
        self._slices = 0  # of reading
        self.number = number
        self.matched = self.total = self.jobs = self.paused = 0
        self.views: list[QueueView] = []

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(-(-self.matched // self._count), 1)

    def steps(self) -> Iterator[None]:
        """Gather it, a slice at each step."""
        ordered: list[list[Key]] = []
        for sizes in self._manager.views.queue_sizes():
            queues = self._manager.queues()
            self.total += len(sizes)
            found = {name: size for name, size in sizes.items() if self._part in name.lower()}
            self.jobs += sum(found.values())
            self.paused += sum(name in queues and queues[name].paused for name in found)
            self.matched += len(found)
            if self._order == "latency":
                yield from self._order_by_latency(list(found), ordered)
            else:
                by_size = self._order == "size"
                ordered.append(sorted((-size if by_size else 0, name) for name, size in found.items()))
            yield
        self.number = min(self.number, self.pages)
        names = (name for _, name in merge(*ordered))
        skip = (self.number - 1) * self._count
        while skipped := sum(1 for _ in islice(names, min(skip, _SKIPPED))):
            skip -= skipped
            yield
        yield from self._look(list(islice(names, self._count)))

    def _order_by_latency(self, names: list[str], ordered: list[list[Key]]) -> Iterator[None]:
        for start in range(0, len(names), _NAMES):
            left, keys = names[start : start + _NAMES], []
            while left:
                states = self._manager.queue_states(left)
                self._slices += 1
                known = self._slices > _MOST_SLICES
                keys += [
                    (-(state.latency or 0.0), state.name) for state in states if known or state.latency is not None
                ]
                left = [] if known else [state.name for state in states if state.latency is None]
                yield
            ordered.append(sorted(keys))

    def _look(self, names: list[str]) -> Iterator[None]:
        for name in names:
            view = self._manager.views.queue(name)
            if view is not None:
                self.views.append(view)
            yield
