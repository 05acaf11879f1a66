"""Removed queues and flushed sets: out of sight at once, gone from disk and memory slice by slice."""

from __future__ import annotations

import gc

import pytest

from faktory_tw.core.queues import Queue
from faktory_tw.times import rfc3339
from tests.unit.doubles import NOON, Engine

MANY = 1200  # more than two slices


def filled(engine: Engine, count: int = MANY, **fields: object) -> None:
    for _ in range(count):
        engine.push(**fields)


def test_a_removed_queue_is_out_of_sight_at_once_and_its_rows_go_in_slices(engine: Engine) -> None:
    filled(engine, queue="q")
    filled(engine, 3, queue="other")
    engine.commit()
    engine.manager.remove_queues(["q"])
    assert engine.manager.queue_sizes() == {"other": 3}
    assert engine.fetch("q") is None
    engine.commit()
    assert engine.rows_on_disk() == MANY + 3
    assert engine.manager.upkeep()
    engine.commit()
    assert 3 < engine.rows_on_disk() < MANY + 3
    engine.upkeep()
    engine.commit()
    assert engine.rows_on_disk() == 3
    assert len(engine.jids("other")) == 3


def test_a_slice_is_short(engine: Engine) -> None:
    filled(engine, queue="q")
    engine.commit()
    engine.manager.remove_queues(["q"])
    slices = 0
    while engine.manager.upkeep():
        slices += 1
        assert len(engine.store.batch.removed) <= 500 * slices
    assert slices >= 2


@pytest.mark.parametrize("sweeps", [0, 1, 10])
@pytest.mark.parametrize("made_again", [False, True])
def test_jobs_of_a_removed_queue_never_come_back_after_a_restart(engine: Engine, sweeps: int, made_again: bool) -> None:
    filled(engine, queue="q")
    engine.commit()
    engine.manager.remove_queues(["q"])
    fresh = [engine.push(queue="q", priority=priority) for priority in (1, 9)] if made_again else []
    engine.commit()
    for _ in range(sweeps):
        engine.manager.upkeep()
    engine.commit()
    engine.crash()
    assert engine.sizes()["queued"] == len(fresh)
    engine.upkeep()
    engine.restart()
    assert engine.rows_on_disk() == len(fresh)
    assert engine.jids("q") == fresh[::-1]


def test_retried_jobs_of_a_removed_queue_never_come_back_either(engine: Engine) -> None:
    for _ in range(3):
        engine.push(queue="q")
    for jid in engine.jids("q"):
        engine.fail(jid)
    engine.pass_time(15)
    assert engine.sizes()["queued"] == 3
    engine.commit()
    engine.manager.remove_queues(["q"])
    fresh = engine.push(queue="q")
    engine.commit()
    engine.crash()
    assert engine.jids("q") == [fresh]
    engine.upkeep()
    engine.commit()
    assert engine.rows_on_disk("jobs") == engine.rows_on_disk("places") == 1


def test_a_removed_queue_that_was_never_on_disk_costs_no_row(engine: Engine) -> None:
    filled(engine, 5, queue="q")
    engine.manager.remove_queues(["q"])
    engine.upkeep()
    engine.commit()
    assert engine.rows_on_disk() == 0
    assert engine.rows_on_disk("queues") == 0


def test_a_removal_that_was_not_on_disk_did_not_happen(engine: Engine) -> None:
    filled(engine, 3, queue="q")
    engine.commit()
    engine.manager.remove_queues(["q"])
    engine.upkeep()
    engine.crash()
    assert engine.manager.queue_sizes() == {"q": 3}


def test_jobs_elsewhere_outlive_the_removal_of_their_queue(engine: Engine) -> None:
    scheduled = engine.push(queue="q", at=rfc3339(NOON + 100))
    working, retried = engine.push(queue="q"), engine.push(queue="q")
    engine.jids("q")
    engine.fail(retried)
    engine.manager.remove_queues(["q"])
    engine.restart()
    engine.upkeep()
    assert engine.manager.ack(working, "")
    engine.pass_time(100)
    assert sorted(engine.jids("q")) == sorted([scheduled, retried])


def test_every_queue_is_removed_by_a_star_and_unknown_names_are_ignored(engine: Engine) -> None:
    for name in "abc":
        engine.push(queue=name)
    engine.manager.remove_queues(["unknown", "b", "b"])
    assert engine.manager.queue_sizes() == {"a": 1, "c": 1}
    engine.manager.remove_queues(["*"])
    assert engine.manager.queue_sizes() == {}
    engine.restart()
    assert engine.manager.queue_sizes() == {}


# -- flush ---------------------------------------------------------------------------------------------------------


