"""The front ends of contrib/tls before a server in production, with real clients."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.system import stories
from tests.system.front_ends import (
    HAPROXY,
    NGINX,
    STUNNEL,
    Certificate,
    FrontedServer,
    FrontEnd,
    Program,
    assert_plain_text_is_refused,
    make_certificate,
)
from tests.system.fwp import Client, ConnectionEnded, ServerError, job
from tests.system.libraries import DEADLINE_SECONDS, FAKTORY, PYFAKTORY, node_command
from tests.system.server import clean_environment, eventually

PASSWORD = "correct-horse"
TLS_PORT = r"Accepting commands over TLS at \S*?:(\d+)\b"
HTTPS_PORT = r"Web UI at https://[^/\s]*?:(\d+)/"

every_front_end = pytest.mark.parametrize("program", [HAPROXY, NGINX, STUNNEL], ids=lambda program: program.name)
front_ends_of_the_web = pytest.mark.parametrize("program", [HAPROXY, NGINX], ids=lambda program: program.name)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path / "certificate")


@pytest.fixture
def production(tmp_path: Path) -> Iterator[FrontedServer]:
    """A server in production, on loopback, with a password."""
    server = FrontedServer(tmp_path / "server", password=PASSWORD, arguments=["-e", "production"])
    try:
        yield server
    finally:
        server.close()


@contextmanager
def fronted(
    program: Program, server: FrontedServer, certificate: Certificate, directory: Path, **options: Any
) -> Iterator[FrontEnd]:
    """Start the server and the front end; the server's clients come through it inside the `with`."""
    program.command()  # may skip, before a server is started
    with FrontEnd(program, server.start(), certificate, directory, **options) as server.front:
        yield server.front


