"""Throttles by jobtype and by key: some jobs stand aside, and whoever is behind them goes."""

from __future__ import annotations

import pytest

from faktory_tw.core import admission, slices
from faktory_tw.features import throttles
from faktory_tw.features.changes import Change, change_one
from faktory_tw.features.search import Filter, Where
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from tests.unit.doubles import jid_of
from tests.unit.features.mill import MakeMill, Mill, got

TENANTS = 'tenants = { queue = "bulk", key = "0.tenant_id", concurrency = 1 }'
EVERYWHERE = 'tenants = { key = "0.tenant_id", concurrency = 1 }'
CHARGES = 'charges = { jobtype = "Charge", concurrency = 1 }'


def listed(mill: Mill, queue: str = "bulk") -> list[str]:
    """The jids of a queue as its page lists them."""
    return [jid_of(row) for rows in mill.engine.manager.views.page(Place.QUEUED, queue, count=10_000) for row in rows]


def walked(mill: Mill, queue: str = "bulk") -> list[str]:
    """The jids of a queue as a search goes through it."""
    return [jid_of(row) for rows in mill.engine.manager.views.walk(Place.QUEUED, queue) for row in rows]


def aside(mill: Mill, name: str = "tenants") -> int:
    return mill.view(name).waiting


# -- who goes ----------------------------------------------------------------------------------------------------------


