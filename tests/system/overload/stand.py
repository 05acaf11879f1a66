"""What the parts share: a server with a probe in it, a polite client that takes the time, and the rows of the table.

with Stand("due", Options(scale=0.01)) as stand:
    with stand.phase("a million jobs become due", count=1_000_000) as phase:
        ...                       # the polite client pushes all the while
    stand.rows, stand.wrong       # what was measured, and what was not as it has to be
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.bench.million import resident_mib
from tests.system.fwp import Client, ConnectionEnded, Reply, job
from tests.system.overload.probe import Turn, turns
from tests.system.server import Server

PAUSE_SECONDS = 0.002  # between two PUSHes of the polite client
BULK = 5000
POLITE = "polite"  # the queue of its jobs
_TICKS = os.sysconf("SC_CLK_TCK")
_LONG_SECONDS = 0.05


class Options(NamedTuple):
    """`scale` times the full number of everything; `deep` is the full number of jobs in the deep queue."""

    scale: float = 1.0
    deep: int = 1_000_000
    directory: str | None = None

    def of(self, count: int, least: int = 1) -> int:
        """Return the scaled number."""
        return max(int(count * self.scale), least)


class Row(NamedTuple):
    """What was measured in one situation. `milliseconds` has a time for each PUSH of the polite client."""

    situation: str
    number: int
    seconds: float
    milliseconds: list[float]
    turns: list[Turn]
    mib: float
    processor: float  # seconds, of all threads of the server

    def text(self) -> str:
        """A row of the table."""
        ordered = sorted(self.milliseconds) or [float("nan")]
        p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
        processor = max((turn.processor for turn in self.turns), default=0.0) * 1000
        wall = max((turn.wall for turn in self.turns), default=0.0) * 1000
        long = sum(turn.processor > _LONG_SECONDS for turn in self.turns)
        return (
            f"{self.situation:<52}{self.number:>10,}{self.seconds:>8.1f}{statistics.median(ordered):>8.2f}{p99:>8.1f}"
            f"{ordered[-1]:>8.0f}{processor:>9.0f}{wall:>7.0f}{long:>6}{self.mib:>8,.0f}"
        )


HEAD = (
    f"{'situation':<52}{'count':>10}{'s':>8}{'PUSH 50':>8}{'99 %':>8}{'max ms':>8}{'turn ms':>9}{'wall':>7}{'>50':>6}"
    f"{'MiB':>8}"
)


class Phase:
    """What is being measured; the figures are there when the block has ended."""

    def __init__(self) -> None:
        self.seconds: float | None = None  # if not the whole block is what took the time
        self.began = time.monotonic()


class Polite:
    """Pushes one small job after the other, and takes the time of each. It stays when it is not served."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self.times: list[tuple[float, float]] = []  # when it was answered, and how long that took
        self.pushed = 0
        self._connect = connect
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._push, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """No more."""
        self._ended.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "a PUSH was not answered in two minutes"

    def _push(self) -> None:
        client: Client | None = None
        while not self._ended.is_set():
            try:
                if client is None:
                    client = self._connect()
                began = time.monotonic()
                client.push(job("polite", queue=POLITE))
                ended = time.monotonic()
            except (OSError, ConnectionEnded):
                if client is not None:
                    client.close()
                    client = None
                time.sleep(0.05)
                continue
            self.pushed += 1
            self.times.append((ended, (ended - began) * 1000))
            time.sleep(PAUSE_SECONDS)
        if client is not None:
            client.close()


