"""How much work a turn of the reactor is, counted and not timed: lines of Python that are executed.

A line is what the interpreter does some tens of millions of in a second, 20 000 of them about a millisecond. What one call
of C does by itself is not seen: to copy a list is a line, however long it is, and goes a hundred times as fast.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any


def lines_of(call: Callable[[], Any]) -> int:
    """Carry it out, and count."""
    count = 0

    def note(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return note

    before = sys.gettrace()
    gc.disable()  # others may have asked to be called after a collection
    sys.settrace(note)
    try:
        call()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def longest(turns: Iterable[tuple[str, Callable[[], Any]]], between: Callable[[], Any]) -> tuple[int, int]:
    """Play them, and return how many lines the longest had, and how many turns there were. ``between`` them is not counted."""
    most = number = 0
    for _, turn in turns:
        most = max(most, lines_of(turn))
        number += 1
        between()
    return most, number
