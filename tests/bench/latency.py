"""How long a PUSH takes while the server has something else to do, and whether a long queue makes it slower.

    python -m tests.bench.latency steady [--rate 1000] [--connections 50] [--seconds 20]
    python -m tests.bench.latency due    [--jobs 1000000]
    python -m tests.bench.latency depth  [--jobs 10000000] [--rounds 5]

steady  jobs that are pushed, fetched and acknowledged at a fixed rate, far below what the server can do. Beside the
        PUSHes stand two syncs of the same disk, one after the other: a PUSH that meets another one's sync waits for two.
due     scheduled jobs that all become due in the same second. One client goes on pushing.
depth   PUSH and FETCH with a queue of 1000 jobs and with a long one, on two servers, in turn.

Times are medians and percentiles over all commands, in milliseconds. The client shares the machine with the server.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from tests.bench.compare import sync_milliseconds
from tests.bench.million import resident_mib
from tests.system.fwp import Client
from tests.system.server import Server

BULK = 5000
PROBE_SECONDS = 0.002  # between two PUSHes of the client that goes on pushing
SCHEDULING_SECONDS = 0.00004  # a job, with room to spare: how far ahead the common due time lies
DEPTH_COMMANDS = 3000


@contextmanager
def started(directory: Path, name: str) -> Iterator[Server]:
    """Return a server that runs, on a directory of its own."""
    server = Server(directory / name)
    try:
        server.start()
        yield server
    finally:
        server.close()


def percentiles(milliseconds: Sequence[float]) -> str:
    """Return median, 99th percentile and maximum as text."""
    ordered = sorted(milliseconds)
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    return f"p50 {statistics.median(ordered):.2f}  p99 {p99:.2f}  max {ordered[-1]:.1f} ms  ({len(ordered):,})"


def timed(action: Callable[[], object]) -> float:
    """Return the milliseconds that `action` takes."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def line(first: int, count: int, queue: str, at: str = "") -> str:
    """Return a PUSHB of `count` jobs."""
    jobs = []
    for number in range(first, first + count):
        job = {"jid": f"job-{number:09d}", "jobtype": "Bench", "queue": queue, "args": [number]}
        jobs.append({**job, "at": at} if at else job)
    return "PUSHB " + json.dumps(jobs)


def fill(server: Server, jobs: int, queue: str, at: str = "") -> None:
    """Push `jobs` jobs, and say how far it is."""
    with server.client(timeout=120.0) as client:
        for first in range(0, jobs, BULK):
            reply = client.command(line(first, min(BULK, jobs - first), queue, at))
            if reply != ("bulk", b"{}"):
                raise RuntimeError(f"PUSHB was answered {reply!r}")
            print(f"\r{min(first + BULK, jobs):>10,} of {jobs:,} pushed ", end="", flush=True)
    print()


