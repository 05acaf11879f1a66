"""The batches of one server: by number, by bid, as a tree, and in the order in which their time is over.

All that changes of a batch is recorded here, in the store's open batch (which is another thing of that name).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from sortedcontainers import SortedDict, SortedList

from faktory_tw.core.sweeper import Sweeper
from faktory_tw.core.timed import TimedSet
from faktory_tw.features.batches.records import (
    COMPLETE,
    SETTLED,
    SUCCESS,
    Batch,
    Origin,
    Step,
    failed_key,
    new_batch,
    origin_key,
    parse_key,
    progress_key,
    resumed_batch,
)
from faktory_tw.storage.store import Store


def _due(batch: Batch) -> float:
    """Its place among those that have ended. One that was dropped is kept no longer than its children."""
    return 0.0 if batch.dropped else batch.at


class BatchIndex:
    """Holds the batches, and records them under ``kind``.

    How long one may be open is a duration, and begins anew with the server; how long one is kept after its end is counted
    from a date.
    """

    def __init__(self, store: Store, kind: str, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._kind = kind
        self._monotonic = monotonic
        self._begin()

    def _begin(self) -> None:
        self._batches: SortedDict[int, Batch] = SortedDict()
        self._by_bid: dict[str, Batch] = {}
        self._tree: SortedList[tuple[int, int]] = SortedList()  # (parent, number)
        self._open = TimedSet()  # not committed, by the monotonic time when they were opened, or by a later one
        self._ended = TimedSet()  # by the time of their end
        self._left: deque[tuple[int, dict[int, None]]] = deque()  # failed members of batches that were removed
        self._next = 1

    def __len__(self) -> int:
        return len(self._batches)

    # -- start and flush -----------------------------------------------------------------------------------------

    def load(self, entries: Iterable[tuple[bytes, bytes]]) -> list[Batch]:
        """Take over what the store has. Returns the batches, the parents first."""
        batches: dict[int, Batch] = {}
        left: dict[int, dict[int, None]] = {}
        for key, value in entries:
            entry = parse_key(key)
            self._next = max(self._next, entry.number + 1)
            batch = batches.get(entry.number)
            if entry.is_origin:
                batches[entry.number] = resumed_batch(entry.number, value)
            elif entry.job_id and batch is None:
                left.setdefault(entry.number, {})[entry.job_id] = None
            elif entry.job_id and batch is not None:
                if batch.failed is None:
                    batch.failed = {}
                batch.failed[entry.job_id] = None
            elif batch is not None:
                batch.resume(value)
        self._left.extend(left.items())
        self._batches.update(batches)
        self._by_bid = {batch.bid: batch for batch in batches.values()}
        self._tree.update((batch.parent, number) for number, batch in batches.items())
        for batch in batches.values():
            self._join_parent(batch)
        self._load_times(list(batches.values()))
        return list(batches.values())

    def _load_times(self, batches: list[Batch]) -> None:
        now = self._monotonic()
        for batch in batches:
            batch.touched = now
            if batch.ended or not batch.committed:
                batch.due = _due(batch) if batch.ended else now
        for is_ended, timed in ((True, self._ended), (False, self._open)):
            timed.load(
                [(batch.due, batch.number) for batch in batches if batch.due is not None and batch.ended is is_ended]
            )

    def flush(self, sweeper: Sweeper) -> None:
        """All entries of the store are gone: forget everything, the memory in slices."""
        sweeper.free(
            self._batches, self._by_bid, self._tree, self._open, self._ended, *(failed for _, failed in self._left)
        )
        self._begin()

    # -- one batch -----------------------------------------------------------------------------------------------

    def is_free(self, bid: str) -> bool:
        """Whether no batch has this bid."""
        return bid not in self._by_bid

    def shown(self, bid: str) -> Batch | None:
        """A batch by its bid, also one that was dropped and is kept for its children."""
        return self._by_bid.get(bid)

    def find(self, bid: str) -> Batch | None:
        """A batch by its bid."""
        batch = self._by_bid.get(bid)
        return None if batch is None or batch.dropped else batch

    def parent(self, batch: Batch) -> Batch | None:
        """The batch it is a child of. It is there as long as its children are."""
        return self._batches.get(batch.parent) if batch.parent else None

    def add(self, origin: Origin) -> Batch:
        """A batch begins, open."""
        batch = new_batch(self._next, origin)
        self._next += 1
        self._batches[batch.number] = self._by_bid[batch.bid] = batch
        self._tree.add((batch.parent, batch.number))
        self._join_parent(batch)
        self._store.batch.enter(self._kind, origin_key(batch.number), batch.origin)
        self.touched(batch, batch.at)
        return batch

    def _join_parent(self, batch: Batch) -> None:
        parent = self.parent(batch)
        if parent is not None:
            parent.children += 1
            parent.incomplete += self._delays(batch, COMPLETE)
            parent.unsuccessful += self._delays(batch, SUCCESS)

    @staticmethod
    def _delays(batch: Batch, kind: int) -> bool:
        """Whether a parent waits for this of it."""
        if batch.dropped:
            return False
        return batch.steps[kind] not in SETTLED if kind == COMPLETE else batch.steps[kind] != Step.DONE

    def record(self, batch: Batch) -> None:
        """Its numbers have changed."""
        self._store.batch.enter(self._kind, progress_key(batch.number), batch.progress())

    def step(self, batch: Batch, kind: int, step: Step) -> Batch | None:
        """A callback has come so far. Returns the parent, if it waits for less now."""
        delayed = self._delays(batch, kind) if kind in (COMPLETE, SUCCESS) else False
        batch.steps[kind] = step
        self.record(batch)
        parent = self.parent(batch)
        if parent is None or not delayed or self._delays(batch, kind):
            return None
        if kind == COMPLETE:
            parent.incomplete -= 1
        else:
            parent.unsuccessful -= 1
        return parent

    def add_failed(self, batch: Batch, job_id: int) -> bool:
        """A member has failed. Returns whether that is news."""
        if batch.failed is None:
            batch.failed = {}
        elif job_id in batch.failed:
            return False
        batch.failed[job_id] = None
        self._store.batch.enter(self._kind, failed_key(batch.number, job_id), b"")
        return True

    def remove_failed(self, batch: Batch, job_id: int) -> bool:
        """A member is not one any more that failed and has not succeeded. Returns whether it was."""
        if batch.failed is None or job_id not in batch.failed:
            return False
        del batch.failed[job_id]
        if not batch.failed:
            batch.failed = None
        self._store.batch.enter(self._kind, failed_key(batch.number, job_id), None)
        return True

    # -- their time ----------------------------------------------------------------------------------------------

    def touched(self, batch: Batch, now: float) -> None:
        """It is opened, or was pushed to: its time begins anew."""
        if batch.ended:
            self._leave(batch)
            batch.ended = False
        batch.at, batch.touched = now, self._monotonic()
        if not batch.committed and batch.due is None:
            batch.due = batch.touched
            self._open.add(batch.touched, batch.number)
        self.record(batch)

    def committed(self, batch: Batch) -> None:
        """It is committed."""
        if not batch.ended:
            self._leave(batch)
        batch.committed = batch.once = True
        self.record(batch)

    def end(self, batch: Batch, now: float) -> None:
        """Nothing more happens to it."""
        self._leave(batch)
        batch.ended = True
        batch.at = now
        batch.due = _due(batch)
        self._ended.add(batch.due, batch.number)
        self.record(batch)

    def _leave(self, batch: Batch) -> None:
        if batch.due is not None:
            (self._ended if batch.ended else self._open).discard(batch.due, batch.number)
            batch.due = None

    def next_open(self, before: float) -> Batch | None:
        """One that was opened before that monotonic time and is not committed, taken out of the order; None when there is none.

        One that was pushed to since is put back at the right place.
        """
        for at, number in self._open.take_due(before, 1):
            batch: Batch = self._batches[number]
            batch.due = None
            if batch.touched > at:
                batch.due = batch.touched
                self._open.add(batch.touched, number)
            return batch
        return None

    def next_ended(self, before: float) -> Batch | None:
        """One that ended before that time, taken out of the order; None when there is none."""
        for _, number in self._ended.take_due(before, 1):
            batch: Batch = self._batches[number]
            batch.due = None
            return batch
        return None

    def drop(self, batch: Batch, now: float) -> None:
        """It was not committed in time: nobody can use it any more, and its parent waits for nothing of it."""
        parent = self.parent(batch)
        if parent is not None:
            parent.incomplete -= self._delays(batch, COMPLETE)
            parent.unsuccessful -= self._delays(batch, SUCCESS)
        batch.dropped = batch.afflicted = True
        batch.jobs = [0, 0, 0]
        self.leave_failed(batch)
        self.end(batch, now)

    # -- removal -------------------------------------------------------------------------------------------------

    def remove(self, batch: Batch) -> None:
        """Drop one without children. A parent that ended long ago may be next then."""
        self._leave(batch)
        del self._batches[batch.number], self._by_bid[batch.bid]
        self._tree.remove((batch.parent, batch.number))
        self.leave_failed(batch)
        self._store.batch.enter(self._kind, origin_key(batch.number), None)
        self._store.batch.enter(self._kind, progress_key(batch.number), None)
        parent = self.parent(batch)
        if parent is not None:
            parent.children -= 1
            parent.unsuccessful -= self._delays(batch, SUCCESS)
            if parent.ended and parent.due is None and not parent.children:
                parent.due = _due(parent)
                self._ended.add(parent.due, parent.number)

    def leave_failed(self, batch: Batch) -> None:
        """Nobody asks for its failed members any more; their entries are deleted in slices."""
        if batch.failed:
            self._left.append((batch.number, batch.failed))
            batch.failed = None

    def forget_failed(self, count: int) -> bool:
        """Delete some entries of members whose batch is gone. Returns whether there are more."""
        while self._left and count:
            number, failed = self._left[0]
            while failed and count:
                self._store.batch.enter(self._kind, failed_key(number, failed.popitem()[0]), None)
                count -= 1
            if not failed:
                self._left.popleft()
        return bool(self._left)

    # -- looking at them -----------------------------------------------------------------------------------------

    def newest(self, before: int | None, count: int) -> list[Batch]:
        """All, the newest first, from ``before`` on."""
        numbers = self._batches.irange(None, before, (True, False), reverse=True)
        return [self._batches[number] for number, _ in zip(numbers, range(count), strict=False)]

    def newest_children(self, parent: int, before: int | None, count: int) -> list[Batch]:
        """The children of a batch, or of 0, the newest first, from ``before`` on."""
        last = (parent, before) if before is not None else (parent + 1, 0)
        return self._taken(self._tree.irange((parent, 0), last, (True, False), reverse=True), count)

    def children(self, parent: int, after: int | None, count: int) -> list[Batch]:
        """The children of a batch, the oldest first, those behind ``after``."""
        return self._taken(self._tree.irange((parent, after or 0), (parent + 1, 0), (False, False)), count)

    def _taken(self, entries: Iterator[tuple[int, int]], count: int) -> list[Batch]:
        return [self._batches[number] for (_, number), _ in zip(entries, range(count), strict=False)]
