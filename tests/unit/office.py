"""A committer with a disk that writes when it is told to, and connections that note what they may send."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from faktory_tw.committer import Committer, Outbox
from faktory_tw.poller import ReactorTurns
from tests.unit.house import Disk, Reactor


class Connection:
    """Notes what it may send: a list for each write."""

    def __init__(self) -> None:
        self.outbox: Outbox | None = None
        self.sent: list[list[bytes]] = []

    def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:
        self.sent.append(replies)


class Office:
    """A committer with a disk that writes when it is told to. `failures` has what it called failed with."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.disk = Disk()
        self.failures: list[BaseException] = []
        self.ended = 0
        self.alone = False
        self.committer = Committer(
            ReactorTurns(self.reactor), self.disk, self.disk.seal, self.failures.append, lambda: self.alone
        )
        self.committer.start()
        self._changes = 0

    def change(self, count: int = 1) -> None:
        """Record changes in the open batch."""
        for _ in range(count):
            self._changes += 1
            self.disk.batch.remove(self._changes)

    def acknowledge(self, connection: Connection, reply: bytes) -> None:
        """Record a change, and hold the reply that acknowledges it."""
        self.change()
        self.committer.hold(connection, reply)

    def land(self) -> None:
        """Let one write through, and its end be heard of."""
        self.disk.let_through()
        self.reactor.run_report()

    def close(self) -> None:
        self.committer.close(self.end)

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
def office() -> Iterator[Office]:
    """A committer, whose thread is ended after the test."""
    before = threading.enumerate()
    office = Office()
    yield office
    if not office.ended:
        office.disk.let_through(100)
        office.close()
        while not office.ended:
            office.reactor.run_report()
    assert set(threading.enumerate()) <= set(before)


@pytest.fixture
def connection() -> Connection:
    """A connection."""
    return Connection()
