"""Group commit: which replies leave when, and that none does when the disk fails."""

from __future__ import annotations

import pytest

from faktory_tw.committer import MOST_SENT, Outbox
from faktory_tw.storage.store import StoreError
from tests.unit.house import broken_disk
from tests.unit.office import Connection, Office

# -- which replies leave when ------------------------------------------------------------------------------------------


def test_a_reply_leaves_only_when_the_write_has_returned(office: Office, connection: Connection) -> None:
    office.acknowledge(connection, b"a")
    assert connection.sent == []
    office.reactor.turn()
    assert connection.sent == []
    office.disk.let_through()
    assert connection.sent == []
    office.reactor.run_report()
    assert connection.sent == [[b"a"]]
    assert len(office.disk.writes) == 1


def test_a_batch_is_sealed_when_the_turn_is_over(office: Office, connection: Connection) -> None:
    first = office.disk.batch
    office.acknowledge(connection, b"a")
    office.acknowledge(connection, b"b")
    assert office.disk.batch is first
    office.reactor.turn()
    assert office.disk.batch is not first
    office.land()
    assert connection.sent == [[b"a", b"b"]]
    assert office.disk.writes == [first]


def test_the_next_batch_fills_while_one_is_written(office: Office, connection: Connection) -> None:
    other = Connection()
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    for reply in (b"b", b"c"):
        office.acknowledge(connection, reply)
        office.acknowledge(other, reply)
        office.reactor.turn()
    office.land()
    assert connection.sent == [[b"a"]]
    assert other.sent == []
    office.land()
    assert connection.sent == [[b"a"], [b"b", b"c"]]
    assert other.sent == [[b"b", b"c"]]
    assert [len(batch.removed) for batch in office.disk.writes] == [1, 4]


def test_many_turns_of_writing_keep_the_order(office: Office, connection: Connection) -> None:
    for number in range(50):
        office.acknowledge(connection, b"%d" % number)
        if number % 7 == 0:
            office.reactor.turn()
        if number % 14 == 7:
            office.land()
    while len([reply for replies in connection.sent for reply in replies]) < 50:
        office.reactor.turn()
        office.land()
    assert [reply for replies in connection.sent for reply in replies] == [b"%d" % number for number in range(50)]


def test_whoever_holds_is_told_how_many_replies_of_theirs_wait(office: Office, connection: Connection) -> None:
    hold = office.committer.hold
    assert [hold(connection, b"a"), hold(connection, b"b"), hold(Connection(), b"c")] == [1, 2, 1]
    assert connection.outbox is not None
    connection.outbox[connection].append(b"not held itself")
    assert hold(connection, b"d") == 4
    office.reactor.turn()
    assert hold(connection, b"e") == 1
    office.land()
    assert connection.sent == [[b"a", b"b", b"not held itself", b"d"]]


def test_a_reply_that_changed_nothing_after_all_leaves_too(office: Office, connection: Connection) -> None:
    office.committer.hold(connection, b"a")
    office.reactor.turn()
    office.land()
    assert connection.sent == [[b"a"]]


def test_a_connection_that_cannot_be_answered_does_not_keep_others_from_their_replies(
    office: Office, connection: Connection
) -> None:
    class Broken(Connection):
        def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:
            raise ZeroDivisionError

    office.acknowledge(Broken(), b"a")
    office.acknowledge(connection, b"b")
    office.reactor.turn()
    try:
        office.land()
    except ZeroDivisionError:
        pass  # reported by the reactor
    assert connection.sent == [[b"b"]]


# -- what nobody waits for ---------------------------------------------------------------------------------------------


def test_a_change_that_nobody_waits_for_is_not_written_at_once(office: Office) -> None:
    office.change()
    office.reactor.turn()
    assert office.reactor.getDelayedCalls() == []
    assert office.disk.batch


def test_a_change_that_nobody_waits_for_travels_with_the_next_acknowledgement(
    office: Office, connection: Connection
) -> None:
    office.change()
    office.reactor.turn()
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.land()
    assert [len(batch.removed) for batch in office.disk.writes] == [2]


def test_a_change_that_nobody_waits_for_is_written_after_a_while(office: Office) -> None:
    office.change()
    office.committer.commit_lazily()
    office.land()
    assert [len(batch.removed) for batch in office.disk.writes] == [1]


