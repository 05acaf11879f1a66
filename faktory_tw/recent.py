"""Quantiles of how long something took lately, for people who look at the present and not at a curve.

Times are counted in classes that grow by a tenth, in slots of some seconds that are forgotten as they get old: an
observation costs a bisection, and nothing grows with their number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from math import ceil

_SLOT_SECONDS = 10.0
_SLOTS = 7  # the one that is being filled, and a minute
_GROWTH = 1.1
_LEAST, _MOST = 10e-6, 60.0  # seconds


def _bounds() -> list[float]:
    bounds = [_LEAST]
    while bounds[-1] < _MOST:
        bounds.append(bounds[-1] * _GROWTH)
    return bounds


_BOUNDS = _bounds()


class RecentTimes:
    """Times of the last minute or so. ``monotonic`` tells the time in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._slots: deque[tuple[int, list[int]]] = deque(maxlen=_SLOTS)  # their number, and how many of each class

    def observe(self, seconds: float) -> None:
        """Something took so long."""
        number = int(self._monotonic() // _SLOT_SECONDS)
        if not self._slots or self._slots[-1][0] != number:
            self._slots.append((number, [0] * (len(_BOUNDS) + 1)))
        self._slots[-1][1][bisect_left(_BOUNDS, seconds)] += 1

    def quantile(self, share: float) -> float | None:
        """The time within which ``share`` of them were done, at most a tenth too long; None when there were none."""
        oldest = int(self._monotonic() // _SLOT_SECONDS) - _SLOTS + 1
        slots = [counts for number, counts in self._slots if number >= oldest]
        totals = [sum(classes) for classes in zip(*slots, strict=True)]
        wanted = max(ceil(share * sum(totals)), 1)
        passed = 0
        for bound, count in zip([*_BOUNDS, _BOUNDS[-1]], totals, strict=False):
            passed += count
            if passed >= wanted:
                return bound
        return None
