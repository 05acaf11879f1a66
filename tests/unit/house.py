"""A whole server in memory: reactor, disk, manager, committer and connections, with a test in the place of time.

Nothing happens by itself. `Reactor` is clock and reactor in one, its time moves when a test moves it; `Disk` is a store
whose writes wait until the test lets them through (`House.commit`). The committer is the real one, thread included: its
thread only ever runs while the test waits for it, so every run is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Semaphore
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from faktory_tw.committer import Committer
from faktory_tw.core.manager import JobManager, Limits
from faktory_tw.core.reservations import Reservation
from faktory_tw.features.standard import standard_features
from faktory_tw.poller import ReactorTurns
from faktory_tw.protocol import FaktoryFactory, FaktoryProtocol
from faktory_tw.server import Server
from faktory_tw.session import Session
from faktory_tw.storage.store import Batch, Contents, IndexRow, JobRow, Place, StoreError
from faktory_tw.wire import CommandError, FatalCommandError, error

EPOCH = 1_790_000_000.0  # what a new Reactor takes for the present, in seconds since 1970
PATIENCE_SECONDS = 20.0  # a thread that does not answer in this time never will
HELLO = b'HELLO {"v":2}'
MOVED = ("place", "position", "at", "enqueued_at", "failure", "wid", "reserved_at")  # what moving a job changes


class Reactor(Clock):
    """A reactor that stands still, and the clock that the manager asks."""

    def __init__(self, epoch: float = EPOCH) -> None:
        super().__init__()
        self.epoch = epoch
        self.reports: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def time(self) -> float:
        """Seconds since 1970."""
        return self.epoch + self.seconds()

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self.seconds()

    def callFromThread(self, call: Callable[..., None], *arguments: Any) -> None:
        self.reports.put(lambda: call(*arguments))

    def run_report(self) -> None:
        """Wait for what a thread has to say, and carry it out."""
        self.reports.get(timeout=PATIENCE_SECONDS)()

    def due(self) -> list[Any]:
        """Return the delayed calls whose time has come."""
        return [call for call in self.getDelayedCalls() if call.getTime() <= self.seconds()]

    def turn(self) -> None:
        """Carry out what is due now, but not what that makes due."""
        for call in self.due():
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class Disk:
    """A store in memory. `write` waits until the test lets it through, and fails when the test has broken it.

    `events` has what was asked of it, by name; `wants_upkeep` makes it ask for upkeep after each write.
    """

    def __init__(self) -> None:
        self.batch = Batch(1)
        self.writes: list[Batch] = []  # everything that is on disk
        self.events: list[str] = []
        self.broken: BaseException | None = None
        self.fails: dict[str, BaseException] = {}  # by the name of the method
        self.wants_upkeep = False
        self.waits_for_disk = True
        self.closing = False
        self.path = Path("nowhere") / "faktory.db"
        self.writes_at_once = True
        self.overdue = False  # something older waits to be sealed
        self._rows: dict[int, JobRow] = {}
        self._entries: dict[tuple[str, bytes], bytes] = {}
        self.sealed: Batch | None = None
        self._permits = Semaphore(0)

    def sync_due_in(self) -> float | None:
        return 1.0

    def let_through(self, writes: int = 1) -> None:
        """Allow so many writes more."""
        self._permits.release(writes)

    def contents(self) -> Contents:
        return Contents([], [], [], 1)

    def queued(self) -> Iterator[tuple[str, int, Sequence[int]]]:
        return iter(())

    def placed(self) -> Iterator[IndexRow]:
        return iter(())

    def entries(self, kind: str) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((key, value) for (of_kind, key), value in self._entries.items() if of_kind == kind))

    def entry(self, kind: str, key: bytes) -> bytes | None:
        for batch in (self.batch, self.sealed):
            if batch is not None and ((kind, key) in batch.entries or batch.flushed):
                return batch.entries.get((kind, key))
        return self._entries.get((kind, key))

    def read(self, ids: Sequence[int]) -> list[JobRow]:
        rows = dict(self._rows)
        for batch in (self.sealed, self.batch):
            if batch is not None:
                _apply(batch, rows)
        return [rows[job_id] for job_id in ids if job_id in rows]

    def seal(self) -> Batch:
        assert self.sealed is None
        self.sealed, self.batch = self.batch, Batch(self.batch.number + 1)
        return self.sealed

    def written(self) -> None:
        self.sealed = None

    def write(self, batch: Batch) -> None:
        if not self._permits.acquire(timeout=PATIENCE_SECONDS):
            raise TimeoutError("nobody let the write through")
        if self.broken is not None:
            raise self.broken
        self.writes.append(batch)
        self._did("write")
        self._take(batch)

    def unsealed(self) -> bool:
        return bool(self.batch) or self.overdue

    def write_at_once(self, batch: Batch) -> bool:
        self._did("write at once")
        if not self.writes_at_once:
            return False
        self.writes.append(batch)
        self._take(batch)
        return True

    def _take(self, batch: Batch) -> None:
        _apply(batch, self._rows)
        if batch.flushed:
            self._entries.clear()
        for name, value in batch.entries.items():
            if value is None:
                self._entries.pop(name, None)
            else:
                self._entries[name] = value

    def upkeep_due(self) -> bool:
        return self.wants_upkeep

    def upkeep(self) -> None:
        self._did("upkeep")

    def facts(self) -> dict[str, str | int]:
        return {"engine": "memory"}

    def checkpoint_soon(self) -> None:
        self._did("checkpoint soon")

    def sync_late(self) -> None:
        self._did("sync late")

    def finish(self) -> None:
        self._did("finish")

    def close(self) -> None:
        self._did("close")

    def _did(self, name: str) -> None:
        self.events.append(name)
        if name in self.fails:
            raise self.fails[name]


def _apply(batch: Batch, rows: dict[int, JobRow]) -> None:
    """Do to `rows` what `batch` records. A row is made anew: the one before may belong to somebody else."""
    if batch.flushed:
        rows.clear()
    for job in batch.jobs.values():
        first = Place.QUEUED if job.at is None else Place.SCHEDULED
        rows[job.id] = JobRow(
            job.id, job.queue, job.priority, first, job.id, job.at, job.enqueued_at, b"", "", None, job.body
        )
    for place in batch.places.values():
        if place.id in rows:
            old = rows[place.id]
            moved = {name: getattr(place, name) for name in MOVED}
            rows[place.id] = JobRow(id=old.id, queue=old.queue, priority=old.priority, body=old.body, **moved)
    for job_id in batch.removed:
        rows.pop(job_id, None)


class Wire(StringTransport):
    """A transport that keeps the writes apart. Its connection is lost only when the test says so."""

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.1", 50_000))
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection."""
        return bool(self.disconnecting)

    @property
    def aborted(self) -> bool:
        """Whether the server has cut it, without waiting for what it wrote to leave."""
        return bool(self.disconnected)

    @property
    def paused(self) -> bool:
        """Whether the server has stopped reading."""
        return bool(self.producerState == "paused")


