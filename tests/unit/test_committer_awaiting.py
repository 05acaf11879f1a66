"""Waiting for the disk without a connection: when it is told that everything is written."""

from __future__ import annotations

import pytest

from tests.unit.house import broken_disk
from tests.unit.office import Connection, Office


def test_who_waits_is_told_when_the_write_has_returned(office: Office) -> None:
    told: list[str] = []
    office.change()
    office.committer.when_written(lambda: told.append("written"))
    assert told == []
    office.reactor.turn()
    assert told == []
    office.land()
    assert told == ["written"]
    assert len(office.disk.writes) == 1
    assert office.committer.condition().held == 0


def test_waiting_alone_has_the_batch_written_soon(office: Office) -> None:
    office.alone = True
    told: list[str] = []
    office.change()
    office.committer.when_written(lambda: told.append("written"))
    office.reactor.turn()
    assert told == ["written"]


def test_without_anything_to_write_it_is_told_in_the_same_turn_but_not_at_once(office: Office) -> None:
    told: list[str] = []
    office.committer.when_written(lambda: told.append("written"))
    assert told == []
    office.reactor.turn()
    assert told == ["written"]
    assert office.disk.events == []


def test_what_is_being_written_is_waited_for_and_nothing_more(office: Office, connection: Connection) -> None:
    told: list[str] = []
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.committer.when_written(lambda: told.append("first"))
    office.change()
    office.committer.when_written(lambda: told.append("second"))
    assert told == []
    office.land()
    assert told == ["first"]
    office.reactor.turn()
    office.land()
    assert told == ["first", "second"]
    assert len(office.disk.writes) == 2


def test_who_is_told_may_change_something_and_wait_again(office: Office) -> None:
    told: list[str] = []

    def again() -> None:
        told.append("first")
        office.change()
        office.committer.when_written(lambda: told.append("second"))

    office.change()
    office.committer.when_written(again)
    for _ in range(2):
        office.reactor.turn()
        office.land()
    assert told == ["first", "second"]


def test_a_disk_that_fails_tells_nobody(office: Office) -> None:
    told: list[str] = []
    office.change()
    office.committer.when_written(lambda: told.append("flying"))
    office.reactor.turn()
    office.committer.when_written(lambda: told.append("flying, too"))
    office.change()
    office.committer.when_written(lambda: told.append("open"))
    office.disk.broken = broken_disk()
    office.land()
    office.committer.when_written(lambda: told.append("later"))
    office.reactor.turn()
    assert told == []
    assert office.failures == [office.disk.broken]


def test_a_server_that_stops_writes_and_tells_first(office: Office) -> None:
    told: list[int] = []
    office.change()
    office.committer.when_written(lambda: told.append(office.ended))
    office.close()
    office.land()
    assert told == [0]
    assert office.ended == 1


def test_one_that_breaks_keeps_no_other_from_being_told(office: Office, connection: Connection) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    told: list[str] = []
    office.change()
    office.committer.when_written(broken)
    office.committer.when_written(lambda: told.append("written"))
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    with pytest.raises(ZeroDivisionError):
        office.land()
    assert told == ["written"]
    assert connection.sent == [[b"a"]]
