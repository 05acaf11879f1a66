"""Worker processes: their states, their heartbeats, and what becomes of the jobs of one that is gone."""

from __future__ import annotations

import json

import pytest

from faktory_tw.core import duties
from faktory_tw.core.workers import State, Workers
from faktory_tw.storage.store import Place
from tests.unit.doubles import HOUR, Engine, MakeEngine

WID = "worker-1"


def errtypes(engine: Engine) -> list[str]:
    return [json.loads(row.failure)["errtype"] for row in engine.rows(Place.RETRIES)]


# -- states --------------------------------------------------------------------------------------------------------


def test_the_first_connection_says_who_the_worker_is(engine: Engine) -> None:
    first = engine.manager.connect_worker(WID, "first-host", 11, ["ruby"])
    again = engine.manager.connect_worker(WID, "other-host", 22, ["other"])
    assert first is again
    assert (first.hostname, first.pid, first.labels, first.started_at) == (
        "first-host",
        11,
        ["ruby"],
        engine.clock.time(),
    )
    assert [worker.wid for worker in engine.manager.workers] == [WID]
    assert len(engine.manager.workers) == 1


def test_a_worker_is_known_until_its_last_connection_ends(engine: Engine) -> None:
    worker = engine.worker(WID)
    engine.worker(WID)
    engine.manager.disconnect_worker(worker)
    assert engine.manager.beat(WID, None, 0) is State.RUNNING
    engine.manager.disconnect_worker(worker)
    assert engine.manager.beat(WID, None, 0) is None
    assert len(engine.manager.workers) == 0


@pytest.mark.parametrize("wid", ["", "unknown"])
def test_a_heartbeat_of_an_unknown_worker_is_not_taken(engine: Engine, wid: str) -> None:
    assert engine.manager.beat(wid, None, 0) is None
    assert not engine.store.batch


def test_a_state_moves_forward_only(engine: Engine) -> None:
    engine.worker(WID)
    told = [
        engine.manager.beat(WID, state, 0) for state in (None, "", "running", "quiet", "running", "other", "terminate")
    ]
    assert told == [State.RUNNING] * 3 + [State.QUIET] * 3 + [State.TERMINATE]
    assert engine.manager.beat(WID, "quiet", 0) is State.TERMINATE
    engine.worker("other")
    assert engine.manager.beat("other", "terminate", 0) is State.TERMINATE


def test_the_memory_of_a_worker_is_that_of_its_latest_heartbeat(engine: Engine) -> None:
    worker = engine.worker(WID)
    engine.manager.beat(WID, None, 4711)
    assert worker.rss_kb == 4711
    engine.manager.beat(WID, None, 0)
    assert worker.rss_kb == 0


@pytest.mark.parametrize("state", ["quiet", "terminate"])
def test_a_quiet_worker_gets_no_job_on_any_of_its_connections(engine: Engine, state: str) -> None:
    engine.push()
    connections = [engine.worker(WID), engine.worker(WID)]
    engine.manager.beat(WID, state, 0)
    assert [engine.fetch(worker=connection) for connection in connections] == [None, None]
    assert engine.fetch(worker=engine.worker("other")) is not None


def test_a_worker_that_comes_back_is_running_again(engine: Engine) -> None:
    engine.push()
    worker = engine.worker(WID)
    engine.manager.beat(WID, "quiet", 0)
    engine.manager.disconnect_worker(worker)
    assert engine.fetch(worker=engine.worker(WID)) is not None


# -- gone workers --------------------------------------------------------------------------------------------------


def gone_after_fetch(engine: Engine, beats: bool = True) -> str:
    """A worker that fetched a job and lost its connection; the jid."""
    worker = engine.worker(WID, beats)
    jid = engine.push(queue="q")
    assert engine.fetch("q", worker=worker) is not None
    engine.manager.disconnect_worker(worker)
    return jid


def test_a_gone_workers_jobs_go_through_the_retry_process_after_a_minute_without_a_sign_of_life(engine: Engine) -> None:
    jid = gone_after_fetch(engine)
    engine.pass_time(59.9)
    assert engine.sizes()["working"] == 1
    engine.pass_time(0.1)
    assert engine.sizes() == {"scheduled": 0, "queued": 0, "working": 0, "retries": 1, "dead": 0}
    assert errtypes(engine) == ["WorkerGone"]
    assert engine.manager.history.failures == 1
    assert not engine.manager.ack(jid, WID)
    assert engine.manager.tasks["Workers"].reaped == 1
    assert engine.manager.tasks["Busy"].reaped == 1


