"""A backlog of a million jobs: how long it takes to push, what it costs in memory and on disk, how long a restart takes.

    python -m tests.bench.million [--jobs 1000000] [--connections 4] [--directory DIR]

It starts a server of its own on an empty directory and pushes jobs of 200 bytes with PUSHB, 1000 a line, in a mix of
priorities. Then it restarts it twice, by SIGTERM and by SIGKILL, and fetches before, between and after: the jobs must
come by priority, first in first out for every connection that pushed them, and go on where the last process stopped.

The client shares the machine's cores with the server, so the push rate is that of both.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.system.fwp import Client
from tests.system.server import Server

BULK = 1000
JOB_BYTES = 200
QUEUE = "million"
PRIORITIES = 9
FETCHES = 1000


def jid_of(connection: int, sequence: int) -> str:
    """Return the jid that tells, when it comes back, who pushed it and when."""
    return f"c{connection:03d}-{sequence:09d}"


def priority_of(sequence: int) -> int:
    """Return the priority of a connection's job: 1 to 9 in turn."""
    return 1 + sequence % PRIORITIES


def line_of(connection: int, first: int, count: int) -> bytes:
    """Return a PUSHB line of `count` jobs of JOB_BYTES each."""
    jobs = []
    for sequence in range(first, first + count):
        start = (
            f'{{"jid":"{jid_of(connection, sequence)}","jobtype":"Million","queue":"{QUEUE}",'
            f'"priority":{priority_of(sequence)},"args":[{sequence},"'
        )
        jobs.append(f'{start:x<{JOB_BYTES - 3}}"]}}')
    return f"PUSHB [{','.join(jobs)}]".encode()


class Progress:
    """A line on the terminal that grows with the number of jobs pushed by all connections."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def add(self, count: int) -> None:
        """So many more are acknowledged."""
        with self._lock:
            self.done += count
            rate = self.done / (time.monotonic() - self._started)
            print(f"\r{self.done:>9} of {self.total} pushed, {rate:,.0f} a second ", end="", flush=True)


def push(server: Server, connection: int, count: int, progress: Progress) -> None:
    """Push `count` jobs over one connection; RuntimeError if one is refused."""
    with server.client(timeout=60.0) as client:
        for first in range(0, count, BULK):
            size = min(BULK, count - first)
            reply = client.command(line_of(connection, first, size))
            if reply != ("bulk", b"{}"):
                raise RuntimeError(f"PUSHB was answered {reply!r}")
            progress.add(size)


class Order:
    """What has been fetched, and whether it came in the right order."""

    def __init__(self) -> None:
        self.fetched = 0
        self._priority = PRIORITIES
        self._newest: dict[tuple[int, int], int] = {}

    def fetch(self, client: Client, count: int) -> float:
        """Fetch `count` jobs and acknowledge them; return the seconds it took. AssertionError if one is out of order."""
        started = time.monotonic()
        for _ in range(count):
            job = client.fetch(QUEUE)
            assert job is not None, f"the queue was empty after {self.fetched} jobs"
            self._check(job["jid"], job["priority"])
            client.ack(job["jid"])
        return time.monotonic() - started

    def _check(self, jid: str, priority: int) -> None:
        connection, sequence = (int(part) for part in jid[1:].split("-"))
        assert priority == priority_of(sequence), f"{jid} came with priority {priority}"
        assert priority <= self._priority, f"priority {priority} after {self._priority}"
        # The next of its connection with this priority, none left out.
        expected = self._newest.get((connection, priority), priority - 1 - PRIORITIES) + PRIORITIES
        assert sequence == expected, f"{jid} where {jid_of(connection, expected)} was next"
        self._priority = priority
        self._newest[connection, priority] = sequence
        self.fetched += 1


def resident_mib(pid: int, field: str = "VmRSS") -> float:
    """Return the resident memory of a process now (VmRSS) or at its highest (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} for {pid}")


def directory_mib(path: Path) -> float:
    """Return the size of the files in a directory."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / (1 << 20)


def timed(action: Callable[[], object]) -> float:
    """Return the seconds `action` takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


def measure(server: Server, jobs: int, connections: int) -> dict[str, str]:
    """Do everything; return the rows of the table."""
    rows: dict[str, str] = {}

    def memory(when: str) -> None:
        assert server.process is not None
        pid = server.process.pid
        rows[f"resident memory, {when}"] = f"{resident_mib(pid):,.0f} MiB (highest {resident_mib(pid, 'VmHWM'):,.0f})"

    rows["start, empty"] = f"{timed(server.start):.2f} s"
    memory("empty")
    share = jobs // connections
    progress = Progress(share * connections)
    started = time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda number: push(server, number, share, progress), range(connections)))
    seconds = time.monotonic() - started
    print()
    rows["pushed"] = f"{progress.done:,} in {seconds:.1f} s: {progress.done / seconds:,.0f} a second"
    memory("after the pushes")
    rows["data directory"] = f"{directory_mib(server.data_directory):,.0f} MiB"
    order = Order()
    with server.client(wid="million-1", timeout=60.0) as client:
        rows[f"FETCH and ACK of {FETCHES}"] = f"{order.fetch(client, FETCHES):.2f} s"
    rows["stop by SIGTERM"] = f"{timed(server.stop):.2f} s"
    rows["data directory, stopped"] = f"{directory_mib(server.data_directory):,.0f} MiB"
    server.close()
    rows["start after it"] = f"{timed(server.start):.2f} s"
    memory("after that start")
    with server.client(wid="million-1", timeout=60.0) as client:
        size = client.info()["faktory"]["queues"][QUEUE]
        assert size == progress.done - FETCHES, f"INFO counts {size}"
        rows[f"FETCH and ACK of {FETCHES} more"] = f"{order.fetch(client, FETCHES):.2f} s"
    server.close()  # with SIGKILL
    rows["start after SIGKILL"] = f"{timed(server.start):.2f} s"
    with server.client(wid="million-1", timeout=60.0) as client:
        order.fetch(client, FETCHES)
        size = client.info()["faktory"]["queues"][QUEUE]
    assert size == progress.done - 3 * FETCHES, f"INFO counts {size}"
    rows["order of the first 3000"] = "right, over both restarts"
    memory("at the end")
    return rows


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--directory", type=Path, help="an empty one on the disk to measure; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as temporary:
        server = Server(Path(temporary))
        try:
            rows = measure(server, options.jobs, options.connections)
        finally:
            server.close()
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
