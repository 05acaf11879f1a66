"""A store against a simple model, over restarts and crashes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
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
from faktory_tw.storage.store import Batch, DayRecord, JobRow, Place, PlaceRecord, QueueRecord
from tests.unit.doubles import FakeClock, copy_directory
from tests.unit.storage.batches import add, body_of

EXAMPLES = int(os.environ.get("FAKTORY_TW_EXAMPLES", "0"))
ENTRY_KINDS = ("one", "other")
FRIDAY, SATURDAY = "2025-11-21", "2025-11-22"


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
