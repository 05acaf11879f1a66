"""What an operator is told of a server that seems to stand still."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import UNIXAddress
from twisted.internet.task import LoopingCall

from faktory_tw.committer import Condition
from faktory_tw.dump import Dump, thread_stacks
from tests.unit.house import House, Wire, job, named

WORKER = b'HELLO {"v":2,"wid":"w-%d","hostname":"h","pid":1,"labels":[]}'


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


def dumped(house: House, stacks: dict[str, list[str]] | None = None) -> list[str]:
    dump = Dump(
        house.manager,
        house.factory.connections,
        house.committer.condition,
        house.reactor.getDelayedCalls,
        house.reactor.monotonic,
    )
    return list(dump.lines(stacks or {}))


def line(lines: list[str], start: str) -> str:
    """Return the one line that begins so."""
    found = [text for text in lines if text.startswith(start)]
    assert len(found) == 1, lines
    return found[0]


# -- connections -------------------------------------------------------------------------------------------------------


def test_a_fetch_that_waits_is_shown_with_its_queues_and_since_when(house: House) -> None:
    house.connect(WORKER % 1).say(b"FETCH critical default")
    house.reactor.advance(0.75)
    assert line(dumped(house), "connection ") == (
        "connection 192.0.2.1:50000 wid w-1: waits in FETCH critical default for 0.750 s"
    )


def test_of_a_fetch_with_many_queues_the_first_are_named(house: House) -> None:
    house.connect().say(b"FETCH " + b" ".join(b"q%d" % number for number in range(500)))
    assert "q9 and 490 more for" in line(dumped(house), "connection ")


def test_a_connection_that_does_nothing_is_idle_and_one_that_said_nothing_in_its_handshake(house: House) -> None:
    house.connect()
    assert line(dumped(house), "connection ").endswith("wid -: idle")
    house.connect(hello=None)
    assert line(dumped(house), "connections:") in (
        "connections: 2, 1 idle, 1 in the handshake",
        "connections: 2, 1 in the handshake, 1 idle",
    )


def test_what_holds_a_connection_up_is_told(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1), b"PUSH " + job(2))
    client.feed(b"PUSH {")
    text = line(dumped(house), "connection ")
    assert "2 replies wait for the disk" in text
    assert "6 bytes of an unfinished line" in text
    client.stop_reading()
    client.say(b"}", b"INFO")
    text = line(dumped(house), "connection ")
    assert "15 bytes put by" in text
    assert text.endswith("the client does not read, not read from")


def test_a_command_in_slices_is_told(house: House) -> None:
    jobs = b",".join(job(number) for number in range(3000))
    house.connect().say(b"PUSHB [" + jobs + b"]")
    assert "with a command in slices" in line(dumped(house), "connection ")


def test_a_connection_over_a_unix_socket_has_no_address(house: House) -> None:
    wire: Any = Wire()
    wire.peerAddr = UNIXAddress(None)
    house.connect(wire=wire)
    assert line(dumped(house), "connection ").startswith("connection a Unix socket wid -")


def test_of_many_connections_the_first_are_shown_and_all_are_counted(house: House) -> None:
    for _ in range(250):
        house.connect()
    lines = dumped(house)
    assert line(lines, "connections:") == "connections: 250, 250 idle"
    assert sum(text.startswith("connection ") for text in lines) == 200
    assert "… and 50 more connections" in lines


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_a_worker_is_shown_with_what_it_holds_also_when_it_is_gone(house: House) -> None:
    first, second = house.connect(WORKER % 1), house.connect(WORKER % 2)
    for number in range(3):
        first.say(b"PUSH " + job(number))
    first.say(b"FETCH default", b"FETCH default")
    second.say(b"FETCH default")
    second.hang_up()
    house.commit()
    lines = dumped(house)
    assert line(lines, "workers:") == "workers: 1 connected, 3 jobs reserved"
    assert line(lines, "worker w-1") == "worker w-1: running, 1 connections, 2 jobs reserved"
    assert line(lines, "worker w-2") == "worker w-2: not connected, 1 jobs reserved"


def test_queues_are_shown_with_their_sizes_and_whether_they_are_paused(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1), b"PUSH " + job(2, queue='"mail"'), b"QUEUE PAUSE mail")
    lines = dumped(house)
    assert line(lines, "jobs:").startswith("jobs: 2 in 2 queues; 0 dead")
    assert line(lines, "queue default") == "queue default: 1 jobs"
    assert line(lines, "queue mail") == "queue mail: 1 jobs, paused"


def test_of_many_queues_the_first_are_shown(house: House) -> None:
    client = house.connect()
    for number in range(120):
        client.say(b"PUSH " + job(number, queue=f'"q{number}"'))
    lines = dumped(house)
    assert sum(text.startswith("queue ") for text in lines) == 100
    assert "… and 20 more queues" in lines


def test_the_committer_tells_what_it_writes_and_who_waits(house: House) -> None:
    house.connect().say(b"PUSH " + job(1))
    house.begin_commit()
    house.connect().say(b"PUSH " + job(2), b"ACK " + named(9))
    assert house.committer.condition() == Condition(busy=True, broken=False, flying=1, waiting=1, held=2, records=1)
    assert line(dumped(house), "committer:") == (
        "committer: busy, 1 connections wait for the batch being written, 1 with 2 replies for the open batch of 1 records"
    )
    house.commit()
    assert line(dumped(house), "committer:").startswith("committer: idle, 0 connections")


def test_timers_are_shown_by_what_they_do_and_when(house: House) -> None:
    def sweep() -> None: ...

    timer = LoopingCall(sweep)
    timer.clock = house.reactor
    timer.start(5.0, now=False)
    house.connect(hello=None)
    house.reactor.advance(0.5)
    house.connect(hello=None)
    lines = dumped(house)
    assert line(lines, "timers:") == "timers: 3"
    assert line(lines, "timer FaktoryProtocol._handshake_timeout").endswith(": 2 times, the first in 1.500 s")
    assert line(lines, "timer test_timers_are_shown").endswith("sweep: in 4.500 s")
    timer.stop()


def test_every_thread_is_shown_with_where_it_is(house: House) -> None:
    stacks = thread_stacks(sys._getframe())
    name = f"{threading.current_thread().name} ({threading.get_ident()})"
    assert stacks[name][-1].endswith(" test_every_thread_is_shown_with_where_it_is")
    committer = next(frames for title, frames in stacks.items() if title.startswith("committer "))
    assert any(frame.endswith(" _write_batches") for frame in committer)
    lines = dumped(house, stacks)
    assert f"thread {name}:" in lines
    assert f"  {stacks[name][-1]}" in lines


def test_a_deep_stack_is_cut_to_where_it_is() -> None:
    def deeper(depth: int) -> dict[str, list[str]]:
        return deeper(depth - 1) if depth else thread_stacks(sys._getframe())

    assert max(map(len, deeper(100).values())) == 30


def test_memory_and_open_files_come_first_and_no_job_is_shown(house: House) -> None:
    house.connect().say(b"PUSH " + job(1, custom='{"secret":"s3cret"}'))
    lines = dumped(house)
    assert lines[0].startswith("process ")
    assert " MiB resident, " in lines[0]
    assert "s3cret" not in "\n".join(lines)
    assert not any("\n" in text for text in lines)
