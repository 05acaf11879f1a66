"""Batches: when which callback is fired, in which order, and that each is fired once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faktory_tw.storage.store import Place
from tests.unit.doubles import DAY, HOUR, Client, jid_of
from tests.unit.features.batch_town import CALLBACKS, Town, callback


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path / "data")
    yield town
    town.engine.stop()


again = pytest.mark.parametrize("how", ["", "restart", "crash"])

# -- members -------------------------------------------------------------------------------------------------------


@again
def test_pending_falls_when_a_member_is_done_and_complete_is_fired_before_success(town: Town, how: str) -> None:
    bid = town.filled("success", "complete", members=2)
    town.again(how)
    assert (town.numbers(bid), town.states(bid)) == ((2, 2, 0), ("", ""))
    town.ack(bid)
    assert (town.numbers(bid), town.states(bid)) == ((2, 1, 0), ("", ""))
    town.again(how)
    town.ack(bid)
    town.again(how)
    assert (town.numbers(bid), town.states(bid)) == ((2, 0, 0), ("1", ""))
    assert town.fired() == [f"complete {bid}"]
    town.finish(f"complete {bid}")
    town.again(how)
    assert town.states(bid) == ("2", "1")
    town.finish(f"success {bid}")
    town.again(how)
    assert town.states(bid) == ("2", "2")
    assert town.fired() == []


def test_a_member_runs_before_the_commit_and_nothing_is_fired_before_it(town: Town) -> None:
    bid = town.new("complete", "success", "death")
    town.push(bid)
    town.ack(bid)
    assert (town.numbers(bid), town.fired()) == ((1, 0, 0), [])
    town.commit(bid)
    assert town.fired() == [f"complete {bid}"]


def test_an_empty_batch_fires_when_it_is_committed(town: Town) -> None:
    bid = town.filled("complete", "success", members=0)
    town.finish(f"complete {bid}", f"success {bid}")
    assert town.states(bid) == ("2", "2")


def test_without_a_complete_callback_success_waits_for_nothing_else(town: Town) -> None:
    bid = town.filled("success", members=0)
    assert town.states(bid) == ("", "1")


@again
def test_complete_waits_for_a_try_of_each_member_and_success_for_its_success(town: Town, how: str) -> None:
    bid = town.filled("complete", "success", members=2)
    town.ack(bid)
    town.fail(bid)
    town.again(how)
    assert (town.numbers(bid), town.states(bid)) == ((2, 1, 1), ("1", ""))
    town.finish(f"complete {bid}")
    assert town.fired() == []
    town.retry()
    town.again(how)
    town.fail(bid)
    assert town.numbers(bid) == (2, 1, 1)
    town.retry()
    town.ack(bid)
    town.again(how)
    assert (town.numbers(bid), town.states(bid)) == ((2, 0, 0), ("2", "1"))
    assert town.fired() == [f"success {bid}"]


def delete(town: Town, bid: str, jid: str) -> None:
    town.change("delete", jid)


def discard(town: Town, bid: str, jid: str) -> None:
    town.fail(bid)


def expire(town: Town, bid: str, jid: str) -> None:
    town.engine.pass_time(60)


def remove(town: Town, bid: str, jid: str) -> None:
    town.engine.manager.remove_queues([bid])
    town.engine.upkeep()


@again
@pytest.mark.parametrize("end", [delete, discard, expire, remove])
def test_a_member_that_is_gone_counts_as_tried_and_as_failed_and_success_never_comes(
    town: Town, end: Callable[[Town, str, str], None], how: str
) -> None:
    bid = town.new("complete", "success", "death")
    (jid,) = town.push(bid, retry=0, custom={"expires_in": 60})
    town.commit(bid)
    town.again(how)
    end(town, bid, jid)
    assert (town.numbers(bid), town.states(bid)) == ((1, 0, 1), ("1", ""))
    assert sorted(town.fired()) == [f"complete {bid}", f"death {bid}"]
    town.finish(*town.fired())
    town.again(how)
    view = town.view(bid)
    assert (view.gone, view.succeeded, view.pending, view.failed) == (1, 0, 0, 1)
    assert town.fired() == []
    assert view.ended_at == town.clock.time()


def test_a_failed_member_that_is_deleted_is_counted_once(town: Town) -> None:
    bid = town.filled("success", members=2)
    town.ack(bid)
    town.fail(bid)
    assert len(town.batches.failed_jobs(bid, 10)) == 1
    town.engine.mutate("clear", "retries")
    assert (town.numbers(bid), town.batches.failed_jobs(bid, 10)) == ((2, 0, 1), [])


@again
@pytest.mark.parametrize("place", ["queue", "retries"])
def test_a_dead_member_counts_as_tried_and_may_still_succeed(town: Town, place: str, how: str) -> None:
    bid = town.new("complete", "success", "death")
    (jid,) = town.push(bid, retry=2)
    town.commit(bid)
    if place == "retries":
        town.fail(bid)
        assert town.fired() == [f"complete {bid}"]
    town.change("kill", jid)
    assert sorted(town.fired()) == [f"complete {bid}", f"death {bid}"]
    assert town.numbers(bid) == (1, 1, 1)
    town.again(how)
    assert len(town.batches.failed_jobs(bid, 10)) == 1
    town.finish(*town.fired())
    town.retry()
    town.ack(bid)
    town.again(how)
    assert town.numbers(bid) == (1, 0, 0)
    assert town.fired() == [f"success {bid}"]


def test_a_dead_member_that_is_dropped_after_180_days_is_gone(town: Town) -> None:
    bid = town.new("success", "death")
    town.push(bid, retry=-1)
    town.commit(bid)
    town.fail(bid)
    town.finish(f"death {bid}")
    town.engine.pass_time(179 * DAY)
    assert town.numbers(bid) == (1, 1, 1)
    assert town.view(bid).ended_at is None
    town.engine.pass_time(DAY)
    assert town.numbers(bid) == (1, 0, 1)
    assert town.view(bid).ended_at == town.clock.time()


@again
def test_death_is_fired_once_for_the_first_one_and_before_the_commit(town: Town, how: str) -> None:
    bid = town.new("success", "death")
    town.push(bid, 3, retry=-1)
    town.fail(bid)
    assert town.fired() == [f"death {bid}"]
    assert town.status(bid)["death_st"] == "1"
    town.again(how)
    town.fail(bid, 2)
    town.commit(bid)
    assert town.fired() == [f"death {bid}"]
    town.finish(f"death {bid}")
    assert town.status(bid)["death_st"] == "2"


@again
def test_a_failed_member_with_another_priority_is_the_same_one(town: Town, how: str) -> None:
    bid = town.filled("success")
    jid = town.take(bid)["jid"]
    town.engine.fail(jid)
    town.retry()
    town.change("priority", jid, 9)
    town.again(how)
    assert town.numbers(bid) == (1, 1, 1)
    town.ack(bid)
    assert (town.numbers(bid), town.states(bid)) == ((1, 0, 0), ("", "1"))
    assert town.kept() == 2


def test_a_scheduled_member_is_waited_for(town: Town) -> None:
    bid = town.new("complete")
    town.push(bid, at="2025-11-21T13:00:00Z")
    town.commit(bid)
    assert town.fired() == []
    town.engine.pass_time(HOUR + 1)
    town.ack(bid)
    assert town.fired() == [f"complete {bid}"]


def test_a_member_that_is_given_back_was_not_tried(town: Town) -> None:
    bid = town.filled("complete")
    reservation = town.engine.reserve(bid)
    assert reservation is not None
    town.engine.manager.give_back(reservation)
    assert town.fired() == []
    town.ack(bid)
    assert town.fired() == [f"complete {bid}"]


def test_a_member_whose_reservation_is_over_was_tried(town: Town) -> None:
    bid = town.filled("complete", "success")
    jid = town.take(bid)["jid"]
    town.engine.pass_time(1801)
    assert (town.numbers(bid), town.states(bid)) == ((1, 1, 1), ("1", ""))
    town.retry()
    town.finish(f"complete {bid}")
    assert town.take(bid)["jid"] == jid
    town.engine.manager.ack(jid, "")
    assert town.states(bid) == ("2", "1")


def test_a_member_that_has_expired_when_it_is_pushed_is_gone_at_once(town: Town) -> None:
    bid = town.filled("complete", "death", members=0)
    town.finish(f"complete {bid}")
    town.push(bid, custom={"expires_at": "2025-11-21T11:00:00Z"})
    assert town.numbers(bid) == (1, 0, 1)
    assert town.fired() == [f"death {bid}"]


def test_jobs_that_are_no_members_change_nothing(town: Town) -> None:
    bid = town.filled("complete")
    town.engine.push(queue="other")
    town.ack("other")
    assert (town.numbers(bid), town.states(bid)) == ((1, 1, 0), ("", ""))


# -- opened again --------------------------------------------------------------------------------------------------


@again
def test_a_batch_that_is_opened_again_takes_more_and_fires_nothing_twice(town: Town, how: str) -> None:
    bid = town.filled("complete", "success")
    town.ack(bid)
    town.finish(f"complete {bid}", f"success {bid}")
    town.again(how)
    assert town.ask(f"OPEN {bid}") == b"$%d\r\n%b\r\n" % (len(bid), bid.encode())
    assert not town.view(bid).committed
    town.push(bid)
    town.again(how)
    town.commit(bid)
    town.ack(bid)
    assert (town.numbers(bid), town.states(bid), town.fired()) == ((2, 0, 0), ("2", "2"), [])
    assert town.view(bid).ended_at is not None


def test_a_batch_that_is_open_again_waits_for_its_commit(town: Town) -> None:
    bid = town.filled("complete", "success")
    town.ask(f"OPEN {bid}")
    town.ack(bid)
    assert town.fired() == []
    town.commit(bid)
    town.commit(bid)
    assert town.fired() == [f"complete {bid}"]


def test_a_job_may_be_pushed_to_a_committed_batch(town: Town) -> None:
    bid = town.filled("complete")
    town.push(bid)
    town.ack(bid)
    assert town.fired() == []
    town.ack(bid)
    assert town.fired() == [f"complete {bid}"]


# -- callbacks -----------------------------------------------------------------------------------------------------


def test_a_callback_is_a_job_with_its_batch_and_its_kind(town: Town) -> None:
    parent = town.new("complete")
    custom = {"bid": "b-99", "_bid": "b-98", "locale": "de"}
    given = callback("X", jid="callback-1", args=[1, {"a": 1.0}], custom=custom, retry=3, priority=9)
    bid = town.new(parent=parent, success=given)
    town.commit(bid)
    job = town.take(CALLBACKS)
    assert job["custom"] == {"_bid": bid, "_pbid": parent, "_cb": "success", "locale": "de"}
    assert (job["jid"], job["args"], job["retry"], job["priority"]) == ("callback-1", [1, {"a": 1.0}], 3, 9)
    assert town.numbers(bid) == (0, 0, 0)


def test_a_callback_may_lack_what_a_job_may_not(town: Town) -> None:
    bid = town.new(complete={"jobtype": "X"})
    town.commit(bid)
    job = town.take("default")
    assert (job["args"], job["queue"], len(job["jid"])) == ([], "default", 24)
    assert job["custom"] == {"_bid": bid, "_cb": "complete"}


@again
def test_a_callback_that_fails_is_enqueued_until_it_succeeds(town: Town, how: str) -> None:
    bid = town.filled("complete", "success", members=0)
    town.fail(CALLBACKS)
    assert town.states(bid) == ("1", "")
    town.retry()
    jid = town.take(CALLBACKS)["jid"]
    town.engine.fail(jid)
    town.change("kill", jid)
    town.again(how)
    assert town.states(bid) == ("1", "")
    assert town.view(bid).ended_at is None
    town.retry()
    town.change("priority", jid, 9)
    town.again(how)
    town.finish(f"complete {bid}")
    assert town.states(bid) == ("2", "1")


@again
def test_a_complete_callback_that_is_gone_holds_up_nothing(town: Town, how: str) -> None:
    parent = town.filled("complete", members=0)
    assert town.fired() == [f"complete {parent}"]
    top = town.new("complete")
    bid = town.filled("complete", "success", members=0, parent=top)
    town.commit(top)
    town.finish(f"complete {parent}")
    town.again(how)
    town.change("delete", town.view(bid).callback_jids["complete"])
    town.again(how)
    assert town.states(bid) == ("1", "1")
    assert sorted(town.fired()) == [f"complete {top}", f"success {bid}"]


@again
def test_a_success_callback_that_is_gone_is_no_success_for_the_parent(town: Town, how: str) -> None:
    parent = town.new("success")
    bid = town.filled("success", members=0, parent=parent)
    town.commit(parent)
    town.change("delete", town.view(bid).callback_jids["success"])
    town.again(how)
    assert (town.states(bid), town.states(parent)) == (("", "1"), ("", ""))
    assert town.fired() == []
    assert town.view(bid).ended_at is not None
    assert town.view(parent).ended_at is not None


def test_a_job_that_claims_to_be_a_callback_is_none(town: Town) -> None:
    bid = town.filled("complete", "success", members=0)
    town.engine.push(custom={"_bid": bid, "_cb": "complete"}, queue="forged")
    town.ack("forged")
    town.engine.push("forged-0001", custom={"_bid": bid, "_cb": "complete"}, queue="forged")
    town.change("delete", "forged-0001")
    assert town.states(bid) == ("1", "")


def test_a_callback_may_be_scheduled(town: Town) -> None:
    bid = town.new(complete=callback("complete", at="2025-11-21T13:00:00Z"))
    town.commit(bid)
    assert (town.fired(), town.states(bid)) == ([], ("1", ""))
    town.engine.pass_time(HOUR + 1)
    town.finish(f"complete {bid}")
    assert town.states(bid) == ("2", "")


def test_a_callback_that_has_expired_when_it_is_fired_is_gone(town: Town) -> None:
    custom = {"expires_at": "2025-11-21T11:00:00Z"}
    bid = town.new("success", complete=callback("complete", custom=custom))
    town.commit(bid)
    assert town.states(bid) == ("1", "1")
    assert town.fired() == [f"success {bid}"]


def test_neither_an_equal_job_nor_a_full_queue_keeps_a_callback_out(town: Town) -> None:
    custom = {"unique_for": 600}
    town.engine.limits.max_queue_size = 1
    town.engine.push(jobtype="complete", queue=CALLBACKS, custom=custom)
    bid = town.new(complete=callback("complete", custom=custom))
    town.commit(bid)
    assert town.states(bid) == ("1", "")
    assert town.engine.manager.queue_sizes()[CALLBACKS] == 2


def test_a_fetch_that_waits_gets_the_callback_in_the_turn_that_fires_it(town: Town) -> None:
    client = Client(town.engine, CALLBACKS)
    bid = town.filled("complete", "success")
    town.ack(bid)
    (job,) = client.jobs
    assert job is not None
    assert job["jobtype"] == "complete"
    town.engine.manager.ack(job["jid"], "")
    assert town.states(bid) == ("2", "1")


def test_a_callback_is_recorded_with_the_ack_that_caused_it_or_not_at_all(town: Town) -> None:
    bid = town.filled("complete")
    town.engine.commit()
    town.ack(bid)
    town.engine.crash()
    assert (town.numbers(bid), town.fired()) == ((1, 1, 0), [])
    town.ack(bid)
    town.engine.commit()
    town.engine.crash()
    assert (town.numbers(bid), town.fired()) == ((1, 0, 0), [f"complete {bid}"])


@again
def test_callbacks_wait_while_the_disk_is_nearly_full(town: Town, how: str) -> None:
    bids = [town.filled("complete", "death", members=2) for _ in range(3)]
    town.engine.manager.refuse_pushes = "disk nearly full"
    for bid in bids:
        town.ack(bid)
        town.change("kill", jid_of(town.rows(Place.QUEUED, bid)[0]))
    town.engine.upkeep()
    assert town.fired() == []
    if how:
        town.again(how)
        town.engine.manager.refuse_pushes = "disk nearly full"
        town.engine.upkeep()
        assert town.fired() == []
    town.engine.manager.refuse_pushes = ""
    town.engine.upkeep()
    assert sorted(town.fired()) == sorted([*(f"complete {bid}" for bid in bids), *(f"death {bid}" for bid in bids)])
    town.engine.upkeep()
    assert len(town.fired()) == 6


def test_an_open_batch_is_not_dropped_while_the_disk_is_nearly_full(town: Town) -> None:
    bid = town.new("death", "success")
    town.push(bid, retry=0)
    town.engine.manager.refuse_pushes = "disk nearly full"
    town.fail(bid)
    town.engine.pass_time(DAY)
    town.engine.manager.refuse_pushes = ""
    town.engine.upkeep()
    assert town.fired() == [f"death {bid}"]


def test_a_fetch_that_dropped_what_had_expired_gets_the_callback_of_that(town: Town) -> None:
    bid = town.new("complete")
    town.push(bid, custom={"expires_in": 60})
    town.commit(bid)
    town.clock.advance(60)
    assert town.engine.fetch(CALLBACKS, bid) is None
    client = Client(town.engine, CALLBACKS, bid)
    town.engine.upkeep()
    assert [job["jobtype"] for job in client.jobs if job] == ["complete"]


@pytest.mark.parametrize("how", ["delete", "kill", "remove", "clear", "expire", "fetch"])
def test_callbacks_that_come_into_the_very_queue_that_is_changed_stay_there(town: Town, how: str) -> None:
    bids = [town.new(complete={"jobtype": "complete", "queue": "work"}) for _ in range(600)]
    for bid in bids:
        town.push(bid, queue="work", custom={"expires_in": 60})
    town.commit(*bids)
    manager = town.engine.manager
    if how in ("expire", "fetch"):
        town.clock.advance(60)
        if how == "fetch":
            assert town.engine.fetch("work") is None
    elif how == "remove":
        manager.remove_queues(["work"])
    elif how == "clear":
        manager.edits.clear_queue("work")
    else:
        for row in town.rows(Place.QUEUED, "work"):
            if how == "delete":
                manager.edits.discard_queued("work", 5, [row.id])
            else:
                manager.edits.kill_queued([row])
    town.engine.upkeep()
    assert manager.queue_sizes()["work"] == 600
    town.finish(*(f"complete {bid}" for bid in sorted_as_queued(town)), queue="work")


def sorted_as_queued(town: Town) -> list[str]:
    """The bids of the callbacks in the queue ``work``, in order."""
    return [row.body.decode().split('"_bid":"')[1].split('"')[0] for row in town.rows(Place.QUEUED, "work")]
