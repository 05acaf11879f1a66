"""A queue: first in, first out inside each of nine priorities, the highest priority first.

A queued job costs eight bytes here, its id. Short queues are plain deques; a long one keeps its middle in arrays of
machine integers, so that a million queued jobs are 8 MB and not 40. Everything else about a job is on disk, or in the
cache. A job that an operator takes out of the middle leaves its array shorter than the others.
"""

from __future__ import annotations

from array import array
from bisect import bisect
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from faktory_tw.core.aging import Aging
from faktory_tw.core.aside import Aside, Order, priority_of, rank
from faktory_tw.core.gates import Gate

_CHUNK = 4096
_LAST = 2**60 - 1


class Fifo:
    """Ids in order. ``head`` is empty only when all of it is."""

    __slots__ = ("head", "_chunks", "_missing", "_returned")

    def __init__(self) -> None:
        self.head: deque[int] = deque()
        self._returned: list[int] = []  # the positions of those at the head that were given back, in order
        self._chunks: deque[array[int]] = deque()  # all but the last are full, but for those that were removed
        self._missing = 0  # how many that are

    def append(self, job_id: int) -> None:
        if not self._chunks:
            self.head.append(job_id)
            if len(self.head) >= _CHUNK:
                self._chunks.append(array("q"))
            return
        chunk = self._chunks[-1]
        chunk.append(job_id)
        if len(chunk) >= _CHUNK:
            self._chunks.append(array("q"))

    def extend(self, job_ids: Iterable[int]) -> None:
        """Append many; three times as fast as one by one."""
        rest = self._chunks.pop() if self._chunks else array("q")
        rest.extend(array("q", job_ids))
        for start in range(0, len(rest) + 1, _CHUNK):  # the last piece may be empty, so that it is never full
            self._chunks.append(rest[start : start + _CHUNK])
        self._refill()

    def put_back(self, job_id: int, position: int) -> None:
        """Give a job its place back: at the head, among others that were given back by their position."""
        index = bisect(self._returned, position)
        self._returned.insert(index, position)
        self.head.insert(index, job_id)

    def returned(self) -> list[tuple[int, int]]:
        """The position and the id of those at the head that were given back."""
        return list(zip(self._returned, self.head, strict=False))

    def popleft(self) -> int:
        """The first id. IndexError when there is none."""
        job_id = self.head.popleft()
        if self._returned:
            del self._returned[0]
        if self._chunks and not self.head:
            self._refill()
        return job_id

    def _refill(self) -> None:
        while not self.head and self._chunks:
            chunk = self._chunks.popleft()
            if self._chunks:
                self._missing -= _CHUNK - len(chunk)
            self.head.extend(chunk)

    def discard(self, ids: Collection[int], start: int = 0) -> set[int]:
        """Take these ids out, wherever they are, and return those that were there. They are looked for from ``start`` on.

        It costs about as much to take out one as some hundred that stand close together.
        """
        left = set(ids)
        first = self._discard_behind(start, left)
        if left and first:
            self._discard_behind(0, left)
        if not self.head:
            self._refill()
        return left.symmetric_difference(ids)

    def _discard_behind(self, start: int, left: set[int]) -> bool:
        """Take ids out of the head and the chunks from the one on that ``start`` is in. Returns whether it skipped any."""
        begin = len(self.head)
        skipped = begin <= start
        if not skipped:
            self._discard_from_head(left)
        emptied = []
        for number, chunk in enumerate(self._chunks):
            begin += len(chunk)
            if begin <= start:
                skipped = True
                continue
            if not left:
                break
            if left.isdisjoint(chunk):
                continue
            kept = array("q", [job_id for job_id in chunk if job_id not in left])
            left.difference_update(chunk)
            if number < len(self._chunks) - 1:
                self._missing += len(chunk) - len(kept)
                if not kept:
                    emptied.append(number)
            self._chunks[number] = kept
        for number in reversed(emptied):
            del self._chunks[number]
            self._missing -= _CHUNK
        return skipped

    def _discard_from_head(self, left: set[int]) -> None:
        head = self.head
        found = [index for index, job_id in enumerate(head) if job_id in left]
        for index in reversed(found):
            left.discard(head[index])
            del head[index]
            if index < len(self._returned):
                del self._returned[index]

    def peek(self, count: int) -> list[int]:
        """The first ids, ``count`` at most, out of the head: at least one unless all is empty."""
        head = self.head
        return [head[index] for index in range(min(count, len(head)))]

    def part(self, start: int, count: int) -> list[int]:
        """The ids from the ``start``-th on, ``count`` at most."""
        found = list(islice(self.head, start, start + count))
        skip = max(start - len(self.head), 0)
        for chunk in self._chunks:
            if len(found) >= count:
                break
            if skip < len(chunk):
                found.extend(chunk[skip : skip + count - len(found)])
            skip = max(skip - len(chunk), 0)
        return found

    def __len__(self) -> int:
        chunks = self._chunks
        return len(self.head) + ((len(chunks) - 1) * _CHUNK + len(chunks[-1]) - self._missing if chunks else 0)

    def __iter__(self) -> Iterator[int]:
        yield from self.head
        for chunk in self._chunks:
            yield from chunk


