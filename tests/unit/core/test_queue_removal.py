"""Taking jobs out of the middle of a queue: nothing else moves, and nothing is counted twice."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faktory_tw.core import queues
from faktory_tw.core.queues import Fifo

SMALL = 8  # ids in one piece, so that a short queue has many of them

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 20), st.just(0)),
        st.tuples(st.just("extend"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("popleft"), st.integers(1, 20), st.just(0)),
        st.tuples(st.just("put back"), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("discard"), st.integers(0, 100), st.integers(0, 100)),
        st.tuples(st.just("discard every other"), st.integers(1, 5), st.integers(0, 100)),
        st.tuples(st.just("discard a run"), st.integers(0, 60), st.integers(1, 40)),
    ),
    max_size=14,
)


def meant(command: str, ids: list[int], first: int, second: int) -> list[int]:
    """Return which of these ids a command removes from the middle."""
    if command == "discard":
        return ids[first : first + 1]
    if command == "discard every other":
        return ids[::first]
    return ids[first : first + second] if command == "discard a run" else []


@settings(max_examples=int(os.environ.get("FAKTORY_TW_EXAMPLES", "0")) or 500)
@given(steps)
def test_a_queue_with_holes_is_a_list(commands: list[tuple[str, int, int]]) -> None:
    with patch.object(queues, "_CHUNK", SMALL):
        fifo, model, number = Fifo(), list[int](), 0
        out: list[int] = []  # taken and not put back; positions are ids
        for command, first, second in commands:
            gone = meant(command, model, first, second)
            if command == "append":
                for job_id in range(number, number + first):
                    fifo.append(job_id)
                    model.append(job_id)
                number += first
            elif command == "extend":
                fifo.extend(range(number, number + first))
                model.extend(range(number, number + first))
                number += first
            elif command == "popleft":
                for _ in range(min(first, len(model))):
                    out.append(fifo.popleft())
                    assert out[-1] == model.pop(0)
            elif command == "put back":
                for job_id in reversed(out[-first:]):
                    fifo.put_back(job_id, job_id)
                    model.insert(0, job_id)
                del out[-first:]
            assert fifo.discard([*gone, 10**9], second) == set(gone)
            model = [job_id for job_id in model if job_id not in gone]
            assert len(fifo) == len(model)
            assert list(fifo) == model
            assert fifo.peek(1) == model[:1]
            assert fifo.part(first, 10) == model[first : first + 10]
        assert [fifo.popleft() for _ in range(len(fifo))] == model


def test_a_long_queue_with_holes_is_counted_right_to_its_end() -> None:
    fifo = Fifo()
    fifo.extend(range(30_000))
    gone = {*range(5000, 6000), *range(8192, 12_288), *range(20_000, 30_000, 7)}
    assert fifo.discard(gone, 5000) == gone
    left = [job_id for job_id in range(30_000) if job_id not in gone]
    for number, job_id in enumerate(left):
        assert len(fifo) == len(left) - number
        assert fifo.popleft() == job_id
    fifo.extend(range(10_000))
    assert len(fifo) == 10_000


def test_a_job_that_was_given_back_leaves_no_trace_when_it_is_removed() -> None:
    fifo = Fifo()
    for job_id in range(5):
        fifo.append(job_id)
    for _ in range(3):
        fifo.popleft()
    fifo.put_back(2, 2)
    fifo.put_back(0, 0)
    assert fifo.discard([0]) == {0}
    fifo.put_back(1, 1)
    assert list(fifo) == [1, 2, 3, 4]


def test_what_is_not_there_is_not_removed() -> None:
    fifo = Fifo()
    assert fifo.discard([1]) == set()
    fifo.append(1)
    assert fifo.discard([2, 1, 1], start=100) == {1}
    assert (len(fifo), fifo.peek(1)) == (0, [])


@pytest.mark.parametrize("start", [0, 4096, 500_000, 999_000])
def test_of_a_million_some_hundred_are_removed_without_looking_at_the_others(start: int) -> None:
    fifo = Fifo()
    fifo.extend(range(1_000_000))
    looked_at: list[int] = []

    class Watched(set[int]):
        def isdisjoint(self, other) -> bool:
            looked_at.append(len(other))
            return super().isdisjoint(other)

    with patch.object(queues, "set", Watched, create=True):
        fifo.discard(range(start, start + 200), start)
    assert sum(looked_at) <= 3 * 4096
    assert len(fifo) == 999_800
    assert fifo.part(start - 1 if start else 0, 1) == [start - 1 if start else 200]