@every_front_end
def test_jobs_are_done_through_the_front_end(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    """Also while nothing is said for longer than one FETCH waits."""
    with fronted(program, production, certificate, tmp_path) as front, front.client(wid="worker-1") as client:
        good, bad = client.push(job("greet")), client.push(job("greet"))
        fetched = [client.fetch("default"), client.fetch("default")]
        assert [one and one["jid"] for one in fetched] == [good, bad]
        client.ack(good)
        client.fail(bad)
        assert client.fetch("default") is None  # after two seconds
        time.sleep(1.5)  # as an idle producer; the front end's timeouts for strangers are shorter in this test
        assert client.info()["faktory"]["sets"]["retries"] == 1
        assert client.pushb(job("many", number, "x" * 400) for number in range(5_000)) == {}
        assert client.end()


@every_front_end
def test_a_wrong_password_is_refused_through_the_front_end(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    with fronted(program, production, certificate, tmp_path) as front, pytest.raises(ServerError, match="Invalid pass"):
        front.client(password="wrong")


@every_front_end
def test_pyfaktory_works_through_the_front_end(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    with fronted(program, production, certificate, tmp_path):
        stories.jobs_are_done(production, PYFAKTORY, PYFAKTORY)
        stories.failures_are_told(production, PYFAKTORY)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the library faktory uses ssl.wrap_socket, gone in Python 3.12")
@every_front_end
def test_faktory_works_through_the_front_end(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    with fronted(program, production, certificate, tmp_path):
        stories.jobs_are_done(production, FAKTORY, FAKTORY)


@every_front_end
def test_node_works_through_the_front_end(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    command = node_command("secure")
    with fronted(program, production, certificate, tmp_path) as front, front.client() as client:
        process = run_node(command, front, certificate.authority)
        assert process.returncode == 0, process.stderr
        assert json.loads(process.stdout) == [["good"], ["bad"]]
        state = client.info()["faktory"]
        assert (state["total_processed"], state["total_failures"], state["sets"]["retries"]) == (2, 1, 1)


def test_node_refuses_a_certificate_of_somebody_else(
    production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    command = node_command("secure")
    other = make_certificate(tmp_path / "other")
    with fronted(HAPROXY, production, certificate, tmp_path) as front, front.client() as client:
        process = run_node(command, front, other.authority)
        assert process.returncode == 1
        assert "unable to verify the first certificate" in process.stderr
        assert client.info()["faktory"]["queues"] == {}


def run_node(command: list[str], front: FrontEnd, authority: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=clean_environment({"FAKTORY_URL": front.url, "NODE_EXTRA_CA_CERTS": str(authority)}),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@every_front_end
def test_strangers_are_refused_by_the_front_end(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    """Who trusts another authority, who speaks plain text, and who knows only what is older than TLS 1.2."""
    other = make_certificate(tmp_path / "other")
    with fronted(program, production, certificate, tmp_path) as front:
        with pytest.raises(ssl.SSLCertVerificationError):
            front.client(tls=other.trusting())
        assert_plain_text_is_refused(front.port)
        front.client().close()


@every_front_end
def test_a_front_end_that_dies_loses_no_job(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    """A job being done is acknowledged over a new connection; a FETCH that waited takes none with it."""
    with (
        fronted(program, production, certificate, tmp_path) as front,
        Client(production.port, password=PASSWORD) as direct,
    ):
        worker = front.client(wid="worker-1")
        reserved = worker.push(job("long"))
        assert worker.fetch("default") is not None
        waiting = front.client(wid="worker-1")
        waiting.send("FETCH other")
        eventually(lambda: direct.info()["server"]["connections"] == 3, "all are connected")
        front.kill()
        for client in (worker, waiting):
            assert client.at_end()
            client.close()
        eventually(lambda: direct.info()["server"]["connections"] == 1, "the server knows that they are gone")
        pushed = direct.push(job("next", queue="other"))
        front.start()
        with front.client(wid="worker-1") as worker:
            worker.ack(reserved)
            fetched = worker.fetch("other")
            assert fetched is not None
            assert fetched["jid"] == pushed
            worker.ack(pushed)
        state = direct.info()["faktory"]
        assert (state["total_processed"], state["sets"]["working"]) == (2, 0)


@every_front_end
def test_the_front_end_leads_to_the_server_again_when_that_was_restarted(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    with fronted(program, production, certificate, tmp_path) as front:
        with front.client() as client:
            pushed = client.push(job("kept"))
            assert production.restart(keep_ports=True) == 0
            assert client.at_end()
        fetched = eventually(lambda: try_to_fetch(front), "the front end has found the server again")
        assert fetched["jid"] == pushed


def try_to_fetch(front: FrontEnd) -> dict[str, Any]:
    """Fetch over a new connection; nothing while the front end takes the server for dead."""
    try:
        with front.client() as client:
            return client.fetch("default") or {}
    except (OSError, EOFError):
        return {}


@front_ends_of_the_web
def test_the_web_ui_is_reached_over_https_with_the_password(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    with fronted(program, production, certificate, tmp_path) as front:
        assert get(front, "/health").status == 200
        assert get(front, "/stats").status == 401
        credentials = base64.b64encode(f":{PASSWORD}".encode()).decode()
        assert get(front, "/stats", {"Authorization": f"Basic {credentials}"}).status == 200


@front_ends_of_the_web
def test_the_web_ui_is_told_that_the_browser_came_over_https(
    program: Program, production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    """In place of what the browser says of itself."""
    with (
        listening_upstream() as (port, seen),
        fronted(program, production, certificate, tmp_path, web_upstream=port) as front,
    ):
        host = f"localhost:{front.web_port}"
        get(front, "/queues", {"X-Forwarded-Proto": "http", "X-Forwarded-For": "192.0.2.1"})
        eventually(lambda: "/queues" in seen, "the request has arrived")
        headers = seen["/queues"]
        assert headers.get_all("X-Forwarded-Proto") == ["https"]
        assert headers.get_all("X-Forwarded-For") == ["127.0.0.1"]
        assert headers["Host"] == host


def get(front: FrontEnd, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    context = front.certificate.trusting()
    connection = http.client.HTTPSConnection("localhost", front.web_port, context=context, timeout=15)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


@contextmanager
def listening_upstream() -> Iterator[tuple[int, dict[str, Any]]]:
    """An HTTP server in place of the web UI: its port, and the headers of the requests by path."""
    seen: dict[str, Any] = {}

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen[self.path] = self.headers
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_haproxy_sends_nobody_to_a_server_that_is_not_healthy(
    production: FrontedServer, certificate: Certificate, tmp_path: Path
) -> None:
    """The health check asks the web UI: as long as that does not answer, connections end at once."""
    with fronted(HAPROXY, production, certificate, tmp_path) as front:
        production.kill()
        eventually(lambda: "is DOWN" in front.output(), "haproxy has noticed")
        with pytest.raises((ConnectionEnded, OSError)):
            front.client()
        production.start(keep_ports=True)
        eventually(lambda: front.output().count("is UP") >= 1, "haproxy has noticed")
        eventually(lambda: reachable(front), "a greeting through haproxy")


def reachable(front: FrontEnd) -> bool:
    try:
        front.client().close()
    except (OSError, EOFError):
        return False
    return True
