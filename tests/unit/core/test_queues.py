"""First in first out inside a priority, the highest priority first; and FETCH through one queue and several."""

from __future__ import annotations

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw.core.queues import Fifo, Queue
from tests.unit.doubles import Engine

CHUNK = 4096  # ids of a long queue that are kept together


def fifo_of(*ids: int) -> Fifo:
    fifo = Fifo()
    for job_id in ids:
        fifo.append(job_id)
    return fifo


def drained(fifo: Fifo) -> list[int]:
    return [fifo.popleft() for _ in range(len(fifo))]


def taken(queue: Queue) -> list[int]:
    ids = []
    while (fifo := queue.first()) is not None:
        ids.append(fifo.popleft())
    return ids


# -- Fifo ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK + 7])
def test_ids_come_out_in_the_order_in_which_they_went_in(length: int) -> None:
    fifo = fifo_of(*range(length))
    assert len(fifo) == length
    assert list(fifo) == list(range(length))
    assert drained(fifo) == list(range(length))
    assert len(fifo) == 0
    with pytest.raises(IndexError):
        fifo.popleft()


@pytest.mark.parametrize("before", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 5 * CHUNK + 3])
@pytest.mark.parametrize("more", [0, 1, CHUNK, 2 * CHUNK + 5])
def test_many_ids_at_once_follow_those_that_are_there(before: int, more: int) -> None:
    fifo = fifo_of(*range(before))
    fifo.extend(range(before, before + more))
    assert len(fifo) == before + more
    assert list(fifo) == list(range(before + more))
    assert drained(fifo) == list(range(before + more))


@pytest.mark.parametrize("run", [CHUNK - 1, CHUNK, CHUNK + 1, 5000, 2 * CHUNK])
def test_run_after_run_follows_those_that_are_there(run: int) -> None:
    fifo = Fifo()
    for start in range(0, 4 * run, run):
        fifo.extend(range(start, start + run))
        assert len(fifo) == start + run
    assert drained(fifo) == list(range(4 * run))


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])))
def test_ids_that_are_put_back_in_any_order_come_out_next_in_their_old_one(order: tuple[int, ...]) -> None:
    fifo = fifo_of(*range(2 * CHUNK))
    assert [fifo.popleft() for _ in range(3)] == [0, 1, 2]
    for job_id in order:
        fifo.put_back(job_id, job_id + 100)
    assert len(fifo) == 2 * CHUNK
    assert drained(fifo) == list(range(2 * CHUNK))
    fifo.put_back(5, 5)
    assert drained(fifo) == [5]


def test_ids_are_put_back_by_their_position_and_not_by_their_number() -> None:
    fifo = fifo_of(30, 20, 10)
    ids = [fifo.popleft(), fifo.popleft()]
    fifo.put_back(ids[1], 2)
    fifo.put_back(ids[0], 1)
    fifo.append(5)
    assert fifo.popleft() == 30
    fifo.put_back(30, 1)
    assert drained(fifo) == [30, 20, 10, 5]


def test_the_head_shows_what_comes_next_and_takes_nothing() -> None:
    fifo = fifo_of(*range(CHUNK + 10))
    assert fifo.peek(3) == [0, 1, 2]
    assert fifo.peek(CHUNK * 2)[:2] == [0, 1]
    assert len(fifo) == CHUNK + 10
    assert Fifo().peek(5) == []


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(1, 3000)),
            st.tuples(st.just("extend"), st.integers(0, 9000)),
            st.tuples(st.just("popleft"), st.integers(1, 6000)),
            st.tuples(st.just("put back"), st.integers(1, 3)),
        ),
        max_size=8,
    )
)
def test_a_long_queue_is_a_deque_that_needs_less_memory(steps: list[tuple[str, int]]) -> None:
    fifo, model, number = Fifo(), deque[int](), 0
    out: list[int] = []  # taken and not put back
    for step, count in steps:
        fresh = range(number, number + count)
        number += count
        if step == "extend":
            fifo.extend(fresh)
            model.extend(fresh)
        elif step == "popleft":
            for _ in range(min(count, len(model))):
                out.append(fifo.popleft())
                assert out[-1] == model.popleft()
        elif step == "put back":
            for job_id in reversed(out[-count:]):
                fifo.put_back(job_id, job_id)
                model.appendleft(job_id)
            del out[-count:]
        else:
            for job_id in fresh:
                fifo.append(job_id)
                model.append(job_id)
        assert len(fifo) == len(model)
        assert fifo.peek(1) == list(model)[:1]
    assert list(fifo) == list(model)


