"""A client of the Faktory work protocol that hides nothing: blocking sockets, one reply a command, no retries.

The system tests use it to look at the server from outside and to say things that a polite library cannot. It shares no
code with the server, so that a mistake made there is not made here as well.

    with Client(server.port) as client:
        jid = client.push(job("greet", "you"))
        assert client.fetch("default")["jid"] == jid
        client.ack(jid)

Every wait has a deadline (`timeout`, in seconds, 15 by default); when it passes, `TimeoutError` is raised.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import uuid
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple

Job = dict[str, Any]


class Reply(NamedTuple):
    """One reply. `type` is "simple", "error", "integer" (value: str), "bulk" (value: bytes) or "null" (value: None)."""

    type: str
    value: Any


class ServerError(Exception):
    """The server answered `-…`. `str()` of it is the text behind the minus sign, `ERR ` included."""


class ConnectionEnded(EOFError):
    """The server closed the connection where a reply was expected."""


def password_hash(password: str, salt: str, iterations: int) -> str:
    """Return the `pwdhash` for HELLO: SHA-256 of password and salt, then hashed `iterations - 1` times more, as hex."""
    digest = (password + salt).encode()
    for _ in range(iterations):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()


def job(jobtype: str, *args: Any, **fields: Any) -> Job:
    """Return a job with a new jid; `fields` (queue, retry, at, custom, priority, jid …) go into it as they are."""
    return {"jid": uuid.uuid4().hex[:24], "jobtype": jobtype, "args": list(args), **fields}


class Client:
    """One connection, greeted and identified. Closing it twice is fine.

    `wid` makes it a worker's connection. `hello` adds fields to HELLO or replaces them. With `greet=False` neither the
    greeting is read nor HELLO sent: then use `receive`, `hello` and `send`. `tls` encrypts the connection, and says whom
    it trusts. `source` is the address to connect from.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        password: str | None = None,
        wid: str | None = None,
        hello: Mapping[str, Any] | None = None,
        timeout: float = 15.0,
        greet: bool = True,
        tls: ssl.SSLContext | None = None,
        source: str = "",
    ) -> None:
        self.password = password
        self.wid = wid
        self.greeting: dict[str, Any] = {}
        self.socket = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        self._buffer = b""
        if greet:
            try:
                self.hello(hello)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- the conversation ----------------------------------------------------------------------------------------------

    def hello(self, fields: Mapping[str, Any] | None = None) -> None:
        """Read the greeting and answer it; raise ServerError if refused. `fields` overrides what HELLO says."""
        greeting = self._value(self.receive())
        if not greeting.startswith("HI "):
            raise ServerError(f"not a greeting: {greeting!r}")
        self.greeting = json.loads(greeting[3:])
        message: dict[str, Any] = {"v": 2}
        if self.wid is not None:
            message.update(hostname="localhost", wid=self.wid, pid=1, labels=["test"])
        if self.password is not None and "s" in self.greeting:
            message["pwdhash"] = password_hash(self.password, self.greeting["s"], self.greeting["i"])
        message.update(fields or {})
        self._value(self.command("HELLO " + json.dumps(message)))

    def command(self, line: str | bytes) -> Reply:
        """Send one line and return its reply, whatever it is. An error reply is returned, not raised."""
        self.send(line)
        return self.receive()

    def send(self, line: str | bytes) -> None:
        r"""Send one line; the `\r\n` is added. Several may be sent before the first `receive`."""
        self.send_bytes((line.encode() if isinstance(line, str) else line) + b"\r\n")

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are: parts of lines, other line ends, nonsense."""
        self.socket.sendall(data)

    def receive(self) -> Reply:
        """Return the next reply; raise ConnectionEnded if the server closes instead, ValueError if it is no reply."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return Reply("null", None)
            body = self._exactly(length + 2)
            if not body.endswith(b"\r\n"):
                raise ValueError(f"a bulk reply of {length} bytes goes on with {body[-20:]!r}")
            return Reply("bulk", body[:-2])
        types = {b"+": "simple", b"-": "error", b":": "integer"}
        if kind not in types:
            raise ValueError(f"not a reply: {line!r}")
        return Reply(types[kind], rest.decode())

    def at_end(self) -> bool:
        """Wait until the server closes the connection: True, or False if it says something instead."""
        try:
            return self._buffer == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Hang up without a word."""
        self.socket.close()

    # -- the commands: each returns what the reply holds, and raises ServerError for an error reply ---------------------

    def push(self, job: Job) -> str:
        """PUSH; return the jid."""
        self.do("PUSH", job)
        return str(job["jid"])

    def pushb(self, jobs: Iterable[Job]) -> dict[str, str]:
        """PUSHB; return what was refused: jid -> reason."""
        return dict(self.do("PUSHB", list(jobs)))

    def fetch(self, *queues: str) -> Job | None:
        """FETCH from `queues` in this order ("default" if none is given); None if there was no job for two seconds."""
        result: Job | None = self.do("FETCH " + " ".join(queues or ("default",)))
        return result

    def ack(self, jid: str) -> None:
        """ACK."""
        self.do("ACK", {"jid": jid})

    def fail(self, jid: str, errtype: str = "Mistake", message: str = "it went wrong", **fields: Any) -> None:
        """FAIL; `fields` may hold a backtrace, a list of lines."""
        self.do("FAIL", {"jid": jid, "errtype": errtype, "message": message, **fields})

    def beat(self, **fields: Any) -> str:
        """BEAT of this connection's wid; return the state the server asks for: "" (go on), "quiet" or "terminate"."""
        reply = self.do("BEAT", {"wid": self.wid, **fields})
        return "" if reply == "OK" else str(reply["state"])

    def info(self) -> dict[str, Any]:
        """INFO, parsed."""
        return dict(self.do("INFO"))

    def mutate(self, cmd: str, target: str, **job_filter: Any) -> None:
        """MUTATE: `cmd` (requeue, kill, discard, clear) the jobs of `target` (scheduled, retries, dead).

        `job_filter` may hold jids, jobtype and regexp; without any of them every job is meant.
        """
        message: dict[str, Any] = {"cmd": cmd, "target": target}
        if job_filter:
            message["filter"] = job_filter
        self.do("MUTATE", message)

    def queue(self, action: str, *names: str) -> Any:
        """QUEUE PAUSE, RESUME, REMOVE ("OK") or LATENCY (a dict)."""
        return self.do(f"QUEUE {action} " + " ".join(names))

    def flush(self) -> None:
        """FLUSH: forget every job."""
        self.do("FLUSH")

    def end(self) -> bool:
        """END; True once the server has closed the connection without a reply."""
        self.send("END")
        return self.at_end()

    def do(self, verb: str, argument: Any = None) -> Any:
        """Send `verb` with `argument` as JSON (if any); return the simple text, the parsed bulk body, or None."""
        line = verb if argument is None else f"{verb} {json.dumps(argument, separators=(',', ':'))}"
        return self._value(self.command(line))

    def text(self, line: str) -> str:
        """Send a line whose reply is a text, not JSON; return it."""
        reply = self.command(line)
        return reply.value.decode() if reply.type == "bulk" else str(self._value(reply))

    # -- reading -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _value(reply: Reply) -> Any:
        if reply.type == "error":
            raise ServerError(reply.value)
        return json.loads(reply.value) if reply.type == "bulk" else reply.value

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, length: int) -> bytes:
        parts, have = [self._buffer], len(self._buffer)
        while have < length:
            self._buffer = b""
            self._more()
            parts.append(self._buffer)
            have += len(self._buffer)
        data = b"".join(parts)
        self._buffer = data[length:]
        return data[:length]

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionEnded(f"closed after {self._buffer!r}")
        self._buffer += data
