"""Getting rid of large things in slices, so that nothing holds the reactor.

The jobs of a removed queue are out of sight at once; their rows are deleted here, and read before that if a feature may
keep something of them. A flushed set is on disk no more, but
freeing a million entries in one go would take a tenth of a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, TypeAlias

from sortedcontainers import SortedList

from faktory_tw.core.aside import Aside
from faktory_tw.core.cache import JobCache
from faktory_tw.core.facts import Facts
from faktory_tw.core.queues import Fifo
from faktory_tw.core.slices import Stride
from faktory_tw.core.timed import TimedSet
from faktory_tw.storage.store import Store

_SLICE = 500


Container: TypeAlias = "TimedSet | dict[Any, Any] | SortedList[Any] | deque[Any]"


class Sweeper:
    """Deletes what was condemned from ``store``."""

    def __init__(self, store: Store, cache: JobCache, facts: Facts) -> None:
        self._store = store
        self._facts = facts
        self._stride = Stride(store.read)
        self._cache = cache
        self._condemned: deque[Fifo | Aside] = deque()
        self._flushed: deque[Container] = deque()

    def condemn(self, fifos: Iterable[Fifo | Aside]) -> None:
        """These jobs are in no queue any more; delete them."""
        self._condemned.extend(fifo for fifo in fifos if fifo)

    def flush(self, sets: Iterable[TimedSet]) -> None:
        """Everything on disk is gone already; free the memory."""
        self.free(self._condemned, *sets)
        self._condemned = deque()
        self._cache.clear()

    def free(self, *containers: Container) -> None:
        """Nobody needs these any more."""
        self._flushed.extend(container for container in containers if container)

    def step(self) -> bool:
        """One slice. Returns whether there is more to do."""
        if self._flushed:
            _shorten(self._flushed[0])
            if not self._flushed[0]:
                self._flushed.popleft()
        if self._condemned:
            fifo = self._condemned[0]
            count = min(len(fifo), _SLICE)
            if self._facts.matter():
                rows, count = self._stride.read(fifo.peek(_SLICE))
                self._facts.discarded_rows(rows)
            for _ in range(count):
                job_id = fifo.popleft()
                self._cache.pop(job_id)
                self._store.batch.remove(job_id)
            if not fifo:
                self._condemned.popleft()
        return bool(self._condemned or self._flushed)


def _shorten(container: Container) -> None:
    if isinstance(container, TimedSet):
        container.take_due(float("inf"), _SLICE)
    elif isinstance(container, dict):
        for _ in range(min(len(container), _SLICE)):
            container.popitem()
    elif isinstance(container, deque):
        for _ in range(min(len(container), _SLICE)):
            container.pop()
    else:
        del container[:_SLICE]