def test_a_worker_that_never_sent_a_heartbeat_is_left_to_its_reservation(engine: Engine) -> None:
    gone_after_fetch(engine, beats=False)
    engine.pass_time(1799)
    assert engine.sizes()["working"] == 1
    engine.pass_time(1)
    assert errtypes(engine) == ["ReservationExpired"]


def test_a_reservation_without_a_worker_waits_for_its_end(engine: Engine) -> None:
    gone_after_fetch(engine)
    engine.push(queue="q")
    assert engine.fetch("q") is not None
    engine.pass_time(60)
    assert engine.sizes()["working"] == 1
    engine.pass_time(1739)
    assert engine.sizes()["working"] == 1


def gone_with(engine: Engine, count: int) -> None:
    worker = engine.worker(WID)
    for _ in range(count):
        engine.push(reserve_for=86_400)
        engine.fetch(worker=worker)
    engine.manager.disconnect_worker(worker)
    engine.commit()
    engine.clock.advance(60)


def test_the_many_jobs_of_a_gone_worker_are_taken_back_in_slices(engine: Engine) -> None:
    gone_with(engine, 1200)
    left = []
    while engine.manager.upkeep():
        left.append(engine.sizes()["working"])
    assert left == [700, 200]
    assert engine.sizes() == {"scheduled": 0, "queued": 0, "working": 0, "retries": 1200, "dead": 0}
    assert engine.manager.tasks["Busy"].reaped == 1200


def test_a_crash_between_two_slices_leaves_the_rest_to_a_new_minute(engine: Engine) -> None:
    gone_with(engine, 700)
    assert engine.manager.upkeep()
    engine.commit()
    engine.crash()
    engine.upkeep()
    assert engine.sizes()["working"] == 200
    engine.pass_time(60)
    assert engine.sizes()["working"] == 0
    engine.commit()
    assert engine.rows_on_disk("workers") == 0


def test_what_is_done_or_fetched_again_between_two_slices_is_not_taken_back(engine: Engine) -> None:
    gone_with(engine, 700)
    assert engine.manager.upkeep()
    assert engine.manager.ack("job-0700", WID)
    engine.fail("job-0699", WID)
    engine.clock.advance(10)
    worker = engine.worker(WID)
    engine.mutate("requeue", "retries", jids=["job-0699"])
    assert [job["jid"] for job in [engine.fetch(worker=worker)] if job] == ["job-0699"]
    engine.upkeep()
    assert [reservation.job.jid for reservation in engine.manager.reservations()] == ["job-0699"]
    engine.commit()
    assert engine.rows_on_disk("workers") == 1  # it came back


def test_a_flush_between_two_slices_leaves_nothing_to_take_back(engine: Engine) -> None:
    gone_with(engine, 700)
    assert engine.manager.upkeep()
    engine.manager.flush()
    engine.upkeep()
    assert set(engine.sizes().values()) == {0}


def test_a_connected_worker_keeps_its_jobs_however_long_it_is_silent(engine: Engine) -> None:
    worker = engine.worker(WID)
    engine.push(reserve_for=86_400)
    engine.fetch(worker=worker)
    engine.pass_time(20 * HOUR)
    assert engine.sizes()["working"] == 1


def test_only_the_jobs_of_the_worker_that_is_gone_are_taken_back(engine: Engine) -> None:
    engine.push(queue="r")
    engine.fetch("r", worker=engine.worker("other"))
    gone_after_fetch(engine)
    engine.pass_time(60)
    assert [reservation.wid for reservation in engine.manager.reservations()] == ["other"]


def test_a_worker_that_comes_back_within_the_minute_keeps_its_jobs(engine: Engine) -> None:
    jid = gone_after_fetch(engine)
    engine.pass_time(59)
    engine.worker(WID, beats=False)
    engine.pass_time(600)
    assert engine.sizes()["working"] == 1
    assert engine.manager.ack(jid, WID)


def test_a_worker_that_comes_back_and_leaves_again_without_a_heartbeat_is_gone_a_minute_later(engine: Engine) -> None:
    gone_after_fetch(engine)
    engine.pass_time(59)
    engine.manager.disconnect_worker(engine.worker(WID, beats=False))
    engine.pass_time(59)
    assert engine.sizes()["working"] == 1
    engine.pass_time(1)
    assert errtypes(engine) == ["WorkerGone"]


