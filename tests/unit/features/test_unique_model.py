"""Locks of unique jobs against a model: who holds one, whatever happens in whichever order, crashes included."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from faktory_tw.features.changes import change_one, possible_actions
from faktory_tw.features.unique import Unique
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import Client, jid_of
from tests.unit.features.model import NUMBER, Model, run_model

QUEUES = ("a", "b")
number = st.integers(0, 50)


@dataclass
class Item:
    """A job that asked to be unique. ``until`` is when its lock ends; None: it has none any more."""

    key: tuple[str, int]
    mode: str
    retry: int
    until: float | None
    lent: float | None = None  # its lock when a worker got it


class Machine(Model):
    items: dict[str, Item]

    def features(self) -> tuple[Unique]:
        self.unique = Unique()
        return (self.unique,)

    def holder(self, key: tuple[str, int]) -> Item | None:
        now = self.clock.time()
        held = [item for item in self.items.values() if item.key == key and item.until is not None and item.until > now]
        assert len(held) <= 1
        return held[0] if held else None

    @rule(
        queue=st.sampled_from(QUEUES),
        arg=st.sampled_from([1, 2]),
        mode=st.sampled_from(["success", "start"]),
        seconds=st.sampled_from([10, 100, 1000]),
        delay=st.sampled_from([None, None, None, -5, 50]),
        retry=st.sampled_from([-1, 0, 25, 25]),
    )
    def push(self, queue: str, arg: int, mode: str, seconds: int, delay: int | None, retry: int) -> None:
        jid, now = self.new_jid(), self.clock.time()
        at = None if delay is None else rfc3339(now + delay)
        custom = {"unique_for": seconds, "unique_until": mode}
        holder = self.holder((queue, arg))
        try:
            self.engine.push(jid, queue=queue, args=[arg], at=at, custom=custom, retry=retry)
        except CommandError as refusal:
            assert refusal.code == "NOTUNIQUE"  # noqa: PT017 - whether there may be one is said below
            assert holder is not None
        else:
            assert holder is None
            until = now + max(delay or 0, 0) + seconds
            self.items[jid] = Item((queue, arg), mode, retry, until)

    @rule(queue=st.sampled_from(QUEUES), fate=st.sampled_from(["hold", "ack", "fail", "fail", "give back"]))
    def work(self, queue: str, fate: str) -> None:
        reservation = self.engine.reserve(queue)
        if reservation is None:
            return
        jid = reservation.job.jid
        item = self.items[jid]
        if item.mode == "start":
            item.lent, item.until = item.until, None
        self.held[jid] = reservation
        if fate != "hold":
            self.finish(jid, fate)

    def finish(self, jid: str, fate: str) -> None:
        item, reservation = self.items[jid], self.held.pop(jid, None)
        if fate == "ack":
            self.engine.manager.ack(jid, "")
            del self.items[jid]
        elif fate == "fail" or reservation is None:
            self.engine.fail(jid)
            item.lent = None
            if item.retry == 0:
                del self.items[jid]
            elif item.retry < 0:
                item.until = None
        else:
            stays = self.stays(reservation)
            free = self.holder(item.key) is None
            self.engine.manager.give_back(reservation)
            if item.lent is not None and free:
                item.until = item.lent
            item.lent = None
            if not stays:
                del self.items[jid]

    @rule(queue=st.sampled_from(QUEUES))
    def a_client_that_is_gone_waits(self, queue: str) -> None:
        if not self.engine.manager.queue_sizes().get(queue):
            Client(self.engine, queue, there=False)

    @rule(which=NUMBER, action=st.sampled_from(["delete", "kill", "retry", "priority"]), priority=st.integers(1, 9))
    def change(self, which: int, action: str, priority: int) -> None:
        rows = [row for row in self.rows() if action in possible_actions(row.place)]
        if rows:
            row = rows[which % len(rows)]
            change_one(self.engine.manager, action, row.id, priority)
            if action == "delete":
                del self.items[jid_of(row)]
            elif action == "kill":
                self.items[jid_of(row)].until = None

    @rule(cmd=st.sampled_from(["clear", "kill", "requeue"]), place=st.sampled_from([Place.SCHEDULED, Place.RETRIES]))
    def mutate(self, cmd: str, place: Place) -> None:
        for row in self.engine.rows(place):
            if cmd == "clear":
                del self.items[jid_of(row)]
            elif cmd == "kill":
                self.items[jid_of(row)].until = None
        self.engine.mutate(cmd, place.name.lower())

    @rule(queue=st.sampled_from(QUEUES), clear=st.booleans())
    def remove(self, queue: str, clear: bool) -> None:
        for row in self.rows():
            if row.place == Place.QUEUED and row.queue == queue:
                del self.items[jid_of(row)]
        if clear:
            self.engine.manager.edits.clear_queue(queue)
        else:
            self.engine.manager.remove_queues([queue])

    def time_passed(self) -> None:
        # A lock whose time is over is gone: one that the clock, set back, would call to life again has been swept.
        for item in self.items.values():
            if item.until is not None and item.until <= self.clock.time():
                item.until = None

    def restarted(self) -> None:
        for item in self.items.values():
            item.lent = None

    @invariant()
    def the_same_jobs_hold_locks(self) -> None:
        now, find = self.clock.time(), self.engine.manager.views.find
        found = {lock: find(lock.job_id) for lock in self.unique._locks.values() if lock.until > now}
        told = {jid_of(row): round(lock.until, 3) for lock, row in found.items() if row is not None}
        items = self.items.items()
        assert told == {jid: round(item.until, 3) for jid, item in items if item.until is not None and item.until > now}
        assert sorted(self.unique._by_job.values()) == list(self.unique._ends) == sorted(self.unique._locks.values())

    def check_end(self) -> None:
        self.the_same_jobs_hold_locks()


def test_the_locks_are_those_that_a_simple_model_has() -> None:
    run_model(Machine)
