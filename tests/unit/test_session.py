"""What is answered to whom: every command, whole and malformed, word for word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faktory_tw import __version__
from faktory_tw.challenge import Challenge, password_hash
from faktory_tw.core.manager import Limits
from faktory_tw.session import COMMANDS
from faktory_tw.wire import Held
from tests.unit.house import House, Talk, jid, job, named

OK = b"+OK\r\n"
WORKER = b'HELLO {"v":2,"wid":"worker-1","hostname":"here","pid":7,"labels":["a"]}'


def bulk(text: bytes | None) -> Any:
    """Return the JSON of a bulk reply, whose length must be right."""
    assert text is not None
    head, body = text.removesuffix(b"\r\n").split(b"\r\n")
    assert head == b"$%d" % len(body)
    return json.loads(body)


def info(house: House) -> Any:
    return bulk(house.talk().say(b"INFO"))


@pytest.fixture
def talk(house: House) -> Talk:
    """A conversation with a server, after HELLO."""
    return house.talk()


# -- every verb --------------------------------------------------------------------------------------------------------

NEEDS = {
    b"PUSH": 'a job: PUSH {"jid":"…","jobtype":"…","args":[…]}',
    b"PUSHB": "an array of jobs: PUSHB [{…},{…}]",
    b"ACK": 'a jid: ACK {"jid":"…"}',
    b"FAIL": 'a jid: FAIL {"jid":"…","errtype":"…","message":"…"}',
    b"BEAT": 'a worker: BEAT {"wid":"…"}',
    b"MUTATE": 'an operation: MUTATE {"cmd":"…","target":"…"}',
    b"QUEUE": "a subcommand: QUEUE PAUSE, RESUME, REMOVE or LATENCY, and names of queues",
    b"TRACK": 'a subcommand: TRACK SET {"jid":"…","percent":50} or TRACK GET jid',
    b"BATCH": "a subcommand: BATCH NEW {…}, or OPEN, COMMIT or STATUS and a bid",
    b"ADMIN": 'a subcommand: ADMIN LIST {"place":"retries"}',
}


@pytest.mark.parametrize("verb", NEEDS)
def test_a_bare_verb_is_told_what_it_needs(talk: Talk, verb: bytes) -> None:
    assert talk.say(verb) == f"-ERR {verb.decode()} needs {NEEDS[verb]}\r\n".encode()


def test_every_verb_works_bare_or_says_what_it_needs() -> None:
    assert COMMANDS.keys() - NEEDS.keys() == {b"FETCH", b"INFO", b"FLUSH", b"END"}


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"", b"-ERR Unknown command \r\n"),
        (b"push " + job(1), b"-ERR Unknown command push\r\n"),
        (b" INFO", b"-ERR Unknown command \r\n"),
        (b"INFO\t", b"-ERR Unknown command INFO\t\r\n"),
        (b"HELLO {}", b"-ERR Unknown command HELLO\r\n"),
        (b"\xff\xfe x", "-ERR Unknown command \ufffd\ufffd\r\n".encode()),
        (b"x" * 5000, b"-ERR Unknown command " + b"x" * 1000 + b"\r\n"),
        (b"ACK nonsense", b"-ERR invalid ACK nonsense\r\n"),
        (b"ACK ", b"-ERR invalid ACK \r\n"),
        (b"ACK {}", b"-ERR invalid ACK {}\r\n"),
        (b"ACK []", b"-ERR invalid ACK []\r\n"),
        (b"ACK null", b"-ERR invalid ACK null\r\n"),
        (b'ACK {"jid":1}', b'-ERR invalid ACK {"jid":1}\r\n'),
        (b'ACK {"jid":"a","n":1}', b'-ERR invalid ACK {"jid":"a","n":1}\r\n'),
        (b'ACK {"jid":"\xff"}', '-ERR invalid ACK {"jid":"\ufffd"}\r\n'.encode()),
        (b"ACK " + b"x" * 5000, b"-ERR invalid ACK " + b"x" * 1000 + b"\r\n"),
        (b"FAIL nonsense", b"-ERR invalid FAIL nonsense\r\n"),
        (b"FAIL []", b"-ERR invalid FAIL []\r\n"),
        (b"FAIL {}", b"-ERR missing JID\r\n"),
        (b"FAIL null", b"-ERR missing JID\r\n"),
        (b'FAIL {"jid":null}', b"-ERR missing JID\r\n"),
        (b'FAIL {"jid":"unknown-1"}', b"-ERR Job not found unknown-1\r\n"),
        (b'FAIL {"jid":"a","backtrace":"b"}', b'-ERR invalid FAIL {"jid":"a","backtrace":"b"}\r\n'),
        (b'FAIL {"jid":"a\\r\\nb"}', b"-ERR Job not found a  b\r\n"),
        (b"BEAT nonsense", b"-ERR invalid BEAT nonsense\r\n"),
        (b"BEAT {}", b"-ERR Unknown worker \r\n"),
        (b'BEAT {"wid":"nobody"}', b"-ERR Unknown worker nobody\r\n"),
        (b'BEAT {"wid":"a","rss_kb":"1"}', b'-ERR invalid BEAT {"wid":"a","rss_kb":"1"}\r\n'),
        (b"QUEUE ", b"-ERR no such QUEUE subcommand: \r\n"),
        (b"QUEUE sort a", b"-ERR no such QUEUE subcommand: SORT\r\n"),
        (b"QUEUE PAUSE", b"-ERR QUEUE PAUSE needs the names of queues, or *\r\n"),
        (b"QUEUE resume", b"-ERR QUEUE RESUME needs the names of queues, or *\r\n"),
        (b"QUEUE REMOVE", b"-ERR QUEUE REMOVE needs the names of queues, or *\r\n"),
        (b"QUEUE LATENCY *", b"-ERR QUEUE LATENCY does not support wildcards\r\n"),
        (b'MUTATE {"cmd":"eat","target":"dead"}', b"-ERR unknown mutate operation\r\n"),
        (b"MUTATE {}", b"-ERR unknown mutate operation\r\n"),
        (b'MUTATE {"cmd":"kill","target":"default"}', b"-ERR invalid target for mutation command\r\n"),
        (b'MUTATE {"cmd":"kill"}', b"-ERR invalid target for mutation command\r\n"),
        (b'PUSH {"jid":"short","jobtype":"a","args":[]}', b"-ERR jobs must have a reasonable jid parameter\r\n"),
        (b'PUSH {"jid":"long-enough","args":[]}', b"-ERR jobs must have a jobtype parameter\r\n"),
        (b'PUSH {"jid":"long-enough","jobtype":"a"}', b"-ERR jobs must have an args parameter\r\n"),
        (b"PUSH null", b"-ERR jobs must have a reasonable jid parameter\r\n"),
        (b"PUSH " + job(1, reserve_for="86401"), b"-ERR jobs cannot be reserved for more than one day\r\n"),
        (
            b"PUSH " + job(1, queue='"a/b"'),
            b'-ERR cannot get "a/b" queue: queue names must match \\A[a-zA-Z0-9._-]+\\z\r\n',
        ),
        (
            b"PUSH " + job(1, queue='"a\\r\\nb"', at='"2099-01-01T00:00:00Z"'),
            b'-ERR cannot get "a  b" queue: queue names must match \\A[a-zA-Z0-9._-]+\\z\r\n',
        ),
    ],
)
def test_what_is_wrong_is_named(house: House, talk: Talk, line: bytes, reply: bytes) -> None:
    assert talk.say(line) == reply
    assert not talk.ended
    assert not house.store.batch


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"{} {}",
        job(1, retry="2.5"),
        job(1, retry='"5"'),
        job(1, priority="-1"),
        job(1, priority="4.5"),
        job(1, priority='"9"'),
        job(1, custom="[]"),
        job(1, at="17"),
        job(1, retry="9223372036854775808"),
        job(1)[:-1] + b',"x":"\xff"}',
        b'{"jid":"long-enough","jobtype":"a","args":{}}',
        b'{"jid":"long-enough","jobtype":"a","args":' + b"[" * 600 + b"]" * 600 + b"}",
    ],
)
def test_what_is_no_job_is_refused_as_invalid_json(house: House, talk: Talk, rest: bytes) -> None:
    for line in (b"PUSH " + rest, b"PUSHB [" + rest + b"]" if rest else b"PUSHB "):
        reply = talk.say(line)
        assert reply is not None
        assert reply.startswith(b"-ERR invalid JSON: ") or (b"PUSHB" in line and b"invalid JSON: " in reply), line
    assert house.queue_length() == 0


@pytest.mark.parametrize("at", ["tomorrow", "2099-01-01", "2099-13-01T00:00:00Z", "2099-01-01T00:00:00"])
def test_a_time_that_is_none_is_quoted(talk: Talk, at: str) -> None:
    reply = talk.say(b"PUSH " + job(1, at=f'"{at}"'))
    assert reply is not None
    assert reply.startswith(f"-ERR invalid timestamp for 'at': \"{at}\": ".encode())


@pytest.mark.parametrize(
    "rest", [b"", b"{", b"[]", b"nonsense", b'{"cmd":1}', b'{"cmd":"kill","target":"dead","filter":{"jids":"a"}}']
)
def test_a_mutate_that_is_no_object_is_refused(talk: Talk, rest: bytes) -> None:
    reply = talk.say(b"MUTATE " + rest)
    assert reply is not None
    assert reply.startswith(b"-ERR ")


# -- producers ---------------------------------------------------------------------------------------------------------


def test_a_job_comes_back_as_it_was_pushed_and_no_more(talk: Talk) -> None:
    assert talk.say(b"PUSH " + job(1, created_at='"2026-01-01T00:00:00Z"')) == OK
    assert bulk(talk.say(b"FETCH default")) == {
        "jid": jid(1),
        "jobtype": "work",
        "args": [1],
        "queue": "default",
        "retry": 25,
        "created_at": "2026-01-01T00:00:00Z",
        "enqueued_at": "2026-09-21T14:13:20.000000Z",
    }


@pytest.mark.parametrize(
    "numbers", ["[1.0,1e400,123456789012345678901234567890,-0.0,0.10]", '["\\u003c",{"b":1,"a":2}]']
)
def test_arguments_come_back_byte_for_byte(talk: Talk, numbers: str) -> None:
    talk.say(b'PUSH {"jid":"long-enough","jobtype":"a","args":%b,"custom":{"n":%b}}' % ((numbers.encode(),) * 2))
    reply = talk.say(b"FETCH default")
    assert reply is not None
    assert reply.count(numbers.encode()) == 2


def test_null_is_absent_everywhere(talk: Talk) -> None:
    fields = "queue at retry reserve_for custom priority backtrace failure created_at".split()
    assert talk.say(b"PUSH " + job(1, **dict.fromkeys(fields, "null"))) == OK
    assert bulk(talk.say(b"FETCH default")).keys() == {
        "jid", "jobtype", "args", "queue", "retry", "created_at", "enqueued_at",
    }  # fmt: skip


def test_keys_may_be_spelled_in_any_case_and_unknown_ones_are_dropped(talk: Talk) -> None:
    assert talk.say(b'PUSH {"JID":"long-enough","JobType":"a","Args":[],"Queue":"x","blargh":[{}]}') == OK
    fetched = bulk(talk.say(b"FETCH x"))
    assert (fetched["jid"], fetched["jobtype"]) == ("long-enough", "a")
    assert "blargh" not in fetched


@pytest.mark.parametrize(("pushed", "told"), [("9", 9), ("1", 1), ("0", 0), ("77", 77)])
def test_a_priority_comes_back_as_it_was_pushed(talk: Talk, pushed: str, told: int) -> None:
    assert talk.say(b"PUSH " + job(1, priority=pushed)) == OK
    assert bulk(talk.say(b"FETCH default"))["priority"] == told


def test_the_highest_priority_is_fetched_first_and_none_is_five(talk: Talk) -> None:
    for number, priority in enumerate(["1", "5", "9", "0", "10", "6", "null", "9"]):
        talk.say(b"PUSH " + job(number, priority=priority))
    order = [bulk(talk.say(b"FETCH default"))["args"][0] for _ in range(8)]
    assert order == [2, 7, 5, 1, 3, 4, 6, 0]


@pytest.mark.parametrize("name", ["retries", "dead", "scheduled", "queues", "processed", "..", "_", "a" * 300])
def test_any_name_of_the_right_letters_is_an_ordinary_queue(talk: Talk, name: str) -> None:
    assert talk.say(b"PUSH " + job(1, queue=f'"{name}"')) == OK
    assert bulk(talk.say(b"FETCH " + name.encode()))["jid"] == jid(1)


def test_a_full_queue_is_said_to_be_full() -> None:
    house = House(limits=Limits(max_queue_size=2))
    talk = house.talk()
    replies = [talk.say(b"PUSH " + job(number)) for number in range(3)]
    assert replies == [OK, OK, b"-ERR default is too large, currently 2, max size is 2\r\n"]
    assert talk.say(b"PUSH " + job(4, queue='"other"')) == OK
    house.close()


def test_a_refused_push_says_why_and_the_rest_goes_on(house: House, talk: Talk) -> None:
    talk.say(b"PUSH " + job(1))
    house.manager.refuse_pushes = "the disk is nearly full"
    assert talk.say(b"PUSH " + job(2)) == b"-ERR the disk is nearly full\r\n"
    assert bulk(talk.say(b"PUSHB [" + job(3) + b"]")) == {jid(3): "the disk is nearly full"}
    assert bulk(talk.say(b"FETCH default"))["jid"] == jid(1)
    assert talk.say(b"ACK " + named(1)) == OK


def test_names_have_an_end(house: House, talk: Talk) -> None:
    """A wid is recorded with every job that its worker fetches, a queue's name with every job."""
    assert house.talk(b'HELLO {"v":2,"wid":"%b"}' % (b"w" * 255)).say(b"INFO")
    assert talk.say(b"PUSH " + job(1, queue='"%s"' % ("q" * 1024))) == OK
    refused = talk.say(b"PUSH " + job(2, queue='"%s"' % ("q" * 1025)))
    assert refused == b"-ERR queue names must have 1024 characters at most\r\n"


