"""Which datagrams a statsd receiver gets, and when it gets none."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw import statsd
from faktory_tw.statsd import MOST_BYTES, Datagrams, StatsD, look_up
from tests.unit.doubles import Engine
from tests.unit.statsd_network import HERE, Network, Socket, seconds, settings, work


def datagrams(network: Network, most_lines: int = 15) -> Datagrams:
    made = Datagrams("receiver:8125", most_lines, network.in_thread, network.warn)
    made.look_up()
    network.run()
    return made


def test_what_is_counted_waits_for_the_address(
    engine: Engine, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statsd, "_MOST_TAGS", 3)
    sender = StatsD(engine.manager, engine.clock, network.in_thread, network.warn)
    sender.configure(settings())
    work(engine)
    sender.tick()
    work(engine)
    network.run()
    seconds(sender, engine)
    lines = network.socket.take()
    assert "faktory.processed:2|g" in lines
    assert "faktory.jobs.count:2|c|#queue:default,jobtype:Work" in lines
    sender.close()


def test_what_waits_for_an_address_that_never_comes_is_bounded(
    engine: Engine, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statsd, "_MOST_TAGS", 3)
    network.answer = "no such host"
    sender = StatsD(engine.manager, engine.clock, network.in_thread, network.warn)
    sender.configure(settings())
    for number in range(20):
        work(engine, jobtype=f"Type{number}")
        seconds(sender, engine)
        network.run()
    assert len(sender._counts) <= 4
    assert len(network.warnings) == 1
    sender.close()


def test_several_lines_share_a_datagram(network: Network) -> None:
    made = datagrams(network, most_lines=3)
    for number in range(7):
        made.add(f"line{number}")
    made.send()
    made.send()
    assert network.socket.sent == [b"line0\nline1\nline2", b"line3\nline4\nline5", b"line6"]
    assert not network.socket.blocking


@given(st.lists(st.integers(1, 600)), st.integers(1, 40))
def test_no_datagram_is_too_long_and_no_line_is_lost(lengths: list[int], most_lines: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        network = Network(patch)
        made = datagrams(network, most_lines)
        for length in lengths:
            made.add("x" * length)
        made.send()
        assert all(len(sent) <= MOST_BYTES and sent.count(b"\n") < most_lines for sent in network.socket.sent)
        assert [len(line) for line in network.socket.take()] == lengths


def test_datagrams_are_filled(network: Network) -> None:
    made = datagrams(network, most_lines=1000)
    for _ in range(100):
        made.add("x" * 99)
    made.send()
    assert [len(sent) for sent in network.socket.sent] == [14 * 100 - 1] * 7 + [199]


def test_a_missing_receiver_is_warned_of_once_and_tried_again(network: Network) -> None:
    made = datagrams(network)
    for number in range(3):
        network.socket.refuses = [ConnectionRefusedError(111, "Connection refused")]
        made.add(f"line{number}")
        made.send()
    assert network.socket.take() == ["line0", "line1", "line2"]
    assert len(network.warnings) == 1
    assert "receiver:8125" in network.warnings[0]
    assert "Connection refused" in network.warnings[0]


@pytest.mark.parametrize("error", [BlockingIOError(11, "again"), OSError(90, "Message too long")])
def test_what_the_system_does_not_take_is_dropped(network: Network, error: OSError) -> None:
    made = datagrams(network)
    network.socket.refuses = [error]
    made.add("lost")
    made.add("lost, too")
    made.send()
    made.add("kept")
    made.send()
    assert network.socket.take() == ["kept"]
    assert made.dropped == 2


def test_a_receiver_without_an_address_is_warned_of_once(network: Network) -> None:
    network.answer = "Name or service not known"
    made = datagrams(network)
    made.add("lost")
    made.send()
    made.look_up()
    network.run()
    assert len(network.warnings) == 1
    assert made.dropped == 1
    network.answer = HERE
    made.look_up()
    network.run()
    made.add("kept")
    made.send()
    assert network.socket.take() == ["kept"]


def test_a_receiver_that_moves_is_followed(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    first = network.socket
    seconds(sender, engine, 61)
    network.run()
    assert network.sockets == [first]
    network.answer = (socket.AF_INET6, ("::1", 8125, 0, 0))
    seconds(sender, engine, 61)
    network.run()
    assert first.closed
    assert network.socket.family == socket.AF_INET6
    assert network.asked == ["localhost:8125"] * 3


def test_an_address_that_comes_too_late_is_not_used(network: Network) -> None:
    made = Datagrams("receiver:8125", 15, network.in_thread, network.warn)
    made.look_up()
    made.close()
    network.run()
    assert network.sockets == []


def test_an_address_that_cannot_be_reached_is_warned_of(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(self: Socket, address: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(Socket, "connect", unreachable)
    datagrams(network)
    assert network.socket.closed
    assert "Network is unreachable" in network.warnings[0]


def test_addresses_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_up("127.0.0.1:8125") == HERE
    found = look_up("[::1]:8125")
    assert not isinstance(found, str)
    assert (found[0], found[1][:2]) == (socket.AF_INET6, ("::1", 8125))
    assert look_up(":8125") == HERE
    assert isinstance(look_up("localhost:no-number"), str)

    both = [
        (socket.AF_INET6, socket.SOCK_DGRAM, 0, "", ("::1", 8125, 0, 0)),
        (HERE[0], socket.SOCK_DGRAM, 0, "", HERE[1]),
    ]
    monkeypatch.setattr("faktory_tw.statsd.socket.getaddrinfo", lambda *_, **__: both)
    assert look_up("localhost:8125") == HERE

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("faktory_tw.statsd.socket.getaddrinfo", unknown)
    assert "Name or service not known" in str(look_up("nowhere.invalid:8125"))
