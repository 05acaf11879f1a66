"""How many lines of one connection are executed before others are let in.

A connection that sends many lines at a time has MOST_LINES of them executed in one turn of the reactor when it is alone
with that. When thousands do so, a turn would take the longer the more they are, and somebody with a single command would
wait for all of them. So they share the lines of a turn: as many did so in the last one, so many times less each has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MOST_LINES = 256  # of one connection in one turn
FEWEST_LINES = 4  # so many everybody has, and needs not ask for
TURN_LINES = 2048  # of all that ask, about: some 30 ms of PUSHes


class Shares:
    """The lines of one turn. ``call_later(0, call)`` calls something in the next one."""

    def __init__(self, call_later: Callable[[float, Callable[[], None]], Any]) -> None:
        self._call_later = call_later
        self._share = MOST_LINES
        self._asked = 0  # connections that asked in this turn
        self._given = 0  # lines

    def take(self, lines: int) -> int:
        """How many of so many lines a connection may have executed now."""
        if not self._asked:
            self._call_later(0, self._end_turn)
        self._asked += 1
        share = self._share if self._given < TURN_LINES else FEWEST_LINES
        taken = min(share, lines)
        self._given += taken
        return taken

    def _end_turn(self) -> None:
        self._share = min(max(TURN_LINES // self._asked, FEWEST_LINES), MOST_LINES)
        self._asked = self._given = 0
