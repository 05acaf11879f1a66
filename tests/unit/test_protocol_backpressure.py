"""Clients that do not read, or say more than can be done: they wait, and nobody else does."""

from __future__ import annotations

import pytest

from faktory_tw.fairness import MOST_LINES
from faktory_tw.protocol import LINGER_SECONDS, MOST_HELD, PUT_BY_BYTES
from tests.unit.house import Client, House, job
from tests.unit.test_protocol_replies import LATENCY_A, LATENCY_B, NOTHING, OK


def test_a_client_that_does_not_read_is_not_executed_further(house: House) -> None:
    client = house.connect()
    client.stop_reading()
    assert client.wire.paused
    client.say(b"PUSH " + job(1), b"QUEUE LATENCY a")
    client.say(b"QUEUE LATENCY b")
    house.commit()
    assert house.queue_length() == 0
    client.read_again()
    house.commit()
    assert client.heard() == OK + LATENCY_A + LATENCY_B
    assert not client.wire.paused


def test_a_client_that_stops_reading_amid_its_commands_is_executed_up_to_there(house: House) -> None:
    client = house.connect()
    write = client.wire.write

    def fill_up(data: bytes) -> None:
        write(data)
        client.stop_reading()

    client.wire.write = fill_up
    client.say(*[b"QUEUE LATENCY a"] * 3)
    assert client.heard() == LATENCY_A
    for _ in range(2):
        client.read_again()
        house.reactor.turn()
        assert client.heard() == LATENCY_A
    client.read_again()
    house.reactor.turn()
    assert not client.wire.paused


def test_a_held_reply_goes_to_a_client_that_does_not_read(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1))
    client.stop_reading()
    house.commit()
    assert client.heard() == OK
    assert client.wire.paused


def test_many_lines_behind_a_waiting_fetch_are_not_read_further(house: House) -> None:
    client = house.connect()
    client.say(b"FETCH default")
    client.say(*[b"QUEUE LATENCY a"] * 1000)
    assert not client.wire.paused
    client.feed(b"QUEUE LATENCY a\r\n" * (PUT_BY_BYTES // 17 - 900))
    assert client.wire.paused
    house.pass_time(2.1)
    heard = client.heard()
    assert heard.startswith(NOTHING + LATENCY_A)
    assert heard.count(LATENCY_A) == PUT_BY_BYTES // 17 + 100
    assert not client.wire.paused


def test_lines_that_were_executed_count_no_longer(house: House) -> None:
    client = house.connect()
    for _ in range(3):
        client.say(b"FETCH default")
        client.feed(b"\n" * (PUT_BY_BYTES * 2 // 3))
        assert not client.wire.paused
        house.pass_time(2.1)
        assert client.heard().startswith(NOTHING)


def test_empty_lines_behind_a_waiting_fetch_count_as_well(house: House) -> None:
    client = house.connect()
    client.say(b"FETCH default")
    client.feed(b"\n" * (PUT_BY_BYTES + 1))
    assert client.wire.paused
    client.hang_up()


def test_a_client_with_a_thousand_unwritten_acknowledgements_is_not_read_further(house: House) -> None:
    client = house.connect()
    for number in range(MOST_HELD - 1):
        client.say(b"PUSH " + job(number))
    assert not client.wire.paused
    client.say(b"PUSH " + job(MOST_HELD))
    assert client.wire.paused
    house.commit()
    assert client.heard_writes() == [OK * MOST_HELD]
    assert not client.wire.paused


def test_a_client_that_does_not_read_does_not_hold_up_its_end(house: House) -> None:
    """It has some seconds for what was written to it, its last replies for instance."""
    client = house.connect()
    client.stop_reading()
    house.factory.close_connections()
    assert client.wire.closed
    house.reactor.advance(LINGER_SECONDS - 0.01)
    assert not client.wire.aborted
    house.reactor.advance(0.02)
    assert client.wire.aborted
    client.hang_up()
    assert not house.failures


@pytest.mark.parametrize("last", [b"END", b"NONSENSE" * 10_000])
def test_who_does_not_end_its_side_is_cut_off_though_the_server_has_little_left_to_send(
    house: House, last: bytes
) -> None:
    """Less is not sent than makes a transport ask for a pause; or TLS waits for the other side to say goodbye."""
    client = house.connect(hello=None)
    client.say(last)
    assert client.wire.closed
    house.reactor.advance(LINGER_SECONDS + 0.01)
    assert client.wire.aborted


def test_a_client_that_is_one_too_many_does_not_stay(house: House) -> None:
    house.factory.max_connections = 0
    client = Client(house.factory, hello=None)
    assert client.wire.closed
    house.reactor.advance(LINGER_SECONDS + 0.01)
    assert client.wire.aborted
    client.hang_up()
    assert house.reactor.getDelayedCalls() == []


def test_a_client_that_reads_its_last_replies_late_leaves_no_timer(house: House) -> None:
    client = house.connect()
    client.stop_reading()
    house.factory.close_connections()
    client.hang_up()
    assert house.reactor.getDelayedCalls() == []


def test_thousands_of_commands_in_one_read_let_others_in_between(house: House) -> None:
    client, other = house.connect(), house.connect()
    client.say(*[b"QUEUE LATENCY a"] * (3 * MOST_LINES))
    assert len(client.heard_writes()) == MOST_LINES
    other.say(b"QUEUE LATENCY b")
    assert other.heard() == b'$7\r\n{"b":0}\r\n'
    house.reactor.turn()
    assert len(client.heard_writes()) == MOST_LINES
    house.reactor.turn()
    assert len(client.heard_writes()) == MOST_LINES
