"""A copy of a database as it was at one moment: one file, complete, checked, on disk.

``VACUUM INTO`` reads one snapshot on a connection of its own, and commits go on beside it. (SQLite's backup in small steps
starts over at every commit and does not end under load; in one step it took longer, 0.44 against 0.32 s for a million
jobs, cannot be interrupted, and copies the pages that are free, too.) What is acknowledged may be in the journal table
only, so the journal of the copy is brought into its tables: the copy is an ordinary database.

The live database is opened read-only, so the copying connection never checkpoints: with SQLite before 3.51.3 only the
writing one may. It is never opened as a plain file, for closing that would drop the locks SQLite has on it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from faktory_tw.storage import database
from faktory_tw.storage.database import free_bytes, is_full, migrate, schema_version
from faktory_tw.storage.journal import Journal
from faktory_tw.storage.rows import write_rows
from faktory_tw.storage.store import Place, StoreError

MIB = 1024 * 1024
Progress = Callable[[int, int], None]  # bytes written, bytes there will be at most
Abandoned = Callable[[], bool]  # whether to give up, asked every few milliseconds

_LOOK_EVERY = 5_000  # steps of SQLite's machine: a few milliseconds
_SYNC_BYTES = MIB  # written between two syncs: one sync of it all held up those of the commits for 90 ms, these for 25
_LOG_PART = 4  # the log is expected to grow by a quarter of the database meanwhile, at most
_PAGE_CACHE_KIB = 8192
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

# What the server would load: not the jobs of removed queues, which are swept away in the background.
_COUNT = (
    "SELECT count(*) FROM jobs"  # nosec B608
    " LEFT JOIN places ON places.id = jobs.id LEFT JOIN queues ON queues.name = jobs.queue"
    f" WHERE coalesce(place, jobs.at IS NOT NULL) <> {int(Place.QUEUED)} OR coalesce(position, jobs.id) >= floor"
)


class BackupError(Exception):
    """A backup cannot be made, read, deleted or restored. The text is for the operator and says what to do."""


class _Watch:
    """Called by SQLite now and then while it copies: syncs what was written, reports, and may end it."""

    def __init__(
        self,
        descriptor: int,
        total_bytes: int,
        room: tuple[set[Path], int],
        abandoned: Abandoned,
        progress: Progress | None,
    ) -> None:
        self.error: BackupError | OSError | None = None
        self._descriptor = descriptor
        self._total_bytes = total_bytes
        self._directories, self._min_free_bytes = room
        self._abandoned = abandoned
        self._progress = progress
        self._synced_bytes = 0

    def __call__(self) -> int:
        """What SQLite wants: 0 to go on. An exception would be lost in it."""
        try:
            self._look()
        except (BackupError, OSError) as error:
            self.error = error
            return 1
        return 0

    def _look(self) -> None:
        if self._abandoned():
            raise BackupError("the backup was abandoned before it was complete, because the server stops")
        for directory in self._directories:
            if free_bytes(directory) < self._min_free_bytes:
                raise BackupError(
                    f"abandoned, because fewer than {_mib(self._min_free_bytes)} are free in {directory} by now;"
                    " make room, or use another disk"
                )
        written = os.fstat(self._descriptor).st_size
        if written - self._synced_bytes >= _SYNC_BYTES:
            getattr(os, "fdatasync", os.fsync)(self._descriptor)
            self._synced_bytes = written
        if self._progress is not None:
            self._progress(min(written, self._total_bytes), self._total_bytes)


def copy_database(
    source: Path,
    target: Path,
    min_free_bytes: int = 0,
    live: bool = False,
    abandoned: Abandoned = lambda: False,
    progress: Progress | None = None,
) -> int:
    """Write what ``source`` holds now to the new file ``target``, mode 0600, check it and sync it.

    Returns the number of jobs in it. ``live``: a server may write to ``source`` meanwhile, whose log grows then. On each
    disk ``min_free_bytes`` are left. Raises BackupError, and leaves no ``target`` then.
    """
    with explained(f"cannot copy {source}"), closing(open_read_only(source)) as connection:
        total_bytes = _content_bytes(connection)
        _check_room(_wanted_room(source.parent, target.parent, total_bytes, live), min_free_bytes)
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        room = ({source.parent, target.parent}, min_free_bytes)
        watch = _Watch(descriptor, total_bytes, room, abandoned, progress)
        try:
            connection.set_progress_handler(watch, _LOOK_EVERY)
            connection.execute("VACUUM INTO ?", (str(target),))
            jobs = _complete(target, watch)
            os.fsync(descriptor)
        except BaseException as error:
            with suppress(OSError):
                target.unlink()
            if watch.error is not None:
                raise watch.error from error
            raise
        finally:
            os.close(descriptor)
    if progress is not None:
        progress(total_bytes, total_bytes)
    return jobs


def examine(path: Path) -> int:
    """Check the database in a file and return the number of jobs in it. Raises BackupError."""
    with explained(f"{path} is damaged", "use another backup"), closing(open_read_only(path)) as connection:
        return _check(connection, path)


def count_jobs(path: Path) -> int:
    """How many jobs are in a database that was not checked: 0 when it cannot be read."""
    try:
        with closing(open_read_only(path)) as connection:
            return int(connection.execute(_COUNT).fetchone()[0])
    except (sqlite3.Error, OSError, BackupError):
        return 0


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection to a database of this server. Raises BackupError, OSError, sqlite3.Error when it is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise BackupError(f"there is no file {path}; look for the name again") from None
    if not stat.S_ISREG(found.st_mode):
        raise BackupError(f"{path} is not a file; name the file of a database")
    if not found.st_size and not _has_log(path):
        raise BackupError(f"{path} is empty; use another backup")
    # A file without a log is not in use. As an immutable one it needs none, and no files appear beside it.
    immutable = "" if _has_log(path) else "&immutable=1"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro{immutable}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=30.0,
    )
    try:
        connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
        _check_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _has_log(path: Path) -> bool:
    return Path(f"{path}-wal").exists()


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    version, newest = int(connection.execute("PRAGMA user_version").fetchone()[0]), schema_version()
    if version > newest:
        raise BackupError(
            f"{path} was written by a newer faktory_tw (schema {version}, this one knows {newest});"
            " install that version to use it"
        )
    if version < 1:
        raise BackupError(f"{path} is a SQLite database, but not one of faktory_tw; use another file")


def _check(connection: sqlite3.Connection, path: Path) -> int:
    """The number of jobs, if everything is as it should be."""
    problems = [str(problem) for (problem,) in connection.execute("PRAGMA integrity_check(3)")]
    if problems != ["ok"]:
        raise BackupError(f"{path} is damaged: {'; '.join(problems)}; use another backup")
    return int(connection.execute(_COUNT).fetchone()[0])


def _complete(target: Path, watch: _Watch) -> int:
    """Bring the schema of a copy up to date and its journal into its tables; check it, and count its jobs."""
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # it is synced when it is complete
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.set_progress_handler(watch, _LOOK_EVERY)
        migrate(connection, target)
        left = Journal(connection, 0.0, float).read()
        connection.execute("BEGIN")
        write_rows(connection.execute, left)
        connection.execute("DELETE FROM journal")
        connection.execute("COMMIT")
        return _check(connection, target)


def _content_bytes(connection: sqlite3.Connection) -> int:
    pages, free, page_bytes = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * page_bytes


def _wanted_room(source: Path, target: Path, copy_bytes: int, live: bool) -> dict[Path, int]:
    """How many bytes may be needed in which directory."""
    if not live:
        return {target: copy_bytes}
    log_bytes = max(database.RESERVE_BYTES, copy_bytes // _LOG_PART)
    if source.stat().st_dev == target.stat().st_dev:
        return {target: copy_bytes + log_bytes}
    return {target: copy_bytes, source: log_bytes}


def _check_room(wanted: dict[Path, int], min_free_bytes: int) -> None:
    for directory, size in wanted.items():
        free = free_bytes(directory)
        if free < size + min_free_bytes:
            raise BackupError(
                f"not enough room: up to {_mib(size)} will be used, {_mib(min_free_bytes)} are to stay free, and"
                f" {directory} has {_mib(free)}; make room, or use another disk"
            )


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f} MiB"


@contextmanager
def explained(what: str, remedy: str = "") -> Iterator[None]:
    """Turn what a disk or a database says into a BackupError that begins with ``what``."""
    hint = f"; {remedy}" if remedy else ""
    try:
        yield
    except BackupError:
        raise
    except StoreError as error:
        raise BackupError(f"{what}: {error}") from error
    except sqlite3.Error as error:
        if is_full(error):
            hint = "; make room, or use another disk"
        raise BackupError(f"{what}: {error}{hint}") from error
    except OSError as error:
        raise BackupError(f"{what}: {error.strerror}: {error.filename or 'while writing'}{_remedy(error)}") from error
    except ValueError as error:  # the journal cannot be decoded
        raise BackupError(f"{what}: its journal cannot be read: {error}{hint}") from error


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "; make it accessible to this user"
    return "; make room, or use another disk" if error.errno in _NO_ROOM else ""
