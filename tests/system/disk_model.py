"""What a disk may hold after the power was cut, given what was asked of it and which syncs had ended.

`Disk` is fed the records of a recording (recorder.py), one after the other; at any moment `image` says what a machine that
comes up again could find. The rules are those that POSIX leaves a file system free to choose from, with two that
journaling file systems keep as well:

*   What a file held when a sync of it began is there once that sync has ended. Any later write may be there or not, in
    any combination, and may be torn at a multiple of 512 bytes of the file, the unit that a disk writes as a whole.
*   A name (made, renamed, deleted) is on disk once a sync of its directory that began later has ended. To sync the file
    does not do. (That most file systems are kinder is nothing to rely on.)
*   Names change in order: of what was asked of all directories the first so many changes are there, none of the others.
*   To rename is one change, also from one directory into another.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.system.recorder import Kind, Record

SECTOR, PAGE = 512, 4096


class Change(NamedTuple):
    """A write, or with `data` None a truncation to `at`. `turn` counts the records."""

    turn: int
    at: int
    data: bytes | None


@dataclass(eq=False)
class File:
    """`durable` is there whatever happens; each of `pending` may be."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def settle(self, turn: int) -> None:
        """Everything asked before `turn` is on disk."""
        while self.pending and self.pending[0].turn < turn:
            apply(self.durable, self.pending.pop(0))


class Rename(NamedTuple):
    """A change of names: `file` appears at `new` (None for a directory), what was at `old` goes."""

    turn: int
    old: str
    new: str
    file: File | None = None


class Chance:
    """What becomes of everything that was not synced: nothing is there, all of it, or what `rng` says."""

    def __init__(self, rng: random.Random | None = None, everything: bool = False) -> None:
        self._rng = rng
        self._everything = everything
        self._odds = 1.0 if rng is None else rng.choice((0.05, 0.5, 0.5, 0.95))
        self._unit = 0 if rng is None else rng.choice((0, SECTOR, SECTOR, PAGE))

    def names(self, count: int) -> int:
        """How many of so many changes of names are there."""
        if self._rng is None:
            return count if self._everything else 0
        return self._rng.choice((0, count, self._rng.randint(0, count)))

    def pieces(self, change: Change) -> Iterable[Change]:
        """What is there of a write, or of a truncation."""
        if self._rng is None:
            return (change,) if self._everything else ()
        if change.data is None or not self._unit:
            return (change,) if self._rng.random() < self._odds else ()
        return [piece for piece in cut(change, self._unit) if self._rng.random() < self._odds]


class Disk:
    """See the module's docstring. With `lying` it forgets that it was synced, as a disk with a volatile cache may."""

    def __init__(self, directory: Path, lying: bool = False) -> None:
        self.directory = str(directory)
        self._lying = lying
        self._turn = 0
        self._files: dict[int, File] = {}
        self._names: dict[str, File | None] = {}  # as the processes see them; None is a directory
        self._durable_names: dict[str, File | None] = {}
        self._renames: list[Rename] = []
        self._syncs: dict[int, int] = {}

    def feed(self, record: Record) -> None:
        """This is done now."""
        self._turn += 1
        path = record.path.removesuffix(" (deleted)")
        if record.kind == Kind.CREATE:
            self._files[record.inode] = File()
            self._rename("", path, self._files[record.inode])
        elif record.kind == Kind.MKDIR:
            self._rename("", path, None)
        elif record.kind == Kind.RENAME:
            self._rename(path, record.second, self._names.get(path))
        elif record.kind == Kind.UNLINK:
            self._rename(path, "", None)
        elif record.kind == Kind.SYNC_BEGINS:
            self._syncs[record.number] = self._turn
        elif record.kind == Kind.SYNC_ENDS:
            self._synced(record.inode, path, self._syncs.pop(record.number))
        elif record.inode in self._files:
            data = record.data if record.kind == Kind.WRITE else None
            self._files[record.inode].pending.append(Change(self._turn, record.number, data))

    def image(self, chance: Chance) -> dict[str, bytes | None]:
        """Return what may be there: the contents by path below the directory; None is a directory."""
        names = dict(self._durable_names)
        for rename in self._renames[: chance.names(len(self._renames))]:
            apply_rename(names, rename)
        return {path: None if file is None else contents(file, chance) for path, file in names.items()}

    def _rename(self, old: str, new: str, file: File | None) -> None:
        rename = Rename(self._turn, old, new, file)
        self._renames.append(rename)
        apply_rename(self._names, rename)

    def _synced(self, inode: int, path: str, turn: int) -> None:
        if self._lying:
            return
        if inode in self._files:
            self._files[inode].settle(turn)
            return
        touching = [
            n for n, r in enumerate(self._renames) if r.turn < turn and path in map(os.path.dirname, (r.old, r.new))
        ]
        for rename in self._renames[: touching[-1] + 1] if touching else ():
            apply_rename(self._durable_names, rename)
            self._renames.remove(rename)


def apply(data: bytearray, change: Change) -> None:
    """Make the change to the contents of a file; what lies between its end and a write is zeros."""
    end = change.at if change.data is None else change.at + len(change.data)
    if change.data is None:
        del data[end:]
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    if change.data is not None:
        data[change.at : end] = change.data


def apply_rename(names: dict[str, File | None], rename: Rename) -> None:
    """Make the change to the names of all files."""
    if rename.old:
        names.pop(rename.old, None)
    if rename.new:
        names[rename.new] = rename.file


def contents(file: File, chance: Chance) -> bytes:
    """Return what may be in a file."""
    data = bytearray(file.durable)
    for change in file.pending:
        for piece in chance.pieces(change):
            apply(data, piece)
    return bytes(data)


def cut(change: Change, unit: int) -> Iterable[Change]:
    """Return a write as the pieces that lie in one unit of the file each."""
    data = change.data or b""
    start = 0
    while start < len(data):
        end = min((change.at + start) // unit * unit + unit - change.at, len(data))
        yield Change(change.turn, change.at + start, data[start:end])
        start = end


def write_image(image: dict[str, bytes | None], old: str, new: Path) -> None:
    """Make an image of `old` a directory again: `new`, which must not exist."""
    new.mkdir(mode=0o700)
    for path in sorted(image):
        target, data = new / os.path.relpath(path, old), image[path]
        if data is None:
            target.mkdir(mode=0o700, exist_ok=True)
        else:
            write_sparse(target, data)


def write_sparse(path: Path, data: bytes) -> None:
    """Write a file without its pages of zeros."""
    with path.open("wb") as file:
        file.truncate(len(data))
        for start in range(0, len(data), 1 << 16):
            block = data[start : start + (1 << 16)]
            if block.count(0) != len(block):
                file.seek(start)
                file.write(block)
