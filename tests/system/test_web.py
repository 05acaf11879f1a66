"""The web UI of a real process: its passwords, its log, and its addresses behind a reverse proxy with a prefix."""

from __future__ import annotations

import base64
import http.client
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from tests.requirements import require
from tests.system.conftest import MakeServer
from tests.system.fwp import job
from tests.system.server import Server, eventually
from tests.unit.web.html import Document

PASSWORD = "correct-horse"
READ_ONLY_PASSWORD = "battery-staple"
PASSWORDS = {"FAKTORY_WEB_READ_ONLY_PASSWORD": READ_ONLY_PASSWORD}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def page(self) -> Document:
        """The body as a page."""
        return Document(self.body.decode())


def ask(port: int, path: str, password: str | None, form: dict[str, str] | None = None, **headers: str) -> Answer:
    """One request; a form is POSTed with the Origin that a browser would tell."""
    body = None if form is None else urlencode(form)
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()
    if form is not None:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"http://127.0.0.1:{port}",
            **headers,
        }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("GET" if form is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def cookie_of(answer: Answer) -> str:
    """What a browser sends back."""
    cookies = SimpleCookie(answer.headers["Set-Cookie"])
    return "; ".join(f"{name}={cookie.value}" for name, cookie in cookies.items())


def paused(server: Server) -> list[str]:
    """The queues that are paused, asked over the wire."""
    with server.client() as client:
        reply = client.command("ADMIN QUEUES")
    assert isinstance(reply.value, bytes), reply
    listed = json.loads(reply.value)
    return [queue["name"] for queue in listed["queues"] if queue["paused"]]


@pytest.fixture
def guarded(make_server: MakeServer) -> Server:
    """A server with a job, a password, and one for people who only look."""
    server = make_server(password=PASSWORD, environment=PASSWORDS)
    with server.client() as client:
        client.push(job("greet"))
    return server


def test_strangers_readers_and_operators_may_what_they_may(guarded: Server) -> None:
    port = guarded.web_port
    for path in ("/", "/queues", "/stats", "/api/queues", "/nowhere"):
        assert ask(port, path, None).status == 401
        assert ask(port, path, "wrong").status == 401
    assert ask(port, "/health", None).status == 200
    for password in (READ_ONLY_PASSWORD, PASSWORD):
        assert ask(port, "/queues", password).status == 200
        assert "default" in ask(port, "/queues", password).page.text

    command = {"Content-Type": "application/json"}
    assert ask(port, "/api/queues/default/pause", READ_ONLY_PASSWORD, {}, **command).status == 403
    assert paused(guarded) == []
    done = ask(port, "/api/queues/default/pause", PASSWORD, {}, **command)
    assert done.status == 200, done.body
    assert paused(guarded) == ["default"]
    guarded.kill()
    guarded.start()
    assert paused(guarded) == ["default"], "it was on disk when it was answered"


def test_the_log_has_who_changed_what_and_no_password(guarded: Server) -> None:
    command = {"Content-Type": "application/json"}
    ask(guarded.web_port, "/api/queues/default/pause", PASSWORD, {}, **command)
    ask(guarded.web_port, "/api/queues/default/pause", READ_ONLY_PASSWORD, {}, **command)
    ask(guarded.web_port, "/api/queues/default/pause", PASSWORD, {}, Origin="http://evil.example", **command)
    guarded.wait_for_log("another site")
    told = [json.loads(line) for line in guarded.log().splitlines() if "Web UI: " in line and '"user"' in line]
    assert [(each["level"], each["role"]) for each in told] == [
        ("info", "operator"),
        ("warn", "reader"),
        ("warn", "operator"),
    ]
    assert {(each["user"], each["client"]) for each in told} == {("alice", "127.0.0.1")}
    assert "'default'" in told[0]["message"]
    assert guarded.process is not None
    arguments = Path(f"/proc/{guarded.process.pid}/cmdline").read_bytes().decode()
    for secret in (PASSWORD, READ_ONLY_PASSWORD):
        assert secret not in guarded.log()
        assert secret not in arguments


def test_sighup_changes_the_read_only_password(make_server: MakeServer) -> None:
    server = make_server(password=PASSWORD, start=False)
    settings = server.config_directory / "conf.d" / "web.toml"
    settings.parent.mkdir()
    settings.write_text(f'[web]\nread_only_password = "{READ_ONLY_PASSWORD}"\n')
    settings.chmod(0o600)
    server.start()
    assert ask(server.web_port, "/stats", READ_ONLY_PASSWORD).status == 200
    settings.write_text('[web]\nread_only_password = "another"\n')
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("Changed: web.read_only_password")
    assert ask(server.web_port, "/stats", READ_ONLY_PASSWORD).status == 401
    assert ask(server.web_port, "/stats", "another").status == 200
    settings.write_text(f'[web]\nread_only_password = "{PASSWORD}"\n')
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("The settings stay as they are: web.read_only_password .* is the same as faktory.password")
    assert ask(server.web_port, "/stats", "another").status == 200
    assert PASSWORD not in server.log()


@pytest.mark.parametrize("password", [None, READ_ONLY_PASSWORD])
def test_a_read_only_password_that_protects_nothing_is_refused(make_server: MakeServer, password: str | None) -> None:
    server = make_server(password=password, environment=PASSWORDS, start=False)
    server.spawn()
    assert server.wait() == 1
    assert "web.read_only_password (FAKTORY_WEB_READ_ONLY_PASSWORD) is" in server.log()
    assert READ_ONLY_PASSWORD not in server.log()


# -- behind a proxy --------------------------------------------------------------------------------------------------

CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend leaves_the_prefix
    bind 127.0.0.1:{leaves}
    http-request set-header X-Script-Name /jobs/faktory
    use_backend faktory if {{ path_beg /jobs/faktory }}
frontend takes_the_prefix_away
    bind 127.0.0.1:{takes}
    http-request set-header X-Script-Name /jobs/faktory
    http-request replace-path /jobs/faktory(/)?(.*) /\\2 if {{ path_beg /jobs/faktory }}
    use_backend faktory
backend faktory
    option forwardfor
    server faktory 127.0.0.1:{web}
"""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def proxied(guarded: Server, tmp_path: Path) -> Iterator[list[int]]:
    """The ports of haproxy, one that leaves the prefix in the path, and one that takes it away."""
    program = require("haproxy")
    ports = free_ports(2)
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(leaves=ports[0], takes=ports[1], web=guarded.web_port))
    with subprocess.Popen([program, "-db", "-f", str(configuration)], stderr=subprocess.DEVNULL) as process:
        try:
            for port in ports:
                eventually(lambda port=port: answers(port), "an answer through haproxy")  # type: ignore[misc]
            yield ports
        finally:
            process.kill()


def answers(port: int) -> bool:
    try:
        return ask(port, "/jobs/faktory/health", None).status == 200
    except OSError:
        return False


def test_everything_has_the_prefix_of_the_proxy(proxied: list[int], guarded: Server) -> None:
    for port in proxied:
        shown = ask(port, "/jobs/faktory/queues", PASSWORD)
        assert shown.status == 200
        page = shown.page
        addresses = [*page.links, *page.assets, *(form.action for form in page.forms)]
        own = [address for address in addresses if not address.startswith(("#", "?", "https://"))]
        assert own
        assert [address for address in own if not address.startswith("/jobs/faktory/")] == []
        for asset in page.assets:
            assert ask(port, asset, None).status == 200, asset
        for link in dict.fromkeys(link for link in page.links if link.startswith("/jobs/faktory/")):
            assert ask(port, link, PASSWORD).status == 200, link
        assert "path=/jobs/faktory" in shown.headers["Set-Cookie"].lower()
        assert ask(port, "/jobs/faktory", PASSWORD).page.title == ask(guarded.web_port, "/", PASSWORD).page.title


def test_a_form_is_carried_out_behind_the_proxy(proxied: list[int], guarded: Server) -> None:
    for port, theme in zip(proxied, ("dark", "light"), strict=True):
        shown = ask(port, "/jobs/faktory/queues", PASSWORD)
        [form] = [form for form in shown.page.forms if form.action == "/jobs/faktory/preferences"][:1]
        fields: dict[str, Any] = {**dict(form.fields), "theme": theme}
        answer = ask(port, form.action, PASSWORD, fields, Cookie=cookie_of(shown))
        assert answer.status == 303, answer.body
        assert answer.headers["Location"].startswith("/jobs/faktory/")
        elsewhere = {"Cookie": cookie_of(shown), "Origin": "http://evil.example"}
        assert ask(port, form.action, PASSWORD, fields, **elsewhere).status == 403
        assert ask(port, form.action, PASSWORD, {**fields, "token": "x"}, Cookie=cookie_of(shown)).status == 403
    guarded.wait_for_log("forwarded for '127.0.0.1'")