# -- INFO and FLUSH ----------------------------------------------------------------------------------------------------


def types(value: Any) -> Any:
    """Return the JSON types of what INFO says, and of its members."""
    if isinstance(value, dict):
        return {key: types(member) for key, member in value.items()}
    return type(value).__name__


def test_info_has_the_members_and_types_that_clients_read(house: House, talk: Talk) -> None:
    house.talk(WORKER)
    for number in (1, 2, 3):
        talk.say(b"PUSH " + job(number))
    talk.say(b"PUSH " + job(4, queue='"later"', at='"2099-01-01T00:00:00Z"'))
    talk.say(b"FETCH default")
    timed = {"enqueued": "int", "cycles": "int", "size": "int", "wall_time_sec": "float"}
    counted = {"size": "int", "reaped": "int"}
    assert types(info(house)) == {
        "now": "str",
        "server_utc_time": "str",
        "faktory": {
            "queues": {"default": "int"},
            "sets": dict.fromkeys(["dead", "retries", "scheduled", "working"], "int"),
            "tasks": {
                **dict.fromkeys(["Scheduled", "Retries", "Dead"], timed),
                **dict.fromkeys(["Busy", "Workers"], counted),
                "Expired": {"reaped": "int"},
            },
            **dict.fromkeys(
                ["default_size", "total_failures", "total_processed", "total_enqueued", "total_queues"], "int"
            ),
        },
        "server": {
            **dict.fromkeys(["uptime", "connections", "command_count", "used_memory_mb"], "int"),
            **dict.fromkeys(["description", "faktory_version", "implementation", "implementation_version"], "str"),
            **dict.fromkeys(["python_version", "durability"], "str"),
        },
    }


