"""What the members of a crowd do; see crowd.py. Run as a program: `python -m tests.system.overload.members OPTIONS`.

Each member is one connection and one class: what it says when it is served, and what it does with a reply.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections import Counter
from functools import lru_cache
from typing import Any, ClassVar

from tests.system.fwp import password_hash

OPENING = 1000  # connections that are being opened at a time
_TELLS_SECONDS = 0.05
_AGAIN_SECONDS = 0.05  # until a connection that ended, or was refused, is opened again
_MOST_WRONG = 20

hashed = lru_cache(maxsize=64)(password_hash)  # every worker has a processor of its own; here are only two


class Swarm:
    """All members of this process."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.now = asyncio.Event()  # the word "now" was said
        self.ended = False
        self.opening = asyncio.Semaphore(options.get("opening", OPENING))
        self.jids: set[str] = set()  # of jobs that are done

    def find(self, wrong: str) -> None:
        """Something is not as it should be."""
        self.counts["mistakes"] += 1
        if len(self.wrong) < _MOST_WRONG:
            self.wrong.append(wrong)

    def tell(self) -> None:
        """Say what has been done so far."""
        told = {**self.counts, "at": time.monotonic(), "wrong": self.wrong, "distinct": len(self.jids)}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


class Member(asyncio.Protocol):
    """One connection. It says HELLO, and nothing more."""

    def __init__(self, swarm: Swarm, number: int) -> None:
        self.swarm = swarm
        self.number = number
        self.counts = swarm.counts
        self.transport: Any = None
        self.served = False
        self._buffer = b""
        self._greeted = False

    @property
    def wid(self) -> str:
        """The worker that it is."""
        return f"{self.swarm.options['kind']}-{self.number}"

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._buffer, self._greeted = b"", False

    def connection_lost(self, error: Exception | None) -> None:
        if self.served:
            self.served = False
            self.counts["served"] -= 1
            self.counts["lost"] += 1
        else:
            self.counts["late"] += 1
        if not self.swarm.ended:
            asyncio.get_running_loop().create_task(open_soon(self))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while (end := buffer.find(b"\r\n")) >= 0:
            body: bytes | None = None
            rest = end + 2
            if buffer[:1] == b"$" and buffer[1:2] != b"-":
                rest += int(buffer[1:end]) + 2
                if len(buffer) < rest:
                    break
                body = buffer[end + 2 : rest - 2]
            line, buffer = buffer[:end], buffer[rest:]
            self._take(line, body)
        self._buffer = buffer

    def _take(self, line: bytes, body: bytes | None) -> None:
        if self.served:
            self.counts["replies"] += 1
            self.reply(line, body)
        elif line.startswith(b"+HI ") and not self._greeted:
            self._greeted = True
            greeting = json.loads(line[4:])
            hello: dict[str, Any] = {"v": 2, "wid": self.wid, "hostname": "crowd", "pid": 1, "labels": []}
            if "s" in greeting:
                hello["pwdhash"] = hashed(self.swarm.options["password"], greeting["s"], greeting["i"])
            self.send("HELLO " + json.dumps(hello))
        elif line == b"+OK":
            self.served = True
            self.counts["served"] += 1
            self.counts["connected"] += 1
            self.begin()
        else:
            self.counts["turned away"] += 1
            self.transport.close()

    def send(self, line: str) -> None:
        """Say one line."""
        self.transport.write(line.encode() + b"\r\n")

    def begin(self) -> None:
        """It is served."""

    def reply(self, line: bytes, body: bytes | None) -> None:
        """It is answered: the first line of the reply, and what a bulk reply holds."""
        self.swarm.find(f"a reply that nobody asked for: {line[:100]!r}")


class Fetching(Member):
    """Fetches from a queue, again and again, and acknowledges what it gets."""

    jid = ""

    def begin(self) -> None:
        self.jid = ""
        self.fetch()

    def fetch(self) -> None:
        self.send(f"FETCH {self.swarm.options.get('queues', 'work')}")

    def reply(self, line: bytes, body: bytes | None) -> None:
        if body is not None:
            self.counts["fetched"] += 1
            self.jid = json.loads(body)["jid"]
            self.send(json.dumps({"jid": self.jid}).join(("ACK ", "")))
        elif line == b"+OK" and self.jid:
            self.counts["done"] += 1
            if self.jid in self.swarm.jids:
                self.counts["done twice"] += 1
            self.swarm.jids.add(self.jid)
            self.jid = ""
            self.fetch()
        elif line == b"$-1":
            self.counts["nothing"] += 1
            self.fetch()
        else:
            self.swarm.find(f"FETCH or ACK was answered {line[:100]!r}")


