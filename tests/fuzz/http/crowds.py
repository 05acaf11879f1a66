"""Crowds at the web port of a server: how each of them behaves, one connection at a time.

``asking`` and ``garbling`` hold every answer against :mod:`tests.fuzz.http.rules`; the others are there to be in the way.
:mod:`tests.fuzz.http` starts them in a process of their own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from tests.fuzz.http.requests import Request, Things, basic, made, spoilt
from tests.fuzz.http.rules import Answer, answer_of, broken
from tests.fuzz.http.samples import SAMPLES
from tests.fuzz.http.values import HEADER_VALUES
from tests.system.hostile import Crowd, Streams

PASSWORD = "correct-horse"
READ_ONLY = "battery-staple"
SECRETS = (PASSWORD, READ_ONLY)
OPERATOR = basic(PASSWORD)
PATIENCE_SECONDS = 60.0
_MOST_FAILURES = 20
_ROUTES = tuple(SAMPLES)
_HEAVIEST = ("GET /", "GET /metrics", "GET /queues", "GET /jobs", "GET /debug", "GET /api/openapi.json", "GET /dead")
_HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
_STATIC = b"GET /static/1/controls.css HTTP/1.1\r\nHost: x\r\n\r\n"
_FORM = b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


class WebCrowd(Crowd):
    """Connections to the web port, and what came of their requests: by route, by status, and what did not hold."""

    def __init__(self, port: int, until: float, things: Things, seed: int) -> None:
        super().__init__(port, until)
        self.things = things
        self.rng = Random(seed)
        self.statuses: dict[str, Counter[str]] = {}
        self.failures: list[str] = []
        self.failed = Counter[str]()

    def note(self, request: Request, answer: Answer | None, found: list[str]) -> None:
        """Count an answer."""
        status = "none" if answer is None else str(answer.status)
        self.statuses.setdefault(request.route, Counter())[status] += 1
        for what in found:
            self.failed[request.route] += 1
            if len(self.failures) < _MOST_FAILURES:
                self.failures.append(f"{request.route}: {what}; {request.wrong}; {bytes(request)[:300]!r}")

    def told(self) -> dict[str, Any]:
        """What the other process reads."""
        return {
            "opened": self.opened,
            "ended": self.ended,
            "statuses": self.statuses,
            "failures": self.failures,
            "failed": self.failed,
        }


async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    """The next answer of a connection. EOFError when there is none."""
    while True:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
        answer = answer_of(head[:-4], b"")
        if answer.status != 100:
            break
    length = answer.header("Content-Length")
    if method == "HEAD" or answer.status in (204, 304):
        return answer
    if length is None:
        return answer._replace(body=await asyncio.wait_for(reader.read(), PATIENCE_SECONDS))
    return answer._replace(body=await asyncio.wait_for(reader.readexactly(int(length)), PATIENCE_SECONDS))


async def connect(crowd: WebCrowd) -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", crowd.port, limit=1 << 20)
    crowd.opened += 1
    return reader, writer


async def leave(writer: asyncio.StreamWriter) -> None:
    """Close, and wait a moment for that."""
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), 1)
    except (OSError, asyncio.TimeoutError):
        pass


# -- who asks, and looks at what comes back --------------------------------------------------------------------------------


async def asking(crowd: WebCrowd) -> None:
    """Ask for any route with something wrong in it, on one connection as long as it is kept."""
    reader, writer = await connect(crowd)
    try:
        while time.monotonic() < crowd.until:
            credentials = crowd.rng.choice((OPERATOR, OPERATOR, OPERATOR, basic(READ_ONLY), b""))
            request = made(crowd.rng.choice(_ROUTES), crowd.things, credentials)
            if crowd.rng.random() < 0.9:
                request = spoilt(crowd.rng, request)
            writer.write(bytes(request))
            if not await _heard(crowd, request, reader):
                return
    finally:
        await leave(writer)


async def _heard(crowd: WebCrowd, request: Request, reader: asyncio.StreamReader) -> bool:
    """Look at the answer. Returns whether the connection can be used further."""
    wait = read_answer(reader, request.method)
    try:
        answer = await (asyncio.wait_for(wait, 1) if request.lies else wait)
    except (asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
        # Who sends more than its request needs may lose the answer: the system resets the connection.
        may_be = request.lies or (request.body is not None and len(request.body) > 1_000_000)
        crowd.note(request, None, [] if may_be else [f"no answer: {type(error).__name__}"])
        return False
    crowd.note(request, answer, broken(request, answer, SECRETS))
    return not request.lies and answer.header("Connection") != "close"


async def garbling(crowd: WebCrowd) -> None:
    """Send requests with bytes that are missing, doubled, changed or cut off, several in one piece."""
    reader, writer = await connect(crowd)
    rng = crowd.rng
    try:
        request = made(rng.choice(_ROUTES), crowd.things, rng.choice((OPERATOR, b"")))
        data = bytearray(b"".join(bytes(spoilt(rng, request)) for _ in range(rng.randint(1, 4))))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(data))
            what = rng.choice(
                (b"", b"\0", b"\r", b"\n", b"\r\n", b" ", b":", b"\xff", b"\r\n\r\n", rng.choice(HEADER_VALUES))
            )
            data[at : at + rng.choice((0, 1, 5))] = what
        request.wrong = ["garbled"]
        for start in range(0, len(data), 65_536):
            writer.write(data[start : start + 65_536])
        writer.write_eof()
        while True:
            try:
                answer = await asyncio.wait_for(read_answer(reader, "GET"), 2)
            except (
                asyncio.TimeoutError,
                asyncio.IncompleteReadError,
                asyncio.LimitOverrunError,
                ConnectionError,
                ValueError,
            ):
                break
            found = broken(request, answer, SECRETS) if answer.kind != "application/json" else []
            crowd.note(request, answer, found if answer.body or answer.status >= 400 else [])
    finally:
        await leave(writer)


async def parallel(crowd: WebCrowd) -> None:
    """Ask for the pages that are most work, one after the other."""
    reader, writer = await connect(crowd)
    try:
        while time.monotonic() < crowd.until:
            request = made(crowd.rng.choice(_HEAVIEST), crowd.things, OPERATOR)
            request.query = []
            writer.write(bytes(request))
            try:
                answer = await read_answer(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                crowd.note(request, None, [])
                return
            crowd.note(request, answer, broken(request, answer, SECRETS))
            if answer.status == 503:
                await asyncio.sleep(0.2)
                return
    finally:
        await leave(writer)


# -- who is in the way -----------------------------------------------------------------------------------------------------


async def silent(crowd: WebCrowd) -> None:
    """Say nothing at all."""
    await crowd.wait(*await connect(crowd))


async def slow(crowd: WebCrowd) -> None:
    """Send a request a byte at a time."""
    reader, writer = await connect(crowd)
    request = bytes(made("GET /", crowd.things, OPERATOR))
    try:
        for byte in request + b"X: y\r\n" * 1000:
            if reader.at_eof() or time.monotonic() > crowd.until:
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.2)
    finally:
        await leave(writer)


async def slow_body(crowd: WebCrowd) -> None:
    """Send the body of a form a byte at a time."""
    reader, writer = await connect(crowd)
    writer.write(_FORM + b"Content-Length: 1000000\r\n\r\n")
    try:
        while not reader.at_eof() and time.monotonic() < crowd.until:
            writer.write(b"x")
            await asyncio.sleep(0.2)
    finally:
        await leave(writer)


async def halves(crowd: WebCrowd) -> None:
    """Send a part of a request, and go away."""
    _, writer = await connect(crowd)
    data = bytes(made(crowd.rng.choice(_ROUTES), crowd.things, OPERATOR))
    writer.write(data[: crowd.rng.randrange(len(data))])
    await asyncio.sleep(crowd.rng.choice((0, 0.01)))
    writer.transport.abort()


async def bombs(crowd: WebCrowd) -> None:
    """Send headers that are too many, too long or folded, and chunks and lengths that are too large."""
    reader, writer = await connect(crowd)
    head = b"GET / HTTP/1.1\r\nHost: x\r\n"
    bomb = crowd.rng.choice(
        (
            head + b"X: y\r\n" * 10_000 + b"\r\n",
            head + b"X: " + b"y" * 1_048_576 + b"\r\n\r\n",
            head + b"X: y\r\n" + b" \r\n" * 10_000 + b"\r\n",
            head + b"Cookie: " + b";" * 15_000 + b"\r\n\r\n",
            b"GET /" + b"a" * 1_048_576 + b" HTTP/1.1\r\n\r\n",
            b"\r\n" * 50_000,
            _FORM + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n",
            _FORM + b"Transfer-Encoding: chunked\r\n\r\n" + b"1;" + b"a" * 1_048_576,
            _FORM + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
            _FORM + b"Content-Length: 67108864\r\n\r\n" + b"x" * 1_048_576,
            _FORM + b"Authorization: " + OPERATOR + b"\r\nContent-Length: 8388608\r\n\r\n" + b"a=1&" * 2_097_152,
            _FORM + b"Content-Length: 900000\r\n\r\n" + b"%41" * 300_000,
        )
    )
    try:
        writer.write(bomb)
        await asyncio.wait_for(writer.drain(), 10)
        await asyncio.wait_for(reader.read(65_536), 10)
    except asyncio.TimeoutError:
        pass
    finally:
        await leave(writer)


async def pipelining(crowd: WebCrowd) -> None:
    """Ask two thousand things in one piece, and read the answers."""
    reader, writer = await connect(crowd)
    try:
        writer.write(_HEALTH * 2000)
        left = 2000
        while left and time.monotonic() < crowd.until:
            await read_answer(reader)
            left -= 1
    finally:
        await leave(writer)


async def deaf(crowd: WebCrowd) -> None:
    """Ask for thousands of files in one piece, and never read an answer."""
    _, writer = await connect(crowd)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    try:
        await asyncio.wait_for(_write_on(writer, _STATIC * 1000), max(crowd.until - time.monotonic(), 0.01))
    except asyncio.TimeoutError:
        pass
    finally:
        writer.transport.abort()


async def _write_on(writer: asyncio.StreamWriter, data: bytes) -> None:
    while True:
        writer.write(data)
        await writer.drain()


KINDS: dict[str, Callable[[Any], Awaitable[None]]] = {
    behave.__name__: behave
    for behave in (asking, garbling, halves, bombs, pipelining, silent, slow, slow_body, deaf, parallel)
}
FEWER = {"asking": 30, "garbling": 60, "halves": 50, "bombs": 20, "pipelining": 50, "parallel": 1000}


def told_things(text: str) -> dict[str, str]:
    """What the program that started this process has said of the server."""
    things: dict[str, str] = json.loads(text)
    return things