def test_info_counts(house: House, talk: Talk) -> None:
    house.talk(WORKER)
    for number in (1, 2, 3):
        talk.say(b"PUSH " + job(number))
    talk.say(b"PUSH " + job(4, at='"2099-01-01T00:00:00Z"'))
    for _ in range(3):
        talk.say(b"FETCH default")
    talk.say(b"ACK " + named(1))
    talk.say(b"FAIL " + named(2))
    house.reactor.advance(61.5)
    told = info(house)
    assert told["now"] == "2026-09-21T14:14:21.500000Z"
    assert told["server_utc_time"] == "14:14:21 UTC"
    assert told["faktory"]["queues"] == {"default": 0}
    assert told["faktory"]["sets"] == {"dead": 0, "retries": 1, "scheduled": 1, "working": 1}
    assert {name: told["faktory"][name] for name in ("total_failures", "total_processed", "total_queues")} == {
        "total_failures": 1, "total_processed": 2, "total_queues": 1,
    }  # fmt: skip
    assert told["faktory"]["tasks"]["Workers"]["size"] == 1
    assert told["server"]["uptime"] == 61
    assert told["server"]["connections"] == 3
    assert told["server"]["command_count"] == 10


def test_info_names_the_protocol_that_is_spoken_and_the_server_that_speaks_it(house: House) -> None:
    server = info(house)["server"]
    assert (server["faktory_version"], server["description"]) == ("1.9.4", "Faktory")
    assert (server["implementation"], server["implementation_version"]) == ("faktory_tw", __version__)


