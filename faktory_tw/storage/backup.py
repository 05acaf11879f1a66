"""Backups: taken while the server runs, checked, listed, deleted, and restored while it does not.

A backup is one file, ``faktory-20261121T230000Z.db``, an ordinary database of this server. Beside it is
``faktory-20261121T230000Z.db.json`` with what is known of it, its SHA-256 above all. A backup that has lost this file can
be used all the same; it counts as not verified then.

A backup is written under a hidden name and renamed when it is complete, checked and on disk, so that what is listed is
whole. One at a time is written into a directory.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from faktory_tw.storage.database import DirectoryLock, sync_directory
from faktory_tw.storage.replacement import finish_replacement, give_to_owner, place_for_new, replace_database
from faktory_tw.storage.snapshot import (
    MIB,
    Abandoned,
    BackupError,
    Progress,
    copy_database,
    count_jobs,
    examine,
    explained,
)
from faktory_tw.times import LAST_SECOND, parse_rfc3339, rfc3339

__all__ = [
    "Backup",
    "BackupError",
    "Restored",
    "create",
    "find",
    "lacks_room",
    "list_backups",
    "purge",
    "restore",
    "verify",
]

LATEST = "latest"
UNKNOWN_JOBS = -1
MIN_FREE_BYTES = 64 * MIB
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"faktory-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(-\d+)?\.db", re.ASCII)
_FACTS = ".json"
_PART = ".part"
_NO_ROOM = "; make room, or use another disk"  # ends the errors that more room would have prevented


@dataclass(frozen=True)
class Backup:
    """A backup as it is listed. ``verified``: it was checked when it was taken, or just now.

    ``jobs`` is UNKNOWN_JOBS when the file beside it does not tell: to count them takes as long as to read them.
    ``number`` grows with every backup of a directory, also when the clock is set back; the newest has the highest.
    """

    name: str
    path: Path
    taken_at: float
    size_bytes: int
    jobs: int
    verified: bool
    number: int = 0

    def told(self) -> dict[str, Any]:
        """As it is told in JSON."""
        return {
            "name": self.name,
            "taken_at": rfc3339(self.taken_at),
            "size_bytes": self.size_bytes,
            "jobs": self.jobs,
            "verified": self.verified,
        }


@dataclass(frozen=True)
class Restored:
    """``kept_aside`` is the directory with what was there before; it is missing when there was nothing."""

    kept_aside: Path
    jobs: int


_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Facts(msgspec.Struct):
    """What is written beside a backup. One that says what no backup can have counts for nothing, as one that is missing."""

    number: _Count
    taken_at: Annotated[float, Meta(ge=0, le=LAST_SECOND)]
    size_bytes: _Count
    jobs: _Count
    sha256: str


# -- taking --------------------------------------------------------------------------------------------------------


def create(
    database: Path,
    directory: Path,
    now: float,
    min_free_bytes: int = MIN_FREE_BYTES,
    abandoned: Abandoned = lambda: False,
    progress: Progress | None = None,
) -> Backup:
    """Take a backup of the database, which may be in use, into ``directory``, which is made when it is missing.

    ``now`` is the wall time for its name; ``min_free_bytes`` are left free on the disks; ``abandoned`` is asked every few
    milliseconds whether to give up. Blocks until all is on disk. Raises BackupError, and leaves nothing then.
    """
    with explained(f"cannot make a backup in {directory}"):
        _make_directory(directory)
        with _only_one(directory):
            _delete_leftovers(directory)
            path = _unused_name(directory, now)
            part = directory / f".{path.name}{_PART}"
            try:
                jobs = copy_database(database, part, min_free_bytes, True, abandoned, progress)
                number = 1 + max((backup.number for backup in list_backups(directory)), default=0)
                facts = _Facts(number, now, part.stat().st_size, jobs, _digest(part, abandoned))
                _write_facts(path, facts)
                give_to_owner(part, directory)
                os.rename(part, path)
                sync_directory(directory)
            except BaseException:
                _delete(path, Path(f"{path}{_FACTS}"))
                _delete_leftovers(directory)
                raise
    return Backup(path.name, path, now, facts.size_bytes, jobs, True, number)


def _make_directory(directory: Path) -> None:
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True)
        give_to_owner(directory, directory.parent)
        sync_directory(directory.parent)


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Hold the directory for writing. The kernel gives it free when the process ends, however it ends."""
    path = directory / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip()
            raise BackupError(
                f"another backup into {directory} is under way (process {owner or 'unknown'}); wait until it is done"
            ) from None
        give_to_owner(path, directory)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _stamp(seconds: float) -> str:
    return time.strftime(_STAMP, time.gmtime(seconds))


