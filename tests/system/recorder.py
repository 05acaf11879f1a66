"""Everything a process asks of the disk, in order: builds recorder.c and reads what it wrote.

recorder = Recorder.build(tmp_path, tmp_path / "disk")
server.environment.update(recorder.environment)
...
recorder.records()      # every change of a file or a name below that directory, and every sync
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from tests.requirements import missing, require
from tests.system.faults import PROBE

SOURCE = Path(__file__).with_name("recorder.c")
_HEAD = Struct("=QQQQIIII")


class Kind(IntEnum):
    """What was done; the numbers are those of recorder.c."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC_BEGINS = 4
    SYNC_ENDS = 5
    RENAME = 6
    UNLINK = 7
    MKDIR = 8


class Record(NamedTuple):
    """`time` is that of time.monotonic_ns, just before it was done. `number` is an offset, a size, or that of a sync."""

    time: int
    kind: Kind
    inode: int
    number: int
    path: str
    second: str = ""
    data: bytes = b""


class Recorder:
    """The recording of all processes that run with `environment`."""

    def __init__(self, library: Path, log: Path, directory: Path) -> None:
        self._log = log
        self.directory = directory.resolve()
        self.environment = {
            "LD_PRELOAD": str(library),
            "RECORD_DIRECTORY": str(self.directory),
            "RECORD_LOG": str(log),
        }

    @classmethod
    def build(cls, workshop: Path, directory: Path) -> Recorder:
        """Compile into `workshop`, which is not recorded, and try it; skip the running test where that cannot be done."""
        compiler = require("gcc")
        library = workshop / "recorder.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", str(SOURCE), "-o", str(library)]
        subprocess.run([*command, "-ldl", "-lpthread"], check=True)
        probe = cls(library, workshop / "probe.recording", workshop)
        program = [sys.executable, "-c", PROBE, str(workshop / "recorded.db")]
        subprocess.run(program, check=True, env=probe.environment, capture_output=True)
        if not any(r.kind == Kind.SYNC_ENDS and r.path.endswith("recorded.db-wal") for r in probe.records()):
            missing("this interpreter's SQLite does not go through the libc that can be preloaded")
        return cls(library, workshop / "recording", directory)

    def records(self) -> list[Record]:
        """Return everything recorded so far."""
        return list(_read(self._log.read_bytes())) if self._log.exists() else []


def _read(recording: bytes) -> Iterator[Record]:
    at = 0
    while at + _HEAD.size <= len(recording):
        time, inode, number, _, kind, path_size, second_size, data_size = _HEAD.unpack_from(recording, at)
        at += _HEAD.size
        path = recording[at : at + path_size].decode()
        at += path_size
        second = recording[at : at + second_size].decode()
        at += second_size
        data = recording[at : at + data_size]
        at += data_size
        if at > len(recording):
            return  # the process was killed while it wrote this one
        yield Record(time, Kind(kind), inode, number, path, second, data)