def test_unknown_commands_are_not_counted(house: House, talk: Talk) -> None:
    talk.say(b"NONSENSE")
    talk.say(b"PUSH")
    assert house.server.command_count == 1


def test_flush_clears_everything_and_the_statistics(house: House, talk: Talk) -> None:
    for number in (1, 2):
        talk.say(b"PUSH " + job(number))
    talk.say(b"PUSH " + job(3, at='"2099-01-01T00:00:00Z"'))
    talk.say(b"FETCH default")
    talk.say(b"FAIL " + named(1))
    talk.say(b"FETCH default")
    talk.say(b"QUEUE PAUSE default")
    flushed = talk.say(b"FLUSH now, please")
    assert flushed == OK
    assert isinstance(flushed, Held)
    told = info(house)["faktory"]
    assert told["queues"] == {}
    assert set(told["sets"].values()) == {0}
    assert (told["total_processed"], told["total_failures"]) == (0, 0)
    assert talk.say(b"FAIL " + named(2)) == b"-ERR Job not found jid-00002\r\n"
    talk.say(b"PUSH " + job(4))
    assert bulk(talk.say(b"FETCH default"))["jid"] == jid(4)


# -- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"END", b"END ", b"END now"])
def test_end_is_not_answered(talk: Talk, line: bytes) -> None:
    assert talk.say(line) == b""
    assert talk.ended


