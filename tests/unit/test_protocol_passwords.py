"""Wrong passwords on the command port: who waits for the answer, who is turned away, and who is left alone."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress

from faktory_tw.attempts import FREE, MOST_DELAY_SECONDS, MOST_WAITING
from faktory_tw.challenge import password_hash
from faktory_tw.protocol import HANDSHAKE_SECONDS
from faktory_tw.wire import OK
from tests.unit.house import HELLO, Client, House, Wire, job

PASSWORD = "foobar"
REFUSED = b"-ERR Invalid password\r\n"
TURNED_AWAY = b"-ERR too many wrong passwords from this address, try again in some seconds\r\n"


@pytest.fixture
def locked_house() -> Iterator[House]:
    house = House(password=PASSWORD)
    yield house
    assert house.failures == []
    house.close()


def connect(house: House, host: str = "192.0.2.1") -> Client:
    wire = Wire()
    wire.peerAddr = IPv4Address("TCP", host, 50_000)
    return house.connect(hello=None, wire=wire)


def right(client: Client) -> bytes:
    """Return the HELLO of somebody who knows the password."""
    found = re.fullmatch(rb'\+HI \{"v":2,"i":(\d+),"s":"(.*)"\}\r\n', client.greeting)
    assert found
    answer = password_hash(PASSWORD, found[2].decode(), int(found[1])).encode()
    return b'HELLO {"v":2,"pwdhash":"%b"}' % answer


def fail(house: House, times: int, host: str = "192.0.2.1") -> list[Client]:
    """Send so many wrong passwords, each on a connection of its own."""
    clients = [connect(house, host) for _ in range(times)]
    for client in clients:
        client.say(HELLO)
    return clients


def test_after_some_wrong_passwords_the_answer_waits(locked_house: House) -> None:
    for client in fail(locked_house, FREE):
        assert client.heard() == REFUSED
        assert client.wire.closed
    slow = fail(locked_house, 1)[0]
    locked_house.reactor.advance(0.24)
    assert slow.heard() == b""
    assert not slow.wire.closed
    locked_house.reactor.advance(0.02)
    assert slow.heard() == REFUSED
    assert slow.wire.closed


def test_the_end_of_the_handshake_does_not_cut_an_answer_that_waits(locked_house: House) -> None:
    slow = fail(locked_house, FREE + 5)[-1]
    locked_house.reactor.advance(HANDSHAKE_SECONDS + 1)
    assert not slow.wire.closed
    locked_house.reactor.advance(1)
    assert slow.heard() == REFUSED


def test_nothing_that_follows_a_wrong_password_is_executed_or_kept(locked_house: House) -> None:
    fail(locked_house, FREE)
    client = connect(locked_house)
    client.say(HELLO, right(client), b"PUSH " + job(1))
    client.say(right(client), b"PUSH " + job(2))
    client.feed(b"x" * 100_000)
    assert client.protocol._parts_bytes == 0
    locked_house.reactor.advance(MOST_DELAY_SECONDS)
    locked_house.commit()
    assert client.heard() == REFUSED
    assert locked_house.queue_length() == 0


def test_a_client_that_leaves_before_its_answer_leaves_nothing_behind(locked_house: House) -> None:
    *others, client = fail(locked_house, FREE + 1)
    for other in others:
        other.hang_up()
    assert locked_house.factory.slowed
    watched = weakref.ref(client.protocol)
    gc.collect()
    gc.disable()
    try:
        client.hang_up()
        client.wire.unregisterProducer()
        assert not locked_house.factory.slowed
        assert client.protocol not in locked_house.factory.connections
        assert locked_house.reactor.getDelayedCalls() == []
        del client
        assert watched() is None
    finally:
        gc.enable()


def test_an_address_with_enough_answers_waiting_is_turned_away_with_the_right_password_too(locked_house: House) -> None:
    fail(locked_house, FREE + MOST_WAITING)
    client = connect(locked_house)
    assert client.ask(right(client)) == TURNED_AWAY
    assert client.wire.closed
    assert locked_house.server.refused_connections["throttled"] == 1
    locked_house.reactor.advance(MOST_DELAY_SECONDS)
    client = connect(locked_house)
    assert client.ask(right(client)) == OK


def test_who_hangs_up_instead_of_waiting_can_try_no_more(locked_house: House) -> None:
    for client in fail(locked_house, FREE + MOST_WAITING):
        client.hang_up()
    client = connect(locked_house)
    assert client.ask(right(client)) == TURNED_AWAY


def test_the_right_password_from_elsewhere_never_waits(locked_house: House) -> None:
    fail(locked_house, 1000)
    client = connect(locked_house, "192.0.2.2")
    assert client.ask(right(client)) == OK


def test_an_address_that_is_known_is_let_in_whatever_else_comes_from_it(locked_house: House) -> None:
    client = connect(locked_house)
    assert client.ask(right(client)) == OK
    refused = fail(locked_house, 200)
    assert len(locked_house.factory.slowed) == MOST_WAITING
    assert sum(client.heard() == REFUSED for client in refused) == 200 - MOST_WAITING
    client = connect(locked_house)
    assert client.ask(right(client)) == OK


def test_no_more_than_a_tenth_of_the_connections_are_kept_for_later_answers() -> None:
    house = House(password=PASSWORD, max_connections=100)
    for number in range(30):
        fail(house, FREE + 1, f"192.0.2.{number}")
    assert len(house.factory.slowed) == 10
    house.reactor.advance(MOST_DELAY_SECONDS)
    assert not house.factory.slowed
    house.close()


def test_wrong_passwords_are_counted(locked_house: House) -> None:
    fail(locked_house, FREE + MOST_WAITING + 7)
    assert locked_house.server.refused_connections == {"password": FREE + MOST_WAITING, "throttled": 7}


def test_a_server_without_a_password_counts_nothing() -> None:
    house = House()
    client = house.connect(hello=None)
    assert client.ask(b'HELLO {"v":2,"pwdhash":"wrong"}') == OK
    assert not house.server.attempts._known
    house.close()


def test_all_that_come_by_a_unix_socket_are_one_address(locked_house: House) -> None:
    for _ in range(FREE + 1):
        wire = Wire()
        wire.peerAddr = UNIXAddress(None)
        client = locked_house.connect(hello=None, wire=wire)
        client.say(HELLO)
    assert client.heard() == b""
    locked_house.reactor.advance(1)
    assert client.heard() == REFUSED
