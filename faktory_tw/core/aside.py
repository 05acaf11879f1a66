"""Jobs that stand aside: their turn came, but not for them, because too many of their kind are being worked already.

A job that stands aside is queued as before: on disk nothing changes, and it keeps its position. In memory it has left the
:class:`~faktory_tw.core.queues.Fifo` of its priority, so that those behind it can go, and stands in a :class:`Line` with
those that wait for the same :class:`Lane`. While the lane is open the first of the line may be fetched, before everything
that stands behind it in the queue.

Thousands of queues may have a line for one lane, which is closed and opened with every job. So nothing is done for all of
them then: a line that is found to be closed is put on a list of its lane by whoever finds it, and only those on that list
are offered anew when the lane opens, some at once and the others in slices.

A job costs about a hundred bytes here. It is known by its *rank*, one number that puts the jobs of a queue into the order
in which they are fetched. A position is the id of the job that has it, unless that job entered the queue again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from sortedcontainers import SortedDict, SortedList

if TYPE_CHECKING:
    from faktory_tw.core.job import Job
    from faktory_tw.core.queues import Fifo

_BITS = 60
_POSITION = (1 << _BITS) - 1
_HIGHEST = 9
_MOST_PASSED = 256  # lines that are full for one worker, on the way to one that is not
_OFFERED = 100  # lines offered at once when their lane opens


def rank(priority: int, position: int) -> int:
    """Grows from the job that is fetched first to the last."""
    return (_HIGHEST - priority) << _BITS | position


def priority_of(number: int) -> int:
    """The priority of the job of a rank."""
    return _HIGHEST - (number >> _BITS)


class Lane:
    """What jobs wait for. ``lines`` are those who wait, by the queue in which they do.

    ``wanted`` are those of them that somebody has looked at in vain: the ones to be told when a job may go.
    """

    __slots__ = ("closed", "lines", "wanted")

    def __init__(self) -> None:
        self.closed = False  # for everybody
        self.lines: dict[Aside, Line] = {}
        self.wanted: dict[Aside, Line] = {}

    def full_for(self, wid: str) -> bool:  # noqa: ARG002
        """Whether this worker may have no more, while others may."""
        return False

    def changed(self, count: int) -> None:
        """So many jobs more wait for it, or less."""

    def offer(self) -> None:
        """It was closed, or opened."""
        if not self.closed:
            for aside, line in islice(self.wanted.items(), _OFFERED):
                aside.offer(line)

    def tell(self, aside: Aside) -> None:
        """A job of those may go: offer it, if they still wait."""
        line = self.wanted.pop(aside, None)
        if line is not None:
            aside.offer(line)


class Line:
    """Jobs of one queue that wait for one lane. ``offered`` is the rank under which it is among those that may go."""

    __slots__ = ("lane", "ranks", "offered")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.ranks: SortedList[int] = SortedList()
        self.offered: int | None = None


class Aside:
    """The jobs of one queue that stand aside. ``size`` is how many do."""

    __slots__ = ("queue", "size", "_lines", "_ready", "_ids", "_ranks")

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.size = 0
        self._lines: SortedDict[int, Line] = SortedDict()
        self._ready: SortedDict[int, Line] = SortedDict()  # those whose lane is open, or was, by their first job
        self._ids: dict[int, int] = {}  # rank -> id, and the other way round, of jobs that entered the queue again
        self._ranks: dict[int, int] = {}

    def put(self, job: Job, lane: Lane) -> int:
        """A job, which has left its Fifo, stands aside until ``lane`` is open. Returns how many wait for it here."""
        number = rank(job.priority, job.position)
        line = lane.lines.get(self)
        if line is None:
            line = lane.lines[self] = Line(lane)
        if job.id != job.position:
            self._ids[number] = job.id
            self._ranks[job.id] = number
        self._lines[number] = line
        self.size += 1
        line.ranks.add(number)
        lane.changed(1)
        lane.wanted[self] = line
        self.offer(line)
        return len(line.ranks)

    def first(self, wid: str) -> int | None:
        """The rank of the job that a worker may have before others; None when there is none."""
        return self._first_of(self._ready, wid)

    def firsts(self, wid: str) -> list[int]:
        """As :meth:`first`, but of each priority, the highest first."""
        found = []
        for priority in range(_HIGHEST, 0, -1) if self._ready else ():
            ready = self._ready.irange(rank(priority, 0), rank(priority, _POSITION))
            number = self._first_of(ready, wid)
            if number is not None:
                found.append(number)
        return found

    def _first_of(self, ready: Iterable[int], wid: str) -> int | None:
        found, passed = None, 0
        shut: list[Line] = []
        for number in ready:
            line = self._ready[number]
            if line.lane.closed:
                shut.append(line)
                continue
            if not line.lane.full_for(wid):
                found = number
                break
            line.lane.wanted[self] = line
            passed += 1
            if passed == _MOST_PASSED:
                break
        for line in shut:
            self.offer(line)
        return found

    def id_of(self, number: int) -> int:
        """The id of the job of a rank."""
        return self._ids.get(number, number & _POSITION)

    def neighbours(self, number: int, count: int) -> list[int]:
        """The ids of a job, and of the next ones that wait for the same."""
        ranks = islice(self._lines[number].ranks.irange(number), count)
        return [self._ids.get(each, each & _POSITION) for each in ranks]

    def take(self, number: int) -> int:
        """It stands aside no more. Returns its id."""
        line = self._lines.pop(number)
        job_id = self._ids.pop(number, number & _POSITION)
        self._ranks.pop(job_id, None)
        self.size -= 1
        line.ranks.remove(number)
        self.offer(line)
        if not line.ranks:
            line.lane.lines.pop(self, None)
            line.lane.wanted.pop(self, None)
        line.lane.changed(-1)
        return job_id

    def offer(self, line: Line) -> None:
        """Let the first of a line go if its lane is open, and not if it is not."""
        wanted = line.ranks[0] if line.ranks and not line.lane.closed else None
        if line.ranks and line.lane.closed:
            line.lane.wanted[self] = line
        if wanted != line.offered:
            if line.offered is not None:
                del self._ready[line.offered]
            if wanted is not None:
                self._ready[wanted] = line
            line.offered = wanted

    def is_unoffered(self, lane: Lane) -> bool:
        """Whether jobs wait here for a lane that has opened, and were not told of it so far."""
        line = lane.lines.get(self)
        return line is not None and line.offered is None

    def discard(self, priority: int, ids: Iterable[int]) -> set[int]:
        """Take out those of these jobs that stand aside, and return which."""
        found = set()
        for job_id in ids:
            number = self._ranks.get(job_id, rank(priority, job_id))
            if number in self._lines and self._ids.get(number, job_id) == job_id:
                self.take(number)
                found.add(job_id)
        return found

    # -- looking -------------------------------------------------------------------------------------------------

    def count(self, priority: int) -> int:
        """How many jobs of a priority stand aside."""
        return self._begin(priority - 1) - self._begin(priority)

    def index(self, priority: int, position: int) -> int:
        """How many of that priority stand before a position."""
        return int(self._lines.bisect_left(rank(priority, position))) - self._begin(priority)

    def part(self, priority: int, start: int, count: int) -> list[tuple[int, int]]:
        """The position and the id of those of a priority from the ``start``-th on, ``count`` at most."""
        begin = self._begin(priority)
        stop = min(begin + start + count, self._begin(priority - 1))
        numbers = self._lines.islice(begin + start, stop) if begin + start < stop else ()
        return [(number & _POSITION, self._ids.get(number, number & _POSITION)) for number in numbers]

    def _begin(self, priority: int) -> int:
        return int(self._lines.bisect_left(rank(priority, 0)))

    # -- being swept ---------------------------------------------------------------------------------------------

    def peek(self, count: int) -> list[int]:
        """The first ids."""
        return [self._ids.get(number, number & _POSITION) for number in self._lines.islice(0, count)]

    def popleft(self) -> int:
        """The first id, which stands aside no more."""
        return self.take(self._lines.peekitem(0)[0])

    def __len__(self) -> int:
        return self.size


class Order:
    """The jobs of one priority in the order in which they are fetched: those that stand aside, and the others.

    Those that stand aside were at the head once, so only jobs that were given back can stand among them.
    """

    __slots__ = ("_aside", "_fifo", "_priority")

    def __init__(self, aside: Aside, fifo: Fifo, priority: int) -> None:
        self._aside = aside
        self._fifo = fifo
        self._priority = priority

    def part(self, start: int, count: int) -> list[int]:
        """The ids from the ``start``-th on, ``count`` at most."""
        aside, priority = self._aside, self._priority
        returned = self._fifo.returned()
        places = [aside.index(priority, position) + before for before, (position, _) in enumerate(returned)]
        skipped = sum(place < start for place in places)
        front = aside.part(priority, start - skipped, count) + returned[skipped : skipped + count]
        found = [job_id for _, job_id in sorted(front)[:count]]
        ahead = aside.count(priority) + len(returned)
        return found + self._fifo.part(max(start - ahead, 0) + len(returned), count - len(found))

    def discard(self, ids: Collection[int], start: int = 0) -> set[int]:
        """Take these ids out, wherever they are, and return those that were there; see ``Fifo.discard``."""
        ahead = self._aside.count(self._priority)
        found = self._aside.discard(self._priority, ids)
        left = set(ids) - found
        return found | self._fifo.discard(left, max(start - ahead, 0)) if left else found

    def __len__(self) -> int:
        return self._aside.count(self._priority) + len(self._fifo)
