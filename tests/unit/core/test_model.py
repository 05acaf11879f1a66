"""The job manager with its store against a model that is too simple to be wrong.

Commands, time, commits, restarts and crashes come in any order. After every step memory is compared with the model, from
time to time what is on disk with what the model had at the last commit, and at the end everything is fetched. A run with
``FAKTORY_TW_EXAMPLES=2000`` takes minutes and finds what a short one does not.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from faktory_tw.core.manager import Reservation
from faktory_tw.core.workers import State, Worker
from faktory_tw.features.changes import ACTIONS, Change, change_one
from faktory_tw.features.search import Filter, Where, place_name
from faktory_tw.storage.journal import JOURNAL_SECONDS
from faktory_tw.storage.store import Batch, JobRow, Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.core.reference import PLACES, Item, Kept, Reference, Waiter
from tests.unit.doubles import DAY, HOUR, Client, Engine, FakeClock, copy_directory, delivered

EXAMPLES = int(os.environ.get("FAKTORY_TW_EXAMPLES", "0"))
STEPS = 70
QUEUES = ("a", "b")
WORKERS = ("", "w1", "w2")
SAME_JIDS = ("same-jid-1", "same-jid-2")
TYPES = ("Mail", "Bulk")
SETS = dict(zip(PLACES, (Place.SCHEDULED, Place.RETRIES, Place.DEAD), strict=True))
FATES = ("hold", "hold", "ack", "fail", "give back")
DICE = 7

number = st.integers(0, 50)
names = st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")])
some_queues = st.one_of(names, st.just(("*",)))
jobs = st.fixed_dictionaries(
    {
        "queue": st.sampled_from(QUEUES),
        "priority": st.sampled_from([None, 0, 1, 5, 5, 9, 12]),
        "at": st.sampled_from([None, None, None, None, -5, 5, 100]),
        "retry": st.sampled_from([None, -1, 0, 1, 2]),
        "reserve_for": st.sampled_from([None, 1, 60, 100]),
        "same": st.sampled_from([None, None, *SAME_JIDS]),
        "failed": st.sampled_from([None, None, None, 0, 3]),
        "jobtype": st.sampled_from(TYPES),
    }
)


class Machine(RuleBasedStateMachine):
    """Does the same to both and compares."""

    def __init__(self) -> None:
        super().__init__()
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a thousand starts sync a file each
        self.directory = Path(tempfile.mkdtemp(prefix="faktory-model-", dir=in_memory))
        self.clock = FakeClock()
        self.engine = Engine(self.directory / "data", self.clock, JOURNAL_SECONDS)
        self.engine.dice.number = DICE
        self.model = Reference(self.clock, DICE)
        self.committed = Kept()
        self.sealed: tuple[Batch, Kept] | None = None
        self.seen: tuple[int, int] | None = None  # what was the newest when somebody looked, here and in the model
        self.pushed = 0
        self.checks = 0
        self.types: dict[int, str] = {}
        self.held: dict[int, Reservation] = {}
        self.workers: dict[str, Worker] = {}
        self.clients: list[tuple[Client, Waiter]] = []

    # -- producers -----------------------------------------------------------------------------------------------

    @rule(several=st.lists(jobs, min_size=1, max_size=5))
    def push(self, several: list[dict[str, Any]]) -> None:
        now = self.clock.time()
        for job in several:
            self.pushed += 1
            jid = job["same"] or f"jid-{self.pushed:04}"
            self.types[self.pushed] = job["jobtype"]
            at = None if job["at"] is None else now + job["at"]
            sent = {key: job[key] for key in ("queue", "priority", "retry", "reserve_for", "jobtype")}
            sent["at"] = None if at is None else rfc3339(at)
            sent["failure"] = None if job["failed"] is None else {"retry_count": job["failed"]}
            self.engine.push(jid, now=now, args=[self.pushed], **sent)
            retry = 25 if job["retry"] is None else job["retry"]
            priority = job["priority"] if job["priority"] in range(1, 10) else 5
            lease = max(job["reserve_for"], 60) if job["reserve_for"] else 1800
            item = Item(self.pushed, jid, job["queue"], priority, retry, lease)
            item.failures = -1 if job["failed"] is None else job["failed"]
            self.model.push(item, at)

    # -- workers -------------------------------------------------------------------------------------------------

    @rule(queues=names, wid=st.sampled_from(WORKERS), then=st.lists(st.sampled_from(FATES), min_size=1, max_size=4))
    def work(self, queues: tuple[str, ...], wid: str, then: list[str]) -> None:
        for fate in then:
            self.fetch(queues, wid, fate)

    def fetch(self, queues: tuple[str, ...], wid: str, then: str) -> None:
        worker = self.workers.get(wid)
        wid = wid if worker else ""
        reservation = self.engine.reserve(*queues, worker=worker)
        item = self.model.fetch(queues, wid)
        if reservation is None or item is None:
            assert reservation is None
            assert item is None
            return
        check_delivery(delivered(reservation), item)
        self.held[item.number] = reservation
        if then == "give back":
            self.engine.manager.give_back(self.held.pop(item.number))
            self.model.give_back(item)
        elif then != "hold":
            self.end(item.jid, wid, fails=then == "fail")

    @rule(queues=names, wid=st.sampled_from(WORKERS), there=st.sampled_from([True, True, False]))
    def wait(self, queues: tuple[str, ...], wid: str, there: bool) -> None:
        """A FETCH that finds nothing waits; one that would find something is not tried here."""
        worker = self.workers.get(wid)
        wid = wid if worker else ""
        full = {name for name in QUEUES if self.model.queued(name) and not self.model.kept.queues[name][0]}
        queues = tuple(name for name in queues if name not in full)
        if queues:
            client = Client(self.engine, *queues, worker=worker, there=there)
            self.clients.append((client, self.model.wait(queues, wid, there)))

    @rule(which=number, wid=st.sampled_from(WORKERS), fails=st.booleans())
    def finish(self, which: int, wid: str, fails: bool) -> None:
        jids = [*sorted({item.jid for item in self.model.where("working")}), "unknown-jid"]
        self.end(jids[which % len(jids)], wid, fails)

    def end(self, jid: str, wid: str, fails: bool) -> None:
        item = self.model.held(jid, wid)
        if not fails:
            assert self.engine.manager.ack(jid, wid) is (item is not None)
            if item is not None:
                self.model.ack(item)
            return
        try:
            self.engine.fail(jid, wid)
        except CommandError:
            assert item is None
        else:
            assert item is not None
            self.model.fail(item)

    @precondition(lambda self: any(item.number in self.held for item in self.model.where("working")))
    @rule(which=number)
    def give_back(self, which: int) -> None:
        items = [item for item in self.model.where("working") if item.number in self.held]
        item = items[which % len(items)]
        self.engine.manager.give_back(self.held.pop(item.number))
        self.model.give_back(item)

    @rule(wid=st.sampled_from(WORKERS[1:]))
    def connect(self, wid: str) -> None:
        self.workers[wid] = self.engine.worker(wid, beats=False)
        self.model.connect(wid)

    @precondition(lambda self: self.workers)
    @rule(which=number)
    def leave(self, which: int) -> None:
        wid = sorted(self.workers)[which % len(self.workers)]
        self.engine.manager.disconnect_worker(self.workers[wid])
        self.model.leave(wid)
        if wid not in self.model.connections:
            del self.workers[wid]
            for client, waiter in self.clients:
                if waiter.wid == wid:
                    self.engine.manager.stop_waiting(client.waiter)

    @rule(wid=st.sampled_from(WORKERS[1:]), quiet=st.sampled_from([False, False, True]))
    def beat(self, wid: str, quiet: bool) -> None:
        state = self.engine.manager.beat(wid, "quiet" if quiet else None, 0)
        told = self.model.beat(wid, quiet)
        assert state == (None if told is None else State(told))

    # -- operators -----------------------------------------------------------------------------------------------

    @rule(queues=some_queues, paused=st.sampled_from([True, False, False]))
    def pause(self, queues: tuple[str, ...], paused: bool) -> None:
        self.engine.manager.pause(queues, paused)
        self.model.pause(queues, paused)

    @rule(
        cmd=st.sampled_from(["clear", "discard", "kill", "requeue", "requeue"]),
        place=st.sampled_from(PLACES),
        jid=st.sampled_from([None, None, *SAME_JIDS]),
        jobtype=st.sampled_from([None, *TYPES]),
    )
    def mutate(self, cmd: str, place: str, jid: str | None, jobtype: str | None) -> None:
        wanted: dict[str, Any] = {"jids": [jid]} if jid else {"jobtype": jobtype} if jobtype else {}
        self.engine.mutate(cmd, place, **wanted)

        def matches(item: Item) -> bool:
            return item.jid == jid if jid else jobtype in (None, self.types[item.number])

        self.model.mutate(cmd, place, matches)

    @rule(
        action=st.sampled_from(["delete", "kill", "priority", "priority"]),
        queue=st.sampled_from(QUEUES),
        jobtype=st.sampled_from([None, *TYPES, *TYPES]),
        priority=st.sampled_from([1, 5, 9]),
        looked=st.booleans(),
    )
    def change_queued(self, action: str, queue: str, jobtype: str | None, priority: int, looked: bool) -> None:
        seen = self.seen if looked else None
        where, wanted = Where(Place.QUEUED, queue), Filter(jobtype=jobtype)
        new_priority = priority if action == "priority" else None
        items = [item for item in self.model.queued(queue) if jobtype in (None, self.types[item.number])]
        if action == "priority":
            items = [item for item in items if item.priority != priority]
        items = self.carry_out(
            Change(self.engine.manager, action, where, wanted, new_priority, seen and seen[0]), items, seen
        )
        if action == "delete" and jobtype is None and seen is None:
            self.model.clear(queue)
        else:
            self.model.change(action, items, priority)

    @rule(
        action=st.sampled_from(["delete", "kill", "retry"]),
        place=st.sampled_from(PLACES),
        jobtype=st.sampled_from([None, *TYPES]),
    )
    def change_set(self, action: str, place: str, jobtype: str | None) -> None:
        if (action, place) == ("kill", "dead"):
            return
        where, wanted = Where(Place[place.upper()]), Filter(jobtype=jobtype)
        items = [item for item in self.model.timed(place) if jobtype in (None, self.types[item.number])]
        change = Change(self.engine.manager, action, where, wanted, None, self.seen and self.seen[0])
        self.model.change(action, self.carry_out(change, items, self.seen), 5)

    @rule()
    def look(self) -> None:
        """Somebody looks, and acts later."""
        self.seen = self.engine.manager.views.newest(), self.model.newest()

    def carry_out(self, change: Change, items: list[Item], seen: tuple[int, int] | None) -> list[Item]:
        """Carry it out. Returns the jobs of ``items`` that it means: those that were there when somebody looked."""
        for _ in change.steps():
            pass
        meant = [item for item in items if seen is None or item.position <= seen[1]]
        assert change.matched == len(meant)
        return meant

    @precondition(lambda self: self.model.kept.items)
    @rule(which=number, action=st.sampled_from(["delete", "kill", "retry", "priority"]), priority=st.integers(1, 9))
    def change_one(self, which: int, action: str, priority: int) -> None:
        items = sorted(self.model.kept.items.values(), key=lambda item: item.number)
        item = items[which % len(items)]
        job_id = next(row.id for row in everything(self.engine) if json.loads(row.body)["args"] == [item.number])
        possible = item.place in [place_name(place) for place in ACTIONS[action]]
        try:
            change_one(self.engine.manager, action, job_id, priority)
        except CommandError:
            assert not possible
        else:
            assert possible
            self.model.change(action, [item], priority)

    # -- time ----------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 2, 16, 16, 31, 31, 61, 61, 101, 1801, DAY, 181 * DAY]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.engine.manager.end_waits()
        self.engine.upkeep()
        self.model.end_waits()
        self.model.upkeep()

    @rule(seconds=st.sampled_from([-5 * HOUR, -60, 60, 5 * HOUR]))
    def set_wall_clock(self, seconds: float) -> None:
        self.clock.step_wall(seconds)

    # -- disk ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.sealed is None)
    @rule()
    def seal(self) -> None:
        """A batch is on its way to the disk while the next one is filled."""
        self.sealed = self.engine.manager.seal(), self.model.snapshot()

    @precondition(lambda self: self.sealed is not None)
    @rule(at_once=st.booleans())
    def land(self, at_once: bool) -> None:
        assert self.sealed is not None
        batch, self.committed = self.sealed
        if not (at_once and self.engine.store.write_at_once(batch)):
            self.engine.store.write(batch)
        self.engine.store.written()
        self.sealed = None

    @rule(checkpoint=st.booleans())
    def commit(self, checkpoint: bool) -> None:
        if self.sealed is not None:
            self.land(at_once=False)
        self.seal()
        self.land(at_once=False)
        if checkpoint:
            self.engine.store.upkeep()

    @rule(what=st.sampled_from(["crash", "crash", "restart", "remove", "remove", "flush"]), queues=some_queues)
    def lose(self, what: str, queues: tuple[str, ...]) -> None:
        """What makes an end of much that was there: one rule, so that it is not done all the time."""
        if what == "remove":
            self.engine.manager.remove_queues(queues)
            self.model.remove(queues)
        elif what == "flush":
            self.engine.manager.flush()
            self.model.flush()
        elif what == "crash":
            self.engine.crash()
            self.begin_anew()
        else:
            if self.sealed is not None:
                self.land(at_once=False)
            self.engine.restart()
            self.committed = self.model.snapshot()
            self.begin_anew()

    def begin_anew(self) -> None:
        self.model.restart(self.committed)
        self.sealed = self.seen = None
        self.held, self.workers, self.clients = {}, {}, []

    @rule()
    def look_at_the_disk(self) -> None:
        """A server that is started on a copy has what was committed, and serves it in the right order."""
        self.checks += 1
        directory = copy_directory(self.engine.directory, self.directory / f"check{self.checks}")
        engine = Engine(directory, self.clock)
        model = Reference(self.clock, DICE)
        model.restart(self.committed)
        try:
            compare(engine, model)
            if not self.committed.unswept:
                assert engine.rows_on_disk() == len(self.committed.items)
                assert engine.rows_on_disk("places") <= len(self.committed.items)
            drain(engine, model)
        finally:
            engine.stop()
            shutil.rmtree(directory)

    # -- comparing -----------------------------------------------------------------------------------------------

    @invariant()
    def both_are_the_same(self) -> None:
        compare(self.engine, self.model)
        for client, waiter in self.clients:
            got = [None if job is None else job["args"][0] for job in client.jobs]
            assert got == waiter.got
            if client.reservation is not None and client.reservation is not self.held.get(got[0]):
                check_delivery(client.jobs[0], self.model.kept.items.get(got[0]))
                self.held[got[0]] = client.reservation
        self.clients = [(client, waiter) for client, waiter in self.clients if not waiter.got and waiter.there]

    def teardown(self) -> None:
        try:
            self.look_at_the_disk()
            drain(self.engine, self.model)
        finally:
            self.engine.stop()
            shutil.rmtree(self.directory)


def check_delivery(job: dict[str, Any] | None, item: Item | None) -> None:
    """The worker got this job, with the failures it had."""
    assert job is not None
    assert item is not None
    assert (job["args"], job["jid"], job["queue"]) == ([item.number], item.jid, item.queue)
    assert job["enqueued_at"] == rfc3339(item.enqueued_at)
    assert job.get("failure", {"retry_count": -1})["retry_count"] == item.failures


def compare(engine: Engine, model: Reference) -> None:
    """Every job is in the place in which the model has it, and counted there."""
    manager = engine.manager
    assert manager.queue_sizes() == {name: len(model.queued(name)) for name in sorted(model.kept.queues)}
    for name in model.kept.queues:
        queued = [row for part in manager.views.page(Place.QUEUED, name, count=100_000) for row in part]
        found = [(json.loads(row.body)["args"][0], row.priority) for row in queued]
        assert found == [(item.number, item.priority) for item in model.queued(name)]
    for place, at in SETS.items():
        rows = engine.rows(at)
        told = [(entry[0], json.loads(row.body)["args"][0]) for entry, row in zip(walk(engine, at), rows, strict=True)]
        assert told == [(item.at, item.number) for item in model.timed(place)]
        counts = [json.loads(row.failure or b'{"retry_count":-1}')["retry_count"] for row in rows]
        assert counts == [item.failures for item in model.timed(place)]
    reserved = list(manager.reservations())
    rows = manager.read([reservation.job.id for reservation in reserved])
    assert {row.place for row in rows} <= {Place.WORKING}
    assert sorted(
        (json.loads(row.body)["args"][0], reservation.job.jid, reservation.wid, reservation.seconds, row.wid)
        for row, reservation in zip(rows, reserved, strict=True)
    ) == sorted((item.number, item.jid, item.wid, item.lease, item.wid) for item in model.where("working"))
    history = manager.history
    assert (history.processed, history.failures) == (model.kept.processed, model.kept.failures)
    assert history.days() == model.kept.days
    assert len(manager.workers) == len(model.connections)


def everything(engine: Engine) -> list[JobRow]:
    """All jobs, in the order of their places."""
    views = engine.manager.views
    places = [(Place.QUEUED, name) for name in engine.manager.queue_names()]
    places += [(place, "") for place in (*SETS.values(), Place.WORKING)]
    return [row for where in places for rows in views.page(*where, count=100_000) for row in rows]


def walk(engine: Engine, place: Place) -> list[tuple[float, int]]:
    return engine.manager.walk(place, None, 100_000)


def drain(engine: Engine, model: Reference) -> None:
    """Fetch all there is, pauses lifted and nobody waiting."""
    engine.manager.end_waits(everybody=True)
    model.waiters = []
    engine.manager.pause(["*"], paused=False)
    model.pause(("*",), paused=False)
    for name in sorted(model.kept.queues):
        while (item := model.fetch((name,), "")) is not None:
            check_delivery(engine.fetch(name), item)
        assert engine.fetch(name) is None


def test_memory_and_disk_are_what_a_simple_model_says() -> None:
    steps = settings(
        max_examples=EXAMPLES or 200,
        stateful_step_count=STEPS,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=steps)
