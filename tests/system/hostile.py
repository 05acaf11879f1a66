"""Clients that mean harm, or are broken, and what a polite one notices of them.

    python -m tests.system.hostile [--connections 5000] [--seconds 20] [KIND...]

For each kind a server is started; so many connections from 127.0.0.2 behave as it says, in a process of their own, while
one from 127.0.0.1 pushes jobs and takes the time of each. The table has how many connections were opened and how many of
them the server ended, how long a PUSH took, how many times as long as without the crowd (of the p99), and by how much the
server's memory grew. Both ends need a file handle a connection: raise `ulimit -n` where that is less.

What must hold: jobs that were acknowledged are there; memory grows by no more than `most_mib` says, or the exit status is
1. Nothing passes or fails by a time, which would say more of the machine than of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.system.fwp import job
from tests.system.server import Server, clean_environment

PASSWORD = "correct-horse"
ADDRESS = "127.0.0.2"
OPENING = 200  # connections that are opened at a time
PAUSE_SECONDS = 0.002  # between two PUSHes
HALF_LINE = b'PUSH {"jid":"half-a-line","jobtype":"work","args":["' + b"x" * 10_000
QUESTIONS = b"INFO\r\n" * 200
NONSENSE = b"NONSENSE {\x00\xff\r\n" * 2000
QUIET_SECONDS = 2.0  # without a crowd, to compare with
MOST_KIB = 160  # of memory that a connection may cost, whatever it does
SLACK_MIB = 24  # and beside them all: jobs that were pushed meanwhile, and what the allocator keeps
_MOST_ANSWER = 65_536
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Crowd:
    """So many connections to a server that behave in one way until the time is over."""

    def __init__(self, port: int, until: float) -> None:
        self.port = port
        self.until = until
        self.opened = 0
        self.ended = 0  # by the server

    async def run(self, behave: Callable[[Crowd], Awaitable[None]], count: int) -> None:
        gate = asyncio.Semaphore(OPENING)

        async def go_on() -> None:
            while time.monotonic() < self.until:
                try:
                    async with gate:
                        await asyncio.sleep(0)
                    await behave(self)
                except (OSError, EOFError):
                    self.ended += 1
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(go_on() for _ in range(count)))

    async def connect(self) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(ADDRESS, 0), limit=4096)
        self.opened += 1
        return reader, writer

    async def greet(self, password: str = PASSWORD) -> Streams:
        """Open a connection and say HELLO; with one round of hashing, as thousands say it."""
        reader, writer = await self.connect()
        greeting = await reader.readline()
        if not greeting.startswith(b"+HI "):
            writer.close()
            raise EOFError(greeting)
        salt = json.loads(greeting[4:])["s"]
        answer = hashlib.sha256((password + salt).encode()).hexdigest()
        writer.write(b'HELLO {"v":1,"pwdhash":"%b"}\r\n' % answer.encode())
        if await reader.readline() != b"+OK\r\n":
            writer.close()
            raise EOFError("refused")
        return reader, writer

    async def wait(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wait for the server to end the connection, or for the end of the time."""
        try:
            while await asyncio.wait_for(reader.read(_MOST_ANSWER), max(self.until - time.monotonic(), 0.01)):
                pass
            self.ended += 1
        except asyncio.TimeoutError:
            pass
        finally:
            writer.close()


# -- how they behave -----------------------------------------------------------------------------------------------------


async def silent(crowd: Crowd) -> None:
    """Say nothing at all: a handshake that stays half open."""
    await crowd.wait(*await crowd.connect())


async def halting(crowd: Crowd) -> None:
    """Say HELLO a byte at a time."""
    reader, writer = await crowd.connect()
    await reader.readline()
    for byte in b'HELLO {"v":2,"hostname":"' + b"x" * 100:
        if reader.at_eof() or time.monotonic() > crowd.until:
            break
        writer.write(bytes([byte]))
        await asyncio.sleep(0.1)
    await crowd.wait(reader, writer)


async def leaving(crowd: Crowd) -> None:
    """Connect and go away at once."""
    _, writer = await crowd.connect()
    writer.transport.abort()
    await asyncio.sleep(0.01)


async def guessing(crowd: Crowd) -> None:
    """Try passwords, and do not wait long for an answer."""
    try:
        _, writer = await asyncio.wait_for(crowd.greet("wrong"), 0.2)
    except asyncio.TimeoutError:
        return
    writer.close()


async def unfinished(crowd: Crowd) -> None:
    """Send half a line, and never the rest."""
    reader, writer = await crowd.greet()
    writer.write(HALF_LINE)
    await crowd.wait(reader, writer)


async def deaf(crowd: Crowd) -> None:
    """Ask and ask, and never read a reply."""
    _, writer = await crowd.greet()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    try:
        await asyncio.wait_for(_write_on(writer, QUESTIONS), max(crowd.until - time.monotonic(), 0.01))
    except asyncio.TimeoutError:
        pass
    finally:
        writer.transport.abort()


