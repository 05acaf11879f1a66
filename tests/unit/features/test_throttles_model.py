"""Throttles against a model: never more than the limit at once or in a time, and nothing waits for a slot that is free.

What is queued and what is worked says the engine; which jobs may go says the model, from the limits in force.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from faktory_tw.config.throttles import Throttle
from faktory_tw.core import admission
from faktory_tw.core.reservations import Reservation
from faktory_tw.features.changes import change_one
from faktory_tw.storage.store import JobRow, Place
from tests.unit.doubles import Client, jid_of
from tests.unit.features.mill import Mill

EXAMPLES = int(os.environ.get("FAKTORY_TW_EXAMPLES", "0"))
QUEUES = ("a", "b", "rated")
RATE = "rated = { rate = { limit = 1, period = 10, burst = 2 } }"  # always the same, so that the model can count tokens
LIMITS = (
    RATE,
    f"{RATE}\na = {{ concurrency = 2, timeout = 100 }}",
    f"{RATE}\na = {{ concurrency = 1 }}\nb = {{ worker = 1 }}",
    f'{RATE}\ntenants = {{ key = "0.tenant_id", concurrency = 1 }}',
    f'{RATE}\ntenants = {{ key = "0.tenant_id", worker = 1, timeout = 30 }}\na = {{ concurrency = 3 }}',
    f'{RATE}\ntenants = {{ queue = "a", key = "0.tenant_id", concurrency = 2, worker = 1 }}\nb = {{ concurrency = 1 }}',
    f'{RATE}\ncharges = {{ jobtype = "Charge", concurrency = 2 }}\nt = {{ key = "0.tenant_id", concurrency = 1 }}',
)
number = st.integers(0, 50)
wids = st.sampled_from(["", "w1", "w2"])
some_queues = st.sampled_from([("a",), ("b",), ("rated",), ("a", "b"), ("b", "rated", "a")])


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="faktory-throttles-", dir=in_memory))
        self.mill = Mill(self.directory, LIMITS[1])
        self.since: dict[str, float] = {}  # when a job was fetched, monotonic
        self.known: set[str] = set()
        self.tokens = (2.0, self.mill.clock.monotonic())
        self.committed = (set(self.known), dict(self.since), self.tokens)
        self.held: dict[str, Reservation] = {}
        self.clients: list[tuple[Client, str, tuple[str, ...]]] = []
        self.kinds: dict[str, tuple[str, str, str | None]] = {}  # queue, jobtype and tenant of a job

    # -- the model -----------------------------------------------------------------------------------------------

    def throttles(self, jid: str) -> list[tuple[Throttle, str | None]]:
        """What a job is subject to, with its key."""
        queue, jobtype, tenant = self.kinds[jid]
        found = []
        for throttle in self.mill.engine.settings.throttles:
            meant = throttle.queue in (None, queue) and throttle.jobtype in (None, jobtype)
            if meant and (not throttle.key or tenant is not None):
                found.append((throttle, tenant if throttle.key else None))
        return found

    def in_slots(self, throttle: Throttle, key: str | None, but: str = "") -> list[Reservation]:
        """The jobs that hold a slot of a lane."""
        now = self.mill.clock.monotonic()
        lasts = throttle.timeout or float("inf")
        return [
            reservation
            for reservation in self.mill.engine.manager.reservations()
            if reservation.job.jid != but
            and (throttle, key) in self.throttles(reservation.job.jid)
            and self.since[reservation.job.jid] + lasts > now
        ]

    def may_go(self, jid: str, wid: str, tokens: float) -> bool:
        for throttle, key in self.throttles(jid):
            held = self.in_slots(throttle, key, but=jid)
            if throttle.concurrency is not None and len(held) >= throttle.concurrency:
                return False
            if throttle.worker is not None and sum(each.wid == wid for each in held) >= throttle.worker:
                return False
            if throttle.rate is not None and tokens < 1:
                return False
        return True

    def fill(self) -> float:
        now = self.mill.clock.monotonic()
        level, at = self.tokens
        self.tokens = (min(level + (now - at) / 10, 2.0), now)
        return self.tokens[0]

    def given(self, reservation: Reservation, wid: str) -> None:
        """A worker got a job: it must have been one that may go."""
        jid = reservation.job.jid
        assert self.may_go(jid, wid, self.fill())
        if self.kinds[jid][0] == "rated":
            self.tokens = (self.tokens[0] - 1, self.tokens[1])
        self.since[jid] = self.mill.clock.monotonic()
        self.held[jid] = reservation

    def queued(self, name: str) -> list[JobRow]:
        return [row for rows in self.mill.engine.manager.views.page(Place.QUEUED, name, count=1000) for row in rows]

    def see_clients(self) -> None:
        for client, wid, _ in self.clients:
            if client.reservation is not None:
                self.given(client.reservation, wid)
        self.clients = [each for each in self.clients if not each[0].jobs]

    # -- rules ---------------------------------------------------------------------------------------------------

    @rule(
        queue=st.sampled_from(QUEUES),
        jobtype=st.sampled_from(["Charge", "Mail"]),
        tenant=st.sampled_from([None, "x", "x", "x", "y", "z"]),
        priority=st.sampled_from([1, 5, 5, 9]),
        count=st.integers(1, 6),
    )
    def push(self, queue: str, jobtype: str, tenant: str | None, priority: int, count: int) -> None:
        for _ in range(count):
            jid = f"jid-{len(self.kinds):05}"
            self.kinds[jid] = (queue, jobtype, tenant)
            self.known.add(jid)
            args = [] if tenant is None else [{"tenant_id": tenant}]
            self.mill.engine.push(jid, queue=queue, jobtype=jobtype, args=args, priority=priority)
            self.see_clients()

    @rule(queues=some_queues, wid=wids, count=st.integers(1, 5))
    def fetch(self, queues: tuple[str, ...], wid: str, count: int) -> None:
        worker = self.mill.worker(wid) if wid else None
        for _ in range(count):
            reservation = self.mill.engine.reserve(*queues, worker=worker)
            if reservation is not None:
                self.given(reservation, wid)

    @rule(queues=some_queues, wid=wids, there=st.sampled_from([True, True, True, False]))
    def wait(self, queues: tuple[str, ...], wid: str, there: bool) -> None:
        worker = self.mill.worker(wid) if wid else None
        reservation = self.mill.engine.reserve(*queues, worker=worker)
        if reservation is not None:
            self.given(reservation, wid)
        else:
            self.clients.append((Client(self.mill.engine, *queues, worker=worker, there=there), wid, queues))

    @rule(which=number, how=st.sampled_from(["ack", "ack", "fail", "give back"]))
    def finish(self, which: int, how: str) -> None:
        jids = sorted(reservation.job.jid for reservation in self.mill.engine.manager.reservations())
        if not jids:
            return
        jid = jids[which % len(jids)]
        reservation = self.held.get(jid)
        if how == "ack":
            self.known.discard(jid)
            self.mill.engine.manager.ack(jid, "")
        elif how == "fail" or reservation is None:
            self.mill.engine.fail(jid)
        else:
            if self.kinds[jid][0] == "rated":
                self.tokens = (min(self.fill() + 1, 2.0), self.tokens[1])
            queue = self.mill.engine.manager.queues().get(self.kinds[jid][0])
            if queue is None or reservation.job.position < queue.floor:
                self.known.discard(jid)
            self.mill.engine.manager.give_back(reservation)
        self.see_clients()

    @rule(which=number, action=st.sampled_from(["delete", "kill", "priority"]), priority=st.integers(1, 9))
    def change(self, which: int, action: str, priority: int) -> None:
        rows = [row for name in QUEUES for row in self.queued(name)]
        if rows:
            row = rows[which % len(rows)]
            if action == "delete":
                self.known.discard(jid_of(row))
            change_one(self.mill.engine.manager, action, row.id, priority)
            self.see_clients()

    @rule(queue=st.sampled_from(QUEUES), how=st.sampled_from(["clear", "remove"]), twice=st.booleans())
    def empty(self, queue: str, how: str, twice: bool) -> None:
        if twice:  # less often
            self.known -= {jid_of(row) for row in self.queued(queue)}
            if how == "clear":
                self.mill.engine.manager.edits.clear_queue(queue)
            else:
                self.mill.engine.manager.remove_queues([queue])

    @rule(seconds=st.sampled_from([5, 5, 10, 30, 100, 1800]))
    def pass_time(self, seconds: int) -> None:
        self.mill.clock.advance(seconds)
        for client, _, _ in self.clients:
            client.waiter.deadline = float("inf")
        while self.mill.engine.manager.upkeep():
            self.see_clients()
        self.see_clients()

    @rule(limits=st.sampled_from(LIMITS))
    def reload(self, limits: str) -> None:
        self.mill.reload(limits, upkeep=False)
        self.see_clients()
        while self.mill.engine.manager.upkeep():
            self.see_clients()
        self.see_clients()

    @rule()
    def commit(self) -> None:
        self.mill.engine.commit()
        self.committed = (set(self.known), dict(self.since), (self.fill(), self.tokens[1]))

    @rule(how=st.sampled_from(["crash", "restart"]))
    def lose(self, how: str) -> None:
        if how == "restart":
            self.commit()
        getattr(self.mill.engine, how)()
        known, since, self.tokens = self.committed
        self.known, self.since = set(known), dict(since)
        self.held, self.clients = {}, []
        self.mill.workers.clear()

    # -- what holds ----------------------------------------------------------------------------------------------

    @invariant()
    def no_job_is_lost(self) -> None:
        engine = self.mill.engine
        found = [jid_of(row) for name in QUEUES for row in self.queued(name)]
        found += [reservation.job.jid for reservation in engine.manager.reservations()]
        found += [jid_of(row) for place in (Place.RETRIES, Place.DEAD, Place.SCHEDULED) for row in engine.rows(place)]
        assert sorted(found) == sorted(self.known)
        for name in QUEUES:
            walked = [row.id for rows in engine.manager.views.walk(Place.QUEUED, name) for row in rows]
            assert walked == [row.id for row in self.queued(name)]
            assert len(walked) == engine.manager.queue_sizes().get(name, 0)

    @invariant()
    def no_fetch_waits_for_a_job_that_may_go(self) -> None:
        """Once the duties have been carried out."""
        while self.mill.engine.manager.upkeep():
            self.see_clients()
        self.see_clients()
        for client, wid, names in self.clients:
            if client.there and client.waiter.waits:
                for row in (row for name in names for row in self.queued(name)):
                    assert not self.may_go(jid_of(row), wid, self.fill()), json.loads(row.body)

    @invariant()
    def the_counters_say_what_is_there(self) -> None:
        for view in self.mill.throttles.list():
            (throttle,) = [each for each in self.mill.engine.settings.throttles if each.name == view.name]
            reserved = [each.job.jid for each in self.mill.engine.manager.reservations()]
            subject = [jid for jid in reserved if throttle in [each for each, _ in self.throttles(jid)]]
            now, lasts = self.mill.clock.monotonic(), throttle.timeout or float("inf")
            assert view.taken == sum(self.since[jid] + lasts > now for jid in subject)

    def teardown(self) -> None:
        self.mill.engine.stop()
        shutil.rmtree(self.directory)


def test_limits_are_kept_and_no_slot_stays_free_while_somebody_waits() -> None:
    steps = settings(
        max_examples=EXAMPLES or 60,
        stateful_step_count=40,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=steps)


def test_the_same_when_a_turn_is_good_for_two_jobs_only(monkeypatch: object) -> None:
    before, admission._MOST_LOOKED_AT = admission._MOST_LOOKED_AT, 2
    try:
        test_limits_are_kept_and_no_slot_stays_free_while_somebody_waits()
    finally:
        admission._MOST_LOOKED_AT = before