# -- Queue ---------------------------------------------------------------------------------------------------------


def test_a_higher_priority_comes_out_first() -> None:
    queue = Queue("q", 1)
    for job_id, priority in enumerate([5, 1, 9, 5, 9, 1, 7]):
        queue.append(priority, job_id)
    assert len(queue) == 7
    assert queue.peek(10) == [2, 4]
    assert taken(queue) == [2, 4, 6, 0, 3, 1, 5]
    assert len(queue) == 0
    assert queue.peek() == []


def test_a_job_given_back_comes_before_those_of_its_priority_only() -> None:
    queue = Queue("q", 1)
    for job_id, priority in enumerate([5, 5, 9]):
        queue.append(priority, job_id)
    assert taken(queue) == [2, 0, 1]
    queue.append(5, 1)
    queue.put_back(5, 0, 0)
    queue.append(9, 3)
    assert taken(queue) == [3, 0, 1]


def test_a_queue_that_is_emptied_hands_out_all_it_had() -> None:
    queue = Queue("q", 1)
    for job_id, priority in enumerate([5, 1, 5]):
        queue.append(priority, job_id)
    assert sorted(job_id for fifo in queue.take_all() for job_id in fifo.peek(10)) == [0, 1, 2]
    assert len(queue) == 0
    assert queue.first() is None
    queue.append(5, 7)
    assert taken(queue) == [7]


# -- through the manager -------------------------------------------------------------------------------------------


def test_priority_nine_is_fetched_before_one_and_five_is_the_default(engine: Engine) -> None:
    for priority in [1, 2, 3, 4, None, 6, 7, 8, 9]:
        engine.push(f"priority{priority}", priority=priority)
    assert engine.jids() == [f"priority{priority}" for priority in [9, 8, 7, 6, None, 4, 3, 2, 1]]


def test_zero_and_more_than_nine_are_the_default_priority(engine: Engine) -> None:
    pushed = [("first five", 5), ("zero----", 0), ("ten-----", 10), ("huge----", 2**63 - 1), ("absent--", None)]
    for jid, priority in pushed:
        engine.push(jid, priority=priority)
    engine.push("six-----", priority=6)
    engine.push("four----", priority=4)
    expected = ["six-----", *(jid for jid, _ in pushed), "four----"]
    engine.restart()
    assert engine.jids() == expected


def test_jobs_of_one_priority_are_fetched_in_the_order_of_their_push(engine: Engine) -> None:
    pushed = [engine.push(priority=number % 2 + 5) for number in range(40)]
    assert engine.jids() == pushed[1::2] + pushed[0::2]


def test_the_order_of_the_queues_in_fetch_wins_over_priority(engine: Engine) -> None:
    low, high = engine.push(queue="a", priority=1), engine.push(queue="b", priority=9)
    again = engine.push(queue="a", priority=1)
    assert engine.jids("missing", "a", "b") == [low, again, high]


def test_a_fetch_goes_on_to_the_next_queue_when_one_is_empty_or_paused(engine: Engine) -> None:
    engine.push(queue="paused")
    wanted = engine.push(queue="third")
    engine.jids("empty")
    engine.manager.pause(["paused"])
    assert engine.jids("paused", "empty", "third") == [wanted]
    assert engine.fetch("paused", "empty", "third") is None


def test_a_fetch_of_an_unknown_queue_makes_none(engine: Engine) -> None:
    assert engine.fetch("unknown", "not a name", "") is None
    assert engine.manager.queue_sizes() == {}


def test_names_of_sets_are_ordinary_queues(engine: Engine) -> None:
    for name in ("retries", "dead", "scheduled", "queues", "working", "total"):
        jid = engine.push(queue=name)
        engine.restart()
        assert engine.jids(name) == [jid]


def test_an_empty_queue_stays_until_it_is_removed(engine: Engine) -> None:
    engine.manager.ack(engine.push(queue="b"), "")
    engine.push(queue="a")
    engine.jids("a", "b")
    engine.restart()
    assert engine.manager.queue_sizes() == {"a": 0, "b": 0}


def test_a_long_backlog_keeps_its_order_over_a_restart(engine: Engine) -> None:
    """Longer than what is read at once, in queues longer than one piece of their memory."""
    pushed = [engine.push(queue=f"q{number % 4}") for number in range(24_000)]
    engine.restart()
    for number in range(4):
        assert engine.manager.queue_sizes()[f"q{number}"] == 6000
        assert engine.jids(f"q{number}") == pushed[number::4]
