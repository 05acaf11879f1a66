"""Thousands of connections of one kind, in a process of their own.

    with Crowd(server, "fetching", 2000, queue="work") as crowd:
        crowd.wait("served", 2000)
        ...
    crowd.told      # what became of it, see Told

The process says each time it has something to say what its members have done so far; what each kind does is in members.py.
A connection that ends is opened again, as libraries do it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any

from tests.system.server import Server, clean_environment

PATIENCE_SECONDS = 300.0


class Crowd:
    """`count` connections of a kind to `server`, from the beginning of a `with` block to its end.

    `told` has counts by name, as the members said them last: `served` are connections that have said HELLO and were
    answered, `connected` how often that was. Of connections that ended, `lost` had been served, and `late` were not greeted
    in time, which happens where thousands of clients share two processors. `wrong` is what should not be.
    """

    def __init__(self, server: Server, kind: str, count: int, **options: Any) -> None:
        self.count = count
        self.told: dict[str, Any] = {}
        self._options = {
            "kind": kind,
            "count": count,
            "port": server.port,
            "password": server.password,
            **options,
        }
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Crowd:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.overload.members", json.dumps(self._options)],
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process is not None
        assert self._reader is not None
        if kind is None:
            self.say("end")
            self._reader.join(PATIENCE_SECONDS)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    @property
    def wrong(self) -> list[str]:
        """What members were answered that they should not have been."""
        return list(self.told.get("wrong", []))

    def die(self) -> None:
        """All of them are gone at once, with what they hold."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def say(self, word: str) -> None:
        """Tell the members something, `now` or `end`."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def wait(self, name: str, least: int, seconds: float = PATIENCE_SECONDS) -> float:
        """Wait until so much is told under a name; return the monotonic time. AssertionError after so many seconds."""
        deadline = time.monotonic() + seconds
        shown = 0.0
        while self.told.get(name, 0) < least:
            assert time.monotonic() < deadline, f"{self.told.get(name, 0)} {name} of {least}: {self.told}"
            assert self._process is not None
            assert self._process.poll() is None, f"the members have left: {self.told}"
            if time.monotonic() - shown > 1:
                shown = time.monotonic()
                sys.stderr.write(f"\r{self.told.get(name, 0):>10,} of {least:,} {name} ")
            time.sleep(0.01)
        sys.stderr.write("\r" + " " * 60 + "\r")
        return float(self.told["at"])

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.told = json.loads(line)
