"""Throttles of whole queues: slots and tokens, when they are taken, and every way in which they come back."""

from __future__ import annotations

import pytest

from faktory_tw.core.retry import FailureReport
from faktory_tw.storage.store import Place
from tests.unit.doubles import HOUR
from tests.unit.features.mill import MakeMill, got

TWO = "bulk = { concurrency = 2 }"
ONE_MINUTE = "bulk = { concurrency = 1, timeout = 60 }"
PER_WORKER = "bulk = { worker = 1 }"
RATE = "bulk = { rate = { limit = 1, period = 10, burst = 2 } }"


# -- concurrency -------------------------------------------------------------------------------------------------------


def test_no_more_than_so_many_jobs_of_a_queue_are_given_out_and_fetch_goes_on_to_the_next_queue(
    make_mill: MakeMill,
) -> None:
    mill = make_mill(TWO)
    first, second, _third = mill.push(count=3)
    (other,) = mill.push("default")
    assert [mill.fetch("bulk", "default") for _ in range(4)] == [first, second, other, None]
    assert mill.engine.manager.queue_sizes() == {"bulk": 1, "default": 0}


def test_a_queue_without_a_throttle_has_no_gate(make_mill: MakeMill) -> None:
    mill = make_mill(TWO)
    mill.push("default")
    mill.push("bulk")
    gates = {name: queue.gate is not None for name, queue in mill.engine.manager.queues().items()}
    assert gates == {"default": False, "bulk": True}


@pytest.mark.parametrize("end", ["ack", "fail", "drop", "give back", "worker gone", "reservation over"])
def test_a_slot_comes_back_however_the_reservation_ends(make_mill: MakeMill, end: str) -> None:
    mill = make_mill("bulk = { concurrency = 1 }")
    (first,) = mill.push(retry=0 if end == "drop" else 25)
    (second,) = mill.push()
    assert mill.fetch(wid="w1") == first
    assert mill.fetch() is None
    manager = mill.engine.manager
    if end == "ack":
        mill.ack(first)
    elif end in ("fail", "drop"):
        mill.engine.fail(first)
    elif end == "give back":
        manager.give_back(mill.reservation(first))
        assert mill.fetch() == first
        mill.ack(first)
    elif end == "worker gone":
        manager.disconnect_worker(mill.workers["w1"])
        mill.engine.pass_time(59)
        assert mill.fetch() is None
        mill.engine.pass_time(1)
    else:
        mill.engine.pass_time(1799)
        assert mill.fetch() is None
        mill.engine.pass_time(1)
    assert mill.fetch() == second
    assert mill.fetch() is None
    assert mill.view().taken == 1


def test_a_slot_ends_after_its_timeout_and_the_job_goes_on(make_mill: MakeMill) -> None:
    mill = make_mill(ONE_MINUTE)
    first, second, third = mill.push(count=3)
    assert mill.fetch() == first
    mill.engine.pass_time(59.9)
    assert mill.fetch() is None
    mill.engine.pass_time(0.1)
    assert mill.fetch() == second
    assert (mill.view().reclaimed, mill.view().taken) == (1, 1)
    mill.ack(first)  # its slot was free already
    assert mill.fetch() is None
    mill.ack(second)
    assert mill.fetch() == third
    assert mill.engine.manager.set_sizes()["working"] == 1


def test_a_longer_reservation_does_not_make_a_slot_last_longer(make_mill: MakeMill) -> None:
    mill = make_mill(ONE_MINUTE)
    first, second = mill.push(count=2)
    mill.fetch()
    mill.engine.manager.extend(mill.reservation(first), mill.clock.time() + HOUR)
    mill.engine.pass_time(60)
    assert mill.fetch() == second


