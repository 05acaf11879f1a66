"""This server beside beanstalkd: the same work, by the same load generator (load.c), interleaved in rounds.

    python -m tests.bench.compare [--rounds 5] [--modes mixed phases cycle bulk] [--connections 1 10 50]
                                  [--jobs 20000] [--durability commit] [--directory DIR]

beanstalkd is a job queue in C that keeps its jobs in memory. It runs here as it comes, which says what a queue can do
that promises nothing about crashes, and with a log that is synced at every write (`-b DIR -f 0`), which is nearest to
what this server promises.

Every measurement starts a fresh process on an empty directory. In a round everything is measured once, one after the
other, so that what the machine does meanwhile meets all alike; the table shows medians, and minimum and maximum in
brackets. The generator takes part of the same processors: on a small machine no column is the server's own limit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.server import Server

SOURCE = Path(__file__).with_name("load.c")
MODES = ("mixed", "phases", "cycle", "bulk")
# A single connection waits for a sync with every change; more jobs than this would only take longer.
MAX_JOBS_PER_CONNECTION = 3000
SYNCS_PER_ROUND = 200

# What a mode is judged by: the generator's figure, its name in the table.
FIGURES = {
    "mixed": [("jobs_per_s", "jobs/s")],
    "cycle": [("jobs_per_s", "jobs/s")],
    "phases": [("push_per_s", "push/s"), ("drain_per_s", "fetch+ack/s")],
    "bulk": [("push_per_s", "push/s"), ("drain_per_s", "fetch+ack/s")],
}


class Contender(NamedTuple):
    """A server to be measured. `run(directory)` is a context manager: the port it listens at."""

    name: str
    protocol: str
    run: Callable[[Path], Any]


class Setting(NamedTuple):
    """One kind of load."""

    mode: str
    connections: int
    jobs: int


def faktory_tw(durability: str) -> Contender:
    """Return this server with a durability."""

    @contextmanager
    def run(directory: Path) -> Iterator[int]:
        server = Server(directory, arguments=["--durability", durability])
        try:
            yield server.start().port
            if server.stop():
                raise RuntimeError(f"the server ended with an error:\n{server.log()}")
        finally:
            server.close()

    return Contender(f"faktory_tw {durability}", "fwp", run)


def beanstalkd(program: str, name: str, logged: bool) -> Contender:
    """Return beanstalkd, in memory or with a log that is synced at every write."""

    @contextmanager
    def run(directory: Path) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        log = ["-b", str(directory), "-f", "0"] if logged else []
        process = subprocess.Popen([program, "-l", "127.0.0.1", "-p", str(port), "-z", "65535", *log])
        try:
            wait_for_port(port)
            yield port
        finally:
            process.terminate()
            process.wait(30)

    return Contender(name, "beanstalk", run)


def wait_for_port(port: int) -> None:
    """Return when something listens there; RuntimeError after ten seconds."""
    for _ in range(500):
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens at {port}")


def build(directory: Path) -> Path:
    """Compile the load generator."""
    program = directory / "load"
    subprocess.run(["gcc", "-O2", "-pthread", str(SOURCE), "-o", str(program)], check=True)
    return program


def sync_milliseconds(directory: Path) -> list[float]:
    """Return what appending 4 KiB to a file and syncing it costs, measured SYNCS_PER_ROUND times."""
    path = directory / "syncs"
    costs = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS_PER_ROUND):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            costs.append((time.perf_counter() - started) * 1000)
    path.unlink()
    return costs


class Results:
    """Every figure measured: by setting, contender and name, one number a round."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[Setting, str, str], list[float]] = defaultdict(list)
        self.syncs: list[float] = []

    def add(self, setting: Setting, contender: str, measured: dict[str, Any]) -> None:
        """Note what the generator printed."""
        for figure, name in FIGURES[setting.mode]:
            self.numbers[setting, contender, name].append(measured[figure])
        for kind in ("push", "pop"):
            if times := measured.get(f"{kind}_ms"):
                title = "push" if kind == "push" else "fetch+ack"
                self.numbers[setting, contender, f"{title} p99 ms"].append(times["p99"])

    def median(self, setting: Setting, contender: str, name: str) -> float | None:
        """Return the median of the rounds, None where nothing was measured."""
        numbers = self.numbers.get((setting, contender, name))
        return statistics.median(numbers) if numbers else None

    def cell(self, setting: Setting, contender: str, name: str) -> str:
        """Return median and range as text."""
        numbers = self.numbers.get((setting, contender, name))
        if not numbers:
            return "-"
        middle, low, high = (quantity(n) for n in (statistics.median(numbers), min(numbers), max(numbers)))
        return f"{middle} [{low} {high}]"


