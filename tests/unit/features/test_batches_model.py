"""Batches against a model: what is counted and fired, whatever happens in whichever order, crashes included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from faktory_tw.core.facts import Feature
from faktory_tw.features import batches as batches_module
from faktory_tw.features.batches import Batches
from faktory_tw.features.batches.records import KINDS
from faktory_tw.features.batches.views import BatchView
from faktory_tw.features.changes import change_one, possible_actions
from faktory_tw.features.expiry import Expiry
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from tests.unit.doubles import DAY, Engine, jid_of
from tests.unit.features.batch_town import times
from tests.unit.features.model import NUMBER, Model, run_model

QUEUES = ("a", "b")
OPEN_SECONDS, KEPT_SECONDS = 200, 300
SETTLED = ("done", "lost")
RETRIES = st.sampled_from([-1, 0, 25, 25])


@dataclass
class Item:
    """A job. ``batch``: whose member; ``call``: whose callback, and which; ``end``: when it expires."""

    retry: int
    batch: str = ""
    call: tuple[str, str] | None = None
    end: float | None = None
    died_at: float | None = None
    works: bool = False


@dataclass
class Group:
    """A batch. ``members``: new, failed, done or gone, by jid. ``calls``: "", fired, done or lost, by kind."""

    parent: str
    touched: float
    calls: dict[str, str]
    members: dict[str, str] = field(default_factory=dict)
    about: set[str] = field(default_factory=set)  # what came about without a callback
    committed: bool = False
    once: bool = False
    spoiled: bool = False
    afflicted: bool = False
    dropped: bool = False
    ended: float | None = None

    def count(self, *states: str) -> int:
        return sum(state in states for state in self.members.values())

    @property
    def hopeless(self) -> bool:
        return self.spoiled or self.dropped or self.count("gone") > 0 or self.calls.get("success") == "lost"

    @property
    def is_complete(self) -> bool:
        return self.dropped or "complete" in self.about or self.calls.get("complete") in SETTLED

    @property
    def is_success(self) -> bool:
        return "success" in self.about or self.calls.get("success") == "done"


class Machine(Model):
    kept = ("items", "groups", "callbacks")
    items: dict[str, Item]
    slow = False

    def begin(self) -> None:
        self.groups: dict[str, Group] = {}
        self.callbacks: dict[str, int] = {}  # the retry of each that was not fired so far, by jid
        self.begun = 0
        self.refuses = False

    def features(self) -> Sequence[Feature]:
        self.batches = Batches(lambda: f"b-{self.begun}")
        self.batches.configure(times(OPEN_SECONDS, KEPT_SECONDS))
        return (Expiry(), self.batches)

    def restarted(self) -> None:
        self.engine.manager.refuse_pushes = "full" if self.refuses else ""
        for group in self.groups.values():
            group.touched = self.clock.monotonic()
        self.engine.upkeep()
        self.time_passed()

    # -- the model -------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        while any(self.advance(bid, group) for bid, group in self.groups.items() if not group.dropped):
            pass
        for bid, group in self.groups.items():
            if group.ended is None and self.is_over(bid, group):
                group.ended = self.clock.time()

    def children(self, bid: str) -> list[Group]:
        return [group for group in self.groups.values() if group.parent == bid]

    def advance(self, bid: str, group: Group) -> bool:
        children = self.children(bid)
        before = (group.afflicted, group.spoiled, set(group.about), dict(group.calls))
        group.afflicted |= group.count("gone") > 0 or any(child.afflicted for child in children)
        group.spoiled |= any(child.hopeless for child in children)
        complete = group.committed and not group.count("new") and all(child.is_complete for child in children)
        success = (
            group.committed
            and group.count("done") == len(group.members)
            and not group.hopeless
            and all(child.is_success for child in children)
        )
        ordered = "complete" not in group.calls or group.calls["complete"] in SETTLED
        if complete:
            group.about.add("complete")
        if success:
            group.about.add("success")
        due = {"death": group.afflicted, "complete": complete, "success": success and ordered}
        for kind in group.calls:
            group.about.discard(kind)
            if due[kind] and not group.calls[kind] and not self.refuses:
                group.calls[kind] = "fired"
                self.items[f"call-{bid}-{kind}"] = Item(self.callbacks[f"{bid}-{kind}"], call=(bid, kind))
        return before != (group.afflicted, group.spoiled, set(group.about), dict(group.calls))

    def is_over(self, bid: str, group: Group) -> bool:
        return (
            not group.dropped
            and group.committed
            and group.count("new", "failed") == 0
            and group.is_complete
            and (group.is_success or group.hopeless)
            and "fired" not in group.calls.values()
            and (not group.afflicted or group.calls.get("death") != "")
        )

    def happened(self, jid: str, what: str) -> None:
        """What became of a job: ``done``, ``failed``, ``dead`` or ``gone``."""
        item = self.items[jid]
        item.works = False
        if what == "failed" and item.retry == 0:
            what = "gone"
        elif what == "failed" and item.retry < 0:
            what = "dead"
        group = self.groups.get(item.batch)
        if group is not None and not group.dropped:
            group.afflicted |= what == "dead"
            group.members[jid] = "failed" if what == "dead" else what
        if what in ("done", "gone"):
            del self.items[jid]
            if item.call and item.call[0] in self.groups and not self.groups[item.call[0]].dropped:
                self.groups[item.call[0]].calls[item.call[1]] = "done" if what == "done" else "lost"
        if what == "dead":
            item.end, item.died_at = None, self.clock.time()

    def time_passed(self) -> None:
        self.check_jobs()
        before = self.clock.monotonic() - OPEN_SECONDS
        for group in self.groups.values():
            if group.committed or group.dropped or group.touched > before or self.refuses:
                continue
            if group.once:
                group.committed = True
            else:
                group.dropped = group.afflicted = True
                group.ended = self.clock.time()
                if group.parent:
                    self.groups[group.parent].spoiled = self.groups[group.parent].afflicted = True
        self.settle()
        for bid, group in reversed(self.groups.copy().items()):
            is_old = group.ended is not None and group.ended <= self.clock.time() - KEPT_SECONDS
            if (is_old or group.dropped) and not self.children(bid):
                del self.groups[bid]
        self.check_jobs()

    def check_jobs(self) -> None:
        """Take notice of jobs that are gone, or not worked any more, because of the time."""
        there = {jid_of(row): row for row in self.rows()}
        working = {reservation.job.jid for reservation in self.engine.manager.reservations()}
        now = self.clock.time()
        for jid, item in list(self.items.items()):
            if item.works and jid not in working:
                self.happened(jid, "failed")
        for jid, item in list(self.items.items()):
            if not item.works and jid not in there:
                expired = item.end is not None and item.end <= now
                if expired or (item.died_at is not None and item.died_at <= now - 180 * DAY):
                    self.happened(jid, "gone")
        self.settle()

    # -- rules -----------------------------------------------------------------------------------------------------

    def ask(self, command: str) -> bytes:
        return self.batches.execute(command.encode())

    def chosen(self, which: int) -> str:
        bids = [bid for bid, group in self.groups.items() if not group.dropped]
        return bids[which % len(bids)] if bids else ""

    @rule(
        kinds=st.sets(st.sampled_from(KINDS), min_size=1),
        which=NUMBER,
        nested=st.booleans(),
        queue=st.sampled_from(QUEUES),
        retry=RETRIES,
    )
    def new(self, kinds: set[str], which: int, nested: bool, queue: str, retry: int) -> None:
        self.begun += 1
        bid, parent = f"b-{self.begun}", self.chosen(which) if nested else ""
        asked: dict[str, object] = {"parent_bid": parent}
        for kind in sorted(kinds):
            asked[kind] = {"jid": f"call-{bid}-{kind}", "jobtype": kind, "queue": queue, "retry": retry}
            self.callbacks[f"{bid}-{kind}"] = retry
        self.ask("NEW " + json.dumps(asked))
        self.groups[bid] = Group(parent, self.clock.monotonic(), dict.fromkeys(sorted(kinds), ""))

    @rule(
        which=NUMBER,
        queue=st.sampled_from(QUEUES),
        retry=RETRIES,
        seconds=st.sampled_from([None, None, 30]),
        delay=st.sampled_from([None, None, None, 40]),
    )
    def push(self, which: int, queue: str, retry: int, seconds: int | None, delay: int | None) -> None:
        bid, now = self.chosen(which), self.clock.time()
        if not bid or self.refuses:
            return
        jid = self.new_jid()
        custom: dict[str, object] = {"bid": bid, "_bid": bid}
        end = None
        if seconds is not None:
            custom["expires_in"] = seconds
            end = now + (delay or 0) + seconds
        at = None if delay is None else rfc3339(now + delay)
        self.engine.push(jid, queue=queue, custom=custom, retry=retry, at=at)
        self.items[jid] = Item(retry, bid, end=end)
        group = self.groups[bid]
        group.members[jid] = "new"
        group.ended = None
        group.touched = self.clock.monotonic()

    @rule(which=NUMBER)
    def open(self, which: int) -> None:
        if bid := self.chosen(which):
            self.ask(f"OPEN {bid}")
            group = self.groups[bid]
            group.touched = self.clock.monotonic()
            group.ended, group.committed = None, False

    @rule(which=NUMBER)
    def commit(self, which: int) -> None:
        if bid := self.chosen(which):
            self.ask(f"COMMIT {bid}")
            self.groups[bid].committed = self.groups[bid].once = True
            self.settle()

    @rule(queue=st.sampled_from(QUEUES), fate=st.sampled_from(["hold", "ack", "ack", "fail", "give back"]))
    def work(self, queue: str, fate: str) -> None:
        reservation = self.engine.reserve(queue)
        self.check_jobs()
        if reservation is None:
            return
        jid = reservation.job.jid
        self.items[jid].works = True
        self.held[jid] = reservation
        if fate != "hold":
            self.finish(jid, fate)

    def finish(self, jid: str, fate: str) -> None:
        reservation = self.held.pop(jid, None)
        if fate == "ack":
            self.engine.manager.ack(jid, "")
            self.happened(jid, "done")
        elif fate == "fail" or reservation is None:
            self.engine.fail(jid)
            self.happened(jid, "failed")
        else:
            stays = self.stays(reservation)
            self.engine.manager.give_back(reservation)
            self.items[jid].works = False
            if not stays:
                self.happened(jid, "gone")
        self.settle()

    @rule(which=NUMBER, fate=st.sampled_from(["ack", "fail"]))
    def finish_and_crash(self, which: int, fate: str) -> None:
        """What was left for later when the server was killed is done after the start."""
        self.finish_one(which, fate)
        self.lose("commit")
        self.lose("crash")

    @rule(which=NUMBER, action=st.sampled_from(["delete", "kill", "retry", "priority"]), priority=st.integers(1, 9))
    def change(self, which: int, action: str, priority: int) -> None:
        rows = [row for row in self.rows() if action in possible_actions(row.place)]
        if rows:
            row = rows[which % len(rows)]
            change_one(self.engine.manager, action, row.id, priority)
            if action == "delete":
                self.happened(jid_of(row), "gone")
            elif action == "kill":
                self.happened(jid_of(row), "dead")
            self.check_jobs()

    @rule(cmd=st.sampled_from(["clear", "kill", "requeue"]), place=st.sampled_from(["scheduled", "retries", "dead"]))
    def mutate(self, cmd: str, place: str) -> None:
        if (cmd, place) == ("kill", "dead"):
            return
        rows = self.engine.rows(Place[place.upper()])
        self.engine.mutate(cmd, place)
        for row in rows:
            if cmd != "requeue":
                self.happened(jid_of(row), "gone" if cmd == "clear" else "dead")
        self.check_jobs()

    @rule(queue=st.sampled_from(QUEUES), clear=st.booleans())
    def remove(self, queue: str, clear: bool) -> None:
        rows = [row for row in self.rows() if row.place == Place.QUEUED and row.queue == queue]
        if clear:
            self.engine.manager.edits.clear_queue(queue)
        else:
            self.engine.manager.remove_queues([queue])
        self.engine.upkeep()
        for row in rows:
            self.happened(jid_of(row), "gone")
        self.check_jobs()

    @rule(refuses=st.booleans())
    def fill_the_disk(self, refuses: bool) -> None:
        self.refuses = refuses
        self.engine.manager.refuse_pushes = "full" if refuses else ""
        self.engine.upkeep()
        self.time_passed()

    @rule(days=st.sampled_from([1, 181]))
    def pass_days(self, days: int) -> None:
        self.pass_time(days * DAY, 0)

    # -- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        if self.slow:
            self.engine.upkeep()
            self.check_jobs()
        working = [reservation.job.jid for reservation in self.engine.manager.reservations()]
        assert sorted(working) == sorted(jid for jid, item in self.items.items() if item.works)
        rows = {row.id: jid_of(row) for row in self.rows()}
        assert sorted(rows.values()) == sorted(jid for jid, item in self.items.items() if not item.works)
        assert [view.bid for view in self.batches.page(None, 1000)] == list(self.groups)[::-1]
        for bid, group in self.groups.items():
            view = self.batches.get(bid)
            assert view is not None
            self.check_view(view, bid, group)
            if not group.dropped:
                ids = self.batches.failed_jobs(bid, 1000)
                failed = [row.body for row in self.engine.manager.read(ids)]
                jids = sorted(json.loads(body)["jid"] for body in failed)
                assert jids == sorted(jid for jid, state in group.members.items() if state == "failed")

    def check_view(self, view: BatchView, bid: str, group: Group) -> None:
        known = {"": "", "fired": "1", "done": "2", "lost": "1"}
        states = [known[group.calls.get(kind, "")] for kind in KINDS]
        assert (view.committed, view.dropped, view.ended_at) == (group.committed, group.dropped, group.ended)
        assert (view.parent_bid or "", view.children) == (group.parent, len(self.children(bid)))
        if group.dropped:
            return
        assert [view.complete_st, view.success_st, view.death_st] == states
        assert (view.total, view.succeeded, view.gone) == (len(group.members), group.count("done"), group.count("gone"))
        assert (view.pending, view.failed) == (group.count("new", "failed"), group.count("failed", "gone"))
        assert sorted(view.callback_ids) == sorted(kind for kind, state in group.calls.items() if state == "fired")

    def check_end(self) -> None:
        """When everybody goes on working, and nobody opens anything, no batch stays for ever."""
        self.everything_is_as_the_model_says()
        self.engine.manager.refuse_pushes = ""
        for turn in range(3 * len(self.groups) + 6):
            drain(self.engine, fails=turn < 3)
        assert len(self.batches) == 0
        self.engine.commit()
        assert not self.engine.sizes()["queued"]
        assert not list(self.batches._index._tree)
        assert not self.batches._index._open
        assert not self.batches._index._ended


def drain(engine: Engine, fails: bool) -> None:
    """Let half a year pass, with all jobs worked; every third one may fail."""
    engine.pass_time(181 * DAY)
    for number, jid in enumerate(engine.jids(*QUEUES)):
        if fails and number % 3 == 0:
            engine.fail(jid)
        else:
            engine.manager.ack(jid, "")


class SlowMachine(Machine):
    """Everything that one batch means for another is left for later."""

    slow = True


def test_batches_are_what_a_simple_model_says() -> None:
    run_model(Machine)


def test_batches_are_what_a_simple_model_says_when_chains_are_continued_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "_AT_ONCE", 0)
    run_model(SlowMachine)
