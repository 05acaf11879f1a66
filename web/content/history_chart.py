"""The bars of the history: days, their numbers, and where they stand in a drawing that the page stretches to its width."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

HEIGHT = 100.0
STEP = 10.0  # from one day to the next
_WIDTH = 7.5  # of a bar
_WEEK = 7  # days that are all named below their bars
_LABELS = 5  # of more days, so many are named
_ROUND = (1, 2, 2.5, 3, 4, 5, 6, 8, 10)


class Bar(NamedTuple):
    """One day. Lengths are in units of the drawing; the failed part stands on top of the one that succeeded."""

    day: date
    processed: int
    failed: int
    x: float
    succeeded_height: float
    failed_height: float

    @property
    def width(self) -> float:
        return _WIDTH

    @property
    def succeeded_y(self) -> float:
        return HEIGHT - self.succeeded_height

    @property
    def failed_y(self) -> float:
        return HEIGHT - self.succeeded_height - self.failed_height


class HistoryChart(NamedTuple):
    """All bars, from the oldest day to today; ``top`` is the number at the upper edge."""

    bars: list[Bar]
    top: int
    processed: int
    failed: int

    @property
    def width(self) -> float:
        return len(self.bars) * STEP

    @property
    def scale(self) -> list[int]:
        """The numbers beside the drawing, from the upper edge to the lower."""
        return [self.top, self.top // 2, 0] if self.top % 2 == 0 else [self.top, 0]

    @property
    def labels(self) -> list[date]:
        """The days that are named below the drawing, from the first to the last, about equally far from each other."""
        if len(self.bars) <= _WEEK:
            return [bar.day for bar in self.bars]
        last, parts = len(self.bars) - 1, _LABELS - 1
        return [self.bars[round(last * part / parts)].day for part in range(parts + 1)]


def history_chart(days: Mapping[str, tuple[int, int]], today: date, count: int) -> HistoryChart:
    """The last ``count`` days, of ``days``: (processed, failed) by day, as the statistics have them."""
    numbers = []
    for back in range(count - 1, -1, -1):
        day = today - timedelta(days=back)
        numbers.append((day, *days.get(day.isoformat(), (0, 0))))
    top = nice_top(max(processed for _, processed, _ in numbers))
    bars = [
        Bar(
            day,
            processed,
            failed,
            round(index * STEP + (STEP - _WIDTH) / 2, 3),
            round(max(processed - failed, 0) / top * HEIGHT, 3),
            round(min(failed, processed) / top * HEIGHT, 3),
        )
        for index, (day, processed, failed) in enumerate(numbers)
    ]
    return HistoryChart(bars, top, sum(bar.processed for bar in bars), sum(bar.failed for bar in bars))


def nice_top(most: int) -> int:
    """A round number that is not less than ``most``, for the upper edge of a chart."""
    power = 1
    while power * 10 < most:
        power *= 10
    return max(int(power * next(factor for factor in _ROUND if power * factor >= most)), 4)
