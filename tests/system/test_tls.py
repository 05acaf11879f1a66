"""The TLS endpoint of a server in development: real conversations, and who is refused."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from faktory_tw import certificates
from tests.recordings import Differs, conversations, play
from tests.requirements import require_module
from tests.system.conftest import MakeServer
from tests.system.front_ends import (
    assert_plain_text_is_refused,
    make_certificate,
)
from tests.system.fwp import Client, job
from tests.system.server import Server, eventually
from tests.system.test_conformance import Wire

PASSWORD = "correct-horse"
TLS_PORT = r"Accepting commands over TLS at \S*?:(\d+)\b"
HTTPS_PORT = r"Web UI at https://[^/\s]*?:(\d+)/"


class SecureServer:
    """A server with TLS bindings: the ports of commands and HTTPS, and who is to be trusted."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = int(server.wait_for_log(TLS_PORT).group(1))
        self.web_port = int(server.wait_for_log(HTTPS_PORT).group(1))
        self.authority = server.config_directory / "tls" / "ca.pem"

    def client(self, **options: Any) -> Client:
        return Client(self.port, tls=self.trusting(), **options)

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))


@pytest.fixture(autouse=True)
def _openssl() -> None:
    require_module("OpenSSL")


@pytest.fixture
def secure(make_server: MakeServer) -> SecureServer:
    return start_with_tls(make_server(start=False))


def start_with_tls(server: Server) -> SecureServer:
    files = server.config_directory / "conf.d"
    files.mkdir()
    (files / "tls.toml").write_text('[faktory]\ntls_binding = "127.0.0.1:0"\n[web]\ntls_binding = "127.0.0.1:0"\n')
    return SecureServer(server.start())


def test_a_job_is_pushed_fetched_acknowledged_and_failed_over_tls(secure: SecureServer) -> None:
    with secure.client(wid="worker-1") as client:
        for number in range(2):
            client.push(job("greet", number))
        first, second = client.fetch("default"), client.fetch("default")
        assert first is not None
        assert second is not None
        client.ack(first["jid"])
        client.fail(second["jid"])
        assert client.fetch("default") is None  # after two seconds
        sets = client.info()["faktory"]["sets"]
        assert (sets["working"], sets["retries"]) == (0, 1)
        assert client.beat() == ""
        assert client.end()


def test_recorded_conversations_are_answered_over_tls_as_over_tcp(secure: SecureServer) -> None:
    """All that do not wait; each begins with FLUSH."""
    cases = [case for case in conversations() if case.password is None and case.waiting_seconds() == 0]
    assert len(cases) > 150
    differences = []
    for case in cases:
        with secure.client() as client:
            client.flush()
        try:
            play(case, lambda: SecureWire(secure), time.sleep)
        except Differs as why:
            differences.append(str(why))
    assert not differences, "\n".join(differences)


class SecureWire(Wire):
    """A connection of the recordings, over TLS."""

    def __init__(self, secure: SecureServer) -> None:
        self.client = secure.client(greet=False, timeout=8.0)


def test_a_large_bulk_push_and_large_jobs_pass_over_tls(secure: SecureServer) -> None:
    """Many TLS records each way, with lines that end in the middle of one."""
    with secure.client() as client:
        assert client.pushb(job("many", number, "x" * 400) for number in range(20_000)) == {}
        large = job("large", "y" * 5_000_000, queue="large")
        client.push(large)
        assert client.info()["faktory"]["queues"] == {"default": 20_000, "large": 1}
        fetched = client.fetch("large")
        assert fetched is not None
        assert fetched["args"] == large["args"]
        client.ack(fetched["jid"])


def test_commands_in_flight_over_tls_are_answered_in_order(secure: SecureServer) -> None:
    with secure.client() as client:
        jobs = [job("one", number) for number in range(3_000)]
        lines = b"".join(b"PUSH " + json.dumps(one).encode() + b"\r\n" for one in jobs)
        client.send_bytes(lines + b"FETCH default\r\n" * 3_000)
        replies = [client.receive() for _ in range(6_000)]
    assert [reply.value for reply in replies[:3_000]] == ["OK"] * 3_000
    assert [json.loads(reply.value)["jid"] for reply in replies[3_000:]] == [one["jid"] for one in jobs]


