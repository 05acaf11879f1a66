"""The statistic of the long run, on lines that are known to grow, to be flat, or to tell nothing."""

from __future__ import annotations

import math
import random

import pytest

from tests.bench.long_run.trend import (
    FLAT,
    GROWS,
    HOUR,
    LEAST_POINTS,
    MOST_POINTS,
    UNCLEAR,
    judge,
    lowest,
    medians,
    pieces,
    trend,
)

STEP = 5.0
HOUR_OF_SAMPLES = int(HOUR / STEP)
MINUTE = int(60 / STEP)  # samples
SEEDS = range(6)


def seconds(count: int) -> list[float]:
    return [number * STEP for number in range(count)]


def noisy(seed: int, level: float, deviation: float, an_hour: float = 0.0, count: int = HOUR_OF_SAMPLES) -> list[float]:
    """A line at a level that grows by so much in an hour, with noise."""
    rng = random.Random(seed)
    return [level + an_hour * second / HOUR + rng.gauss(0, deviation) for second in seconds(count)]


def test_the_slope_of_a_straight_line_is_that_of_the_line() -> None:
    found = trend([(0, 5), (10, 6), (20, 7), (30, 8)])
    assert found.slope == pytest.approx(0.1 * HOUR)
    assert found.low == found.high == found.slope


@pytest.mark.parametrize("seed", SEEDS)
def test_a_leak_within_noise_is_found(seed: int) -> None:
    values = noisy(seed, 100, 3, an_hour=6)
    assert judge(seconds(len(values)), values, 0.03, 1).verdict == GROWS


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_alone_is_flat(seed: int) -> None:
    values = noisy(seed, 100, 3)
    assert judge(seconds(len(values)), values, 0.03, 1).verdict == FLAT


def test_the_true_slope_is_mostly_within_the_interval() -> None:
    within = 0
    for seed in range(100):
        values = noisy(seed, 100, 3, an_hour=2, count=30)
        found = trend(list(zip(seconds(len(values)), values, strict=True)))
        within += found.low <= 2 <= found.high
    assert 88 <= within <= 100


def test_a_line_that_falls_does_not_grow() -> None:
    values = noisy(1, 100, 1, an_hour=-50)
    judgement = judge(seconds(len(values)), values, 0.03, 1)
    assert judgement.verdict == FLAT
    assert judgement.trend.high < 0
    assert judgement.start > judgement.end


def test_wild_points_do_not_make_a_line_grow() -> None:
    values = noisy(1, 100, 1)
    values[len(values) // 2 :: 7] = [10_000.0] * len(values[len(values) // 2 :: 7])
    assert judge(seconds(len(values)), values, 0.03, 1).verdict == FLAT


@pytest.mark.parametrize("period", [20, 90, 170])
def test_what_is_filled_and_emptied_is_judged_by_its_lowest_values(period: int) -> None:
    times = seconds(HOUR_OF_SAMPLES)
    flat = [50 + second % period for second in times]
    leaking = [value + second / HOUR * 5 for second, value in zip(times, flat, strict=True)]
    assert judge(times, flat, 0.03, 1, by_lowest=True).verdict == FLAT
    assert judge(times, leaking, 0.03, 1, by_lowest=True).verdict == GROWS


def test_the_lowest_values_are_those_of_whole_pieces() -> None:
    times = [0.0, 100.0, 180.0, 359.0, 360.0, 400.0]
    assert lowest(times, [5, 3, 2, 9, 1, 1]) == [(100, 3), (180, 2)]
    assert lowest([0.0, 1.0], [1, 2]) == []
    assert judge([0.0, 1.0], [1, 2], 0.03, 1, by_lowest=True).verdict == UNCLEAR


def test_a_count_that_grows_by_one_every_few_minutes_is_found() -> None:
    values = [40.0 + second // 300 for second in seconds(HOUR_OF_SAMPLES)]
    judgement = judge(seconds(len(values)), values, 0.03, 3)
    assert (judgement.verdict, round(judgement.trend.slope)) == (GROWS, 12)


def test_growth_below_the_floor_is_flat_whatever_its_share() -> None:
    values = [1.0 + second / HOUR for second in seconds(HOUR_OF_SAMPLES)]
    assert judge(seconds(len(values)), values, 0.03, 2).verdict == FLAT
    assert judge(seconds(len(values)), values, 0.03, 0.5).verdict == GROWS


def test_a_line_that_does_not_change_is_flat_at_once() -> None:
    judgement = judge(seconds(MINUTE * LEAST_POINTS), [7.0] * MINUTE * LEAST_POINTS, 0.03, 0)
    assert (judgement.verdict, judgement.trend) == (FLAT, (0, 0, 0))


def test_nothing_is_said_of_few_points_or_of_a_restless_line() -> None:
    few = [float(number) for number in range(MINUTE * (LEAST_POINTS - 1))]
    assert judge(seconds(len(few)), few, 0.03, 0).verdict == UNCLEAR
    restless = [noisy(seed, 100, 50, count=20 * MINUTE) for seed in SEEDS]
    verdicts = [judge(seconds(len(values)), values, 0.03, 1).verdict for values in restless]
    assert verdicts.count(UNCLEAR) >= len(SEEDS) - 1


def test_one_point_has_no_trend() -> None:
    found = trend([(1, 1)])
    assert (found.slope, found.low, found.high) == (0, -math.inf, math.inf)


def test_a_line_is_told_by_the_medians_of_its_minutes() -> None:
    times = [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0]
    assert medians(times, [0, 9, 1, 5, 5, 5, 7]) == [(20, 1), (80, 5)]
    assert medians([0.0, 1.0], [1, 2]) == []
    assert len(medians(range(50_000), range(50_000))) == MOST_POINTS


def test_pieces_are_whole_though_the_last_sample_comes_before_their_end() -> None:
    times = [second + 0.01 * (second % 3) for second in seconds(24)]
    assert [len(piece) for piece in pieces(times, times, 60)] == [12, 12]
    assert [len(piece) for piece in pieces(times[:-3], times[:-3], 60)] == [12]
