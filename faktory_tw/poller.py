"""Reading many connections for the price of one, and cheap turns.

Twisted spends about five microseconds on each readable connection (log context, error handling, dispatch) before a
protocol sees a byte, as much as a command costs; ``callLater(0)`` and ``callFromThread`` cost as much again. Here the
command connections are read through an epoll object of their own, which is itself one reader of the reactor: what
Twisted does per reader is paid once for all connections that are readable in a turn. At the end of such a turn what was
asked for with :meth:`Poller.soon` is done, and an eventfd brings the calls of the writing thread. Everything else
(writing what does not fit, closing, pausing) stays Twisted's.

Where the system has no epoll, :class:`ReactorTurns` does the same with the reactor's own means; connections that are no
plain TCP (TLS, Unix sockets) are always read by the reactor.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet import main
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.internet.tcp import Port, Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_READ_BYTES = 65_536
_MOST_READS = 512  # connections looked at in one go
_MOST_ACCEPTS = 100  # connections in one go: some milliseconds
_LINGER_SECONDS = 0.001  # the least that epoll can wait
_MOST_SECONDS = 0.02  # of reading before the reactor looks at anything else
_log = Logger()

Call = Callable[[], None]


class ReactorTurns:
    """Calls at the end of a turn, and from other threads, by the reactor alone."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def soon(self, call: Call) -> None:
        """Call when this turn of the reactor is over."""
        self._reactor.callLater(0, call)

    def call_from_thread(self, call: Call) -> None:
        """Call in the reactor's thread; the one method that any thread may use."""
        self._reactor.callFromThread(call)

    def adopt(self, port: IListeningPort) -> None:
        """Read the connections that ``port`` will accept, if that can be done here."""


@implementer(IReadDescriptor)
class Poller(ReactorTurns):
    """The readable ends of command connections, as one reader of ``reactor``."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self._epoll = select.epoll()
        self._transports: dict[int, Server] = {}
        self._reading = False
        self._until = 0.0
        self._turn_end: list[Call] = []
        self._thread_calls: deque[Call] = deque()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._event, select.EPOLLIN)
        reactor.addReader(self)

    def soon(self, call: Call) -> None:
        if self._reading:
            self._turn_end.append(call)
        else:
            self._reactor.callLater(0, call)

    def call_from_thread(self, call: Call) -> None:
        self._thread_calls.append(call)
        os.eventfd_write(self._event, 1)

    def adopt(self, port: IListeningPort) -> None:
        if type(port) is Port:
            port.transport = _polled_by(self)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        return "faktory"

    def add(self, transport: Server) -> None:
        """Read from this connection from now on."""
        number = transport.fileno()
        if number not in self._transports:
            self._transports[number] = transport
            self._epoll.register(number, select.EPOLLIN)

    def remove(self, transport: Server) -> None:
        """Read no more from it, for now or for good."""
        number = transport.fileno()
        if self._transports.get(number) is transport:
            del self._transports[number]
            self._epoll.unregister(number)

    def doRead(self) -> None:
        """Read every connection that has something to say, then do what waits for the end of the turn.

        Clients that were answered may speak again at once, so it looks again, as long as somebody does, before the
        reactor goes on to its other readers and timers. When nobody does, and no timer is due, it waits here for a
        moment: the way through the reactor's loop would cost a lone client a tenth of its time.
        """
        self._until = time.monotonic() + _MOST_SECONDS
        poll = self._epoll.poll
        events = poll(0, _MOST_READS)
        while events and self._turn(events):
            events = poll(0, _MOST_READS)
            if not events and self._may_linger():
                events = poll(_LINGER_SECONDS, _MOST_READS)

    def _may_linger(self) -> bool:
        due = self._reactor.timeout()
        return due is None or due > _LINGER_SECONDS

    def _turn(self, events: list[tuple[int, int]]) -> bool:
        """Read these, and do what waits for the end of the turn. Returns whether there is time for another."""
        transports = self._transports
        until, now = self._until, time.monotonic
        self._reading = True
        try:
            for number, _ in events:
                transport = transports.get(number)
                if transport is not None:
                    self._read(transport)
                    if now() > until:
                        break  # the others are still readable in the next turn
                elif number == self._event:
                    self._run_thread_calls()
        finally:
            self._reading = False
        while self._turn_end:
            calls, self._turn_end = self._turn_end, []
            for call in calls:
                _careful(call)
        return now() <= until

    def _run_thread_calls(self) -> None:
        os.eventfd_read(self._event)
        while self._thread_calls:
            _careful(self._thread_calls.popleft())

    def _read(self, transport: Server) -> None:
        try:
            data = transport.socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            _lose(transport, Failure(main.CONNECTION_LOST))
            return
        if not data:
            _lose(transport, Failure(main.CONNECTION_DONE))
            return
        try:
            transport.protocol.dataReceived(data)
        except Exception:  # noqa: BLE001 - as the reactor does: this connection ends, the others go on
            failure = Failure()
            _log.failure("a connection failed", failure)
            _lose(transport, failure)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, and with it every connection read here."""
        for transport in list(self._transports.values()):
            _lose(transport, reason)
        self._epoll.close()
        os.close(self._event)


def _lose(transport: Server, reason: Failure) -> None:
    """Tell a connection that it is lost; what it does then wrong concerns no other."""
    _careful(lambda: transport.connectionLost(reason))


def _careful(call: Call) -> None:
    """What one call does wrong is logged and keeps no other from its turn."""
    try:
        call()
    except Exception:  # noqa: BLE001 - as the reactor does with its calls
        _log.failure("a call at the end of a turn failed")


def _polled_by(poller: Poller) -> type[Server]:
    class PolledServer(Server):
        """An accepted connection that is read by the poller."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            # As long as all that may be accepted in one go are there, Twisted lets that number grow.
            self.server.numberAccepts = min(self.server.numberAccepts, _MOST_ACCEPTS)

        def startReading(self) -> None:
            poller.add(self)

        def stopReading(self) -> None:
            poller.remove(self)

    return PolledServer


def turns_of(reactor: Any) -> ReactorTurns:
    """A poller where the system has epoll and eventfd, else the reactor's own means."""
    if hasattr(select, "epoll") and hasattr(os, "eventfd"):
        return Poller(reactor)
    return ReactorTurns(reactor)
