"""A disk that fails on demand: builds faults.c and speaks with it. What it can do is described there.

faults = Faults.build(tmp_path, server.data_directory)
server.environment.update(faults.environment)
server.start()
faults.set("sync EIO")
...
faults.syncs()      # every sync the server has made, with its times
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.requirements import missing, require

SOURCE = Path(__file__).with_name("faults.c")
PROBE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("PRAGMA synchronous=FULL")
connection.execute("CREATE TABLE probe (x)")
connection.close()
"""


class Event(NamedTuple):
    """A sync, or a write that was made to fail. Times are those of time.monotonic_ns; `error` 0 is success."""

    kind: str
    start: int
    end: int
    error: int
    path: str


class Faults:
    """The interposer for one server. `environment` is to be given to the process."""

    def __init__(self, library: Path, directory: Path, data_directory: Path) -> None:
        self._control = directory / "fault"
        self._log = directory / "fault.log"
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAULT_DIRECTORY": str(data_directory.resolve()),
            "FAULT_LOG": str(self._log),
            "FAULT_CONTROL": str(self._control),
        }

    @classmethod
    def build(cls, directory: Path, data_directory: Path) -> Faults:
        """Compile into `directory` and try it on a database; skip the running test where that cannot be done."""
        compiler = require("gcc")
        library = directory / "faults.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", str(SOURCE), "-o", str(library), "-ldl"]
        subprocess.run(command, check=True)
        probe = cls(library, directory, directory)
        program = [sys.executable, "-c", PROBE, str(directory / "probe.db")]
        subprocess.run(program, check=True, env=probe.environment, capture_output=True)
        if not any(event.path.endswith("probe.db-wal") for event in probe.syncs()):
            missing("this interpreter's SQLite does not go through the libc that can be preloaded")
        probe._log.unlink()
        return cls(library, directory, data_directory)

    def set(self, fault: str) -> None:
        """Let the disk fail from now on, until `clear`."""
        draft = self._control.with_suffix(".draft")
        draft.write_text(fault)
        draft.rename(self._control)

    def clear(self) -> None:
        """Let the disk work again."""
        self._control.unlink(missing_ok=True)

    def events(self) -> list[Event]:
        """Return everything logged so far."""
        if not self._log.exists():
            return []
        lines = [line.split(" ", 4) for line in self._log.read_text().splitlines()]
        return [Event(kind, int(start), int(end), int(error), path) for kind, start, end, error, path in lines]

    def syncs(self) -> list[Event]:
        """Return every sync, the failed ones too, in the order in which they ended."""
        return [event for event in self.events() if event.kind == "sync"]

    def failures(self) -> list[Event]:
        """Return what was made to fail."""
        return [event for event in self.events() if event.error]
