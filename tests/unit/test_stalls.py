"""How long the turns of the event loop take."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from faktory_tw.stalls import Longest, Stalls, watch


class Machine:
    """An epoll object, and the clocks. `poll` waits for `waits` seconds, which take no processor time."""

    def __init__(self) -> None:
        self.wall = 100.0
        self.processor = 5.0
        self.waits = 0.0
        self.asked: list[tuple[float, int]] = []
        self.register = self.modify = self.unregister = lambda *_: None
        self.stalls = Stalls(self, lambda: self.wall, lambda: self.processor)

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        self.asked.append((timeout, most))
        self.wall += self.waits
        return [(7, 1)]

    def turn(self, wall: float, processor: float) -> None:
        """A turn takes so long, and ends."""
        self.wall += wall
        self.processor += processor
        assert self.stalls.poll(0.25, 10) == [(7, 1)]


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_the_longest_turn_is_told(machine: Machine) -> None:
    for wall, processor in [(0.5, 0.25), (2.0, 0.125), (1.0, 0.75), (0.25, 0.25)]:
        machine.turn(wall, processor)
    assert machine.stalls.longest == Longest(2.0, 0.75)
    assert machine.asked == [(0.25, 10)] * 4


def test_waiting_for_connections_is_no_turn(machine: Machine) -> None:
    machine.waits = 60.0
    for _ in range(3):
        machine.turn(0.25, 0.125)
    assert machine.stalls.longest == Longest(0.25, 0.125)


def test_a_turn_is_forgotten_after_a_minute(machine: Machine) -> None:
    machine.turn(2.0, 1.0)
    for _ in range(60):
        machine.stalls.tick()
        machine.turn(0.5, 0.25)
    assert machine.stalls.longest == Longest(2.0, 1.0)
    machine.stalls.tick()
    assert machine.stalls.longest == Longest(0.5, 0.25)


def test_a_reactor_with_epoll_is_watched_and_others_are_left_alone() -> None:
    epoll = Machine()
    reactor: Any = SimpleNamespace(_poller=epoll)
    stalls = watch(reactor)
    assert reactor._poller is stalls
    assert stalls is not None
    assert stalls.register is epoll.register
    for other in (MemoryReactorClock(), SimpleNamespace(_poller=None), SimpleNamespace(_poller=object())):
        assert watch(other) is None


def test_the_clocks_are_those_of_the_thread() -> None:
    stalls = Stalls(Machine())
    until = time.thread_time() + 0.01
    while time.thread_time() < until:
        pass
    stalls.poll(0, 1)
    assert stalls.longest.processor >= 0.01
    assert stalls.longest.wall >= 0.01