class Probe:
    """Pushes small jobs into a queue of their own; `milliseconds` has how long each took."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.milliseconds: list[float] = []

    def push(self) -> None:
        """Push one job."""
        command = f'PUSH {{"jid":"{self.name}{len(self.milliseconds):09d}","jobtype":"P","queue":"probe","args":[]}}'
        self.milliseconds.append(timed(lambda: self.client.command(command)))

    def finish(self) -> None:
        """Fetch one job and acknowledge it."""
        job = self.client.fetch("probe")
        if job is not None:
            self.client.ack(job["jid"])


def steady(options: argparse.Namespace, directory: Path) -> dict[str, str]:
    """Push, fetch and acknowledge at a fixed rate."""
    with started(directory, "steady") as server:
        probes = [Probe(server.client(wid=f"worker-{n}"), f"s{n:03d}-") for n in range(options.connections)]
        step = options.connections / options.rate
        begin = time.monotonic() + 0.1

        def run(number: int) -> None:
            probe, due = probes[number], begin + number / options.rate
            while due < begin + options.seconds:
                time.sleep(max(due - time.monotonic(), 0))
                probe.push()
                probe.finish()
                due += step

        with ThreadPoolExecutor(options.connections) as pool:
            list(pool.map(run, range(options.connections)))
        for probe in probes:
            probe.client.close()
    pushes = [cost for probe in probes for cost in probe.milliseconds]
    syncs = [cost for _ in range(5) for cost in sync_milliseconds(directory)]
    pairs = [first + second for first, second in zip(syncs[::2], syncs[1::2], strict=True)]
    return {
        f"PUSH at {len(pushes) / options.seconds:,.0f} jobs a second": percentiles(pushes),
        "two syncs of this disk": percentiles(pairs),
    }


def due(options: argparse.Namespace, directory: Path) -> dict[str, str]:
    """Have many scheduled jobs become due at once."""
    with started(directory, "due") as server, server.client(timeout=60.0) as client:
        at = time.time() + 5 + options.jobs * SCHEDULING_SECONDS
        text = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        fill(server, options.jobs, "due", text)
        before = Probe(server.client(), "b-")
        while time.time() < int(at) - 1:
            before.push()
            time.sleep(PROBE_SECONDS)
        during = Probe(server.client(), "d-")
        while time.time() < int(at):
            time.sleep(0.01)
        while (waiting := client.info()["faktory"]["sets"]["scheduled"]) > 0:
            print(f"\r{waiting:>10,} still scheduled ", end="", flush=True)
            for _ in range(20):
                during.push()
                time.sleep(PROBE_SECONDS)
        seconds = time.time() - int(at)
        print()
        size = client.info()["faktory"]["queues"]["due"]
        if size != options.jobs:
            raise RuntimeError(f"{size} jobs in the queue")
        return {
            f"{options.jobs:,} due at once, all queued after": f"{seconds:.1f} s",
            "PUSH before": percentiles(before.milliseconds),
            "PUSH meanwhile": percentiles(during.milliseconds),
        }


def depth(options: argparse.Namespace, directory: Path) -> dict[str, str]:
    """Compare a short queue with a long one."""
    rows: dict[str, str] = {}
    with started(directory, "short") as short, started(directory, "long") as long:
        fill(short, 1000, "deep")
        fill(long, options.jobs, "deep")
        assert long.process is not None
        rows[f"resident memory with {options.jobs:,} jobs"] = f"{resident_mib(long.process.pid):,.0f} MiB"
        times: dict[str, list[float]] = {}
        for number in range(options.rounds):
            for name, server in (("1,000", short), (f"{options.jobs:,}", long)):
                with server.client(wid="worker-1", timeout=60.0) as client:
                    pushes, fetches = a_round(client, number)
                times.setdefault(f"PUSH, {name} jobs queued", []).append(statistics.median(pushes))
                times.setdefault(f"FETCH, {name} jobs queued", []).append(statistics.median(fetches))
    for name in sorted(times):
        rows[name] = f"median of rounds {statistics.median(times[name]):.3f} ms  ({min(times[name]):.3f} to "
        rows[name] += f"{max(times[name]):.3f})"
    return rows


def a_round(client: Client, number: int) -> tuple[list[float], list[float]]:
    """Push as many jobs as are fetched, so that the length stays. Return the milliseconds of PUSHes and FETCHes."""
    pushes, fetches = [], []
    for count in range(DEPTH_COMMANDS):
        jid = f"r{number:03d}-{count:06d}"
        command = f'PUSH {{"jid":"{jid}","jobtype":"Bench","queue":"deep","args":[]}}'
        pushes.append(timed(lambda command=command: client.command(command)))  # type: ignore[misc]
        began = time.perf_counter()
        job = client.fetch("deep")
        fetches.append((time.perf_counter() - began) * 1000)
        assert job is not None
        client.ack(job["jid"])
    return pushes, fetches


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["steady", "due", "depth"])
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--rate", type=int, default=1000, help="jobs a second")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="an empty one on the disk to measure; default: a temporary one")
    options = parser.parse_args()
    if options.jobs is None:
        options.jobs = 10_000_000 if options.what == "depth" else 1_000_000
    with tempfile.TemporaryDirectory(dir=options.directory) as temporary:
        rows = {"steady": steady, "due": due, "depth": depth}[options.what](options, Path(temporary))
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
