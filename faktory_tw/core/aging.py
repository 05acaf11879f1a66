"""Jobs that wait count for more and more, so that a low priority is served, too, however many of a high one come.

With an aging of ten minutes a job counts as one priority higher for each ten minutes that it has waited, without end.
Seen from the other side, a priority is a head start: a job of priority 9 comes before those of priority 5 that were
enqueued up to forty minutes earlier, and behind those that have waited longer still. So who is before whom never
changes while they wait, and no clock is asked; and as all jobs of one priority have the same head start, they stay first
in, first out. To know whose turn it is it is enough to compare the first jobs of the nine priorities.

When they were enqueued is known of jobs in the cache, and remembered of the others once they were read. At most a few MiB
are read for it in one turn: if the first jobs of several priorities are larger, some of them wait one FETCH longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faktory_tw.core.queues import Fifo

EnqueuedAt = Callable[[Sequence[int], bool], Mapping[int, float]]


class Aging:
    """The aging of one queue. ``enqueued_at(ids, reads)`` gives times by id; without ``reads`` those that are in memory."""

    __slots__ = ("seconds", "_enqueued_at")

    def __init__(self, seconds: float, enqueued_at: EnqueuedAt) -> None:
        self.seconds = seconds
        self._enqueued_at = enqueued_at

    def first(self, lanes: Iterable[tuple[int, Fifo]], reads: bool) -> Fifo | None:
        """Of the jobs by priority, the highest first, those whose head comes next; None when there is none."""
        waiting = [lane for lane in lanes if lane[1].head]
        if len(waiting) < 2:
            return waiting[0][1] if waiting else None
        times = self._enqueued_at([fifo.head[0] for _, fifo in waiting], reads)
        chosen, earliest = waiting[0][1], float("inf")
        for priority, fifo in waiting:
            at = times.get(fifo.head[0])
            if at is not None and at - priority * self.seconds < earliest:
                chosen, earliest = fifo, at - priority * self.seconds
        return chosen
