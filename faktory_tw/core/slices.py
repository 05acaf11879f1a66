"""Reading many rows in slices that are bounded in bytes, too: a job may have some hundred bytes or some MiB."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from faktory_tw.storage.store import JobRow

SLICE_BYTES = 2 * 1024 * 1024  # of bodies and failures read in one turn of the reactor, about
_MOST_AT_ONCE = 64  # rows in one query: little is won by more, and it is how far rows that turn out large can surprise
_FIRST = 1  # a row may fill a slice by itself


class Stride:
    """Reads rows with ``read``, the store's, until there are enough bytes for one turn; it learns how large rows are."""

    __slots__ = ("_read", "_block")

    def __init__(self, read: Callable[[Sequence[int]], list[JobRow]]) -> None:
        self._read = read
        self._block = _FIRST

    def read(self, ids: Sequence[int]) -> tuple[list[JobRow], int]:
        """The rows of the first of these jobs, and how many of ``ids`` that were: at least one, if there is any."""
        rows: list[JobRow] = []
        size = done = 0
        while done < len(ids) and size < SLICE_BYTES:
            block = self._read(ids[done : done + self._block])
            done = min(done + self._block, len(ids))
            rows += block
            taken = sum(len(row.body) + len(row.failure) for row in block)
            size += taken
            if block:
                fitting = SLICE_BYTES // 4 * len(block) // (taken + 1)
                self._block = max(min(fitting, self._block * 2, _MOST_AT_ONCE), 1)
        return rows, done
