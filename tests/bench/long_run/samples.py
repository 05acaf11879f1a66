"""What is measured of the server every few seconds, and what each line means.

Four sources: the process as the system sees it (/proc), its files, its own words (`/metrics`), and what a thread inside of it
counts (`inside.py`). The times of PUSH and FETCH are those of `Probe`, a client that does nothing else.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

from tests.bench.connections import processor_seconds, resident_kib
from tests.system.fwp import Client, job
from tests.system.server import Server

MIB = 1024 * 1024
PROBE_SECONDS = 0.025  # between two jobs of the probe
QUEUE = "probe"
STEADY, RESTLESS = 0.03, 0.25  # growth in an hour that is allowed, as a share: of sizes; of times and loads

Values = dict[str, float]


class Line(NamedTuple):
    """A line of measurements.

    `share` of its median and `floor`: growth in an hour that is allowed. `by_lowest`: it climbs until something clears up,
    and is judged by what is left then.
    """

    name: str
    title: str
    unit: str
    group: str
    share: float
    floor: float
    by_lowest: bool = False
    control: str = ""


LINES = (
    Line("resident_mib", "Resident memory", "MiB", "memory", STEADY, 2),
    Line("blocks", "Blocks of memory", "thousand", "memory", STEADY, 5, True),
    Line("objects", "Objects of Python", "thousand", "memory", STEADY, 2, True),
    Line("handles", "Open file handles", "", "memory", STEADY, 3),
    Line("threads", "Threads", "", "memory", STEADY, 0.5),
    Line("processor", "Processor, of one core", "%", "memory", RESTLESS, 3),
    Line("database_mib", "Database", "MiB", "disk", STEADY, 0.5),
    Line("log_mib", "Log (WAL)", "MiB", "disk", STEADY, 1),
    Line("backups_mib", "Backups", "MiB", "disk", STEADY, 0.5),
    Line("job_rows", "Rows of jobs", "", "disk", RESTLESS, 100),
    Line("journal_rows", "Rows of the journal", "", "disk", RESTLESS, 50),
    Line("entry_rows", "Rows of features", "", "disk", RESTLESS, 100),
    Line("push_p50", "PUSH, median", "ms", "times", RESTLESS, 0.5, control="late_p50"),
    Line("push_p99", "PUSH, 99th percentile", "ms", "times", RESTLESS, 5, control="late_p99"),
    Line("push_max", "PUSH, longest", "ms", "times", RESTLESS, 25, control="late_max"),
    Line("fetch_p50", "FETCH, median", "ms", "times", RESTLESS, 0.5, control="late_p50"),
    Line("fetch_p99", "FETCH, 99th percentile", "ms", "times", RESTLESS, 5, control="late_p99"),
    Line("fetch_max", "FETCH, longest", "ms", "times", RESTLESS, 25, control="late_max"),
    Line("queued", "Jobs in queues", "", "jobs", RESTLESS, 20),
    Line("scheduled", "Scheduled jobs", "", "jobs", RESTLESS, 20),
    Line("retries", "Retries", "", "jobs", RESTLESS, 20),
    Line("dead", "Dead jobs", "", "jobs", RESTLESS, 20),
    Line("working", "Jobs that workers hold", "", "jobs", RESTLESS, 5),
    Line("pushed_per_s", "Pushed", "jobs/s", "jobs", RESTLESS, 10),
    Line("queues", "Queues", "", "kept", STEADY, 2),
    Line("locks", "Locks of unique jobs", "", "kept", RESTLESS, 10),
    Line("tracks", "Tracks", "", "kept", RESTLESS, 50),
    Line("batches", "Batches", "", "kept", RESTLESS, 20),
    Line("connections", "Connections", "", "kept", RESTLESS, 5),
    Line("addresses", "Addresses with passwords", "", "kept", RESTLESS, 5),
)
NAMES = (
    "seconds",
    *(line.name for line in LINES),
    "late_p50",
    "late_p99",
    "late_max",
    "commit_ms",
    "lag_ms",
    "done_per_s",
    "jobs_done",
    "backups_taken",
)


def parse_metrics(text: str) -> Values:
    """Return the samples of Prometheus' text format by name with labels."""
    found: Values = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name and not line.startswith("#"):
            found[name] = float(value)
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of them lies; NaN when there are none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


def scrape(server: Server) -> str:
    """Return what the server says at /metrics."""
    login = base64.b64encode(f"sampler:{server.password}".encode()).decode()
    connection = HTTPConnection("127.0.0.1", server.web_port, timeout=30)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Basic {login}"})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class Probe:
    """A client that pushes a job, fetches it and acknowledges it, again and again, and takes the time.

    Between two jobs it sleeps. How much later than wanted it is woken tells how busy the machine is.
    """

    def __init__(self, server: Server) -> None:
        self.jobs = 0
        self.failure = ""
        self._server = server
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._times: dict[str, list[float]] = {"push": [], "fetch": [], "late": []}
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    def take(self) -> Values:
        """What was measured since the last call, in milliseconds."""
        with self._lock:
            times, self._times = self._times, {name: [] for name in self._times}
        shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        return {f"{name}_{part}": quantile(times[name], share) for name in times for part, share in shares.items()}

    def end(self) -> None:
        """Probe no more."""
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        try:
            with self._server.client(wid="probe") as client:
                while not self._ended.is_set():
                    due = time.perf_counter() + PROBE_SECONDS
                    time.sleep(PROBE_SECONDS)
                    self._step(client, time.perf_counter() - due)
        except (OSError, EOFError, ValueError, RuntimeError) as error:
            self.failure = f"the probe ended early: {error!r}"

    def _step(self, client: Client, late: float) -> None:
        pushed = job("Probe", self.jobs, queue=QUEUE, jid=f"probe-{self.jobs:012d}")
        began = time.perf_counter()
        client.push(pushed)
        middle = time.perf_counter()
        found = client.fetch(QUEUE)
        end = time.perf_counter()
        if found is None or found["jid"] != pushed["jid"]:
            raise ValueError(f"{pushed['jid']} was pushed and {found} fetched")
        client.ack(pushed["jid"])
        self.jobs += 1
        if self.jobs % 200 == 0:
            client.beat()
        with self._lock:
            for name, seconds in (("push", middle - began), ("fetch", end - middle), ("late", late)):
                self._times[name].append(seconds * 1000)


