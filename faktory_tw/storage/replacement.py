"""Putting another database in the place of the one that is there, so that a crash leaves the one or the other.

A database is more than one file: a log of another database beside it would be taken for its own. So the new one is
written in full under a name of its own, and the renaming of that file to ``faktory.db.restored-<time>`` decides. What
follows can be done again from any point, and is: by the next start of the server, or the next restore.

    1. faktory.db, its log and the index of the log move to the directory ``replaced-<time>``
    2. ``faktory.db.restored-<time>`` becomes ``faktory.db``
"""

from __future__ import annotations

import os
from pathlib import Path

from faktory_tw.storage.database import sync_directory

DATABASE = "faktory.db"
_REPLACED = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal")
_DECIDED = f"{DATABASE}.restored-"
_UNFINISHED = f"{DATABASE}.restoring"


def place_for_new(directory: Path) -> Path:
    """Where the new database is to be written. What an interrupted restore left there is deleted. Raises OSError."""
    new = directory / _UNFINISHED
    for leftover in directory.glob(f"{_UNFINISHED}*"):
        leftover.unlink()
    return new


def replace_database(directory: Path, stamp: str) -> Path:
    """Put the database at :func:`place_for_new`, which is on disk in full, in the place of the one in use.

    ``stamp`` is the time for names. Returns the directory that has what was replaced; it is missing when there was
    nothing. The caller holds the lock of the data directory. Raises OSError.
    """
    unused, number = stamp, 1
    while (directory / f"replaced-{unused}").exists():
        number += 1
        unused = f"{stamp}-{number}"
    os.rename(directory / _UNFINISHED, directory / f"{_DECIDED}{unused}")
    sync_directory(directory)
    finish_replacement(directory)
    return directory / f"replaced-{unused}"


def finish_replacement(directory: Path) -> None:
    """Do what is left to do of a replacement that was decided. The caller holds the lock. Raises OSError."""
    for new in sorted(directory.glob(f"{_DECIDED}*")):
        aside = directory / f"replaced-{new.name.removeprefix(_DECIDED)}"
        _put_aside(directory, aside)
        os.rename(new, directory / DATABASE)
        sync_directory(directory)


def _put_aside(directory: Path, aside: Path) -> None:
    found = [directory / name for name in _REPLACED if (directory / name).exists()]
    if found and not aside.exists():
        aside.mkdir(mode=0o700)
        give_to_owner(aside, directory)
    for file in found:
        os.rename(file, aside / file.name)
    if aside.exists():
        sync_directory(aside)
    sync_directory(directory)  # before the new database takes its name: the old log must not be found beside it


def give_to_owner(path: Path, directory: Path) -> None:
    """Make ``path`` belong to whom ``directory`` belongs: root restores what another user's server is to open."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
