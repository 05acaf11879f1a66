"""An engine with batches whose bids are `b-1`, `b-2` …, and the questions that the tests of batches ask of it."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

from faktory_tw.config import Settings
from faktory_tw.core.facts import Feature
from faktory_tw.features.batches import Batches
from faktory_tw.features.batches.views import BatchView
from faktory_tw.features.changes import change_one
from faktory_tw.features.expiry import Expiry
from faktory_tw.features.unique import Unique
from faktory_tw.storage.store import JobRow, Place
from tests.unit.doubles import Engine, FakeClock, jid_of

CALLBACKS = "callbacks"  # the queue of callbacks


def callback(kind: str, **fields: Any) -> dict[str, Any]:
    """A callback as a client gives it; its jobtype is its kind."""
    return {"jobtype": kind, "queue": CALLBACKS, **fields}


def times(open_seconds: int, kept_seconds: int) -> Settings:
    """Settings with these times of batches."""
    nowhere = Path()
    return Settings(
        "development", nowhere, nowhere, None, batch_open_seconds=open_seconds, batch_kept_seconds=kept_seconds
    )


class Town:
    """An engine. A job that is worked stays worked until the test says what becomes of it."""

    def __init__(self, directory: Path, journal_seconds: float = 0.0) -> None:
        self.clock = FakeClock()
        self._numbers = count(1)
        self.engine = Engine(directory, self.clock, journal_seconds, features=self._features)

    def _features(self) -> tuple[Feature, ...]:
        self.batches = Batches(lambda: f"b-{next(self._numbers)}")
        return (Unique(), Expiry(), self.batches)

    # -- commands --------------------------------------------------------------------------------------------------

    def ask(self, command: str) -> bytes:
        """A BATCH command; its reply."""
        return self.batches.execute(command.encode())

    def new(self, *kinds: str, parent: str | None = None, **fields: Any) -> str:
        """Begin a batch with callbacks of these kinds; its bid."""
        asked: dict[str, Any] = {kind: callback(kind) for kind in kinds}
        if parent is not None:
            asked["parent_bid"] = parent
        return self.ask("NEW " + json.dumps({**asked, **fields})).split(b"\r\n")[1].decode()

    def status(self, bid: str) -> dict[str, Any]:
        """What BATCH STATUS says."""
        status = json.loads(self.ask(f"STATUS {bid}").split(b"\r\n")[1])
        assert isinstance(status, dict)
        return status

    def states(self, bid: str) -> tuple[str, str]:
        """How far complete and success are."""
        status = self.status(bid)
        return status["complete_st"], status["success_st"]

    def numbers(self, bid: str) -> tuple[int, int, int]:
        """Total, pending and failed."""
        status = self.status(bid)
        return status["total"], status["pending"], status["failed"]

    def view(self, bid: str) -> BatchView:
        """What the web shows."""
        view = self.batches.get(bid)
        assert view is not None
        return view

    def commit(self, *bids: str) -> None:
        """Commit batches."""
        for bid in bids:
            assert self.ask(f"COMMIT {bid}") == b"+OK\r\n"

    def filled(self, *kinds: str, members: int = 1, parent: str | None = None) -> str:
        """A committed batch with members that are queued."""
        bid = self.new(*kinds, parent=parent)
        self.push(bid, members)
        self.commit(bid)
        return bid

    def push(self, bid: str, members: int = 1, **fields: Any) -> list[str]:
        """Push members; their jids. Each batch has a queue of its own."""
        custom = {"bid": bid, **fields.pop("custom", {})}
        return [self.engine.push(custom=custom, **{"queue": bid, **fields}) for _ in range(members)]

    # -- workers ---------------------------------------------------------------------------------------------------

    def ack(self, queue: str, jobs: int = 1) -> None:
        """Do jobs of a queue."""
        for _ in range(jobs):
            self.engine.manager.ack(self.take(queue)["jid"], "")

    def fail(self, queue: str, jobs: int = 1) -> None:
        """Fail at jobs of a queue."""
        for _ in range(jobs):
            self.engine.fail(self.take(queue)["jid"])

    def take(self, queue: str) -> dict[str, Any]:
        """A job that is there."""
        job = self.engine.fetch(queue)
        assert job is not None
        return job

    def retry(self) -> None:
        """Have everything that failed tried again."""
        self.engine.mutate("requeue", "retries")
        self.engine.mutate("requeue", "dead")

    # -- callbacks -------------------------------------------------------------------------------------------------

    def fired(self) -> list[str]:
        """The callbacks that are queued, as kind and bid, in order."""
        return [self._called(row) for row in self.rows(Place.QUEUED, CALLBACKS)]

    def finish(self, *called: str, queue: str = CALLBACKS) -> None:
        """Do the next callbacks, which are to be these."""
        for each in called:
            job = self.take(queue)
            assert f"{job['custom']['_cb']} {job['custom']['_bid']}" == each
            self.engine.manager.ack(job["jid"], "")

    @staticmethod
    def _called(row: JobRow) -> str:
        custom = json.loads(row.body)["custom"]
        return f"{custom['_cb']} {custom['_bid']}"

    # -- the rest --------------------------------------------------------------------------------------------------

    def rows(self, place: Place, queue: str = "") -> list[JobRow]:
        """The jobs of a place."""
        return [row for rows in self.engine.manager.views.page(place, queue, count=100_000) for row in rows]

    def change(self, action: str, jid: str, priority: int | None = None) -> None:
        """What an operator does to a job that nobody works on."""
        manager = self.engine.manager
        places = [(Place.QUEUED, name) for name in manager.queue_names()]
        places += [(place, "") for place in (Place.SCHEDULED, Place.RETRIES, Place.DEAD)]
        row = next(row for where in places for row in self.rows(*where) if jid_of(row) == jid)
        change_one(manager, action, row.id, priority)

    def kept(self) -> int:
        """Entries that the store has of batches, after a commit."""
        self.engine.commit()
        return self.engine.rows_on_disk("entries")

    def again(self, how: str) -> None:
        """Restart, or crash after a commit; or neither."""
        if how:
            self.engine.commit()
            getattr(self.engine, how)()