class Holding(Member):
    """Is a worker with a heartbeat, and holds some jobs that it never finishes."""

    holds = 0

    def begin(self) -> None:
        self.holds = 0
        if self.swarm.options.get("beats", True):
            seconds = self.swarm.options.get("beat_seconds", 15.0)
            self.send(json.dumps({"wid": self.wid}).join(("BEAT ", "")))
            self.later(seconds * (0.5 + self.number % 997 / 997))
        self.more()

    def later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.beat)

    def beat(self) -> None:
        if self.served:
            self.counts["beats"] += 1
            self.send(json.dumps({"wid": self.wid}).join(("BEAT ", "")))
            self.later(self.swarm.options.get("beat_seconds", 15.0))

    def more(self) -> None:
        if self.holds < self.swarm.options.get("each", 5):
            self.send("FETCH held")
        else:
            self.counts["full"] += 1

    def reply(self, line: bytes, body: bytes | None) -> None:
        if body is not None:
            self.holds += 1
            self.counts["held"] += 1
            self.more()
        elif line == b"$-1":
            self.more()
        elif line != b"+OK":
            self.swarm.find(f"BEAT or FETCH was answered {line[:100]!r}")


class Pipelining(Member):
    """Pushes without waiting for an answer, as fast as the network takes it.

    After each BETWEEN jobs it says a word that is no command and has a number: its refusal shows that the replies are in
    the order of the commands.
    """

    BETWEEN: ClassVar[int] = 50
    _pushed = _answered = 0
    _writes = True

    def begin(self) -> None:
        self._pushed = self._answered = 0
        self._writes = True
        asyncio.get_running_loop().create_task(self._push())

    def pause_writing(self) -> None:
        self._writes = False

    def resume_writing(self) -> None:
        self._writes = True
        asyncio.get_running_loop().create_task(self._push())

    async def _push(self) -> None:
        swarm, most = self.swarm, self.swarm.options.get("most", 10**12)
        while self._writes and self.served and self._pushed < most and not (swarm.ended or swarm.now.is_set()):
            lines = []
            for number in range(self._pushed, self._pushed + self.BETWEEN):
                jid = f"p{self.number:06d}-{number:09d}"
                lines.append(f'PUSH {{"jid":"{jid}","jobtype":"P","queue":"flood","args":[]}}\r\n')
            self._pushed += self.BETWEEN
            self.counts["sent"] += self.BETWEEN
            self.transport.write("".join([*lines, f"Q{self._pushed}\r\n"]).encode())
            await asyncio.sleep(0)

    def reply(self, line: bytes, body: bytes | None) -> None:
        if line == b"+OK":
            self._answered += 1
            self.counts["acknowledged"] += 1
        elif line != b"-ERR Unknown command Q%d" % self._answered or self._answered % self.BETWEEN:
            self.swarm.find(f"after {self._answered} jobs came {line[:100]!r}")


class Bulk(Member):
    """Pushes many jobs in one line when it is told to."""

    def begin(self) -> None:
        asyncio.get_running_loop().create_task(self._push())

    async def _push(self) -> None:
        jobs = [
            {"jid": f"b{self.number:03d}-{number:07d}", "jobtype": "B", "queue": "bulk", "args": [number, "x" * 40]}
            for number in range(self.swarm.options["jobs"])
        ]
        line = "PUSHB " + json.dumps(jobs)
        self.counts["prepared"] += 1
        await self.swarm.now.wait()
        self.send(line)

    def reply(self, line: bytes, body: bytes | None) -> None:
        if body != b"{}":
            self.swarm.find(f"PUSHB was answered {line[:100]!r} {(body or b'')[:100]!r}")
        self.counts["bulks"] += 1


KINDS: dict[str, type[Member]] = {
    "idle": Member,
    "fetching": Fetching,
    "holding": Holding,
    "pipelining": Pipelining,
    "bulk": Bulk,
}


async def open_soon(member: Member) -> None:
    """Open its connection, again and again until that succeeds."""
    swarm, loop = member.swarm, asyncio.get_running_loop()
    while not swarm.ended:
        try:
            async with swarm.opening:
                await loop.create_connection(lambda: member, "127.0.0.1", swarm.options["port"])
                return
        except OSError:
            swarm.counts["refused"] += 1
            await asyncio.sleep(_AGAIN_SECONDS)


async def run(options: dict[str, Any]) -> None:
    """Be a crowd until the word "end" is said, or nobody is there to say it."""
    swarm = Swarm(options)
    loop = asyncio.get_running_loop()
    end = asyncio.Event()

    def heard() -> None:
        words = os.read(sys.stdin.fileno(), 1000).split()  # both may come together
        if b"now" in words:
            swarm.now.set()
        if b"end" in words or not words:
            end.set()

    loop.add_reader(sys.stdin.fileno(), heard)
    opening = [loop.create_task(open_soon(KINDS[options["kind"]](swarm, number))) for number in range(options["count"])]
    while not end.is_set():
        swarm.tell()
        try:
            await asyncio.wait_for(end.wait(), _TELLS_SECONDS)
        except asyncio.TimeoutError:
            pass
    swarm.tell()
    swarm.ended = True
    for task in opening:
        task.cancel()


def main() -> None:
    """Be a crowd with the options of the command line."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(run(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
