"""Throttles whose work does not fit into one turn: what is right in between, and that it comes to an end."""

from __future__ import annotations

from typing import Any

from faktory_tw.features.throttles.lanes import Held
from tests.unit.features.mill import MakeMill, got

ONE = 'one = { jobtype = "Work", concurrency = 1 }'


def test_two_changes_at_once_count_all_that_is_worked_for_both(make_mill: MakeMill) -> None:
    mill = make_mill("")
    mill.push(count=1300)
    worked = mill.fetch_all()
    waiting = mill.push(count=3)
    mill.reload("bulk = { concurrency = 1299 }", upkeep=False)
    mill.reload("bulk = { concurrency = 1299 }\n" + ONE.replace("= 1 ", "= 1300 "), upkeep=False)
    assert mill.fetch() is None, "nobody gets a job before all are counted"
    assert mill.engine.upkeep() > 3, "they are counted in slices"
    assert [mill.view(name).taken for name in ("bulk", "one")] == [1300, 1300]
    mill.ack(worked[0])
    assert mill.fetch() is None
    mill.ack(worked[1])
    assert mill.fetch() == waiting[0]
    assert mill.fetch() is None


def test_a_throttle_that_is_gone_while_it_counts_leaves_nothing_behind(make_mill: MakeMill) -> None:
    mill = make_mill("")
    jids = mill.push(count=1300)
    worked = mill.fetch_all()
    mill.reload(ONE, upkeep=False)
    assert mill.engine.manager.upkeep()
    mill.reload("")
    (new,) = mill.push()
    assert mill.fetch() == new
    mill.ack(*worked, new)
    assert mill.engine.sizes()["working"] == 0
    assert len(worked) == len(jids)
    assert not mill.throttles._slots.by_job


def many_queues(make_mill: MakeMill, count: int = 700) -> tuple[object, list[str], str]:
    """A slot that is taken, and a job in each of so many queues whose turn came in vain."""
    mill = make_mill(ONE)
    (held,) = mill.push("first")
    assert mill.fetch("first") == held
    names = [f"q{number:03}" for number in range(count)]
    for name in names:
        mill.push(name)
        assert mill.fetch(name) is None
    return mill, names, held


def test_of_many_queues_the_one_where_somebody_waits_gets_the_slot(make_mill: MakeMill) -> None:
    mill, names, held = many_queues(make_mill)
    client = mill.wait(names[-1])  # type: ignore[attr-defined]
    mill.ack(held)  # type: ignore[attr-defined]
    assert got(client) == [], "not all are told in one turn"
    mill.engine.upkeep()  # type: ignore[attr-defined]
    assert len(got(client)) == 1


def test_who_finds_the_slot_taken_after_it_was_offered_is_told_when_it_is_free(make_mill: MakeMill) -> None:
    mill = make_mill(ONE)
    (held,), (late,), (other,) = (mill.push(name) for name in ("first", "late", "other"))
    assert mill.fetch("first") == held
    assert mill.fetch("late") is None
    mill.ack(held)
    assert mill.fetch("other") == other
    assert mill.fetch("late") is None
    client = mill.wait("late")
    mill.ack(other)
    assert got(client) == [late]


def test_a_job_does_not_go_before_those_that_were_not_told_yet_of_the_slot(make_mill: MakeMill) -> None:
    mill, names, held = many_queues(make_mill)
    second = mill.push(names[-1])  # type: ignore[attr-defined]
    mill.ack(held)  # type: ignore[attr-defined]
    first = mill.fetch(names[-1])  # type: ignore[attr-defined]
    assert first not in (None, *second)
    mill.ack(first)  # type: ignore[attr-defined]
    assert [mill.fetch(names[-1])] == second  # type: ignore[attr-defined]


def test_who_may_have_no_more_is_not_asked_for_ever(make_mill: MakeMill) -> None:
    mill = make_mill('bulk = { key = "0.tenant_id", worker = 1 }')
    first, second, third = mill.push(tenant="a", count=3)
    assert mill.fetch(wid="full") == first
    assert mill.fetch(wid="other") == second
    assert mill.fetch(wid="full") is None
    client = mill.wait(wid="full")
    mill.ack(second)
    assert not [mill.engine.manager.upkeep() for _ in range(5)][-1]
    assert got(client) == []
    mill.ack(first)
    assert got(client) == [third]


def test_slots_whose_time_is_not_over_are_not_gone_through(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { concurrency = 50, timeout = 60 }")
    mill.push(count=50)
    mill.fetch_all()
    looked_at: list[int] = []

    class Watched(dict[int, Held]):
        def items(self) -> Any:
            for key, each in super().items():
                looked_at.append(key)
                yield key, each

    [throttle] = mill.throttles._throttles.values()
    throttle.held = Watched(throttle.held)
    mill.throttles.step()
    assert len(looked_at) == 1
