"""Where the situations of tests/bench/situations.py take place: a server without a network, and its turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from faktory_tw.config import Settings
from faktory_tw.core.manager import JobManager
from faktory_tw.storage.sqlite import SQLiteStore
from tests.unit.doubles import Engine, FakeClock

Turn = tuple[str, Callable[[], Any]]
Turns = Iterator[Turn]
COMMIT_EVERY = 5000
_NOWHERE = Path("nowhere")


class Ahead(FakeClock):
    """A clock that goes, and can be put forward."""

    def time(self) -> float:
        return super().time() + time.monotonic()

    def monotonic(self) -> float:
        return super().monotonic() + time.monotonic()


class _Configured(Engine):
    settings = Settings("development", _NOWHERE, _NOWHERE, None)
    hurried = False

    def start(self) -> None:
        self.store = SQLiteStore(self.directory, "os", self.journal_seconds, self.clock.monotonic)
        self.manager = JobManager(self.store, self.clock, self.dice, self.limits, self.features())
        self.manager.hurry = self._hurry
        self.manager.facts.configure(self.settings)
        self.manager.load()
        self._running = True

    def _hurry(self, seconds: float) -> None:
        self.hurried = self.hurried or seconds < 1.0

    def use(self, **settings: Any) -> None:
        """SIGHUP, as far as it concerns features."""
        self.settings = replace(self.settings, **settings)
        self.manager.facts.configure(self.settings)


class Scene:
    """A server with the standard features. ``restarts``: it is started anew before it is played, from ``again`` on."""

    def __init__(self, place: Path, clock: FakeClock | None = None) -> None:
        self.clock = clock or Ahead()
        self.engine = _Configured(place / "data", self.clock)
        self.restarts = False
        self.again: Callable[[], Turns] = self.upkeep

    @property
    def manager(self) -> JobManager:
        return self.engine.manager

    def commit(self) -> None:
        self.engine.commit()

    def feature(self, kind: Any) -> Any:
        return self.manager.facts.find(kind)

    def each(self, count: int) -> Iterator[int]:
        """The numbers below ``count``; what is done with them reaches the disk from time to time."""
        for number in range(count):
            yield number
            if number % COMMIT_EVERY == 0:
                self.commit()

    def push(self, count: int, custom: dict[str, Any] | None = None, **fields: Any) -> None:
        for number in self.each(count):
            self.engine.push(f"job-{number:020}", args=[number], custom=custom, **fields)

    def upkeep(self) -> Turns:
        """The periodic duties until nothing is due."""
        more = [True]
        while more[0] or self.engine.hurried:
            self.engine.hurried = False
            yield "upkeep", lambda: more.__setitem__(0, self.manager.upkeep())

    def settle(self, seconds: float = 0.0) -> None:
        """So much later, with everything done that is due then."""
        for _, turn in self.late(seconds):
            turn()
            if len(self.engine.store.batch) > COMMIT_EVERY:
                self.commit()

    def late(self, seconds: float) -> Turns:
        """So much later."""
        self.clock.advance(seconds)
        return self.upkeep()

    def steps(self, name: str, steps: Iterator[Any]) -> Turns:
        """A long command, and what it has caused."""
        more = [True]
        while more[0]:
            yield name, lambda: more.__setitem__(0, next(steps, self) is not self)
            if self.engine.hurried:
                self.engine.hurried = False
                yield "upkeep", self.manager.upkeep
        yield from self.upkeep()

    def events(self, name: str, calls: Iterator[Callable[[], Any]]) -> Turns:
        """Commands, each a turn, and what they have caused."""
        for call in calls:
            yield name, call
            if self.engine.hurried:
                self.engine.hurried = False
                yield "upkeep", self.manager.upkeep
        yield from self.upkeep()
