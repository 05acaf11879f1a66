"""A wall clock that a test sets: builds wall.c and moves it. What it does is described there.

wall = Wall.build(tmp_path)
server.environment.update(wall.environment)
server.start()
wall.step(-3600.0)      # an hour back, while the server runs
wall.time()             # what the server takes for the time
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests.requirements import missing, require

SOURCE = Path(__file__).with_name("wall.c")
DAY = 86_400.0
PROBE = """
import datetime, sqlite3, threading, time
began, wall = time.monotonic(), time.time()
threading.Condition().acquire() and threading.Event().wait(0.05)
waited = time.monotonic() - began
[told] = sqlite3.connect(":memory:").execute("SELECT unixepoch('now')").fetchone()
print(wall, datetime.datetime.now().timestamp(), told, began, waited)
"""


class Wall:
    """The clock of one server, and of those that follow it. `environment` is to be given to the process."""

    def __init__(self, library: Path, path: Path) -> None:
        path.write_bytes(bytes(8))
        descriptor = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(descriptor, 8)
        os.close(descriptor)
        self.ahead = 0.0  # seconds, of the clock of this machine
        self.environment = {"LD_PRELOAD": str(library), "WALL_FILE": str(path)}

    @classmethod
    def build(cls, directory: Path) -> Wall:
        """Compile into `directory` and try it; skip the running test where that cannot be done."""
        library = directory / "wall.so"
        command = [
            require("gcc"),
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Werror",
            str(SOURCE),
            "-o",
            str(library),
            "-ldl",
        ]
        subprocess.run(command, check=True)
        wall = cls(library, directory / "wall.ahead")
        wall.set(wall.time() + 1000 * DAY)
        if complaint := wall._complaint():
            missing(f"the wall clock of this interpreter cannot be preloaded: {complaint}")
        wall.set(time.time())
        return wall

    def time(self) -> float:
        """What it shows, in seconds since the epoch."""
        return time.time() + self.ahead

    def step(self, seconds: float) -> None:
        """Set it forward by so much, or back."""
        self._put(self.ahead + seconds)

    def set(self, moment: float) -> None:
        """Let it show a moment, in seconds since the epoch."""
        self._put(moment - time.time())

    def _put(self, ahead: float) -> None:
        self._map[:] = struct.pack("=q", int(ahead * 1e6))
        self.ahead = ahead

    def _complaint(self) -> str:
        """What a process of Python sees otherwise than it ought to."""
        before, earliest = self.time(), time.monotonic()
        command = [sys.executable, "-c", PROBE]
        ended = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, **self.environment}
        )
        *walls, monotonic, waited = map(float, ended.stdout.split())
        if not all(before - 2 <= seen <= self.time() + 2 for seen in walls):
            return f"it shows {walls}, not {before}"
        if not earliest <= monotonic <= time.monotonic():
            return "the monotonic clock was moved, too"
        return "" if waited < 5 else f"0.05 s became {waited:.1f}"
