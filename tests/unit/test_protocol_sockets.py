"""Writing to a TCP socket without Twisted's buffer in between, and asking it whether the client is still there."""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import Any, cast

import pytest
from twisted.internet.interfaces import ITCPTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import alsoProvides

from faktory_tw.protocol import HANDSHAKE_SECONDS, UNREAD_BYTES
from faktory_tw.sockets import UNSENT_BYTES
from tests.unit.house import HELLO, Client, House, Wire, jid, job
from tests.unit.test_protocol_replies import LATENCY_A, NOTHING, OK, jids, push


class Socket(socket.socket):
    """A socket that belongs to no file. `sent` has what it took; `answers` what it makes of the next sends."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.answers: deque[int | OSError] = deque()
        self.received: bytes | OSError = BlockingIOError(errno.EAGAIN, "nothing to read")
        self.options: list[tuple[int, int, int]] = []

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        answer = self.answers.popleft() if self.answers else len(data)
        if isinstance(answer, OSError):
            raise answer
        self.sent.append(data[:answer])
        return answer

    def recv(self, size: int, flags: int = 0) -> bytes:
        assert flags == socket.MSG_PEEK | socket.MSG_DONTWAIT, "what the reactor is to read must stay there"
        if isinstance(self.received, OSError):
            raise self.received
        return self.received[:size]

    def setsockopt(self, level: int, option: int, value: Any) -> None:  # type: ignore[override]
        self.options.append((level, option, value))


class TCPWire(Wire):
    """A transport over a socket. What the protocol leaves to it is in `writes`, what it sends itself in the socket."""

    def __init__(self) -> None:
        super().__init__()
        alsoProvides(self, ITCPTransport)
        self.socket = Socket()
        self.dataBuffer = b""
        self._tempDataBuffer: list[bytes] = []


def connect(house: House) -> tuple[Client, Socket]:
    """Open a connection over a socket, and forget what was sent on it so far."""
    wire = TCPWire()
    client = house.connect(hello=None, wire=wire)
    client.say(HELLO)
    assert wire.socket.sent == [b'+HI {"v":2}\r\n', OK]
    assert wire.writes == []
    wire.socket.sent.clear()
    return client, wire.socket


def test_a_reply_is_sent_at_once_and_in_one_piece(house: House) -> None:
    push(house, 1)
    client, sock = connect(house)
    client.say(b"QUEUE LATENCY a", b"FETCH default")
    assert sock.sent[0] == LATENCY_A
    assert jids(sock.sent[1]) == [jid(1)]
    assert len(sock.sent) == 2
    assert client.heard() == b""


def test_the_acknowledgements_of_a_batch_are_sent_in_one_piece(house: House) -> None:
    client, sock = connect(house)
    client.say(b"PUSH " + job(1), b"QUEUE LATENCY a", b"PUSH " + job(2))
    assert sock.sent == []
    house.commit()
    assert sock.sent == [OK + LATENCY_A + OK]


def test_small_replies_are_not_held_back_by_the_system(house: House) -> None:
    _, sock = connect(house)
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in sock.options


def test_a_machine_that_is_gone_without_a_word_is_noticed(house: House) -> None:
    _, sock = connect(house)
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in sock.options


def test_neither_the_system_nor_twisted_takes_many_replies_for_a_client_that_does_not_read(house: House) -> None:
    client, sock = connect(house)
    assert (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES) in sock.options
    assert client.wire.bufferSize == UNREAD_BYTES


def test_what_the_socket_does_not_take_is_left_to_the_transport(house: House) -> None:
    client, sock = connect(house)
    sock.answers.append(4)
    client.say(b"QUEUE LATENCY a")
    assert sock.sent == [LATENCY_A[:4]]
    assert client.heard() == LATENCY_A[4:]


def test_a_full_socket_leaves_all_to_the_transport(house: House) -> None:
    client, sock = connect(house)
    sock.answers.append(BlockingIOError(errno.EAGAIN, "full"))
    client.say(b"QUEUE LATENCY a")
    assert sock.sent == []
    assert client.heard() == LATENCY_A


@pytest.mark.parametrize("where", ["dataBuffer", "_tempDataBuffer"])
def test_nothing_overtakes_what_the_transport_has_not_sent_yet(house: House, where: str) -> None:
    client, sock = connect(house)
    setattr(client.wire, where, b"earlier" if where == "dataBuffer" else [b"earlier"])
    client.say(b"QUEUE LATENCY a")
    assert sock.sent == []
    assert client.heard() == LATENCY_A


def test_a_broken_socket_is_left_to_the_transport_to_find_out(house: House) -> None:
    client, sock = connect(house)
    sock.answers.append(ConnectionResetError(errno.ECONNRESET, "reset"))
    client.say(b"QUEUE LATENCY a")
    assert sock.sent == []
    assert client.heard() == LATENCY_A
    assert house.failures == []


def test_a_job_that_a_broken_socket_did_not_take_goes_back_to_its_queue(house: House) -> None:
    push(house, 1)
    client, sock = connect(house)
    sock.answers.append(BrokenPipeError(errno.EPIPE, "broken pipe"))
    client.say(b"FETCH default")
    assert house.queue_length() == 1
    client.hang_up()
    assert house.queue_length() == 1
    other, other_sock = connect(house)
    other.say(b"FETCH default")
    assert jids(other_sock.sent[0]) == [jid(1)]


def test_a_client_that_has_closed_its_end_gets_no_job_though_the_reactor_does_not_know_yet(house: House) -> None:
    client, sock = connect(house)
    client.say(b"FETCH default")
    sock.received = b""
    push(house, 1)
    assert sock.sent == []
    assert house.queue_length() == 1
    assert b'"args":[1]' in house.connect().ask(b"FETCH default")


def test_a_client_whose_connection_was_reset_gets_no_job_though_the_reactor_does_not_know_yet(house: House) -> None:
    client, sock = connect(house)
    client.say(b"FETCH default")
    sock.received = ConnectionResetError(errno.ECONNRESET, "reset")
    push(house, 1)
    assert sock.sent == []
    assert house.queue_length() == 1


def test_a_client_that_has_sent_more_commands_is_there(house: House) -> None:
    client, sock = connect(house)
    client.say(b"FETCH default")
    sock.received = b"INFO\r\n"
    push(house, 1)
    assert jids(b"".join(sock.sent)) == [jid(1)]


def test_a_waiting_client_that_is_there_is_told_that_there_is_nothing(house: House) -> None:
    client, sock = connect(house)
    client.say(b"FETCH default")
    house.pass_time(2.1)
    assert sock.sent == [NOTHING]


class Scrambling(ProtocolWrapper):
    """Stands between protocol and socket and changes every byte, as TLS does."""

    def write(self, data: bytes) -> None:
        self.transport.write(bytes(byte ^ 0xFF for byte in data))  # type: ignore[union-attr]


def test_nothing_goes_past_what_encrypts_the_connection(house: House) -> None:
    factory: WrappingFactory[Scrambling] = WrappingFactory(house.factory)
    factory.protocol = Scrambling
    wrapper = cast("Any", factory.buildProtocol(None))
    wire = TCPWire()
    wrapper.makeConnection(wire)
    wrapper.dataReceived(HELLO + b"\r\n")
    assert wire.socket.sent == [], "sent in the clear"
    assert bytes(byte ^ 0xFF for byte in b"".join(wire.writes)) == b'+HI {"v":2}\r\n' + OK


# -- the handshake -----------------------------------------------------------------------------------------------------


def test_who_has_said_hello_in_time_is_not_turned_away_by_a_server_that_is_late(house: House) -> None:
    """Thousands leave at once: what a newcomer says is read after all those."""
    wire = TCPWire()
    client = house.connect(hello=None, wire=wire)
    wire.socket.received = HELLO
    house.reactor.advance(HANDSHAKE_SECONDS)
    assert not wire.disconnecting
    wire.socket.received = BlockingIOError(errno.EAGAIN, "nothing to read")
    client.say(HELLO)
    assert wire.socket.sent[-1] == OK
    house.reactor.advance(10 * HANDSHAKE_SECONDS)
    assert not wire.disconnecting


@pytest.mark.parametrize("received", [BlockingIOError(errno.EAGAIN, "nothing to read"), b"", OSError("reset")])
def test_who_says_nothing_in_time_is_turned_away(house: House, received: bytes | OSError) -> None:
    wire = TCPWire()
    house.connect(hello=None, wire=wire)
    wire.socket.received = b"H"
    house.reactor.advance(HANDSHAKE_SECONDS)
    wire.socket.received = received
    house.reactor.advance(HANDSHAKE_SECONDS)
    assert wire.disconnecting
