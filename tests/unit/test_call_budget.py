"""How many calls a command costs, from the bytes that came in to the reply that goes out.

Calls are what a command costs in CPython, and other than microseconds they can be counted exactly: on a busy machine, in
a container, twice in a row, the number is the same. Counted are the calls of Python functions and, apart from them, of
functions written in C, while `dataReceived` runs. Not counted is what follows for a whole batch: the commit, and the
write that sends its acknowledgements.

If a test here fails, a change has put calls on the way of every PUSH, FETCH or ACK. A Python call costs some 50 to 100 ns
of the 15 to 20 µs that a command has in all, a call of C about half of it. The message lists the functions that were
called: find the new one. Where it is worth its price, raise the number, in the commit that adds it; where the cost can be
moved (to the batch, to the connection's start, to the rare case), move it. If there are fewer calls than the budget
allows, lower it: a budget with air in it notices nothing.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tests.unit.house import EPOCH, HELLO, Client, House, job, named
from tests.unit.test_protocol_sockets import Socket, TCPWire

ROUNDS = 20
WARM_UP_ROUNDS = 100


class Budget(NamedTuple):
    """The most calls that a command may make."""

    python: int
    c: int


PUSH = Budget(python=17, c=24)
FETCH = Budget(python=20, c=22)
ACK = Budget(python=12, c=19)

# What stands in for C functions here must be some, too: `conjugate` of a float returns it, as `time.time` returns one,
# and `len` returns how much a socket has taken when it takes all.
CLOCK = SimpleNamespace(time=EPOCH.conjugate, monotonic=(1000.0).conjugate)


class CountedSocket(Socket):
    """A socket that takes everything and costs one call of C."""

    send = staticmethod(len)  # type: ignore[assignment]


class Connections(NamedTuple):
    """Three of one server. A batch is being written all the time, so that no commit is begun while calls are counted."""

    house: House
    producer: Client
    fetching: Client
    acknowledging: Client


@pytest.fixture
def connections() -> Iterator[Connections]:
    """Warmed up: every cache has seen what it will see."""
    house = House(clock=CLOCK)
    connections = Connections(house, connect(house), connect(house), connect(house))
    connections.producer.say(b"PUSH " + job(0, queue='"other"'))
    assert house.begin_commit()
    for number in range(WARM_UP_ROUNDS):
        connections.producer.say(b"PUSH " + job(number))
        connections.fetching.say(b"FETCH critical default bulk")
        connections.acknowledging.say(b"ACK " + named(number))
    yield connections
    house.close()


def connect(house: House) -> Client:
    wire = TCPWire()
    wire.socket = CountedSocket()
    client = house.connect(hello=None, wire=wire)
    client.say(HELLO[:-1] + b',"wid":"worker-1"}')
    return client


def calls(client: Client, line: bytes) -> tuple[Counter[str], Counter[str]]:
    """Return which functions, of Python and of C, a command calls, and how often."""
    python: Counter[str] = Counter()
    c: Counter[str] = Counter()

    def note(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            python[getattr(frame.f_code, "co_qualname", frame.f_code.co_name)] += 1
        elif event == "c_call":
            c[getattr(arg, "__qualname__", repr(arg))] += 1

    data_received, data = client.protocol.dataReceived, line + b"\r\n"
    gc.disable()  # others may have asked to be called after a collection
    try:
        sys.setprofile(note)
        data_received(data)
        sys.setprofile(None)
    finally:
        gc.enable()
    c["setprofile"] -= 1
    return +python, +c


def check(budget: Budget, rounds: list[tuple[Counter[str], Counter[str]]]) -> None:
    """Fail unless every round kept to its budget, and the dearest used that of Python up but for a call or two.

    Which built-in functions are calls and which are instructions differs a little between versions of Python, so there
    is no lower limit for those of C.
    """
    for name, most, of_rounds in zip(Budget._fields, budget, zip(*rounds, strict=True), strict=True):
        dearest = max(of_rounds, key=lambda functions: sum(functions.values()))
        total = sum(dearest.values())
        assert total <= most, f"{total} calls of {name}, more than {most}: {dict(dearest)}"
        assert name == "c" or total >= most - 2, f"only {total} calls of {name}: lower the budget of {most}"


def rounds_of(connections: Connections) -> dict[str, list[tuple[Counter[str], Counter[str]]]]:
    """Push, fetch and acknowledge; return the calls by verb."""
    counted: dict[str, list[tuple[Counter[str], Counter[str]]]] = {"PUSH": [], "FETCH": [], "ACK": []}
    for number in range(ROUNDS):
        counted["PUSH"].append(calls(connections.producer, b"PUSH " + job(number, queue='"default"', retry="25")))
        counted["FETCH"].append(calls(connections.fetching, b"FETCH critical default bulk"))
        assert connections.house.manager.set_sizes()["working"] == 1
        counted["ACK"].append(calls(connections.acknowledging, b"ACK " + named(number)))
        assert connections.house.manager.set_sizes()["working"] == 0
    return counted


def test_a_push_keeps_to_its_budget(connections: Connections) -> None:
    check(PUSH, rounds_of(connections)["PUSH"])


def test_a_fetch_keeps_to_its_budget(connections: Connections) -> None:
    check(FETCH, rounds_of(connections)["FETCH"])


def test_an_ack_keeps_to_its_budget(connections: Connections) -> None:
    check(ACK, rounds_of(connections)["ACK"])
