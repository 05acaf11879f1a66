"""Runs twistd, and writes down how long the event loop was held, and by what.

    python -m tests.system.overload.probe FILE -n --pidfile= faktory …

A turn goes from one look at all connections to the next: nobody is served in between. Each that took LEAST_SECONDS or
more is a line of FILE: when it ended (on the monotonic clock, which all processes share), how long it took by the clock
on the wall, how much processor time the reactor's thread and the whole process had meanwhile, how much of it the garbage
collector took, and where the thread was when somebody looked. Time on the wall passes while another process has the
processor, too; only processor time is the server's own work.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

LEAST_SECONDS = 0.005
_LOOKS_SECONDS = 0.015  # into a turn, and again and again until it ends
_DEPTH = 6


class Turn(NamedTuple):
    """One line of the file. Times are in seconds."""

    ended_at: float
    wall: float
    processor: float  # of the reactor's thread
    process: float  # of all threads
    collecting: float
    where: list[str]


def turns(path: Path, since: float = 0.0, until: float = float("inf")) -> Iterator[Turn]:
    """Return what was written down of the turns that ended in that time."""
    for line in path.read_text().splitlines() if path.exists() else ():
        turn = Turn(*json.loads(line))
        if since <= turn.ended_at <= until:
            yield turn


class Probe:
    """Stands where the reactor keeps its epoll object."""

    def __init__(self, epoll: Any, path: Path) -> None:
        self._poll = epoll.poll
        self.register, self.modify, self.unregister = epoll.register, epoll.modify, epoll.unregister
        self._file = path.open("a", buffering=1)
        self._thread = threading.get_ident()
        self._where: list[str] = []
        self._collecting = self._collection_began = 0.0
        self._began = time.monotonic()
        self._processor, self._process = time.thread_time(), time.process_time()
        gc.callbacks.append(self._collected)
        self.looks = True
        threading.Thread(target=self._look, daemon=True).start()

    def poll(self, timeout: float = -1, most: int = -1) -> Any:
        """Look at all connections: a turn ends, and another begins."""
        now, processor, process = time.monotonic(), time.thread_time(), time.process_time()
        wall, mine, ours = now - self._began, processor - self._processor, process - self._process
        if wall >= LEAST_SECONDS:
            turn = Turn(now, wall, mine, ours, self._collecting, self._where)
            self._file.write(json.dumps(turn) + "\n")
        self._began = 0.0
        events = self._poll(timeout, most)
        self._where, self._collecting = [], 0.0
        self._processor, self._process, self._began = time.thread_time(), time.process_time(), time.monotonic()
        return events

    def _collected(self, phase: str, _about: dict[str, int]) -> None:
        if phase == "start":
            self._collection_began = time.monotonic()
        elif threading.get_ident() == self._thread:
            self._collecting += time.monotonic() - self._collection_began

    def _look(self) -> None:
        while True:
            time.sleep(_LOOKS_SECONDS)
            began = self._began
            if began and time.monotonic() - began > _LOOKS_SECONDS:
                frame = sys._current_frames().get(self._thread)
                self._where.append(" < ".join(_functions(frame)))


def _functions(frame: FrameType | None) -> Iterator[str]:
    """Return the innermost functions of this project."""
    left = _DEPTH
    while frame is not None and left:
        path = Path(frame.f_code.co_filename)
        if path.parent.name != "overload" and ("faktory_tw" in path.parts or "web" in path.parts):
            yield f"{path.stem}.{frame.f_code.co_name}:{frame.f_lineno}"
            left -= 1
        elif left == _DEPTH:
            yield f"({path.stem}.{frame.f_code.co_name})"
            left -= 1
        frame = frame.f_back


def main() -> None:
    """Be twistd with a probe in it."""
    path = Path(sys.argv.pop(1))
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it
    from twisted.scripts.twistd import run  # noqa: PLC0415

    if "OVERLOAD_MINUTE" in os.environ:
        from faktory_tw.core import job, workers  # noqa: PLC0415

        job.MINIMUM_RESERVE_SECONDS = workers.GONE_SECONDS = int(os.environ["OVERLOAD_MINUTE"])
    watched: Any = reactor
    watched._poller = Probe(watched._poller, path)
    sys.argv[0] = "twistd"
    run()


if __name__ == "__main__":
    main()