def quantity(number: float) -> str:
    """Return a number with as many digits as it deserves."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"


def measure(contenders: Sequence[Contender], settings: Sequence[Setting], rounds: int, directory: Path) -> Results:
    """Run everything, with a progress line; return the results."""
    program = build(directory)
    results = Results()
    total, done = rounds * len(settings) * len(contenders), 0
    for number in range(rounds):
        results.syncs += sync_milliseconds(directory)
        for setting in settings:
            for contender in contenders:
                done += 1
                text = f"round {number + 1}: {setting.mode} x{setting.connections}, {contender.name}"
                print(f"\r{done}/{total} {text:<60}", end="", file=sys.stderr, flush=True)
                if setting.mode != "bulk" or contender.protocol == "fwp":
                    results.add(setting, contender.name, run(program, contender, setting, directory))
    print(file=sys.stderr)
    return results


def run(program: Path, contender: Contender, setting: Setting, directory: Path) -> dict[str, Any]:
    """Measure one setting of one contender once, on a fresh process and directory; return what the generator prints."""
    place = Path(tempfile.mkdtemp(dir=directory))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place)
        port = stack.enter_context(contender.run(place))
        command = [program, contender.protocol, port, setting.jobs, setting.connections, setting.mode]
        result = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=600, check=False
        )
    if result.returncode:
        raise RuntimeError(f"{contender.name}, {setting}: {result.stdout}{result.stderr}")
    return dict(json.loads(result.stdout))


def report(results: Results, contenders: Sequence[Contender], settings: Sequence[Setting]) -> Iterator[str]:
    """Yield the table's lines: for every setting and figure the contenders, then the first one's share of the others."""
    names = [contender.name for contender in contenders]
    header = ["load", "conns", "jobs", "figure", *names, *(f"of {name}" for name in names[1:])]
    rows = [header]
    for setting in settings:
        figures = dict.fromkeys(key[2] for key in results.numbers if key[0] == setting)
        for figure in figures:
            row = [setting.mode, str(setting.connections), f"{setting.jobs:,}", figure]
            row += [results.cell(setting, name, figure) for name in names]
            own = results.median(setting, names[0], figure)
            for name in names[1:]:
                other = results.median(setting, name, figure)
                row.append(f"{own / other:.2f}" if own and other else "-")
            rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        padded[0], padded[3] = row[0].ljust(widths[0]), row[3].ljust(widths[3])
        yield "  ".join(padded)


def machine(program: str) -> Iterator[str]:
    """Yield lines about the machine and the versions."""
    models = [line.split(":", 1)[1].strip() for line in cpu_lines() if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    yield f"machine   {os.cpu_count()} x {model}, {platform.system()} {platform.release()}"
    peer = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout.strip()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    libraries = f"Twisted {version('twisted')}, msgspec {version('msgspec')}, SQLite {sqlite3.sqlite_version}"
    yield f"versions  {python}, {libraries}, {peer}"


def cpu_lines() -> Iterable[str]:
    """Return /proc/cpuinfo, nothing where there is none."""
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--connections", nargs="+", type=int, default=(1, 10, 50))
    parser.add_argument("--jobs", type=int, default=20_000, help="of one measurement; fewer with few connections")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--durability", nargs="+", choices=("commit", "second", "os"), default=["commit"])
    parser.add_argument("--directory", type=Path, help="on the disk to measure; default: that of temporary files")
    options = parser.parse_args()
    peer = shutil.which("beanstalkd")
    if peer is None or shutil.which("gcc") is None:
        parser.error("beanstalkd and gcc have to be installed")
    contenders = [faktory_tw(durability) for durability in options.durability]
    contenders += [beanstalkd(peer, "beanstalkd synced", True), beanstalkd(peer, "beanstalkd in memory", False)]
    settings = [
        Setting(mode, connections, min(options.jobs, MAX_JOBS_PER_CONNECTION * connections))
        for mode in options.modes
        for connections in options.connections
        # With a single connection there is nothing to mix: the generator would run a cycle.
        if not (mode == "mixed" and connections == 1)
    ]
    with tempfile.TemporaryDirectory(dir=options.directory) as temporary:
        results = measure(contenders, settings, options.rounds, Path(temporary))
    print("\n".join(machine(peer)))
    low, middle, high = min(results.syncs), statistics.median(results.syncs), max(results.syncs)
    print(f"disk      4 KiB appended and synced: {middle:.2f} ms [{low:.2f} {high:.2f}], {len(results.syncs)} times")
    print(f"rounds    {options.rounds}; median [minimum maximum]\n")
    print("\n".join(report(results, contenders, settings)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
