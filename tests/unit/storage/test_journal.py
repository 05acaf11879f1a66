"""The journal: a small batch is on disk before it is in the tables, and nothing is lost on its way there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faktory_tw.storage.journal import JOURNAL_SECONDS, MOST_RECORDS, decode, encode
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import Batch, DayRecord, JobRecord, Place, PlaceRecord, QueueRecord, StoreError
from tests.unit.doubles import FULL, IOERR, FakeClock, Faults, copy_directory, failing_connect
from tests.unit.storage.batches import OpenStore, add, commit, ids_on_disk, move
from tests.unit.storage.test_store_model import FRIDAY, SATURDAY, Kept, Twins, opened, rows

MOST = 2**63 - 1
ODD = "\x00é\u2028\U0001f600"
TABLES = ("journal", "jobs", "places", "queues", "workers", "days", "entries")


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[SQLiteStore]:
    """What it writes is in the journal until the clock of the test says that its time is over."""
    store = SQLiteStore(tmp_path / "data", "os", JOURNAL_SECONDS, clock.monotonic)
    yield store
    store.finish()
    store.close()


@pytest.fixture
def twins(store: SQLiteStore) -> Twins:
    return Twins(store)


def files(store: SQLiteStore) -> list[bytes]:
    return [(store.directory / name).read_bytes() for name in ("faktory.db", "faktory.db-wal")]


def check_after_crash(store: SQLiteStore, kept: Kept) -> None:
    """A store that starts on what a crash would leave now has this in its tables, and can be written."""
    with opened(copy_directory(store.directory, store.directory.with_name("copy"))) as copy:
        kept.check(copy)
        assert rows(copy, "journal") == 0
        add(copy, 999)
        commit(copy)  # its number is that of an old row, were there any
        assert [row.id for row in copy.read([999])] == [999]


def pass_time(twins: Twins, clock: FakeClock) -> None:
    clock.advance(JOURNAL_SECONDS)
    twins.commit()


def story(twins: Twins) -> Iterator[None]:
    """Fills four batches, with midnight between them."""
    twins.push(1, 2, 3)
    twins.queue("q", QueueRecord("q", False, 1))
    twins.worker("old", True)
    yield
    twins.place(1, Place.WORKING)
    twins.remove(2)
    twins.count("total", 1)
    twins.count(FRIDAY, 1)
    yield
    twins.push(4, at=9.5)
    twins.push(5)
    twins.place(1, Place.RETRIES, b"{}")
    twins.remove(3)
    twins.queue("q", QueueRecord("q", True, 1))
    twins.queue("r", QueueRecord("r", False, 4))
    twins.worker("old", False)
    twins.worker("new", True)
    twins.count("total", 4)
    twins.count(FRIDAY, 3)
    twins.count(SATURDAY, 1)
    yield
    twins.remove(1)
    twins.remove(5)
    twins.queue("q", None)
    twins.count("total", 5)
    twins.count(SATURDAY, 2)
    yield


# -- a row ---------------------------------------------------------------------------------------------------------


def batch_of(*kinds: str) -> Batch:
    batch = Batch(7)
    if "jobs" in kinds:
        batch.add(JobRecord(1, "q", 5, None, None, b""))
        batch.add(JobRecord(MOST, ODD, 9, -0.5, 1e300, b'{"a":"\x00\xc3\xa9"}\xff'))
    if "places" in kinds:
        batch.move(PlaceRecord(2, 0, 0, None, None, b"", "", None))
        batch.move(PlaceRecord(MOST, 4, MOST, 1.25, -1.5, b"\x00\xff\xc3\xa9", ODD, 1e-300))
    if "removed" in kinds:
        batch.removed = dict.fromkeys([MOST - 1, 0, 3])
    if "queues" in kinds:
        batch.queues = {"q": QueueRecord("q", False, 0), ODD: QueueRecord(ODD, True, MOST), "gone": None}
    if "workers" in kinds:
        batch.workers = {"w": True, ODD: True, "gone": None}
    if "days" in kinds:
        batch.days = [DayRecord("total", MOST, 0), DayRecord(FRIDAY, 2, 1), DayRecord(ODD, -1, -MOST)]
    if "entries" in kinds:
        batch.enter(ODD, b"\x00\xff", b"\xff\x00")
        batch.enter("kind", b"", b"")
        batch.enter("kind", b"gone", None)
    return batch


KINDS = ("jobs", "places", "removed", "queues", "workers", "days", "entries")


@pytest.mark.parametrize("kinds", [(), *((kind,) for kind in KINDS), KINDS])
def test_a_batch_is_the_same_after_it_was_encoded_and_decoded(kinds: tuple[str, ...]) -> None:
    batch = batch_of(*kinds)
    again = decode(encode(batch))
    for name in ("flushed", *KINDS, "content_bytes"):
        assert getattr(again, name) == getattr(batch, name), name
    assert {type(record) for record in (*again.queues.values(), *again.days)} <= {QueueRecord, DayRecord, type(None)}


def test_what_is_odd_reaches_the_tables_unchanged(store: SQLiteStore) -> None:
    store.batch = batch_of(*KINDS)
    unwritten = store.read([1, MOST])
    commit(store)
    assert rows(store, "journal") == 1
    assert store.read([1, MOST]) == unwritten
    with opened(copy_directory(store.directory, store.directory.with_name("copy"))) as copy:
        assert copy.read([1, MOST]) == unwritten
        contents = copy.contents()
        assert list(copy.entries(ODD)) == [(b"\x00\xff", b"\xff\x00")]
        assert list(copy.entries("kind")) == [(b"", b"")]
    assert sorted(contents.queues) == sorted([QueueRecord("q", False, 0), QueueRecord(ODD, True, MOST)])
    assert sorted(contents.workers) == sorted(["w", ODD])
    assert sorted(contents.days) == sorted(batch_of("days").days)


# -- reading -------------------------------------------------------------------------------------------------------


def test_what_is_in_the_tables_the_journal_the_sealed_and_the_open_batch_is_read_in_every_combination(
    twins: Twins, clock: FakeClock
) -> None:
    """Each job is pushed in one of the four, moved in that or a later one, or not, and removed likewise."""
    never = 4
    lives = [
        (pushed, moved, removed)
        for pushed in range(never)
        for moved in range(pushed, never + 1)
        for removed in range(pushed if moved == never else moved, never + 1)
    ]
    for layer in range(never):
        for job_id, (pushed, moved, removed) in enumerate(lives, 1):
            if pushed == layer:
                twins.push(job_id, at=9.5 if job_id % 2 else None)
            if moved == layer:
                twins.place(job_id, Place.RETRIES, b"{}")
            if removed == layer:
                twins.remove(job_id)
        for step in (twins.seal, twins.write, twins.land)[: 3 if layer < 2 else 3 - layer]:
            twins.check()
            step()
        twins.check()
        if layer == 0:
            pass_time(twins, clock)
    assert rows(twins.store, "journal") == 1


@pytest.mark.parametrize(("sealed", "unsealed"), [(True, False), (False, True), (True, True)])
def test_nothing_older_than_the_latest_flush_is_read(twins: Twins, sealed: bool, unsealed: bool) -> None:
    twins.push(*range(1, 300))
    twins.commit()
    twins.push(301, 302)
    twins.place(1, Place.WORKING)
    twins.commit()
    assert rows(twins.store, "journal") == 1
    for job_id, flushed in ((303, sealed), (304, unsealed)):
        if flushed:
            twins.flush()
            twins.check()
        twins.push(job_id)
        twins.check()
        if job_id == 303:
            twins.seal()
    for step in (twins.write, twins.land):
        step()
        twins.check()


# -- crashes -------------------------------------------------------------------------------------------------------


class Crashes(Faults):
    """Before every statement of a store the directory is copied as a crash would leave it."""

    def __init__(self) -> None:
        super().__init__()
        self.twins: Twins | None = None
        self.copies: list[tuple[Path, Kept]] = []

    def check(self, sql: str) -> None:
        if self.twins is not None:
            directory = self.twins.store.directory
            copy = copy_directory(directory, directory.with_name(f"copy{len(self.copies)}"))
            self.copies.append((copy, self.twins.acknowledged))


@pytest.mark.parametrize("applied", range(5))
def test_a_crash_at_any_statement_leaves_what_was_acknowledged_and_nothing_else(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, applied: int
) -> None:
    """The journal reaches the tables with one of the four batches, or at the end."""
    crashes = Crashes()
    monkeypatch.setattr(sqlite3, "connect", failing_connect(crashes))
    store = SQLiteStore(tmp_path / "data", "os", JOURNAL_SECONDS, clock.monotonic)
    twins = crashes.twins = Twins(store)
    for number, _ in enumerate(story(twins)):
        if number == applied:
            clock.advance(JOURNAL_SECONDS)
        twins.seal()
        twins.write()
        crashes.check("")
        twins.land()
    store.finish()
    crashes.check("")
    crashes.twins = None
    store.close()
    assert len(crashes.copies) > 15
    for directory, kept in crashes.copies:
        with opened(directory) as copy:
            kept.check(copy)
            assert rows(copy, "journal") == 0


# -- the tables ----------------------------------------------------------------------------------------------------


def test_a_small_batch_is_a_row_of_the_journal_and_nothing_else(twins: Twins) -> None:
    for number, _ in enumerate(story(twins), 1):
        twins.commit()
        assert not twins.store.unsealed()
        assert [rows(twins.store, table) for table in TABLES] == [number, 0, 0, 0, 0, 0, 0]
    check_after_crash(twins.store, twins.now)


def test_a_store_may_do_without_a_journal(stores: OpenStore) -> None:
    store = stores(journal_seconds=0.0)
    add(store, 1)
    batch = store.seal()
    assert not store.write_at_once(batch)
    store.write(batch)
    assert (rows(store, "journal"), rows(store, "jobs")) == (0, 1)


@pytest.mark.parametrize("why", ["large", "due", "flushed"])
def test_the_journal_goes_into_the_tables_with_a_batch_that_is_not_for_it_and_is_left_to_the_other_thread(
    twins: Twins, clock: FakeClock, why: str
) -> None:
    for _ in story(twins):
        twins.commit()
    assert rows(twins.store, "journal") == 4
    if why == "flushed":
        twins.flush()
    if why == "due":
        clock.advance(JOURNAL_SECONDS)
    twins.push(*range(100, 301 if why == "large" else 102))
    batch = twins.seal()
    before = files(twins.store)
    assert not twins.store.write_at_once(batch)
    assert files(twins.store) == before
    twins.write()
    twins.land()
    assert rows(twins.store, "journal") == 0
    twins.check()
    twins.now.check(twins.store)
    assert not twins.store.unsealed()


def test_the_journal_goes_into_the_tables_at_the_end(twins: Twins) -> None:
    for _ in story(twins):
        twins.commit()
    twins.store.finish()
    assert rows(twins.store, "journal") == 0
    twins.check()
    twins.now.check(twins.store)


def test_the_journal_takes_no_more_than_it_can_bring_into_the_tables_in_one_go(twins: Twins) -> None:
    for start in range(1, MOST_RECORDS, 200):
        twins.push(*range(start, start + 200))
        twins.commit()
    assert (rows(twins.store, "journal"), rows(twins.store, "jobs")) == (MOST_RECORDS // 200, 0)
    twins.push(MOST_RECORDS + 1)
    twins.commit()
    assert (rows(twins.store, "journal"), rows(twins.store, "jobs")) == (0, MOST_RECORDS + 1)


def test_there_is_something_to_seal_when_the_time_of_the_oldest_batch_is_over(
    store: SQLiteStore, clock: FakeClock
) -> None:
    commit(store)
    clock.advance(JOURNAL_SECONDS)
    assert not store.unsealed()
    for job_id in (1, 2):
        add(store, job_id)
        assert store.unsealed()
        commit(store)
        assert not store.unsealed()
        clock.advance(JOURNAL_SECONDS * 0.6)
    assert store.unsealed()
    assert (rows(store, "journal"), rows(store, "jobs")) == (2, 0)
    commit(store)
    assert (rows(store, "journal"), rows(store, "jobs")) == (0, 2)
    clock.advance(JOURNAL_SECONDS * 5)
    assert not store.unsealed()


def test_a_job_pushed_and_acknowledged_within_the_journal_never_touches_the_table_of_jobs(
    faults: Faults, store: SQLiteStore, clock: FakeClock
) -> None:
    faults.fail("INSERT INTO jobs", IOERR)
    add(store, 1)
    commit(store)
    move(store, 1, Place.WORKING)
    commit(store)
    store.batch.remove(1)
    store.batch.days = [DayRecord("total", 1, 0)]
    commit(store)
    clock.advance(JOURNAL_SECONDS)
    assert len(store._journal.unapplied) == 0
    commit(store)
    assert [rows(store, table) for table in TABLES] == [0, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("occasion", ["none", "due", "large"])
def test_changes_that_cancel_out_all_the_journal_holds_are_on_disk(
    twins: Twins, clock: FakeClock, occasion: str, end: bool
) -> None:
    for start in (1, 101, 201):
        twins.push(*range(start, start + (100 if occasion == "large" else 1)))
        twins.commit()
    if occasion == "due":
        clock.advance(JOURNAL_SECONDS)
    for job_id in list(twins.now.jobs):
        twins.remove(job_id)
    twins.commit()
    if end:
        twins.store.finish()
    check_after_crash(twins.store, twins.now)


# -- damage and faults ---------------------------------------------------------------------------------------------


DAMAGES = ["x''", "x'96'", "x'c1'", "changes || x'00'", "substr(changes, 1, 20)", "'text'", "17", "x'9690909081a1ff'"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_an_error_that_names_the_file_and_stays_as_it_is(store: SQLiteStore, damage: str) -> None:
    for job_id in (1, 2, 3):
        add(store, job_id)
        commit(store)
    directory = copy_directory(store.directory, store.directory.with_name("copy"))
    path = directory / "faktory.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT * FROM journal")
        connection.execute(f"UPDATE journal SET changes = {damage} WHERE batch = 2")
    with pytest.raises(StoreError, match=rf"cannot read the journal in {path}: .*put a backup"):
        SQLiteStore(directory, "os")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (3,)
        connection.execute("REPLACE INTO journal SELECT * FROM kept")
        connection.execute("DROP TABLE kept")
    with opened(directory) as again:
        assert [row.id for row in again.read([1, 2, 3])] == [1, 2, 3]


STATEMENTS = (
    "BEGIN|INSERT INTO jobs|INSERT OR REPLACE INTO places|DELETE FROM jobs|INSERT INTO queues|DELETE FROM workers"
    "|INSERT OR REPLACE INTO days|DELETE FROM journal|COMMIT"
).split("|")


def seal_with_all(twins: Twins, clock: FakeClock) -> Batch:
    """The tables, the journal and the sealed batch hold something for every statement."""
    twins.push(20)
    twins.commit()
    pass_time(twins, clock)
    for _ in story(twins):
        twins.commit()
    twins.remove(20)
    twins.place(4, Place.DEAD, b"{}")
    clock.advance(JOURNAL_SECONDS)
    return twins.seal()


@pytest.mark.parametrize("code", [IOERR, FULL])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_journal_that_cannot_be_brought_into_the_tables_stays_whole(
    faults: Faults, twins: Twins, clock: FakeClock, statement: str, code: int
) -> None:
    batch = seal_with_all(twins, clock)
    faults.fail(statement, code)
    with pytest.raises(StoreError, match=r"^cannot write .*(disk I/O error|database or disk is full)$"):
        twins.store.write(batch)
    faults.heal()
    twins.check()
    twins.store.finish()
    assert [rows(twins.store, table) for table in TABLES] == [4, 1, 0, 0, 0, 0, 0]
    check_after_crash(twins.store, twins.acknowledged)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_full_disk_gives_up_the_reserve_for_what_the_journal_holds(
    faults: Faults, twins: Twins, clock: FakeClock, statement: str
) -> None:
    seal_with_all(twins, clock)
    faults.fail(statement, FULL, times=1)
    twins.write()
    twins.land()
    assert not (twins.store.directory / "reserve").exists()
    assert rows(twins.store, "journal") == 0
    twins.check()
    twins.now.check(twins.store)


def test_an_end_that_cannot_empty_the_journal_leaves_it_to_the_next_start(twins: Twins) -> None:
    for _ in story(twins):
        twins.commit()
    with closing(sqlite3.connect(twins.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        twins.store.finish()
    assert rows(twins.store, "journal") == 4
    check_after_crash(twins.store, twins.acknowledged)
    twins.check()  # reading goes on until the store is closed


# -- in the reactor's thread ---------------------------------------------------------------------------------------


def test_a_small_batch_is_written_at_once(store: SQLiteStore) -> None:
    add(store, 1)
    assert store.write_at_once(store.seal())
    assert ids_on_disk(store, "before") == [1]
    store.written()
    assert ids_on_disk(store, "after") == [1]
    before = files(store)
    assert store.write_at_once(store.seal())
    assert files(store) == before


def test_a_batch_is_left_to_the_other_thread_while_another_program_holds_the_database(twins: Twins) -> None:
    twins.push(1)
    batch = twins.seal()
    with closing(sqlite3.connect(twins.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        before = files(twins.store)
        assert not twins.store.write_at_once(batch)
        assert files(twins.store) == before
    twins.write()
    assert rows(twins.store, "journal") == 1
    check_after_crash(twins.store, twins.acknowledged)


def test_a_batch_is_left_to_the_other_thread_when_the_disk_is_full_which_gives_up_the_reserve(
    faults: Faults, twins: Twins
) -> None:
    twins.push(1)
    batch = twins.seal()
    faults.fail("INSERT INTO journal", FULL, times=2)
    assert not twins.store.write_at_once(batch)
    assert (twins.store.directory / "reserve").exists()
    twins.write()
    assert not (twins.store.directory / "reserve").exists()
    assert rows(twins.store, "journal") == 1
    check_after_crash(twins.store, twins.acknowledged)


@pytest.mark.parametrize("at_once", [False, True])
def test_after_an_error_of_the_disk_nothing_more_is_written(faults: Faults, store: SQLiteStore, at_once: bool) -> None:
    """Not what the journal holds, either: it stays there for the next start."""
    add(store, 1)
    commit(store)
    add(store, 2)
    batch = store.seal()
    faults.fail("INSERT INTO journal", IOERR, times=1)
    with pytest.raises(StoreError, match=r"^cannot write .*faktory\.db: disk I/O error$"):
        (store.write_at_once if at_once else store.write)(batch)
    before = files(store)
    store.finish()
    assert files(store) == before
    assert [row.id for row in store.read([1])] == [1]
    assert rows(store, "journal") == 1
    assert ids_on_disk(store, "copy") == [1]
