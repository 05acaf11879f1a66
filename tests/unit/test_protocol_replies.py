"""Replies out: their order, the disk they wait for, and the clients that are gone before they come."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from tests.unit.house import Client, House, broken_disk, jid, job, named

OK = b"+OK\r\n"
NOTHING = b"$-1\r\n"
LATENCY_A = b'$7\r\n{"a":0}\r\n'
LATENCY_B = b'$7\r\n{"b":0}\r\n'


def jids(heard: bytes) -> list[str]:
    """Return the jids of the jobs in what a client heard, in order."""
    return re.findall(r'"jid":"([^"]*)"', heard.decode())


def push(house: House, *numbers: int) -> None:
    """Push jobs on a connection of their own, and see them to the disk."""
    client = house.connect()
    client.say(*(b"PUSH " + job(number) for number in numbers))
    house.commit()
    client.hang_up()


# -- the disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"PUSH " + job(9),
        b"PUSHB [" + job(9) + b"]",
        b"ACK " + named(1),
        b"FAIL " + named(1),
        b'MUTATE {"cmd":"clear","target":"dead"}',
        b"QUEUE PAUSE default",
        b"QUEUE RESUME default",
        b"QUEUE REMOVE default",
        b"FLUSH",
    ],
)
def test_what_changes_something_is_acknowledged_only_when_it_is_on_disk(house: House, line: bytes) -> None:
    push(house, 1)
    client = house.connect()
    assert jids(client.ask(b"FETCH default")) == [jid(1)]
    assert client.ask(line) == b""
    assert house.begin_commit()
    assert client.heard() == b""
    house.land()
    assert client.heard() in (OK, b"$2\r\n{}\r\n")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"QUEUE LATENCY a", LATENCY_A),
        (b'BEAT {"wid":"worker-1"}', OK),
        (b"QUEUE PAUSE", b"-ERR QUEUE PAUSE needs the names of queues, or *\r\n"),
        (b"NONSENSE", b"-ERR Unknown command NONSENSE\r\n"),
    ],
)
def test_what_changes_nothing_is_answered_at_once(house: House, line: bytes, reply: bytes) -> None:
    client = house.connect(hello=b'HELLO {"v":2,"wid":"worker-1"}')
    assert client.ask(line) == reply


def test_a_fetch_does_not_wait_for_the_disk(house: House) -> None:
    push(house, 1)
    client = house.connect()
    assert jids(client.ask(b"FETCH default")) == [jid(1)]


def test_replies_keep_the_order_of_the_commands_and_leave_in_one_write(house: House) -> None:
    client = house.connect()
    client.say(
        b"PUSH " + job(1), b"QUEUE LATENCY a", b"FETCH default", b"NONSENSE", b"ACK " + named(1), b"QUEUE LATENCY b"
    )
    assert client.heard_writes() == []
    assert house.begin_commit()
    assert client.heard_writes() == []
    house.land()
    (written,) = client.heard_writes()
    before, fetched, after = re.split(rb"(\$\d+\r\n\{\"enqueued_at\".*\r\n)", written)
    assert before == OK + LATENCY_A
    assert jids(fetched) == [jid(1)]
    assert after == b"-ERR Unknown command NONSENSE\r\n" + OK + LATENCY_B


def test_a_reply_with_nothing_held_before_it_leaves_before_the_held_one_behind_it(house: House) -> None:
    client = house.connect()
    client.say(b"QUEUE LATENCY a", b"PUSH " + job(1), b"QUEUE LATENCY b")
    assert client.heard_writes() == [LATENCY_A]
    house.commit()
    assert client.heard_writes() == [OK + LATENCY_B]


def test_a_later_reply_waits_behind_a_held_one_of_an_earlier_read(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1))
    client.say(b"QUEUE LATENCY a")
    assert house.begin_commit()
    client.say(b"QUEUE LATENCY b")
    assert client.heard() == b""
    house.land()
    assert client.heard_writes() == [OK + LATENCY_A + LATENCY_B]


def test_a_change_made_while_a_batch_is_written_waits_for_the_next_one(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1))
    assert house.begin_commit()
    client.say(b"QUEUE LATENCY a", b"PUSH " + job(2), b"QUEUE LATENCY b")
    house.land()
    assert client.heard_writes() == [OK + LATENCY_A]
    client.say(b"QUEUE LATENCY a")
    assert client.heard() == b""
    house.commit()
    assert client.heard_writes() == [OK + LATENCY_B + LATENCY_A]
    assert client.ask(b"QUEUE LATENCY a") == LATENCY_A


def test_a_batch_answers_each_connection_with_one_write(house: House) -> None:
    clients = [house.connect() for _ in range(3)]
    for round_ in range(4):
        for number, client in enumerate(clients):
            client.say(b"PUSH " + job(10 * round_ + number))
    house.commit()
    assert [client.heard_writes() for client in clients] == [[OK * 4]] * 3
    assert len(house.store.writes) == 1


def test_a_connection_does_not_wait_for_the_changes_of_another(house: House) -> None:
    producer, other = house.connect(), house.connect()
    producer.say(b"PUSH " + job(1))
    assert other.ask(b"QUEUE LATENCY a") == LATENCY_A
    assert jids(other.ask(b"FETCH default")) == [jid(1)]
    assert producer.heard() == b""
    house.commit()


def test_nothing_of_a_batch_that_cannot_be_written_leaves(house: House) -> None:
    client, other = house.connect(), house.connect()
    client.say(b"PUSH " + job(1), b"QUEUE LATENCY a")
    assert house.begin_commit()
    other.say(b"PUSH " + job(2))
    house.store.broken = broken_disk()
    house.land()
    house.commit()
    client.say(b"QUEUE LATENCY a")
    assert client.heard() == other.heard() == b""
    assert house.failures == [house.store.broken]
    house.factory.abort_connections()
    assert client.wire.aborted
    assert other.wire.aborted


def test_connections_that_are_closed_get_what_was_written_before(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1), b"END")
    assert client.heard() == b""
    assert not client.wire.closed
    house.commit()
    assert client.heard() == OK
    assert client.wire.closed


# -- commands that take their time -------------------------------------------------------------------------------------


def test_a_fetch_of_nothing_is_answered_after_two_seconds(house: House) -> None:
    client = house.connect()
    client.say(b"FETCH default")
    house.pass_time(1.9)
    assert client.heard() == b""
    house.pass_time(0.15)
    assert client.heard() == NOTHING


def test_a_waiting_fetch_is_answered_in_the_turn_of_the_push(house: House) -> None:
    worker, producer = house.connect(), house.connect()
    worker.say(b"FETCH other default")
    assert producer.ask(b"PUSH " + job(1)) == b""
    assert jids(worker.heard()) == [jid(1)]
    house.commit()
    house.pass_time(3.0)
    assert worker.heard() == b""


def test_the_lines_behind_a_waiting_fetch_wait_with_it(house: House) -> None:
    worker, producer = house.connect(), house.connect()
    worker.say(b"FETCH default", b"ACK " + named(1), b"QUEUE LATENCY a")
    worker.say(b"QUEUE LATENCY b")
    house.reactor.turn()
    assert worker.heard() == b""
    producer.say(b"PUSH " + job(1))
    house.commit()
    heard = worker.heard()
    assert jids(heard) == [jid(1)]
    assert heard.endswith(OK + LATENCY_A + LATENCY_B)
    assert house.manager.set_sizes()["working"] == 0


def test_lines_that_arrive_when_the_wait_is_over_do_not_overtake_those_that_waited(house: House) -> None:
    worker, producer = house.connect(), house.connect()
    worker.say(b"FETCH default", b"QUEUE LATENCY a")
    producer.say(b"PUSH " + job(1))
    worker.say(b"QUEUE LATENCY b")
    house.commit()
    assert worker.heard().endswith(LATENCY_A + LATENCY_B)


def test_two_fetches_in_one_piece_wait_one_after_the_other(house: House) -> None:
    client = house.connect()
    client.say(b"FETCH default", b"FETCH default", b"QUEUE LATENCY a")
    house.pass_time(2.1)
    assert client.heard() == NOTHING
    house.pass_time(1.8)
    assert client.heard() == b""
    house.pass_time(0.3)
    assert client.heard() == NOTHING + LATENCY_A


def test_a_held_reply_leaves_while_the_fetch_behind_it_waits(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1, queue='"other"'), b"FETCH default")
    house.commit()
    assert client.heard() == OK
    house.pass_time(2.1)
    assert client.heard() == NOTHING


def test_the_end_of_a_waiting_fetch_waits_behind_a_held_reply(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1, queue='"other"'), b"FETCH default")
    assert house.begin_commit()
    house.pass_time(2.1)
    assert client.heard() == b""
    house.land()
    assert client.heard_writes() == [OK + NOTHING]


def test_lines_behind_a_long_command_wait_for_its_last_slice(house: House) -> None:
    client, other = house.connect(), house.connect()
    jobs = b",".join(job(number) for number in range(3000))
    client.say(b"PUSHB [" + jobs + b"]", b"QUEUE LATENCY a")
    house.reactor.turn()
    assert other.ask(b"QUEUE LATENCY b") == LATENCY_B
    assert house.queue_length() < 3000
    client.say(b"QUEUE LATENCY b")
    house.commit()
    assert client.heard() == b"$2\r\n{}\r\n" + LATENCY_A + LATENCY_B
    assert house.queue_length() == 3000


@pytest.mark.parametrize("end", [b"END", b"END at last"])
def test_end_closes_a_connection_whose_fetch_waits(house: House, end: bytes) -> None:
    together, apart = house.connect(), house.connect()
    together.say(b"FETCH default", end, b"PUSH " + job(1))
    apart.say(b"FETCH default")
    apart.say(end)
    for client in (together, apart):
        assert client.wire.closed
        client.hang_up()
        assert client.heard() == b""
    push(house, 2)
    assert house.queue_length() == 1


def test_end_in_two_pieces_and_with_a_line_feed_only_closes_a_connection_whose_fetch_waits(house: House) -> None:
    client = house.connect()
    client.say(b"FETCH default")
    client.feed(b"EN")
    assert not client.wire.closed
    client.feed(b"D\n")
    assert client.wire.closed


def test_a_word_that_begins_like_end_does_not_end_a_waiting_fetch(house: House) -> None:
    client = house.connect()
    client.say(b"FETCH default", b"ENDLESS")
    assert not client.wire.closed
    house.pass_time(2.1)
    assert client.heard() == NOTHING + b"-ERR Unknown command ENDLESS\r\n"


def test_nothing_behind_end_is_executed(house: House) -> None:
    client = house.connect()
    client.say(b"END", b"PUSH " + job(1))
    house.commit()
    assert client.heard() == b""
    assert client.wire.closed
    assert house.queue_length() == 0


# -- clients that are gone ---------------------------------------------------------------------------------------------


def test_a_client_that_leaves_while_its_fetch_waits_gets_no_job(house: House) -> None:
    client = house.connect()
    client.say(b"FETCH default")
    client.hang_up()
    push(house, 1)
    assert client.heard() == b""
    assert house.queue_length() == 1
    assert house.manager.set_sizes()["working"] == 0


def test_a_client_that_said_end_while_its_fetch_waits_gets_no_job(house: House) -> None:
    client = house.connect()
    client.say(b"FETCH default")
    client.say(b"END")
    push(house, 1)
    assert client.heard() == b""
    assert house.queue_length() == 1
    client.hang_up()


def test_a_job_that_a_leaving_client_did_not_take_goes_whole_to_the_next_that_waits(house: House) -> None:
    leaving, next_ = house.connect(), house.connect()
    leaving.say(b"FETCH default")
    next_.say(b"FETCH default")
    leaving.say(b"END")
    push(house, 1)
    assert b'"args":[1]' in next_.heard()


def test_a_job_that_a_leaving_client_did_not_take_waits_whole_for_the_next_fetch(house: House) -> None:
    leaving = house.connect()
    leaving.say(b"FETCH default")
    leaving.say(b"END")
    push(house, 1)
    assert b'"args":[1]' in house.connect().ask(b"FETCH default")


def behind_a_held_reply(house: House, fetches: int) -> Client:
    """Return a client that has fetched jobs whose replies wait behind a PUSH."""
    client = house.connect()
    client.say(b"PUSH " + job(99, queue='"other"'), *[b"FETCH default"] * fetches)
    assert client.heard() == b""
    return client


def test_a_job_in_a_reply_that_was_held_and_never_sent_goes_back_to_the_head(house: House) -> None:
    push(house, 1, 2, 3)
    behind_a_held_reply(house, 1).hang_up()
    assert house.manager.set_sizes()["working"] == 0
    other = house.connect()
    assert jids(other.ask(b"FETCH default") + other.ask(b"FETCH default")) == [jid(1), jid(2)]


def test_jobs_that_go_back_keep_their_order(house: House) -> None:
    push(house, 1, 2, 3, 4)
    client = behind_a_held_reply(house, 3)
    assert house.begin_commit()
    client.hang_up()
    house.commit()
    other = house.connect()
    heard = b"".join(other.ask(b"FETCH default") for _ in range(4))
    assert jids(heard) == [jid(1), jid(2), jid(3), jid(4)]


def test_a_job_that_goes_back_is_given_to_who_waits_for_it(house: House) -> None:
    push(house, 1)
    client = behind_a_held_reply(house, 1)
    other = house.connect()
    other.say(b"FETCH default")
    assert other.heard() == b""
    client.hang_up()
    assert b'"args":[1]' in other.heard()


def test_a_job_that_was_sent_does_not_go_back(house: House) -> None:
    push(house, 1, 2)
    client = behind_a_held_reply(house, 1)
    house.commit()
    assert jids(client.heard()) == [jid(1)]
    client.say(b"FETCH default")
    assert jids(client.heard()) == [jid(2)]
    client.hang_up()
    assert house.queue_length() == 0
    assert house.manager.set_sizes()["working"] == 2


def test_what_a_client_that_is_gone_had_changed_stays(house: House) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(1))
    client.hang_up()
    house.commit()
    assert client.heard() == b""
    assert house.queue_length() == 1
    assert house.server.connections == 0


def test_a_client_that_is_gone_is_not_answered_by_a_long_command(house: House) -> None:
    client = house.connect()
    client.say(b"PUSHB [" + b",".join(job(number) for number in range(2000)) + b"]", b"FLUSH")
    client.hang_up()
    house.commit()
    assert client.heard() == b""
    assert house.queue_length() == 2000
    assert house.failures == []


# -- mistakes of our own -----------------------------------------------------------------------------------------------


def test_an_internal_failure_is_answered_and_the_connection_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(names: Sequence[str]) -> dict[str, float]:
        raise ZeroDivisionError("no secrets")

    client = house.connect()
    monkeypatch.setattr(house.manager, "latencies", fail)
    client.say(b"PUSH " + job(1), b"QUEUE LATENCY a", b"FETCH default")
    house.commit()
    heard = client.heard()
    assert heard.startswith(OK + b"-ERR internal error\r\n$")
    assert jids(heard) == [jid(1)]
    assert [type(failure) for failure in house.failures] == [ZeroDivisionError]
    assert not client.wire.closed


def test_an_internal_failure_of_hello_leaves_no_connection_counted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(house.manager, "connect_worker", fail)
    client = house.connect(hello=None)
    client.say(b'HELLO {"v":2,"wid":"worker-1"}')
    assert client.heard() == b"-ERR internal error\r\n"
    client.hang_up()
    assert house.server.connections == 0