def test_a_server_that_stops_says_so_and_closes(house: House, talk: Talk) -> None:
    house.server.stopping = True
    assert talk.say(b"PUSH " + job(1)) == b"-ERR Shutdown in progress\r\n"
    assert talk.ended
    assert house.queue_length() == 0


# -- passwords ---------------------------------------------------------------------------------------------------------

SALT, ITERATIONS = "55104dc76695721d", 1545
ITERATED = "6d877f8e5544b1f2598768f817413ab8a357afffa924dedae99eb91472d4ec30"


def test_the_password_is_hashed_as_the_protocol_says() -> None:
    assert password_hash("foobar", SALT, ITERATIONS) == ITERATED


@pytest.mark.parametrize(
    ("version", "rounds"), [('"v":2,', ITERATIONS), ('"v":3,', ITERATIONS), ('"v":1,', 1), ('"v":0,', 1), ("", 1)]
)
def test_old_clients_hash_once(monkeypatch: pytest.MonkeyPatch, version: str, rounds: int) -> None:
    house = House(password="foobar")
    challenge = Challenge("foobar")
    challenge.salt, challenge.iterations = SALT, ITERATIONS
    monkeypatch.setattr(house.server, "challenge", lambda: challenge)
    for tried in (1, ITERATIONS):
        talk = house.talk(hello=None)
        assert talk.session.greeting() == b'+HI {"v":2,"i":1545,"s":"55104dc76695721d"}\r\n'
        reply = talk.say(f'HELLO {{{version}"pwdhash":"{password_hash("foobar", SALT, tried)}"}}'.encode())
        assert reply == (OK if tried == rounds else b"-ERR Invalid password\r\n")
        assert talk.ended == (tried != rounds)
    house.close()


def test_a_password_where_none_is_needed_is_ignored(house: House) -> None:
    assert house.talk(hello=None).say(b'HELLO {"v":2,"pwdhash":"nonsense"}') == OK
