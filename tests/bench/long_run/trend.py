"""Whether a line of measurements grows: the slope of Theil and Sen, with its confidence interval.

The slope is the median of the slopes between all pairs of points, which a third of wild points cannot move. Its interval
is Sen's: the ranks among these slopes between which the true one lies in 95 of 100 cases, if the points are independent.
They are not, quite: what is kept for a while makes neighbours alike. So a line is cut into pieces of a minute or more
first, each told by its median.

Some lines climb until something clears up, and fall: objects until the garbage collector has run. There a leak is what
is left after that, so such a line is told by the lowest value in each LOWEST_SECONDS.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

PIECE_SECONDS = 60.0
MOST_POINTS = 120
LEAST_POINTS = 8
LOWEST_SECONDS = 180.0
HOUR = 3600.0
_Z = 1.96  # of 95 %

FLAT, GROWS, UNCLEAR = "flat", "grows", "unclear"


Points = list[tuple[float, float]]


class Trend(NamedTuple):
    """Growth an hour, and between which values it lies with a confidence of 95 %."""

    slope: float
    low: float
    high: float


class Judgement(NamedTuple):
    """What is told of a line: how it began and ended, its median, its trend, what was allowed, and the verdict.

    ``points`` are those from which the trend was made.
    """

    start: float
    end: float
    median: float
    trend: Trend
    allowed: float
    verdict: str
    points: Points


def lowest(times: Sequence[float], values: Sequence[float]) -> Points:
    """Return the lowest point of each LOWEST_SECONDS, as far as there are whole ones."""
    return [min(piece, key=lambda point: point[1]) for piece in pieces(times, values, LOWEST_SECONDS)]


def medians(times: Sequence[float], values: Sequence[float]) -> Points:
    """Return the medians of pieces of PIECE_SECONDS, or of longer ones when they are too many."""
    seconds = max(PIECE_SECONDS, (times[-1] - times[0]) / MOST_POINTS)
    return [
        (statistics.median(x for x, _ in piece), statistics.median(y for _, y in piece))
        for piece in pieces(times, values, seconds)
    ]


def pieces(times: Sequence[float], values: Sequence[float], seconds: float) -> list[Points]:
    """Cut a line into pieces of so many seconds. What is left at the end is no piece."""
    found: dict[int, Points] = {}
    for point in zip(times, values, strict=True):
        found.setdefault(int((point[0] - times[0]) // seconds), []).append(point)
    step = (times[-1] - times[0]) / max(len(times) - 1, 1)  # the last sample stands for the time until the next
    whole = int((times[-1] - times[0] + 1.5 * step) // seconds)
    return [piece for number, piece in found.items() if number < whole]


def trend(points: Points) -> Trend:
    """Return the trend an hour of points that were measured at these seconds."""
    slopes = sorted(
        (later - earlier) / (after - before)
        for index, (before, earlier) in enumerate(points)
        for after, later in points[index + 1 :]
        if after > before
    )
    if not slopes:
        return Trend(0.0, -math.inf, math.inf)
    count = len(points)
    ties = sum(size * (size - 1) * (2 * size + 5) for size in _ties(points))
    deviation = math.sqrt(max(count * (count - 1) * (2 * count + 5) - ties, 0) / 18)
    reach = _Z * deviation
    low = slopes[max(math.floor((len(slopes) - reach) / 2), 0)]
    high = slopes[min(math.ceil((len(slopes) + reach) / 2), len(slopes) - 1)]
    return Trend(statistics.median(slopes) * HOUR, low * HOUR, high * HOUR)


def _ties(points: Points) -> list[int]:
    values = [value for _, value in points]
    return [values.count(value) for value in set(values)]


def judge(
    times: Sequence[float], values: Sequence[float], share: float, floor: float, by_lowest: bool = False
) -> Judgement:
    """Say whether a line grows by more, in an hour, than this share of its median, and than `floor`.

    ``grows``: the slope is beyond that, and certainly above zero. ``flat``: it is not, and certainly not beyond that.
    Else it is ``unclear``: the run was too short, or the line is too restless.
    """
    points = lowest(times, values) if by_lowest else medians(times, values)
    told = [value for _, value in points] or list(values)
    median = statistics.median(told)
    allowed = max(abs(median) * share, floor)
    found = trend(points)
    part = max(len(told) // 10, 1)
    start, end = statistics.median(told[:part]), statistics.median(told[-part:])
    if len(points) < LEAST_POINTS:
        verdict = UNCLEAR
    elif found.slope > allowed and found.low > 0:
        verdict = GROWS
    elif found.high <= allowed:
        verdict = FLAT
    else:
        verdict = UNCLEAR
    return Judgement(start, end, median, found, allowed, verdict, points)
