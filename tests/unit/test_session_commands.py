"""The commands of workers and operators: FETCH, ACK, FAIL, BEAT, PUSHB in slices, QUEUE and MUTATE."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from faktory_tw.core.manager import Limits
from faktory_tw.wire import Held
from tests.unit.house import House, Talk, jid, job, named
from tests.unit.test_session import OK, WORKER, bulk, info

NOTHING = b"$-1\r\n"
QUIET = b'$17\r\n{"state":"quiet"}\r\n'
TERMINATE = b'$21\r\n{"state":"terminate"}\r\n'
LATER = '"2099-01-01T00:00:00Z"'


@pytest.fixture
def talk(house: House) -> Talk:
    """A conversation with a server, after HELLO."""
    return house.talk()


def fetched(talk: Talk, queues: bytes = b"default") -> str:
    """Return the jid of the next job."""
    return str(bulk(talk.say(b"FETCH " + queues))["jid"])


def sets(house: House) -> Any:
    return info(house)["faktory"]["sets"]


# -- FETCH -------------------------------------------------------------------------------------------------------------


def test_fetch_takes_from_the_first_queue_that_has_a_job(talk: Talk) -> None:
    for number, name in enumerate(["c", "b", "b", "a"]):
        talk.say(b"PUSH " + job(number, queue=f'"{name}"'))
    assert [fetched(talk, b"a b c") for _ in range(4)] == [jid(3), jid(1), jid(2), jid(0)]


@pytest.mark.parametrize("line", [b"FETCH", b"FETCH default", b"FETCH a/b * default", b"FETCH default default "])
def test_fetch_takes_from_default_and_is_not_put_out_by_odd_names(talk: Talk, line: bytes) -> None:
    talk.say(b"PUSH " + job(1))
    assert bulk(talk.say(line))["jid"] == jid(1)


@pytest.mark.parametrize("line", [b"FETCH", b"FETCH ", b"FETCH a/b", b"FETCH *", b"FETCH \xff", b"FETCH a  b"])
def test_a_fetch_that_finds_nothing_waits_and_gets_nothing(house: House, talk: Talk, line: bytes) -> None:
    assert talk.say(line) is None
    assert talk.session.waits
    house.pass_time(2.1)
    assert talk.later == [NOTHING]
    assert not talk.session.waits
    assert info(house)["faktory"]["queues"] == {}


def test_a_fetch_that_waits_for_several_queues_gets_one_job(house: House, talk: Talk) -> None:
    waiting = house.talk()
    assert waiting.say(b"FETCH a b b") is None
    talk.say(b"PUSH " + job(1, queue='"b"'))
    talk.say(b"PUSH " + job(2, queue='"a"'))
    (reply,) = waiting.later
    assert bulk(reply)["jid"] == jid(1)
    assert house.queue_length("a") == 1


def test_who_waits_longest_is_served_first(house: House, talk: Talk) -> None:
    waiting = [house.talk() for _ in range(3)]
    for one in waiting:
        one.say(b"FETCH default")
    for number in range(3):
        talk.say(b"PUSH " + job(number))
    assert [bulk(one.later[0])["jid"] for one in waiting] == [jid(0), jid(1), jid(2)]


def test_a_client_that_left_while_it_waited_is_passed_over(house: House, talk: Talk) -> None:
    gone, waiting = house.talk(), house.talk()
    gone.say(b"FETCH default")
    waiting.say(b"FETCH default")
    gone.leave()
    talk.say(b"PUSH " + job(1))
    assert gone.later == gone.too_late == []
    assert bulk(waiting.later[0])["jid"] == jid(1)


def test_a_paused_queue_gives_nothing_until_it_is_resumed(house: House, talk: Talk) -> None:
    talk.say(b"PUSH " + job(1))
    talk.say(b"QUEUE PAUSE default")
    waiting = house.talk()
    assert waiting.say(b"FETCH default") is None
    talk.say(b"PUSH " + job(2))
    assert waiting.later == []
    talk.say(b"QUEUE RESUME default")
    assert bulk(waiting.later[0])["jid"] == jid(1)


def test_a_client_that_left_while_it_waited_is_forgotten(house: House) -> None:
    gone = house.talk()
    gone.say(b"FETCH default")
    gone.leave()
    house.pass_time(2.1)
    assert gone.later == gone.too_late == []
    assert not gone.session.waits


# -- ACK and FAIL ------------------------------------------------------------------------------------------------------


def test_an_unknown_job_is_acknowledged_and_counts_nothing(house: House, talk: Talk) -> None:
    for line in (b"ACK " + named(1), b'ACK {"jid":null}', b'ACK {"jid":"","wid":"x"}'):
        assert talk.say(line) == OK
    assert info(house)["faktory"]["total_processed"] == 0


def test_acknowledgements_wait_for_the_disk(talk: Talk) -> None:
    talk.say(b"PUSH " + job(1))
    talk.say(b"PUSH " + job(2))
    fetched(talk)
    fetched(talk)
    for line in (b"PUSH " + job(3), b"ACK " + named(1), b"FAIL " + named(2)):
        assert isinstance(talk.say(line), Held)


def test_any_connection_may_finish_a_job(house: House, talk: Talk) -> None:
    talk.say(b"PUSH " + job(1))
    fetched(house.talk(WORKER))
    assert house.talk().say(b"ACK " + named(1)) == OK
    assert sets(house)["working"] == 0


def test_a_job_is_failed_once(talk: Talk) -> None:
    talk.say(b"PUSH " + job(1))
    fetched(talk)
    assert talk.say(b"FAIL " + named(1)) == OK
    assert talk.say(b"FAIL " + named(1)) == b"-ERR Job not found jid-00001\r\n"


@pytest.mark.parametrize("key", ["errtype", "errType", "ERRTYPE"])
def test_what_a_worker_says_of_a_failure_comes_with_the_retry(house: House, talk: Talk, key: str) -> None:
    talk.say(b"PUSH " + job(1, retry="3"))
    fetched(talk)
    said = {"jid": jid(1), key: " Boom ", "message": "it broke", "backtrace": ["a", "b"], "later": {}}
    assert talk.say(b"FAIL " + json.dumps(said).encode()) == OK
    assert sets(house)["retries"] == 1
    house.pass_time(60.0)
    failure = bulk(talk.say(b"FETCH default"))["failure"]
    assert {key: value for key, value in failure.items() if not key.endswith("_at")} == {
        "retry_count": 0, "remaining": 3, "errtype": "Boom", "message": "it broke", "backtrace": ["a", "b"],
    }  # fmt: skip


def test_two_jobs_with_one_jid_are_two_jobs(house: House, talk: Talk) -> None:
    mine, other = house.talk(WORKER), house.talk(b'HELLO {"wid":"worker-2"}')
    for _ in range(2):
        assert talk.say(b"PUSH " + job(1)) == OK
    assert fetched(other) == fetched(mine) == jid(1)
    assert mine.say(b"FAIL " + named(1)) == OK
    assert sets(house)["working"] == 1
    assert other.say(b"ACK " + named(1)) == OK
    assert sets(house) == {"dead": 0, "retries": 1, "scheduled": 0, "working": 0}
    assert mine.say(b"FAIL " + named(1)) == b"-ERR Job not found jid-00001\r\n"


# -- BEAT --------------------------------------------------------------------------------------------------------------


def beat(state: str = "") -> bytes:
    said = {"wid": "worker-1", "rss_kb": 100, "later": 1, **({"current_state": state} if state else {})}
    return b"BEAT " + json.dumps(said).encode()


def test_a_running_worker_is_told_to_go_on(house: House) -> None:
    assert house.talk(WORKER).say(beat()) == OK
    assert house.talk().say(beat("bogus")) == OK


@pytest.mark.parametrize(("state", "reply"), [("quiet", QUIET), ("terminate", TERMINATE)])
def test_a_state_reaches_every_connection_of_a_worker(house: House, talk: Talk, state: str, reply: bytes) -> None:
    workers = [house.talk(WORKER) for _ in range(3)]
    stranger = house.talk(b'HELLO {"wid":"worker-2"}')
    assert workers[1].say(beat(state)) == reply
    workers.append(house.talk(WORKER))
    talk.say(b"PUSH " + job(1))
    for worker in workers:
        assert worker.say(beat()) == reply
        assert worker.say(b"FETCH default") is None
    house.pass_time(2.1)
    assert [worker.later for worker in workers] == [[NOTHING]] * 4
    assert fetched(stranger) == jid(1)


@pytest.mark.parametrize("state", ["quiet", "terminate"])
def test_a_fetch_that_waits_when_its_worker_turns_quiet_gets_no_job(house: House, talk: Talk, state: str) -> None:
    fetching, beating = house.talk(WORKER), house.talk(WORKER)
    assert fetching.say(b"FETCH default") is None
    beating.say(beat(state))
    talk.say(b"PUSH " + job(1))
    house.pass_time(2.1)
    assert fetching.later == [NOTHING]
    assert house.queue_length() == 1


def test_a_worker_does_not_come_back_from_a_state(house: House) -> None:
    worker = house.talk(WORKER)
    assert worker.say(beat("terminate")) == TERMINATE
    assert worker.say(beat("quiet")) == TERMINATE
    assert worker.say(beat("running")) == TERMINATE


def test_a_quiet_worker_finishes_its_jobs(house: House, talk: Talk) -> None:
    worker = house.talk(WORKER)
    talk.say(b"PUSH " + job(1))
    fetched(worker)
    worker.say(beat("quiet"))
    assert worker.say(b"ACK " + named(1)) == OK


def test_a_worker_without_a_connection_is_unknown(house: House, talk: Talk) -> None:
    first, second = house.talk(WORKER), house.talk(WORKER)
    first.leave()
    assert talk.say(beat()) == OK
    second.leave()
    assert talk.say(beat()) == b"-ERR Unknown worker worker-1\r\n"
    assert info(house)["faktory"]["tasks"]["Workers"]["size"] == 0


# -- PUSHB -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [b"[]", b"null", b" [ ] "])
def test_a_bulk_of_nothing_is_pushed(talk: Talk, rest: bytes) -> None:
    assert talk.say(b"PUSHB " + rest) == b"$2\r\n{}\r\n"


def test_a_bulk_says_which_jobs_were_refused_and_pushes_the_others(house: House, talk: Talk) -> None:
    jobs = [
        job(1),
        b'{"jid":"short","jobtype":"a","args":[]}',
        b'{"jobtype":"a","args":[]}',
        b"null",
        job(2, queue='"a/b"'),
        job(3, reserve_for="86401"),
        b'{"jid":"no-args-here","jobtype":"a"}',
        job(4),
    ]
    reply = talk.say(b"PUSHB [" + b",".join(jobs) + b"]")
    assert isinstance(reply, Held)
    refused = bulk(reply)
    assert refused == {
        "": "jobs must have a reasonable jid parameter",
        jid(2): 'cannot get "a/b" queue: queue names must match \\A[a-zA-Z0-9._-]+\\z',
        jid(3): "jobs cannot be reserved for more than one day",
        "no-args-here": "jobs must have an args parameter",
        "short": "jobs must have a reasonable jid parameter",
    }
    assert list(refused) == sorted(refused)
    assert [fetched(talk), fetched(talk)] == [jid(1), jid(4)]
    assert house.queue_length() == 0


def test_a_bulk_with_something_that_is_no_job_is_refused_as_a_whole(house: House, talk: Talk) -> None:
    reply = talk.say(b"PUSHB [" + job(1) + b",7," + job(2) + b"]")
    assert reply is not None
    assert reply.startswith(b"-ERR invalid JSON: ")
    assert house.queue_length() == 0


def test_the_jobs_of_a_bulk_were_created_at_the_same_moment(talk: Talk) -> None:
    talk.say(b"PUSHB [" + job(1) + b"," + job(2, at=LATER) + b"," + job(3) + b"]")
    created = {bulk(talk.say(b"FETCH default"))["created_at"] for _ in range(2)}
    assert created == {"2026-09-21T14:13:20.000000Z"}


def in_turns(house: House, talk: Talk, line: bytes) -> int:
    """Say a line; return how many turns of the reactor it took until it was answered."""
    reply = talk.say(line)
    turns = 0
    if reply is not None:
        talk.later.append(reply)
    while not talk.later:
        house.reactor.turn()
        turns += 1
        assert turns < 1000
    return turns


def bulk_of(count: int) -> bytes:
    return b"PUSHB [" + b",".join(job(number) for number in range(count)) + b"]"


@pytest.mark.parametrize("count", [1, 500, 511])
def test_a_short_bulk_is_done_at_once(house: House, talk: Talk, count: int) -> None:
    assert in_turns(house, talk, bulk_of(count)) == 0
    assert house.queue_length() == count


@pytest.mark.parametrize("count", [512, 513, 5000])
def test_a_long_bulk_is_done_in_slices(house: House, talk: Talk, count: int) -> None:
    assert in_turns(house, talk, bulk_of(count)) >= 2 * (count // 512)
    (reply,) = talk.later
    assert reply == b"$2\r\n{}\r\n"
    assert isinstance(reply, Held)
    assert house.queue_length() == count
    assert [fetched(talk), fetched(talk)] == [jid(0), jid(1)]


def test_no_slice_of_a_bulk_is_longer_than_another_command_may_wait(house: House, talk: Talk) -> None:
    talk.say(bulk_of(5000))
    lengths = [0]
    while not talk.later:
        house.reactor.turn()
        lengths.append(house.queue_length())
    assert max(after - before for before, after in itertools.pairwise(lengths)) <= 512


def test_a_long_bulk_is_refused_as_a_whole_when_its_last_member_is_no_job(house: House, talk: Talk) -> None:
    in_turns(house, talk, bulk_of(3000)[:-1] + b",7]")
    assert talk.later[0].startswith(b"-ERR invalid JSON: ")
    assert house.queue_length() == 0


def test_a_long_bulk_is_refused_from_the_job_on_that_fills_the_queue() -> None:
    house = House(limits=Limits(max_queue_size=2000))
    talk = house.talk()
    in_turns(house, talk, bulk_of(2100))
    refused = bulk(talk.later[0])
    assert len(refused) == 100
    assert refused[jid(2099)] == "default is too large, currently 2000, max size is 2000"
    house.close()


# -- QUEUE -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [b"*", b"a b", b"b nobody a", b"a a b "])
@pytest.mark.parametrize("verb", [b"REMOVE", b"remove"])
def test_queues_are_removed_with_their_jobs(house: House, talk: Talk, verb: bytes, names: bytes) -> None:
    for number, name in enumerate("aab"):
        talk.say(b"PUSH " + job(number, queue=f'"{name}"'))
    fetched(talk, b"a")
    assert talk.say(b"QUEUE " + verb + b" " + names) == OK
    assert info(house)["faktory"]["queues"] == {}
    assert sets(house)["working"] == 1
    assert talk.say(b"ACK " + named(0)) == OK


@pytest.mark.parametrize("line", [b"QUEUE PAUSE a/b", b"QUEUE RESUME nobody", b"QUEUE REMOVE \xff", b"QUEUE PAUSE "])
def test_names_that_no_queue_has_are_ignored(house: House, talk: Talk, line: bytes) -> None:
    assert talk.say(line) == OK
    assert info(house)["faktory"]["queues"] == {}


def test_a_star_that_is_not_alone_is_the_name_of_no_queue(house: House, talk: Talk) -> None:
    talk.say(b"PUSH " + job(1))
    assert talk.say(b"QUEUE REMOVE other *") == OK
    assert house.queue_length() == 1


def test_latency_is_the_age_of_the_next_job(house: House, talk: Talk) -> None:
    talk.say(b"PUSH " + job(1))
    house.reactor.advance(2.5)
    talk.say(b"PUSH " + job(2))
    talk.say(b"PUSH " + job(3, queue='"other"'))
    assert bulk(talk.say(b"QUEUE LATENCY default other nobody")) == {"default": 2.5, "other": 0, "nobody": 0}
    fetched(talk)
    assert bulk(talk.say(b"QUEUE latency default")) == {"default": 0}
    assert talk.say(b"QUEUE LATENCY") == b"$2\r\n{}\r\n"


# -- MUTATE ------------------------------------------------------------------------------------------------------------


def mutate(cmd: str, target: str, **wanted: Any) -> bytes:
    return b"MUTATE " + json.dumps({"cmd": cmd, "target": target, "filter": wanted}).encode()


def schedule(talk: Talk, count: int) -> None:
    for number in range(count):
        talk.say(b"PUSH " + job(number, at=LATER))


def test_a_filter_may_hold_spaces(house: House, talk: Talk) -> None:
    talk.say(b'PUSH {"jid":"long-enough","jobtype":"My Job","args":["a b"],"at":%b}' % LATER.encode())
    in_turns(house, talk, mutate("discard", "scheduled", jobtype="My J?b", regexp="*a b*"))
    assert talk.later == [OK]
    assert sets(house)["scheduled"] == 0


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (mutate("clear", "scheduled", jids=["nobody"]), {"scheduled": 0, "dead": 0}),
        (b'MUTATE {"cmd":"discard","target":"scheduled"}', {"scheduled": 0, "dead": 0}),
        (b'MUTATE {"Cmd":"kill","TARGET":"scheduled","filter":null}', {"scheduled": 0, "dead": 4}),
        (mutate("kill", "scheduled", jids=[jid(1), jid(3), "nobody"]), {"scheduled": 2, "dead": 2}),
        (mutate("discard", "scheduled", regexp="*[[]2]*"), {"scheduled": 3, "dead": 0}),
        (mutate("kill", "scheduled", jobtype="other"), {"scheduled": 4, "dead": 0}),
        (mutate("discard", "retries"), {"scheduled": 4, "dead": 0}),
    ],
)
def test_a_mutation_reaches_what_its_filter_finds(house: House, talk: Talk, line: bytes, left: dict[str, int]) -> None:
    schedule(talk, 4)
    reply = talk.say(line)
    if reply is None:
        house.commit()
        (reply,) = talk.later
    assert reply == OK
    assert isinstance(reply, Held)
    assert {name: sets(house)[name] for name in left} == left


def test_a_requeued_job_is_fetched(house: House, talk: Talk) -> None:
    schedule(talk, 3)
    waiting = house.talk()
    waiting.say(b"FETCH default")
    in_turns(house, talk, mutate("requeue", "scheduled", jids=[jid(0), jid(2)]))
    assert bulk(waiting.later[0])["jid"] == jid(0)
    assert fetched(talk) == jid(2)
    assert sets(house)["scheduled"] == 1


def test_a_mutation_of_many_jobs_is_done_in_slices(house: House, talk: Talk) -> None:
    schedule(talk, 1600)
    assert in_turns(house, talk, mutate("kill", "scheduled", regexp="*")) >= 3
    assert talk.later == [OK]
    assert sets(house)["dead"] == 1600


# -- many queues -------------------------------------------------------------------------------------------------------


@pytest.fixture
def many_queues(house: House, talk: Talk) -> list[str]:
    names = [f"q{number:05d}" for number in range(5000)]
    for name in names:
        talk.say(b"PUSH " + job(1, queue=f'"{name}"'))
    return names


def test_the_sizes_of_many_queues_are_gathered_in_slices(house: House, talk: Talk, many_queues: list[str]) -> None:
    assert in_turns(house, talk, b"INFO") >= 5
    reply = talk.later.pop()
    queues = json.loads(reply.split(b"\r\n")[1])["faktory"]["queues"]
    assert list(queues) == many_queues
    assert set(queues.values()) == {1}


def test_info_of_some_queues_is_answered_at_once(house: House, talk: Talk) -> None:
    for number in range(500):
        talk.say(b"PUSH " + job(1, queue=f'"q{number}"'))
    assert in_turns(house, talk, b"INFO") == 0


@pytest.mark.parametrize(("line", "left"), [(b"QUEUE PAUSE *", 0), (b"QUEUE REMOVE *", 0), (b"QUEUE PAUSE %b", 1)])
def test_many_queues_are_changed_some_hundred_at_a_time(
    house: House, talk: Talk, many_queues: list[str], line: bytes, left: int
) -> None:
    if b"%" in line:
        line %= " ".join(many_queues[1:]).encode()

    def unchanged() -> int:
        states = house.manager.queue_states(many_queues)
        return sum(not state.paused for state in states)

    before, talked = 5000, talk.say(line)
    assert talked is None
    assert before - unchanged() <= 250
    before = unchanged()
    while not talk.later:
        house.reactor.turn()
        assert before - unchanged() <= 250
        before = unchanged()
    assert talk.later == [b"+OK\r\n"]
    assert isinstance(talk.later[0], Held)
    assert before == left


def test_a_star_among_many_names_is_no_name(house: House, talk: Talk, many_queues: list[str]) -> None:
    in_turns(house, talk, b"QUEUE PAUSE %b * %b" % (" ".join(many_queues[:250]).encode(), b"q00300"))
    assert sum(state.paused for state in house.manager.queue_states(many_queues)) == 251


@pytest.mark.parametrize("line", [b"FETCH " + b"a " * 20_000, b"QUEUE PAUSE " + b"a " * 200_000])
def test_more_names_than_anybody_has_are_refused_before_they_are_told_apart(talk: Talk, line: bytes) -> None:
    reply = talk.say(line)
    assert reply is not None
    assert re.match(rb"-ERR more than \d+ queues in one command", reply)
