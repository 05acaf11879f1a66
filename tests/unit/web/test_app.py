"""The pages, asked for as a browser asks: bytes of HTTP in, bytes of HTTP out, and no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.client import HTTPMessage, parse_headers
from io import BytesIO
from typing import Any, NamedTuple

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.unit.house import House, job
from web import make_site

BROWSER = IPv4Address("TCP", "192.0.2.1", 50_000)


class Answer(NamedTuple):
    """What a page answered."""

    status: int
    headers: HTTPMessage
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON, which is what its type must say."""
        assert self.headers["Content-Type"].split(";")[0] == "application/json"
        return json.loads(self.body)


def ask(house: House, path: str, method: str = "GET", password: str | None = None, **headers: str) -> Answer:
    """Return the answer of `house` to one request."""
    site: Any = make_site(house.server)
    site.reactor = Clock()
    channel = site.buildProtocol(BROWSER)
    transport = StringTransport(peerAddress=BROWSER)
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"somebody:{password}".encode()).decode()
    lines = [f"{method} {path} HTTP/1.0", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    channel.makeConnection(transport)
    channel.dataReceived("\r\n".join([*lines, "", ""]).encode())
    channel.connectionLost(Failure(ConnectionDone()))
    stream = BytesIO(transport.value())
    status = int(stream.readline().split()[1])
    return Answer(status, parse_headers(stream), stream.read())


@pytest.fixture
def locked_house() -> Iterator[House]:
    """A server with a password."""
    house = House(password="sécret")
    yield house
    house.close()


def test_health_says_that_the_server_is_alive(house: House) -> None:
    house.connect()
    answer = ask(house, "/health")
    assert answer.status == 200
    told = answer.json()
    assert told.keys() == {"now", "server"}
    assert told["now"] == "2026-09-21T14:13:20.000000Z"
    assert told["server"] == {
        "description": "Faktory",
        "faktory_version": "1.9.4",
        "connections": 1,
        "command_count": 0,
    }


def test_health_needs_no_password(locked_house: House) -> None:
    assert ask(locked_house, "/health").status == 200


def test_stats_are_those_of_info(house: House) -> None:
    house.talk().say(b"PUSH " + job(1))
    told = ask(house, "/stats").json()
    for member in (told, expected := house.server.info()):
        member["server"].pop("used_memory_mb")
    assert told == expected
    assert told["faktory"]["queues"] == {"default": 1}


def test_stats_are_told_to_who_knows_the_password(locked_house: House) -> None:
    answer = ask(locked_house, "/stats", password="sécret")
    assert answer.status == 200
    assert "faktory" in answer.json()


@pytest.mark.parametrize("password", [None, "", "secret", "sécret ", "S\u00c9CRET"])
def test_stats_are_not_told_to_who_does_not_know_the_password(locked_house: House, password: str | None) -> None:
    answer = ask(locked_house, "/stats", password=password)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')
    assert b"faktory_version" not in answer.body
    assert b"queues" not in answer.body


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic " + "=" * 50, "Bearer x", "Basic c29tZWJvZHk="])
def test_an_authorization_that_makes_no_sense_is_none(locked_house: House, header: str) -> None:
    assert ask(locked_house, "/stats", Authorization=header).status == 401


@pytest.mark.parametrize("path", ["/health", "/stats"])
def test_answers_carry_the_headers_that_keep_a_browser_safe(locked_house: House, path: str) -> None:
    headers = ask(locked_house, path).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] in ("no-cache", "no-store")


@pytest.mark.parametrize("path", ["/nowhere", "/health/more", "/stats.json", "/%2e%2e/etc/passwd", "/health%00"])
def test_an_unknown_path_is_not_found(house: House, path: str) -> None:
    answer = ask(house, path)
    assert answer.status == 404
    assert b"Traceback" not in answer.body


def test_an_unknown_path_carries_the_headers_that_keep_a_browser_safe(house: House) -> None:
    headers = ask(house, "/<script>alert(1)</script>").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in (headers["Content-Security-Policy"] or "")


@pytest.mark.parametrize("path", ["/health", "/stats"])
def test_head_gets_the_headers_and_no_body(house: House, path: str) -> None:
    answer, whole = ask(house, path, method="HEAD"), ask(house, path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == whole.headers["Content-Type"]
    assert answer.body == b""
    assert whole.body != b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_pages_that_only_tell_take_nothing(house: House, method: str) -> None:
    assert ask(house, "/stats", method=method, **{"Content-Length": "0"}).status == 405


def test_a_failure_shows_nothing_of_the_server(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr(house.server, "health", fail)
    answer = ask(house, "/health")
    assert answer.status == 500
    assert b"secret inside" not in answer.body
    assert b"Traceback" not in answer.body