def test_a_heartbeat_over_a_connection_of_another_worker_is_a_sign_of_life(engine: Engine) -> None:
    gone_after_fetch(engine)
    for _ in range(5):
        engine.pass_time(50)
        assert engine.manager.beat(WID, None, 0) is None
    assert engine.sizes()["working"] == 1
    engine.pass_time(60)
    assert engine.sizes()["working"] == 0


def test_a_worker_leaves_when_the_last_of_its_connections_does(engine: Engine) -> None:
    second = engine.worker(WID)
    gone_after_fetch(engine)
    engine.pass_time(120)
    assert engine.sizes()["working"] == 1
    engine.manager.disconnect_worker(second)
    engine.pass_time(60)
    assert engine.sizes()["working"] == 0


@pytest.mark.parametrize("hours", [-5, 5])
def test_the_minute_is_not_one_of_the_wall_clock(engine: Engine, hours: int) -> None:
    gone_after_fetch(engine)
    engine.pass_time(30)
    engine.clock.step_wall(hours * HOUR)
    engine.pass_time(29)
    assert engine.sizes()["working"] == 1
    engine.pass_time(1)
    assert engine.sizes()["working"] == 0


def test_jobs_are_left_to_their_reservations_when_reclaiming_is_off(make_engine: MakeEngine) -> None:
    engine = make_engine(reclaim_dead_workers=False)
    gone_after_fetch(engine)
    engine.pass_time(1799)
    assert engine.sizes()["working"] == 1
    engine.pass_time(1)
    assert errtypes(engine) == ["ReservationExpired"]


# -- over a restart ------------------------------------------------------------------------------------------------


def test_after_a_restart_the_minute_begins_anew(engine: Engine) -> None:
    gone_after_fetch(engine)
    engine.pass_time(59)
    engine.restart()
    engine.pass_time(59.9)
    assert engine.sizes()["working"] == 1
    engine.pass_time(0.1)
    assert errtypes(engine) == ["WorkerGone"]


def test_a_worker_that_was_connected_at_the_crash_has_a_minute_to_come_back(engine: Engine) -> None:
    worker = engine.worker(WID)
    engine.push()
    engine.fetch(worker=worker)
    engine.commit()
    engine.crash()
    engine.pass_time(59)
    engine.worker(WID, beats=False)
    engine.pass_time(300)
    assert engine.sizes()["working"] == 1


def test_a_worker_without_a_heartbeat_is_not_remembered(engine: Engine) -> None:
    gone_after_fetch(engine, beats=False)
    engine.restart()
    engine.pass_time(1799)
    assert engine.sizes()["working"] == 1


def test_a_gone_worker_is_forgotten_on_disk_too(engine: Engine) -> None:
    gone_after_fetch(engine)
    engine.restart()
    assert engine.rows_on_disk("workers") == 1
    engine.pass_time(60)
    engine.restart()
    assert engine.rows_on_disk("workers") == 0
    assert engine.manager.workers.take_gone(float("inf")) == []


def test_one_heartbeat_is_recorded_and_the_next_ones_cost_nothing(engine: Engine) -> None:
    engine.worker(WID)
    engine.commit()
    engine.manager.beat(WID, None, 5)
    assert not engine.store.batch


def test_a_heartbeat_after_a_flush_is_recorded_again(engine: Engine) -> None:
    worker = engine.worker(WID)
    engine.commit()
    engine.manager.flush()
    engine.manager.beat(WID, None, 0)
    engine.restart()
    assert engine.rows_on_disk("workers") == 1
    engine.manager.disconnect_worker(worker)


def test_workers_that_left_before_a_flush_are_forgotten() -> None:
    workers = Workers()
    workers.load([WID, "other"], 0.0)
    workers.forget_heartbeats()
    assert workers.take_gone(float("inf")) == []


def test_what_gone_workers_hold_is_looked_for_in_slices(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a million reservations would take a tenth of a second; meanwhile others fetch and finish jobs."""
    monkeypatch.setattr(duties, "_LOOKED_AT", 100)
    other = engine.worker("other")
    for _ in range(300):
        engine.push(reserve_for=86_400)
        engine.fetch(worker=other)
    gone_with(engine, 150)
    looked, left = 0, []
    while engine.manager.upkeep():
        looked += 1
        left.append(engine.sizes()["working"])
        engine.push(reserve_for=86_400)
        engine.fetch(worker=other)
    assert looked >= 5
    assert left[0] == 450
    assert engine.sizes()["working"] == 300 + looked
    assert engine.sizes()["retries"] == 150
    engine.commit()
    assert engine.rows_on_disk("workers") == 1
