"""A batch: what coalesces inside it and with the next, and what it says of itself."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from faktory_tw.storage.store import Batch, DayRecord, JobRecord, Place, PlaceRecord, QueueRecord

EXAMPLES = int(os.environ.get("FAKTORY_TW_EXAMPLES", "0"))
ENTRY_KINDS = ("one", "other")
FRIDAY, SATURDAY = "2025-11-21", "2025-11-22"


def job(job_id: int, body: bytes = b"{}") -> JobRecord:
    return JobRecord(job_id, "q", 5, None, 0.0, body)


def place(job_id: int, where: Place = Place.WORKING, failure: bytes = b"") -> PlaceRecord:
    return PlaceRecord(job_id, int(where), job_id, None, None, failure, "", None)


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
    batch.enter("kind", b"key", b"value")
    batch.flush()
    assert batch.flushed
    assert batch
    assert len(batch) == 0
    assert not any((batch.jobs, batch.places, batch.removed, batch.queues, batch.workers, batch.days, batch.entries))
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
    "entry": lambda batch: batch.enter("kind", b"key", None),
    "flush": lambda batch: batch.flush(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_batch_with_anything_in_it_has_to_be_written(change: str) -> None:
    batch = Batch(1)
    CHANGES[change](batch)
    assert batch


def test_a_batch_counts_the_bytes_of_bodies_failures_and_names_and_some_for_each_record() -> None:
    batch = Batch(1)
    batch.add(job(1, b"x" * 100))
    batch.add(job(2, b"y" * 50))
    moved = place(3)
    moved.failure, moved.wid = b"z" * 25, "w" * 8
    batch.move(moved)
    assert batch.content_bytes == 175 + 2 * len("q") + 8
    batch.remove(4)
    assert batch.bytes_to_write == 185 + 4 * 100
    batch.enter("kind", b"k" * 10, b"v" * 5)
    batch.enter("kind", b"other", None)
    assert batch.bytes_to_write == 205 + 6 * 100
    batch.flush()
    assert batch.bytes_to_write == 0
    batch.add(job(5, b"x" * 30))
    batch.move(place(5, failure=b"y" * 7))
    batch.remove(5)
    assert batch.content_bytes == 7


def fill(
    batch: Batch, jobs: int = 0, places: int = 0, removed: int = 0, names: int = 0, body: int = 0, entries: int = 0
) -> None:
    for job_id in range(1, jobs + 1):
        batch.add(job(job_id, b"x" * body))
    for job_id in range(1001, 1001 + places):
        batch.move(place(job_id))
    for job_id in range(2001, 2001 + removed):
        batch.remove(job_id)
    batch.queues.update((f"q{number}", None) for number in range(names // 2))
    batch.workers.update((f"w{number}", True) for number in range(names - names // 2))
    for number in range(entries):
        batch.enter("kind", b"%d" % number, None)


@pytest.mark.parametrize(
    ("content", "small"),
    [
        ({}, True),
        ({"jobs": 70, "places": 70, "removed": 60}, True),
        ({"jobs": 70, "places": 70, "removed": 61}, False),
        ({"entries": 200}, True),
        ({"entries": 201}, False),
        ({"names": 50}, True),
        ({"names": 51}, False),
        ({"jobs": 1, "body": 256 * 1024 - 101}, True),
        ({"jobs": 1, "body": 256 * 1024 - 100}, False),
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


# -- one batch laid over another -----------------------------------------------------------------------------------


STEPS: list[Callable[[Batch], object]] = [
    lambda batch: batch.add(job(1, b"1")),
    lambda batch: batch.add(job(2, b"22")),
    lambda batch: batch.move(place(1)),
    lambda batch: batch.queues.update(q=QueueRecord("q", False, 1), r=None),
    lambda batch: batch.move(place(7, failure=b"7777777")),
    lambda batch: batch.workers.update(v=True, w=None),
    lambda batch: batch.enter("kind", b"1", b"one"),
    lambda batch: batch.enter("kind", b"2", None),
    lambda batch: batch.remove(2),
    lambda batch: batch.remove(8),
    lambda batch: batch.move(place(1, Place.RETRIES, b"1111")),
    lambda batch: batch.remove(7),
    lambda batch: batch.workers.update(v=None, w=True),
    lambda batch: batch.queues.update(q=None, r=QueueRecord("r", True, 2)),
    lambda batch: batch.enter("kind", b"2", b"two"),
    lambda batch: batch.remove(1),
    lambda batch: batch.enter("kind", b"1", None),
    lambda batch: batch.add(job(3, b"333")),
]


def told(batch: Batch) -> list[object]:
    """All that a batch says, the order of its records included."""
    names = ("jobs", "places", "removed", "queues", "workers", "entries")
    return [batch.flushed, batch.days, batch.content_bytes, *(list(getattr(batch, name).items()) for name in names)]


@pytest.mark.parametrize("flush", [None, 0, 3, 6, 9, 12, 16])
def test_two_batches_laid_over_each_other_are_what_one_would_have_been(flush: int | None) -> None:
    steps = list(STEPS)
    if flush is not None:
        steps.insert(flush, lambda batch: batch.flush())
    whole = Batch(1)
    for step in steps:
        step(whole)
    for cut in range(len(steps) + 1):
        earlier, later = Batch(1), Batch(2)
        for step in steps[:cut]:
            step(earlier)
        for step in steps[cut:]:
            step(later)
        before = told(later)
        earlier.absorb(later)
        assert told(earlier) == told(whole), cut
        assert earlier.bytes_to_write == whole.bytes_to_write
        assert told(later) == before


def test_of_the_counts_of_a_day_the_later_batch_has_the_last_word() -> None:
    earlier, later = Batch(1), Batch(2)
    earlier.absorb(later)
    assert earlier.days == []
    earlier.days = [DayRecord("total", 5, 0), DayRecord(FRIDAY, 5, 0)]
    earlier.absorb(later)
    assert earlier.days == [DayRecord("total", 5, 0), DayRecord(FRIDAY, 5, 0)]
    later.days = [DayRecord("total", 9, 1), DayRecord(SATURDAY, 3, 1), DayRecord(FRIDAY, 6, 0)]
    earlier.absorb(later)
    assert sorted(earlier.days) == [DayRecord(FRIDAY, 6, 0), DayRecord(SATURDAY, 3, 1), DayRecord("total", 9, 1)]
    assert later.days[1:] == [DayRecord(SATURDAY, 3, 1), DayRecord(FRIDAY, 6, 0)]
    later = Batch(3)
    later.flush()
    earlier.absorb(later)
    assert earlier.days == []


def test_what_was_laid_over_another_batch_does_not_change_with_it() -> None:
    earlier, later = Batch(1), Batch(2)
    for step in STEPS[:6]:
        step(later)
    later.days = [DayRecord("total", 1, 0)]
    before = told(later)
    earlier.absorb(later)
    for step in STEPS[6:]:
        step(earlier)
    earlier.days.append(DayRecord(FRIDAY, 1, 0))
    assert told(later) == before
