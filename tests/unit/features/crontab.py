"""An engine with entries of cron, for the tests of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from faktory_tw.config import Settings
from faktory_tw.config.cron import CronEntry
from faktory_tw.core.facts import Feature
from faktory_tw.features.cron import Cron
from faktory_tw.features.expiry import Expiry
from faktory_tw.features.unique import Unique
from faktory_tw.schedule import Schedule
from tests.unit.doubles import Engine, FakeClock

SETTINGS = Settings("development", Path("/data"), Path("/conf"), None)


def at(text: str) -> float:
    """Seconds since the epoch of a time, by default in UTC and on the day that tests begin."""
    whole = text if "-" in text else f"2025-11-21T{text}"
    return datetime.fromisoformat(whole if whole[10:].count("+") else f"{whole}+00:00").timestamp()


def told(seconds: float | None) -> str:
    """The reverse, of the day that tests begin."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).strftime("%H:%M:%S")


def entry(name: str = "beat", schedule: str = "* * * * *", timezone: str = "UTC", **fields: Any) -> CronEntry:
    """An entry as the settings have it; ``job`` has more fields of its job."""
    job = {"jobtype": "Beat", "args": [name], **fields.pop("job", {})}
    made = CronEntry(
        name,
        Schedule(schedule, timezone),
        json.dumps(job, separators=(",", ":")).encode(),
        job["jobtype"],
        job.get("queue", "default"),
        json.dumps(job["custom"]).encode() if "custom" in job else b"",
        "skip",
        100,
        False,
        "a.toml:1",
    )
    return replace(made, **fields)


class Tower:
    """The engine. Time passes in it as in a server: what is due is done every second, unless a test says otherwise."""

    def __init__(self, directory: Path, clock: FakeClock | None = None, **limits: Any) -> None:
        self.clock = clock or FakeClock()
        self.settings = SETTINGS
        self._jids = 0
        self.engine = Engine(directory, self.clock, features=self._features, **limits)

    def _features(self) -> tuple[Feature, ...]:
        self.cron = Cron(self._new_jid)
        self.cron.configure(self.settings)
        return (Unique(), Expiry(), self.cron)

    def _new_jid(self) -> str:
        self._jids += 1
        return f"cron-{self._jids:06}"

    def use(self, *entries: CronEntry) -> None:
        """SIGHUP: other entries from now on."""
        self.settings = replace(SETTINGS, cron=entries)
        self.engine.manager.facts.configure(self.settings)

    def down(self, seconds: float, *, crash: bool = False, entries: Iterable[CronEntry] | None = None) -> None:
        """Stop, and start again so much later, perhaps with other entries."""
        if entries is not None:
            self.settings = replace(SETTINGS, cron=tuple(entries))
        if not crash:
            self.engine.commit()
        self.clock.advance(seconds)
        self.engine.crash() if crash else self.engine.restart()
        self.engine.upkeep()

    def live(self, seconds: float, every: float = 1.0) -> None:
        """Let time pass."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.engine.pass_time(min(every, end - self.clock.monotonic()))

    def go_to(self, text: str) -> None:
        """Let time pass until then, in one step, and do what is due."""
        self.engine.pass_time(at(text) - self.clock.time())

    def step(self, seconds: float) -> None:
        """Set the wall clock, and do what is due."""
        self.clock.step_wall(seconds)
        self.engine.upkeep()

    def jobs(self, *queues: str) -> list[dict[str, Any]]:
        """Fetch all that there are, and leave them reserved."""
        found = []
        while (job := self.engine.fetch(*queues)) is not None:
            found.append(job)
        return found

    def pushed(self, *queues: str) -> list[str]:
        """When the jobs that there are were enqueued; they are fetched and done."""
        jobs = self.jobs(*queues)
        for job in jobs:
            self.engine.manager.ack(job["jid"], "")
        return [job["enqueued_at"][11:19] for job in jobs]

    def runs(self, name: str = "beat") -> list[tuple[str, str, str]]:
        """Tick, jid and reason of the last runs of an entry, oldest first."""
        return [(told(run.tick), run.jid, run.reason) for run in reversed(self.cron.entry(name).runs)]

    def next_at(self, name: str = "beat") -> str:
        """When an entry is due next."""
        return told(self.cron.entry(name).next_at)

    def kept(self) -> int:
        """Rows of the entries, on disk after a commit."""
        self.engine.commit()
        return self.engine.rows_on_disk("entries")
