"""Damage that SQLite would take for a database without jobs, or for the end of its log: looked for before it is opened.

SQLite begins anew with an empty file, deletes the log that lies beside one, and ends the log at the first part of it that
is not what it was written to be. That is how a log ends whose last write was interrupted by a power cut; but when the
middle of the log is damaged, everything behind it would be gone without a word. So:

*   A log without its database is no beginning, nor is a log's index without the log, nor a database without anything where
    a server has run.
*   The first sector of the log is synced before what follows it, so it is never half written.
*   Every commit is synced before the next one begins (with ``durability`` ``commit``). A power cut leaves at most one that
    cannot be read. When more of them lie behind the end of the log, what is there is damage. (Three, not two: what one
    power cut left may still lie there at the next.)

What this cannot see: damage that reaches from the last commits to the end of the log, and damage of the database itself
behind its first page, which SQLite finds when it reads there, if what it finds there makes no sense to it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from struct import Struct
from urllib.parse import quote

from faktory_tw.storage.store import StoreError, remedy

_HEADER = Struct(">8I")  # magic, version, page size, checkpoint, two salts, two checksums
_FRAME = Struct(">6I")  # page, size of the database after a commit or 0, two salts, two checksums
_MAGIC = 0x377F0682
_INDEX_FRAMES = Struct("=I")
_INDEX_FRAMES_AT = 16
_FIRST_SECTOR = 512
_VERSION = slice(60, 64)  # of the schema, in the database
_MOST_UNREADABLE_COMMITS = 2
_FRAMES_AT_ONCE = 256
_BLOCK_BYTES = 1 << 20
_CORRUPT, _NOT_A_DATABASE = 11, 26  # SQLite's codes


def unwritable(path: Path, error: sqlite3.Error) -> StoreError:
    """A change cannot be written. A damaged database is not for want of room, and trying again does not help."""
    code = getattr(error, "sqlite_errorcode", None)  # Python 3.10 has only the text to go by
    is_damaged = code & 0xFF in (_CORRUPT, _NOT_A_DATABASE) if code is not None else "malformed" in str(error)
    return StoreError(f"cannot write {path}: {error}{f'; {remedy(path)}' if is_damaged else ''}")


def check_files(path: Path, every_commit_is_synced: bool) -> None:
    """Look at the files of a database that nobody has open. Raises StoreError."""
    try:
        _check_presence(path)
        with suppress(FileNotFoundError), open(f"{path}-wal", "rb") as log:
            _check_log(path, log.fileno(), every_commit_is_synced)
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}; make its files and their directory accessible for this user"
        ) from error


def _check_presence(path: Path) -> None:
    size = _size(path)
    if size and size > 0:
        if _size(Path(f"{path}-shm")) is not None and _size(Path(f"{path}-wal")) is None:
            raise StoreError(
                f"{path}-wal is missing, and what was written last with it: its index, {path}-shm, is there. Bring it back,"
                f" or {remedy(path)} (or, if nothing is missed, delete the index)"
            )
        if not _holds_tables(path) and not _log_begun(path) and _was_used(path.parent):
            raise _empty(path, "holds nothing, nor does its log")
        return
    what = "is missing" if size is None else "is empty"
    if _log_begun(path):
        raise StoreError(f"{path} {what}, but its log is there: bring it back, or {remedy(path)}")
    if size == 0 and _was_used(path.parent):
        raise _empty(path, what)


def _empty(path: Path, what: str) -> StoreError:
    return StoreError(f"{path} {what}: {remedy(path)} (or, to begin without any jobs, delete that file)")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _log_begun(path: Path) -> bool:
    try:
        with open(f"{path}-wal", "rb") as log:
            return any(log.read(_HEADER.size))
    except FileNotFoundError:
        return False


def _holds_tables(path: Path) -> bool:
    """Whether the version of the schema has reached the database; at first it is in the log.

    Of a file that is no database SQLite says so.
    """
    with open(path, "rb") as file:
        head = file.read(_FIRST_SECTOR)
    return not head.startswith(b"SQLite format 3\0") or any(head[_VERSION])


def _was_used(directory: Path) -> bool:
    """Whether a server has run here: the first thing it does when its database is complete is to make a reserve."""
    return (directory / "reserve").exists() or any(directory.glob("backups/faktory-*.db"))


def _check_log(path: Path, log: int, every_commit_is_synced: bool) -> None:
    size = os.fstat(log).st_size
    first = os.pread(log, _FIRST_SECTOR, 0)
    if size < _HEADER.size:
        return
    if not any(first[: _HEADER.size]):
        if _holds_anything(log):
            raise _damaged(path, 0)
        return
    magic, _, page_bytes, _, *salts, sum1, sum2 = _HEADER.unpack_from(first)
    if magic & ~1 != _MAGIC or (sum1, sum2) != _checksum(first[:24], magic) or page_bytes < _FIRST_SECTOR:
        raise _damaged(path, 0)
    if not every_commit_is_synced:
        return
    frames = _readable_frames(path)
    if frames is None:
        return  # whoever opens it next says why
    commits = 0
    for page, after, *frame_salts in _frames(log, frames, page_bytes):
        commits += bool(page and after and frame_salts == salts)
        if commits > _MOST_UNREADABLE_COMMITS:
            raise _damaged(path, _HEADER.size + frames * (_FRAME.size + page_bytes))


def _holds_anything(log: int) -> bool:
    """Whether there is anything but the zeros with which a log is made."""
    at = 0
    while block := os.pread(log, _BLOCK_BYTES, at):
        if block.count(0) != len(block):
            return True
        at += len(block)
    return False


def _damaged(path: Path, at: int) -> StoreError:
    return StoreError(
        f"{path}-wal is damaged at byte {at}, and what was written last, behind it, cannot be read: {remedy(path)} (or, to"
        f" go on without what is behind it, cut the log there: truncate -s {at} {path}-wal)"
    )


def _checksum(data: bytes, magic: int) -> tuple[int, int]:
    """That of SQLite's log."""
    words = Struct((">" if magic & 1 else "<") + "I" * (len(data) // 4)).unpack(data)
    one = two = 0
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def _readable_frames(path: Path) -> int | None:
    """How many frames of the log SQLite can read: it says so in the index, which it makes anew when nobody has it open.

    The connection is read-only, so it neither empties nor deletes the log when it is closed.
    """
    uri = f"file:{quote(str(path))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute("PRAGMA user_version").fetchone()
            with open(f"{path}-shm", "rb") as file:
                file.seek(_INDEX_FRAMES_AT)
                return int(_INDEX_FRAMES.unpack(file.read(_INDEX_FRAMES.size))[0])
    except sqlite3.Error:
        return None


def _frames(log: int, start: int, page_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """Page, size after the commit, and salts of what lies in the log from the frame ``start`` on."""
    width = _FRAME.size + page_bytes
    at = _HEADER.size + start * width
    while block := os.pread(log, _FRAMES_AT_ONCE * width, at):
        for begin in range(0, len(block) - width + 1, width):
            yield _FRAME.unpack_from(block, begin)[:4]
        at += _FRAMES_AT_ONCE * width
