"""Sets ordered by time: scheduled, retries and dead jobs, and the reservations of jobs being worked."""

from __future__ import annotations

from collections.abc import Iterator

from sortedcontainers import SortedList


class TimedSet:
    """Job ids ordered by a time in seconds since the epoch, then by id. About a hundred bytes a job."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: SortedList[tuple[float, int]] = SortedList()

    def add(self, at: float, job_id: int) -> None:
        self._entries.add((at, job_id))

    def load(self, entries: list[tuple[float, int]]) -> None:
        """Add many at once: one sort instead of many insertions."""
        self._entries.update(entries)

    def discard(self, at: float, job_id: int) -> bool:
        """Remove an entry; whether it was there."""
        before = len(self._entries)
        self._entries.discard((at, job_id))
        return len(self._entries) < before

    def take_due(self, now: float, count: int) -> list[tuple[float, int]]:
        """Remove and return entries due at or before ``now``, the earliest first, ``count`` at most."""
        entries = self._entries
        end = min(count, entries.bisect_right((now, 2**63)))
        due = list(entries.islice(0, end))
        del entries[:end]
        return due

    def after(self, entry: tuple[float, int] | None, count: int) -> list[tuple[float, int]]:
        """The entries that follow ``entry`` (None: from the first), ``count`` at most. For walks in slices."""
        start = 0 if entry is None else self._entries.bisect_right(entry)
        return list(self._entries.islice(start, start + count))

    def before(self, entry: tuple[float, int] | None, count: int) -> list[tuple[float, int]]:
        """The entries in front of ``entry`` (None: from the last), the nearest first, ``count`` at most."""
        end = len(self._entries) if entry is None else self._entries.bisect_left(entry)
        return list(self._entries.islice(max(end - count, 0), end, reverse=True))

    def part(self, start: int, count: int, backwards: bool = False) -> list[tuple[float, int]]:
        """The entries from the ``start``-th on, or from the ``start``-th last back, ``count`` at most."""
        if backwards:
            end = max(len(self._entries) - start, 0)
            return list(self._entries.islice(max(end - count, 0), end, reverse=True))
        return list(self._entries.islice(start, start + count))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[float, int]]:
        return iter(self._entries)


class Leases:
    """When reservations end, on the monotonic clock.

    Jobs ask for few different durations, and those of one duration end in the order in which they began: a dict for
    each duration, in insertion order, does with two dict operations a job what a sorted list does with two bisections
    (0.2 against 4 µs).
    """

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: dict[int, dict[int, float]] = {}

    def add(self, job_id: int, seconds: int, now: float) -> None:
        """Begin a lease of ``seconds``; ``now`` never runs back."""
        ends = self._ends.get(seconds)
        if ends is None:
            ends = self._ends[seconds] = {}
        ends[job_id] = now + seconds

    def end(self, job_id: int, seconds: int) -> float | None:
        """When a lease ends; None when there is none."""
        return self._ends.get(seconds, {}).get(job_id)

    def discard(self, job_id: int, seconds: int) -> None:
        ends = self._ends.get(seconds)
        if ends is not None:
            ends.pop(job_id, None)
            if not ends and len(self._ends) > 1000:
                del self._ends[seconds]

    def expired(self, now: float, most: float = float("inf")) -> list[int]:
        """Jobs whose lease is over, ``most`` at most; they stay until they are discarded."""
        found: list[int] = []
        for ends in self._ends.values():
            for job_id, end in ends.items():
                if end > now:
                    break
                if len(found) == most:
                    return found
                found.append(job_id)
        return found

    def containers(self) -> list[dict[int, float]]:
        """What it is made of."""
        return list(self._ends.values())
