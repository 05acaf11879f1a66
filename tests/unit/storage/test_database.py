"""Opening a data directory: one server at a time, versions of the schema, damage, the reserve file."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from faktory_tw.storage import database
from faktory_tw.storage.database import DirectoryLock, Reserve, connect, is_full, is_locked, migrate
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import StoreError
from tests.unit.doubles import FakeClock, Faults

SCHEMAS = [
    file for file in resources.files("faktory_tw.storage").joinpath("schema").iterdir() if file.name.endswith(".sql")
]


def open_and_close(directory: Path) -> None:
    store = SQLiteStore(directory, "os")
    store.finish()
    store.close()


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def set_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


# -- one server a directory ----------------------------------------------------------------------------------------


def test_a_second_store_on_one_directory_is_refused_with_the_process_that_has_it(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "data", "os")
    told = rf"^the data directory .*data is in use by another server \(process {os.getpid()}\); stop that one, or name"
    for _ in range(2):
        with pytest.raises(StoreError, match=told):
            SQLiteStore(tmp_path / "data", "os")
    store.finish()
    store.close()
    open_and_close(tmp_path / "data")


def test_a_store_keeps_its_directory_until_it_is_closed(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "data", "os")
    store.finish()
    with pytest.raises(StoreError, match="in use"):
        SQLiteStore(tmp_path / "data", "os")
    store.close()
    open_and_close(tmp_path / "data")


def test_a_lock_file_that_a_dead_process_left_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4711\n")
    lock = DirectoryLock(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_directory_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"^cannot use the data directory .*file/data: Not a directory; make it writable"
    ):
        SQLiteStore(tmp_path / "file" / "data", "os")


def test_the_directory_is_made_and_is_the_owners_alone(tmp_path: Path) -> None:
    open_and_close(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    for name in ("faktory.db", "lock"):
        assert stat.S_IMODE((tmp_path / "a" / "b" / name).stat().st_mode) == 0o600


# -- the schema ----------------------------------------------------------------------------------------------------


def test_a_new_database_has_the_newest_schema(tmp_path: Path) -> None:
    open_and_close(tmp_path)
    assert version_of(tmp_path / "faktory.db") == len(SCHEMAS) >= 1
    open_and_close(tmp_path)
    assert version_of(tmp_path / "faktory.db") == len(SCHEMAS)


def test_the_files_of_the_schema_are_numbered_without_a_gap() -> None:
    assert sorted(file.name for file in SCHEMAS) == [f"{number:03}.sql" for number in range(1, len(SCHEMAS) + 1)]


def test_a_schema_newer_than_known_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    open_and_close(tmp_path)
    newer = len(SCHEMAS) + 1
    set_version(tmp_path / "faktory.db", newer)
    told = (
        rf"faktory.db was written by a newer faktory_tw \(schema {newer}, this one knows {len(SCHEMAS)}\); install that"
    )
    for _ in range(2):
        with pytest.raises(StoreError, match=told):
            SQLiteStore(tmp_path, "os")
    assert version_of(tmp_path / "faktory.db") == newer


def test_a_database_of_schema_2_and_what_its_journal_holds_are_taken_over(tmp_path: Path) -> None:
    connection = connect(tmp_path / "faktory.db", "NORMAL")
    for file in sorted(SCHEMAS, key=lambda file: file.name)[:2]:
        connection.executescript(file.read_text(encoding="utf-8"))
    connection.execute("INSERT INTO queues VALUES ('q', 0, 1)")
    connection.execute("INSERT INTO jobs VALUES (1, 'q', 5, NULL, 1.5, '{}')")
    changes = [[[2, "q", 5, None, 1.5, b'{"n":2}']], [], [], {}, {}, []]
    connection.execute("INSERT INTO journal VALUES (1, ?)", (msgspec.msgpack.encode(changes),))
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    store = SQLiteStore(tmp_path, "os", journal_seconds=0)
    assert [(row.id, row.body) for row in store.read([1, 2])] == [(1, b"{}"), (2, b'{"n":2}')]
    assert list(store.entries("kind")) == []
    store.batch.enter("kind", b"key", b"value")
    store.write(store.seal())
    store.written()
    assert list(store.entries("kind")) == [(b"key", b"value")]
    store.finish()
    store.close()
    assert version_of(tmp_path / "faktory.db") == len(SCHEMAS)


def test_a_migration_that_cannot_be_carried_out_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "faktory.db"
    connection = connect(path, "NORMAL")
    connection.execute("CREATE TABLE workers (other TEXT)")
    with pytest.raises(StoreError, match=r"^cannot read .*already exists; if it is damaged, put a backup of it"):
        migrate(connection, path)
    connection.close()
    assert version_of(path) == 0
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("workers",)]
    connection.close()


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_a_damaged_file_is_an_error_that_speaks_of_a_backup(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "faktory.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"^cannot (open|read) .*faktory\.db: .*put a backup of it in its place"):
        SQLiteStore(tmp_path, "os")
    lock = DirectoryLock(tmp_path)
    lock.release()


@pytest.mark.parametrize("damaged", [False, True])
def test_a_store_that_cannot_be_opened_leaves_no_connection_open(tmp_path: Path, faults: Faults, damaged: bool) -> None:
    """Newer Pythons warn of each that is."""
    if damaged:
        (tmp_path / "faktory.db").write_bytes(b"this is no database" * 100)
    else:
        open_and_close(tmp_path)
        set_version(tmp_path / "faktory.db", len(SCHEMAS) + 1)
    with pytest.raises(StoreError):
        SQLiteStore(tmp_path, "os")
    for connection in faults.connections:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_no_checkpoint_runs_inside_a_commit(tmp_path: Path) -> None:
    connection = connect(tmp_path / "faktory.db", "FULL")
    settings = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "wal_autocheckpoint")]
    connection.close()
    assert settings == ["wal", 0]


# -- the reserve ---------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A disk with ``free`` bytes, whatever the real one has."""
    disk = SimpleNamespace(free=10**9)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=disk.free // 4096, f_frsize=4096))
    return disk


