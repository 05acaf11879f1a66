"""An engine with throttles, written as an operator writes them, and workers that come and go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from faktory_tw import config
from faktory_tw.config import Settings
from faktory_tw.core.manager import JobManager
from faktory_tw.core.reservations import Reservation
from faktory_tw.core.workers import Worker
from faktory_tw.features.expiry import Expiry
from faktory_tw.features.throttles import Throttles
from faktory_tw.features.throttles.views import ThrottleView
from faktory_tw.storage.sqlite import SQLiteStore
from tests.unit.doubles import Client, Engine, FakeClock


class ThrottledEngine(Engine):
    """It is given its settings before it loads, as the service does it."""

    settings: Settings

    def start(self) -> None:
        self.store = SQLiteStore(self.directory, "os", self.journal_seconds, self.clock.monotonic)
        self.manager = JobManager(self.store, self.clock, self.dice, self.limits, self.features())
        self.manager.hurry = self.hurried.append
        self.manager.facts.configure(self.settings)
        self.manager.load()
        self._running = True

    hurried: list[float]


class Mill:
    """``text`` is what stands below ``[throttles]``."""

    def __init__(self, directory: Path, text: str = "") -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.hurried: list[float] = []
        engine = ThrottledEngine.__new__(ThrottledEngine)
        engine.hurried = self.hurried
        engine.settings = self.read(text)
        engine.__init__(directory / "data", self.clock, features=self._features)  # type: ignore[misc]
        self.engine = engine
        self.workers: dict[str, Worker] = {}

    def _features(self) -> tuple[Throttles, Expiry]:
        self.throttles = Throttles()
        return (self.throttles, Expiry())

    def read(self, text: str) -> Settings:
        """The settings that an operator has written."""
        place = self.directory / "config" / "conf.d"
        place.mkdir(parents=True, exist_ok=True)
        (place / "throttles.toml").write_text(f"[throttles]\n{text}\n")
        return config.load({"environment": "development", "config": str(self.directory / "config")}, {}).settings

    def reload(self, text: str, upkeep: bool = True) -> None:
        """SIGHUP, and what follows from it in the next turns."""
        self.engine.settings = self.read(text)
        self.engine.manager.facts.configure(self.engine.settings)
        if upkeep:
            self.engine.upkeep()

    def push(self, queue: str = "bulk", tenant: object = None, count: int = 1, **fields: Any) -> list[str]:
        """Push jobs; the first of their args is an object with the tenant."""
        args = [] if tenant is None else [{"tenant_id": tenant}]
        return [self.engine.push(queue=queue, args=args, **fields) for _ in range(count)]

    def worker(self, wid: str) -> Worker:
        if wid not in self.workers:
            self.workers[wid] = self.engine.worker(wid)
        return self.workers[wid]

    def fetch(self, *queues: str, wid: str = "") -> str | None:
        """The jid of the job that a FETCH gets at once."""
        worker = self.worker(wid) if wid else None
        job = self.engine.fetch(*(queues or ("bulk",)), worker=worker)
        return None if job is None else str(job["jid"])

    def fetch_all(self, *queues: str, wid: str = "") -> list[str]:
        """As many as there are to be had."""
        jids: list[str] = []
        while True:
            before = len(self.hurried)
            jid = self.fetch(*queues, wid=wid)
            if jid is None and 0.0 not in self.hurried[before:]:
                return jids
            self.engine.manager.look_on()
            if jid is not None:
                jids.append(jid)

    def ack(self, *jids: str) -> None:
        for jid in jids:
            assert self.engine.manager.ack(jid, "")

    def wait(self, *queues: str, wid: str = "", there: bool = True) -> Client:
        """A FETCH that waits."""
        worker = self.worker(wid) if wid else None
        return Client(self.engine, *(queues or ("bulk",)), worker=worker, there=there)

    def reservation(self, jid: str) -> Reservation:
        found = self.engine.manager.working.find(jid, "")
        assert found is not None
        return found

    def view(self, name: str = "bulk") -> ThrottleView:
        """What is told of a throttle."""
        (found,) = [view for view in self.throttles.list() if view.name == name]
        return found

    def tokens_on_disk(self) -> int:
        self.engine.commit()
        return self.engine.rows_on_disk("entries")


def got(client: Client) -> list[str | None]:
    """The jids that a FETCH that waited has got."""
    return [None if job is None else job["jid"] for job in client.jobs]


MakeMill = Callable[[str], Mill]
