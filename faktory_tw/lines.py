"""Lines that wait for their turn.

A short line costs ten times its length as an object of its own, and a client that does not read its replies may have sent
ten thousand of them in one read. So a few are kept as they are, and many as one text, which is cut up again a few at a
time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

_FEW = 256


class PutBy:
    """Lines, without their ends, in order. ``size`` is how many bytes they had, their ends included."""

    __slots__ = ("size", "_lines", "_texts")

    def __init__(self) -> None:
        self.size = 0
        self._lines: deque[bytes] = deque()
        self._texts: deque[bytes] = deque()  # of lines that follow them

    def __bool__(self) -> bool:
        return bool(self._lines)

    def extend(self, lines: Sequence[bytes]) -> None:
        """Add lines behind the others."""
        self.size += sum(map(len, lines)) + len(lines)
        if not self._texts and len(self._lines) + len(lines) <= _FEW:
            self._lines.extend(lines)
        elif lines:
            self._texts.append(b"\n".join(lines))
            if not self._lines:
                self._cut()

    def popleft(self) -> bytes:
        """Take the first line. IndexError when there is none."""
        line = self._lines.popleft()
        self.size -= len(line) + 1
        if self._texts and not self._lines:
            self._cut()
        return line

    def first(self) -> bytes:
        """The first line. IndexError when there is none."""
        return self._lines[0]

    def clear(self) -> None:
        self.size = 0
        self._lines.clear()
        self._texts.clear()

    def _cut(self) -> None:
        """Cut the first lines off the first text."""
        lines = self._texts.popleft().split(b"\n", _FEW)
        if len(lines) > _FEW:
            self._texts.appendleft(lines.pop())
        self._lines.extend(lines)
