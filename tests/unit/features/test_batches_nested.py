"""Batches in batches, however deep, the time that they have, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faktory_tw.storage.store import Place
from faktory_tw.wire import CommandError
from tests.unit.doubles import DAY
from tests.unit.features.batch_town import Town, callback, times

OPEN, KEPT = 1800, DAY


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path / "data")
    yield town
    town.engine.stop()


again = pytest.mark.parametrize("how", ["", "restart", "crash"])


def bids(views: list[object]) -> list[str]:
    return [view.bid for view in views]  # type: ignore[attr-defined]


# -- order ---------------------------------------------------------------------------------------------------------


@again
def test_a_parent_waits_for_the_same_callback_of_its_child(town: Town, how: str) -> None:
    parent = town.new("complete", "success")
    child = town.filled("complete", "success", parent=parent)
    town.commit(parent)
    town.ack(child)
    town.again(how)
    assert town.fired() == [f"complete {child}"]
    town.finish(f"complete {child}")
    town.again(how)
    assert sorted(town.fired()) == [f"complete {parent}", f"success {child}"]
    town.finish(*town.fired())
    town.again(how)
    town.finish(f"success {parent}")
    assert town.numbers(parent) == (0, 0, 0)
    assert [town.states(bid) for bid in (parent, child)] == [("2", "2")] * 2


def test_a_parent_waits_for_a_child_that_has_no_such_callback(town: Town) -> None:
    parent = town.new("complete")
    child = town.filled("success", parent=parent)
    town.commit(parent)
    assert town.fired() == []
    town.fail(child)
    assert town.fired() == [f"complete {parent}"]


@again
def test_a_parent_without_callbacks_of_a_kind_passes_it_on(town: Town, how: str) -> None:
    top = town.new("success")
    middle = town.new("complete", parent=top)
    low = town.filled("complete", parent=middle)
    town.commit(top, middle)
    town.again(how)
    town.ack(low)
    town.again(how)
    assert sorted(town.fired()) == sorted([f"complete {low}", f"success {top}"])
    town.finish(*sorted(town.fired()))
    assert town.fired() == [f"complete {middle}"]


def test_a_parent_waits_for_a_child_that_is_not_committed(town: Town) -> None:
    parent = town.new("complete", "success")
    child = town.new("complete", parent=parent)
    town.commit(parent)
    assert town.fired() == []
    town.commit(child)
    town.finish(f"complete {child}", f"complete {parent}", f"success {parent}")


@again
def test_a_death_below_is_told_to_all_above(town: Town, how: str) -> None:
    top = town.new("death")
    middle = town.new("success", parent=top)
    low = town.new("success", "death", parent=middle)
    town.push(low, retry=-1)
    town.fail(low)
    town.again(how)
    assert sorted(town.fired()) == [f"death {top}", f"death {low}"]
    town.retry()
    town.commit(low, middle, top)
    town.ack(low)
    assert f"success {low}" in town.fired()


@again
def test_a_member_that_is_gone_below_makes_success_above_impossible(town: Town, how: str) -> None:
    top = town.new("complete", "success")
    low = town.new("complete", parent=top)
    (jid,) = town.push(low)
    town.commit(low, top)
    town.change("delete", jid)
    town.finish(f"complete {low}")
    town.again(how)
    town.finish(f"complete {top}")
    assert (town.fired(), town.states(top)) == ([], ("2", ""))
    assert town.view(top).ended_at == town.clock.time()


def chain(town: Town, *kinds: str) -> tuple[str, str]:
    """A chain of committed batches, thousands deep, whose lowest has a member; its ends."""
    top = bid = town.new("complete", "success", "death")
    for _ in range(3000):
        bid = town.new(*kinds, parent=bid)
        town.commit(bid)
    town.push(bid)
    town.commit(top)
    town.engine.upkeep()
    return top, bid


@again
def test_completion_comes_up_a_long_chain_in_slices(town: Town, how: str) -> None:
    top = bid = town.new("complete", "success")
    below = []
    for _ in range(3000):
        bid = town.new("death", parent=bid)
        below.append(bid)
    town.commit(top, *below[:-1])
    assert town.fired() == []
    town.commit(bid)
    assert town.fired() == []
    town.again(how)
    assert town.engine.upkeep() > 5
    town.finish(f"complete {top}", f"success {top}")
    assert town.view(below[1500]).ended_at is not None


@again
def test_a_death_comes_up_a_long_chain_in_slices(town: Town, how: str) -> None:
    top, lowest = chain(town, "death")
    town.finish(f"complete {top}")
    town.again(how)
    jid = town.engine.manager.read([row.id for row in town.rows(Place.QUEUED, lowest)])[0]
    town.engine.manager.edits.discard_queued(lowest, 5, [jid.id])
    assert f"death {lowest}" in town.fired()
    assert f"death {top}" not in town.fired()
    town.again(how)
    assert town.engine.upkeep() > 5
    assert town.fired().count(f"death {top}") == 1
    assert len(set(town.fired())) == len(town.fired()) == 3002


# -- time ----------------------------------------------------------------------------------------------------------


@again
def test_a_batch_that_is_never_committed_is_dropped_and_its_members_go_on(town: Town, how: str) -> None:
    bid = town.new("complete", "success", "death")
    town.push(bid, 2)
    town.fail(bid)
    town.again(how)
    town.engine.pass_time(OPEN - 1)
    assert town.numbers(bid) == (2, 2, 1)
    town.engine.pass_time(1)
    with pytest.raises(CommandError, match=rf"^No such batch {bid}$"):
        town.status(bid)
    assert (len(town.batches), town.batches.abandoned) == (0, 1)
    town.retry()
    town.ack(bid, 2)
    assert town.fired() == []
    town.engine.upkeep()
    assert town.kept() == 0


def test_a_push_and_an_open_give_it_more_time(town: Town) -> None:
    bid = town.new("complete")
    for turn in range(4):
        town.engine.pass_time(OPEN - 1)
        if turn % 2:
            town.push(bid)
        else:
            town.ask(f"OPEN {bid}")
    town.engine.pass_time(OPEN - 1)
    assert town.numbers(bid) == (2, 2, 0)
    town.engine.pass_time(1)
    assert len(town.batches) == 0


@again
def test_a_batch_that_is_open_again_is_committed_when_its_time_is_over(town: Town, how: str) -> None:
    bid = town.filled("complete", members=0)
    town.finish(f"complete {bid}")
    town.ask(f"OPEN {bid}")
    town.push(bid)
    town.again(how)
    town.engine.pass_time(OPEN)
    assert town.view(bid).committed
    assert town.batches.committed_again == 1
    town.ack(bid)
    assert town.view(bid).ended_at == town.clock.time()


@again
def test_a_child_that_is_never_committed_keeps_nobody_waiting(town: Town, how: str) -> None:
    parent = town.new("complete", "success", "death")
    child = town.new("success", parent=parent)
    town.commit(parent)
    town.again(how)
    town.engine.pass_time(OPEN)
    town.again(how)
    assert sorted(town.fired()) == [f"complete {parent}", f"death {parent}"]
    assert town.batches.get(child) is None
    town.finish(*town.fired())
    assert town.states(parent) == ("2", "")
    assert town.view(parent).ended_at is not None


@again
def test_a_batch_that_is_dropped_is_shown_as_long_as_it_has_children(town: Town, how: str) -> None:
    parent = town.new("complete")
    child = town.filled("complete", members=0, parent=parent)
    town.engine.pass_time(OPEN)
    town.again(how)
    assert town.view(parent).dropped
    with pytest.raises(CommandError, match=rf"^No such batch {parent}$"):
        town.ask(f"COMMIT {parent}")
    with pytest.raises(CommandError, match=rf"^No such batch {parent}$"):
        town.push(parent)
    assert town.status(child)["parent_bid"] == parent
    town.finish(f"complete {child}")
    town.engine.pass_time(KEPT)
    assert (len(town.batches), town.kept()) == (0, 0)


@again
def test_a_batch_that_has_ended_is_kept_for_a_day(town: Town, how: str) -> None:
    parent = town.new("complete")
    child = town.filled("success", members=1, parent=parent)
    town.commit(parent)
    town.ack(child)
    town.finish(*town.fired())
    town.again(how)
    town.engine.pass_time(KEPT - 1)
    assert len(town.batches) == 2
    town.engine.pass_time(1)
    assert (len(town.batches), town.kept()) == (0, 0)
    with pytest.raises(CommandError, match=rf"^No such batch {parent}$"):
        town.status(parent)


def test_other_times_can_be_set_while_it_runs(town: Town) -> None:
    town.new("complete")
    ended = town.filled("complete", members=0)
    town.finish(f"complete {ended}")
    town.clock.advance(100)
    town.batches.configure(times(101, 101))
    town.engine.upkeep()
    assert len(town.batches) == 2
    town.batches.configure(times(100, 101))
    town.engine.upkeep()
    assert bids(list(town.batches.page(None, 9))) == [ended]
    town.batches.configure(times(100, 100))
    town.engine.upkeep()
    assert len(town.batches) == 0


def test_a_parent_outlives_its_children(town: Town) -> None:
    parent = town.filled("complete", members=0)
    town.finish(f"complete {parent}")
    town.engine.pass_time(KEPT - 1)
    child = town.filled("complete", parent=parent)
    town.engine.pass_time(10)
    assert len(town.batches) == 2
    town.ack(child)
    town.finish(f"complete {child}")
    town.engine.pass_time(KEPT - 1)
    assert len(town.batches) == 2
    town.engine.pass_time(1)
    assert len(town.batches) == 0


@again
def test_many_batches_and_failed_members_are_dropped_in_slices(town: Town, how: str) -> None:
    bid = town.new("complete")
    town.push(bid, 1200)
    for jid in town.engine.jids(bid):
        town.engine.fail(jid)
    for _ in range(1100):
        town.new("complete", parent=bid)
    town.engine.clock.advance(OPEN)
    town.engine.manager.upkeep()
    town.again(how)
    assert 0 < len(town.batches) < 1101
    town.engine.clock.advance(OPEN)  # which begins anew with the server
    assert town.engine.upkeep() >= 3
    town.engine.commit()
    assert (len(town.batches), town.kept()) == (0, 0)


def test_a_new_batch_has_no_failed_members_of_one_that_was_dropped_before_a_crash(town: Town) -> None:
    bid = town.new("complete")
    town.push(bid, 1200)
    for jid in town.engine.jids(bid):
        town.engine.fail(jid)
    town.clock.advance(OPEN)
    town.engine.manager.upkeep()
    town.again("crash")
    bid = town.filled("complete", "success", members=0)
    assert town.kept() > 2
    town.engine.crash()
    assert (town.numbers(bid), town.batches.failed_jobs(bid, 9)) == ((0, 0, 0), [])
    town.engine.upkeep()
    assert town.kept() == 2


@pytest.mark.parametrize("open_", [True, False])
def test_flush_forgets_all_in_slices(town: Town, open_: bool) -> None:
    parent = town.filled("complete")
    town.fail(parent)
    for _ in range(700):
        bid = town.new("complete", parent=parent)
        if not open_:
            town.commit(bid)
    town.engine.manager.flush()
    assert len(town.batches) == 0
    assert town.engine.upkeep() > 3
    assert town.kept() == 0
    bid = town.filled("complete", members=0)
    town.finish(f"complete {bid}")
    assert bids(list(town.batches.page(None, 9))) == [bid]


# -- looking at them -----------------------------------------------------------------------------------------------


@again
def test_pages_of_all_of_roots_and_of_children(town: Town, how: str) -> None:
    roots = [town.new("complete") for _ in range(5)]
    children = [town.new("complete", parent=roots[1]) for _ in range(5)]
    batches = town.batches
    if how:
        town.again(how)
        batches = town.batches
    everybody = (roots + children)[::-1]
    first = batches.page(None, 4)
    assert bids(list(first)) == everybody[:4]
    assert bids(list(batches.page(first[-1].number, 100))) == everybody[4:]
    first = batches.roots(None, 2)
    assert bids(list(first)) == roots[:2:-1]
    assert bids(list(batches.roots(first[-1].number, 2))) == roots[2:0:-1]
    first = batches.children(roots[1], None, 2)
    assert bids(list(first)) == children[:2]
    assert bids(list(batches.children(roots[1], first[-1].number, 100))) == children[2:]
    assert batches.children("b-none", None, 5) == []
    assert batches.children(roots[0], None, 5) == []
    assert [view.children for view in batches.roots(None, 9)] == [0, 0, 0, 5, 0]
    assert batches.get("b-none") is None


def test_a_view_tells_everything(town: Town) -> None:
    parent = town.new("complete")
    bid = town.new(
        parent=parent,
        description="all",
        complete=callback("Tell", jid="tell-0001"),
        death=callback("Weep", jid="weep-0001"),
    )
    jids = town.push(bid, 4)
    town.commit(bid)
    town.ack(bid)
    town.fail(bid)
    town.change("delete", jids[3])
    view = town.view(bid)
    assert (view.number, view.bid, view.parent_bid, view.description) == (2, bid, parent, "all")
    assert (view.total, view.pending, view.failed, view.gone, view.succeeded) == (4, 2, 2, 1, 1)
    assert (view.complete_st, view.success_st, view.death_st) == ("", "", "1")
    assert view.callbacks == {"complete": "Tell", "death": "Weep"}
    assert view.callback_jids == {"death": "weep-0001"}
    (row,) = town.engine.manager.read([view.callback_ids["death"]])
    assert b"weep-0001" in row.body
    assert [row.place for row in town.engine.manager.read(town.batches.failed_jobs(bid, 9))] == [Place.RETRIES]
    assert town.batches.failed_jobs("b-none", 9) == []
