"""What a connection is on: the socket below a transport, and the address at its other end."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import ISSLTransport, ITCPTransport

UNSENT_BYTES = 65_536  # that the system keeps of replies for which there is no room on the way


def host_of(transport: Any) -> str:
    """The address that a connection comes from; all that come by Unix sockets are one."""
    return str(getattr(transport.getPeer(), "host", None) or "a Unix socket")


def peer_of(transport: Any) -> str:
    """Where a connection comes from: ``host:port``, or what its kind of address is called."""
    peer = transport.getPeer()
    return f"{peer.host}:{peer.port}" if hasattr(peer, "port") else str(getattr(peer, "name", None) or "a Unix socket")


def tune(sock: socket.socket) -> None:
    """Send replies without delay, and notice in about a minute when the other machine is gone without a word.

    The system takes megabytes of replies for a client that does not read them, and the work of each is done by then; so
    it is to take no more than it can send soon. On a long way this does not slow anything down: what is on it is not
    counted.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_NOTSENT_LOWAT", UNSENT_BYTES),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def plain_socket(transport: Any) -> socket.socket | None:
    """The socket of a TCP connection that nothing encrypts, else None.

    What wraps a transport passes questions for its attributes on; only the transport has the socket itself.
    """
    if ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(transport):
        found: socket.socket | None = vars(transport).get("socket")
        return found
    return None


def peek(sock: socket.socket | None) -> bytes | None:
    """The next byte that has arrived; none when the client has left, None when nothing has arrived or cannot be known."""
    if sock is None:
        return None
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""