class Stand:
    """A server on an empty directory of its own, started, and what is measured of it."""

    def __init__(
        self, options: Options, password: str | None = None, environment: dict[str, str] | None = None
    ) -> None:
        self.options = options
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.wrong: list[str] = []
        self._temporary = tempfile.TemporaryDirectory(dir=options.directory)
        path = Path(self._temporary.name)
        self._turns = path / "turns"
        command = [sys.executable, "-m", "tests.system.overload.probe", str(self._turns), "-n", "--pidfile=", "faktory"]
        self.server = Server(path, password=password, command=command, environment=environment)
        (self.server.config_directory / "conf.d").mkdir()
        (self.server.config_directory / "conf.d" / "overload.toml").write_text("[faktory]\nmax_connections = 12000\n")
        self._polite: Polite | None = None

    def __enter__(self) -> Stand:
        self.server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if self._polite is not None:
                self._polite.end()
            if kind is None:
                self._stop()
        finally:
            self.server.close()
            self._temporary.cleanup()

    def _stop(self) -> None:
        if (status := self.server.stop(120)) != 0:
            self.wrong.append(f"the server ended with status {status}: {self.server.log()[-2000:]}")
        for line in self.server.log().splitlines():
            if '"level":"error"' in line or '"level":"critical"' in line or "Traceback" in line:
                self.wrong.append(f"in the log: {line[:1000]}")

    @property
    def pid(self) -> int:
        """The process of the server."""
        assert self.server.process is not None
        return self.server.process.pid

    def resident(self) -> float:
        """Return the resident memory of the server, in MiB."""
        return resident_mib(self.pid)

    def processor(self) -> float:
        """Return the processor time that the server has taken, in seconds; none if it does not run."""
        if not self.server.running():
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def push_politely(self) -> Polite:
        """Have the polite client push from now on, until the end."""
        if self._polite is None:
            self._polite = Polite(lambda: self.server.client(timeout=120))
        return self._polite

    def check(self, right: bool, otherwise: str) -> None:
        """What has to be true."""
        if not right:
            self.wrong.append(otherwise)
            sys.stderr.write(f"WRONG: {otherwise}\n")

    def same(self, what: str, found: object, expected: object) -> None:
        """These have to be equal."""
        self.check(found == expected, f"{what}: {found!r}, not {expected!r}")

    def note(self, text: str) -> None:
        """A figure that has no place in the table."""
        self.notes.append(text)
        sys.stderr.write(f"  {text}\n")

    @contextmanager
    def phase(self, situation: str, count: int = 1) -> Iterator[Phase]:
        """Measure what happens in a block."""
        sys.stderr.write(f"{situation} ...\n")
        phase, processor = Phase(), self.processor()
        yield phase
        ended = time.monotonic()
        times = list(self._polite.times) if self._polite is not None else []
        row = Row(
            situation,
            count,
            ended - phase.began if phase.seconds is None else phase.seconds,
            [took for at, took in times if phase.began <= at <= ended],
            list(turns(self._turns, phase.began, ended)),
            self.resident(),
            self.processor() - processor,
        )
        self.rows.append(row)
        sys.stderr.write(f"{HEAD}\n{row.text()}\n")
        for turn in sorted(row.turns, key=lambda turn: -turn.processor)[:3]:
            if turn.processor > _LONG_SECONDS / 2:
                sys.stderr.write(
                    f"    {turn.processor * 1000:.0f} ms (wall {turn.wall * 1000:.0f}, all threads"
                    f" {turn.process * 1000:.0f}, collector {turn.collecting * 1000:.0f}): {turn.where}\n"
                )

    # -- what many parts do --------------------------------------------------------------------------------------------

    def fill(self, jobs: int, queue: Callable[[int], str], name: str, **fields: object) -> None:
        """Push so many jobs; `queue` says which queue the job of that number is for."""
        with self.server.client(timeout=120) as client:
            for first in range(0, jobs, BULK):
                part = range(first, min(first + BULK, jobs))
                line = json.dumps(
                    [
                        {
                            "jid": f"{name}-{number:09d}",
                            "jobtype": "O",
                            "queue": queue(number),
                            "args": [number],
                            **fields,
                        }
                        for number in part
                    ],
                    separators=(",", ":"),
                )
                reply = client.command("PUSHB " + line)
                self.check(reply == ("bulk", b"{}"), f"PUSHB was answered {str(reply)[:200]}")
                sys.stderr.write(f"\r{part.stop:>12,} of {jobs:,} pushed ")
        sys.stderr.write("\r" + " " * 50 + "\r")

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the sets, and under `queued` that of all queues but the polite one."""
        with self.server.client(timeout=120) as client:
            faktory = client.info()["faktory"]
        queued = sum(size for name, size in faktory["queues"].items() if name != POLITE)
        return {**faktory["sets"], "queued": queued, "queues": faktory["total_queues"]}

    def eventually(self, what: str, condition: Callable[[], bool], seconds: float = 300.0, pause: float = 0.2) -> float:
        """Wait until something is true; return the monotonic time then."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.check(False, f"not within {seconds:.0f} s: {what}")
                break
            time.sleep(pause)
        return time.monotonic()


def pipelined(client: Client, lines: Sequence[str]) -> Iterable[Reply]:
    """Send these lines together, and return their replies."""
    client.send_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return [client.receive() for _ in lines]