def test_flush_frees_everything(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { concurrency = 1 }\nrated = { rate = { limit = 1, period = 100 } }")
    mill.push(count=2)
    mill.push("rated", count=2)
    assert len(mill.fetch_all("bulk", "rated")) == 2
    mill.engine.manager.flush()
    assert mill.tokens_on_disk() == 0
    mill.engine.upkeep()
    mill.push(count=2)
    mill.push("rated", count=2)
    assert len(mill.fetch_all("bulk", "rated")) == 2
    assert (mill.view().taken, mill.view("rated").taken) == (1, 1)


def test_a_queue_that_is_removed_and_comes_again_has_its_throttle_and_those_who_work_count(make_mill: MakeMill) -> None:
    mill = make_mill(TWO)
    mill.push(count=3)
    mill.fetch()
    mill.engine.manager.remove_queues(["bulk"])
    mill.push(count=3)
    assert len(mill.fetch_all()) == 1


# -- per worker --------------------------------------------------------------------------------------------------------


def test_each_worker_process_has_slots_of_its_own(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { worker = 2 }")
    jids = mill.push(count=7)
    assert mill.fetch_all(wid="w1") == jids[:2]
    assert mill.fetch_all(wid="w2") == jids[2:4]
    assert mill.fetch_all() == jids[4:6]  # connections without a wid count as one worker
    mill.ack(jids[0])
    assert mill.fetch(wid="w2") is None
    assert mill.fetch(wid="w1") == jids[6]


def test_concurrency_and_worker_are_both_kept_to(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { concurrency = 3, worker = 2 }")
    mill.push(count=9)
    assert [len(mill.fetch_all(wid=wid)) for wid in ("w1", "w2", "w3")] == [2, 1, 0]


# -- FETCHes that wait -------------------------------------------------------------------------------------------------


def test_a_fetch_that_waits_gets_a_job_when_a_slot_is_freed(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { concurrency = 1 }")
    first, second, third = mill.push(count=3)
    mill.fetch()
    clients = [mill.wait(), mill.wait()]
    mill.ack(first)
    assert [got(client) for client in clients] == [[second], []]
    mill.engine.fail(second)
    assert [got(client) for client in clients] == [[second], [third]]


def test_a_fetch_that_waits_gets_a_job_when_a_slot_times_out(make_mill: MakeMill) -> None:
    mill = make_mill(ONE_MINUTE)
    _first, second = mill.push(count=2)
    mill.fetch()
    mill.clock.advance(59)
    client = mill.wait()
    mill.clock.advance(1)
    mill.engine.manager.upkeep()
    assert got(client) == [second]


def test_a_job_that_is_pushed_waits_for_a_slot_even_if_a_fetch_waits_for_a_job(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { concurrency = 1 }")
    clients = [mill.wait(), mill.wait()]
    first, second = mill.push(count=2)
    assert [got(client) for client in clients] == [[first], []]
    mill.ack(first)
    assert [got(client) for client in clients] == [[first], [second]]


def test_the_longest_waiter_that_may_have_the_job_gets_it(make_mill: MakeMill) -> None:
    mill = make_mill(PER_WORKER)
    (first,) = mill.push()
    assert mill.fetch(wid="w1") == first
    full, other = mill.wait(wid="w1"), mill.wait(wid="w2")
    second, third = mill.push(count=2)
    assert (got(full), got(other)) == ([], [second])
    mill.ack(second)
    assert got(full) == []
    mill.ack(first)
    assert got(full) == [third]


def test_a_client_that_is_gone_takes_no_slot(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { concurrency = 1 }")
    mill.wait(there=False)
    client = mill.wait()
    (first,) = mill.push()
    assert got(client) == [first]
    view = mill.view()
    assert (view.taken, view.held_count) == (1, 1)


def test_a_job_that_is_given_back_goes_to_a_fetch_that_waits(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { concurrency = 1 }")
    first, _second = mill.push(count=2)
    mill.fetch()
    client = mill.wait()
    mill.engine.manager.give_back(mill.reservation(first))
    assert got(client) == [first]


def test_a_paused_queue_gives_nothing_and_its_slots_are_there_when_it_goes_on(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { concurrency = 1 }")
    first, second = mill.push(count=2)
    mill.fetch()
    mill.engine.manager.pause(["bulk"])
    mill.ack(first)
    client = mill.wait()
    assert got(client) == []
    mill.engine.manager.pause(["bulk"], paused=False)
    assert got(client) == [second]


# -- rate --------------------------------------------------------------------------------------------------------------


def test_a_bucket_gives_its_burst_at_once_and_then_a_token_at_a_time(make_mill: MakeMill) -> None:
    mill = make_mill(RATE)
    jids = mill.push(count=6)
    assert mill.fetch_all() == jids[:2]
    mill.ack(*jids[:2])  # that does not bring a token back
    mill.clock.advance(9.9)
    assert mill.fetch() is None
    mill.clock.advance(0.1)
    assert mill.fetch_all() == jids[2:3]
    mill.clock.advance(1000)
    assert mill.fetch_all() == jids[3:5]


def test_a_fetch_that_waits_is_served_when_a_token_comes_and_the_duties_are_asked_for_in_time(
    make_mill: MakeMill,
) -> None:
    mill = make_mill(RATE)
    jids = mill.push(count=3)
    mill.fetch_all()
    assert mill.hurried[-1] == pytest.approx(10)
    mill.clock.advance(9)
    client = mill.wait()
    mill.engine.manager.upkeep()
    assert mill.hurried[-1] == pytest.approx(1)
    mill.clock.advance(1)
    mill.engine.manager.upkeep()
    assert got(client) == [jids[2]]


def test_a_client_that_is_gone_takes_no_token(make_mill: MakeMill) -> None:
    mill = make_mill(RATE)
    mill.wait(there=False)
    mill.push(count=4)
    assert len(mill.fetch_all()) == 2


def test_a_restart_gives_no_free_burst(make_mill: MakeMill) -> None:
    mill = make_mill(RATE)
    jids = mill.push(count=9)
    mill.ack(*mill.fetch_all())
    mill.clock.advance(5)
    mill.engine.restart()
    assert mill.fetch() is None
    mill.engine.commit()
    mill.clock.advance(4.9)
    mill.engine.crash()
    assert mill.fetch() is None
    mill.clock.advance(0.1)
    assert mill.fetch_all() == [jids[2]]
    client = mill.wait()
    mill.engine.pass_time(10)
    assert got(client) == [jids[3]]


def test_a_token_is_recorded_with_its_job_and_a_full_bucket_not_at_all(make_mill: MakeMill) -> None:
    mill = make_mill(RATE)
    mill.push(count=9)
    assert mill.tokens_on_disk() == 0
    mill.fetch_all()
    assert mill.tokens_on_disk() == 1
    mill.engine.pass_time(19)
    assert mill.tokens_on_disk() == 1
    mill.engine.pass_time(1)
    assert mill.tokens_on_disk() == 0


def test_a_bucket_that_has_filled_while_the_server_was_down_is_forgotten(make_mill: MakeMill) -> None:
    mill = make_mill(RATE)
    mill.push(count=9)
    mill.fetch_all()
    mill.engine.commit()
    mill.clock.advance(20)
    mill.engine.crash()
    mill.engine.upkeep()
    assert mill.tokens_on_disk() == 0
    assert len(mill.fetch_all()) == 2


def test_a_clock_that_is_set_does_not_change_the_rate(make_mill: MakeMill) -> None:
    mill = make_mill(RATE)
    mill.push(count=9)
    mill.fetch_all()
    mill.clock.step_wall(HOUR)
    assert mill.fetch() is None
    mill.clock.step_wall(-2 * HOUR)
    mill.engine.restart()
    assert mill.fetch() is None
    mill.clock.advance(10)
    assert len(mill.fetch_all()) == 1


# -- restarts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_slots_are_as_exact_after_a_restart_as_before(make_mill: MakeMill, how: str) -> None:
    mill = make_mill(TWO)
    jids = mill.push(count=5)
    mill.fetch_all()
    mill.engine.commit()
    getattr(mill.engine, how)()
    assert mill.fetch() is None
    mill.ack(jids[0])
    assert mill.fetch_all() == [jids[2]]
    assert mill.view().taken == 2


def test_a_workers_slots_are_known_after_a_restart(make_mill: MakeMill) -> None:
    mill = make_mill(PER_WORKER)
    jids = mill.push(count=3)
    mill.fetch(wid="w1")
    mill.engine.restart()
    mill.workers.clear()
    assert mill.fetch(wid="w1") is None
    assert mill.fetch(wid="w2") == jids[1]


def test_the_timeout_runs_on_over_a_restart(make_mill: MakeMill) -> None:
    mill = make_mill(ONE_MINUTE)
    jids = mill.push(count=4)
    mill.fetch()
    mill.clock.advance(50)
    mill.engine.restart()
    mill.engine.pass_time(9)
    assert mill.fetch() is None
    mill.engine.pass_time(1)
    assert mill.fetch() == jids[1]
    mill.clock.advance(60)
    mill.engine.restart()  # over meanwhile: it takes no slot, and is not reclaimed a second time
    assert (mill.view().taken, mill.view().reclaimed) == (0, 0)
    assert mill.fetch() == jids[2]


# -- reload ------------------------------------------------------------------------------------------------------------


def test_changed_limits_apply_at_once(make_mill: MakeMill) -> None:
    mill = make_mill(TWO)
    jids = mill.push(count=9)
    mill.fetch_all()
    client = mill.wait()
    mill.reload("bulk = { concurrency = 3 }", upkeep=False)
    assert got(client) == [jids[2]]
    mill.reload("bulk = { concurrency = 1 }")
    mill.ack(*jids[:2])
    assert mill.fetch() is None
    mill.ack(jids[2])
    assert mill.fetch_all() == [jids[3]]


def test_a_throttle_that_is_removed_frees_everything(make_mill: MakeMill) -> None:
    mill = make_mill(TWO)
    jids = mill.push(count=5)
    mill.fetch_all()
    client = mill.wait()
    mill.reload("")
    assert got(client) == [jids[2]]
    assert mill.fetch_all() == jids[3:]
    assert mill.engine.manager.queues()["bulk"].gate is None
    assert mill.engine.manager.observer is None
    assert mill.throttles.list() == []


def test_a_throttle_that_is_new_counts_those_who_work_already(make_mill: MakeMill) -> None:
    mill = make_mill("")
    jids = mill.push(count=5)
    mill.fetch(wid="w1")
    mill.fetch(wid="w2")
    mill.reload("bulk = { concurrency = 3 , timeout = 100 }", upkeep=False)
    assert mill.fetch() is None  # nobody gets a job before they are counted
    mill.engine.upkeep()
    assert mill.fetch_all() == [jids[2]]
    mill.clock.advance(50)
    mill.reload("bulk = { worker = 1, concurrency = 9 }")
    assert mill.fetch(wid="w1") is None
    assert mill.fetch(wid="w3") == jids[3]
    assert mill.view().taken == 4


def test_a_rate_that_changes_leaves_no_more_tokens_than_there_were(make_mill: MakeMill) -> None:
    mill = make_mill(RATE)
    mill.push(count=30)
    mill.fetch_all()
    mill.reload("bulk = { rate = { limit = 1, period = 1, burst = 10 } }")
    assert mill.fetch() is None
    mill.engine.pass_time(1)
    assert len(mill.fetch_all()) == 1
    mill.reload("bulk = { concurrency = 100 }")
    assert mill.tokens_on_disk() == 0
    assert len(mill.fetch_all()) == 27


def test_a_rate_that_gets_faster_wakes_who_waits_earlier(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { rate = { limit = 1, period = 1000 } }")
    jids = mill.push(count=3)
    mill.fetch_all()
    client = mill.wait()
    mill.reload("bulk = { rate = { limit = 1, period = 2 } }")
    assert got(client) == []
    mill.clock.advance(2)
    mill.engine.manager.upkeep()
    assert got(client) == [jids[1]]


def test_settings_that_stay_the_same_change_nothing(make_mill: MakeMill) -> None:
    mill = make_mill(TWO)
    mill.push(count=3)
    mill.fetch_all()
    before = mill.view()
    mill.reload(f"# a line more\n{TWO}")
    assert mill.view() == before


# -- what is told ------------------------------------------------------------------------------------------------------


def test_what_is_told_of_a_throttle_is_what_happened(make_mill: MakeMill) -> None:
    mill = make_mill("bulk = { concurrency = 2, timeout = 60 }")
    jids = mill.push(count=5)
    mill.fetch_all()
    mill.fetch()
    mill.clock.advance(10)
    view = mill.view()
    assert (view.queue, view.limits, view.size, view.taken, view.free) == ("bulk", "2 concurrent", 3, 2, 0)
    assert (view.held_count, view.held_seconds, view.overage, view.reclaimed) == (2, 20.0, 2, 0)
    mill.ack(jids[0])
    mill.clock.advance(5)
    view = mill.view()
    assert (view.taken, view.free, view.held_seconds, view.waiting) == (1, 1, 25.0, 0)


def test_what_is_told_of_a_rate_is_its_tokens(make_mill: MakeMill) -> None:
    mill = make_mill(RATE)
    mill.push(count=5)
    assert (mill.view().free, mill.view().limits) == (2, "1 per 10 s")
    mill.fetch()
    assert (mill.view().free, mill.view().taken) == (1, 1)


def test_what_passed_is_told_when_the_queue_was_removed_and_of_a_new_throttle_only_what_came_after(
    make_mill: MakeMill,
) -> None:
    mill = make_mill("bulk = { concurrency = 1 }")
    mill.push(count=3)
    mill.fetch_all()
    mill.engine.manager.remove_queues(["bulk"])
    mill.push(count=3)
    assert mill.fetch() is None
    mill.reload('bulk = { concurrency = 1 }\nother = { queue = "bulk", concurrency = 1 }')
    assert (mill.view().overage, mill.view("other").overage) == (2, 0)
    assert mill.fetch() is None
    assert (mill.view().overage, mill.view("other").overage) == (3, 1)


def test_a_reservation_that_is_taken_back_is_one_failure_and_one_slot(make_mill: MakeMill) -> None:
    mill = make_mill(TWO)
    mill.push(count=3)
    mill.fetch_all()
    (first, _) = list(mill.engine.manager.reservations())
    mill.engine.manager.take_back(first.job.id, FailureReport("Gone", "gone"))
    assert mill.view().taken == 1
    assert mill.engine.manager.views.size(Place.RETRIES) == 1