async def dawdling(crowd: Crowd) -> None:
    """Ask much at a time, and read the replies a few bytes at a time."""
    reader, writer = await crowd.greet()
    while time.monotonic() < crowd.until:
        writer.write(QUESTIONS)
        for _ in range(20):
            await asyncio.sleep(0.05)
            if not await reader.read(16):
                raise EOFError
    writer.transport.abort()


async def flooding(crowd: Crowd) -> None:
    """Send nonsense as fast as the network takes it, and read what comes back."""
    reader, writer = await crowd.greet()
    asking = asyncio.ensure_future(_write_on(writer, NONSENSE))
    try:
        await crowd.wait(reader, writer)
    finally:
        asking.cancel()


async def _write_on(writer: asyncio.StreamWriter, data: bytes) -> None:
    while True:
        writer.write(data)
        await writer.drain()


KINDS: dict[str, Callable[[Crowd], Awaitable[None]]] = {
    behave.__name__: behave for behave in (silent, halting, leaving, guessing, unfinished, deaf, dawdling, flooding)
}
FEWER = {"flooding": 20, "leaving": 200, "guessing": 200}  # these are as bad as any number of the others


# -- what a polite client notices ----------------------------------------------------------------------------------------


class Noticed(NamedTuple):
    """What came of one kind. ``milliseconds`` has a time for each PUSH that was acknowledged."""

    kind: str
    connections: int
    opened: int
    ended: int
    milliseconds: list[float]
    quiet: list[float]  # the same before the crowd came
    grown_mib: float

    @property
    def most_mib(self) -> float:
        """By how much the server's memory may have grown."""
        return SLACK_MIB + self.connections * MOST_KIB / 1024

    def row(self) -> str:
        """A row of the table."""
        ordered = sorted(self.milliseconds)
        p99 = _p99(ordered)
        return (
            f"{self.kind:<11}{self.connections:>7,}{self.opened:>10,}{self.ended:>10,}{len(ordered):>9,}"
            f"{statistics.median(ordered):>9.2f}{p99:>9.2f}{ordered[-1]:>9.1f}{p99 / _p99(sorted(self.quiet)):>8.1f}"
            f"{self.grown_mib:>8.0f}{self.most_mib:>6.0f}"
        )


def _p99(ordered: Sequence[float]) -> float:
    return ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]


HEAD = (
    f"{'kind':<11}{'clients':>7}{'opened':>10}{'ended':>10}{'PUSHes':>9}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'times':>8}"
    f"{'+MiB':>8}{'most':>6}"
)


@contextmanager
def crowd_at(server: Server, kind: str, connections: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Have a crowd at a server, in a process of its own."""
    command = [sys.executable, "-m", "tests.system.hostile", "--be", kind, "--port", str(server.port)]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    process = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def notice(server: Server, kind: str, connections: int, seconds: float) -> Noticed:
    """Have a crowd at a server, push jobs as long as it is there, and return what was noticed of it."""
    milliseconds: list[float] = []
    quiet: list[float] = []
    grown = 0.0
    assert server.process is not None
    with server.client(timeout=60) as client:

        def push(times: list[float]) -> None:
            began = time.perf_counter()
            client.push(job("polite"))
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE_SECONDS)

        until = time.monotonic() + min(QUIET_SECONDS, seconds / 4)
        while time.monotonic() < until:
            push(quiet)
        before = resident_mib(server.process.pid)
        with crowd_at(server, kind, connections, seconds) as crowd:
            while crowd.poll() is None:
                push(milliseconds)
                if len(milliseconds) % 20 == 0:
                    grown = max(grown, resident_mib(server.process.pid) - before)
            assert crowd.stdout is not None
            told = json.loads(crowd.stdout.read())
    return Noticed(kind, connections, told["opened"], told["ended"], milliseconds, quiet, grown)


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB / 1024


def be(kind: str, port: int, connections: int, seconds: float) -> None:
    """Be a crowd, and tell at the end what became of it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns of connections that the server has ended
    crowd = Crowd(port, time.monotonic() + seconds)
    asyncio.run(crowd.run(KINDS[kind], connections))
    sys.stdout.write(json.dumps({"opened": crowd.opened, "ended": crowd.ended}))


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all kinds, or those that are named, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.hostile", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of: {', '.join(KINDS)}")
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--be", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.be:
        be(options.be, options.port, options.connections, options.seconds)
        return 0
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    sys.stdout.write(HEAD + "\n")
    bounded = True
    for kind in options.kinds or KINDS:
        with tempfile.TemporaryDirectory() as directory:
            server = Server(Path(directory), password=PASSWORD)
            try:
                server.start()
                noticed = notice(server, kind, min(options.connections, FEWER.get(kind, 10**9)), options.seconds)
            finally:
                server.close()
        sys.stdout.write(noticed.row() + "\n")
        sys.stdout.flush()
        bounded = bounded and noticed.grown_mib <= noticed.most_mib
    return 0 if bounded else 1


if __name__ == "__main__":
    sys.exit(main())
