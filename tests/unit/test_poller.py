"""Reading many connections in one turn. The files here are pipes: the poller asks of them what it asks of sockets."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from faktory_tw.poller import Poller, ReactorTurns, _polled_by, turns_of
from tests.requirements import missing


@pytest.fixture(autouse=True)
def epoll() -> None:
    """Only Linux has what is tested here."""
    if not (hasattr(select, "epoll") and hasattr(os, "eventfd")):
        missing("this system has no epoll or no eventfd")


class Connection:
    """A transport, its socket and its protocol in one. `received` has what was read from it.

    As a transport does, it is read no more once it is lost.
    """

    def __init__(self, poller: Any) -> None:
        self._poller = poller
        self._end, self._other_end = os.pipe()
        os.set_blocking(self._end, False)
        self.socket = self.protocol = self
        self.received: list[bytes] = []
        self.lost: list[Failure] = []
        self.then: list[Any] = []  # what is done when something was read

    def fileno(self) -> int:
        return self._end

    def say(self, data: bytes) -> None:
        """Send from the other end."""
        os.write(self._other_end, data)

    def hang_up(self) -> None:
        """Close the other end."""
        os.close(self._other_end)
        self._other_end = -1

    def recv(self, size: int) -> bytes:
        return os.read(self._end, size)

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)
        for call in self.then:
            call()

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason)
        self._poller.remove(self)

    def close(self) -> None:
        os.close(self._end)
        if self._other_end >= 0:
            os.close(self._other_end)


class Reactor(MemoryReactorClock):
    """A reactor that says when its next timer is due, and calls back whoever wants to know that it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.due: float | None = 0.0
        self.asked: list[Any] = []

    def timeout(self) -> float | None:
        for call in self.asked:
            call()
        self.asked.clear()
        return self.due


