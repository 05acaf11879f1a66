"""The job manager as one would write it without disk, memory limits or speed: lists that are searched and sorted.

It says what is promised and nothing of how: a job is in one place, a queue is a sorted list, a crash goes back to a copy.
``test_model`` plays the same commands to this and to the real one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

from faktory_tw.times import utc_day
from tests.unit.doubles import DAY, FakeClock

PLACES = ("scheduled", "retries", "dead")
RUNNING, QUIET = 0, 1


@dataclass
class Item:
    """A job. ``number`` grows with every push and stands in its args."""

    number: int
    jid: str
    queue: str
    priority: int
    retry: int
    lease: int
    place: str = "queued"
    position: int = 0  # its turn in the queue, or when it came to its set
    at: float = 0.0
    enqueued_at: float = 0.0
    failures: int = -1  # retry_count; -1 before the first
    wid: str = ""
    ends: float = 0.0  # of its reservation, monotonic
    began: int = 0  # orders reservations
    born: int = 0  # orders jobs of one time in a set; another priority makes a new job of it


@dataclass
class Kept:
    """What a crash leaves: all of it as it was at a commit."""

    items: dict[int, Item] = field(default_factory=dict)
    queues: dict[str, tuple[bool, int]] = field(default_factory=dict)  # paused, and the first position that counts
    processed: int = 0
    failures: int = 0
    days: dict[str, tuple[int, int]] = field(default_factory=dict)
    beaten: set[str] = field(default_factory=set)
    unswept: bool = False  # rows of removed jobs may still be there


@dataclass(eq=False)
class Waiter:
    queues: tuple[str, ...]
    wid: str
    deadline: float
    there: bool
    got: list[int | None] = field(default_factory=list)


class Reference:
    """The model. ``random`` is what the dice show."""

    def __init__(self, clock: FakeClock, random: int) -> None:
        self.clock = clock
        self.random = random
        self.kept = Kept()
        self.waiters: list[Waiter] = []
        self.connections: dict[str, int] = {}
        self.states: dict[str, int] = {}
        self.alive: set[str] = set()  # connected workers that have sent a heartbeat
        self.last_signs: dict[str, float] = {}
        self._counter = 0

    def snapshot(self) -> Kept:
        return copy.deepcopy(self.kept)

    def restart(self, kept: Kept) -> None:
        """Begin with what a crash left; reservations and the minutes of gone workers begin anew."""
        self.kept = copy.deepcopy(kept)
        self.kept.queues = dict(sorted(self.kept.queues.items()))  # a star means them in this order
        now = self.clock.monotonic()
        for item in sorted(self.where("working"), key=lambda item: item.position):
            item.ends = now + item.lease
            item.began = self._next()
        self.waiters, self.connections, self.states, self.alive = [], {}, {}, set()
        self.last_signs = dict.fromkeys(self.kept.beaten, now)

    # -- looking -------------------------------------------------------------------------------------------------

    def where(self, place: str) -> list[Item]:
        return [item for item in self.kept.items.values() if item.place == place]

    def timed(self, place: str) -> list[Item]:
        return sorted(self.where(place), key=lambda item: (item.at, item.born))

    def queued(self, name: str) -> list[Item]:
        """A queue in the order of its turns."""
        items = [item for item in self.where("queued") if item.queue == name]
        return sorted(items, key=lambda item: (-item.priority, item.position))

    def newest(self) -> int:
        """What is above it came later."""
        return self._counter

    def _next(self) -> int:
        self._counter += 1
        return self._counter

    # -- commands ------------------------------------------------------------------------------------------------

    def push(self, item: Item, at: float | None) -> None:
        now = self.clock.time()
        self.kept.items[item.number] = item
        item.born = self._next()
        if at is not None and at > now:
            item.place, item.at, item.position = "scheduled", at, item.born
        else:
            self._enqueue(item)

    def _enqueue(self, item: Item) -> None:
        item.position, item.enqueued_at = self._next(), self.clock.time()
        self.kept.queues.setdefault(item.queue, (False, item.position))
        item.place, item.wid = "queued", ""
        self._serve(item.queue)

    def _serve(self, name: str) -> None:
        while name in self.kept.queues and not self.kept.queues[name][0]:
            ready = [waiter for waiter in self.waiters if self.states.get(waiter.wid, RUNNING) == RUNNING]
            waiter = next((waiter for waiter in ready if name in waiter.queues), None)
            line = self.queued(name)
            if waiter is None or not line:
                return
            self.waiters.remove(waiter)
            if waiter.there:
                self._reserve(line[0], waiter.wid)
                waiter.got.append(line[0].number)

    def _reserve(self, item: Item, wid: str) -> None:
        item.place, item.wid, item.began = "working", wid, self._next()
        item.ends = self.clock.monotonic() + item.lease

    def fetch(self, names: tuple[str, ...], wid: str) -> Item | None:
        if self.states.get(wid, RUNNING) != RUNNING:
            return None
        for name in names:
            if name in self.kept.queues and not self.kept.queues[name][0] and (line := self.queued(name)):
                self._reserve(line[0], wid)
                return line[0]
        return None

    def wait(self, names: tuple[str, ...], wid: str, there: bool) -> Waiter:
        self.waiters.append(Waiter(names, wid, self.clock.monotonic() + 2.0, there))
        return self.waiters[-1]

    def give_back(self, item: Item) -> None:
        if item.queue not in self.kept.queues or item.position < self.kept.queues[item.queue][1]:
            del self.kept.items[item.number]
            return
        item.place, item.wid = "queued", ""
        self._serve(item.queue)

    def held(self, jid: str, wid: str) -> Item | None:
        """The job that an ACK or FAIL of this worker means."""
        items = sorted((item for item in self.where("working") if item.jid == jid), key=lambda item: item.began)
        return next((item for item in items if item.wid == wid), items[0] if items else None)

    def ack(self, item: Item) -> None:
        self._count(failed=False)
        del self.kept.items[item.number]

    def fail(self, item: Item) -> None:
        self._count(failed=True)
        if item.retry == 0:
            del self.kept.items[item.number]
            return
        item.failures, item.wid = item.failures + 1, ""
        if item.failures >= item.retry:
            self._kill(item)
        else:
            seconds = item.failures**4 + 15 + self.random * (item.failures + 1)
            item.place, item.at, item.position = "retries", self.clock.time() + seconds, self._next()

    def _kill(self, item: Item) -> None:
        item.place, item.at, item.position = "dead", self.clock.time() + 180 * DAY, self._next()

    def _count(self, failed: bool) -> None:
        day = utc_day(self.clock.time())
        processed, failures = self.kept.days.get(day, (0, 0))
        self.kept.days[day] = (processed + 1, failures + failed)
        self.kept.processed += 1
        self.kept.failures += failed

    # -- workers -------------------------------------------------------------------------------------------------

    def connect(self, wid: str) -> None:
        if wid not in self.connections:
            self.states[wid] = RUNNING
            if self.last_signs.pop(wid, None) is not None:
                self.alive.add(wid)
        self.connections[wid] = self.connections.get(wid, 0) + 1

    def leave(self, wid: str) -> None:
        self.connections[wid] -= 1
        if not self.connections[wid]:
            del self.connections[wid]
            del self.states[wid]
            self.waiters = [waiter for waiter in self.waiters if waiter.wid != wid]
            if wid in self.alive:
                self.alive.remove(wid)
                self.last_signs[wid] = self.clock.monotonic()

    def beat(self, wid: str, quiet: bool) -> int | None:
        if wid not in self.connections:
            if wid in self.last_signs:
                self.last_signs[wid] = self.clock.monotonic()
            return None
        self.alive.add(wid)
        self.kept.beaten.add(wid)
        self.states[wid] = max(self.states[wid], QUIET if quiet else RUNNING)
        return self.states[wid]

    # -- queues and sets -----------------------------------------------------------------------------------------

    def pause(self, names: tuple[str, ...], paused: bool) -> None:
        for name in self._named(names):
            self.kept.queues[name] = (paused, self.kept.queues[name][1])
            self._serve(name)

    def remove(self, names: tuple[str, ...]) -> None:
        for name in self._named(names):
            for item in self.queued(name):
                del self.kept.items[item.number]
            del self.kept.queues[name]
            self.kept.unswept = True

    def _named(self, names: tuple[str, ...]) -> list[str]:
        return list(self.kept.queues) if names[0] == "*" else [name for name in names if name in self.kept.queues]

    def mutate(self, cmd: str, place: str, matches: Callable[[Item], bool]) -> None:
        for item in self.timed(place):
            if cmd == "clear" or (cmd == "discard" and matches(item)):
                del self.kept.items[item.number]
            elif cmd == "requeue" and matches(item):
                self._enqueue(item)
            elif cmd == "kill" and place != "dead" and matches(item):
                self._kill(item)

    def change(self, action: str, items: list[Item], priority: int) -> None:
        """What an operator does to jobs, each of which is where that is possible."""
        for item in items:
            if action == "delete":
                del self.kept.items[item.number]
            elif action == "kill":
                self._kill(item)
            elif action == "retry":
                self._enqueue(item)
            elif item.priority != priority:
                item.priority, item.position, item.born = priority, self._next(), self._next()
                self._serve(item.queue)

    def clear(self, name: str) -> None:
        """Empty a queue: what is given back later is dropped, too."""
        if name in self.kept.queues:
            self.change("delete", self.queued(name), 0)
            self.kept.queues[name] = (self.kept.queues[name][0], self._next())
            self.kept.unswept = True

    def flush(self) -> None:
        self.kept = Kept()
        self.last_signs = {}
        self.alive = set()

    # -- time ----------------------------------------------------------------------------------------------------

    def end_waits(self) -> None:
        for waiter in [waiter for waiter in self.waiters if waiter.deadline <= self.clock.monotonic()]:
            self.waiters.remove(waiter)
            if waiter.there:
                waiter.got.append(None)

    def _due(self, place: str) -> list[Item]:
        return [item for item in self.timed(place) if item.at <= self.clock.time()]

    def upkeep(self) -> None:
        now = self.clock.monotonic()
        for item in self._due("dead"):
            del self.kept.items[item.number]
        for item in self._due("scheduled") + self._due("retries"):
            self._enqueue(item)
        for item in self.where("working"):
            if item.ends <= now:
                self.fail(item)
        gone = {wid for wid, last in self.last_signs.items() if now - last >= 60}
        for item in self.where("working"):
            if item.wid in gone:
                self.fail(item)
        for wid in gone:
            del self.last_signs[wid]
            self.kept.beaten.remove(wid)
        self.kept.unswept = False
