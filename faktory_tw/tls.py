"""TLS endpoints for development.

In production a front end terminates TLS; here clients can be tried with ``tcp+tls://`` without one. The certificate is
made on the spot, see :mod:`faktory_tw.certificates`.

Only a server with TLS bindings imports this module: OpenSSL costs twelve MiB of memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.interfaces import IHandshakeListener, IStreamServerEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from faktory_tw.certificates import Material, address, hosts, how_to_trust, material
from faktory_tw.config import ConfigError, Settings

HANDSHAKE_SECONDS = 5.0
_BACKLOG = 128


@dataclass(frozen=True)
class Endpoints:
    """Where a server accepts TLS; ``notice`` is for the log, several lines of text."""

    commands: tuple[IStreamServerEndpoint, ...]
    web: IStreamServerEndpoint | None
    notice: str


def endpoints(reactor: Any, settings: Settings, host_name: str, now: datetime) -> Endpoints:
    """The endpoints for the TLS bindings of the settings, with the certificate in ``tls`` of the configuration directory.

    ``host_name`` and ``now`` as for :func:`hosts` and :func:`material`. Raises ConfigError.
    """
    web = settings.web_tls_binding
    bindings = [*settings.tls_bindings, *([web] if web else [])]
    found = material(settings.config_directory / "tls", hosts(bindings, host_name), now)
    return Endpoints(
        tuple(endpoint(reactor, binding, found) for binding in settings.tls_bindings),
        endpoint(reactor, web, found) if web else None,
        how_to_trust(found),
    )


def endpoint(reactor: Any, binding: str, material: Material) -> IStreamServerEndpoint:
    """Where to accept connections with TLS 1.2 or later. ``binding`` is ``host:port``; ConfigError if it is not."""
    host, port = address(binding)
    certificate, *others = material.chain
    # Twisted declares pyOpenSSL's classes for these; pyOpenSSL has deprecated its own and takes cryptography's.
    shown: dict[str, Any] = {"privateKey": material.key, "certificate": certificate, "extraCertChain": others}
    try:
        options = CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2, **shown)
        options.getContext()  # now, not at the first connection
    except Exception as error:  # noqa: BLE001 - OpenSSL has its own idea of what is too weak
        raise ConfigError(f"OpenSSL refuses the server's certificate: {error}; replace it, or remove it") from None
    interface = "127.0.0.1" if host == "localhost" else host
    listening = SSL4ServerEndpoint(reactor, port, options, _BACKLOG, interface)  # type: ignore[no-untyped-call]
    return _AfterHandshake(listening, reactor)


@implementer(IStreamServerEndpoint)
class _AfterHandshake:
    """An endpoint whose protocols hear of a connection when its TLS handshake is over.

    A server of Faktory speaks first. What is written during the handshake Twisted keeps, and tells the protocol to
    pause; that then reads no more, as if the client did not, and the handshake would never come to its end.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, reactor: Any) -> None:
        self._endpoint = endpoint
        self._reactor = reactor

    def listen(self, protocolFactory: Any) -> Deferred[Any]:  # noqa: N803 - Twisted's name
        factory = _HandshakeFactory(protocolFactory)  # type: ignore[no-untyped-call]
        factory.reactor = self._reactor
        return self._endpoint.listen(factory)


@implementer(IHandshakeListener)
class _Handshake(ProtocolWrapper):
    """Stands in for the protocol during the handshake, then hands the connection over and is gone."""

    def makeConnection(self, transport: Any) -> None:
        Protocol.makeConnection(self, transport)  # type: ignore[no-untyped-call]
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self._deadline = self.factory.reactor.callLater(HANDSHAKE_SECONDS, transport.abortConnection)

    def handshakeCompleted(self) -> None:  # noqa: N802 - Twisted's name
        self._deadline.cancel()
        transport: Any = self.transport
        transport.wrappedProtocol = self.wrappedProtocol
        self.wrappedProtocol.makeConnection(transport)

    def connectionLost(self, _reason: Failure = connectionDone) -> None:
        # The protocol never knew of the connection.
        if self._deadline.active():
            self._deadline.cancel()


class _HandshakeFactory(WrappingFactory):
    protocol = _Handshake
    noisy = False
    reactor: Any
