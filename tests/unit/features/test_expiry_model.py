"""Jobs that expire against a model: none is given or kept too long, none is dropped too early, crashes included."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from faktory_tw.core import edits
from faktory_tw.features.changes import change_one, possible_actions
from faktory_tw.features.expiry import Expiry
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from tests.unit.doubles import Client, jid_of
from tests.unit.features.model import NUMBER, Model, run_model


@dataclass
class Item:
    """``end``: when it expires, None: never. Where it is says the engine; that it is there at all says the model."""

    end: float | None
    retry: int
    works: bool = False


class Machine(Model):
    items: dict[str, Item]

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
        jid, now = self.new_jid(), self.clock.time()
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
            if not self.stays(reservation):
                del self.items[jid]
            self.engine.manager.give_back(reservation)

    @rule()
    def a_client_that_is_gone_waits(self) -> None:
        if not self.engine.manager.queue_sizes().get("default"):
            Client(self.engine, "default", there=False)

    @rule(which=NUMBER, action=st.sampled_from(["delete", "kill", "retry", "priority"]), priority=st.integers(1, 9))
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

    def time_passed(self) -> None:
        self.items = {jid: item for jid, item in self.items.items() if item.works or not self.is_over(item)}

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

    def check_end(self) -> None:
        self.the_same_jobs_are_there()
        assert len(self.expiry) == sum(item.end is not None for item in self.items.values())


def test_the_jobs_that_are_there_are_those_that_a_simple_model_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """With windows that are soon too small."""
    monkeypatch.setattr(edits, "_WINDOW", 2)
    monkeypatch.setattr(edits, "_WINDOWS", 1)
    run_model(Machine)
