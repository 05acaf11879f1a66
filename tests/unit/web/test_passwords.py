"""Wrong passwords in the web UI: who waits for the answer, who is turned away, and who is left alone."""

from __future__ import annotations

import base64

import pytest
from twisted.internet.address import IPv4Address

from faktory_tw.attempts import FREE, MOST_DELAY_SECONDS, MOST_WAITING
from tests.unit.house import House
from tests.unit.web.browsing import HOST, Answer, Browser, Exchange
from tests.unit.web.conftest import PASSWORD, READ_ONLY_PASSWORD

HERE, THERE = (IPv4Address("TCP", host, 50_000) for host in ("192.0.2.1", "192.0.2.2"))


def credentials(password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"alice:{password}".encode())


def begin(house: House, password: str, path: str = "/stats", *headers: bytes) -> Exchange:
    """Ask for something, and do not wait for the answer."""
    exchange = Exchange(house, HERE)
    lines = [f"GET {path} HTTP/1.1".encode(), b"Host: " + HOST.encode(), b"Authorization: " + credentials(password)]
    exchange.send(b"\r\n".join([*lines, *headers, b"", b""]))
    exchange.wait()
    return exchange


def fail(house: House, times: int, *headers: bytes) -> list[Exchange]:
    return [begin(house, "wrong", "/stats", *headers) for _ in range(times)]


def status(exchange: Exchange) -> int | None:
    answers = exchange.answers()
    return answers[0].status if answers else None


def ask(house: House, password: str | None, address: IPv4Address = HERE, path: str = "/stats") -> Answer:
    return Browser(house, password, address=address).get(path)


def test_after_some_wrong_passwords_the_answer_waits(guarded_house: House) -> None:
    assert [status(exchange) for exchange in fail(guarded_house, FREE)] == [401] * FREE
    slow = fail(guarded_house, 1)[0]
    guarded_house.reactor.advance(0.24)
    slow.wait()
    assert status(slow) is None
    guarded_house.reactor.advance(0.02)
    slow.wait()
    assert status(slow) == 401


def test_an_address_with_enough_answers_waiting_is_turned_away(guarded_house: House) -> None:
    fail(guarded_house, FREE + MOST_WAITING)
    for password in ("wrong", PASSWORD, READ_ONLY_PASSWORD):
        answer = ask(guarded_house, password)
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "5"
        assert "WWW-Authenticate" not in answer.headers
    guarded_house.reactor.advance(MOST_DELAY_SECONDS)
    assert ask(guarded_house, PASSWORD).status == 200


@pytest.mark.parametrize("password", [PASSWORD, READ_ONLY_PASSWORD])
def test_the_right_password_from_elsewhere_never_waits(guarded_house: House, password: str) -> None:
    fail(guarded_house, 100)
    assert ask(guarded_house, password, THERE).status == 200


def test_who_is_told_to_be_elsewhere_by_a_header_is_not(guarded_house: House) -> None:
    for number in range(FREE + MOST_WAITING):
        fail(guarded_house, 1, b"X-Forwarded-For: 198.51.100.%d" % number, b"Forwarded: for=198.51.100.%d" % number)
    assert ask(guarded_house, PASSWORD).status == 429


def test_behind_a_proxy_an_operator_is_let_in_whatever_others_try(guarded_house: House) -> None:
    assert ask(guarded_house, PASSWORD).status == 200
    fail(guarded_house, 100)
    assert ask(guarded_house, PASSWORD).status == 200
    assert ask(guarded_house, READ_ONLY_PASSWORD).status == 200


def test_the_password_of_readers_makes_no_address_known(guarded_house: House) -> None:
    assert ask(guarded_house, READ_ONLY_PASSWORD).status == 200
    fail(guarded_house, FREE + MOST_WAITING)
    assert ask(guarded_house, PASSWORD).status == 429


def test_no_password_is_no_wrong_password(guarded_house: House) -> None:
    for _ in range(3 * FREE):
        assert ask(guarded_house, None).status == 401
    assert guarded_house.server.refused_connections == {}


def test_a_wrong_password_counts_once_for_a_request(guarded_house: House) -> None:
    begin(guarded_house, "wrong", "/stats", b"Content-Length: 2000000")
    assert guarded_house.server.refused_connections == {"web_password": 1}


@pytest.mark.parametrize("path", ["/health", "/ready", "/static/x/nothing"])
def test_what_everybody_may_see_tells_nobody_whether_a_password_is_right(guarded_house: House, path: str) -> None:
    answers = [ask(guarded_house, password, path=path) for password in (None, "wrong", PASSWORD)]
    assert len({(answer.status, answer.body) for answer in answers}) == 1
    assert guarded_house.server.refused_connections == {}


def test_how_long_a_body_may_be_tells_nobody_whether_a_password_is_right(guarded_house: House) -> None:
    """Whoever may push is asked to send what is long, and others are refused at once."""
    fail(guarded_house, FREE + MOST_WAITING)
    long = (b"Expect: 100-continue", b"Content-Length: 2000000")
    told = {begin(guarded_house, password, "/api/jobs", *long).raw for password in ("wrong", PASSWORD)}
    assert len(told) == 1


def test_who_leaves_before_the_answer_leaves_nothing_behind(guarded_house: House) -> None:
    slow = fail(guarded_house, FREE + 1)[-1]
    waiting = [call for call in guarded_house.reactor.getDelayedCalls() if call.getTime() < 1]
    assert len(waiting) == 1
    slow.leave()
    assert not waiting[0].active()


def test_wrong_passwords_are_counted_and_logged_without_them(guarded_house: House) -> None:
    lines: list[str] = []
    guarded_house.server.web_attempts.tell = lambda sentence, _: lines.append(sentence)
    fail(guarded_house, FREE + MOST_WAITING + 3)
    assert guarded_house.server.refused_connections == {"web_password": FREE + MOST_WAITING, "throttled": 3}
    assert lines == ["Wrong password at the web UI from 192.0.2.1"]


def test_without_a_password_none_is_wrong(house: House) -> None:
    for _ in range(3 * FREE):
        assert ask(house, "anything").status == 200
    assert not house.server.web_attempts._known
