"""The situations of tests/bench/stalls.py: who has much to do at once, and how it came to that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from faktory_tw.config.cron import CronEntry
from faktory_tw.config.throttles import Throttle
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
from faktory_tw.storage.store import Place
from tests.bench.scene import Scene, Turns
from tests.unit.doubles import DAY, HOUR, Client
from tests.unit.house import Talk

_LEVELS = 16  # of nested batches


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
    chains = max(count // 200, 1)
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
            yield partial(cancel.ask, job_id)
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
    line = f"PUSHB [{text}]".encode()
    later: list[Iterator[None]] = []
    server = Server(scene.manager, scene.clock, lambda steps, _finish: later.append(steps))
    talk = Talk(server, b'HELLO {"v":2}')

    def rest() -> Iterator[None]:
        yield from later[0]

    return jobs, _chained(
        scene.events("PUSHB", iter([partial(talk.session.execute, line)])),
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

    jids = [held.job.jid]

    def fetch(number: int) -> None:
        found = scene.engine.reserve(f"q{number}")
        jids.extend([found.job.jid] if found is not None else [])

    def calls() -> Iterator[Callable[[], Any]]:
        for number in range(1, 20):
            yield lambda: scene.manager.ack(jids[-1], "")
            yield partial(fetch, number)

    return queues, scene.events("ACK", calls())


def two_reloads(scene: Scene, count: int) -> tuple[int, Turns]:
    """SIGHUP twice, each with another throttle, while so many jobs are worked."""
    scene.push(count)
    for _ in scene.each(count):
        scene.engine.fetch()
    changes = [Throttle("a", queue="default", concurrency=9), Throttle("b", jobtype="Work", concurrency=9)]

    def calls() -> Iterator[Callable[[], Any]]:
        for index in (1, 2):
            yield partial(scene.engine.use, throttles=tuple(changes[:index]))

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
    return part, iter(looks.items())


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
