"""Commits in the reactor's thread: only for few, only while the disk is quick, and with the same promises."""

from __future__ import annotations

import threading

import pytest

from faktory_tw import committer as module
from faktory_tw.storage.store import Batch
from tests.unit.house import broken_disk
from tests.unit.test_committer import Connection, Office


class QuickOffice(Office):
    """An office whose disk is taken to have been quick of late."""

    def __init__(self) -> None:
        super().__init__()
        self.committer._quick_seconds = 10.0
        self.committer._commit_seconds = 0.0

    def finish(self) -> None:
        """End the thread."""
        self.disk.let_through(10)
        self.close()
        while not self.ended:
            self.reactor.run_report()


@pytest.fixture
def quick() -> QuickOffice:
    return QuickOffice()


def writing_threads(office: Office) -> list[str]:
    """Note, from now on, in which thread the disk is written."""
    threads: list[str] = []
    write = office.disk.write

    def noting(batch: Batch) -> None:
        threads.append(threading.current_thread().name)
        write(batch)

    office.disk.write = noting  # type: ignore[method-assign]
    return threads


def test_what_few_wait_for_is_written_before_the_turn_ends(quick: QuickOffice) -> None:
    threads, connection = writing_threads(quick), Connection()
    quick.acknowledge(connection, b"a")
    assert connection.sent == []
    quick.disk.let_through()
    quick.reactor.turn()
    assert connection.sent == [[b"a"]]
    assert threads == [threading.current_thread().name]
    quick.finish()


def test_what_many_wait_for_is_written_by_the_thread(quick: QuickOffice) -> None:
    threads = writing_threads(quick)
    connections = [Connection() for _ in range(module._FEW + 1)]
    for connection in connections:
        quick.acknowledge(connection, b"a")
    quick.reactor.turn()
    quick.land()
    assert [connection.sent for connection in connections] == [[[b"a"]]] * len(connections)
    assert threads == ["committer"]
    quick.finish()


def test_a_disk_that_was_slow_is_left_to_the_thread(quick: QuickOffice) -> None:
    threads, connection = writing_threads(quick), Connection()
    quick.committer._quick_seconds = 0.0005
    quick.committer._commit_seconds = 0.2
    quick.acknowledge(connection, b"a")
    quick.reactor.turn()
    quick.land()
    assert connection.sent == [[b"a"]]
    assert threads == ["committer"]
    quick.finish()


def test_at_start_nothing_is_known_of_the_disk_and_the_thread_writes() -> None:
    office = Office()
    assert office.committer._commit_seconds > module.QUICK_SECONDS
    office.close()
    assert office.ended


def test_no_reply_leaves_when_the_write_fails_in_the_reactors_thread(quick: QuickOffice) -> None:
    connection = Connection()
    quick.disk.broken = broken_disk()
    quick.acknowledge(connection, b"a")
    quick.disk.let_through()
    quick.reactor.turn()
    assert connection.sent == []
    assert len(quick.failures) == 1
    quick.acknowledge(connection, b"b")
    quick.reactor.turn()
    assert connection.sent == []
    quick.close()
    assert quick.ended


def test_upkeep_is_left_to_the_thread_and_the_next_batch_waits_for_it(quick: QuickOffice) -> None:
    connection, other = Connection(), Connection()
    quick.disk.wants_upkeep = True
    quick.acknowledge(connection, b"a")
    quick.disk.let_through(2)
    quick.reactor.turn()
    assert connection.sent == [[b"a"]]
    quick.acknowledge(other, b"b")
    quick.reactor.turn()
    assert other.sent == []
    quick.disk.wants_upkeep = False
    quick.reactor.run_report()
    assert other.sent == [[b"b"]]
    assert quick.disk.events.count("upkeep") == 1
    quick.finish()


def test_closing_writes_what_few_wait_for(quick: QuickOffice) -> None:
    connection = Connection()
    quick.acknowledge(connection, b"a")
    quick.disk.let_through()
    quick.close()
    assert connection.sent == [[b"a"]]
    assert quick.ended
