"""The server as `twistd` runs it, with a thread that looks at it from inside and tells what nobody can see from outside.

    python -m tests.bench.long_run.inside DIRECTORY LEAK SECONDS -n --pidfile= faktory …

Every so many seconds DIRECTORY/inside.json is written anew: how many blocks of memory and objects Python has, and how many
addresses are remembered for their passwords. DIRECTORY/types.jsonl gets a line every TYPES_SECONDS, with how many
objects there are of each type; two of its lines, compared, name what grows.

LEAK is ``none``, or something that is made to grow on purpose, to see that it is found: ``memory`` (4 KiB a second),
``objects`` (20 a second), ``handles`` (one in 5 seconds), or ``all`` of these.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.scripts.twistd import run

from faktory_tw.server import Server

TYPES_SECONDS = 300.0
LEAKS = ("none", "memory", "objects", "handles", "all")
_TYPES = 60
_kept: list[Any] = []
_handles: list[int] = []
_began = time.monotonic()


class Inspector:
    """Looks every so many seconds. ``server`` is set when there is one."""

    def __init__(self, directory: Path, leak: str, seconds: float) -> None:
        self.server: Server | None = None
        self._directory = directory
        self._leak = leak
        self._seconds = seconds

    def start(self) -> None:
        """Begin, in a thread of its own."""
        threading.Thread(target=self._run, name="inspector", daemon=True).start()

    def _run(self) -> None:
        types_at = time.monotonic() + 60.0
        while True:
            time.sleep(self._seconds)
            waste(self._leak, self._seconds)
            self._write("inside.json", self._look())
            if time.monotonic() > types_at:
                types_at += TYPES_SECONDS
                with open(self._directory / "types.jsonl", "a", encoding="utf-8") as file:
                    file.write(json.dumps(types()) + "\n")

    def _look(self) -> dict[str, float]:
        found: dict[str, float] = {"blocks": sys.getallocatedblocks(), "objects": len(gc.get_objects())}
        if self.server is not None:
            attempts = (self.server.attempts, self.server.web_attempts)
            found["addresses"] = sum(len(each._known) + len(each._records) for each in attempts)
        return found

    def _write(self, name: str, value: object) -> None:
        path = self._directory / name
        part = path.with_suffix(".part")
        part.write_text(json.dumps(value))
        part.replace(path)


def types() -> dict[str, int]:
    """The most frequent types of the objects that the garbage collector knows."""
    counts = Counter(map(type, gc.get_objects()))
    return {f"{kind.__module__}.{kind.__qualname__}": count for kind, count in counts.most_common(_TYPES)}


def waste(leak: str, seconds: float) -> None:
    """Let something grow for so many seconds."""
    if leak in ("memory", "all"):
        _kept.append(os.urandom(int(4096 * seconds)))
    if leak in ("objects", "all"):
        _kept.extend([None] for _ in range(int(20 * seconds)))
    if leak in ("handles", "all") and time.monotonic() > _began + 5 * len(_handles):
        _handles.append(os.open(os.devnull, os.O_RDONLY))


def main() -> None:
    """Be twistd."""
    directory, leak, seconds, *arguments = sys.argv[1:]
    inspector = Inspector(Path(directory), leak, float(seconds))
    original = Server.__init__

    def initialize(self: Server, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        inspector.server = self

    Server.__init__ = initialize  # type: ignore[method-assign]
    inspector.start()
    sys.argv = ["twistd", *arguments]
    run()


if __name__ == "__main__":
    main()
