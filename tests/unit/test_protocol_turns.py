"""Connections that send many lines at a time, and what others notice of them: they have their turns, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faktory_tw.fairness import FEWEST_LINES, MOST_LINES, TURN_SECONDS, Turns
from tests.unit.house import Client, House, Reactor

LINE, SECONDS = b"QUEUE LATENCY a", 0.0001
ANSWER = b'$7\r\n{"a":0}\r\n'


class SlowHouse(House):
    """A server each of whose commands takes SECONDS."""

    def __init__(self) -> None:
        super().__init__()
        self.spent = 0.0
        ask = self.manager.latencies

        def latencies(names: object) -> object:
            self.spent += SECONDS
            return ask(names)  # type: ignore[arg-type]

        self.manager.latencies = latencies  # type: ignore[method-assign, assignment]
        self.factory.turns._monotonic = lambda: self.spent


@pytest.fixture
def slow_house() -> Iterator[SlowHouse]:
    house = SlowHouse()
    yield house
    assert house.failures == []
    house.close()


def crowd(house: House, count: int, lines: int) -> list[Client]:
    clients = [house.connect() for _ in range(count)]
    for client in clients:
        client.say(*[LINE] * lines)
    return clients


def turns(house: SlowHouse) -> list[float]:
    """Let the server work until it has nothing more to do, and return what each turn of the reactor took."""
    taken = []
    while house.reactor.due():
        before = house.spent
        house.reactor.turn()
        taken.append(house.spent - before)
    return taken


def test_a_turn_takes_no_longer_with_many_connections_than_with_a_few(slow_house: SlowHouse) -> None:
    clients = crowd(slow_house, 500, 300)
    assert max(turns(slow_house)) <= TURN_SECONDS + (MOST_LINES + 1) * SECONDS
    assert {client.heard() for client in clients} == {ANSWER * 300}


def test_of_what_has_just_come_little_is_executed_when_others_stand_in_the_line(slow_house: SlowHouse) -> None:
    crowd(slow_house, 1, 300)
    latecomer = slow_house.connect()
    latecomer.say(*[LINE] * 300)
    assert latecomer.heard() == ANSWER * FEWEST_LINES
    turns(slow_house)
    assert latecomer.heard() == ANSWER * (300 - FEWEST_LINES)


def test_a_single_command_does_not_stand_in_the_line(slow_house: SlowHouse) -> None:
    crowd(slow_house, 100, 300)
    polite = slow_house.connect()
    assert polite.ask(LINE) == ANSWER


def test_a_connection_that_is_alone_has_as_much_as_it_ever_had(slow_house: SlowHouse) -> None:
    (client,) = crowd(slow_house, 1, 3 * MOST_LINES)
    assert client.heard() == ANSWER * MOST_LINES
    slow_house.reactor.turn()
    assert client.heard() == ANSWER * MOST_LINES
    turns(slow_house)
    (another,) = crowd(slow_house, 1, 2 * MOST_LINES)
    assert another.heard() == ANSWER * MOST_LINES, "the line is empty again"


def test_everybody_has_a_turn_before_anybody_has_another(slow_house: SlowHouse) -> None:
    clients = crowd(slow_house, 20, 2000)
    for client in clients:
        client.heard()
    seen: list[int] = []
    while len(seen) < 2 * len(clients):
        slow_house.reactor.turn()
        seen += [number for number, client in enumerate(clients) if client.heard()]
    assert sorted(seen[: len(clients)]) == list(range(len(clients)))


def test_who_has_left_does_not_hold_up_the_line(slow_house: SlowHouse) -> None:
    *leaving, staying = crowd(slow_house, 10, 300)
    for client in leaving:
        client.hang_up()
    turns(slow_house)
    assert staying.heard() == ANSWER * 300


def test_what_goes_wrong_in_a_turn_does_not_end_the_line() -> None:
    reactor, done = Reactor(), []

    def fail() -> None:
        raise ValueError("broken")

    line = Turns(reactor.callLater, reactor.monotonic)
    line.wait(fail)
    line.wait(lambda: done.append(True))
    with pytest.raises(ValueError, match="broken"):
        reactor.turn()
    reactor.turn()
    assert done == [True]
