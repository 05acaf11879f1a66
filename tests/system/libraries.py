"""Client libraries, each as two programs: one that pushes jobs and one that works.

All programs of one kind have the same contract (scripts/faktory_producer.py, scripts/jobs.py), so that a job pushed by
one library can be done by another and one test body fits all. The libraries are used as they were published.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.requirements import missing, require
from tests.system.server import Server, clean_environment, eventually

HERE = Path(__file__).parent
NODE = HERE / "node"
DEADLINE_SECONDS = 60.0

Job = dict[str, Any]


def python_command(name: str) -> list[str]:
    """Return the command of a script for the running interpreter."""
    return [sys.executable, str(HERE / "scripts" / f"{name}.py")]


def node_command(name: str) -> list[str]:
    """Return the command of a Node program, or skip where Node or the library is not installed."""
    node = require("node")
    if not (NODE / "node_modules" / "faktory-worker").is_dir():
        missing("run `npm ci` in tests/system/node to install the Node client")
    return [node, str(NODE / f"{name}.js")]


@dataclass(frozen=True)
class Library:
    """A client library. `exit_status` is what its worker returns after SIGTERM: the libraries do not agree on it."""

    name: str
    command: Callable[[str], list[str]]
    producer: str
    worker: str
    exit_status: int

    def push(self, server: Server, *jobs: Job, bulk: bool = False, url: str | None = None) -> list[str]:
        """Push `jobs` in a process of its own and return their jids; LibraryError with its output if that fails."""
        process = subprocess.run(
            self.command(self.producer),
            input=json.dumps({"jobs": list(jobs), "bulk": bulk}),
            env=clean_environment({"FAKTORY_URL": url or server.url}),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        if process.returncode:
            raise LibraryError(process.stdout + process.stderr)
        return list(json.loads(process.stdout))

    @contextmanager
    def working(self, server: Server) -> Iterator[Worker]:
        """Run the library's worker inside the `with`; it is killed at the end if the test has not stopped it."""
        worker = Worker(self, server)
        try:
            yield worker
        finally:
            worker.close()


class LibraryError(Exception):
    """A program that uses a library failed; the text is all that it printed."""


class Worker:
    """A running worker process. Its output goes to a file, so that nothing is lost and nothing has to be read along."""

    def __init__(self, library: Library, server: Server) -> None:
        self.client_library = library
        # Before anything is opened, because this may skip the test.
        command = library.command(library.worker)
        self._output = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - it is open for as long as the process runs
        self._process = subprocess.Popen(
            command,
            env=clean_environment({"FAKTORY_URL": server.url}),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            # A group of its own: a worker may have children, and `close` has to end them with it.
            start_new_session=True,
        )

    def output(self) -> str:
        """Everything the process has printed so far."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode("utf-8", "replace")

    def done(self) -> list[list[Any]]:
        """The arguments of the jobs done so far, in the order in which they were done."""
        return [json.loads(line) for line in re.findall(r"^done (.*)$", self.output(), re.MULTILINE)]

    def wait_until_done(self, *expected: list[Any]) -> None:
        """Wait until jobs with these arguments are done, each exactly once and no others, in whatever order."""
        wanted = sorted(map(json.dumps, expected))

        def complete() -> bool:
            assert self._process.poll() is None, f"the worker ended by itself:\n{self.output()}"
            return len(self.done()) >= len(wanted)

        eventually(complete, f"{len(wanted)} jobs done; the worker's output:\n{self.output()}", DEADLINE_SECONDS)
        assert sorted(map(json.dumps, self.done())) == wanted

    def stop(self) -> int:
        """Ask the worker to end with SIGTERM; return its exit status."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker does not end; its output:\n{self.output()}") from None

    def close(self) -> None:
        """Kill what is left of the process and its children."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(DEADLINE_SECONDS)
        self._output.close()


FAKTORY = Library("faktory", python_command, "faktory_producer", "faktory_worker", exit_status=1)
PYFAKTORY = Library("pyfaktory", python_command, "pyfaktory_producer", "pyfaktory_worker", exit_status=1)
NODE_CLIENT = Library("faktory-worker", node_command, "producer", "worker", exit_status=0)
