"""The end of a connection: what is freed, what is still answered, and that nobody else is disturbed."""

from __future__ import annotations

import gc
import weakref

import pytest

from faktory_tw.storage.store import StoreError
from faktory_tw.wire import OK
from tests.unit.house import House, job


def test_a_closed_connection_is_freed_without_the_collector(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1))
    house.commit()
    gone = weakref.ref(client.protocol)
    gc.disable()
    try:
        client.protocol.connectionLost()
        client.wire.unregisterProducer()
        del client
        assert gone() is None
    finally:
        gc.enable()


def test_what_goes_wrong_when_a_connection_is_lost_is_reported(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client, other = house.connect(), house.connect()
    broken = StoreError("cannot read")

    def fail(_waiter: object) -> None:
        raise broken

    monkeypatch.setattr(house.manager, "stop_waiting", fail)
    client.say(b"FETCH default")
    client.protocol.connectionLost()
    assert house.failures == [broken]
    other.say(b"QUEUE LATENCY b")
    assert other.heard() == b'$7\r\n{"b":0}\r\n'


def test_end_behind_a_waiting_fetch_does_not_swallow_an_acknowledgement(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1, queue='"other"'), b"FETCH default", b"END")
    house.commit()
    assert client.heard() == OK
    assert client.wire.closed


def test_end_ends_a_fetch_that_was_put_by_with_it(house: House) -> None:
    client = house.connect()
    client.say(b"PUSHB [" + b",".join(job(number, queue='"other"') for number in range(1100)) + b"]")
    client.say(b"FETCH default", b"END")
    while not client.wire.closed:
        assert client.protocol._pending
        house.reactor.turn()
        house.commit()
    assert client.heard() == b"$2\r\n{}\r\n"
