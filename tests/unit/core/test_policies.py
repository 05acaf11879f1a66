"""What an operator says of single queues: how long they may become, and what jobs have that were pushed without it."""

from __future__ import annotations

from typing import Any

import pytest

from faktory_tw.config.policies import QueuePolicy
from faktory_tw.core.job import parse_job
from faktory_tw.core.manager import Limits
from faktory_tw.storage.store import Place
from faktory_tw.wire import CommandError
from tests.unit.doubles import Engine, MakeEngine, job_json

FULL = r"^a is too large, currently 2, max size is 2$"


def change(engine: Engine, policies: dict[str, QueuePolicy], **limits: Any) -> None:
    """SIGHUP."""
    engine.limits = Limits(policies=policies, **limits)
    engine.manager.limit(engine.limits)


def fill(engine: Engine, name: str, count: int) -> None:
    for _ in range(count):
        engine.push(queue=name)


# -- how long ------------------------------------------------------------------------------------------------------


def test_a_queue_takes_as_many_jobs_as_it_may_and_then_says_what_faktory_says(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": QueuePolicy(max_size=2)})
    fill(engine, "a", 2)
    for _ in range(2):
        with pytest.raises(CommandError, match=FULL) as refusal:
            engine.push(queue="a")
        assert refusal.value.code == "ERR"
    fill(engine, "b", 3)
    engine.fetch("a")
    fill(engine, "a", 1)
    with pytest.raises(CommandError, match=FULL):
        engine.push(queue="a")


def test_a_queue_with_a_limit_of_its_own_does_not_ask_that_of_all(make_engine: MakeEngine) -> None:
    policies = {"a": QueuePolicy(max_size=2), "long": QueuePolicy(max_size=0), "other": QueuePolicy(retry=1)}
    engine = make_engine(max_queue_size=1, policies=policies)
    fill(engine, "a", 2)
    fill(engine, "long", 5)
    for name in ("b", "other"):
        fill(engine, name, 1)
        with pytest.raises(CommandError, match=f"^{name} is too large, currently 1, max size is 1$"):
            engine.push(queue=name)
    with pytest.raises(CommandError, match=FULL):
        engine.push(queue="a")


def test_what_the_server_owes_somebody_gets_into_a_full_queue(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": QueuePolicy(max_size=1)})
    fill(engine, "a", 1)
    engine.manager.push(parse_job(job_json("callback-1", queue="a")), own=True)
    assert engine.manager.queue_sizes() == {"a": 2}


def test_a_retry_gets_into_a_full_queue(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": QueuePolicy(max_size=1)})
    fill(engine, "a", 1)
    job = engine.fetch("a")
    assert job is not None
    engine.fail(job["jid"])
    fill(engine, "a", 1)
    engine.pass_time(15)
    assert engine.manager.queue_sizes() == {"a": 2}


def test_a_job_that_is_refused_leaves_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": QueuePolicy(max_size=1)})
    fill(engine, "a", 1)
    pushed = engine.manager.pushed
    with pytest.raises(CommandError):
        engine.push(queue="a", custom={"unique_for": 60})
    engine.fetch("a")
    engine.push(queue="a", custom={"unique_for": 60})
    assert engine.manager.pushed == pushed + 1


# -- what jobs have ------------------------------------------------------------------------------------------------

POLICY = QueuePolicy(retry=1, reserve_for=600, priority=8)


def test_a_job_that_says_nothing_has_what_its_queue_says(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": POLICY})
    engine.push(queue="a")
    job = engine.fetch("a")
    assert job is not None
    assert (job["retry"], job["reserve_for"]) == (1, 600)
    assert "priority" not in job, "clients compare what they get with what they pushed"
    [reservation] = engine.manager.reservations()
    assert (reservation.seconds, reservation.job.priority) == (600, 8)


@pytest.mark.parametrize("nothing", [{"reserve_for": 0, "priority": 0}, {"priority": 10}])
def test_what_means_nothing_in_a_job_is_not_said(make_engine: MakeEngine, nothing: dict[str, int]) -> None:
    engine = make_engine(policies={"a": POLICY})
    engine.push(queue="a", **nothing)
    engine.fetch("a")
    [reservation] = engine.manager.reservations()
    assert (reservation.seconds, reservation.job.priority) == (600, 8)


def test_what_a_job_says_wins(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": POLICY})
    engine.push(queue="a", retry=0, reserve_for=1200, priority=3)
    job = engine.fetch("a")
    assert job is not None
    assert (job["retry"], job["reserve_for"], job["priority"]) == (0, 1200, 3)
    [reservation] = engine.manager.reservations()
    assert (reservation.seconds, reservation.job.priority, reservation.job.retry) == (1200, 3, 0)


def test_what_a_queue_does_not_say_is_as_everywhere(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": QueuePolicy(max_size=9)})
    for name in ("a", "b"):
        engine.push(queue=name)
        job = engine.fetch(name)
        assert job is not None
        assert job["retry"] == 25
        assert "reserve_for" not in job
    assert {(each.seconds, each.job.priority) for each in engine.manager.reservations()} == {(1800, 5)}


def test_the_priority_of_the_queue_orders_its_jobs_also_after_a_restart(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": QueuePolicy(priority=3)})
    without = engine.push(queue="a")
    low, high = engine.push(queue="a", priority=2), engine.push(queue="a", priority=4)
    engine.restart()
    assert engine.jids("a") == [high, without, low]


def test_the_retries_of_the_queue_are_those_of_the_job_also_after_a_restart(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": QueuePolicy(retry=-1)})
    engine.push(queue="a")
    change(engine, {})
    engine.restart()
    job = engine.fetch("a")
    assert job is not None
    engine.fail(job["jid"])
    assert engine.sizes()["dead"] == 1


def test_a_scheduled_job_has_what_its_queue_says_when_it_is_pushed(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": POLICY})
    engine.push(queue="a", at="2025-11-21T12:00:10Z")
    change(engine, {})
    [row] = engine.rows(Place.SCHEDULED)
    assert row.priority == 8
    engine.pass_time(10)
    job = engine.fetch("a")
    assert job is not None
    assert (job["retry"], job["reserve_for"]) == (1, 600)


def test_a_job_without_a_queue_has_what_default_says(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"default": QueuePolicy(retry=2)})
    engine.push()
    job = engine.fetch()
    assert job is not None
    assert job["retry"] == 2


# -- changes -------------------------------------------------------------------------------------------------------


def test_a_policy_changes_while_the_server_runs_for_the_jobs_that_follow(engine: Engine) -> None:
    fill(engine, "a", 3)
    change(engine, {"a": QueuePolicy(max_size=3, retry=7), "later": QueuePolicy(retry=8)})
    with pytest.raises(CommandError, match=r"^a is too large, currently 3, max size is 3$"):
        engine.push(queue="a")
    assert [engine.fetch("a")["retry"] for _ in range(3)] == [25] * 3  # type: ignore[index]
    for name, retry in (("a", 7), ("later", 8)):
        fill(engine, name, 1)
        assert engine.fetch(name)["retry"] == retry  # type: ignore[index]
    change(engine, {})
    fill(engine, "a", 9)
    assert engine.fetch("a")["retry"] == 25  # type: ignore[index]


def test_a_policy_outlives_its_queue(make_engine: MakeEngine) -> None:
    engine = make_engine(policies={"a": QueuePolicy(max_size=1, aging=60)})
    for clear in (lambda: engine.manager.remove_queues(["a"]), engine.manager.flush, lambda: None):
        fill(engine, "a", 1)
        assert engine.manager.queues()["a"].aging is not None
        with pytest.raises(CommandError):
            engine.push(queue="a")
        clear()


def test_what_applies_to_a_queue_has_the_limit_of_all_unless_it_has_its_own(make_engine: MakeEngine) -> None:
    engine = make_engine(max_queue_size=9, policies={"a": QueuePolicy(max_size=0), "b": QueuePolicy(retry=1)})
    of = engine.manager.policies.of
    assert of("a") == (QueuePolicy(max_size=0), True)
    assert of("b") == (QueuePolicy(max_size=9, retry=1), True)
    assert of("c") == (QueuePolicy(max_size=9), False)
    change(engine, {})
    assert of("b") == (QueuePolicy(), False)
