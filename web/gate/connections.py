"""Connections to the site: how much they may send, how long they may take, and how many there may be.

Twisted reads the requests. What it does not bound is bounded here: the body, the time in which a request must have come
and an answer must have been taken, the connections, and what is done in one turn (:mod:`web.gate.turns`). What it answers by
itself, to what is no HTTP, gets the headers that every answer has. It also reads the fields of each request as soon as it is
there, which may take seconds for a body of many MiB; that is left to the pages.

Where there are as many connections as there may be, a new one takes the place of the one that has gone longest without
sending a whole request: so thousands that send nothing, or half a request, keep nobody out.
"""

# ruff: noqa: N802, N815 - Twisted's names

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from twisted.internet.interfaces import IAddress, IDelayedCall, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request, Site

from faktory_tw.fairness import Turns

from .fields import FORM_BYTES
from .security import HEADERS
from .turns import TURN_SECONDS, TurnChannel

if TYPE_CHECKING:
    from ..site import WebUI
    from .passwords import Verdict

MOST_CONNECTIONS = 500
IDLE_SECONDS = 60  # between two requests, or two pieces of one
HEAD_SECONDS = 30.0  # from the first byte of a request to the end of its headers
BODY_SECONDS = 60.0  # for the body, and
BODY_RATE = 16_384  # bytes a second that are expected of a large one
TAKING_SECONDS = 60.0  # in which an answer must have been taken, and as many as BODY_RATE makes of its length
FAREWELL_SECONDS = 15.0  # the same for what is said before a connection is closed that made no sense
MOST_DISCARDED = 1 << 23  # bytes of a body that is too long are read, so that its sender hears why

_log = Logger(namespace="faktory_tw.web")

_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
_TOO_LONG = b"The body of the request is too long."
_TOO_MANY = b"Too many connections; try again in a moment."
_NO_ROOM = b"There is no room for the body of the request; try again later."


