"""The situations of tests/bench/stalls.py: who has much to do at once, and how it came to that."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from faktory_tw.config import Settings
from faktory_tw.config.cron import CronEntry
from faktory_tw.config.throttles import Throttle
from faktory_tw.core.manager import JobManager
from faktory_tw.features.batches import Batches
from faktory_tw.features.cancel import Cancel
from faktory_tw.features.changes import Change
from faktory_tw.features.cron import Cron
from faktory_tw.features.cron.requests import MOST_CRON, list_entries
from faktory_tw.features.mutate import Mutation
from faktory_tw.features.search import Where
from faktory_tw.features.throttles import Throttles
from faktory_tw.features.tracking import Tracking
from faktory_tw.schedule import Schedule
from faktory_tw.server import Server
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import Place
from tests.unit.doubles import DAY, HOUR, Client, Engine, FakeClock
from tests.unit.house import Talk

Turn = tuple[str, Callable[[], Any]]
Turns = Iterator[Turn]
_NOWHERE = Path("nowhere")
_COMMIT_EVERY = 5000
_LEVELS = 16  # of nested batches


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

    def __init__(self, place: Path) -> None:
        self.clock = Ahead()
        self.engine = _Configured(place / "data", self.clock)
        self.restarts = False
        self.again: Callable[[], Turns] = lambda: self.upkeep()

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
            if number % _COMMIT_EVERY == 0:
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
            if len(self.engine.store.batch) > _COMMIT_EVERY:
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


Situation = Callable[[Scene, int], tuple[int, Turns]]


# -- what becomes due, or over, in the same second -------------------------------------------------------------------


def expire(scene: Scene, count: int, **fields: Any) -> tuple[int, Turns]:
    scene.push(count, {"expires_in": 60}, **fields)
    return count, scene.late(61)


def expire_scheduled(scene: Scene, count: int) -> tuple[int, Turns]:
    scene.push(count, {"expires_at": "2025-11-21T13:00:00Z"}, at="2099-01-01T00:00:00Z")
    return count, scene.late(90 * DAY)


def locks_end(scene: Scene, count: int) -> tuple[int, Turns]:
    scene.push(count, {"unique_for": 60})
    return count, scene.late(61)


def tracks_forgotten(scene: Scene, count: int) -> tuple[int, Turns]:
    scene.push(count, {"track": 1})
    for _ in scene.each(count):
        scene.manager.ack(str(scene.engine.fetch()["jid"]), "")  # type: ignore[index]
    return count, scene.late(400 * DAY)


def batches_forgotten(scene: Scene, count: int) -> tuple[int, Turns]:
    for _ in scene.each(count):
        _commit(scene, _new(scene, "death"))
    return count, scene.late(400 * DAY)


def batches_never_committed(scene: Scene, count: int) -> tuple[int, Turns]:
    for _ in scene.each(count):
        _new(scene, "death", "success")
    return count, scene.late(400 * DAY)


def everything_over(scene: Scene, count: int) -> tuple[int, Turns]:
    """Jobs expire, and their locks end, while old tracks and batches are forgotten."""
    part = count // 4
    scene.push(part, {"track": 1, "expires_in": 60, "unique_for": 61})
    for _ in scene.each(part):
        _commit(scene, _new(scene, "death"))
    for number in scene.each(part):
        scene.engine.push(
            f"late-{number:020}", queue="late", at="2025-11-21T14:00:00Z", args=[number], custom={"unique_for": 5}
        )
    return 3 * part, scene.late(400 * DAY)


# -- batches ---------------------------------------------------------------------------------------------------------


def _new(scene: Scene, *kinds: str, parent: str | None = None) -> str:
    asked: dict[str, Any] = {kind: {"jobtype": kind, "queue": "callbacks"} for kind in kinds}
    if parent is not None:
        asked["parent_bid"] = parent
    reply = scene.feature(Batches).execute(b"NEW " + json.dumps(asked).encode())
    return str(reply.split(b"\r\n")[1].decode())


def _commit(scene: Scene, bid: str) -> None:
    scene.feature(Batches).execute(b"COMMIT " + bid.encode())


def nested_batches(scene: Scene, count: int) -> tuple[int, Turns]:
    """Jobs are deleted, each of which is the last one below a chain of batches."""
    chains = max(count // 200, 500)
    for number in scene.each(chains):
        parent = None
        for _ in range(_LEVELS):
            bid = _new(scene, "complete", "death", parent=parent)
            if parent is not None:
                _commit(scene, parent)
            parent = bid
        scene.engine.push(f"job-{number:020}", queue="chains", custom={"bid": bid})
        _commit(scene, bid)
    change = Change(scene.manager, "delete", Where(Place.QUEUED, "chains"), None, newest=2**62)
    return chains * _LEVELS, scene.steps("delete", change.steps())


def callbacks_wait(scene: Scene, count: int) -> tuple[int, Turns]:
    """The disk was full, and has room again."""
    part = count // 10
    scene.manager.refuse_pushes = "full"
    for _ in scene.each(part):
        _commit(scene, _new(scene, "success", "complete"))
    scene.settle()
    scene.manager.refuse_pushes = ""
    return part, scene.upkeep()


# -- operators -------------------------------------------------------------------------------------------------------


def _with_everything(scene: Scene, count: int, **fields: Any) -> None:
    bid = _new(scene, "complete", "success")
    scene.push(count, {"track": 1, "expires_in": 40 * DAY, "unique_for": 40 * DAY, "bid": bid}, **fields)
    _commit(scene, bid)


def _mutate(cmd: str) -> Situation:
    def situation(scene: Scene, count: int) -> tuple[int, Turns]:
        _with_everything(scene, count, at="2099-01-01T00:00:00Z")
        request = json.dumps({"cmd": cmd, "target": "scheduled", "filter": {"jobtype": "*"}})
        return count, scene.steps(f"MUTATE {cmd}", Mutation(request.encode()).steps(scene.manager))

    return situation


def remove_queue(scene: Scene, count: int) -> tuple[int, Turns]:
    _with_everything(scene, count)
    return count, scene.events("QUEUE REMOVE", iter([lambda: scene.manager.remove_queues(["default"])]))


def flush(scene: Scene, count: int) -> tuple[int, Turns]:
    _with_everything(scene, count)
    return count, scene.events("FLUSH", iter([scene.manager.flush]))


def cancel(scene: Scene, count: int) -> tuple[int, Turns]:
    part = count // 10
    scene.push(part)
    worker = scene.engine.worker("worker-1")
    while scene.engine.fetch(worker=worker) is not None:
        pass
    cancel = scene.feature(Cancel)
    ids = [each.job.id for each in scene.manager.reservations()]

    def calls() -> Iterator[Callable[[], Any]]:
        for job_id in ids:
            yield lambda job_id=job_id: cancel.ask(job_id)  # type: ignore[misc]
        yield lambda: cancel.beat_reply("worker-1", worker.state)
        scene.manager.disconnect_worker(worker)
        scene.clock.advance(HOUR)

    return part, scene.events("cancel", calls())


def flush_cron(scene: Scene, count: int) -> tuple[int, Turns]:
    entries = _cron(scene, count)
    scene.engine.use(cron=entries)
    scene.settle(120)
    return len(entries), scene.events("FLUSH", iter([scene.manager.flush]))


# -- unique jobs -----------------------------------------------------------------------------------------------------


def costly_arguments(scene: Scene, count: int) -> tuple[int, Turns]:
    """A PUSHB of unique jobs whose args are 64 KiB of numbers that are written short and are long."""
    jobs = 100
    custom = '"custom":{"unique_for":60}'
    args = ",".join(["1e300"] * 10_900)
    text = ",".join(f'{{"jid":"job-{n:020}","jobtype":"A","args":[{n},{args}],{custom}}}' for n in range(jobs))
    later: list[Iterator[None]] = []
    server = Server(scene.manager, scene.clock, lambda steps, _finish: later.append(steps))
    talk = Talk(server, b'HELLO {"v":2}')

    def rest() -> Iterator[None]:
        yield from later[0]

    return jobs, _chained(
        scene.events("PUSHB", iter([lambda: talk.session.execute(b"PUSHB [" + text.encode() + b"]")])),
        lambda: scene.steps("PUSHB", rest()),
    )


def _chained(first: Turns, then: Callable[[], Turns]) -> Turns:
    yield from first
    yield from then()


# -- cron ------------------------------------------------------------------------------------------------------------


def _cron(scene: Scene, count: int, schedule: str = "* * * * *", **fields: Any) -> tuple[CronEntry, ...]:
    zones = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
    made = []
    for number in range(max(count // 100, 1)):
        job = json.dumps({"jobtype": "Beat", "args": [number]}).encode()
        when = Schedule(schedule, zones[number % len(zones)])
        entry = CronEntry(f"entry-{number}", when, job, "Beat", "default", b"", "skip", 100, False, "a.toml:1")
        made.append(replace(entry, **fields))
    return tuple(made)


def cron_due(scene: Scene, count: int) -> tuple[int, Turns]:
    entries = _cron(scene, count)
    scene.engine.use(cron=entries)
    scene.settle()
    return len(entries), scene.late(61)


def cron_changed(scene: Scene, count: int) -> tuple[int, Turns]:
    """SIGHUP: all entries are other ones."""
    scene.engine.use(cron=_cron(scene, count))
    scene.settle(61)
    entries = _cron(scene, count, "*/2 * * * *")
    return len(entries), scene.events("SIGHUP", iter([lambda: scene.engine.use(cron=entries)]))


def cron_missed(scene: Scene, count: int) -> tuple[int, Turns]:
    """Down for years."""
    entries = _cron(scene, count // 100, "*/5 * * * *", catch_up="all", catch_up_limit=1000)
    scene.engine.use(cron=entries)
    scene.settle()
    return len(entries), scene.late(3 * 365 * DAY)


def cron_rare(scene: Scene, count: int) -> tuple[int, Turns]:
    """Entries that are due once in decades, of which each has to be looked for."""
    entries = _cron(scene, count, "0 0 29 2 */7")
    return len(entries), scene.events("SIGHUP", iter([lambda: scene.engine.use(cron=entries)]))


# -- throttles -------------------------------------------------------------------------------------------------------


def _throttle(scene: Scene, *throttles: Throttle) -> None:
    """SIGHUP, and what follows from it."""
    scene.engine.use(throttles=throttles)
    scene.settle()


def freed_slot(scene: Scene, count: int) -> tuple[int, Turns]:
    """One slot for the jobs of all queues, in which others wait; those who fetch are workers of other queues."""
    queues = count // 100
    _throttle(scene, Throttle("one", jobtype="Work", concurrency=1))
    for number in scene.each(queues):
        scene.engine.push(f"job-{number:020}", queue=f"q{number}")
    held = scene.engine.reserve("q0")
    assert held is not None
    for number in range(queues):
        scene.engine.reserve(f"q{number}")  # stands aside
    for number in range(1000):
        Client(scene.engine, f"elsewhere-{number}")

    def calls() -> Iterator[Callable[[], Any]]:
        jid = held.job.jid
        for number in range(1, 20):
            yield lambda jid=jid: scene.manager.ack(jid, "")  # type: ignore[misc]
            found = []
            yield lambda number=number: found.append(scene.engine.reserve(f"q{number}"))  # type: ignore[misc]
            jid = found[0].job.jid

    return queues, scene.events("ACK", calls())


def two_reloads(scene: Scene, count: int) -> tuple[int, Turns]:
    """SIGHUP twice, each with another throttle, while so many jobs are worked."""
    scene.push(count)
    for _ in scene.each(count):
        scene.engine.fetch()
    changes = [Throttle("a", queue="default", concurrency=9), Throttle("b", jobtype="Work", concurrency=9)]

    def calls() -> Iterator[Callable[[], Any]]:
        for index in (1, 2):
            yield lambda index=index: scene.engine.use(throttles=tuple(changes[:index]))  # type: ignore[misc]

    return count, scene.events("SIGHUP", calls())


def no_throttles_more(scene: Scene, count: int) -> tuple[int, Turns]:
    """SIGHUP: the throttle of a key with so many values is gone."""
    part = count // 10
    _throttle(scene, Throttle("tenants", key=("0",), concurrency=1))
    scene.push(2 * part)
    for _ in scene.each(part):
        scene.engine.fetch()
    return part, scene.events("SIGHUP", iter([lambda: scene.engine.use(throttles=())]))


def flush_throttles(scene: Scene, count: int) -> tuple[int, Turns]:
    part = count // 10
    _throttle(scene, Throttle("tenants", key=("0",), concurrency=1))
    scene.push(2 * part)
    for _ in scene.each(part):
        scene.engine.fetch()
    return part, scene.events("FLUSH", iter([scene.manager.flush]))


# -- looking ---------------------------------------------------------------------------------------------------------


def looking(scene: Scene, count: int) -> tuple[int, Turns]:
    """What INFO, the metrics and the lists of the pages ask of the features."""
    part = count // 10
    throttles = tuple(Throttle(f"t{number}", key=("0",), concurrency=1) for number in range(200))
    scene.engine.use(cron=_cron(scene, count), throttles=throttles)
    scene.settle()
    for number in scene.each(part):
        _commit(scene, _new(scene, "success"))
        scene.engine.push(f"job-{number:020}", queue="many", args=[number], custom={"track": 1})
    scene.manager.remove_queues(["callbacks"])
    for _ in scene.each(part // 20):
        scene.engine.fetch("many")
    server = Server(scene.manager, scene.clock, lambda _steps, _finish: None)
    batches, tracking = scene.feature(Batches), scene.feature(Tracking)
    cron, held_back = scene.feature(Cron), scene.feature(Throttles)
    looks: dict[str, Callable[[], Any]] = {
        "INFO": server.info,
        "batches": lambda: batches.page(None, 20),
        "batches in the middle": lambda: batches.page(part // 2, 20),
        "roots": lambda: batches.roots(None, 20),
        "tracks": lambda: tracking.page(None, 50),
        "cron": lambda: list_entries(cron, None, MOST_CRON),
        "throttles": held_back.list,
    }
    return part, iter([*islice(scene.upkeep(), 0), *looks.items()])


# -- start -----------------------------------------------------------------------------------------------------------


def _started(fill: Callable[[Scene, int], tuple[int, Turns]]) -> Situation:
    def situation(scene: Scene, count: int) -> tuple[int, Turns]:
        entries, _ = fill(scene, count)
        scene.restarts = True
        return entries, iter(())

    return situation


def _plain(scene: Scene, count: int) -> tuple[int, Turns]:
    scene.push(count)
    return count, iter(())


def _locks(scene: Scene, count: int) -> tuple[int, Turns]:
    scene.push(count, {"unique_for": 40 * DAY})
    return count, iter(())


def _expiring(scene: Scene, count: int) -> tuple[int, Turns]:
    scene.push(count, {"expires_in": 40 * DAY})
    return count, iter(())


def _tracks(scene: Scene, count: int) -> tuple[int, Turns]:
    scene.push(count, {"track": 1})
    return count, iter(())


def _batches(scene: Scene, count: int) -> tuple[int, Turns]:
    part = count // 10
    for _ in scene.each(part):
        _new(scene, "success", "complete")
    return part, iter(())


SITUATIONS: dict[str, Situation] = {
    "jobs expire": expire,
    "scheduled jobs expire": expire_scheduled,
    "locks end": locks_end,
    "tracks forgotten": tracks_forgotten,
    "batches forgotten": batches_forgotten,
    "batches never committed": batches_never_committed,
    "all of these at once": everything_over,
    "last members of nested batches deleted": nested_batches,
    "callbacks waited for room": callbacks_wait,
    "MUTATE discard": _mutate("discard"),
    "MUTATE kill": _mutate("kill"),
    "MUTATE requeue": _mutate("requeue"),
    "QUEUE REMOVE": remove_queue,
    "FLUSH": flush,
    "requests to stop": cancel,
    "PUSHB of costly unique jobs": costly_arguments,
    "cron: all due at once": cron_due,
    "cron: SIGHUP, all changed": cron_changed,
    "cron: 1000 missed ticks each": cron_missed,
    "cron: once in decades": cron_rare,
    "cron: FLUSH": flush_cron,
    "throttles: a slot that many queues want": freed_slot,
    "throttles: two SIGHUPs": two_reloads,
    "throttles: SIGHUP, none left": no_throttles_more,
    "throttles: FLUSH": flush_throttles,
    "INFO and lists": looking,
    "start: jobs": _started(_plain),
    "start: locks": _started(_locks),
    "start: jobs that may expire": _started(_expiring),
    "start: tracks": _started(_tracks),
    "start: batches": _started(_batches),
}