def test_a_client_over_tls_that_does_not_read_holds_up_nobody(secure: SecureServer) -> None:
    """The server stops executing its commands, and goes on with them when it reads."""
    with secure.client() as client, secure.client() as other:
        for number in range(20):
            client.push(job("large", number, "z" * 500_000))
        client.send_bytes(b"FETCH default\r\n" * 20)
        other.push(job("small", queue="other"))
        fetched = other.fetch("other")
        assert fetched is not None
        other.ack(fetched["jid"])
        arrived = [json.loads(client.receive().value)["args"][0] for _ in range(20)]
    assert arrived == list(range(20))


def test_many_clients_over_tls_and_tcp_share_the_work(secure: SecureServer) -> None:
    """Each job is done exactly once, whichever way its worker came."""

    def work(encrypted: bool) -> list[str]:
        with secure.client() if encrypted else secure.server.client() as client:
            done = []
            for number in range(50):
                client.push(job("shared", number))
                fetched = client.fetch("default")
                assert fetched is not None
                client.ack(fetched["jid"])
                done.append(fetched["jid"])
            return done

    with ThreadPoolExecutor(12) as pool:
        results = list(pool.map(work, [True, False] * 6))
    done = [jid for result in results for jid in result]
    assert (len(done), len(set(done))) == (600, 600)


def test_a_worker_over_tls_that_is_cut_off_while_it_waits_gets_no_job(secure: SecureServer) -> None:
    with secure.server.client() as client:
        waiting = secure.client(wid="worker-1")
        waiting.send("FETCH default")
        eventually(lambda: client.info()["server"]["connections"] == 2, "both are connected")
        waiting.close()
        eventually(lambda: client.info()["server"]["connections"] == 1, "the server knows that it is gone")
        pushed = client.push(job("kept"))
        fetched = client.fetch("default")
        assert fetched is not None
        assert fetched["jid"] == pushed


def test_the_server_stops_while_clients_over_tls_wait(secure: SecureServer) -> None:
    with secure.client() as client:
        client.send_bytes(b"INFO\r\nFETCH default\r\n")
        assert client.receive().type == "bulk"  # so it has read the FETCH, too
        assert secure.server.stop() == 0
        assert client.receive().type == "null"
        assert client.at_end()


def test_the_web_ui_is_served_over_https(secure: SecureServer) -> None:
    connection = http.client.HTTPSConnection("localhost", secure.web_port, context=secure.trusting(), timeout=15)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_client_that_trusts_somebody_else_refuses_the_server(secure: SecureServer, tmp_path: Path) -> None:
    other = make_certificate(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
        Client(secure.port, tls=other.trusting())
    secure.client().close()  # the server is none the worse for it


def test_plain_text_to_the_tls_port_is_refused(secure: SecureServer) -> None:
    assert_plain_text_is_refused(secure.port)
    secure.client().close()


def test_tls_to_the_plain_port_is_refused(secure: SecureServer) -> None:
    with pytest.raises(ssl.SSLError):
        Client(secure.server.port, tls=secure.trusting())
    secure.server.client().close()


def test_the_log_says_how_to_trust_the_certificate_and_a_restart_keeps_it(secure: SecureServer) -> None:
    assert f"SSL_CERT_FILE={secure.authority}" in secure.server.log()
    before = secure.authority.read_bytes()
    trusting = secure.trusting()
    secure.server.restart()
    assert secure.authority.read_bytes() == before
    Client(int(secure.server.wait_for_log(TLS_PORT).group(1)), tls=trusting).close()


def test_a_wrong_certificate_is_refused_at_start_with_what_to_do(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(start=False)
    for name in ("one", "two"):
        certificates.material(tmp_path / name, certificates.hosts([], "localhost"), datetime.now(timezone.utc))
    directory = server.config_directory / "tls"
    directory.mkdir()
    (directory / "server.pem").write_bytes((tmp_path / "one" / "server.pem").read_bytes())
    (directory / "server-key.pem").write_bytes((tmp_path / "two" / "server-key.pem").read_bytes())
    with pytest.raises(AssertionError, match=r"(?s)with status 1 .*server-key.pem is not the key of the"):
        start_with_tls(server)