class Room:
    """A poller and two connections that it reads. `log` has what happened, in order."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.poller = Poller(self.reactor)
        self.first, self.second = Connection(self.poller), Connection(self.poller)
        self.log: list[str] = []
        for name, connection in (("first", self.first), ("second", self.second)):
            connection.then.append(lambda name=name: self.log.append(name))
            self.poller.add(connection)  # type: ignore[arg-type]

    def both_say(self, data: bytes) -> None:
        self.first.say(data)
        self.second.say(data)

    def close(self) -> None:
        self.poller.connectionLost(Failure(ConnectionError()))
        self.first.close()
        self.second.close()


@pytest.fixture
def room() -> Iterator[Room]:
    """A poller and two connections that it reads."""
    room = Room()
    yield room
    room.close()


def test_the_poller_is_one_reader_of_the_reactor(room: Room) -> None:
    assert room.reactor.getReaders() == [room.poller]
    assert room.poller.fileno() >= 0


def test_every_connection_that_has_something_to_say_is_read(room: Room) -> None:
    room.both_say(b"a")
    room.poller.doRead()
    room.second.say(b"b")
    room.poller.doRead()
    room.poller.doRead()
    assert (room.first.received, room.second.received) == ([b"a"], [b"a", b"b"])


@pytest.mark.parametrize(("due", "heard"), [(None, [b"late"]), (5.0, [b"late"]), (0.001, []), (0.0, [])])
def test_it_waits_a_moment_for_what_comes_late_but_not_when_a_timer_is_due(
    room: Room, due: float | None, heard: list[bytes]
) -> None:
    room.reactor.due = due
    room.reactor.asked.append(lambda: room.second.say(b"late"))
    room.first.say(b"x")
    room.poller.doRead()
    assert room.second.received == heard


def test_what_is_asked_for_amid_a_turn_is_done_at_its_end(room: Room) -> None:
    room.first.then.append(lambda: room.poller.soon(lambda: room.log.append("soon")))
    room.both_say(b"a")
    room.poller.doRead()
    assert room.log == ["first", "second", "soon"]
    assert room.reactor.getDelayedCalls() == []


def test_what_is_asked_for_between_turns_is_left_to_the_reactor(room: Room) -> None:
    room.poller.soon(lambda: room.log.append("soon"))
    assert room.log == []
    room.reactor.advance(0)
    assert room.log == ["soon"]


def test_a_call_of_another_thread_wakes_the_reactor(room: Room) -> None:
    assert not select.select([room.poller], [], [], 0)[0]
    for number in "012":
        room.poller.call_from_thread(partial(room.log.append, number))
    assert select.select([room.poller], [], [], 0)[0]
    assert room.log == []
    room.poller.doRead()
    assert room.log == ["0", "1", "2"]
    assert not select.select([room.poller], [], [], 0)[0]


def test_a_connection_that_was_removed_is_not_read(room: Room) -> None:
    room.poller.remove(room.first)  # type: ignore[arg-type]
    room.poller.remove(room.first)  # type: ignore[arg-type]
    room.both_say(b"a")
    room.poller.doRead()
    assert room.first.received == []
    room.poller.add(room.first)  # type: ignore[arg-type]
    room.poller.add(room.first)  # type: ignore[arg-type]
    room.poller.doRead()
    assert room.first.received == [b"a"]


def test_a_connection_may_remove_another_that_is_about_to_be_read(room: Room) -> None:
    room.first.then.append(lambda: room.poller.remove(room.second))  # type: ignore[arg-type]
    room.second.then.append(lambda: room.poller.remove(room.first))  # type: ignore[arg-type]
    room.both_say(b"a")
    room.poller.doRead()
    assert len(room.log) == 1


def test_a_connection_whose_client_left_is_lost(room: Room) -> None:
    room.first.hang_up()
    room.poller.doRead()
    (reason,) = room.first.lost
    assert "cleanly" in reason.getErrorMessage()
    assert room.second.lost == []


def test_a_connection_that_cannot_be_read_is_lost(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int) -> bytes:
        raise ConnectionResetError

    monkeypatch.setattr(room.first, "recv", refuse)
    room.both_say(b"a")
    room.poller.doRead()
    assert len(room.first.lost) == 1
    assert room.second.received == [b"a"]


def test_a_connection_with_nothing_to_say_after_all_goes_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(size: int) -> bytes:
        raise BlockingIOError

    monkeypatch.setattr(room.first, "recv", nothing)
    room.first.say(b"a")
    room.poller.doRead()
    assert room.first.lost == []


def fail() -> None:
    raise ZeroDivisionError("oops")


def test_a_protocol_that_fails_loses_its_connection_and_no_other(room: Room) -> None:
    room.first.then.append(fail)
    room.both_say(b"a")
    room.poller.doRead()
    assert [reason.type for reason in room.first.lost] == [ZeroDivisionError]
    assert room.second.received == [b"a"]
    assert room.second.lost == []


def test_a_call_at_the_end_of_a_turn_that_fails_takes_nothing_with_it(room: Room) -> None:
    """The reactor takes a reader that raises for broken, and a broken poller would end all connections."""
    room.first.then.append(lambda: room.poller.soon(fail))
    room.first.then.append(lambda: room.poller.soon(lambda: room.log.append("soon")))
    room.both_say(b"a")
    room.poller.doRead()
    assert room.log == ["first", "second", "soon"]


def test_a_call_of_another_thread_that_fails_takes_nothing_with_it(room: Room) -> None:
    room.poller.call_from_thread(fail)
    room.poller.call_from_thread(lambda: room.log.append("called"))
    room.both_say(b"a")
    room.poller.doRead()
    assert sorted(room.log) == ["called", "first", "second"]


def test_when_the_reactor_stops_every_connection_is_lost() -> None:
    room = Room()
    room.close()
    assert len(room.first.lost) == len(room.second.lost) == 1


def test_without_epoll_the_reactor_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")
    reactor = MemoryReactorClock()
    turns = turns_of(reactor)
    assert type(turns) is ReactorTurns
    called: list[int] = []
    turns.soon(lambda: called.append(1))
    reactor.advance(0)
    assert called == [1]


def test_twisted_accepts_no_more_connections_in_one_go_than_take_some_milliseconds(room: Room) -> None:
    port: Any = SimpleNamespace(numberAccepts=5000, _realPortNumber=7419)
    protocol: Any = SimpleNamespace()
    ends = socket.socketpair()
    try:
        _polled_by(room.poller)(ends[0], protocol, ("", 1), port, 1, room.reactor)
        assert port.numberAccepts <= 100
    finally:
        for end in ends:
            end.close()
