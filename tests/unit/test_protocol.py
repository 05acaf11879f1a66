"""Lines in: framing, the handshake, limits, and what one connection may not do to another."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faktory_tw.challenge import password_hash
from faktory_tw.protocol import HANDSHAKE_SECONDS
from faktory_tw.session import MOST_BEFORE_HELLO_BYTES
from tests.unit.house import HELLO, Client, House, jid, job, named

SAID = b"".join(
    [
        HELLO + b"\r\n",
        b"PUSH " + job(1) + b"\n",
        b"\r\n",
        b"FETCH other default\r\n",
        b"ACK " + named(1) + b"\n",
        b"\n",
        b"QUEUE LATENCY default\r\n",
        b'BEAT {"wid":"nobody"}\r\n',
        b"nonsense with words\r\r\n",
    ]
)
HEARD = re.compile(
    rb"\+OK\r\n"
    rb"\+OK\r\n"
    rb"-ERR Unknown command \r\n"
    rb'\$\d+\r\n\{"enqueued_at":[^\r]*"args":\[1\]\}\r\n'
    rb"\+OK\r\n"
    rb"-ERR Unknown command \r\n"
    rb'\$13\r\n\{"default":0\}\r\n'
    rb"-ERR Unknown worker nobody\r\n"
    rb"-ERR Unknown command nonsense\r\n"
)


@pytest.fixture
def locked_house() -> Iterator[House]:
    """A server with a password."""
    house = House(password="foobar")
    yield house
    house.close()


@pytest.fixture
def narrow_house() -> Iterator[House]:
    """A server that takes lines of 100 000 bytes at most."""
    house = House(max_line_bytes=100_000)
    yield house
    house.close()


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def hear(house: House, pieces: list[bytes]) -> bytes:
    """Say something cut into pieces on a new connection; return all that it is answered."""
    client = house.connect(hello=None)
    for piece in pieces:
        client.feed(piece)
    house.commit()
    return client.heard()


# -- lines -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [len(SAID), 1, 2, 3, 7, 64])
def test_a_conversation_is_answered_alike_however_it_is_cut(house: House, size: int) -> None:
    assert HEARD.fullmatch(hear(house, in_pieces(SAID, size)))


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(1, len(SAID) - 1)))
def test_a_conversation_may_be_cut_anywhere(cuts: set[int]) -> None:
    house = House()
    ends = [*sorted(cuts), len(SAID)]
    pieces = [SAID[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    try:
        assert HEARD.fullmatch(hear(house, pieces))
    finally:
        house.close()


def test_what_follows_the_last_line_end_waits_for_the_rest_of_its_line(house: House) -> None:
    client = house.connect()
    client.feed(b"QUEUE LATENCY a\r\nQUEUE LAT")
    assert client.heard() == b'$7\r\n{"a":0}\r\n'
    client.feed(b"ENCY b")
    assert client.heard() == b""
    client.feed(b"\r\nQ")
    assert client.heard() == b'$7\r\n{"b":0}\r\n'


def test_a_line_end_may_be_cut_in_two(house: House) -> None:
    client = house.connect()
    client.feed(b"QUEUE LATENCY a\r")
    assert client.heard() == b""
    client.feed(b"\n")
    assert client.heard() == b'$7\r\n{"a":0}\r\n'


def test_only_one_carriage_return_belongs_to_the_line_end(house: House) -> None:
    client = house.connect()
    assert client.ask(b"QUEUE LATENCY a\r") == b'$9\r\n{"a\\r":0}\r\n'


def test_a_carriage_return_inside_a_line_ends_nothing(house: House) -> None:
    client = house.connect()
    assert client.ask(b"PING\rINFO") == b"-ERR Unknown command PING INFO\r\n"


def test_an_empty_line_is_answered(house: House) -> None:
    client = house.connect()
    client.feed(b"\n\r\n")
    assert client.heard() == b"-ERR Unknown command \r\n" * 2


@pytest.mark.parametrize("piece", [65_536, 10_000, 4_100_000])
def test_a_line_of_several_megabytes_arrives_whole(house: House, piece: int) -> None:
    client = house.connect()
    long = b'"' + b"0123456789abcdef" * 262_144 + b'"'
    said = b'PUSH {"jid":"long-long","jobtype":"work","args":[%b]}\r\n' % long
    for _ in range(2):
        for part in in_pieces(said, piece):
            client.feed(part)
    house.commit()
    assert client.heard() == b"+OK\r\n" * 2
    assert long in client.ask(b"FETCH default")
    assert long in client.ask(b"FETCH default")


def test_the_rest_of_a_line_does_not_wait_behind_the_start_of_the_next(house: House) -> None:
    client = house.connect()
    client.feed(b"QUEUE LATENCY " + b"a" * 70_000)
    client.feed(b"b\r\nQUEUE LATENCY " + b"c" * 70_000)
    assert client.heard() == b'$70007\r\n{"%bb":0}\r\n' % (b"a" * 70_000)
    client.feed(b"\r\n")
    assert client.heard() == b'$70006\r\n{"%b":0}\r\n' % (b"c" * 70_000)


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_line_beyond_the_limit_is_refused_and_ends_the_connection(narrow_house: House) -> None:
    client = narrow_house.connect()
    client.feed(b"PUSH " + b"x" * 60_000)
    assert client.heard() == b""
    client.feed(b"x" * 40_000)
    assert client.heard() == b"-ERR line longer than 100000 bytes, see max_line_bytes\r\n"
    assert client.wire.closed


def test_after_a_line_beyond_the_limit_nothing_is_executed(narrow_house: House) -> None:
    client = narrow_house.connect()
    client.feed(b"x" * 100_001)
    client.heard()
    client.protocol.dataReceived(b"x\r\nPUSH " + job(1) + b"\r\n")
    narrow_house.commit()
    assert client.heard() == b""
    assert narrow_house.queue_length() == 0


def test_a_line_of_just_the_limit_is_executed(narrow_house: House) -> None:
    client = narrow_house.connect()
    name = b"x" * (100_000 - len(b"QUEUE LATENCY "))
    for part in in_pieces(b"QUEUE LATENCY " + name, 30_000):
        client.feed(part)
    client.feed(b"\n")
    assert name in client.heard()
    assert not client.wire.closed


def test_nothing_is_kept_of_what_follows_a_long_line(narrow_house: House) -> None:
    client = narrow_house.connect()
    client.say(b"FETCH default")
    for _ in range(30):
        client.feed(b"x" * 50_000)
    assert sum(len(part) for part in client.protocol._parts) == 0
    narrow_house.pass_time(2.1)
    assert client.wire.closed


def test_the_limit_counts_a_line_and_not_a_connection(narrow_house: House) -> None:
    client = narrow_house.connect()
    for _ in range(30):
        client.feed(b"x" * 30_000)
        client.feed(b"\r\n")
    assert client.heard().count(b"-ERR Unknown command xxx") == 30
    assert not client.wire.closed


def test_replies_that_wait_for_the_disk_leave_before_the_refusal_of_a_long_line(narrow_house: House) -> None:
    client = narrow_house.connect()
    client.say(b"PUSH " + job(1))
    client.feed(b"x" * 100_001)
    assert client.heard() == b""
    assert not client.wire.closed
    narrow_house.commit()
    assert client.heard() == b"+OK\r\n-ERR line longer than 100000 bytes, see max_line_bytes\r\n"
    assert client.wire.closed


def test_a_long_line_behind_a_waiting_fetch_is_not_answered_in_its_place(narrow_house: House) -> None:
    client = narrow_house.connect()
    client.say(b"FETCH default")
    client.feed(b"x" * 100_001)
    narrow_house.pass_time(2.1)
    assert client.heard() == b"$-1\r\n-ERR line longer than 100000 bytes, see max_line_bytes\r\n"
    assert client.wire.closed


def test_a_long_line_behind_a_long_command_is_not_answered_in_its_place(narrow_house: House) -> None:
    client = narrow_house.connect()
    client.say(b"PUSHB [" + b",".join(job(number) for number in range(1100)) + b"]")
    client.feed(b"x" * 100_001)
    narrow_house.commit()
    assert client.heard() == b"$2\r\n{}\r\n-ERR line longer than 100000 bytes, see max_line_bytes\r\n"
    assert client.wire.closed


def test_a_long_line_does_not_overtake_the_lines_before_it(narrow_house: House) -> None:
    client = narrow_house.connect()
    client.stop_reading()
    client.say(b"QUEUE LATENCY a")
    client.feed(b"x" * 100_001)
    client.read_again()
    narrow_house.reactor.turn()
    assert client.heard() == b'$7\r\n{"a":0}\r\n-ERR line longer than 100000 bytes, see max_line_bytes\r\n'


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_a_first_line_beyond_64_kib_is_closed_without_a_word(house: House, end: bytes) -> None:
    client = house.connect(hello=None)
    for part in in_pieces(b'HELLO {"wid":"' + b"x" * MOST_BEFORE_HELLO_BYTES + b'"}' + end, 8192):
        client.feed(part)
    assert client.heard() == b""
    assert client.wire.closed


@pytest.mark.parametrize("rest", [b"PUSH " + job(1), b"FLUSH", b"END", b"P", b"PUSH " + job(1) + b"\r"])
def test_a_last_line_without_its_end_is_dropped(house: House, rest: bytes) -> None:
    client = house.connect()
    client.say(b"PUSH " + job(2))
    house.commit()
    assert client.heard() == b"+OK\r\n"
    client.feed(rest)
    client.hang_up()
    house.commit()
    assert client.heard() == b""
    assert house.queue_length() == 1
    assert house.failures == []


# -- handshake ---------------------------------------------------------------------------------------------------------


def test_the_greeting_of_a_server_without_a_password_has_neither_salt_nor_space(house: House) -> None:
    assert house.connect(hello=None).greeting == b'+HI {"v":2}\r\n'


def test_the_greeting_of_a_server_with_a_password_has_a_new_salt_each_second(locked_house: House) -> None:
    greetings = set()
    for _ in range(8):
        greetings |= {locked_house.connect(hello=None).greeting for _ in range(3)}
        locked_house.reactor.advance(1)
    assert len(greetings) == 8
    for greeting in greetings:
        found = re.fullmatch(rb'\+HI \{"v":2,"i":(\d{4}),"s":"([0-9a-f]{1,16})"\}\r\n', greeting)
        assert found
        assert 4000 <= int(found[1]) <= 8095


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"INFO",
        b"PUSH " + job(1),
        b"END",
        b"HELLO",
        b"HELLO ",
        b"HELLO []",
        b"HELLO null",
        b"HELLO  {}",
        b"HELLO\t{}",
        b" HELLO {}",
        b"hello {}",
        b"HELLO {",
        b"HELLO {} {}",
        b'HELLO {"wid":7}',
        b'HELLO {"pid":"7"}',
        b'HELLO {"labels":"a"}',
        b'HELLO {"v":256}',
        b'HELLO {"v":-1}',
        b'HELLO {"v":2.5}',
        b'HELLO {"wid":"\xff"}',
        b"HELLO {" + b"[" * 5000,
        b"GET / HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_a_first_line_that_is_no_hello_is_closed_without_a_word(house: House, line: bytes) -> None:
    client = house.connect(hello=None)
    assert client.ask(line) == b""
    assert client.wire.closed
    assert house.server.command_count == 0
    client.hang_up()
    assert house.server.connections == 0
    assert house.failures == []


@pytest.mark.parametrize(
    "line",
    [
        b"HELLO {}",
        b'HELLO {"v":2,"wid":null,"pwdhash":null,"username":"","labels":null,"pid":null}',
        b'HELLO {"V":2,"Wid":"123","hostname":"here","Pid":1,"labels":["a"],"later":{"a":[1]}}',
        b'HELLO {"wid":"2"}',
    ],
)
def test_what_clients_say_first_is_accepted(house: House, line: bytes) -> None:
    client = house.connect(hello=None)
    assert client.ask(line) == b"+OK\r\n"
    assert not client.wire.closed


def test_a_client_that_says_nothing_is_closed_after_two_seconds(house: House) -> None:
    client = house.connect(hello=None)
    house.reactor.advance(HANDSHAKE_SECONDS - 0.01)
    assert not client.wire.closed
    house.reactor.advance(0.01)
    assert client.wire.closed
    assert client.heard() == b""


def test_bytes_that_trickle_in_do_not_put_the_deadline_off(house: House) -> None:
    client = house.connect(hello=None)
    for byte in HELLO:
        house.reactor.advance(HANDSHAKE_SECONDS / len(HELLO))
        client.feed(bytes([byte]))
    house.reactor.advance(0.01)
    assert client.wire.closed


def test_after_hello_a_connection_may_be_silent_for_ever(house: House) -> None:
    client = house.connect()
    assert house.reactor.getDelayedCalls() == []
    house.reactor.advance(86_400)
    assert not client.wire.closed


def test_a_connection_lost_during_the_handshake_leaves_no_timer(house: House) -> None:
    house.connect(hello=None).hang_up()
    rude = house.connect(hello=None)
    rude.ask(b"INFO")
    rude.hang_up()
    assert house.reactor.getDelayedCalls() == []
    assert house.server.connections == 0


def test_a_wrong_password_is_named_and_ends_the_connection(locked_house: House) -> None:
    for hello in (HELLO, b'HELLO {"v":2,"pwdhash":"%b"}' % (b"0" * 64), b'HELLO {"v":2,"pwdhash":"\xc3\xa9"}'):
        client = locked_house.connect(hello=None)
        client.say(hello, b"PUSH " + job(1), b"INFO")
        locked_house.commit()
        assert client.heard() == b"-ERR Invalid password\r\n"
        assert client.wire.closed
    assert locked_house.queue_length() == 0
    assert locked_house.server.command_count == 0


@pytest.mark.parametrize("version", [b"2", b"3"])
def test_the_right_password_opens_the_door(locked_house: House, version: bytes) -> None:
    client = locked_house.connect(hello=None)
    found = re.fullmatch(rb'\+HI \{"v":2,"i":(\d+),"s":"(.*)"\}\r\n', client.greeting)
    assert found
    answer = password_hash("foobar", found[2].decode(), int(found[1])).encode()
    assert client.ask(b'HELLO {"v":%b,"pwdhash":"%b"}' % (version, answer)) == b"+OK\r\n"


def test_anything_but_hello_is_closed_without_a_word_where_there_is_a_password(locked_house: House) -> None:
    client = locked_house.connect(hello=None)
    assert client.ask(b"INFO") == b""
    assert client.wire.closed


def test_a_second_hello_is_an_unknown_command(house: House) -> None:
    client = house.connect()
    assert client.ask(HELLO) == b"-ERR Unknown command HELLO\r\n"
    assert client.ask(b"QUEUE LATENCY a") == b'$7\r\n{"a":0}\r\n'


def test_commands_may_follow_hello_in_one_piece(house: House) -> None:
    client = house.connect(hello=None)
    client.say(HELLO, b"PUSH " + job(1), b"QUEUE LATENCY a")
    house.commit()
    assert client.heard() == b'+OK\r\n+OK\r\n$7\r\n{"a":0}\r\n'


# -- connections -------------------------------------------------------------------------------------------------------


@pytest.fixture
def full_house() -> Iterator[tuple[House, list[Client]]]:
    """A server that takes two connections, and has them."""
    house = House(max_connections=2)
    yield house, [house.connect(), house.connect(hello=None)]
    house.close()


def test_one_connection_too_many_is_refused_before_the_greeting(full_house: tuple[House, list[Client]]) -> None:
    house, _ = full_house
    refused = house.connect(hello=None)
    assert refused.greeting == b"-ERR too many connections: 2\r\n"
    assert refused.wire.closed
    refused.protocol.dataReceived(HELLO + b"\r\nFLUSH\r\n")
    assert refused.heard() == b""


def test_a_refused_connection_takes_no_place(full_house: tuple[House, list[Client]]) -> None:
    house, clients = full_house
    refused = house.connect(hello=None)
    refused.hang_up()
    assert house.connect(hello=None).greeting.startswith(b"-ERR")
    clients[0].hang_up()
    assert house.connect().greeting == b'+HI {"v":2}\r\n'


def test_garbage_on_one_connection_does_not_disturb_another(house: House) -> None:
    dice = random.Random(7419)
    polite = house.connect()
    for number in range(200):
        rude = house.connect()
        rude.feed(dice.randbytes(dice.randrange(400)))
        verb = dice.choice(
            [b"PUSH", b"PUSHB", b"ACK", b"FAIL", b"BEAT", b"MUTATE", b"QUEUE", b"QUEUE LATENCY", b"FETCH"]
        )
        rude.feed(b"\n" + verb + b" " + dice.randbytes(dice.randrange(60)) + b"\n")
        polite.say(b"PUSH " + job(number), b"FETCH default", b"ACK " + named(number))
        if number % 2:
            rude.hang_up()
        house.commit()
        acknowledged, _, job_and_rest = polite.heard().partition(b"\r\n$")
        assert acknowledged == b"+OK"
        assert jid(number).encode() in job_and_rest
        assert job_and_rest.endswith(b"\r\n+OK\r\n")
    assert house.failures == []
    assert house.queue_length() == 0