class Client:
    """The other end of one connection. The greeting is put aside, and `hello` is said and its answer, too."""

    def __init__(self, factory: FaktoryFactory, hello: bytes | None = HELLO, wire: Any = None) -> None:
        self.wire: Any = Wire() if wire is None else wire
        protocol: Any = factory.buildProtocol(self.wire.getPeer())
        assert isinstance(protocol, FaktoryProtocol)
        self.protocol: FaktoryProtocol = protocol
        self.protocol.makeConnection(self.wire)
        self.greeting: bytes = self.heard()
        if hello is not None:
            self.say(hello)
            assert self.heard() == b"+OK\r\n"

    def say(self, *lines: bytes) -> None:
        """Send lines, all in one piece."""
        self.feed(b"".join(line + b"\r\n" for line in lines))

    def feed(self, data: bytes) -> None:
        """Send bytes in one piece; a connection that is closed takes none."""
        if not self.wire.closed:
            self.protocol.dataReceived(data)

    def heard(self) -> bytes:
        """Return what came in since the last call."""
        return b"".join(self.heard_writes())

    def heard_writes(self) -> list[bytes]:
        """Return what came in since the last call, write by write."""
        heard: list[bytes] = self.wire.writes[:]
        self.wire.writes.clear()
        return heard

    def ask(self, line: bytes) -> bytes:
        """Send a line and return what comes at once."""
        self.say(line)
        return self.heard()

    def stop_reading(self) -> None:
        """Let the server's replies pile up: its transport asks it to pause."""
        self.wire.producer.pauseProducing()

    def read_again(self) -> None:
        """Take what has piled up."""
        self.wire.producer.resumeProducing()

    def hang_up(self) -> None:
        """Lose the connection."""
        self.wire.connected = False
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Talk:
    """One session without a connection: what it answers later is in `later`, and `ended` says that it has closed.

    What it still tries to answer then is in `too_late`.
    """

    def __init__(self, server: Server, hello: bytes | None = HELLO) -> None:
        self.later: list[bytes] = []
        self.too_late: list[bytes] = []
        self.ended = False
        self.session = Session(server, self._answer)
        if hello is not None:
            assert self.say(hello) == b"+OK\r\n"

    def say(self, line: bytes) -> bytes | None:
        """Return the reply to a line, None when it comes later; a refusal in the form it has on the wire."""
        try:
            reply = self.session.execute(line)
        except CommandError as refusal:
            self.ended = isinstance(refusal, FatalCommandError)
            return error(refusal) if str(refusal) else b""
        self.session.reservation = None
        return reply

    def _answer(self, reply: bytes, reservation: Reservation | None) -> bool:
        if self.ended:
            self.too_late.append(reply)
            return False
        self.later.append(reply)
        return True

    def leave(self) -> None:
        """Lose the connection."""
        self.ended = True
        self.session.leave()


