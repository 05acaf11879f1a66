"""The console's connection, with a socket that plays the server."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from faktory_tw.challenge import password_hash
from faktory_tw.console.address import Address
from faktory_tw.console.connection import FOREVER, Connection, Refused, tls_context
from faktory_tw.console.errors import ConsoleError

ADDRESS = Address("localhost", 7419)
GREETING = b'+HI {"v":2}\r\n'
OK = b"+OK\r\n"


class Socket:
    """What a server sends, piece by piece: bytes, an exception to raise, b"" for the end. What it gets is in `sent`."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = list(pieces)
        self.sent = b""
        self.closed = False
        self.timeouts: list[float] = []

    def recv(self, most: int) -> bytes:
        if not self.pieces:
            raise AssertionError("more is read than the server says")
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def setsockopt(self, *option: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes the next connection end at a socket with these pieces."""

    def serve(*pieces: bytes | Exception) -> Socket:
        sock = Socket(*pieces)
        monkeypatch.setattr(socket, "create_connection", lambda *_, **__: sock)
        return sock

    return serve


def said(address: Address = ADDRESS) -> str:
    """Why a connection cannot be made."""
    with pytest.raises(ConsoleError) as refused:
        Connection(address)
    return str(refused.value)


def test_hello_says_who_it_is_and_nothing_of_a_worker(serve: Any) -> None:
    sock = serve(GREETING, OK)
    with Connection(Address("localhost", 7419, "secret", username="ann")):
        hello = json.loads(sock.sent.removeprefix(b"HELLO "))
    assert sock.closed
    assert (hello["v"], hello["labels"], hello["username"]) == (2, ["faktory-tw"], "ann")
    assert not {"wid", "pwdhash"} & set(hello)


def test_a_password_goes_as_its_hash(serve: Any) -> None:
    sock = serve(b'+HI {"v":2,"i":1545,"s":"55104dc76695721d"}\r\n', OK)
    Connection(Address("localhost", 7419, "foobar"))
    assert json.loads(sock.sent[6:])["pwdhash"] == password_hash("foobar", "55104dc76695721d", 1545)
    assert b"foobar" not in sock.sent


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([b"-ERR too many connections: 5\r\n"], "the server at localhost:7419 answers '-ERR too many connections: 5'"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "no Faktory server at localhost:7419: it says 'SSH-2.0-OpenSSH_9.2'"),
        ([b"+HI {\r\n"], "no Faktory server at localhost:7419: it says '+HI {'"),
        ([b"+HI []\r\n"], "no Faktory server at"),
        ([b'+HI {"v":2,"s":"x","i":99999999999}\r\n'], "no Faktory server at"),
        ([b"+HI", b""], "closed the connection during the handshake; if it expects TLS, use tcp+tls:// in the URL"),
        ([GREETING, b"-ERR Invalid password\r\n"], "answers '-ERR Invalid password'; the URL has no password"),
        ([ConnectionResetError(104, "Connection reset by peer")], "was lost: Connection reset by peer"),
    ],
)
def test_a_server_that_does_not_play_along_is_quoted(serve: Any, pieces: list[Any], told: str) -> None:
    sock = serve(*pieces)
    assert told in said()
    assert sock.closed


def test_a_wrong_password_is_not_repeated(serve: Any) -> None:
    serve(GREETING, b"-ERR Invalid password\r\n")
    told = said(Address("localhost", 7419, "hunter2"))
    assert told.endswith("answers '-ERR Invalid password'; the URL has another password")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "cannot connect to localhost:7419: Connection refused"),
        (TimeoutError("timed out"), "cannot connect to localhost:7419: timed out"),
        (
            socket.gaierror(-2, "Name or service not known"),
            "cannot connect to localhost:7419: Name or service not known",
        ),
        (UnicodeError("label too long"), "cannot connect to localhost:7419: that is no name of a machine"),
    ],
)
def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch, error: Exception, told: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert said() == told


def connected(serve: Any, *pieces: bytes | Exception) -> tuple[Connection, Socket]:
    sock = serve(GREETING, OK, *pieces)
    connection = Connection(ADDRESS)
    sock.sent = b""
    return connection, sock


def test_replies_may_come_in_any_pieces(serve: Any) -> None:
    connection, sock = connected(serve, b"$1", b'2\r\n{"a":', b'["\xc3\xa4"]}\r', b"\n+O", b"K\r\n$-1\r", b"\n")
    assert connection.ask("INFO") == {"a": ["ä"]}
    assert connection.ask("FLUSH") == "OK"
    assert connection.ask("FETCH") is None
    assert sock.sent == b"INFO\r\nFLUSH\r\nFETCH\r\n"


def test_an_argument_is_json_on_one_line(serve: Any) -> None:
    connection, sock = connected(serve, OK)
    connection.ask("ADMIN LIST", {"match": "a\nb\u2028"})
    assert sock.sent == b'ADMIN LIST {"match": "a\\nb\\u2028"}\r\n'


def test_an_error_reply_is_raised_and_the_connection_goes_on(serve: Any) -> None:
    connection, _ = connected(serve, b"-ERR Unknown command ADMIN\r\n", b"-NOTUNIQUE taken\r\n", OK)
    with pytest.raises(Refused, match="it is no faktory_tw, or an older one") as refused:
        connection.ask("ADMIN LIST", {})
    assert refused.value.unknown
    assert connection.ask_if_known("PUSH") is None
    assert connection.ask("FLUSH") == "OK"


def test_a_lost_connection_is_told_and_not_taken_for_a_refusal(serve: Any) -> None:
    connection, _ = connected(serve, b"$100\r\n{", b"")
    with pytest.raises(ConsoleError, match="closed the connection") as lost:
        connection.ask_if_known("INFO")
    assert not isinstance(lost.value, Refused)


def test_a_reply_that_is_no_json_is_told(serve: Any) -> None:
    connection, _ = connected(serve, b"$2\r\n{x\r\n")
    with pytest.raises(ConsoleError, match="answers what is no JSON"):
        connection.ask("INFO")


def test_something_can_be_done_while_the_server_works(serve: Any) -> None:
    connection, sock = connected(serve, TimeoutError(), TimeoutError(), OK)
    calls: list[int] = []
    assert connection.ask("MUTATE", {}, seconds=FOREVER, meanwhile=lambda: calls.append(1)) == "OK"
    assert len(calls) == 2
    assert sock.timeouts[-1] < 1


def test_a_server_that_says_nothing_is_given_up(serve: Any) -> None:
    connection, _ = connected(serve, TimeoutError())
    with pytest.raises(ConsoleError, match="the server at localhost:7419 does not answer"):
        connection.ask("INFO", seconds=0.0)


def test_a_certificate_is_required_and_its_file_must_be_one(tmp_path: Path) -> None:
    context = tls_context(None)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    file = tmp_path / "ca.pem"
    with pytest.raises(ConsoleError, match=r"cannot read the certificates in .*: No such file"):
        tls_context(str(file))
    file.write_text("nothing")
    with pytest.raises(ConsoleError, match=r"cannot read the certificates in .*: it holds no certificate"):
        tls_context(str(file))
