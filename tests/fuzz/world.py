"""A whole server in memory, its connections, and a script that plays what clients do to it.

A script is lines of bytes, so that a fuzzer can cut, join and repeat them and hypothesis can write them:

``0PUSH {…}``
    connection 0, 1, 2 or 3 sends this line; it is opened, with HELLO, when it is not
``aPUSH {…}``
    the same (a to d), but the reactor has no turn afterwards: nothing is committed before the next line
``!90``
    so many seconds pass
``!h1 !s1 !r1 !x1 !p1``
    connection 1 hangs up, stops reading, reads again, begins without a HELLO of ours, sends half a line
``!c !d !w !t``
    the server is restarted on what it has recorded; the disk is full, or has room again; the wall clock is set back by an
    hour; other throttles are in force
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from faktory_tw import committer
from faktory_tw.config import Settings
from faktory_tw.config.cron import CronEntry
from faktory_tw.config.policies import QueuePolicy
from faktory_tw.config.throttles import Rate, Throttle
from faktory_tw.core.manager import JobManager, Limits
from faktory_tw.features.batches import Batches
from faktory_tw.features.batches import requests as batch_requests
from faktory_tw.features.cron import Cron
from faktory_tw.schedule import Schedule
from faktory_tw.storage.sqlite import SQLiteStore
from tests.fuzz.cost import limited
from tests.fuzz.memory import Memory
from tests.fuzz.replies import BadReply, check_conversation, split
from tests.fuzz.state import check_counts, check_same, do_duties, snapshot, things
from tests.unit.house import EPOCH, Client, House, Wire

CONNECTIONS = 4
MAX_LINE_BYTES = 200_000
_MOST_LINES = 400
_MOST_SECONDS = 400 * 86_400.0
_HELLO = b'HELLO {"v":2,"wid":"w%d","hostname":"h","pid":1,"labels":["a"]}'
_LIMITS = Limits(max_queue_size=0, policies={"capped": QueuePolicy(max_size=2, retry=1), "old": QueuePolicy(aging=60)})
_THROTTLES = (
    (),
    (
        Throttle("slow", queue="slow", concurrency=1, timeout=30.0),
        Throttle("keyed", jobtype="Keyed", key=("0",), concurrency=1, rate=Rate(1, 60, 2)),
    ),
    (Throttle("all", queue="default", rate=Rate(2, 10, 2)), Throttle("each", queue="slow", worker=1)),
)


@cache
def settings_of(throttles: int) -> Settings:
    """What a server in memory is told: cron entries, and one of some sets of throttles."""
    entries = tuple(
        CronEntry(
            name,
            Schedule(text),
            b'{"jobtype":"Tick","args":[],"queue":"cron"}',
            "Tick",
            "cron",
            b"",
            catch_up,
            3,
            False,
            "",
        )
        for name, text, catch_up in (("hourly", "@hourly", "last"), ("all", "*/5 * * * *", "all"))
    )
    return Settings(
        "development", Path(), Path(), None, cron=entries, throttles=_THROTTLES[throttles], max_result_bytes=500
    )


class Numbers:
    """Stands for secrets: texts that nobody has had before, the same in every run."""

    def __init__(self) -> None:
        self.count = 0

    def bid(self) -> str:
        self.count += 1
        return f"b-{self.count}"

    def token(self, _size: int = 0) -> str:
        self.count += 1
        return f"made-by-server-{self.count:04}"


class _NoThread:
    """Stands for the committer's thread where the reactor's writes everything: to start one costs more than a script."""

    def __init__(self, **_: Any) -> None:
        pass

    def start(self) -> None:
        """Nothing is left to it."""

    join = start


class InMemory:
    """A store that is as fast as memory."""

    threaded = False

    def __init__(self, store: Memory | None = None) -> None:
        self.store = store or Memory()

    def open(self) -> Memory:
        """What a start finds."""
        self.store = self.store.reopened()
        return self.store

    def close(self) -> None:
        """The server has stopped."""

    def job_count(self) -> int:
        """How many jobs are recorded."""
        return self.store.job_count()


class OnDisk:
    """A real database in a directory, written by a thread."""

    threaded = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self) -> SQLiteStore:
        self.store = SQLiteStore(self._directory, "os", 0.0)
        self.store.waits_for_disk = True  # so that the thread writes, which is what is waited for here
        return self.store

    def close(self) -> None:
        self.store.close()

    def job_count(self) -> int:
        return int(self.store._reader.execute("SELECT count(*) FROM jobs").fetchone()[0])


class Talker:
    """One connection: what was sent on it and what came back."""

    def __init__(self, house: House, hello: bytes | None) -> None:
        self.client = Client(house.factory, None, Wire())
        self.arrived = b""  # at the server
        self.waiting = b""  # in the network, as the server does not read
        self.said = b""
        self.reads = True
        if hello is not None:
            self.send(hello + b"\r\n")

    def send(self, data: bytes) -> None:
        """Send bytes; they arrive when the server reads."""
        self.waiting += data
        self.flow()

    def flow(self) -> bool:
        """Let arrive what is on its way. Returns whether anything did."""
        wire = self.client.wire
        if not self.waiting or wire.paused or wire.closed or wire.aborted:
            return False
        data, self.waiting = self.waiting, b""
        self.arrived += data
        self.client.protocol.dataReceived(data)
        return True

    def listen(self) -> None:
        self.said += self.client.heard()

    def check(self) -> None:
        """Fail unless each line that arrived is answered, refused, or waits for good reasons."""
        self.listen()
        wire = self.client.wire
        closed = wire.closed or wire.aborted
        lines = [line.removesuffix(b"\r") for line in self.arrived.split(b"\n")[:-1]]
        condition = self.client.protocol.condition()
        waits = len(lines) if condition.waiter is not None or condition.stalled else 0
        check_conversation(lines, list(split(self.said)), closed, waits)
        if not closed and condition.unfinished_bytes > MAX_LINE_BYTES + 65_536:
            raise BadReply(f"{condition.unfinished_bytes} bytes of a line are kept")


class World:
    """The server and its connections. ``failures`` of the house must stay empty."""

    def __init__(self, storage: InMemory | OnDisk | None = None, throttles: int = 1, epoch: float = EPOCH) -> None:
        self.storage = storage or InMemory()
        self.throttles = throttles
        self.numbers = Numbers()
        vars(batch_requests)["secrets"] = SimpleNamespace(token_hex=self.numbers.token)
        self.talkers: dict[int, Talker] = {}
        self.house = self._begin(epoch)

    def _begin(self, epoch: float) -> House:
        def prepare(manager: JobManager) -> None:
            manager.facts.find(Batches)._make_bid = self.numbers.bid
            manager.facts.find(Cron)._new_jid = self.numbers.token
            manager.facts.configure(settings_of(self.throttles))

        store = self.storage.open()
        threads = threading if self.storage.threaded else SimpleNamespace(Thread=_NoThread)
        with patch.object(committer, "threading", threads):
            house = House(store, limits=_LIMITS, epoch=epoch, max_line_bytes=MAX_LINE_BYTES, prepare=prepare)
        house.factory.max_connections = CONNECTIONS + 1
        return house

    @property
    def manager(self) -> JobManager:
        return self.house.manager

    def close(self) -> None:
        """End it all."""
        self.house.close()
        self.storage.close()

    # -- playing a script --------------------------------------------------------------------------------------------

    def play(self, script: bytes) -> None:
        """Play it, and check that all is as it should be, at the end also after a restart."""
        for line in script.split(b"\n")[:_MOST_LINES]:
            if line[:1] == b"!":
                self._command(line[1:].strip())
            elif line[:1] in b"0123" and line:
                limited(lambda line=line: self.say(line[0] - 48, line[1:]), len(line), things(self.manager))  # type: ignore[misc]
            elif line[:1] in b"abcd" and line:
                limited(lambda line=line: self.say(line[0] - 97, line[1:], turn=False), len(line), things(self.manager))  # type: ignore[misc]
        self.finish()

    def say(self, number: int, line: bytes, *, turn: bool = True) -> None:
        """A connection sends a line; with a ``turn`` all that follows is done."""
        self.talker(number).send(line + b"\r\n")
        if turn:
            self.settle()

    def talker(self, number: int, hello: bool = True) -> Talker:
        """A connection, which is opened when it is not."""
        talker = self.talkers.get(number)
        if talker is not None and (talker.client.wire.closed or talker.client.wire.aborted):
            self.hang_up(number)
            talker = None
        if talker is None:
            talker = self.talkers[number] = Talker(self.house, _HELLO % number if hello else None)
        return talker

    def settle(self) -> None:
        """Do all that is due now: slices, commits, replies, what arrives."""
        while True:
            while self.house.begin_commit() and self.storage.threaded:
                self.house.land()
            if not any(talker.flow() for talker in self.talkers.values()):
                break
        self.check_failures()

    def check_failures(self) -> None:
        """Fail with what would be logged as nobody's fault but ours."""
        if self.house.failures:
            raise self.house.failures[0]

    def hang_up(self, number: int) -> None:
        talker = self.talkers.pop(number, None)
        if talker is not None:
            self.settle()
            talker.check()
            talker.client.hang_up()

    def _command(self, command: bytes) -> None:
        letter, digit = command[:1], command[1:2]
        if command[:6].isdigit():
            self.pass_time(min(float(command[:9].partition(b" ")[0] if command[:9].isdigit() else b"1"), _MOST_SECONDS))
        elif letter in (b"h", b"s", b"r", b"x", b"p") and digit in (b"0", b"1", b"2", b"3"):
            self._disturb(letter, digit[0] - 48, command[2:])
        elif letter == b"c":
            self.finish()
        elif letter == b"d":
            self.manager.refuse_pushes = "" if self.manager.refuse_pushes else "no room"
        elif letter == b"w":
            self.house.reactor.epoch -= 3600
        elif letter == b"t":
            self.throttles = (self.throttles + 1) % len(_THROTTLES)
            self.manager.facts.configure(settings_of(self.throttles))
            self.settle()

    def _disturb(self, what: bytes, number: int, rest: bytes) -> None:
        if what == b"h":
            self.hang_up(number)
            return
        talker = self.talker(number, hello=what != b"x")
        ended = talker.client.wire.closed or talker.client.wire.aborted
        if what == b"p":
            talker.send(rest)
        elif what == b"s" and talker.reads and not ended:
            talker.reads = False
            talker.client.stop_reading()
        elif what == b"r" and not talker.reads and not ended:
            talker.reads = True
            talker.client.read_again()
        self.settle()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with what the service does meanwhile: at first in small steps, for waits and handshakes."""
        small = min(seconds, 3.0)
        for step in (small / 2, small - small / 2, seconds - small):
            if step > 0:
                self.house.reactor.advance(step)
                while self.manager.end_waits():
                    pass
                do_duties(self.manager)
                self.house.committer.commit_lazily()
                self.settle()

    # -- what must hold ----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Everybody goes; then the state must be sound, and survive a restart."""
        self.settle()
        for number in list(self.talkers):
            self.hang_up(number)
        self.settle()
        server = self.house.server
        if server.connections or self.house.factory.connections or self.manager.waits():
            raise BadReply(f"{server.connections} connections, {self.manager.waits()} that wait, are left")
        left = [call for call in self.house.reactor.getDelayedCalls() if call.getTime() > self.house.reactor.seconds()]
        if left:
            raise BadReply(f"timers are left: {left}")
        self.restart()

    def restart(self) -> None:
        """Stop the server, which nobody is connected to, and start it on what it has recorded: it must be as it was."""
        do_duties(self.manager)
        self.settle()
        self.house.committer.commit_lazily()
        self.settle()
        check_counts(self.manager, self.storage.job_count())
        before = snapshot(self.manager)
        epoch = self.house.reactor.time()
        self.close()
        self.house = self._begin(epoch)
        check_same(before, snapshot(self.manager))
        do_duties(self.manager)