def bare_answer(status: int, sentence: bytes) -> bytes:
    """A whole answer, for who cannot be given a page. The connection is to be closed after it."""
    lines = [b"HTTP/1.1 %d %b" % (status, _REASONS[status])]
    headers = {**HEADERS, "Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
    lines += [f"{name}: {value}".encode() for name, value in headers.items()]
    lines += [b"Content-Length: %d" % (len(sentence) + 1), b"", sentence + b"\n"]
    return b"\r\n".join(lines)


class BoundedRequest(Request):
    """A request whose body is only kept as far as it may be long. ``prefix`` is that of a reverse proxy."""

    channel: BoundedChannel
    content: BinaryIO
    too_long = False
    left = False  # the client has gone
    prefix = ""
    verdict: Verdict | None = None  # who asks, once that was found out

    def gotLength(self, length: int | None) -> None:
        # Who asks makes a difference only to what is long, so that nobody's password is looked at without need.
        is_short = length is not None and length <= FORM_BYTES
        self._most = FORM_BYTES if is_short else self.channel.site.most_body_bytes(self)
        self._received = 0
        super().gotLength(length if length is None or length <= self._most else 0)
        if length is not None and length > self._most:
            self.too_long = True
            if length - self._most > MOST_DISCARDED or self.requestHeaders.hasHeader(b"Expect"):
                self.channel.refuse(413, _TOO_LONG)

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._most:
            self.too_long = True
        if not self.too_long:
            super().handleContentChunk(data)
        elif self._received > self._most + MOST_DISCARDED:
            self.channel.refuse(413, _TOO_LONG)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Twisted's would read the fields of query and form here."""
        self.content.seek(0)
        self.args: dict[bytes, list[bytes]] = {}
        self.method, self.uri, self.clientproto = command, path, version
        self.path = b"/*" if path == b"*" else path.partition(b"?")[0]
        for name, value in HEADERS.items():
            self.setHeader(name, value)
        self.process()

    def connectionLost(self, reason: Failure) -> None:
        self.left = True
        super().connectionLost(reason)

    def finish(self) -> None:
        """Twisted and Klein differ about who has to know that nobody is there any more."""
        if not self.left:
            super().finish()


class BoundedChannel(TurnChannel):
    """A connection that is closed when a request takes too long to come, and told why when it makes no sense."""

    site: BoundedSite
    transport: ITCPTransport
    _deadline: IDelayedCall | None = None
    _end: IDelayedCall | None = None  # when a connection that is being closed is cut
    _refused = False
    _answer_bytes = 0  # of the last answer

    def connectionMade(self) -> None:
        super().connectionMade()
        self.site.waiting[self] = None

    def look_at(self, piece: bytes) -> None:
        if self._refused:
            return
        if self._deadline is None and not self._handlingRequest:
            self._deadline = self.callLater(HEAD_SECONDS, self._too_late)
        try:
            super().look_at(piece)
        except OSError as error:  # long bodies are kept in files
            _log.error("The body of a request could not be kept: {error}", error=error)
            self.refuse(503, _NO_ROOM)
        except Exception:  # noqa: BLE001 - nothing that is sent may harm others in the line
            _log.failure("A connection to the web UI failed")
            self.transport.abortConnection()

    def lineReceived(self, line: bytes) -> None:
        """Headers of several lines are no longer HTTP, and cost Twisted the square of their length."""
        if line[:1] in (b" ", b"\t"):
            self._respondToBadRequestAndDisconnect()
        elif not self._refused:
            super().lineReceived(line)

    def allHeadersReceived(self) -> None:
        super().allHeadersReceived()
        if self._deadline is not None:
            self._deadline.reset(BODY_SECONDS + (self.length or self.site.ui.server.max_line_bytes) / BODY_RATE)

    def allContentReceived(self) -> None:
        self._in_time()
        if not self._refused:
            self.site.waiting.pop(self, None)
            super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        self._answer_bytes = request.sentLength
        self._savedTimeOut: Any = IDLE_SECONDS + self._answer_bytes / BODY_RATE
        super().requestDone(request)
        self._wait_for_request()

    def pauseProducing(self) -> None:
        """An answer is being taken, slowly: this connection keeps its place."""
        super().pauseProducing()
        self.site.waiting.pop(self, None)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._wait_for_request()

    def loseConnection(self) -> None:
        super().loseConnection()
        if self._end is None and not self.lost:
            seconds = FAREWELL_SECONDS if self._refused else TAKING_SECONDS + self._answer_bytes / BODY_RATE
            self._end = self.callLater(seconds, self._cut)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._in_time()
        if self._end is not None:
            self._end.cancel()
        self.site.connections -= 1
        self.site.waiting.pop(self, None)
        super().connectionLost(reason)

    def give_way(self) -> None:
        """Another connection needs the place of this one, which has not sent a whole request."""
        self.refuse(503, _TOO_MANY, silent=self._deadline is None)

    def _wait_for_request(self) -> None:
        if not (self.lost or self._refused or self._handlingRequest or self._waitingForTransport):
            self.site.waiting[self] = None

    def _in_time(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _cut(self) -> None:
        self._end = None
        self.transport.abortConnection()

    def _too_late(self) -> None:
        self._deadline = None
        self.refuse(408, b"The request took too long to come.")

    # -- what makes no sense ---------------------------------------------------------------------------------------

    def refuse(self, status: int, sentence: bytes, silent: bool = False) -> None:
        """Answer, and read no more. ``silent``: nothing was asked, and nothing is answered."""
        if not self._refused:
            self._refused = True
            self.site.waiting.pop(self, None)
            if not silent:
                self.transport.write(bare_answer(status, sentence))
            self.loseConnection()

    def _send100Continue(self) -> None:
        """Twisted asks for the body, whose sender waits for that."""
        if not self._refused:
            super()._send100Continue()

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002
        if self._receivedHeaderSize == 0:
            self.refuse(414, b"The address is too long.")
        else:
            self.refuse(431, b"The headers are too long.")

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's answer to what it cannot read; the name is its own."""
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(431, b"The headers are too long.")
        else:
            self.refuse(400, b"This is not a request in HTTP.")


class _Full(Protocol):
    """A connection that is one too many."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(bare_answer(503, _TOO_MANY))
        self.transport.loseConnection()


class BoundedSite(Site):
    """The factory of these connections, without an access log: Twisted dates its lines by the reactor's clock.

    ``most_body_bytes`` says how long the body of a request may be, by its headers.
    """

    requestFactory = BoundedRequest
    displayTracebacks = False
    noisy = False

    def __init__(self, resource: Any, most_body_bytes: Callable[[Request], int], ui: WebUI) -> None:
        super().__init__(resource, timeout=IDLE_SECONDS)
        self.most_body_bytes = most_body_bytes
        self.ui = ui
        self.connections = 0
        self.waiting: dict[BoundedChannel, None] = {}  # for a whole request, who has waited longest first
        self.turns = Turns(self._call_later, ui.server.clock.monotonic, TURN_SECONDS)

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: ARG002
        """Twisted's would speak HTTP/2, too, where a library for it happens to be installed; that has other bounds."""
        if self.connections >= MOST_CONNECTIONS:
            if not self.waiting or self.connections >= 2 * MOST_CONNECTIONS:  # some are still being closed
                return _Full()
            next(iter(self.waiting)).give_way()
        self.connections += 1
        channel: Any = BoundedChannel()
        channel.factory = channel.site = self
        channel.requestFactory = self.requestFactory
        channel.callLater = self.reactor.callLater
        channel.timeOut = self.timeOut
        return channel

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.reactor.callLater(seconds, call)

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """Say nothing."""