def test_nothing_is_written_lazily_when_nothing_changed_or_the_disk_is_busy(office: Office) -> None:
    office.committer.commit_lazily()
    office.change()
    office.committer.commit_lazily()
    office.change()
    office.committer.commit_lazily()
    office.land()
    assert [len(batch.removed) for batch in office.disk.writes] == [1]
    assert len(office.disk.batch.removed) == 1


def test_what_has_waited_in_the_journal_is_sealed_though_nothing_is_new(office: Office) -> None:
    office.disk.overdue = True
    office.committer.commit_lazily()
    assert office.disk.sealed is not None
    office.disk.overdue = False
    office.land()


def test_a_long_command_has_its_changes_written_soon(office: Office) -> None:
    office.change()
    for _ in range(3):
        office.committer.commit_soon()
    office.reactor.turn()
    office.land()
    assert [len(batch.removed) for batch in office.disk.writes] == [1]


# -- failure -----------------------------------------------------------------------------------------------------------


def test_nothing_of_a_failed_batch_nor_of_a_later_one_leaves(office: Office, connection: Connection) -> None:
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.acknowledge(connection, b"b")
    office.disk.broken = broken_disk()
    office.land()
    for reply in (b"c", b"d"):
        office.acknowledge(connection, reply)
        office.reactor.turn()
    office.committer.commit_soon()
    office.committer.commit_lazily()
    office.reactor.turn()
    assert connection.sent == []
    assert office.failures == [office.disk.broken]
    assert office.disk.writes == []


def test_what_was_written_before_the_failure_has_left(office: Office, connection: Connection) -> None:
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.acknowledge(connection, b"b")
    office.land()
    office.disk.broken = broken_disk()
    office.land()
    assert connection.sent == [[b"a"]]
    assert len(office.failures) == 1


def test_an_unexpected_failure_counts_as_one_of_the_disk(office: Office, connection: Connection) -> None:
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.disk.broken = ZeroDivisionError("oops")
    office.land()
    (failure,) = office.failures
    assert isinstance(failure, StoreError)
    assert "oops" in str(failure)
    assert connection.sent == []


def test_failed_upkeep_is_a_failure(office: Office, connection: Connection) -> None:
    office.disk.wants_upkeep = True
    office.disk.fails["upkeep"] = broken_disk()
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.land()
    office.acknowledge(connection, b"b")
    office.reactor.turn()
    office.reactor.run_report()
    office.reactor.turn()
    assert office.failures == [office.disk.fails["upkeep"]]
    assert connection.sent == [[b"a"]]


def test_a_failure_in_the_reactors_thread_is_one_of_the_disk(office: Office, connection: Connection) -> None:
    office.alone = True
    office.disk.fails["write at once"] = broken_disk()
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.acknowledge(connection, b"b")
    office.reactor.turn()
    assert office.failures == [office.disk.fails["write at once"]]
    assert connection.sent == []
    office.close()
    assert office.ended


def test_a_reply_that_cannot_be_sent_does_not_keep_the_server_from_closing(office: Office) -> None:
    class Broken(Connection):
        def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:
            raise ZeroDivisionError("oops")

    office.acknowledge(Broken(), b"a")
    office.close()
    with pytest.raises(ZeroDivisionError):
        office.land()
    assert office.ended == 1


def test_a_disk_that_fails_while_replies_leave_has_failed(office: Office, connection: Connection) -> None:
    """A job that could not be delivered goes back to its queue, and that may ask the disk."""

    class Broken(Connection):
        def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:
            raise StoreError("cannot read")

    office.acknowledge(Broken(), b"a")
    office.acknowledge(connection, b"b")
    office.reactor.turn()
    office.land()
    assert connection.sent == [[b"b"]]
    assert [str(failure) for failure in office.failures] == ["cannot read"]
    office.acknowledge(connection, b"c")
    office.reactor.turn()
    assert connection.sent == [[b"b"]]


def test_a_lone_client_does_not_keep_the_server_from_closing(office: Office, connection: Connection) -> None:
    office.alone = True
    office.acknowledge(connection, b"a")
    office.close()
    assert connection.sent == [[b"a"]]
    assert office.ended == 1


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_with_nothing_to_write_ends_the_thread(office: Office) -> None:
    office.close()
    assert office.ended == 1
    assert office.disk.events == ["finish"]


def test_closing_writes_what_is_left(office: Office, connection: Connection) -> None:
    office.acknowledge(connection, b"a")
    office.close()
    assert office.ended == 0
    office.land()
    assert connection.sent == [[b"a"]]
    assert office.ended == 1
    assert office.disk.events[-2:] == ["write", "finish"]
    office.reactor.turn()
    assert len(office.disk.writes) == 1


