"""Reading many connections for the price of one.

Twisted spends about five microseconds on each readable connection (log context, error handling, dispatch) before a
protocol sees a byte, as much as a command costs. Here the command connections are read through an epoll object of
their own, which is itself one reader of the reactor: what Twisted does per reader is paid once for all connections
that are readable in a turn. Everything else (writing what does not fit, closing, pausing) stays Twisted's.

Where the system has no epoll, and for TLS, connections are read by the reactor as usual.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet import main
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.internet.tcp import Port, Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_READ_BYTES = 65_536
_MOST_A_TURN = 512  # connections read before the reactor looks at anything else
_log = Logger()


@implementer(IReadDescriptor)
class Poller:
    """The readable ends of command connections, as one reader of ``reactor``."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        self._transports: dict[int, Server] = {}
        reactor.addReader(self)

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
        """Read every connection that has something to say, once."""
        transports = self._transports
        for number, _ in self._epoll.poll(0, _MOST_A_TURN):
            transport = transports.get(number)
            if transport is None:  # closed by what an earlier one did
                continue
            try:
                data = transport.socket.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                transport.connectionLost(Failure(main.CONNECTION_LOST))
                continue
            if not data:
                transport.connectionLost(Failure(main.CONNECTION_DONE))
                continue
            try:
                transport.protocol.dataReceived(data)
            except Exception:  # noqa: BLE001 - as the reactor does: this connection ends, the others go on
                failure = Failure()
                _log.failure("a connection failed", failure)
                transport.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, and with it every connection read here."""
        for transport in list(self._transports.values()):
            transport.connectionLost(reason)
        self._epoll.close()


def poll_connections_of(port: IListeningPort, reactor: Any) -> Poller | None:
    """Have the connections that ``port`` will accept read by a poller. None where that is not possible."""
    if not hasattr(select, "epoll") or type(port) is not Port:
        return None
    poller = Poller(reactor)

    class PolledServer(Server):
        """An accepted connection that is read by the poller."""

        def startReading(self) -> None:
            poller.add(self)

        def stopReading(self) -> None:
            poller.remove(self)

    port.transport = PolledServer
    return poller