def test_one_tenant_with_ten_thousand_jobs_does_not_keep_ten_others_from_their_turn(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    big = mill.push(tenant="big", count=10_000)
    small = [jid for number in range(10) for jid in mill.push(tenant=number)]
    served = mill.fetch_all()
    assert served == [big[0], *small]
    assert aside(mill) == 9999
    assert mill.engine.manager.queue_sizes() == {"bulk": 9999}
    for number in range(20):
        mill.ack(big[number])
        assert mill.fetch_all() == [big[number + 1]]


def test_a_fetch_looks_past_some_hundred_jobs_in_one_turn_and_the_one_that_waits_gets_its_job_in_the_next_ones(
    make_mill: MakeMill,
) -> None:
    mill = make_mill(TENANTS)
    mill.push(tenant="big", count=1000)
    (small,) = mill.push(tenant="small")
    mill.fetch()
    assert mill.fetch() is None
    assert aside(mill) <= admission._MOST_LOOKED_AT
    assert mill.hurried[-1] == 0.0
    client = mill.wait()
    turns = 0
    while got(client) != [small]:
        before = aside(mill)
        mill.engine.manager.upkeep()
        assert aside(mill) - before <= admission._MOST_LOOKED_AT
        turns += 1
    assert turns >= 3


def test_a_long_queue_that_is_gone_through_keeps_no_other_from_its_turn(make_mill: MakeMill) -> None:
    mill = make_mill(EVERYWHERE)
    mill.push("a", tenant="big", count=3000)
    (small,) = mill.push("b", tenant="small")
    mill.fetch("a")
    in_vain, served = mill.wait("a"), mill.wait("b")
    assert (mill.fetch("a"), mill.fetch("b")) == (None, None)
    for _ in range(2):
        assert mill.engine.manager.look_on()
    assert (got(in_vain), got(served)) == ([], [small])


def test_a_jobtype_is_limited_in_all_queues_together_and_other_types_go(make_mill: MakeMill) -> None:
    mill = make_mill(CHARGES)
    a, _b = mill.push("a", count=2, jobtype="Charge")
    (c,) = mill.push("b", jobtype="Charge")
    (mail,) = mill.push("b", jobtype="Mail")
    assert mill.fetch_all("a", "b") == [a, mail]
    mill.ack(a)
    assert mill.fetch("b") == c


def test_a_jobtype_and_a_key_together_limit_the_jobs_of_that_type_by_their_key(make_mill: MakeMill) -> None:
    mill = make_mill('x = { jobtype = "Charge", key = "0.tenant_id", concurrency = 1 }')
    first, _second = mill.push(tenant=1, count=2, jobtype="Charge")
    others = mill.push(tenant=1, count=2, jobtype="Mail") + mill.push(tenant=2, jobtype="Charge")
    assert mill.fetch_all() == [first, *others]


def test_a_job_without_the_key_is_not_limited(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    jids = mill.push(count=3)
    assert mill.fetch_all() == jids


def test_a_job_must_find_room_in_every_throttle_it_is_subject_to(make_mill: MakeMill) -> None:
    mill = make_mill(f"{EVERYWHERE}\n{CHARGES}\nbulk = {{ concurrency = 3 }}")
    a1, a2 = mill.push(tenant="a", count=2, jobtype="Charge")
    (b1,) = mill.push(tenant="b", jobtype="Charge")
    rest = [jid for tenant in "cdef" for jid in mill.push(tenant=tenant)]
    assert mill.fetch_all() == [a1, *rest[:2]]
    mill.ack(rest[0])
    assert mill.fetch_all() == [rest[2]]
    mill.ack(a1)
    assert mill.fetch_all() == [a2]
    mill.ack(a2, rest[1])
    assert mill.fetch_all() == [b1, rest[3]]


def test_each_key_has_a_bucket_of_its_own(make_mill: MakeMill) -> None:
    mill = make_mill('tenants = { queue = "bulk", key = "0.tenant_id", rate = { limit = 1, period = 10 } }')
    a = mill.push(tenant="a", count=3)
    b = mill.push(tenant="b", count=3)
    assert mill.fetch_all() == [a[0], b[0]]
    client = mill.wait()
    mill.engine.pass_time(5)
    assert got(client) == []
    mill.engine.pass_time(5)
    assert got(client) == [a[1]]
    assert mill.fetch_all() == [b[1]]
    mill.engine.restart()
    assert mill.fetch_all() == []
    mill.engine.pass_time(10)
    assert mill.fetch_all() == [a[2], b[2]]


def test_what_is_full_for_one_worker_goes_to_another(make_mill: MakeMill) -> None:
    mill = make_mill('tenants = { queue = "bulk", key = "0.tenant_id", worker = 1 }')
    a = mill.push(tenant="a", count=3)
    b = mill.push(tenant="b", count=2)
    assert mill.fetch_all(wid="w1") == [a[0], b[0]]
    assert mill.fetch_all(wid="w2") == [a[1], b[1]]
    first, second = mill.wait(wid="w2"), mill.wait(wid="w1")
    mill.ack(a[0])
    assert (got(first), got(second)) == ([], [a[2]])


def test_a_job_of_higher_priority_goes_before_one_that_stood_aside(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    a = mill.push(tenant="a", count=2)
    mill.fetch_all()
    (low,) = mill.push(tenant="b", priority=1)
    (high,) = mill.push(tenant="a", priority=9)
    assert mill.fetch_all() == [low]
    mill.ack(a[0])
    assert mill.fetch() == high
    mill.ack(high)
    assert mill.fetch() == a[1]


def test_those_that_stood_aside_come_back_in_their_order_before_what_is_behind_them(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    a = mill.push(tenant="a", count=3)
    b = mill.push(tenant="b", count=2)
    assert mill.fetch_all() == [a[0], b[0]]
    mill.ack(a[0], b[0])
    mill.push(tenant="c", count=1)
    assert [mill.fetch(), mill.fetch()] == [a[1], b[1]]


def test_a_job_that_is_given_back_takes_its_place_among_those_that_stand_aside(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    a1, a2 = mill.push(tenant="a", count=2)
    (b1,) = mill.push(tenant="b")
    a3, a4 = mill.push(tenant="a", count=2)
    assert mill.fetch_all() == [a1, b1]
    mill.engine.manager.give_back(mill.reservation(b1))
    assert listed(mill) == walked(mill) == [a2, b1, a3, a4]
    mill.engine.manager.give_back(mill.reservation(a1))
    assert listed(mill) == [a1, a2, b1, a3, a4]
    assert mill.fetch_all() == [a1, b1]


def test_a_job_that_was_tried_before_stands_where_it_came_in_again(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    (first,) = mill.push(tenant="a")
    mill.fetch()
    mill.engine.fail(first)
    (second, third) = mill.push(tenant="a", count=2)
    mill.engine.pass_time(3600)
    assert mill.fetch_all() == [second]
    assert listed(mill) == [third, first]
    (row,) = [row for rows in mill.engine.manager.views.page(Place.QUEUED, "bulk") for row in rows if row.id == 1]
    change_one(mill.engine.manager, "delete", row.id)
    assert listed(mill) == [third]
    mill.ack(second)
    assert mill.fetch_all() == [third]


# -- FETCHes that wait -------------------------------------------------------------------------------------------------


def test_one_that_stood_aside_wakes_a_fetch_in_its_queue_wherever_the_slot_was_freed(make_mill: MakeMill) -> None:
    mill = make_mill(EVERYWHERE)
    (first,) = mill.push("one", tenant="a")
    (second,) = mill.push("two", tenant="a")
    (third,) = mill.push("three", tenant="a")
    assert mill.fetch_all("one", "two", "three") == [first]
    clients = [mill.wait("two"), mill.wait("three")]
    mill.ack(first)
    assert [got(client) for client in clients] == [[second], []]
    mill.engine.manager.give_back(mill.reservation(second))
    mill.engine.upkeep()
    assert [got(client) for client in clients] == [[second], [third]]


def test_a_job_that_is_pushed_for_a_full_lane_stands_aside_and_the_fetch_goes_on_waiting(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    client, other = mill.wait(), mill.wait()
    a = mill.push(tenant="a", count=2)
    assert (got(client), got(other)) == ([a[0]], [])
    b = mill.push(tenant="b")
    assert got(other) == b


# -- jobs that stand aside are queued like others ----------------------------------------------------------------------


def standing(make_mill: MakeMill) -> tuple[Mill, list[str]]:
    """Six jobs of one tenant, of which the first is being worked, and five stand aside."""
    mill = make_mill(TENANTS)
    jids = mill.push(tenant="a", count=6)
    assert mill.fetch_all() == jids[:1]
    assert aside(mill) == 5
    return mill, jids


def job_id(mill: Mill, jid: str) -> int:
    (found,) = [
        row.id for rows in mill.engine.manager.views.walk(Place.QUEUED, "bulk") for row in rows if jid_of(row) == jid
    ]
    return found


def test_they_are_counted_listed_and_found(make_mill: MakeMill) -> None:
    mill, jids = standing(make_mill)
    late = mill.push(tenant="b", count=2) + mill.push(tenant="a", priority=9)
    views = mill.engine.manager.views
    assert listed(mill) == walked(mill) == [late[2], *jids[1:], *late[:2]]
    view = views.queue("bulk")
    assert view is not None
    assert (view.size, view.priorities) == (8, {9: 1, 5: 7})
    assert [jid_of(row) for rows in views.page(Place.QUEUED, "bulk", 4, 3) for row in rows] == [
        jids[4],
        jids[5],
        late[0],
    ]
    mill.clock.advance(30)
    assert mill.engine.manager.latencies(["bulk"]) == {"bulk": 30}
    assert views.find(job_id(mill, jids[3])) is not None


def test_they_can_be_deleted_killed_and_get_another_priority(make_mill: MakeMill) -> None:
    mill, jids = standing(make_mill)
    change_one(mill.engine.manager, "delete", job_id(mill, jids[1]))
    change_one(mill.engine.manager, "kill", job_id(mill, jids[2]))
    change_one(mill.engine.manager, "priority", job_id(mill, jids[4]), 9)
    assert listed(mill) == [jids[4], jids[3], jids[5]]
    mill.ack(jids[0])
    for expected in (jids[4], jids[3], jids[5]):
        assert mill.fetch_all() == [expected]
        mill.ack(expected)
    assert aside(mill) == 0
    assert mill.view("tenants").lane_count == 0
    assert mill.engine.sizes() == {"queued": 0, "working": 0, "scheduled": 0, "retries": 0, "dead": 1}


def test_they_are_found_by_a_filter_and_changed_together(make_mill: MakeMill) -> None:
    mill, jids = standing(make_mill)
    other = mill.push(tenant="b", jobtype="Other")
    change = Change(mill.engine.manager, "kill", Where(Place.QUEUED, "bulk"), Filter(jobtype="Work"), None, None)
    for _ in change.steps():
        pass
    assert change.matched == 5
    assert listed(mill) == other
    mill.ack(jids[0])
    assert mill.view("tenants").lane_count == 0


@pytest.mark.parametrize("how", ["clear", "remove"])
def test_they_go_with_their_queue(make_mill: MakeMill, how: str) -> None:
    mill, jids = standing(make_mill)
    manager = mill.engine.manager
    if how == "clear":
        assert manager.edits.clear_queue("bulk") == 5
    else:
        manager.remove_queues(["bulk"])
    new = mill.push(tenant="a")
    assert listed(mill) == new
    mill.engine.upkeep()
    assert aside(mill) == 0
    mill.ack(jids[0])
    assert mill.fetch_all() == new
    mill.engine.restart()
    assert mill.engine.sizes()["queued"] == 0
    assert len(list(manager.reservations())) == 1


def test_they_expire(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    (first,) = mill.push(tenant="a")
    mill.push(tenant="a", count=3, custom={"expires_in": 10})
    (last,) = mill.push(tenant="a")
    mill.fetch_all()
    mill.engine.pass_time(10)
    assert listed(mill) == [last]
    mill.push(tenant="a", custom={"expires_at": rfc3339(mill.clock.time() + 5)})
    mill.fetch_all()
    mill.clock.advance(5)
    mill.ack(first)
    assert mill.fetch_all() == [last]  # the one that is over is dropped when its turn comes
    mill.ack(last)
    assert mill.fetch_all() == []
    assert mill.engine.manager.queue_sizes() == {"bulk": 0}


def test_they_go_when_all_that_led_are_over(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    first, second, third = mill.push(tenant="a", count=3)
    assert mill.fetch_all() == [first]
    mill.push(tenant="b", count=2, priority=9, custom={"expires_in": 10})
    mill.clock.advance(10)
    mill.ack(first)
    assert mill.fetch() == second
    assert mill.fetch() is None
    waiting = mill.wait()
    mill.push(tenant="b", priority=9, custom={"expires_at": rfc3339(mill.clock.time())})
    mill.ack(second)
    assert got(waiting) == [third]


def test_they_survive_a_crash_in_their_order(make_mill: MakeMill) -> None:
    mill, jids = standing(make_mill)
    mill.engine.commit()
    mill.engine.crash()
    assert listed(mill) == jids[1:]
    assert mill.fetch_all() == []
    mill.ack(jids[0])
    assert mill.fetch_all() == [jids[1]]


def test_flush_forgets_them(make_mill: MakeMill) -> None:
    mill, _ = standing(make_mill)
    mill.engine.manager.flush()
    mill.engine.upkeep()
    new = mill.push(tenant="a", count=2)
    assert mill.fetch_all() == new[:1]
    assert (aside(mill), mill.view("tenants").taken) == (1, 1)


def test_a_queue_is_as_full_as_if_nobody_stood_aside(make_mill: MakeMill) -> None:
    mill, _ = standing(make_mill)
    (state,) = mill.engine.manager.queue_states(["bulk"])
    mill.clock.advance(7)
    assert (state.size, mill.engine.manager.queue_states(["bulk"])[0].latency) == (5, 7)


# -- memory ------------------------------------------------------------------------------------------------------------


def test_a_tenant_without_jobs_is_forgotten(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    for number in range(100):
        mill.push(tenant=number, count=2)
    mill.ack(*mill.fetch_all())
    assert (mill.view("tenants").lane_count, aside(mill)) == (100, 100)
    mill.ack(*mill.fetch_all())
    assert (mill.view("tenants").lane_count, aside(mill)) == (0, 0)


def test_a_tenant_is_forgotten_when_its_bucket_is_full(make_mill: MakeMill) -> None:
    mill = make_mill('tenants = { key = "0.tenant_id", rate = { limit = 2, period = 10 } }')
    for number in range(50):
        mill.push(tenant=number, count=2)
    mill.ack(*mill.fetch_all())
    assert (mill.view("tenants").lane_count, mill.tokens_on_disk()) == (50, 50)
    mill.engine.pass_time(9.9)
    assert (mill.view("tenants").lane_count, mill.tokens_on_disk()) == (50, 50)
    mill.engine.pass_time(0.1)
    assert (mill.view("tenants").lane_count, mill.tokens_on_disk()) == (0, 0)


def test_the_busiest_lanes_are_told_and_not_all(make_mill: MakeMill) -> None:
    mill = make_mill(TENANTS)
    for number in range(100):
        mill.push(tenant=f"t{number}", count=1 + (number == 42) * 5 + (number == 17) * 9)
    mill.fetch_all()
    view = mill.view("tenants")
    assert [(lane.key, lane.taken, lane.waiting) for lane in view.lanes[:3]] == [
        ("t17", 1, 9),
        ("t42", 1, 5),
        ("t0", 1, 0),
    ]
    assert (view.lane_count, len(view.lanes), view.taken, view.free, view.waiting) == (100, 20, 100, None, 14)


# -- reload ------------------------------------------------------------------------------------------------------------


def test_a_throttle_that_is_removed_lets_those_go_that_stand_aside(make_mill: MakeMill) -> None:
    mill, jids = standing(make_mill)
    client = mill.wait()
    late = mill.push(tenant="b")
    assert got(client) == late
    mill.reload("")
    assert mill.fetch_all() == jids[1:]
    assert mill.engine.manager.queues()["bulk"].gate is not None
    mill.engine.upkeep()
    assert mill.engine.manager.queues()["bulk"].gate is None


def test_a_throttle_for_other_jobs_counts_anew_and_those_that_stood_aside_are_looked_at_again(
    make_mill: MakeMill,
) -> None:
    mill, jids = standing(make_mill)
    mill.reload('tenants = { queue = "bulk", jobtype = "Work", concurrency = 3 }')
    assert mill.fetch_all() == jids[1:3]
    view = mill.view("tenants")
    assert (view.taken, view.free, view.waiting) == (3, 0, 3)
    mill.ack(jids[0])
    assert mill.fetch_all() == [jids[3]]


def test_those_who_work_are_counted_in_slices_and_each_of_them_once(
    make_mill: MakeMill, monkeypatch: pytest.MonkeyPatch
) -> None:
    mill = make_mill("")
    jids = [jid for tenant in "abc" for jid in mill.push(tenant=tenant, count=4, custom={"text": "x" * 200})]
    mill.fetch_all()
    monkeypatch.setattr(throttles, "_SLICE", 5)
    monkeypatch.setattr(slices, "SLICE_BYTES", 500)
    mill.reload(f"{TENANTS.replace('concurrency = 1', 'concurrency = 5')}\nbulk = {{ concurrency = 14 }}", upkeep=False)
    slots = []
    while mill.engine.manager.upkeep():
        slots.append(mill.view("bulk").taken)
    assert len(slots) > 4
    assert (mill.view("bulk").taken, mill.view("tenants").taken, mill.view("tenants").lane_count) == (12, 12, 3)
    new = mill.push(tenant="a", count=3)
    assert mill.fetch_all() == new[:1]
    mill.ack(*jids)
    assert mill.fetch_all() == new[1:]
    assert mill.view("tenants").taken == 3


def test_a_limit_that_is_raised_lets_as_many_more_go(make_mill: MakeMill) -> None:
    mill, jids = standing(make_mill)
    clients = [mill.wait() for _ in range(4)]
    mill.reload(TENANTS.replace("concurrency = 1", "concurrency = 3"))
    assert [got(client) for client in clients] == [[jids[1]], [jids[2]], [], []]


def test_a_throttle_for_all_queues_is_there_for_queues_old_and_new(make_mill: MakeMill) -> None:
    mill = make_mill("")
    old = [jid for number in range(1200) for jid in mill.push(f"q{number}", tenant="a")]
    mill.fetch("q7")
    mill.reload(EVERYWHERE)
    names = [f"q{number}" for number in range(1200)]
    assert mill.fetch(*names[:100]) is None
    assert mill.fetch(*names[1100:]) is None
    mill.push("new", tenant="a")
    assert mill.fetch("new") is None
    mill.ack(old[7])
    assert mill.fetch("new") is not None
    mill.reload("")
    mill.fetch_all(*names, "new")
    mill.engine.upkeep()
    assert all(queue.gate is None for queue in mill.engine.manager.queues().values())
