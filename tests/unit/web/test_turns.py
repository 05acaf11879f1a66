"""Connections to the site take turns: nothing that they send is looked at in one go, and none keeps others out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.house import House
from tests.unit.web.browsing import Exchange, ask, site_of
from web.answers import Answer, Json
from web.gate import connections
from web.gate.turns import PIECE_BYTES
from web.routes import Role, Route, page
from web.visit import Visit

GET = b"GET /look HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"GET /look HTTP/1.1\r\nHo"


class Asked:
    """A page that counts how often it is asked for, and a large one."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.count = 0
        self.seconds = 0.0
        site_of(house, (Route("/look", self.look, ("GET", "HEAD"), Role.NOBODY), page("/large", self.large)))

    async def look(self, visit: Visit) -> Answer:
        self.count += 1
        self.house.reactor.rightNow += self.seconds
        return Json(self.count)

    async def large(self, visit: Visit) -> Answer:
        self.count += 1
        return Answer(b"x" * 1_000_000)


@pytest.fixture
def asked(house: House) -> Asked:
    return Asked(house)


def say(exchange: Exchange, data: bytes) -> None:
    """Send bytes that nobody looks at yet."""
    exchange.channel.dataReceived(data)


def test_of_many_requests_in_one_piece_a_turn_answers_one(house: House, asked: Asked) -> None:
    exchange = Exchange(house)
    say(exchange, GET * 500)
    assert asked.count == 0
    for turn in range(1, 500):
        house.reactor.turn()
        assert asked.count == turn
    exchange.wait()
    answers = exchange.answers(["GET"] * 500)
    assert [answer.json() for answer in answers] == list(range(1, 501))
    exchange.leave()


def test_a_turn_ends_when_its_time_is_over_however_many_there_are(house: House, asked: Asked) -> None:
    """Here each request takes two milliseconds, and so a turn has three."""
    asked.seconds = 0.002
    crowd = [Exchange(house) for _ in range(20)]
    for exchange in crowd:
        say(exchange, GET)
    seen = []
    while asked.count < 20:
        before = asked.count
        house.reactor.turn()
        seen.append(asked.count - before)
    assert set(seen) == {2, 3}
    for exchange in crowd:
        exchange.leave()


def test_a_body_is_looked_at_in_pieces(house: House, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    look_at = connections.BoundedChannel.look_at

    def counted(channel: Any, piece: bytes) -> None:
        pieces.append(len(piece))
        look_at(channel, piece)

    monkeypatch.setattr(connections.BoundedChannel, "look_at", counted)
    exchange = Exchange(house)
    chunks = b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    say(exchange, b"POST /look HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    house.reactor.turn()
    assert pieces == [PIECE_BYTES]
    exchange.wait()
    assert max(pieces) == PIECE_BYTES
    assert [answer.status for answer in exchange.answers(["POST"])] == [405]
    exchange.leave()


def test_nothing_is_read_while_something_waits_to_be_looked_at(house: House, asked: Asked) -> None:
    exchange = Exchange(house)
    say(exchange, GET * 2)
    while exchange.channel._stands:
        assert exchange.line.producerState == "paused"
        house.reactor.turn()
    assert exchange.line.producerState == "producing"
    exchange.leave()


def test_who_does_not_take_answers_is_not_answered_further(house: House, asked: Asked) -> None:
    exchange = Exchange(house)
    exchange.channel.pauseProducing()  # as the transport does when it has more than it can send
    say(exchange, GET * 10)
    exchange.wait()
    assert asked.count == 0
    exchange.channel.resumeProducing()
    exchange.wait()
    assert asked.count == 10
    exchange.leave()


def test_a_connection_that_is_lost_in_the_line_is_not_answered(house: House, asked: Asked) -> None:
    exchange = Exchange(house)
    say(exchange, GET * 10)
    house.reactor.turn()
    exchange.leave()
    exchange.wait()
    assert asked.count == 1
    assert site_of(house).connections == 0
    assert not site_of(house).waiting


# -- who does not take an answer -----------------------------------------------------------------------------------------


def test_an_answer_that_nobody_takes_ends_the_connection(house: House, asked: Asked) -> None:
    exchange = Exchange(house)
    exchange.send(LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    exchange.wait()
    assert exchange.line.closed  # when all was sent; but it never is
    aborted: list[bool] = []
    exchange.line.abortConnection = lambda: aborted.append(True)  # type: ignore[method-assign]
    house.reactor.advance(60 + 1_000_000 / connections.BODY_RATE - 1)
    assert not aborted
    house.reactor.advance(2)
    assert aborted
    exchange.leave()


def test_a_large_answer_is_not_cut_while_it_is_taken_slowly(house: House, asked: Asked) -> None:
    exchange = Exchange(house)
    exchange.send(LARGE)
    exchange.wait()
    house.reactor.advance(60 + 1_000_000 / connections.BODY_RATE - 1)
    assert not exchange.line.closed
    house.reactor.advance(2)
    assert exchange.line.closed
    exchange.leave()


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n"])
def test_what_makes_no_sense_does_not_keep_its_connection(house: House, asked: Asked, data: bytes) -> None:
    exchange = Exchange(house)
    exchange.send(data)
    assert exchange.raw.startswith(b"HTTP/1.1 400 ")
    aborted: list[bool] = []
    exchange.line.abortConnection = lambda: aborted.append(True)  # type: ignore[method-assign]
    house.reactor.advance(connections.FAREWELL_SECONDS + 1)
    assert aborted
    exchange.leave()


# -- places --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_places(house: House, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 3)


def test_who_has_waited_longest_gives_way(house: House, three_places: None) -> None:
    silent, halting, newest = (Exchange(house) for _ in range(3))
    halting.send(HALF)
    assert ask(house, "/look").status == 200
    assert silent.line.closed
    assert silent.raw == b""
    Exchange(house)
    assert halting.raw.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert halting.line.closed
    assert not newest.line.closed


def test_who_was_just_answered_is_the_last_to_give_way(house: House, three_places: None) -> None:
    first, second, third = (Exchange(house) for _ in range(3))
    first.send(GET)
    first.wait()
    ask(house, "/look")
    assert [each.line.closed for each in (first, second, third)] == [False, True, False]


def test_who_waits_for_an_answer_or_takes_one_keeps_its_place(house: House, three_places: None) -> None:
    there = [Exchange(house) for _ in range(3)]
    for exchange in there[:2]:
        say(exchange, GET)
        exchange.channel.pauseProducing()
    house.reactor.turn()
    there[2].channel.pauseProducing()
    refused = Exchange(house)
    assert refused.raw.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Too many connections; try again in a moment." in refused.raw
    assert refused.line.closed
    refused.leave()
    for exchange in there:
        exchange.leave()
    assert ask(house, "/look").status == 200
    assert site_of(house).connections == 0


def test_connections_that_are_being_closed_have_their_bound_too(house: House, three_places: None) -> None:
    there = [Exchange(house) for _ in range(6)]
    assert [each.line.closed for each in there] == [True] * 3 + [False] * 3
    assert Exchange(house).raw.startswith(b"HTTP/1.1 503 ")
    for exchange in there:
        exchange.leave()
    assert site_of(house).connections == 0


def test_a_full_disk_refuses_a_long_body(
    house: House, asked: Asked, monkeypatch: pytest.MonkeyPatch, failures: list[str]
) -> None:
    def full() -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    exchange = Exchange(house)
    exchange.send(b"POST /look HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
    assert exchange.raw.startswith(b"HTTP/1.1 503 ")
    assert exchange.line.closed
    assert len(failures) == 1
    failures.clear()
    exchange.leave()
