"""What stands in for the world around the job manager.

A clock that is told the time, dice that are not random, a disk that fails on demand, and an engine that can be stopped,
killed and started again. The store is the real one, in a directory of the test; what is doubled is only what a test could not hold still.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from faktory_tw.core.facts import Feature
from faktory_tw.core.job import parse_job, wire_form
from faktory_tw.core.manager import JobManager, Limits, Reservation
from faktory_tw.core.retry import FailureReport
from faktory_tw.core.workers import Worker
from faktory_tw.features.mutate import Mutation
from faktory_tw.features.standard import standard_features
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import JobRow, Place

NOON = 1_763_726_400.0  # 2025-11-21T12:00:00Z
HOUR = 3600.0
DAY = 24 * HOUR
DATABASE_FILES = ("faktory.db", "faktory.db-wal")
IOERR, FULL = 10, 13  # SQLite's codes


class FakeClock:
    """Wall and monotonic time, which run apart when the wall clock is set."""

    def __init__(self, wall: float = NOON, monotonic: float = 1000.0) -> None:
        self._wall = wall
        self._monotonic = monotonic

    def time(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall += seconds
        self._monotonic += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock, forward or back, as an operator or NTP does."""
        self._wall += seconds


class Dice:
    """Gives the same number again and again, and remembers what it was asked for."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.asked: list[int] = []

    def __call__(self, below: int) -> int:
        self.asked.append(below)
        return self.number


def job_json(jid: str = "job-0001", /, **fields: Any) -> bytes:
    """A job as a producer sends it; a field that is None is left out."""
    job = {"jid": jid, "jobtype": "Work", "args": [], **fields}
    return json.dumps({key: value for key, value in job.items() if value is not None}).encode()


def report(
    message: str = "it broke", errtype: str = "RuntimeError", backtrace: list[str] | None = None
) -> FailureReport:
    """What a worker says of a job that failed."""
    return FailureReport(errtype, message, backtrace)


def copy_directory(source: Path, target: Path) -> Path:
    """The data directory as a process that is killed now would leave it."""
    target.mkdir(parents=True)
    for name in DATABASE_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    return target


class Client:
    """A connection whose FETCH waits. What it got is in ``jobs``; None stands for "nothing in time".

    As a session does, it takes the text of a job at once and leaves the body empty, whether or not the client turns out
    to be there.
    """

    def __init__(self, engine: Engine, *queues: str, worker: Worker | None = None, there: bool = True) -> None:
        self.jobs: list[dict[str, Any] | None] = []
        self.there = there
        self.reservation: Reservation | None = None
        self.waiter = engine.manager.wait(queues, worker, self._deliver)

    def _deliver(self, reservation: Reservation | None) -> bool:
        job = None if reservation is None else delivered(reservation)
        if self.there:
            self.jobs.append(job)
            self.reservation = reservation
        return self.there


def delivered(reservation: Reservation) -> dict[str, Any]:
    """The job of a reservation as its worker gets it."""
    text = wire_form(reservation.job)
    reservation.job.body = b""
    job = json.loads(text)
    assert isinstance(job, dict)
    return job


class Engine:
    """A job manager on a store in ``directory``. Nothing reaches the disk before :meth:`commit`."""

    def __init__(
        self,
        directory: Path,
        clock: FakeClock | None = None,
        journal_seconds: float = 0.0,
        features: Callable[[], Sequence[Feature]] = standard_features,
        **limits: Any,
    ) -> None:
        self.features = features
        self.directory = directory
        self.journal_seconds = journal_seconds
        self.clock = clock or FakeClock()
        self.dice = Dice()
        self.limits = Limits(**limits)
        self._copies = 0
        self._pushed = 0
        self.start()

    def start(self) -> None:
        """Open the directory and load what is in it. The system may do without syncs: no power fails in a test."""
        self.store = SQLiteStore(self.directory, "os", self.journal_seconds, self.clock.monotonic)
        self.manager = JobManager(self.store, self.clock, self.dice, self.limits, self.features())
        self.manager.load()
        self._running = True

    def commit(self) -> None:
        """Put every change on disk, as the committer does."""
        self.store.write(self.manager.seal())
        self.store.written()

    def stop(self) -> None:
        """End without writing what is not committed."""
        if self._running:
            self._running = False
            self.store.finish()
            self.store.close()

    def restart(self) -> None:
        """SIGTERM and a start on the same directory."""
        self.commit()
        self.stop()
        self.start()

    def crash(self) -> None:
        """``kill -9`` and a start on what it leaves, a copy made while all was open: what is not committed is lost."""
        self._copies += 1
        copy = copy_directory(self.directory, self.directory.with_name(f"copy{self._copies}"))
        self.stop()
        shutil.rmtree(self.directory)
        self.directory = copy
        self.start()

    def push(self, jid: str = "", /, **fields: Any) -> str:
        """Push a job and return its jid, a new one when none is given. ``now`` is the time of a bulk push."""
        now = fields.pop("now", None)
        if not jid:
            self._pushed += 1
            jid = f"job-{self._pushed:04}"
        self.manager.push(parse_job(job_json(jid, **fields)), now)
        return jid

    def fetch(self, *queues: str, worker: Worker | None = None) -> dict[str, Any] | None:
        """The job that a FETCH gets at once, or None."""
        reservation = self.reserve(*queues, worker=worker)
        return None if reservation is None else delivered(reservation)

    def reserve(self, *queues: str, worker: Worker | None = None) -> Reservation | None:
        """As :meth:`fetch`, but the reservation: its body is still in memory."""
        return self.manager.fetch(queues or ("default",), worker)

    def jids(self, *queues: str) -> list[str]:
        """Fetch, and leave reserved, all jobs of these queues."""
        jids = []
        while (job := self.fetch(*queues)) is not None:
            jids.append(job["jid"])
        return jids

    def fail(self, jid: str, wid: str = "", **said: Any) -> None:
        self.manager.fail(jid, wid, report(**said))

    def worker(self, wid: str, beats: bool = True) -> Worker:
        """A connection of a worker, which has sent a heartbeat unless told otherwise."""
        worker = self.manager.connect_worker(wid, "host", 1, [])
        if beats:
            self.manager.beat(wid, None, 0)
        return worker

    def upkeep(self) -> int:
        """Do all that is due; the number of slices it took."""
        slices = 1
        while self.manager.upkeep():
            slices += 1
        return slices

    def pass_time(self, seconds: float) -> None:
        """Let time pass, then do what is due."""
        self.clock.advance(seconds)
        self.upkeep()

    def mutate(self, cmd: str, target: str, **wanted: Any) -> None:
        """A MUTATE command, carried out to its end."""
        request = {"cmd": cmd, "target": target, "filter": wanted or None}
        for _ in Mutation(json.dumps(request).encode()).steps(self.manager):
            pass

    def rows(self, place: Place) -> list[JobRow]:
        """The jobs of a set in their order; ``at`` is the one that memory has."""
        entries = self.manager.walk(place, None, 100_000)
        rows = {row.id: row for row in self.manager.read([job_id for _, job_id in entries])}
        return [rows[job_id] for _, job_id in entries]

    def sizes(self) -> dict[str, int]:
        """How many jobs are where."""
        return {**self.manager.set_sizes(), "queued": sum(self.manager.queue_sizes().values())}

    def rows_on_disk(self, table: str = "jobs") -> int:
        """Rows of a table, as another program that opens the database counts them."""
        connection = sqlite3.connect(self.directory / "faktory.db")
        try:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        finally:
            connection.close()


MakeEngine = Callable[..., Engine]


def jid_of(row: JobRow) -> str:
    """The jid of a row."""
    return str(json.loads(row.body)["jid"])


class Faults:
    """What goes wrong with the disk: statements that start with ``statement`` fail ``times`` times."""

    def __init__(self) -> None:
        self.connections: list[sqlite3.Connection] = []
        self.heal()

    def fail(self, statement: str, code: int, times: int = 1_000_000) -> None:
        """``code`` is SQLite's: FULL or IOERR."""
        self._statement, self._code, self._times = statement, code, times

    def heal(self) -> None:
        """Nothing fails any more."""
        self._statement, self._code, self._times = "", 0, 0

    def check(self, sql: str) -> None:
        """Raise what this statement is to fail with."""
        if self._times and sql.startswith(self._statement):
            self._times -= 1
            error = sqlite3.OperationalError("database or disk is full" if self._code == FULL else "disk I/O error")
            error.sqlite_errorcode = self._code  # type: ignore[attr-defined,unused-ignore]
            raise error

    def writers(self) -> list[sqlite3.Connection]:
        """The connections that were opened to write: the first of each store."""
        return self.connections[::2]


def failing_connect(faults: Faults) -> Callable[..., sqlite3.Connection]:
    """A ``sqlite3.connect`` whose connections fail as ``faults`` says."""

    class FailingConnection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            faults.check(sql)
            return super().execute(sql, parameters)

    original = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = original(*arguments, factory=FailingConnection, **options)
        faults.connections.append(connection)
        return connection

    return connect
