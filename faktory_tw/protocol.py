"""One connection: framing, replies in order, back-pressure. What the lines mean is the session's business.

Lines
    LineReceiver cuts its buffer again for every line; with many short lines a read, that costs more than the commands.
    So a read is split once, and an unfinished line is kept in parts until its end arrives: a line of many megabytes is
    joined once. A line may end in LF or CRLF.

Order
    A connection executes one command after the other. While one is pending (a FETCH that waits, a command in slices)
    further lines are put by, and beyond PUT_BY_BYTES the socket is not read. A reply that must wait for the disk goes
    to the committer; replies behind it wait with it.

Writing
    A reply is written to the socket at once when nothing is buffered before it: that saves two epoll calls and a turn
    of the reactor a reply. When the client does not read, Twisted buffers, and asks this producer to pause: then no
    further command of the connection is executed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet import error as errors
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from faktory_tw import wire
from faktory_tw.committer import Committer, Outbox, Recipient
from faktory_tw.core.manager import Reservation
from faktory_tw.core.waiting import Waiter
from faktory_tw.fairness import FEWEST_LINES, MOST_LINES, Turns
from faktory_tw.lines import PutBy
from faktory_tw.server import Server
from faktory_tw.session import MOST_BEFORE_HELLO_BYTES, Session
from faktory_tw.sockets import host_of, peek, peer_of, plain_socket, tune
from faktory_tw.wire import CommandError, FatalCommandError, Held, WrongPassword

HANDSHAKE_SECONDS = 2.0
LINGER_SECONDS = 5.0  # that a client has to read its last replies
PUT_BY_BYTES = 65_536
UNREAD_BYTES = 8192  # of replies that neither the client nor the operating system takes
MOST_HELD = 1024  # replies of one connection that wait for the disk before it is no longer read
_INTERNAL_ERROR = wire.error(CommandError("internal error"))
_DONE = Failure(errors.ConnectionDone())


class Condition(NamedTuple):
    """What a connection is doing. ``stalled``: the client does not read; ``paused``: the server does not."""

    peer: str
    wid: str
    greeted: bool
    pending: bool  # a command is not answered yet
    waiter: Waiter | None  # the command is a FETCH that waits
    put_by_bytes: int
    unfinished_bytes: int  # of a line whose end has not arrived
    held: int  # replies that wait for the disk
    stalled: bool
    paused: bool
    closing: bool


@implementer(IPushProducer)
class FaktoryProtocol(LineReceiver):
    """The server's side of one connection."""

    delimiter = b"\n"
    factory: FaktoryFactory

    def __init__(self) -> None:
        self.outbox: Outbox | None = None  # the latest that holds a reply of ours
        self._session: Session | None = None
        self._parts: list[bytes] = []  # of a line whose end has not arrived
        self._parts_bytes = 0
        self._too_long = False  # the line that arrives: it is not kept, and refused when its turn comes
        self._put_by = PutBy()
        self._goes_on = False  # they will be gone on with
        self._pending = False  # a command is not answered yet
        self._stalled = False  # the client does not read
        self._paused = False  # we do not read
        self._closing = False
        self._undelivered: list[tuple[Outbox, Reservation]] = []
        self._socket: socket.socket | None = None
        self._deadline: Any = None

    # -- the connection's life -----------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        factory = self.factory
        if factory.refuses_connections():
            factory.server.refused_connections["limit"] += 1
            refusal = CommandError(f"too many connections: {len(factory.connections)}")
            self.transport.write(wire.error(refusal))
            self._closing = True
            self._end_soon()
            return
        factory.connections.add(self)
        self._hold = factory.committer.hold
        self._socket = plain_socket(self.transport)
        if self._socket is not None:
            tune(self._socket)
            self.transport.bufferSize = UNREAD_BYTES
            self._write = self._write_at_once  # type: ignore[method-assign]
        self.transport.registerProducer(self, True)
        self._session = Session(factory.server, self._answer, lambda: host_of(self.transport))
        self._deadline = factory.reactor.callLater(HANDSHAKE_SECONDS, self._handshake_timeout)
        self._write(self._session.greeting())

    def _handshake_timeout(self) -> None:
        """Its time is over, unless what the client said has arrived and we have not come to read it."""
        self._deadline = None
        if peek(self._socket):
            self._deadline = self.factory.reactor.callLater(HANDSHAKE_SECONDS, self._handshake_timeout)
        else:
            self.close()

    def _end_handshake(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def connectionLost(self, _reason: Failure = _DONE) -> None:
        self._closing = True
        self._end_handshake()
        self.factory.connections.discard(self)
        self.factory.slowed.discard(self)
        session, self._session = self._session, None
        undelivered, self._undelivered = self._undelivered, []
        self._put_by.clear()
        self._parts.clear()
        # The collector looks at old objects hardly ever, so no cycle may keep a closed connection.
        self._hold = _hold_nothing
        self.__dict__.pop("_write", None)
        try:
            if session is not None:
                session.leave()
            self._give_back(undelivered)
        except Exception as failure:  # noqa: BLE001 - this connection is over; the others go on
            self.factory.report_failure(failure)

    def _give_back(self, undelivered: list[tuple[Outbox, Reservation]]) -> None:
        """These jobs never left: back to their queues."""
        for _, reservation in undelivered:
            self.factory.server.manager.give_back(reservation)

    def close(self) -> None:
        """End the connection after what was written."""
        if not self._closing:
            self._closing = True
            self._finish_closing()

    def condition(self) -> Condition:
        """What this connection is doing, for an operator."""
        session = self._session
        return Condition(
            peer_of(self.transport),
            session.wid if session is not None else "",
            session is not None and session.greeted,
            self._pending,
            session.waiter if session is not None else None,
            self._put_by.size,
            self._parts_bytes,
            len(self.outbox[self]) if self.outbox is not None else 0,
            self._stalled,
            self._paused,
            self._closing,
        )

    def abort(self) -> None:
        """End the connection at once."""
        self._closing = True
        self.transport.abortConnection()

    # -- lines in ------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        if self._closing or self._too_long:
            return
        lines = data.split(b"\n")
        rest = lines.pop()
        if self._parts:
            if not lines:
                if not self._keep_part(rest):
                    self._execute_put_by()
                return
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts = []
            self._parts_bytes = 0
        if rest:
            self._keep_part(rest)
        if self._pending or self._stalled or self._put_by:
            self._put_lines_by(lines)
        else:
            self._execute_lines(lines)

    def _keep_part(self, part: bytes) -> bool:
        """Keep a piece of a line whose end has not arrived. False when the line is too long."""
        self._parts.append(part)
        self._parts_bytes += len(part)
        if self._parts_bytes > MOST_BEFORE_HELLO_BYTES:
            greeted = self._session is not None and self._session.greeted
            if not greeted or self._parts_bytes > self.factory.max_line_bytes:
                self._parts = []
                self._too_long = True
        return not self._too_long

    def _refuse_long_line(self) -> None:
        """After the commands before it."""
        if self._session is not None and self._session.greeted:
            limit = self.factory.max_line_bytes
            self._reply(wire.error(CommandError(f"line longer than {limit} bytes, see max_line_bytes")))
        self._close_after_replies()

    def _put_lines_by(self, lines: list[bytes]) -> None:
        self._put_by.extend(lines)
        if self._session is not None and self._session.waits and self._ends_next():
            self._close_after_replies()
        else:
            self._pause_or_resume()

    def _ends_next(self) -> bool:
        """Whether the next command is END."""
        return bool(self._put_by) and self._put_by.first().rstrip(b"\r").partition(b" ")[0] == b"END"

    def _execute_lines(self, lines: list[bytes]) -> None:
        most = FEWEST_LINES
        for number, line in enumerate(lines, 1):
            self.lineReceived(line)
            if self._closing:
                return
            if self._pending or self._stalled:
                self._put_lines_by(lines[number:])
                return
            if number >= most and number < len(lines):
                most = self.factory.turns.most_lines
                if number >= most:
                    self._put_lines_by(lines[number:])
                    self._go_on_soon()
                    return
        if self._too_long:
            self._refuse_long_line()

    def _execute_put_by(self) -> None:
        """Go on with the lines that were put by."""
        self._goes_on = False
        left = MOST_LINES
        while self._put_by and not (self._pending or self._stalled or self._closing):
            if not left:
                self._go_on_soon()
                return
            left -= 1
            self.lineReceived(self._put_by.popleft())
        if self._closing:
            return
        if self._too_long and not (self._put_by or self._pending or self._stalled):
            self._refuse_long_line()
        elif self._session is not None and self._session.waits and self._ends_next():
            self._close_after_replies()
        else:
            self._pause_or_resume()

    def _go_on_soon(self) -> None:
        """Let others in, then go on with the lines that were put by."""
        if not self._goes_on:
            self._goes_on = True
            self.factory.turns.wait(self._execute_put_by)

    def lineReceived(self, line: bytes) -> None:
        if line.endswith(b"\r"):
            line = line[:-1]
        session = self._session
        assert session is not None
        try:
            reply = session.execute(line)
        except CommandError as refusal:
            self._refuse(refusal)
            return
        except Exception as failure:  # noqa: BLE001 - no command may end the process
            self.factory.report_failure(failure)
            reply = _INTERNAL_ERROR
        if type(reply) is Held:
            if self._hold(self, reply) >= MOST_HELD:
                self._pause_or_resume()
        elif reply is None:
            self._pending = True
        elif session.reservation is not None:
            reservation, session.reservation = session.reservation, None
            if not self._deliver(reply, reservation):
                self.factory.server.manager.give_back(reservation)
        else:
            self._reply(reply)
            if self._deadline is not None:
                self._end_handshake()

    def _refuse(self, refusal: CommandError) -> None:
        if isinstance(refusal, WrongPassword) and refusal.delay_seconds and self.factory.may_slow_down():
            self._refuse_later(refusal)
            return
        fatal = isinstance(refusal, FatalCommandError)
        reply = wire.error(refusal) if str(refusal) else b""
        if type(reply) is Held:
            if self._hold(self, reply) >= MOST_HELD:
                self._pause_or_resume()
        elif reply:
            self._reply(reply)
        if fatal:
            self._close_after_replies()

    def _refuse_later(self, refusal: WrongPassword) -> None:
        """Answer a wrong password after a while; whatever else the client sends is not looked at."""
        self._closing = True
        self._end_handshake()
        self.factory.slowed.add(self)
        self._deadline = self.factory.reactor.callLater(refusal.delay_seconds, self._refuse_late, wire.error(refusal))

    def _refuse_late(self, reply: bytes) -> None:
        self._deadline = None
        self.factory.slowed.discard(self)
        self._reply(reply)
        self._finish_closing()

    # -- replies out ---------------------------------------------------------------------------------------------

    def _answer(self, reply: bytes, reservation: Reservation | None) -> bool:
        """The session answers the pending command. False when the client is gone."""
        if self._closing:
            return False
        if reservation is not None and peek(self._socket) == b"":  # it has left, though the reactor has not told yet
            self.abort()
            return False
        self._pending = False
        if self._put_by or self._too_long:
            self._go_on_soon()
        if reservation is not None:
            return self._deliver(reply, reservation)
        if type(reply) is Held:
            self._hold(self, reply)
        else:
            self._reply(reply)
        return True

    def _reply(self, reply: bytes) -> None:
        """Send the next reply, behind those that wait for the disk."""
        if self.outbox is None:
            self._write(reply)
        else:
            self.outbox[self].append(reply)

    def _deliver(self, reply: bytes, reservation: Reservation) -> bool:
        """Send a job. False when it cannot be sent any more; then it has to go back to its queue."""
        if self.outbox is None:
            return self._write(reply)
        self.outbox[self].append(reply)
        self._undelivered.append((self.outbox, reservation))
        return True

    def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:
        if self.outbox is outbox:
            self.outbox = None
        sent = self.transport.connected and self._write(replies[0] if len(replies) == 1 else b"".join(replies))
        if self._undelivered:
            delivered = [held for held in self._undelivered if held[0] is outbox]
            self._undelivered = [held for held in self._undelivered if held[0] is not outbox]
            if not sent:
                self._give_back(delivered)
        if self._closing:
            if self.outbox is None:
                self._finish_closing()
        elif self._paused:
            self._pause_or_resume()

    def _close_after_replies(self) -> None:
        """Close, but not before the replies that wait for the disk."""
        if self.outbox is None:
            self.close()
        else:
            self._closing = True
            self._end_handshake()

    def _finish_closing(self) -> None:
        if self.transport.connected and not self.transport.disconnecting:
            self.transport.unregisterProducer()
            self._end_soon()

    def _end_soon(self) -> None:
        """End the connection when all has left, without waiting for ever for who does not read, or does not end TLS."""
        self.transport.loseConnection()
        self._end_handshake()
        self._deadline = self.factory.reactor.callLater(LINGER_SECONDS, self._linger_timeout)

    def _linger_timeout(self) -> None:
        self._deadline = None
        self.abort()

    def _write(self, data: bytes) -> bool:
        self.transport.write(data)
        return bool(self.transport.connected)

    def _write_at_once(self, data: bytes) -> bool:
        transport = self.transport
        if transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting:  # noqa: SLF001
            transport.write(data)
            return True
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            transport.write(data)  # let Twisted find out what is wrong
            return False
        if sent < len(data):
            transport.write(data[sent:])
        return True

    # -- back-pressure -------------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The client does not read: execute nothing until it does."""
        self._stalled = True
        self._pause_or_resume()

    def resumeProducing(self) -> None:
        self._stalled = False
        if (self._put_by or self._too_long) and not self._pending:
            self._go_on_soon()
        else:
            self._pause_or_resume()

    def stopProducing(self) -> None:
        """The connection is lost; connectionLost follows."""

    def _pause_or_resume(self) -> None:
        held = len(self.outbox[self]) if self.outbox is not None else 0
        pause = self._stalled or self._put_by.size > PUT_BY_BYTES or held >= MOST_HELD
        if pause and not self._paused:
            self._paused = True
            self.transport.pauseProducing()
        elif not pause and self._paused and self.transport.connected:
            self._paused = False
            self.transport.resumeProducing()


def _hold_nothing(recipient: Recipient, reply: bytes) -> int:  # noqa: ARG001 - nobody is there
    return 0


class FaktoryFactory(Factory):
    """Makes the connections of one server, and counts them.

    ``report_failure`` is told of exceptions that no client should be able to cause.
    """

    protocol = FaktoryProtocol  # type: ignore[assignment]
    noisy = False

    def __init__(
        self,
        reactor: Any,
        server: Server,
        committer: Committer,
        report_failure: Callable[[Exception], None],
        max_line_bytes: int = 64 * 1024 * 1024,
        max_connections: int = 10_000,
    ) -> None:
        self.reactor = reactor
        self.server = server
        self.committer = committer
        self.report_failure = report_failure
        self.max_line_bytes = max_line_bytes
        self.max_connections = max_connections
        self.connections: set[FaktoryProtocol] = set()
        self.turns = Turns(reactor.callLater, server.clock.monotonic)
        self.slowed: set[FaktoryProtocol] = set()  # whose wrong password will be answered later

    def refuses_connections(self) -> bool:
        """Whether there are as many connections as may be."""
        return len(self.connections) >= self.max_connections

    def may_slow_down(self) -> bool:
        """Whether one more connection may be kept open only to answer it later: a tenth of them may be."""
        return len(self.slowed) * 10 < self.max_connections

    def abort_connections(self) -> None:
        """Cut all connections; replies not sent are not sent."""
        for connection in list(self.connections):
            connection.abort()

    def close_connections(self) -> None:
        """End all connections after what was written to them."""
        for connection in list(self.connections):
            connection.close()
