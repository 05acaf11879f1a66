"""Locks as an operator sees them: listed in the order in which they end, and released before their time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.features.test_unique import Town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path / "data")
    yield town
    town.engine.stop()


def push(town: Town, number: int, seconds: float = 600) -> int:
    """A unique job with args of its own; its id."""
    assert town.push(args=[number], custom={"unique_for": seconds})
    return town.engine.manager.newest_id()


def test_locks_are_listed_page_by_page_in_the_order_in_which_they_end(town):
    ids: dict[float, int] = {seconds: push(town, seconds, seconds) for seconds in (50, 10, 40, 30, 20)}
    ids[30.5], ids[29.5] = push(town, 7, 30), push(town, 8, 30)  # three end in one moment
    order = [ids[each] for each in (10, 20, 30, 30.5, 29.5, 40, 50)]
    seen: list[int] = []
    after = None
    while page := town.unique.page(after, 2):
        seen += [lock.job_id for lock in page]
        after = page[-1].until, page[-1].job_id
    assert seen == order
    assert [lock.job_id for lock in town.unique.page(None, 100)] == order


def test_paging_goes_on_behind_a_lock_that_is_gone(town):
    ids = [push(town, number, 10 * number) for number in range(1, 5)]
    first, second = town.unique.page(None, 2)
    assert town.unique.release(second.job_id)
    assert [lock.job_id for lock in town.unique.page((second.until, second.job_id), 5)] == ids[2:]
    assert [lock.job_id for lock in town.unique.page((first.until, first.job_id), 5)] == ids[2:]


@pytest.mark.parametrize("restart", [False, True])
def test_a_lock_that_was_released_stops_nobody(town, restart):
    assert town.push()
    [lock] = town.unique.page(None, 5)
    assert town.unique.held(lock.job_id) == lock
    assert town.is_locked()
    assert town.unique.release(lock.job_id)
    if restart:
        town.engine.restart()
    assert town.unique.held(lock.job_id) is None
    assert not town.unique.release(lock.job_id)
    assert town.locks() == 0
    assert town.push()


def test_the_end_of_a_job_whose_lock_was_released_takes_nothing_from_the_next(town):
    first = town.push()
    assert town.unique.release(town.unique.page(None, 1)[0].job_id)
    second = town.push()
    assert first
    assert second
    town.engine.fetch()
    town.engine.manager.ack(first, "")
    assert town.is_locked()
    assert town.locks() == 1


def test_who_released_it_counts_neither_as_taken_nor_as_denied(town):
    town.push()
    town.push()
    town.unique.release(town.unique.page(None, 1)[0].job_id)
    assert (town.unique.taken, town.unique.denied) == (1, 1)