@pytest.mark.usefixtures("disk")
def test_the_reserve_is_for_nobody_else(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        Reserve(tmp_path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "reserve").stat().st_mode) == 0o600


@pytest.mark.usefixtures("disk")
def test_the_reserve_takes_its_space_and_gives_it_once(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path)
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= database.RESERVE_BYTES
    assert reserve.give_up()
    assert not (tmp_path / "reserve").exists()
    assert not reserve.give_up()


def test_the_reserve_is_taken_again_when_there_is_room_but_not_at_every_turn(
    tmp_path: Path, disk: SimpleNamespace, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "time", clock)
    reserve = Reserve(tmp_path)
    assert not reserve.wanted()
    clock.advance(3600)
    assert not reserve.wanted()
    reserve.give_up()
    disk.free = database.RESERVE_BYTES
    assert reserve.wanted()
    reserve.restore()
    assert not (tmp_path / "reserve").exists()
    assert not reserve.wanted()
    disk.free = 10 * database.RESERVE_BYTES
    reserve.restore()
    assert not (tmp_path / "reserve").exists()
    clock.advance(60)
    assert reserve.wanted()
    reserve.restore()
    assert (tmp_path / "reserve").exists()
    assert reserve.give_up()


def test_a_nearly_full_disk_is_not_filled_up_by_the_reserve(tmp_path: Path, disk: SimpleNamespace) -> None:
    disk.free = 2 * database.RESERVE_BYTES - 4096
    reserve = Reserve(tmp_path)
    assert not (tmp_path / "reserve").exists()
    assert not reserve.give_up()


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_server_runs_without_a_reserve_where_none_can_be_had(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", _failing(code))
    reserve = Reserve(tmp_path)
    assert not (tmp_path / "reserve").exists()
    assert not reserve.give_up()


@pytest.mark.usefixtures("disk")
def test_the_reserve_is_taken_in_zeros_where_the_system_cannot_allocate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.setattr(database, "RESERVE_BYTES", 2_500_000)
    reserve = Reserve(tmp_path)
    assert (tmp_path / "reserve").read_bytes() == bytes(2_500_000)
    assert reserve.give_up()


def test_a_reserve_that_an_earlier_server_left_is_held_however_little_room_there_is(
    tmp_path: Path, disk: SimpleNamespace
) -> None:
    Reserve(tmp_path)
    disk.free = 0
    reserve = Reserve(tmp_path)
    assert not reserve.wanted()
    assert reserve.give_up()
    assert not (tmp_path / "reserve").exists()


def test_a_part_of_a_reserve_is_no_reserve(tmp_path: Path, disk: SimpleNamespace) -> None:
    (tmp_path / "reserve").write_bytes(b"x" * (database.RESERVE_BYTES - 1))
    disk.free = 0
    reserve = Reserve(tmp_path)
    assert not (tmp_path / "reserve").exists()
    assert not reserve.give_up()


def test_the_reserve_is_larger_than_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the small files of the unit tests
    assert 1.5 * database.LOG_PAGES * (4096 + 24) == database.RESERVE_BYTES


def _failing(code: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize(
    ("text", "code", "full"),
    [
        ("database or disk is full", 13, True),
        ("database or disk is full", None, True),
        ("disk I/O error", 10, False),
        ("disk I/O error", None, False),
        ("database is locked", 5, False),
    ],
)
def test_a_full_disk_is_told_from_other_faults(text: str, code: int | None, full: bool) -> None:
    error = sqlite3.OperationalError(text)
    if code is not None:
        error.sqlite_errorcode = code  # type: ignore[attr-defined,unused-ignore]
    assert is_full(error) is full


@pytest.mark.parametrize(
    ("text", "code", "locked"),
    [
        ("database is locked", 5, True),
        ("database is locked", None, True),
        ("database is locked", 5 | 2 << 8, True),
        ("database or disk is full", 13, False),
        ("disk I/O error", 5 << 8 | 10, False),
        ("disk I/O error", None, False),
    ],
)
def test_a_locked_database_is_told_from_other_faults(text: str, code: int | None, locked: bool) -> None:
    error = sqlite3.OperationalError(text)
    if code is not None:
        error.sqlite_errorcode = code  # type: ignore[attr-defined,unused-ignore]
    assert is_locked(error) is locked
