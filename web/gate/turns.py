"""Connections that take turns, so that no number of them, and nothing that one sends, holds everybody else up.

Twisted looks at all that was read from a connection at once: at hundreds of requests in one piece, one after the other, and
then at those of the next connection. Here what was read is put aside. The connections that have something stand in one line
(:mod:`faktory_tw.fairness`), of which a turn of the reactor takes some milliseconds; who is first has a small piece
looked at, or one request answered, and stands behind the others again. Until all of it was looked at nothing more is read,
and nothing is looked at while its sender does not take the answers.
"""

# ruff: noqa: N802 - Twisted's names

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from faktory_tw.fairness import Turns

TURN_SECONDS = 0.005  # of a turn: a PUSH of a worker takes several of them
PIECE_BYTES = 8192  # looked at in one go: some milliseconds at worst, in chunks of a byte each


class Line(Protocol):
    """Where connections stand in line."""

    turns: Turns


class Tap:
    """Whether a connection is read: while Twisted's channel wants it, and nothing waits to be looked at.

    One that is being closed is left as it is.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._wanted = True
        self._held = False
        self._is_read = True
        self._ended = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._ended = True
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self._wanted = False
        self._turn()

    def resumeProducing(self) -> None:
        self._wanted = True
        self._turn()

    def hold(self) -> None:
        """Read no more until `release`."""
        self._held = True
        self._turn()

    def release(self) -> None:
        """Read again, if the channel wants it."""
        self._held = False
        self._turn()

    def _turn(self) -> None:
        wanted = self._wanted and not self._held
        if wanted == self._is_read or self._ended:
            return
        self._is_read = wanted
        if wanted:
            self._transport.resumeProducing()
        else:
            self._transport.pauseProducing()


class TurnChannel(HTTPChannel):
    """A connection that stands in the line of its ``site``."""

    site: Any
    _tap: Tap

    def __init__(self) -> None:
        super().__init__()
        self.lost = False
        self._unread = bytearray()
        self._stands = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._networkProducer: Any = Tap(self._networkProducer)
        self._tap = self._networkProducer

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        self._unread.clear()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        self._unread += data
        self._stand_in_line()

    def setLineMode(self, extra: bytes = b"") -> None:
        """A request was answered. What is there of the next ones has to stand in the line again."""
        self.line_mode = 1
        self._unread[:0] = extra + self.clearLineBuffer()
        self._stand_in_line()

    def resumeProducing(self) -> None:
        """The client has taken what was written."""
        super().resumeProducing()
        self._stand_in_line()

    def look_at(self, piece: bytes) -> None:
        """Let Twisted look at a piece."""
        super().dataReceived(piece)

    def _stand_in_line(self) -> None:
        if not self._unread:
            return
        self._tap.hold()
        if not self._stands and not self._waitingForTransport:
            self._stands = True
            self.site.turns.wait(self._take_turn)

    def _take_turn(self) -> None:
        self._stands = False
        if self.lost:
            return
        piece = bytes(self._unread[:PIECE_BYTES])
        del self._unread[:PIECE_BYTES]
        self.look_at(piece)
        if self._unread:
            self._stand_in_line()
        else:
            self._tap.release()
