"""The open batch: what coalesces inside it, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faktory_tw.storage.store import Batch, DayRecord, JobRecord, Place, PlaceRecord, QueueRecord


def job(job_id: int, body: bytes = b"{}") -> JobRecord:
    return JobRecord(job_id, "q", 5, None, 0.0, body)


def place(job_id: int, where: Place = Place.WORKING) -> PlaceRecord:
    return PlaceRecord(job_id, int(where), job_id, None, None, b"", "", None)


def test_a_new_batch_is_empty() -> None:
    batch = Batch(7)
    assert not batch
    assert len(batch) == 0
    assert batch.number == 7
    assert not batch.flushed


def test_a_job_that_is_added_and_removed_leaves_nothing() -> None:
    batch = Batch(1)
    batch.add(job(1))
    batch.move(place(1))
    batch.remove(1)
    assert not batch
    assert not batch.removed


def test_a_job_of_an_earlier_batch_that_is_removed_is_told_once_and_without_its_place() -> None:
    batch = Batch(2)
    batch.move(place(1))
    batch.remove(1)
    assert batch
    assert list(batch.removed) == [1]
    assert batch.places == {}
    assert batch.jobs == {}


def test_of_several_places_of_a_job_the_last_one_counts() -> None:
    batch = Batch(1)
    for where in (Place.WORKING, Place.RETRIES, Place.QUEUED):
        batch.move(place(1, where))
    assert [record.place for record in batch.places.values()] == [Place.QUEUED]
    assert len(batch) == 1


def test_a_flush_forgets_what_was_recorded_and_says_so() -> None:
    batch = Batch(1)
    batch.add(job(1))
    batch.move(place(2))
    batch.remove(3)
    batch.queues["q"] = QueueRecord("q", False, 1)
    batch.workers["w"] = True
    batch.days = [DayRecord("total", 1, 0)]
    batch.flush()
    assert batch.flushed
    assert batch
    assert len(batch) == 0
    assert not any((batch.jobs, batch.places, batch.removed, batch.queues, batch.workers, batch.days))
    batch.add(job(4))
    assert list(batch.jobs) == [4]
    assert batch.flushed


CHANGES: dict[str, Callable[[Batch], object]] = {
    "job": lambda batch: batch.add(job(1)),
    "place": lambda batch: batch.move(place(1)),
    "removal": lambda batch: batch.remove(1),
    "queue": lambda batch: batch.queues.update(q=None),
    "worker": lambda batch: batch.workers.update(w=None),
    "day": lambda batch: batch.days.append(DayRecord("total", 1, 0)),
    "flush": lambda batch: batch.flush(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_batch_with_anything_in_it_has_to_be_written(change: str) -> None:
    batch = Batch(1)
    CHANGES[change](batch)
    assert batch


def test_a_batch_counts_the_bytes_of_bodies_and_failures_and_some_for_each_record() -> None:
    batch = Batch(1)
    batch.add(job(1, b"x" * 100))
    batch.add(job(2, b"y" * 50))
    moved = place(3)
    moved.failure = b"z" * 25
    batch.move(moved)
    assert batch.content_bytes == 175
    batch.remove(4)
    assert batch.bytes_to_write == 175 + 4 * 100
    batch.flush()
    assert batch.bytes_to_write == 0


def fill(batch: Batch, jobs: int = 0, places: int = 0, removed: int = 0, names: int = 0, body: int = 0) -> None:
    for job_id in range(1, jobs + 1):
        batch.add(job(job_id, b"x" * body))
    for job_id in range(1001, 1001 + places):
        batch.move(place(job_id))
    for job_id in range(2001, 2001 + removed):
        batch.remove(job_id)
    batch.queues.update((f"q{number}", None) for number in range(names // 2))
    batch.workers.update((f"w{number}", True) for number in range(names - names // 2))


@pytest.mark.parametrize(
    ("content", "small"),
    [
        ({}, True),
        ({"jobs": 70, "places": 70, "removed": 60}, True),
        ({"jobs": 70, "places": 70, "removed": 61}, False),
        ({"names": 50}, True),
        ({"names": 51}, False),
        ({"jobs": 1, "body": 256 * 1024 - 100}, True),
        ({"jobs": 1, "body": 256 * 1024 - 99}, False),
    ],
)
def test_a_batch_is_small_when_it_has_few_records_names_and_bytes(content: dict[str, int], small: bool) -> None:
    batch = Batch(1)
    fill(batch, **content)
    assert batch.small is small


def test_a_flush_is_never_small() -> None:
    batch = Batch(1)
    batch.flush()
    assert not batch.small