def _unused_name(directory: Path, now: float) -> Path:
    path, number = directory / f"faktory-{_stamp(now)}.db", 1
    while path.exists():
        number += 1
        path = directory / f"faktory-{_stamp(now)}-{number}.db"
    return path


def _write_facts(path: Path, facts: _Facts) -> None:
    """Put what is known of a backup beside the place where it will be."""
    part = path.parent / f".{path.name}{_FACTS}{_PART}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(msgspec.json.encode(facts) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    give_to_owner(part, path.parent)
    os.rename(part, f"{path}{_FACTS}")


def _digest(path: Path, abandoned: Abandoned = lambda: False) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(MIB):
            if abandoned():
                raise BackupError("the backup was abandoned before it was complete, because the server stops")
            digest.update(block)
    return digest.hexdigest()


def lacks_room(error: BackupError) -> bool:
    """Whether a backup failed because a disk is full, or would have been."""
    return str(error).endswith(_NO_ROOM)


# -- looking -------------------------------------------------------------------------------------------------------


def list_backups(directory: Path) -> list[Backup]:
    """The backups of a directory, the newest first; none when it does not exist. Does not open them.

    What is no file, cannot be looked at, or goes meanwhile is not listed. Raises BackupError.
    """
    with explained(f"cannot list the backups in {directory}"):
        try:
            names = [name for name in os.listdir(directory) if _NAME.fullmatch(name)]
        except FileNotFoundError:
            return []
    found: list[Backup] = []
    for name in names:
        with suppress(OSError):
            path = directory / name
            if stat.S_ISREG(path.stat().st_mode):
                found.append(_look_at(path))
    known = [backup for backup in found if backup.number]
    placed = [backup if backup.number else _between(backup, known) for backup in found]
    return sorted(placed, key=lambda backup: (backup.number, backup.taken_at, backup.name), reverse=True)


def _between(backup: Backup, known: list[Backup]) -> Backup:
    """Give a backup without facts the place that its time says."""
    return replace(backup, number=max((one.number for one in known if one.taken_at <= backup.taken_at), default=0))


def _look_at(path: Path) -> Backup:
    size = path.stat().st_size
    facts = _facts_of(path)
    if facts is None:
        return Backup(path.name, path, _taken_at(path), size, UNKNOWN_JOBS, False)
    return Backup(path.name, path, facts.taken_at, size, facts.jobs, facts.size_bytes == size, facts.number)


def _facts_of(path: Path) -> _Facts | None:
    try:
        return msgspec.json.decode(Path(f"{path}{_FACTS}").read_bytes(), type=_Facts)
    except (OSError, ValueError):
        return None


def _taken_at(path: Path) -> float:
    """The time in the name of a backup; of any other file the one when it was written."""
    match = _NAME.fullmatch(path.name)
    if match is not None:
        with suppress(ValueError):
            return parse_rfc3339("{}-{}-{}T{}:{}:{}Z".format(*match.group(1, 2, 3, 4, 5, 6)))
    return path.stat().st_mtime