class Queue:
    """A named queue. ``floor`` is the first position that belongs to it and not to a removed queue of that name.

    With an ``aging`` a job that has waited long enough comes before one of a higher priority.
    """

    __slots__ = ("name", "floor", "paused", "gate", "aging", "_lanes", "_order", "_by_priority")

    def __init__(self, name: str, floor: int, paused: bool = False) -> None:
        self.name = name
        self.floor = floor
        self.paused = paused
        self.gate: Gate | None = None
        self.aging: Aging | None = None
        self._lanes: list[tuple[int, Fifo]] = []  # by priority, the highest first
        self._order: list[Fifo] = []  # the same without the priorities
        self._by_priority: dict[int, Fifo] = {}

    def fifo(self, priority: int) -> Fifo:
        """The jobs of one priority, 1 to 9."""
        fifo = self._by_priority.get(priority)
        if fifo is None:
            fifo = self._by_priority[priority] = Fifo()
            self._lanes = sorted(self._by_priority.items(), reverse=True)
            self._order = [lane for _, lane in self._lanes]
        return fifo

    def append(self, priority: int, job_id: int) -> None:
        fifo = self._by_priority.get(priority)
        (self.fifo(priority) if fifo is None else fifo).append(job_id)

    def put_back(self, priority: int, job_id: int, position: int) -> None:
        self.fifo(priority).put_back(job_id, position)

    def first(self) -> Fifo | None:
        """The jobs of the highest priority there is; its head is the one whose turn it is. None when there is none."""
        if self.aging is not None:
            return self.aging.first(self._lanes, reads=True)
        for fifo in self._order:
            if fifo.head:
                return fifo
        return None

    def peek(self, count: int = 1) -> list[int]:
        """The jobs whose turn comes next: at least one unless the queue is empty, ``count`` at most.

        With an aging it is the next one as far as that is known without reading, and those behind it of its priority.
        """
        if self.gate is not None and self.gate.aside.size:
            return next(order.part(0, count) for _, order in self.orders() if len(order))
        if self.aging is not None:
            fifo = self.aging.first(self._lanes, reads=False)
            return [] if fifo is None else fifo.peek(count)
        for fifo in self._order:
            if fifo.head:
                return fifo.peek(count)
        return []

    def leads(self, number: int) -> bool:
        """Whether the job at the head is to be fetched before one of this rank, which stands aside."""
        fifo = self.first()
        if fifo is None:
            return False
        priority, other = next(priority for priority, lane in self._lanes if lane is fifo), priority_of(number)
        if self.aging is not None and self.gate is not None and priority != other:
            return self.aging.earliest([(priority, fifo.head[0]), (other, self.gate.aside.id_of(number))]) == 0
        returned = fifo.returned()  # what was not given back stands behind all that had their turn
        return rank(priority, returned[0][0] if returned else _LAST) < number

    def first_aside(self, gate: Gate, wid: str) -> int | None:
        """The rank of the job at the ``gate`` that a worker may have before the others there; None when there is none."""
        if self.aging is None:
            return gate.aside.first(wid)
        numbers = gate.aside.firsts(wid)
        if len(numbers) < 2:
            return numbers[0] if numbers else None
        return numbers[self.aging.earliest([(priority_of(number), gate.aside.id_of(number)) for number in numbers])]

    def order(self, priority: int) -> Fifo | Order:
        """The jobs of one priority, 1 to 9, with those that stand aside: to look at them, or to take some out."""
        fifo = self.fifo(priority)
        return fifo if self.gate is None or not self.gate.aside.size else Order(self.gate.aside, fifo, priority)

    def orders(self) -> list[tuple[int, Fifo | Order]]:
        """The jobs of each priority, the highest first."""
        return [(priority, self.order(priority)) for priority, _ in self._lanes]

    def take_all(self) -> list[Fifo | Aside]:
        """Empty the queue, and return what was in it."""
        fifos: list[Fifo | Aside] = [*self._order]
        if self.gate is not None:
            fifos.append(self.gate.take_all())
        self._order = []
        self._lanes = []
        self._by_priority = {}
        return fifos

    def __len__(self) -> int:
        aside = 0 if self.gate is None else self.gate.aside.size
        return sum(map(len, self._order)) + aside
