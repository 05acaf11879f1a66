"""What an input costs, in calls of functions: unlike seconds these are the same in every run.

A line of n bytes may cost so many calls for each of its bytes and for each thing that the server has, and no more. A loop
that calls nothing is not seen; the driver tells the slowest input beside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

FREE = 30_000
PER_BYTE = 60
PER_THING = 1_500


class Costly(AssertionError):
    """An input costs more than it may."""


class Counter:
    """Counts calls of Python and of C."""

    def __init__(self) -> None:
        self.calls = 0

    def _note(self, _frame: FrameType, event: str, _argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1

    def run(self, work: Callable[[], T]) -> T:
        """Count the calls of ``work``."""
        before = sys.getprofile()
        sys.setprofile(self._note)
        try:
            return work()
        finally:
            sys.setprofile(before)


def limited(work: Callable[[], T], size: int, things: int = 0) -> T:
    """Do something that an input of ``size`` bytes asks for of a server that has so many things. Raises Costly."""
    counter = Counter()
    result = counter.run(work)
    allowed = FREE + PER_BYTE * size + PER_THING * things
    if counter.calls > allowed:
        raise Costly(f"{counter.calls} calls for {size} bytes and {things} things, more than {allowed}")
    return result