def find(directory: Path, name: str) -> Backup:
    """The backup called ``name``: ``latest``, the name of one in the directory, or the path of a file.

    It is not checked, but its jobs are counted if need be: 0 when it cannot be read. Raises BackupError.
    """
    found = list_backups(directory)
    if name == LATEST:
        if not found:
            raise BackupError(f"there is no backup in {directory}; take one, or name the file of one")
        return _counted(found[0])
    for backup in found:
        if name in (backup.name, backup.name.removesuffix(".db")):
            return _counted(backup)
    path = Path(name).expanduser()
    if name and path.is_file():
        with explained(f"cannot read {path}"):
            return _counted(_look_at(path.absolute()))
    held = f"; there are {', '.join(backup.name for backup in found[:3])}" if found else ""
    raise BackupError(f"there is no backup {name!r} in {directory}, and no such file{held}")


def _counted(backup: Backup) -> Backup:
    return replace(backup, jobs=count_jobs(backup.path)) if backup.jobs == UNKNOWN_JOBS else backup


def verify(path: Path) -> Backup:
    """Read all of a backup and check it. Raises BackupError."""
    jobs = examine(path)
    with explained(f"cannot read {path}"):
        backup, facts = _look_at(path), _facts_of(path)
        if facts is not None and facts.sha256 != _digest(path):
            raise BackupError(
                f"{path} is not what was written: it was damaged, or changed by another program; use another backup, or"
                f" delete {path}{_FACTS} if the change was meant"
            )
    return replace(backup, jobs=jobs, verified=True)


# -- deleting ------------------------------------------------------------------------------------------------------


def purge(directory: Path, keep: int) -> list[Backup]:
    """Delete all but the newest ``keep`` backups, and what a crash left; return those that were deleted.

    One is kept whatever ``keep`` says, and so is the newest verified one when none of those kept is. Raises BackupError.
    """
    with explained(f"cannot delete old backups in {directory}"):
        if not directory.is_dir():
            return []
        found = list_backups(directory)
        kept, old = found[: max(keep, 1)], found[max(keep, 1) :]
        if not any(backup.verified for backup in kept):
            last_good = next((backup for backup in old if backup.verified), None)
            old = [backup for backup in old if backup is not last_good]
        for backup in old:
            backup.path.unlink(missing_ok=True)
            Path(f"{backup.path}{_FACTS}").unlink(missing_ok=True)
        with suppress(BackupError), _only_one(directory):  # what is being written is no leftover
            _delete_leftovers(directory)
        sync_directory(directory)
    return old


def _delete_leftovers(directory: Path) -> None:
    """What a crash may leave: files that were being written, and facts without a backup."""
    _delete(*directory.glob(f".faktory-*{_PART}*"))
    for facts in directory.glob(f"faktory-*.db{_FACTS}"):
        if _NAME.fullmatch(facts.name.removesuffix(_FACTS)) and not facts.with_suffix("").exists():
            _delete(facts)


def _delete(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()


# -- restoring -----------------------------------------------------------------------------------------------------


def restore(data_directory: Path, backup: Path, now: float, progress: Progress | None = None) -> Restored:
    """Put a backup, or the file of any database of this server, in the place of the database of a data directory.

    The server must not run. What is replaced is kept in a directory ``replaced-<time>``. The backup is checked, copied
    and synced before anything else is touched; from then on a crash is made good by the next start. Raises BackupError.
    """
    backup = backup.absolute()
    if not backup.is_file():
        raise BackupError(f"there is no file {backup}; look for the name again")
    with explained("cannot restore"), _locked(data_directory):
        finish_replacement(data_directory)
        verify(backup)
        copy = place_for_new(data_directory)
        jobs = copy_database(backup, copy, progress=progress)
        give_to_owner(copy, data_directory)
        return Restored(replace_database(data_directory, _stamp(now)), jobs)


@contextmanager
def _locked(data_directory: Path) -> Iterator[None]:
    lock = DirectoryLock(data_directory)
    try:
        give_to_owner(data_directory / "lock", data_directory)
        yield
    finally:
        lock.release()