def everywhere(engine: Engine) -> None:
    """A job in each place, a paused queue, a statistic."""
    for name, retry in (("dead", -1), ("retries", 25), ("done", 0), ("working", 25)):
        engine.push(queue=name, retry=retry)
        engine.fetch(name)
    for number in (1, 2, 3):
        engine.fail(f"job-{number:04}")
    engine.push(queue="queued")
    engine.push(queue="queued", at=rfc3339(NOON + 100))
    engine.manager.pause(["queued"])


@pytest.mark.parametrize("commits", [False, True])
def test_flush_forgets_everything_on_disk_and_in_memory(engine: Engine, commits: bool) -> None:
    everywhere(engine)
    assert engine.sizes() == {"scheduled": 1, "queued": 1, "working": 1, "retries": 1, "dead": 1}
    if commits:
        engine.commit()
    engine.manager.flush()
    assert set(engine.sizes().values()) == {0}
    assert engine.manager.queue_sizes() == {}
    engine.upkeep()
    engine.restart()
    assert set(engine.sizes().values()) == {0}
    assert [engine.rows_on_disk(table) for table in ("jobs", "places", "queues", "workers", "days")] == [0] * 5


def test_a_flush_that_was_not_on_disk_did_not_happen(engine: Engine) -> None:
    everywhere(engine)
    engine.commit()
    engine.manager.flush()
    engine.upkeep()
    engine.crash()
    assert engine.sizes() == {"scheduled": 1, "queued": 1, "working": 1, "retries": 1, "dead": 1}


def test_what_comes_after_a_flush_in_the_same_batch_is_kept(engine: Engine) -> None:
    everywhere(engine)
    engine.commit()
    engine.manager.flush()
    queued, scheduled = engine.push(queue="queued"), engine.push(queue="later", at=rfc3339(NOON + 10))
    engine.restart()
    assert engine.jids("queued") == [queued]
    engine.pass_time(10)
    assert engine.jids("later") == [scheduled]


def test_a_job_that_was_worked_at_the_flush_is_unknown_afterwards(engine: Engine) -> None:
    everywhere(engine)
    engine.manager.flush()
    assert not engine.manager.ack("job-0004", "")
    engine.pass_time(1800)
    assert set(engine.sizes().values()) == {0}
    assert engine.manager.history.processed == 0


def test_a_job_given_back_after_a_flush_is_gone(engine: Engine) -> None:
    engine.push()
    reservation = engine.reserve()
    assert reservation is not None
    engine.commit()
    engine.manager.flush()
    engine.push()
    engine.manager.give_back(reservation)
    engine.restart()
    assert engine.sizes()["queued"] == 1


def test_removed_jobs_that_are_being_swept_do_not_outlive_a_flush(engine: Engine) -> None:
    filled(engine, queue="q")
    engine.commit()
    engine.manager.remove_queues(["q"])
    engine.manager.upkeep()
    engine.manager.flush()
    kept = engine.push(queue="q")
    engine.commit()
    engine.upkeep()
    assert not engine.store.batch
    engine.restart()
    assert engine.jids("q") == [kept]
    assert engine.rows_on_disk() == 1


def test_a_flushed_set_is_freed_in_slices(engine: Engine) -> None:
    filled(engine, at=rfc3339(NOON + 10))
    engine.manager.flush()
    assert engine.upkeep() >= 3
    assert not engine.manager.upkeep()


def test_a_flush_of_nothing_leaves_nothing_to_free(engine: Engine) -> None:
    engine.upkeep()
    for _ in range(100):
        engine.manager.flush()
    assert not engine.manager.sweeper.step()


def test_what_was_flushed_is_freed_in_slices(engine: Engine) -> None:
    """A million queues and reservations: to free them in one go would take half a second."""
    for number in range(MANY):
        engine.push(queue=f"q{number}")
        engine.push(queue="worked")
    for _ in range(MANY):
        engine.reserve("worked")
    queues, held = engine.manager.queues(), engine.manager.working.containers()
    for number in range(MANY):
        engine.push(queue=f"removed-{number}")
    engine.manager.remove_queues([f"removed-{number}" for number in range(MANY)])
    held.append(engine.manager.sweeper._condemned)  # type: ignore[arg-type]
    engine.manager.flush()
    assert engine.manager.queue_sizes() == {}
    assert engine.sizes()["working"] == 0
    assert engine.manager.upkeep()
    left = sum(map(len, [queues, *held]))
    while engine.manager.upkeep():
        now = sum(map(len, [queues, *held]))
        assert left - now <= 500
        left = now
    assert sum(map(len, [queues, *held])) == 0


def test_a_queue_is_made_of_few_objects() -> None:
    """There may be tens of thousands, and the garbage collector looks at each."""
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        queues = [Queue(f"q{number}", 1) for number in range(100)]
        for queue in queues:
            queue.append(5, 1)
        assert len(gc.get_objects()) - before <= 12 * len(queues)
    finally:
        gc.enable()
