"""The bars of the history."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from web.content.history_chart import HEIGHT, history_chart, nice_top

TODAY = date(2026, 3, 2)


def test_days_without_jobs_are_there_and_days_before_are_not() -> None:
    chart = history_chart({"2026-03-01": (10, 4), "2026-02-23": (99, 9)}, TODAY, 7)
    assert [(bar.day.isoformat(), bar.processed, bar.failed) for bar in chart.bars] == [
        ("2026-02-24", 0, 0),
        ("2026-02-25", 0, 0),
        ("2026-02-26", 0, 0),
        ("2026-02-27", 0, 0),
        ("2026-02-28", 0, 0),
        ("2026-03-01", 10, 4),
        ("2026-03-02", 0, 0),
    ]
    assert (chart.processed, chart.failed) == (10, 4)


def test_the_failed_stand_on_the_succeeded() -> None:
    bar = history_chart({"2026-03-02": (10, 4)}, TODAY, 7).bars[-1]
    assert bar.succeeded_height == 60
    assert bar.failed_height == 40
    assert bar.failed_y == 0
    assert bar.succeeded_y == 40


@given(some.integers(0, 10**12))
def test_the_top_is_round_and_not_less(most: int) -> None:
    top = nice_top(most)
    assert top >= most
    assert top <= max(most * 2, 4)
    digits = str(top).rstrip("0")
    assert digits in ("1", "2", "25", "3", "4", "5", "6", "8")


@given(some.dictionaries(some.integers(0, 400), some.tuples(some.integers(0, 10**9), some.integers(0, 10**9))))
def test_every_bar_is_inside_the_drawing(numbers: dict[int, tuple[int, int]]) -> None:
    days = {(TODAY - timedelta(days=back)).isoformat(): counts for back, counts in numbers.items()}
    chart = history_chart(days, TODAY, 180)
    for bar in chart.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= chart.width
        assert bar.failed_height >= 0
        assert bar.succeeded_height >= 0
        assert bar.failed_height + bar.succeeded_height <= HEIGHT + 0.01


@pytest.mark.parametrize(("count", "labels"), [(1, 1), (2, 2), (7, 7), (8, 5), (30, 5), (180, 5)])
def test_the_first_and_the_last_day_are_named_and_some_between(count: int, labels: int) -> None:
    chart = history_chart({}, TODAY, count)
    assert len(chart.labels) == labels
    assert chart.labels[0] == chart.bars[0].day
    assert chart.labels[-1] == TODAY
    assert chart.labels == sorted(set(chart.labels))
