"""The TLS endpoint: which certificate it shows to whom, where it listens, and when protocols hear of a connection."""

from __future__ import annotations

import dataclasses
import ssl
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from faktory_tw import certificates
from faktory_tw.config import ConfigError, Settings

SSL = pytest.importorskip("OpenSSL.SSL", reason="the extra tls is not installed")
TLSMemoryBIOFactory = pytest.importorskip("twisted.protocols.tls").TLSMemoryBIOFactory
tls = pytest.importorskip("faktory_tw.tls")


ADDRESS = IPv4Address("TCP", "127.0.0.1", 7443)


def made(directory: Path) -> certificates.Material:
    return certificates.material(directory, certificates.hosts([], "box"), datetime.now(timezone.utc))


class ListeningReactor(Clock):
    """Remembers what it is asked to listen with."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Any, ...]] = []

    def listenSSL(self, *arguments: Any, **_more: Any) -> str:  # noqa: N802 - Twisted's name
        self.asked.append((*arguments, *_more.values()))
        return "a port"


def context_of(material: certificates.Material) -> Any:
    """The OpenSSL context that connections of the endpoint get."""
    reactor = ListeningReactor()
    tls.endpoint(reactor, "localhost:7443", material).listen(Factory())
    [(_port, _factory, options, *_rest)] = reactor.asked
    context: Any = options.getContext()
    return context


def handshake(server_context: Any, client_context: ssl.SSLContext) -> str | None:
    """Carry a handshake out in memory and return the version of TLS."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = SSL.Connection(server_context, None)
    server.set_accept_state()
    while True:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            ended = False
        else:
            ended = True
        if to_server.pending:
            server.bio_write(to_server.read())
        try:
            server.do_handshake()
        except SSL.WantReadError:
            pass
        if ended:
            return client.version()
        to_client.write(server.bio_read(65_536))


def test_openssl_trusts_the_certificate_by_its_authority_and_speaks_tls_12_or_later(tmp_path: Path) -> None:
    context = context_of(made(tmp_path))
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    # What newer Pythons ask for by default.
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    assert handshake(context, trusting) in ("TLSv1.2", "TLSv1.3")
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(context, trusting) == "TLSv1.2"


