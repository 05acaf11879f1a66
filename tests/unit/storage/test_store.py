"""A batch: what coalesces inside it and with the next, and what it says of itself; a store against a simple model."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from faktory_tw.storage import journal
from faktory_tw.storage import store as module
from faktory_tw.storage.journal import JOURNAL_SECONDS
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import Batch, DayRecord, JobRecord, JobRow, Place, PlaceRecord, QueueRecord
from tests.unit.doubles import FakeClock, copy_directory
from tests.unit.storage.batches import add, body_of

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


# -- a store against a model ---------------------------------------------------------------------------------------


@contextmanager
def opened(directory: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(directory, "os")
    try:
        yield store
    finally:
        store.finish()
        store.close()


def rows(store: SQLiteStore, table: str) -> int:
    """How many there are, as another program counts them."""
    with closing(sqlite3.connect(store.path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


class Kept:
    """What a store has to have."""

    def __init__(self) -> None:
        self.jobs: dict[int, JobRow] = {}
        self.queues: dict[str, QueueRecord] = {}
        self.workers: set[str] = set()
        self.days: dict[str, DayRecord] = {}
        self.entries: dict[tuple[str, bytes], bytes] = {}

    def copy(self) -> Kept:
        copy = Kept()
        copy.jobs, copy.queues = dict(self.jobs), dict(self.queues)
        copy.workers, copy.days = set(self.workers), dict(self.days)
        copy.entries = dict(self.entries)
        return copy

    def check(self, store: SQLiteStore) -> None:
        """A store that was just opened has this, and nothing else."""
        contents = store.contents()
        assert {queue.name: queue for queue in contents.queues} == self.queues
        assert sorted(contents.workers) == sorted(self.workers)
        assert {record.day: record for record in contents.days} == self.days
        placed = list(store.placed())
        ids = [job_id for _, _, run in store.queued() for job_id in run] + [row.id for row in placed]
        assert sorted(ids) == sorted(self.jobs)
        assert store.read(ids) == [self.jobs[job_id] for job_id in ids]
        for row in placed:
            job = self.jobs[row.id]
            assert row == (job.id, job.queue, job.priority, job.place, job.position, job.at)
        assert contents.next_id > max(ids, default=0)
        entries = {(kind, key): value for kind in ENTRY_KINDS for key, value in store.entries(kind)}
        assert entries == self.entries


class Twins:
    """A store, and beside it what it has to have: now, and after a crash."""

    def __init__(self, store: SQLiteStore) -> None:
        self.store = store
        self.now, self.acknowledged = Kept(), Kept()
        self.sealed: tuple[Batch, Kept] | None = None
        self._days: dict[str, DayRecord] = {}

    def push(self, *ids: int, at: float | None = None) -> None:
        add(self.store, *ids, at=at)
        for job_id in ids:
            place, enqueued_at = (Place.QUEUED, 1.5) if at is None else (Place.SCHEDULED, None)
            self.now.jobs[job_id] = JobRow(
                job_id, "q", 5, int(place), job_id, at, enqueued_at, b"", "", None, body_of(job_id)
            )

    def place(self, job_id: int, place: Place, failure: bytes = b"") -> None:
        record = PlaceRecord(job_id, int(place), job_id, 2.5, 1.5, failure, "w", 3.5)
        self.store.batch.move(record)
        self.now.jobs[job_id] = JobRow(
            job_id, "q", 5, record.place, job_id, record.at, 1.5, failure, "w", 3.5, body_of(job_id)
        )

    def remove(self, job_id: int) -> None:
        self.store.batch.remove(job_id)
        del self.now.jobs[job_id]

    def queue(self, name: str, record: QueueRecord | None) -> None:
        self.store.batch.queues[name] = record
        self.now.queues.pop(name, None)
        if record is not None:
            self.now.queues[name] = record

    def worker(self, wid: str, alive: bool) -> None:
        self.store.batch.workers[wid] = alive or None
        (self.now.workers.add if alive else self.now.workers.discard)(wid)

    def enter(self, kind: str, key: bytes, value: bytes | None) -> None:
        self.store.batch.enter(kind, key, value)
        self.now.entries.pop((kind, key), None)
        if value is not None:
            self.now.entries[kind, key] = value

    def count(self, day: str, processed: int) -> None:
        self._days[day] = self.now.days[day] = DayRecord(day, processed, 1)

    def flush(self) -> None:
        self.store.batch.flush()
        self.now = Kept()
        self._days.clear()

    def seal(self) -> Batch:
        self.store.batch.days, self._days = list(self._days.values()), {}
        self.sealed = self.store.seal(), self.now.copy()
        return self.sealed[0]

    def write(self, at_once: bool = False) -> None:
        assert self.sealed is not None
        batch, kept = self.sealed
        if not (at_once and self.store.write_at_once(batch)):
            self.store.write(batch)
        self.acknowledged = kept

    def land(self) -> None:
        self.store.written()
        self.sealed = None

    def commit(self) -> None:
        self.seal()
        self.write()
        self.land()

    def check(self) -> None:
        """What is read is what was put in, wherever that is now."""
        ids = range(1, max(self.now.jobs, default=0) + 30)
        assert self.store.read(ids) == [self.now.jobs[job_id] for job_id in ids if job_id in self.now.jobs]

    def begin_anew(self, store: SQLiteStore) -> None:
        """After a crash, or a restart."""
        self.store, self.sealed, self.now = store, None, self.acknowledged.copy()
        self._days.clear()
        self.now.check(store)


number = st.integers(0, 50)
thens = st.sampled_from(["go on", "seal", "write", "write at once"])


class Machine(RuleBasedStateMachine):
    """Changes, batches, time, crashes and restarts in any order."""

    def __init__(self) -> None:
        super().__init__()
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # hundreds of starts sync a file each
        self.directory = Path(tempfile.mkdtemp(prefix="faktory-journal-", dir=in_memory))
        self.clock = FakeClock()
        self.copies = 0
        self.next_id = 1
        self.twins = Twins(self.open(self.directory / "data"))

    def open(self, directory: Path) -> SQLiteStore:
        return SQLiteStore(directory, "os", JOURNAL_SECONDS, self.clock.monotonic)

    @rule(jobs=st.sampled_from([1, 1, 2, 9]), at=st.sampled_from([None, None, 9.5]), then=thens)
    def push(self, jobs: int, at: float | None, then: str) -> None:
        self.twins.push(*range(self.next_id, self.next_id + jobs), at=at)
        self.next_id += jobs
        self.commit(then)

    @precondition(lambda self: self.twins.now.jobs)
    @rule(which=number, to=st.sampled_from(Place), failure=st.sampled_from([b"", b"{}"]), then=thens)
    def place(self, which: int, to: Place, failure: bytes, then: str) -> None:
        jobs = sorted(self.twins.now.jobs)
        self.twins.place(jobs[which % len(jobs)], to, failure)
        self.commit(then)

    @precondition(lambda self: self.twins.now.jobs)
    @rule(which=number, several=st.sampled_from([1, 2, 50]), then=thens)
    def remove(self, which: int, several: int, then: str) -> None:
        jobs = sorted(self.twins.now.jobs)
        for job_id in jobs[which % len(jobs) :][:several]:
            self.twins.remove(job_id)
        self.commit(then)

    @rule(what=st.sampled_from(["a", "b", "worker", "day", "day"]), value=number, then=thens)
    def note(self, what: str, value: int, then: str) -> None:
        if what == "worker":
            self.twins.worker("vw"[value % 2], value % 3 > 0)
        elif what == "day":
            self.twins.count("total", value)
            self.twins.count((FRIDAY, SATURDAY)[value % 2], value)
        else:
            self.twins.queue(what, QueueRecord(what, value % 2 > 0, self.next_id) if value % 3 else None)
        self.commit(then)

    @rule(
        kind=st.sampled_from(ENTRY_KINDS),
        keys=st.sampled_from([[b""], [b"k"], [b"k", b"\x00\xff"], [b"%d" % number for number in range(70)]]),
        value=st.sampled_from([None, None, b"", b"v", b"\x00\xff"]),
        then=thens,
    )
    def enter(self, kind: str, keys: list[bytes], value: bytes | None, then: str) -> None:
        for key in keys:
            self.twins.enter(kind, key, value)
        self.commit(then)

    @rule(then=thens)
    def commit(self, then: str) -> None:
        """Go on at once, seal what is open, or write what is sealed, else what is open."""
        if then == "go on":
            return
        if then == "seal" and self.twins.sealed is None:
            self.twins.seal()
            return
        if self.twins.sealed is None:
            self.twins.seal()
        self.twins.write(at_once=then == "write at once")
        self.everything_is_read()
        self.twins.land()

    @rule(part=st.sampled_from([0.3, 0.6, 1.0]))
    def pass_time(self, part: float) -> None:
        self.clock.advance(JOURNAL_SECONDS * part)

    @rule(then=thens)
    def flush(self, then: str) -> None:
        self.twins.flush()
        self.commit(then)

    @rule(how=st.sampled_from(["crash", "restart"]))
    def lose(self, how: str) -> None:
        directory = self.twins.store.directory if how == "restart" else self.copy()
        self.end()
        self.twins.begin_anew(self.open(directory))
        self.next_id = self.twins.store.contents().next_id

    def copy(self) -> Path:
        self.copies += 1
        return copy_directory(self.twins.store.directory, self.directory / f"copy{self.copies}")

    def look_at_a_copy(self) -> None:
        with opened(self.copy()) as copy:
            self.twins.acknowledged.check(copy)
            assert rows(copy, "journal") == 0

    @invariant()
    def everything_is_read(self) -> None:
        self.twins.check()

    def end(self) -> None:
        self.twins.store.finish()
        self.twins.store.close()

    def teardown(self) -> None:
        try:
            self.look_at_a_copy()
        finally:
            self.end()
            shutil.rmtree(self.directory)


def test_what_is_read_and_what_a_crash_leaves_is_what_a_simple_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a journal that is soon full, and batches that are soon too large for it."""
    monkeypatch.setattr(journal, "MOST_RECORDS", 15)
    monkeypatch.setattr(module, "_SMALL_RECORDS", 8)
    steps = settings(
        max_examples=EXAMPLES or 200,
        stateful_step_count=30,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=steps)
