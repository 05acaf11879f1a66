"""Rows that are read in slices bounded in bytes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from faktory_tw.core.slices import SLICE_BYTES, Stride
from faktory_tw.storage.store import JobRow, Place
from faktory_tw.times import rfc3339
from tests.unit.doubles import NOON, Engine, MakeEngine

MANY = list(range(1, 501))
LARGE = "x" * 200_000


class Disk:
    """Has every job but those whose id divides by seven; remembers how many rows were asked for."""

    def __init__(self, body_bytes: int, failure_bytes: int = 0) -> None:
        self.body, self.failure = b"x" * body_bytes, b"x" * failure_bytes
        self.asked: list[int] = []

    def __call__(self, ids: Sequence[int]) -> list[JobRow]:
        self.asked.append(len(ids))
        return [
            JobRow(job_id, "default", 5, int(Place.QUEUED), job_id, None, 0.0, self.failure, "", None, self.body)
            for job_id in ids
            if job_id % 7
        ]


@pytest.mark.parametrize("size", [(0, 0), (100, 0), (10_000, 0), (200_000, 0), (0, 200_000), (5_000_000, 0)])
def test_a_walk_in_strides_meets_every_row_once(size: tuple[int, int]) -> None:
    disk = Disk(*size)
    stride = Stride(disk)
    ids, met = MANY[:60], []
    while ids:
        rows, count = stride.read(ids)
        assert 1 <= count <= len(ids)
        met += [row.id for row in rows]
        ids = ids[count:]
    assert met == [number for number in MANY[:60] if number % 7]


def test_many_small_rows_are_one_stride() -> None:
    assert Stride(Disk(100)).read(MANY)[1] == 500
    assert Stride(Disk(100)).read([]) == ([], 0)


@pytest.mark.parametrize("size", [(20_000, 0), (200_000, 0), (0, 200_000), (100_000, 100_000), (4_000_000, 0)])
def test_a_stride_of_large_rows_ends_soon_after_enough_bytes(size: tuple[int, int]) -> None:
    stride = Stride(Disk(*size))
    for _ in range(5):
        rows, _ = stride.read(MANY)
        assert sum(size) * len(rows) <= SLICE_BYTES + max(SLICE_BYTES // 2, sum(size))


def test_large_rows_after_small_ones_surprise_by_one_query_only() -> None:
    disk = Disk(10)
    stride = Stride(disk)
    stride.read(MANY)
    disk.body = b"x" * 1_000_000
    assert stride.read(MANY)[1] <= 64
    assert stride.read(MANY)[1] <= 20
    assert stride.read(MANY)[1] <= 4


# -- where they are used -------------------------------------------------------------------------------------------


def test_large_jobs_that_are_due_are_enqueued_some_at_a_time(make_engine: MakeEngine) -> None:
    engine = make_engine(cache_bytes=1)
    jids = [engine.push(at=rfc3339(NOON + 1), args=[LARGE]) for _ in range(40)]
    engine.commit()
    engine.clock.advance(1)
    assert engine.manager.upkeep()
    assert 1 <= engine.sizes()["queued"] <= 20
    engine.upkeep()
    assert engine.manager.tasks["Scheduled"].enqueued == 40
    assert engine.jids() == jids


def test_a_mutation_of_large_jobs_takes_some_at_a_time(make_engine: MakeEngine) -> None:
    engine = make_engine(cache_bytes=1)
    for _ in range(40):
        engine.push(at=rfc3339(NOON + 1), args=[LARGE])
    engine.commit()
    read: list[int] = []
    original = engine.manager.read

    def counting(ids: Sequence[int]) -> list[JobRow]:
        read.append(len(ids))
        return original(ids)

    engine.manager.read = counting  # type: ignore[method-assign]
    engine.mutate("discard", "scheduled", jobtype="Work")
    assert engine.sizes()["scheduled"] == 0
    assert sum(read) == 40
    assert max(read) <= 8


def test_large_jobs_that_were_being_worked_are_all_loaded(engine: Engine) -> None:
    for _ in range(30):
        engine.push(args=[LARGE])
    engine.jids()
    engine.restart()
    assert engine.sizes()["working"] == 30
