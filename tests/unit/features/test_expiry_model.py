"""Jobs that expire against a model: none is given or kept too long, none is dropped too early, crashes included."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from faktory_tw.core import edits
from faktory_tw.core.reservations import Reservation
from faktory_tw.features.changes import change_one, possible_actions
from faktory_tw.features.expiry import Expiry
from faktory_tw.storage.journal import JOURNAL_SECONDS
from faktory_tw.storage.store import JobRow, Place
from faktory_tw.times import rfc3339
from tests.unit.doubles import Client, Engine, FakeClock, jid_of

EXAMPLES = int(os.environ.get("FAKTORY_TW_EXAMPLES", "0"))
number = st.integers(0, 50)


@dataclass
class Item:
    """``end``: when it expires, None: never. Where it is says the engine; that it is there at all says the model."""

    end: float | None
    retry: int
    works: bool = False


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="faktory-expiry-", dir=in_memory))
        self.clock = FakeClock()
        self.engine = Engine(self.directory / "data", self.clock, JOURNAL_SECONDS, features=self.features)
        self.items: dict[str, Item] = {}
        self.committed: dict[str, Item] = {}
        self.held: dict[str, Reservation] = {}
        self.pushed = 0

    def features(self) -> tuple[Expiry]:
        self.expiry = Expiry()
        return (self.expiry,)

    def is_over(self, item: Item) -> bool:
        return item.end is not None and item.end <= self.clock.time()

    @rule(
        seconds=st.sampled_from([None, 10, 60, 1000]),
        at=st.sampled_from([None, None, -10, 40]),
        delay=st.sampled_from([None, None, None, -5, 50]),
        retry=st.sampled_from([-1, 0, 25, 25]),
        priority=st.sampled_from([1, 5, 9]),
    )
    def push(self, seconds: int | None, at: int | None, delay: int | None, retry: int, priority: int) -> None:
        self.pushed += 1
        jid, now = f"jid-{self.pushed:04}", self.clock.time()
        custom: dict[str, object] = {}
        ends = []
        if seconds is not None:
            custom["expires_in"] = seconds
            ends.append(now + max(delay or 0, 0) + seconds)
        if at is not None:
            custom["expires_at"] = rfc3339(now + at)
            ends.append(now + at)
        due = None if delay is None else rfc3339(now + delay)
        self.engine.push(jid, at=due, custom=custom or None, retry=retry, priority=priority)
        item = self.items[jid] = Item(min(ends, default=None), retry)
        if self.is_over(item) and not (delay or 0) > 0:
            del self.items[jid]

    @rule(fate=st.sampled_from(["hold", "ack", "fail", "fail", "give back"]))
    def work(self, fate: str) -> None:
        rows = [row for row in self.rows() if row.place == Place.QUEUED]
        reservation = self.engine.reserve()
        for row in rows:
            if self.is_over(self.items[jid_of(row)]) and not self.engine.manager.read([row.id]):
                del self.items[jid_of(row)]
        if reservation is None:
            assert all(jid_of(row) not in self.items for row in rows)
            return
        jid = reservation.job.jid
        assert not self.is_over(self.items[jid])
        self.items[jid].works = True
        self.held[jid] = reservation
        if fate != "hold":
            self.finish(jid, fate)

    @rule(which=number, fate=st.sampled_from(["ack", "fail", "give back"]))
    def finish_one(self, which: int, fate: str) -> None:
        jids = sorted(reservation.job.jid for reservation in self.engine.manager.reservations())
        if jids:
            self.finish(jids[which % len(jids)], fate)

    def finish(self, jid: str, fate: str) -> None:
        item, reservation = self.items[jid], self.held.pop(jid, None)
        item.works = False
        if fate == "ack":
            self.engine.manager.ack(jid, "")
            del self.items[jid]
        elif fate == "fail" or reservation is None:
            self.engine.fail(jid)
            if item.retry == 0:
                del self.items[jid]
            elif item.retry < 0:
                item.end = None
        else:
            queue = self.engine.manager.queues().get(reservation.job.queue)
            if queue is None or reservation.job.position < queue.floor:
                del self.items[jid]
            self.engine.manager.give_back(reservation)

    @rule()
    def a_client_that_is_gone_waits(self) -> None:
        if not self.engine.manager.queue_sizes().get("default"):
            Client(self.engine, "default", there=False)

    @rule(which=number, action=st.sampled_from(["delete", "kill", "retry", "priority"]), priority=st.integers(1, 9))
    def change(self, which: int, action: str, priority: int) -> None:
        rows = [row for row in self.rows() if action in possible_actions(row.place)]
        rows = [row for row in rows if not self.is_over(self.items[jid_of(row)])]
        if rows:
            row = rows[which % len(rows)]
            change_one(self.engine.manager, action, row.id, priority)
            if action == "delete":
                del self.items[jid_of(row)]
            elif action == "kill":
                self.items[jid_of(row)].end = None

    @rule()
    def remove(self) -> None:
        for row in self.rows():
            if row.place == Place.QUEUED:
                del self.items[jid_of(row)]
        self.engine.manager.remove_queues(["default"])

    @rule(seconds=st.sampled_from([1, 9, 50, 90]), step=st.sampled_from([0, 0, 0, -30, 30]))
    def pass_time(self, seconds: float, step: float) -> None:
        self.clock.advance(seconds)
        self.clock.step_wall(step)
        self.engine.upkeep()
        self.items = {jid: item for jid, item in self.items.items() if item.works or not self.is_over(item)}

    @rule(what=st.sampled_from(["commit", "commit", "crash", "restart", "flush"]))
    def lose(self, what: str) -> None:
        if what == "flush":
            self.engine.manager.flush()
            self.items, self.held = {}, {}
        elif what == "commit":
            self.engine.commit()
            self.committed = copy.deepcopy(self.items)
        else:
            if what == "restart":
                self.committed = copy.deepcopy(self.items)
            getattr(self.engine, what)()
            self.items, self.held = copy.deepcopy(self.committed), {}

    def rows(self) -> list[JobRow]:
        manager = self.engine.manager
        places = [(Place.QUEUED, name) for name in manager.queue_names()]
        places += [(place, "") for place in (Place.SCHEDULED, Place.RETRIES, Place.DEAD)]
        return [row for where in places for rows in manager.views.page(*where, count=100_000) for row in rows]

    @invariant()
    def the_same_jobs_are_there(self) -> None:
        working = [reservation.job.jid for reservation in self.engine.manager.reservations()]
        assert sorted(working) == sorted(jid for jid, item in self.items.items() if item.works)
        rows = self.rows()
        assert sorted(jid_of(row) for row in rows) == sorted(jid for jid, item in self.items.items() if not item.works)
        ends = {jid_of(row): self.expiry._ends.get(row.id) for row in rows}
        assert {jid: end and round(end, 3) for jid, end in ends.items()} == {
            jid: item.end and round(item.end, 3) for jid, item in self.items.items() if not item.works
        }

    def teardown(self) -> None:
        try:
            self.pass_time(0, 0)
            self.lose("commit")
            self.lose("crash")
            self.the_same_jobs_are_there()
            assert len(self.expiry) == sum(item.end is not None for item in self.items.values())
        finally:
            self.engine.stop()
            shutil.rmtree(self.directory)


def test_the_jobs_that_are_there_are_those_that_a_simple_model_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """With windows that are soon too small."""
    monkeypatch.setattr(edits, "_WINDOW", 2)
    monkeypatch.setattr(edits, "_WINDOWS", 1)
    steps = settings(
        max_examples=EXAMPLES or 150,
        stateful_step_count=50,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=steps)