class Sampler:
    """Measures one server. `take` returns the values of `NAMES`; what cannot be measured at the moment is NaN."""

    def __init__(self, server: Server, inside: Path, probe: Probe) -> None:
        assert server.process is not None
        self._server = server
        self._pid = server.process.pid
        self._inside = inside
        self._probe = probe
        self._began = time.monotonic()
        self._last: Values = {}

    def take(self) -> Values:
        """Measure everything once."""
        seconds = time.monotonic() - self._began
        counters = {"seconds": seconds, "processor_seconds": processor_seconds(self._pid)}
        values = {**self._process(), **self._files(), **self._rows(), **self._told(counters), **self._probe.take()}
        values.update(self._counted_inside())
        values.update(self._rates(counters))
        self._last = counters
        return {name: values.get(name, float("nan")) for name in NAMES} | {"seconds": round(seconds, 2)}

    def _process(self) -> Values:
        status = Path(f"/proc/{self._pid}/status").read_text()
        threads = next(line.split()[1] for line in status.splitlines() if line.startswith("Threads:"))
        handles = len(os.listdir(f"/proc/{self._pid}/fd"))
        return {"resident_mib": resident_kib(self._pid) / 1024, "threads": float(threads), "handles": handles}

    def _files(self) -> Values:
        directory = self._server.data_directory
        backups = sum(size_of(path) for path in directory.glob("backups/*"))
        database, log = size_of(directory / "faktory.db"), size_of(directory / "faktory.db-wal")
        return {"database_mib": database / MIB, "log_mib": log / MIB, "backups_mib": backups / MIB}

    def _rows(self) -> Values:
        """Counted over a connection that is closed at once: one that stays open would keep the log from being reset."""
        path = f"file:{self._server.data_directory / 'faktory.db'}?mode=ro"
        try:
            connection = sqlite3.connect(path, uri=True, timeout=1.0)
        except sqlite3.Error:
            return {}
        try:
            counts = [
                connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("jobs", "journal", "entries")
            ]
        except sqlite3.Error:
            return {}
        finally:
            connection.close()
        return dict(zip(("job_rows", "journal_rows", "entry_rows"), counts, strict=True))

    def _told(self, counters: Values) -> Values:
        try:
            told = parse_metrics(scrape(self._server))
        except (OSError, HTTPException):
            return {}
        for name in ("commit", "event_loop_lag"):
            for part in ("sum", "count"):
                counters[f"{name}_{part}"] = told[f"faktory_{name}_seconds_{part}"]
        counters["pushed"] = told["faktory_jobs_pushed_total"]
        counters["processed"] = told["faktory_jobs_processed_total"]
        sets = {name: told[f'faktory_set_size{{set="{name}"}}'] for name in ("scheduled", "retries", "dead", "working")}
        return {
            **sets,
            "queued": sum(value for name, value in told.items() if name.startswith("faktory_queue_size{")),
            "queues": told["faktory_queues"],
            "locks": told["faktory_unique_locks"],
            "tracks": told["faktory_tracks"],
            "batches": told["faktory_batches"],
            "connections": told["faktory_connections"],
            "backups_taken": told.get("faktory_backups_total", 0),
            "jobs_done": told["faktory_jobs_processed_total"] - told["faktory_jobs_failed_total"],
        }

    def _counted_inside(self) -> Values:
        try:
            told = json.loads(self._inside.read_text())
        except OSError:
            return {}
        return {
            "blocks": told["blocks"] / 1000,
            "objects": told["objects"] / 1000,
            "addresses": told.get("addresses", float("nan")),
        }

    def _rates(self, now: Values) -> Values:
        """What needs the sample before."""

        def per(part: str, whole: str) -> float:
            try:
                return (now[part] - self._last[part]) / (now[whole] - self._last[whole])
            except (KeyError, ZeroDivisionError):
                return float("nan")

        return {
            "processor": per("processor_seconds", "seconds") * 100,
            "pushed_per_s": per("pushed", "seconds"),
            "done_per_s": per("processed", "seconds"),
            "commit_ms": per("commit_sum", "commit_count") * 1000,
            "lag_ms": per("event_loop_lag_sum", "event_loop_lag_count") * 1000,
        }


def size_of(path: Path) -> int:
    """Return the size of a file, or of all in a directory; 0 for what has just gone."""
    try:
        if path.is_dir():
            return sum(size_of(each) for each in path.iterdir())
        return path.stat().st_size
    except OSError:
        return 0


class Table:
    """The samples in a file that is complete after each of them, whatever becomes of the program."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, NAMES)
        self._writer.writeheader()
        self._file.flush()

    def add(self, values: Values) -> None:
        """Write a row."""
        self._writer.writerow({name: f"{values[name]:.7g}" if name != "seconds" else values[name] for name in NAMES})
        self._file.flush()

    def close(self) -> None:
        """No more rows."""
        self._file.close()


def read_table(path: Path) -> list[Values]:
    """Return the rows of such a file."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(row.get(name) or "nan") for name in NAMES} for row in csv.DictReader(file)]
