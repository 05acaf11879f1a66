"""Quantiles of recent times: of the right ones, and within a tenth."""

from __future__ import annotations

import random

import pytest

from faktory_tw.recent import RecentTimes
from tests.unit.house import Reactor


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def times(reactor: Reactor) -> RecentTimes:
    return RecentTimes(reactor.monotonic)


def test_nothing_is_known_before_anything_happened(times: RecentTimes) -> None:
    assert times.quantile(0.5) is None


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_a_quantile_is_at_most_a_tenth_too_long(times: RecentTimes, share: float) -> None:
    chance = random.Random(5)
    observed = [chance.lognormvariate(-6, 1.5) for _ in range(1000)]
    for seconds in observed:
        times.observe(seconds)
    exact = sorted(observed)[round(share * 1000) - 1]
    found = times.quantile(share)
    assert found is not None
    assert exact <= found <= exact * 1.1001


def test_what_is_longer_than_a_minute_ago_is_forgotten(times: RecentTimes, reactor: Reactor) -> None:
    times.observe(5.0)
    reactor.advance(45)
    times.observe(0.001)
    found = times.quantile(1.0)
    assert found is not None
    assert found >= 5
    reactor.advance(30)
    found = times.quantile(1.0)
    assert found is not None
    assert found < 0.0011
    reactor.advance(3600)
    assert times.quantile(1.0) is None


def test_after_a_pause_only_what_is_recent_counts(times: RecentTimes, reactor: Reactor) -> None:
    times.observe(5.0)
    reactor.advance(3600)
    times.observe(0.001)
    found = times.quantile(1.0)
    assert found is not None
    assert found < 0.0011


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e9])
def test_times_beyond_all_classes_are_counted_in_the_last_one(times: RecentTimes, seconds: float) -> None:
    times.observe(seconds)
    assert times.quantile(0.5) is not None
