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

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faktory_tw.core.latencies import HeadTimes
    from faktory_tw.core.queues import Fifo

_MOST_REMEMBERED = 100  # jobs that are or were first

Lane = tuple[int, "Fifo"]
"""A priority, and its jobs."""
Ranked = tuple[int, int]
"""The priority of a job, and its id."""
_NEVER = (float("inf"), 0)


class Aging:
    """The aging of one queue: of two jobs that comes first which was enqueued first, less a head start.

    ``seconds`` is the head start that each priority gives.
    """

    __slots__ = ("seconds", "_times", "_starts", "_moves")

    def __init__(self, seconds: float, times: HeadTimes) -> None:
        self.seconds = seconds
        self._times = times
        self._starts: dict[int, tuple[float, int]] = {}  # by job; a tie goes to the higher priority
        self._moves = 0

    def first(self, lanes: Sequence[Lane], reads: bool) -> Fifo | None:
        """The jobs of which the first one comes next; None when there are none. Without ``reads`` as far as is known."""
        self._forget_moved()
        starts, chosen, earliest = self._starts, None, _NEVER
        unknown: list[Lane] = []
        for lane in lanes:
            head = lane[1].head
            if head:
                start = starts.get(head[0])
                if start is None:
                    unknown.append(lane)
                elif chosen is None or start < earliest:
                    chosen, earliest = lane[1], start
        if not unknown:
            return chosen
        if chosen is None and len(unknown) == 1:
            return unknown[0][1]
        self._learn([(priority, fifo.head[0]) for priority, fifo in unknown], reads)
        for _, fifo in unknown:
            start = starts.get(fifo.head[0])
            if start is not None and (chosen is None or start < earliest):
                chosen, earliest = fifo, start
        return unknown[0][1] if chosen is None else chosen

    def earliest(self, jobs: Sequence[Ranked]) -> int:
        """Which of some jobs comes first: the index of it."""
        self._forget_moved()
        if not all(job_id in self._starts for _, job_id in jobs):
            self._learn(jobs, reads=True)
        starts = [self._starts.get(job_id, _NEVER) for _, job_id in jobs]
        return starts.index(min(starts))

    def _forget_moved(self) -> None:
        if self._moves != self._times.moves:  # a job may be first again, but with another time
            self._moves = self._times.moves
            self._starts.clear()

    def _learn(self, jobs: Sequence[Ranked], reads: bool) -> None:
        times = self._times.enqueued_at([job_id for _, job_id in jobs], reads)
        if len(self._starts) > _MOST_REMEMBERED:
            self._starts.clear()
        for priority, job_id in jobs:
            at = times.get(job_id)
            if at is not None:
                self._starts[job_id] = (at - priority * self.seconds, -priority)
