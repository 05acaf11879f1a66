"""Opening the data directory: one server at a time, the SQLite connection, the schema's versions, the reserve file."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from faktory_tw.storage.store import StoreError, remedy, unreadable

if TYPE_CHECKING:  # Python 3.14 has it elsewhere only
    from importlib.abc import Traversable

LOG_PAGES = 4096  # of the write-ahead log between two checkpoints: 16 MiB
_FRAME_BYTES = 4096 + 24  # a page in the log
RESERVE_BYTES = LOG_PAGES * _FRAME_BYTES * 3 // 2  # more than the log: a checkpoint must find room for all of it
_RESERVE_RETRY_SECONDS = 5.0
_PAGE_CACHE_KIB = 8192
_BLOCK_BYTES = 1024 * 1024


class DirectoryLock:
    """Holds a data directory for this process; the kernel gives it free when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot use the data directory {directory}: {error.strerror}; "
                "make it writable for this user, or name another one with -d"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreError(
                f"the data directory {directory} is in use by another server (process {owner or 'unknown'}); "
                "stop that one, or name another directory with -d"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.close(self._descriptor)


class Reserve:
    """A file that is given up when the disk is full, so that finishing jobs never fails for want of a few pages."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "reserve"
        self.held = self._was_left()
        self._next_try = 0.0
        self.restore()

    def _was_left(self) -> bool:
        """Whether an earlier server left the whole file. It stays, then, for there may be no room to take it anew."""
        try:
            if self._path.stat().st_size >= RESERVE_BYTES:
                return True
            self._path.unlink()
        except OSError:  # in general: there is none
            pass
        return False

    def wanted(self) -> bool:
        """Whether the space was given up and it is time to try to take it again."""
        return not self.held and time.monotonic() >= self._next_try

    def restore(self) -> None:
        """Take the space again if it was given up and there is room; called between writes."""
        if not self.wanted():
            return
        self._next_try = time.monotonic() + _RESERVE_RETRY_SECONDS
        try:
            if free_bytes(self._path.parent) < 2 * RESERVE_BYTES:
                return
            with open(self._path, "wb", opener=_for_nobody_else) as file:
                _allocate(file, RESERVE_BYTES)
            self.held = True
        except OSError:  # no room, a quota, a limit: the server runs without
            self._path.unlink(missing_ok=True)

    def give_up(self) -> bool:
        """Free the space. False when there was none to free."""
        held, self.held = self.held, False
        self._path.unlink(missing_ok=True)
        return held


def _for_nobody_else(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _allocate(file: BinaryIO, size: int) -> None:
    allocate = getattr(os, "posix_fallocate", None)  # macOS has none
    if allocate is not None:
        allocate(file.fileno(), 0, size)
        return
    file.writelines(bytes(min(_BLOCK_BYTES, size - start)) for start in range(0, size, _BLOCK_BYTES))


def sync_directory(directory: Path) -> None:
    """Put the names of a directory on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(directory: Path) -> int:
    """The room on the disk for this user."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """A connection in WAL mode without automatic checkpoints. ``synchronous`` is SQLite's word, FULL or NORMAL."""
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=400, timeout=30.0
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        os.chmod(path, 0o600)
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        raise StoreError(f"cannot open {path}: {error}; if the file is damaged, {remedy(path)}") from error
    return connection


def _schema_files() -> list[Traversable]:
    files = resources.files("faktory_tw.storage").joinpath("schema").iterdir()
    return sorted((file for file in files if file.name.endswith(".sql")), key=lambda file: file.name)


def schema_version() -> int:
    """The newest version of the schema."""
    return len(_schema_files())


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema to the newest version, one numbered file a step, each in a transaction of its own."""
    files = _schema_files()
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(files):
            raise StoreError(
                f"{path} was written by a newer faktory_tw (schema {version}, this one knows {len(files)}); "
                "install that version again"
            )
        for number, file in enumerate(files[version:], version + 1):
            connection.executescript(
                f"BEGIN;\n{file.read_text(encoding='utf-8')}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
    except sqlite3.Error as error:
        raise unreadable(path, error) from error


def _log_bytes() -> int:
    return (LOG_PAGES + LOG_PAGES // 4) * _FRAME_BYTES


def log_is_long(path: Path) -> bool:
    """Whether the log is longer than it is made."""
    return os.stat(f"{path}-wal").st_size > _log_bytes()


def limit_log(connection: sqlite3.Connection, cut: bool) -> None:
    """Whether the commit that begins the log anew cuts it to its full length, because a reader made it longer."""
    connection.execute(f"PRAGMA journal_size_limit = {_log_bytes() if cut else -1}")


def lengthen_log(path: Path) -> None:
    """Give the write-ahead log its full length now, in zeros, which SQLite takes for no frames.

    A commit that makes the log longer has the file system write its own journal, too, and takes half as long again;
    the log is used from its beginning after every checkpoint, so that is needed once. A disk without room is left be.
    """
    wanted = _log_bytes()
    try:
        with open(f"{path}-wal", "r+b") as log:
            log.seek(0, os.SEEK_END)
            if wanted > log.tell() and free_bytes(path.parent) > 8 * wanted:
                log.write(bytes(wanted - log.tell()))
                log.flush()
                os.fsync(log.fileno())
    except OSError as error:
        raise StoreError(f"cannot write {path}-wal: {error.strerror}") from error


def is_full(error: sqlite3.Error) -> bool:
    """Whether a write failed because the disk is full. Python 3.10 has only the text to go by."""
    code = getattr(error, "sqlite_errorcode", None)
    return code == 13 or "full" in str(error)


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another program holds the database. The codes of the reasons are in the second byte."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF == 5 if code is not None else "database is locked" in str(error)