def test_closing_writes_what_nobody_waits_for(office: Office) -> None:
    office.change()
    office.close()
    office.land()
    assert len(office.disk.writes) == 1
    assert office.ended == 1


@pytest.mark.parametrize("upkeep", [False, True])
def test_closing_waits_for_the_batch_being_written_and_the_one_behind_it(
    office: Office, connection: Connection, upkeep: bool
) -> None:
    office.disk.wants_upkeep = upkeep
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.acknowledge(connection, b"b")
    office.close()
    office.disk.let_through(2)
    for _ in range(4 if upkeep else 2):
        assert office.ended == 0
        office.reactor.run_report()
    assert connection.sent == [[b"a"], [b"b"]]
    assert office.ended == 1
    assert office.disk.events[-1] == "finish"


def test_closing_after_a_failure_writes_nothing(office: Office, connection: Connection) -> None:
    office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.disk.broken = broken_disk()
    office.land()
    office.acknowledge(connection, b"b")
    office.close()
    assert office.ended == 1
    assert (office.disk.writes, connection.sent) == ([], [])
    assert len(office.failures) == 1


def test_a_failure_while_closing_is_told_before_the_end(office: Office, connection: Connection) -> None:
    office.acknowledge(connection, b"a")
    office.disk.broken = broken_disk()
    office.close()
    assert office.ended == 0
    office.land()
    assert office.failures == [office.disk.broken]
    assert office.ended == 1
    assert connection.sent == []


def test_a_last_sync_that_fails_is_told_before_the_end() -> None:
    office = Office()
    office.disk.fails["finish"] = broken_disk()
    told: list[int] = []
    office.committer.close(lambda: told.append(len(office.failures)))
    while not told:
        office.reactor.run_report()
    assert told == [1], "the process would end with status 0"


# -- thousands of connections ------------------------------------------------------------------------------------------


def test_replies_leave_some_hundred_connections_at_a_time(office: Office) -> None:
    crowd = [Connection() for _ in range(2 * MOST_SENT + 10)]
    for connection in crowd:
        office.acknowledge(connection, b"a")
    office.reactor.turn()
    office.land()
    assert [sum(bool(one.sent) for one in crowd)] == [MOST_SENT]
    office.reactor.turn()
    assert sum(bool(one.sent) for one in crowd) == 2 * MOST_SENT
    office.reactor.turn()
    assert all(one.sent == [[b"a"]] for one in crowd)


def test_the_replies_of_the_next_batch_wait_for_those_that_have_not_left(office: Office) -> None:
    crowd = [Connection() for _ in range(MOST_SENT + 1)]
    for reply in (b"a", b"b"):
        for connection in reversed(crowd) if reply == b"b" else crowd:
            office.acknowledge(connection, reply)
        if reply == b"a":
            office.reactor.turn()
    office.land()
    assert crowd[-1].sent == []
    office.land()
    assert crowd[-1].sent == []
    for _ in range(4):
        office.reactor.turn()
    assert all(one.sent == [[b"a"], [b"b"]] for one in crowd)


def test_closing_sends_what_has_not_left(office: Office) -> None:
    crowd = [Connection() for _ in range(3 * MOST_SENT)]
    for connection in crowd:
        office.acknowledge(connection, b"a")
    office.reactor.turn()
    closed: list[bool] = []
    office.committer.close(lambda: closed.append(all(one.sent == [[b"a"]] for one in crowd)))
    office.land()
    assert closed == [True]


def test_replies_that_leave_last_and_cannot_be_sent_do_not_keep_the_server_from_closing(office: Office) -> None:
    class Broken(Connection):
        def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:
            raise ZeroDivisionError("oops")

    for connection in (*(Connection() for _ in range(MOST_SENT)), Broken()):
        office.acknowledge(connection, b"a")
    office.close()
    with pytest.raises(ZeroDivisionError):
        office.land()
    assert office.ended == 1


def test_a_job_that_nobody_took_when_the_last_replies_left_is_written_as_queued(office: Office) -> None:
    class Gone(Connection):
        def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:
            office.change()

    for connection in (*(Connection() for _ in range(MOST_SENT)), Gone()):
        office.acknowledge(connection, b"a")
    office.close()
    office.land()
    assert office.ended == 0
    office.land()
    assert office.ended == 1
    assert [len(batch.removed) for batch in office.disk.writes] == [MOST_SENT + 1, 1]
