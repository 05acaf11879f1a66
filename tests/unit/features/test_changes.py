"""What an operator does to jobs: to one, to those a filter finds, to a whole queue, and never to those that came later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from faktory_tw.features.changes import ACTIONS, Change, came_later, change_one, find_job, possible_actions
from faktory_tw.features.search import Filter, JobRow, Place, Where
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import DAY, HOUR, NOON, Client, Engine, jid_of
from tests.unit.features.test_admin import carry_out

LATER = rfc3339(NOON + HOUR)
DEFAULT = Where(Place.QUEUED, "default")
PLACES = {place.name.lower(): place for place in Place}


def change(
    engine: Engine, action: str, where: Where, priority: int | None = None, newest: int | None = None, **wanted: Any
) -> int:
    """Carry out a change; return how many jobs it changed."""
    change = Change(engine.manager, action, where, Filter(**wanted) if wanted else None, priority, newest)
    for _ in change.steps():
        pass
    return change.matched


def one_in_each_place(engine: Engine) -> dict[str, int]:
    """Ids by place."""
    engine.push("dead-0001", retry=-1)
    engine.push("retry-001")
    engine.push("work-0001")
    engine.jids()
    engine.fail("dead-0001")
    engine.fail("retry-001")
    engine.push("later-001", at=LATER)
    engine.push("queue-001")
    return {"dead": 1, "retries": 2, "working": 3, "scheduled": 6, "queued": 7}


def place_of(engine: Engine, job_id: int) -> str:
    row = find_job(engine.manager, job_id)
    return "" if row is None else Place(row.place).name.lower()


# -- one job -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("action", "after"), [("delete", ""), ("retry", "queued"), ("kill", "dead")])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_possible_is_done_and_the_rest_is_refused(
    engine: Engine, action: str, after: str, place: str, restarts: bool
) -> None:
    job_id = one_in_each_place(engine)[place]
    sizes = engine.sizes()
    if PLACES[place] not in ACTIONS[action]:
        with pytest.raises(CommandError):
            change_one(engine.manager, action, job_id)
        assert engine.sizes() == sizes
        assert place_of(engine, job_id) == place
        return
    assert action in possible_actions(PLACES[place])
    before = find_job(engine.manager, job_id)
    told = change_one(engine.manager, action, job_id)
    if restarts:
        engine.restart()
    assert told == (find_job(engine.manager, job_id) or before)
    assert place_of(engine, job_id) == after
    sizes[place] -= 1
    if after:
        sizes[after] += 1
    assert engine.sizes() == sizes


def test_a_job_that_is_gone_cannot_be_changed(engine: Engine) -> None:
    engine.push("job-0001")
    for remove in (
        lambda: engine.manager.remove_queues(["default"]),
        lambda: change_one(engine.manager, "delete", 2),
        engine.manager.flush,
        lambda: engine.fetch() and engine.manager.ack("job-0002", ""),
    ):
        remove()
        with pytest.raises(CommandError, match="this job is gone"):
            change_one(engine.manager, "delete", engine.manager.newest_id())
        assert find_job(engine.manager, engine.manager.newest_id()) is None
        engine.push("job-0002")
        assert find_job(engine.manager, engine.manager.newest_id()) is not None


def test_a_job_of_a_removed_queue_stays_gone_though_the_queue_is_there_again(engine: Engine) -> None:
    engine.push("job-0001")
    engine.manager.remove_queues(["default"])
    engine.push("job-0002")
    assert find_job(engine.manager, 1) is None
    assert find_job(engine.manager, 2) is not None


@pytest.mark.parametrize(
    ("action", "priority", "told"),
    [
        ("explode", None, "no such action: explode; there are delete, retry, kill, priority"),
        ("priority", None, "priority must be a whole number from 1 to 9"),
        ("priority", 0, "priority must be a whole number from 1 to 9"),
        ("priority", 10, "priority must be a whole number from 1 to 9"),
        ("retry", None, "retry is not possible for jobs that are queued; it is for scheduled, retries, dead"),
    ],
)
def test_what_is_no_action_is_refused(engine: Engine, action: str, priority: int | None, told: str) -> None:
    engine.push()
    with pytest.raises(CommandError, match=told):
        change_one(engine.manager, action, 1, priority)
    with pytest.raises(CommandError, match=told):
        Change(engine.manager, action, DEFAULT, None, priority)


# -- priority ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "restart", "crash"])
def test_another_priority_is_another_turn_and_everything_else_stays(engine: Engine, end: str) -> None:
    failure = {"retry_count": 3, "message": "no", "failed_at": rfc3339(NOON), "remaining": 2}
    engine.push("job-0001", args=[2**70, 1.50], custom={"a": 1}, failure=failure, reserve_for=100)
    engine.clock.advance(60)
    for number in range(2, 6):
        engine.push(f"job-000{number}", priority=9 if number < 4 else None)
    row = change_one(engine.manager, "priority", 1, 9)
    assert row.priority == 9
    assert find_job(engine.manager, 1) is None
    if end == "crash":
        engine.commit()
    if end:
        getattr(engine, end)()
    assert find_job(engine.manager, row.id) == row
    jobs = [engine.fetch() for _ in range(5)]
    assert [job["jid"][-1] for job in jobs if job] == ["2", "3", "1", "4", "5"]
    moved = jobs[2]
    assert moved is not None
    assert (moved["priority"], moved["args"], moved["custom"]) == (9, [2**70, 1.5], {"a": 1})
    assert (moved["enqueued_at"], moved["failure"]["retry_count"]) == (rfc3339(NOON), 3)
    assert moved["reserve_for"] == 100
    assert engine.manager.ack("job-0001", "")


def test_a_crash_before_the_commit_leaves_the_old_priority(engine: Engine) -> None:
    engine.push("job-0001", priority=2)
    engine.commit()
    change_one(engine.manager, "priority", 1, 9)
    engine.crash()
    [row] = [row for rows in engine.manager.views.page(*DEFAULT) for row in rows]
    assert (row.id, row.priority, engine.rows_on_disk()) == (1, 2, 1)


def test_the_same_priority_changes_nothing(engine: Engine) -> None:
    engine.push("job-0001", priority=5)
    engine.push("job-0002")
    engine.commit()
    assert change_one(engine.manager, "priority", 1, 5).id == 1
    assert change(engine, "priority", DEFAULT, 5) == 0
    assert not engine.store.batch
    assert engine.jids() == ["job-0001", "job-0002"]


@pytest.mark.parametrize("priority", [1, 9])
def test_jobs_that_a_change_has_moved_are_not_moved_again(engine: Engine, priority: int) -> None:
    jids = [engine.push(priority=[5, 3, 7][number % 3], jobtype="T") for number in range(900)]
    expected = jids[2::3] + jids[0::3] + jids[1::3]
    assert change(engine, "priority", DEFAULT, priority, jobtype="T") == 900
    engine.restart()
    assert engine.jids() == expected


def test_a_job_of_a_paused_queue_waits_on_whatever_its_priority(engine: Engine) -> None:
    engine.push()
    engine.manager.pause(["default"])
    client = Client(engine, "default")
    change_one(engine.manager, "priority", 1, 9)
    assert client.jobs == []
    engine.manager.pause(["default"], paused=False)
    assert len(client.jobs) == 1


def test_a_job_that_was_given_back_is_found_and_changed(engine: Engine) -> None:
    jids = [engine.push() for _ in range(6)]
    held = [engine.reserve() for _ in range(3)]
    for reservation in held[1:]:
        engine.manager.give_back(reservation)  # type: ignore[arg-type]
    change_one(engine.manager, "delete", 2)
    engine.manager.give_back(held[0])  # type: ignore[arg-type]
    change_one(engine.manager, "priority", 3, 6)
    assert engine.jids() == [jids[2], jids[0], *jids[3:]]


# -- many --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10, 9000])
@pytest.mark.parametrize("action", ["delete", "kill", "priority"])
def test_what_a_filter_finds_in_a_queue_is_changed_and_nothing_else(engine: Engine, action: str, length: int) -> None:
    jids = [engine.push(jobtype="Odd" if number % 2 else "Even", priority=5) for number in range(length)]
    engine.commit()
    assert change(engine, action, DEFAULT, 6 if action == "priority" else None, jobtype="Odd") == length // 2
    engine.restart()
    assert engine.sizes()["dead"] == (length // 2 if action == "kill" else 0)
    assert engine.jids() == (jids[1::2] if action == "priority" else []) + jids[0::2]


def test_jobs_that_are_fetched_and_pushed_meanwhile_hide_no_other(engine: Engine) -> None:
    """Between two slices the head moves on, a job is given back, and new ones arrive."""
    for number in range(2000):
        engine.push(jobtype="Odd" if number % 2 else "Even")
    odd_change = Change(engine.manager, "kill", DEFAULT, Filter(jobtype="Odd"))
    for _ in odd_change.steps():
        held = [engine.reserve() for _ in range(7)]
        engine.manager.give_back(held[3])  # type: ignore[arg-type]
        engine.push(jobtype="Even")
    left = [row for rows in engine.manager.views.page(*DEFAULT, count=5000) for row in rows]
    assert {json.loads(row.body)["jobtype"] for row in left} == {"Even"}
    assert odd_change.matched == engine.sizes()["dead"] > 900


def test_what_came_after_somebody_looked_is_left_alone(engine: Engine) -> None:
    everything: dict[str, Any] = {}
    some: dict[str, Any] = {"jobtype": "Work"}
    for place in (DEFAULT, Where(Place.SCHEDULED)):
        at = LATER if place.place is Place.SCHEDULED else None
        for action, wanted in (("delete", everything), ("delete", some), ("kill", some)):
            for _ in range(700):
                engine.push(at=at)
            newest = engine.manager.views.newest()
            late = engine.push(at=at)
            assert change(engine, action, place, newest=newest, **wanted) == 700
            rows = [row for rows in engine.manager.views.page(*place) for row in rows]
            assert [jid_of(row) for row in rows] == [late]
            assert change(engine, "delete", place) == 1


@pytest.mark.parametrize("end", ["", "restart", "crash"])
@pytest.mark.parametrize("wanted", [{}, {"jobtype": "Work"}])
@pytest.mark.parametrize(("action", "left"), [("delete", 0), ("kill", 4), ("retry", 0)])
def test_old_jobs_that_fail_after_somebody_looked_at_the_retries_are_left_alone(
    engine: Engine, action: str, left: int, wanted: dict[str, Any], end: str
) -> None:
    jids = [engine.push(priority=9 if number < 4 else 5) for number in range(20)]
    engine.jids()
    for jid in jids[:4]:
        engine.fail(jid)
    newest = engine.manager.views.newest()
    for jid in jids[4:]:
        engine.fail(jid)
    engine.commit()
    if end:
        getattr(engine, end)()
    assert change(engine, action, Where(Place.RETRIES), newest=newest, **wanted) == 4
    assert {jid_of(row) for row in engine.rows(Place.RETRIES)} == set(jids[4:])
    assert engine.sizes()["dead"] == left


@pytest.mark.parametrize("end", ["", "restart", "crash"])
def test_old_jobs_that_die_after_somebody_looked_at_the_dead_are_left_alone(engine: Engine, end: str) -> None:
    jids = [engine.push(retry=-1) for _ in range(3)] + [engine.push(at=LATER)]
    engine.jids()
    engine.fail(jids[0])
    newest = engine.manager.views.newest()
    engine.fail(jids[1])
    assert change(engine, "kill", Where(Place.SCHEDULED)) == 1
    engine.commit()
    if end:
        getattr(engine, end)()
    assert change(engine, "delete", Where(Place.DEAD), newest=newest) == 1
    assert {jid_of(row) for row in engine.rows(Place.DEAD)} == {jids[1], jids[3]}


@pytest.mark.parametrize("end", ["", "restart"])
@pytest.mark.parametrize("wanted", [{}, {"jobtype": "Work"}])
@pytest.mark.parametrize("action", ["delete", "kill"])
def test_old_jobs_that_become_due_after_somebody_looked_at_the_queue_are_left_alone(
    engine: Engine, action: str, wanted: dict[str, Any], end: str
) -> None:
    late = {engine.push(at=LATER) for _ in range(700)}
    for number in range(1300):
        engine.push(priority=5 + number % 2)
    newest = engine.manager.views.newest()
    assert change(engine, "retry", Where(Place.SCHEDULED)) == 700
    late.add(engine.push())
    engine.commit()
    if end:
        getattr(engine, end)()
    assert change(engine, action, DEFAULT, newest=newest, **wanted) == 1300
    assert {jid_of(row) for rows in engine.manager.views.page(*DEFAULT, 0, 2000) for row in rows} == late


def test_whether_jobs_came_to_a_queue_is_told_by_the_last_of_each_priority(engine: Engine) -> None:
    engine.push(queue="other", at=LATER)
    for priority in (5, 9):
        engine.push(priority=priority)
    newest = engine.manager.views.newest()
    assert not came_later(engine.manager, "default", newest)
    engine.push(queue="third")
    reservation = engine.reserve()
    assert reservation is not None
    engine.manager.give_back(reservation)
    assert not came_later(engine.manager, "default", newest)
    assert not came_later(engine.manager, "other", newest)
    assert came_later(engine.manager, "third", newest)
    assert change(engine, "retry", Where(Place.SCHEDULED)) == 1
    assert came_later(engine.manager, "other", newest)
    engine.push(priority=9)
    assert came_later(engine.manager, "default", newest)
    assert not came_later(engine.manager, "gone", 0)


def test_a_queue_is_emptied_up_to_what_somebody_saw_while_others_work_on_it(engine: Engine) -> None:
    for number in range(3000):
        engine.push(priority=5 + number % 2)
    newest = engine.manager.views.newest()
    change = Change(engine.manager, "delete", DEFAULT, None, newest=newest)
    late = [engine.push(priority=6) for _ in range(600)]
    for _ in change.steps():
        engine.reserve()
        late.append(engine.push(priority=5))
    assert [jid for jid in engine.jids() if int(jid[-4:]) <= 3000] == []
    assert change.matched + engine.sizes()["working"] == 3000 + len(late)
    assert change.size == 3000


def test_deleting_everything_reads_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(1200):
        engine.push()
        engine.push(at=LATER)

    def read(ids: Sequence[int]) -> list[JobRow]:
        raise AssertionError("read")

    newest = engine.manager.views.newest()
    monkeypatch.setattr(engine.store, "read", read)
    assert change(engine, "delete", Where(Place.SCHEDULED)) == 1200
    assert change(engine, "delete", DEFAULT, newest=newest) == 1200
    monkeypatch.undo()
    engine.restart()
    assert engine.rows_on_disk() == 0


@pytest.mark.parametrize("end", ["", "restart", "crash"])
def test_a_queue_that_is_cleared_stays_paused_and_takes_new_jobs(engine: Engine, end: str) -> None:
    for _ in range(5):
        engine.push()
    engine.manager.pause(["default"])
    assert change(engine, "delete", DEFAULT) == 5
    late = engine.push()
    engine.commit()
    if end:
        getattr(engine, end)()
    assert engine.manager.queue_sizes() == {"default": 1}
    assert engine.fetch() is None
    engine.manager.pause(["default"], paused=False)
    assert engine.jids() == [late]
    engine.upkeep()
    engine.commit()
    assert engine.rows_on_disk() == 1


def test_the_dead_of_a_queue_are_kept_for_half_a_year(engine: Engine) -> None:
    engine.push(queue="a")
    change(engine, "kill", Where(Place.QUEUED, "a"))
    engine.pass_time(179 * DAY)
    assert engine.sizes()["dead"] == 1
    engine.pass_time(2 * DAY)
    assert engine.sizes()["dead"] == 0


def test_the_latency_of_a_queue_follows_its_new_head(engine: Engine) -> None:
    engine.push()
    engine.clock.advance(60)
    engine.push()
    engine.restart()
    assert engine.manager.queue_states(["default"])[0].latency == 60
    change_one(engine.manager, "delete", 1)
    assert engine.manager.queue_states(["default"])[0].latency == 0
    assert engine.manager.latencies(["default"]) == {"default": 0}


@pytest.mark.parametrize("action", ["delete", "kill"])
def test_a_job_that_left_its_queue_is_in_memory_no_more(engine: Engine, action: str) -> None:
    for _ in range(3):
        engine.push()
    assert change(engine, action, DEFAULT, jobtype="Work") == 3
    assert (engine.manager._cache._bytes, len(engine.manager._cache._jobs)) == (0, 0)


def test_a_long_change_goes_in_slices(engine: Engine) -> None:
    for _ in range(1000):
        engine.push()
    assert len(list(Change(engine.manager, "kill", DEFAULT, None).steps())) == 5
    assert len(list(Change(engine.manager, "retry", Where(Place.DEAD), None).steps())) == 5


# -- as ADMIN says it --------------------------------------------------------------------------------------------------


def test_admin_changes_jobs_of_a_queue_page_by_page(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faktory_tw.features.admin.MOST_EXAMINED", 400)
    jids = [engine.push(queue="a", jobtype="Odd" if number % 2 else "Even") for number in range(1000)]
    for subcommand, more in (("PRIORITY", {"priority": 9}), ("KILL", {}), ("DELETE", {})):
        question = {"place": "queued", "queue": "a", "filter": {"jobtype": "Odd" if more else "*"}, **more}
        reply = carry_out(engine, subcommand, **question)
        changed = reply["matched"]
        while reply["next"] is not None:
            assert reply["examined"] <= 600
            reply = carry_out(engine, subcommand, **question, after=reply["next"])
            changed += reply["matched"]
        assert changed == {"PRIORITY": 500, "KILL": 1000, "DELETE": 0}[subcommand]
        if more:
            rows = [row for rows in engine.manager.views.page(Place.QUEUED, "a", 0, 1000) for row in rows]
            assert [jid_of(row) for row in rows] == jids[1::2] + jids[::2]
    assert engine.sizes()["dead"] == 1000


@pytest.mark.parametrize(("action", "place"), [("retry", "retries"), ("priority", "queued")])
def test_a_job_whose_time_to_expire_has_come_is_said_to_be_gone(engine: Engine, action: str, place: str) -> None:
    engine.push(custom={"expires_in": 60})
    if place == "retries":
        engine.fail(engine.jids()[0])
    engine.clock.advance(60)
    with pytest.raises(CommandError, match="is gone: its time to expire had come"):
        change_one(engine.manager, action, 1, 9)
    assert set(engine.sizes().values()) == {0}
