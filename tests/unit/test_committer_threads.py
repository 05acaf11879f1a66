"""Who writes: the thread, or the reactor by itself."""

from __future__ import annotations

import threading

import pytest

from faktory_tw.committer import Outbox
from tests.unit.house import PATIENCE_SECONDS, Disk
from tests.unit.office import Connection, Office

# -- what is done where ------------------------------------------------------------------------------------------------


def test_while_there_are_others_a_write_is_the_threads(office: Office, connection: Connection) -> None:
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    assert office.disk.events == []
    office.land()
    assert office.disk.events == ["write"]


def test_a_lone_client_is_answered_in_the_same_turn(office: Office, connection: Connection) -> None:
    office.alone = True
    for number in range(3):
        office.acknowledge(connection, b"%d" % number)
        assert len(connection.sent) == number
        office.reactor.turn()
    assert connection.sent == [[b"0"], [b"1"], [b"2"]]
    assert office.disk.events == ["write at once"] * 3
    assert len(office.disk.writes) == 3


def test_a_disk_that_is_not_waited_for_is_written_to_in_the_same_turn(office: Office, connection: Connection) -> None:
    office.disk.waits_for_disk = False
    other = Connection()
    office.acknowledge(connection, b"a")
    office.acknowledge(other, b"b")
    office.reactor.turn()
    assert (connection.sent, other.sent) == ([[b"a"]], [[b"b"]])
    assert office.disk.events == ["write at once"]


def test_what_takes_longer_is_left_to_the_thread_and_keeps_its_order(office: Office, connection: Connection) -> None:
    office.alone = True
    office.disk.writes_at_once = False
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    assert connection.sent == []
    office.disk.writes_at_once = True
    office.acknowledge(connection, b"b")
    office.reactor.turn()
    assert connection.sent == []
    office.land()
    assert connection.sent == [[b"a"]], "only then is the second batch sealed"
    office.reactor.turn()
    assert connection.sent == [[b"a"], [b"b"]]
    assert office.disk.events == ["write at once", "write", "write at once"]


def test_who_becomes_alone_while_a_batch_is_written_is_not_overtaken(office: Office, connection: Connection) -> None:
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.acknowledge(connection, b"b")
    office.alone = True
    office.land()
    office.reactor.turn()
    assert connection.sent == [[b"a"], [b"b"]]


def test_a_reply_to_what_a_reply_caused_leaves_too(office: Office) -> None:
    """A delivery that fails gives its job back, and holds again."""

    class Chained(Connection):
        def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:
            super().send_committed(outbox, replies)
            if len(self.sent) == 1:
                office.acknowledge(self, b"next")

    office.alone = True
    connection = Chained()
    office.acknowledge(connection, b"first")
    office.reactor.turn()
    office.reactor.turn()
    assert connection.sent == [[b"first"], [b"next"]]


def test_upkeep_is_the_threads_whoever_wrote(office: Office, connection: Connection) -> None:
    office.alone = True
    office.disk.wants_upkeep = True
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    assert connection.sent == [[b"a"]]
    office.acknowledge(connection, b"b")
    office.reactor.turn()
    assert connection.sent == [[b"a"]], "nothing is written during upkeep"
    office.disk.wants_upkeep = False
    office.reactor.run_report()
    office.reactor.turn()
    assert connection.sent == [[b"a"], [b"b"]]
    assert office.disk.events == ["write at once", "upkeep", "write at once"]


def test_replies_do_not_wait_for_upkeep(office: Office, connection: Connection) -> None:
    office.disk.wants_upkeep = True
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.land()
    assert connection.sent == [[b"a"]]
    office.acknowledge(connection, b"b")
    office.reactor.turn()
    assert len(office.disk.batch.removed) == 1, "sealed though the thread is busy"
    office.reactor.run_report()
    assert office.disk.events == ["write", "upkeep"]
    office.disk.wants_upkeep = False
    office.reactor.turn()
    office.land()
    assert connection.sent == [[b"a"], [b"b"]]


def test_an_idle_thread_looks_after_a_late_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disk, "sync_due_in", lambda self: 0.001)
    office = Office()
    synced = threading.Event()
    monkeypatch.setattr(office.disk, "sync_late", synced.set)
    assert synced.wait(PATIENCE_SECONDS)
    office.close()
    assert office.ended
