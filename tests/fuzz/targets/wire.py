"""What comes in at the command port: pieces of lines, handshakes, single commands, and conversations of several clients."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from unittest.mock import patch

from faktory_tw.attempts import Attempts
from faktory_tw.challenge import Challenge, password_hash
from faktory_tw.core.manager import JobManager
from faktory_tw.features.standard import standard_features
from faktory_tw.server import Server
from faktory_tw.session import Session
from faktory_tw.storage import database
from faktory_tw.wire import CommandError
from tests.fuzz.cost import limited
from tests.fuzz.memory import Memory
from tests.fuzz.state import things
from tests.fuzz.world import InMemory, OnDisk, Talker, World
from tests.recordings import RECORDINGS
from tests.unit.doubles import FakeClock

PASSWORD = "correct-horse"
_MOST_PIECES = 200
STOCK = b"\n".join(
    [
        *(
            b'0PUSH {"jid":"queued-%02d","jobtype":"Mail","args":[%d,"x"],"priority":%d,"custom":{"track":1}}'
            % (n, n, n)
            for n in range(1, 6)
        ),
        b'0PUSH {"jid":"unique-01","jobtype":"Mail","args":["u"],"custom":{"unique_for":600}}',
        b'0PUSH {"jid":"expires-1","jobtype":"Mail","args":[],"custom":{"expires_in":500,"unique_for":5}}',
        b'0PUSH {"jid":"keyed-001","jobtype":"Keyed","args":["k"],"queue":"slow","reserve_for":100}',
        b'0PUSH {"jid":"keyed-002","jobtype":"Keyed","args":["k"],"queue":"slow"}',
        b'0PUSH {"jid":"later-001","jobtype":"Bulk","args":[],"at":"2030-01-01T00:00:00Z","queue":"late"}',
        b'0PUSH {"jid":"failed-01","jobtype":"Bulk","args":[{"a":1}],"queue":"fail"}',
        b'0PUSH {"jid":"dead-0001","jobtype":"<b>&","args":["\\u00e9"],"queue":"fail","retry":-1}',
        b'0BATCH NEW {"description":"d","success":{"jobtype":"Done","args":[]},"complete":{"jobtype":"All","args":[]}}',
        b'0PUSH {"jid":"member-01","jobtype":"Part","args":[],"queue":"batch","custom":{"bid":"b-1"}}',
        b"0BATCH COMMIT b-1",
        b'1BEAT {"wid":"w1","rss_kb":5}',
        b"1FETCH fail",
        b'1FAIL {"jid":"failed-01","errtype":"E","message":"m","backtrace":["x"]}',
        b"1FETCH fail",
        b'1FAIL {"jid":"dead-0001","errtype":"E","message":"m"}',
        b"1FETCH slow",
        b"1FETCH default",
        b'1TRACK SET {"jid":"queued-05","percent":5,"desc":"d"}',
    ]
)


def _drain(world: World, talker: Talker) -> bytes:
    """Do all that is to be done for a connection, and return everything it was told."""
    for _ in range(3):
        world.settle()
        world.pass_time(3.0)
    talker.check()
    return talker.said


def _pieces(data: bytes, sizes: bytes) -> Iterator[bytes]:
    """Cut data as the sizes say, again and again; what is left when there are very many comes at once."""
    place = 0
    for number in range(_MOST_PIECES):
        if place >= len(data):
            return
        size = (sizes[number % len(sizes)] if sizes else 0) + 1
        yield data[place : place + size]
        place += size
    yield data[place:]


def _heard(stream: bytes, feed: Callable[[World, Talker], None]) -> bytes:
    world = World()
    try:
        talker = world.talker(0)
        feed(world, talker)
        heard = _drain(world, talker)
        world.finish()
    finally:
        world.close()
    return heard


def framing(data: bytes) -> None:
    """What a client says is answered alike in however many pieces it comes. The first line has their sizes."""
    sizes, _, stream = data.partition(b"\n")

    def in_one(world: World, talker: Talker) -> None:
        limited(lambda: talker.send(stream), len(stream), things(world.manager))

    def in_pieces(world: World, talker: Talker) -> None:
        for number, piece in enumerate(_pieces(stream, sizes)):
            talker.send(piece)
            if sizes[:1] >= b"\x80" and number % 2:
                world.settle()

    one, other = _heard(stream, in_one), _heard(stream, in_pieces)
    if one != other and b"INFO" not in stream:
        raise AssertionError(f"in one piece: {one[:500]!r}; in several: {other[:500]!r}")


@cache
def _locked() -> Server:
    clock = FakeClock()
    manager = JobManager(Memory(), clock, lambda n: 0, None, standard_features())
    manager.load()
    server = Server(manager, clock, lambda steps, finish: None, PASSWORD)
    server._challenge, server._challenge_until = Challenge(PASSWORD), 1e18
    server._challenge.salt, server._challenge.iterations = "5a17", 4001
    return server


def hello(data: bytes) -> None:
    """The first line, where there is a password: ``@2`` and ``@1`` in it stand for what a client that knows it says."""
    server = _locked()
    server.attempts = Attempts(server.clock.monotonic, "the command port")
    right = [server.challenge().expected, password_hash(PASSWORD, "5a17", 1)]
    line = data.replace(b"@2", right[0].encode()).replace(b"@1", right[1].encode())
    session = Session(server, lambda reply, reservation: True, lambda: "192.0.2.1")
    try:
        reply = limited(lambda: session.execute(line), len(line))
    except CommandError as refusal:
        str(refusal).encode("utf-8", "replace")
        reply = b""
    if reply not in (b"", b"+OK\r\n"):
        raise AssertionError(f"HELLO is answered with {reply!r}")
    if reply and not any(text.encode() in line for text in right):
        raise AssertionError(f"let in without the password: {line[:300]!r}")
    if reply and len(session.wid) > 255:
        raise AssertionError(f"a wid of {len(session.wid)} characters")
    session.leave()
    if server.connections < 0 or len(server.manager.workers) > 1:
        raise AssertionError(f"{server.connections} connections, {len(server.manager.workers)} workers")
    server.connections = 0


def conversation(data: bytes) -> None:
    """A script: what several clients do to a server, and time, restarts and a full disk; see ``world.py``."""
    world = World()
    try:
        world.play(data)
    finally:
        world.close()


@cache
def stocked() -> tuple[Memory, float]:
    """What a server has recorded that has jobs in all places, and the time then."""
    storage = InMemory()
    world = World(storage)
    for line in STOCK.split(b"\n"):
        world.say(line[0] - 48, line[1:])
    world.finish()
    return storage.store, world.house.reactor.time()


def command(data: bytes) -> None:
    """One line, said to a server that has jobs in all places, by a worker that holds some of them."""
    store, epoch = stocked()
    world = World(InMemory(store), epoch=epoch)
    try:
        world.talker(1)
        world.settle()
        line = data.replace(b"\n", b" ")
        limited(lambda: world.say(1, line), len(line), things(world.manager))
        world.finish()
    finally:
        world.close()


def storage(data: bytes) -> None:
    """A script again, on a real database."""
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="faktory-fuzz-", dir=memory if memory.is_dir() else None))
    try:
        with patch.multiple(database, RESERVE_BYTES=65_536, LOG_PAGES=16):
            world = World(OnDisk(directory))
            try:
                world.play(data)
            finally:
                world.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def recorded_lines() -> Iterator[bytes]:
    """The lines of the recorded conversations, and those of the stock."""
    for script in (*recorded_scripts(), STOCK):
        for line in script.split(b"\n"):
            yield line[1:]


def recorded_streams() -> Iterator[bytes]:
    """The recorded conversations as one connection would say them."""
    for script in recorded_scripts():
        lines = [b"\x05\x81", b"HELLO {}", *(line[1:] for line in script.split(b"\n"))]
        yield b"\n".join([*lines, b""])


def recorded_scripts() -> Iterator[bytes]:
    """The conversations that were recorded with Faktory 1.9.4, as scripts."""
    for case in json.loads(RECORDINGS.read_text(encoding="utf-8"))["cases"]:
        names: dict[str, int] = {}
        lines = []
        for step in case["steps"]:
            number = names.setdefault(step["conn"], len(names) % 4)
            for said in (step.get("send") or "").split("\r\n"):
                if said and not said.startswith("HELLO"):
                    lines.append(b"%d%b" % (number, said.encode()))
        script = b"\n".join(lines)
        if 0 < len(script) < 4000:
            yield script


def recorded_jobs() -> Iterator[bytes]:
    """The jobs that were pushed in the recorded conversations, and in the stock."""
    for line in recorded_lines():
        verb, _, argument = line.partition(b" ")
        if verb in (b"PUSH", b"PUSHB"):
            yield argument


def greetings() -> Iterator[bytes]:
    """What clients say first."""
    yield b'HELLO {"v":2,"pwdhash":"@2"}'
    yield b'HELLO {"v":1,"pwdhash":"@1","wid":"w","hostname":"h","pid":5,"labels":["a"],"username":"","rss_kb":1}'
    yield b'HELLO {"PwdHash":"@2","V":2,"wid":null}'
    yield b"HELLO {}"
