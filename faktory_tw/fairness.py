"""Turns for connections that send many lines at a time, so that one with a single command need not wait for all of them.

Alone, such a connection has MOST_LINES executed, then others are let in, and so on. When there are several, those that
have more to do stand in a line: in a turn of the reactor they have their turns one after the other until TURN_SECONDS
are over, and the rest is for the next one. Lines are counted because most commands cost some microseconds, and time is
looked at because some cost a hundred times that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

MOST_LINES = 256  # of one connection executed before others are let in
FEWEST_LINES = 2  # so many are executed of what has just come when others stand in the line
TURN_SECONDS = 0.02


class Turns:
    """The line. ``call_later(0, call)`` calls something in the next turn; ``monotonic`` tells the time in seconds.

    ``most_lines`` is how many lines of what has just come may be executed before standing in the line. ``seconds``: so
    much of each turn of the reactor.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], Any],
        monotonic: Callable[[], float],
        seconds: float = TURN_SECONDS,
    ) -> None:
        self.most_lines = MOST_LINES
        self._seconds = seconds
        self._call_later = call_later
        self._monotonic = monotonic
        self._waiting: deque[Callable[[], None]] = deque()

    def wait(self, go_on: Callable[[], None]) -> None:
        """Stand in the line, once. ``go_on`` executes some lines, and may stand in the line again."""
        if not self._waiting:
            self.most_lines = FEWEST_LINES
            self._call_later(0, self._take_turns)
        self._waiting.append(go_on)

    def _take_turns(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        until = self._monotonic() + self._seconds
        try:
            while waiting:
                waiting.popleft()()
                if self._monotonic() >= until:
                    break
        finally:
            again, self._waiting = self._waiting, waiting
            scheduled = bool(again)
            self._waiting.extend(again)
            if not self._waiting:
                self.most_lines = MOST_LINES
            elif not scheduled:
                self._call_later(0, self._take_turns)