def test_a_client_that_trusts_another_authority_refuses_the_certificate(tmp_path: Path) -> None:
    context = context_of(made(tmp_path))
    made(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(context, ssl.create_default_context(cafile=str(tmp_path / "other" / "ca.pem")))


def test_what_is_older_than_tls_12_is_switched_off(tmp_path: Path) -> None:
    """A handshake would not show it: OpenSSL by itself refuses these where its security level is high."""
    options = context_of(made(tmp_path)).set_options(0)
    assert all(options & flag for flag in (SSL.OP_NO_SSLv3, SSL.OP_NO_TLSv1, SSL.OP_NO_TLSv1_1))
    assert not options & (SSL.OP_NO_TLSv1_2 | SSL.OP_NO_TLSv1_3)


def test_certificates_between_the_server_and_its_authority_are_shown(tmp_path: Path) -> None:
    material = made(tmp_path)
    between = made(tmp_path / "other").chain[0]
    reactor = ListeningReactor()
    longer = dataclasses.replace(material, chain=(*material.chain, between))
    tls.endpoint(reactor, "localhost:7443", longer).listen(Factory())
    [(_port, _factory, options, *_rest)] = reactor.asked
    assert (options.certificate, options.extraCertChain) == (material.chain[0], [between])


@pytest.mark.parametrize(
    ("binding", "port", "interface"),
    [
        ("localhost:7443", 7443, "127.0.0.1"),
        (":7443", 7443, ""),
        ("[::1]:0", 0, "::1"),
        ("jobs.example.com:7443", 7443, "jobs.example.com"),
    ],
)
def test_the_endpoint_listens_where_the_binding_says(tmp_path: Path, binding: str, port: int, interface: str) -> None:
    reactor = ListeningReactor()
    factory = Factory()
    tls.endpoint(reactor, binding, made(tmp_path)).listen(factory)
    [(asked_port, asked_factory, *rest)] = reactor.asked
    assert (asked_port, asked_factory.wrappedFactory) == (port, factory)
    assert interface in rest


def test_the_bindings_of_the_settings_share_one_certificate_of_the_configuration_directory(tmp_path: Path) -> None:
    settings = Settings(
        "development",
        tmp_path / "db",
        tmp_path / "config",
        None,
        tls_bindings=("localhost:7443", "jobs.example.com:7444"),
        web_tls_binding="web.example.com:443",
    )
    found = tls.endpoints(ListeningReactor(), settings, "box", datetime.now(timezone.utc))
    assert (len(found.commands), found.web is None) == (2, False)
    assert "for localhost, 127.0.0.1, ::1, box, jobs.example.com, web.example.com, valid until" in found.notice
    assert (tmp_path / "config" / "tls" / "server.pem").exists()


def test_an_endpoint_that_is_no_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'unix:/run/x' is no address for TLS"):
        tls.endpoint(ListeningReactor(), "unix:/run/x", made(tmp_path))


def test_a_key_that_openssl_finds_too_weak_is_refused_at_start(tmp_path: Path) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is
    (tmp_path / "server-key.pem").write_bytes(weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    material = made(tmp_path)
    with pytest.raises(ConfigError, match=r"OpenSSL refuses the server's certificate: .*too small"):
        tls.endpoint(ListeningReactor(), "localhost:1", material)


# -- the handshake -----------------------------------------------------------------------------------------------------


class Greeter(Protocol):
    """Speaks first, and remembers what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.lost = 0

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"HI")

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)

    def connectionLost(self, *_reason: object) -> None:
        self.lost += 1


class TCPTransport(StringTransport):
    """A TCP connection as far as the handshake asks for one."""

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 - Twisted's name
        self.noDelay = enabled

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802 - Twisted's name
        self.keepAlive = enabled


class Connection:
    """A connection to an endpoint, from the accepted socket up: ``protocol`` is the server's, ``client`` OpenSSL's."""

    def __init__(self, directory: Path) -> None:
        self.protocol = Greeter()
        self.clock = ListeningReactor()
        material = made(directory)
        factory = Factory.forProtocol(lambda: self.protocol)
        tls.endpoint(self.clock, "localhost:7443", material).listen(factory)
        [(_port, handshakes, options, *_rest)] = self.clock.asked
        accepted = TLSMemoryBIOFactory(options, False, handshakes, self.clock).buildProtocol(ADDRESS)
        assert accepted is not None
        self.accepted = accepted
        self.transport = TCPTransport()
        self.accepted.makeConnection(self.transport)
        self._to_client, self._to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        trusting = ssl.create_default_context(cafile=str(directory / "ca.pem"))
        self.client = trusting.wrap_bio(self._to_client, self._to_server, server_hostname="localhost")

    def exchange(self) -> None:
        """Carry what one side has written to the other."""
        self.clock.advance(0)
        self._to_client.write(self.transport.value())
        self.transport.clear()
        if self._to_server.pending:
            self.accepted.dataReceived(self._to_server.read())

    def shake_hands(self) -> None:
        while True:
            try:
                self.client.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.exchange()
        self.exchange()
        self.exchange()


def test_a_protocol_hears_of_its_connection_when_the_handshake_is_over(tmp_path: Path) -> None:
    """One that speaks first and pauses when its words wait would otherwise never see the end of the handshake."""
    connection = Connection(tmp_path)
    with pytest.raises(ssl.SSLWantReadError):
        connection.client.do_handshake()
    connection.exchange()
    assert connection.protocol.transport is None
    connection.shake_hands()
    assert connection.client.read(10) == b"HI"
    connection.client.write(b"HELLO")
    connection.exchange()
    assert connection.protocol.heard == [b"HELLO"]
    assert connection.protocol.transport is connection.accepted
    connection.clock.advance(2 * tls.HANDSHAKE_SECONDS)
    assert not connection.transport.disconnected


def test_replies_leave_at_once_and_dead_machines_are_noticed(tmp_path: Path) -> None:
    transport = Connection(tmp_path).transport
    assert (transport.noDelay, transport.keepAlive) == (True, True)


def test_a_handshake_that_does_not_end_is_cut(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.clock.advance(tls.HANDSHAKE_SECONDS - 0.1)
    assert not connection.transport.disconnected
    connection.clock.advance(0.2)
    assert connection.transport.disconnected


def test_a_connection_lost_during_the_handshake_never_reaches_the_protocol(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.accepted.connectionLost(connectionDone)
    assert connection.protocol.lost == 0
    assert connection.clock.getDelayedCalls() == []


def test_a_connection_lost_after_the_handshake_is_told_to_the_protocol_once(tmp_path: Path) -> None:
    connection = Connection(tmp_path)
    connection.shake_hands()
    connection.accepted.connectionLost(connectionDone)
    assert connection.protocol.lost == 1