class House:
    """One server. `failures` has what was reported as nobody's fault but ours."""

    def __init__(
        self,
        store: Any = None,
        password: str | None = None,
        limits: Limits | None = None,
        epoch: float = EPOCH,
        clock: Any = None,
        prepare: Callable[[JobManager], None] = lambda _manager: None,
        **factory_settings: int,
    ) -> None:
        self.reactor = Reactor(epoch)
        clock = clock or self.reactor
        self.store: Any = Disk() if store is None else store
        self.failures: list[BaseException] = []
        self.manager = JobManager(self.store, clock, lambda n: 0, limits, standard_features())
        prepare(self.manager)
        self.manager.load()
        self._unreported = 0  # what the committer's thread will have to say
        watched: Any = self.store
        self._upkeep_due, watched.upkeep_due = watched.upkeep_due, self._count_upkeep
        self.committer = Committer(ReactorTurns(self.reactor), self.store, self._seal, self.failures.append)
        self.committer.start()
        self.server = Server(self.manager, clock, self._run_in_slices, password)
        self.server.when_written = self.committer.when_written
        self.factory = FaktoryFactory(
            self.reactor, self.server, self.committer, self.failures.append, **factory_settings
        )

    def connect(self, hello: bytes | None = HELLO, wire: Any = None) -> Client:
        """Open a connection, and say `hello` on it."""
        return Client(self.factory, hello, wire)

    def talk(self, hello: bytes | None = HELLO) -> Talk:
        """Begin a conversation without a connection."""
        return Talk(self.server, hello)

    def queue_length(self, name: str = "default") -> int:
        """Return how many jobs wait in a queue."""
        return self.manager.queue_sizes().get(name, 0)

    def _seal(self) -> Batch:
        self._unreported += 1
        return self.manager.seal()

    def _count_upkeep(self) -> bool:
        due = bool(self._upkeep_due())
        self._unreported += due
        return due

    def begin_commit(self) -> bool:
        """Do all that is due now, so that a batch is sealed. Return whether one is being written."""
        while self.reactor.due():
            self.reactor.turn()
        return self._unreported > 0

    def land(self) -> None:
        """Have the batch that is being written reach the disk, and its replies leave."""
        if isinstance(self.store, Disk):
            self.store.let_through()
        self.reactor.run_report()
        self._unreported -= 1

    def commit(self) -> None:
        """Have everything that waits for the disk reach it."""
        while self.begin_commit():
            self.land()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with the duties that the service carries out meanwhile."""
        while seconds > 0:
            self.reactor.advance(min(seconds, 0.05))
            seconds -= 0.05
            self.manager.end_waits()
        while self.manager.upkeep():
            pass

    def close(self) -> None:
        """End the committer's thread, as the last thing in a test."""
        ended: list[bool] = []
        if isinstance(self.store, Disk):
            self.store.let_through(1000)
        self.committer.close(lambda: ended.append(True))
        while not ended:
            self.reactor.run_report()

    def _run_in_slices(self, steps: Iterator[None], finish: Callable[[CommandError | None], None]) -> None:
        def step() -> None:
            try:
                next(steps)
            except StopIteration:
                finish(None)
            except CommandError as refusal:
                finish(refusal)
            else:
                self.reactor.callLater(0, step)

        self.reactor.callLater(0, step)


def job(number: int, **fields: str) -> bytes:
    """Return the JSON of a job with the jid `jid-00000…number`; `fields` hold JSON texts."""
    text = f'{{"jid":"{jid(number)}","jobtype":"work","args":[{number}]'
    return "".join([text, *(f',"{name}":{value}' for name, value in fields.items()), "}"]).encode()


def jid(number: int) -> str:
    """Return the jid of `job(number)`."""
    return f"jid-{number:05}"


def named(number: int) -> bytes:
    """Return what ACK and FAIL want to know of `job(number)`."""
    return b'{"jid":"%b"}' % jid(number).encode()


def broken_disk() -> StoreError:
    """Return the error of a disk that cannot be written."""
    return StoreError("cannot write: the disk is broken")
