"""FETCH of queues with weights: how often each is first, what comes next, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product

import pytest

from faktory_tw.core.weights import MOST_WEIGHTED, Weighted
from faktory_tw.wire import CommandError
from tests.unit.doubles import Client, Engine
from tests.unit.house import House, job
from tests.unit.test_session import bulk

LONG, WIDE = f"a:{'9' * 5000}", f"{'a' * 5000}:0"


class Script:
    """A random that shows these numbers, in order, and notes what it was asked."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)
        self.asked: list[int] = []

    def __call__(self, below: int) -> int:
        self.asked.append(below)
        number = self.numbers.pop(0)
        assert 0 <= number < below
        return number


def order(engine: Engine, line: str, random: Callable[[int], int]) -> list[str]:
    return list(Weighted.of(line.split(" ")).drawn(engine.manager.queues(), random))


@pytest.fixture
def stocked(engine: Engine) -> Engine:
    """Jobs in the queues a, b and c."""
    for name in "abc":
        engine.push(queue=name)
    return engine


# -- how often -----------------------------------------------------------------------------------------------------


def test_each_queue_is_first_as_often_as_its_weight_says(stocked: Engine) -> None:
    first = Counter(order(stocked, "a:5 b:3 c:2", Script(number, 0))[0] for number in range(10))
    assert first == {"a": 5, "b": 3, "c": 2}


def test_the_others_follow_as_often_as_their_weights_say(stocked: Engine) -> None:
    orders = Counter(
        "".join(order(stocked, "a:2 b:1 c:1", Script(first, second % (2 if first < 2 else 3))))
        for first, second in product(range(4), range(6))
    )
    assert orders == {"abc": 6, "acb": 6, "bac": 4, "bca": 2, "cab": 4, "cba": 2}


def test_a_fetch_draws_once_among_the_queues_that_have_jobs(stocked: Engine) -> None:
    stocked.manager.pause(["c"])
    script = Script(5)
    stocked.manager._random = script
    assert stocked.fetch(*()) is None
    reservation = stocked.manager.fetch(Weighted.of("nowhere:100 a:5 b:3 c:9".split()), None)
    assert reservation is not None
    assert reservation.job.queue == "b"
    assert script.asked == [8]


def test_the_only_queue_with_jobs_needs_no_chance(stocked: Engine) -> None:
    assert order(stocked, "a:5 nowhere:3", Script()) == ["a"]
    assert order(stocked, "x:5 nowhere:3", Script()) == []


def test_a_queue_that_gives_nothing_after_all_is_followed_by_another(engine: Engine) -> None:
    engine.push(queue="a", custom={"expires_in": 1})
    engine.push(queue="b")
    engine.clock.advance(2)
    engine.manager._random = Script(0)
    reservation = engine.manager.fetch(Weighted.of(["a:1", "b:1"]), None)
    assert reservation is not None
    assert reservation.job.queue == "b"


def test_a_queue_without_a_weight_keeps_its_place(stocked: Engine) -> None:
    stocked.push(queue="d")
    assert order(stocked, "a b:1 c:1 d", Script(1)) == ["a", "c", "b", "d"]
    assert order(stocked, "a:1 d:1 b c:1", Script(1)) == ["d", "a", "b", "c"]
    assert order(stocked, "empty a:1 d:1", Script(0)) == ["empty", "a", "d"]


# -- what waits ----------------------------------------------------------------------------------------------------


def test_who_waits_is_given_a_job_of_any_of_them(engine: Engine) -> None:
    for name in ("a", "b", "strict"):
        client = Client(engine, *Weighted.of(["strict", "a:5", "b:1"]))
        engine.push(queue=name)
        assert client.jobs[0]["queue"] == name  # type: ignore[index]


def test_a_fetch_with_weights_waits_and_is_answered(house: House) -> None:
    talk = house.talk()
    assert talk.say(b"FETCH critical:5 default:1") is None
    house.talk().say(b"PUSH " + job(1))
    assert bulk(talk.later[0])["jid"] == "jid-00001"
    assert talk.say(b"FETCH critical:5 default:1") is None
    house.pass_time(2.1)
    assert talk.later[1] == b"$-1\r\n"


def test_a_line_that_comes_again_is_drawn_again(house: House) -> None:
    talk = house.talk()
    for number, name in enumerate(["a", "a", "b", "b"]):
        talk.say(b"PUSH " + job(number, queue=f'"{name}"'))
    house.manager._random = Script(1, 0)
    assert [bulk(talk.say(b"FETCH a:1 b:1"))["queue"] for _ in range(2)] == ["b", "a"]


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1, 9, 10, 999, 1000])
@pytest.mark.parametrize("name", ["a", "a.b_C-9"])
def test_weights_from_1_to_1000_are_admitted(name: str, weight: int) -> None:
    assert Weighted.of([f"{name}:{weight}"]).weights == ((name, weight),)


@pytest.mark.parametrize(
    "word",
    [
        "a:",
        ":5",
        ":",
        "a:0",
        "a:-1",
        "a:1001",
        "a:01",
        "a:1.5",
        "a:x",
        "a:1:2",
        "a:+1",
        "a: ",
        "a:١",
        "a:1e3",
        LONG,
        WIDE,
    ],
    ids=lambda word: word[:10],
)
def test_another_weight_is_refused_with_what_to_give_and_the_connection_goes_on(house: House, word: str) -> None:
    talk = house.talk()
    reply = talk.say(f"FETCH default {word}".encode()) or b""
    assert reply.startswith(b"-ERR FETCH: ")
    assert reply.endswith(b" must be the name of a queue, a colon and a weight from 1 to 1000: critical:5\r\n")
    assert len(reply) < 300
    talk.say(b"PUSH " + job(1))
    assert bulk(talk.say(b"FETCH default:2"))["jid"] == "jid-00001"


@pytest.mark.parametrize("line", ["a:1 a:2", "a a:2", "a:2 b a"])
def test_a_queue_that_is_there_twice_is_refused(line: str) -> None:
    with pytest.raises(CommandError, match=r"^FETCH: a is there twice; name each queue once$"):
        Weighted.of(line.split(" "))


def test_the_same_word_twice_is_one(house: House) -> None:
    talk = house.talk()
    talk.say(b"PUSH " + job(1))
    assert bulk(talk.say(b"FETCH a:1 a:1 default:2"))["jid"] == "jid-00001"


def test_only_so_many_queues_may_have_weights() -> None:
    names = [f"q{number}:1" for number in range(MOST_WEIGHTED)]
    assert len(Weighted.of([*names, "strict"])) == MOST_WEIGHTED + 1
    with pytest.raises(CommandError, match=r"^FETCH: more than 100 queues with a weight$"):
        Weighted.of([*names, "one-more:1"])


def test_a_weighted_fetch_of_very_many_words_is_refused(house: House) -> None:
    line = "FETCH a:1 " + " ".join(f"q{number}" for number in range(1000))
    assert house.talk().say(line.encode()) == b"-ERR more than 1000 queues in one command\r\n"
