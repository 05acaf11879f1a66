"""What a backup costs while the server works: the time of a PUSH during it and before, how long it takes, its size.

    python -m tests.bench.backup [--jobs 1000000] [--rounds 5] [--connections 10]

Several clients push small jobs all the time, into queues of their own, and ADMIN BACKUP has the server take a backup of
all there is, again and again. Times are percentiles over all PUSHes, in milliseconds. The clients share the machine with
the server. The length of the log is that of its file after the last backup and the checkpoint that followed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.bench.latency import PROBE_SECONDS, Probe, fill, percentiles, started
from tests.system.server import Server

BEFORE_SECONDS = 10.0
MIB = 1024 * 1024


class Pushers:
    """Clients that push, each a job every PROBE_SECONDS, and note what each PUSH took, as long as it is wanted."""

    def __init__(self, server: Server, connections: int) -> None:
        self._server = server
        self._connections = connections

    @contextmanager
    def pushing(self, name: str, milliseconds: list[float]) -> Iterator[None]:
        """Push, and add the milliseconds of each PUSH to the list."""
        ended = threading.Event()

        def push(number: int) -> list[float]:
            with self._server.client() as client:
                probe = Probe(client, f"{name}-{number:02}-")
                while not ended.wait(PROBE_SECONDS):
                    probe.push()
                return probe.milliseconds

        with ThreadPoolExecutor(self._connections) as pool:
            runs = [pool.submit(push, number) for number in range(self._connections)]
            try:
                yield
            finally:
                ended.set()
            for run in runs:
                milliseconds += run.result()


def measure(options: argparse.Namespace, directory: Path) -> dict[str, str]:
    """Fill a server, and have it take backups."""
    before: list[float] = []
    during: list[float] = []
    seconds: list[float] = []
    with started(directory, "backup") as server, server.client(timeout=600.0) as client:
        fill(server, options.jobs, "deep")
        pushers = Pushers(server, options.connections)
        with pushers.pushing("before", before):
            time.sleep(BEFORE_SECONDS)
        taken = {}
        for number in range(options.rounds):
            with pushers.pushing(f"during-{number}", during):
                began = time.perf_counter()
                kind, value = client.command("ADMIN BACKUP {}")
                seconds.append(time.perf_counter() - began)
            if kind != "bulk":
                raise RuntimeError(f"ADMIN BACKUP was answered {value!r}")
            taken = json.loads(value)
        log = server.data_directory / "faktory.db-wal"
        for _ in range(3):
            client.push({"jid": f"last-{time.monotonic_ns()}", "jobtype": "Last", "args": [], "queue": "probe"})
            time.sleep(1.0)
        return {
            "PUSH before": percentiles(before),
            "PUSH during a backup": percentiles(during),
            "a backup takes": ", ".join(f"{one:.2f}" for one in seconds) + " s",
            "jobs in it": f"{taken['jobs']:,}",
            "its size": f"{taken['size_bytes'] / MIB:,.0f} MiB",
            "the database": f"{(server.data_directory / 'faktory.db').stat().st_size / MIB:,.0f} MiB",
            "the log afterwards": f"{log.stat().st_size / MIB:,.0f} MiB",
        }


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--directory", type=Path, help="an empty one on the disk to measure; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as temporary:
        rows = measure(options, Path(temporary))
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
