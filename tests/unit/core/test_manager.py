"""What the commands mean: refusals, pauses, latencies, records on disk, and the periodic duties.

What belongs to one part of the manager (order, retries, reservations, waiting, workers, restarts) is tested beside the
part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from faktory_tw.core.job import parse_job
from faktory_tw.storage.store import JobRow, Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import HOUR, NOON, Engine, MakeEngine, jid_of, job_json

NOTHING = {"scheduled": 0, "queued": 0, "working": 0, "retries": 0, "dead": 0}


def refused(engine: Engine, **fields: object) -> str:
    """Why a push is refused; that it changed nothing is checked, too."""
    before = engine.sizes(), engine.manager.queue_sizes()
    with pytest.raises(CommandError) as refusal:
        engine.push(**fields)
    assert (engine.sizes(), engine.manager.queue_sizes()) == before
    assert not engine.manager.seal()
    engine.store.written()
    return str(refusal.value)


# -- push ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"jobtype": ""}, "jobs must have a jobtype parameter"),
        ({"args": None}, "jobs must have an args parameter"),
        ({"args": {}}, "invalid JSON: args must be an array"),
        ({"reserve_for": 86_401}, "jobs cannot be reserved for more than one day"),
        ({"priority": -1}, "invalid JSON: priority must be a number from 1 to 9"),
        ({"priority": 2.5}, "invalid JSON: "),
        ({"at": "soon"}, "invalid timestamp for 'at': \"soon\": "),
        ({"queue": "a b"}, 'cannot get "a b" queue: queue names must match \\A[a-zA-Z0-9._-]+\\z'),
        ({"queue": "a b", "at": "2100-01-01T00:00:00Z"}, 'cannot get "a b" queue: '),
        ({"custom": [1]}, "invalid JSON: custom must be an object"),
        ({"failure": [1]}, "invalid JSON: failure: "),
    ],
)
def test_a_refused_push_changes_nothing(engine: Engine, fields: dict[str, object], told: str) -> None:
    assert refused(engine, **fields).startswith(told)


def test_checks_come_in_the_order_of_the_recorded_server(engine: Engine) -> None:
    wrong: dict[str, object] = {"jobtype": "", "args": None, "reserve_for": 86_401, "at": "soon", "queue": "a b"}
    right = {"jobtype": "Work", "args": [], "reserve_for": 60, "at": None, "queue": "q"}
    told = []
    for name in wrong:
        told.append(refused(engine, **wrong)[:24])
        wrong[name] = right[name]
    assert told == [
        "jobs must have a jobtype",
        "jobs must have an args p",
        "jobs cannot be reserved ",
        "invalid timestamp for 'a",
        'cannot get "a b" queue: ',
    ]


def test_jobs_of_one_bulk_push_have_one_time(engine: Engine) -> None:
    for _ in range(3):
        engine.push(now=NOON - 5)
        engine.clock.advance(1)
    created = {job["created_at"] for job in [engine.fetch(), engine.fetch(), engine.fetch()] if job is not None}
    assert created == {rfc3339(NOON - 5)}


def test_pushes_are_refused_while_an_operator_or_the_disk_says_so(engine: Engine) -> None:
    kept, retried = engine.push(), engine.push()
    engine.fetch()
    engine.fetch()
    engine.fail(retried)
    engine.push(at=rfc3339(NOON + 1))
    engine.commit()
    engine.manager.refuse_pushes = "the disk is nearly full"
    assert refused(engine) == "the disk is nearly full"
    assert refused(engine, at="2100-01-01T00:00:00Z") == "the disk is nearly full"
    assert engine.manager.ack(kept, "")
    engine.pass_time(HOUR)
    assert engine.sizes() == {**NOTHING, "scheduled": 1, "retries": 1}
    engine.manager.refuse_pushes = ""
    engine.upkeep()
    engine.push()
    assert engine.sizes() == {**NOTHING, "queued": 3}


def test_while_pushes_are_refused_jobs_still_fail_expire_and_die(engine: Engine) -> None:
    failing, dying = engine.push(), engine.push(retry=-1)
    engine.push(reserve_for=60)
    engine.jids()
    engine.manager.refuse_pushes = "the disk is nearly full"
    engine.fail(failing)
    engine.fail(dying)
    engine.pass_time(60)
    assert engine.sizes() == {**NOTHING, "retries": 2, "dead": 1}


def test_a_full_queue_takes_no_more_and_others_do(make_engine: MakeEngine) -> None:
    engine = make_engine(max_queue_size=3)
    for _ in range(3):
        engine.push(queue="q")
    with pytest.raises(CommandError, match=r"^q is too large, currently 3, max size is 3$"):
        engine.push(queue="q")
    engine.push(queue="other")
    engine.fetch("q")
    engine.push(queue="q")
    assert engine.manager.queue_sizes() == {"other": 1, "q": 3}


def test_jobs_that_were_accepted_enter_a_full_queue_when_they_are_due(make_engine: MakeEngine) -> None:
    engine = make_engine(max_queue_size=1)
    engine.push(at=rfc3339(NOON + 1))
    engine.push()
    engine.pass_time(1)
    assert engine.sizes() == {**NOTHING, "queued": 2}


def test_a_queue_has_no_limit_unless_one_is_set(engine: Engine) -> None:
    for _ in range(5000):
        engine.push()
    assert engine.sizes()["queued"] == 5000


# -- acknowledging -------------------------------------------------------------------------------------------------


def test_any_connection_may_acknowledge_a_job_once(engine: Engine) -> None:
    jid = engine.push()
    engine.fetch(worker=engine.worker("worker-1"))
    assert engine.manager.ack(jid, "other")
    assert not engine.manager.ack(jid, "worker-1")
    assert engine.sizes() == NOTHING


# -- records -------------------------------------------------------------------------------------------------------


def test_a_job_that_is_pushed_and_acknowledged_before_a_commit_costs_no_row(engine: Engine) -> None:
    engine.push()
    engine.commit()
    jid = engine.push(queue="default")
    engine.jids()
    engine.manager.ack(jid, "")
    batch = engine.manager.seal()
    assert not batch.jobs
    assert not batch.removed
    assert [engine.manager.read(list(batch.places))[0].position] == [1]
    assert [record.day for record in batch.days] == ["total", "2025-11-21"]


def test_a_job_that_is_worked_while_its_batch_is_written_leaves_nothing(engine: Engine) -> None:
    jid = engine.push()
    sealed = engine.manager.seal()
    engine.fetch()
    engine.manager.ack(jid, "")
    assert len(sealed.jobs) == 1
    engine.store.write(sealed)
    engine.store.written()
    engine.commit()
    assert engine.rows_on_disk("jobs") == engine.rows_on_disk("places") == 0
    engine.crash()
    assert engine.sizes() == NOTHING


@pytest.mark.parametrize("committed", range(6))
def test_a_life_can_be_cut_after_each_of_its_changes(engine: Engine, committed: int) -> None:
    """A crash after the n-th change leaves the job where it was then; each change is a batch of its own."""
    jid = "12345678"
    changes: list[Callable[[], object]] = [
        lambda: engine.push(jid, at=rfc3339(NOON + 1)),
        lambda: engine.pass_time(1),
        engine.fetch,
        lambda: engine.fail(jid),
        lambda: engine.pass_time(15),
        lambda: (engine.fetch(), engine.manager.ack(jid, "")),
    ]
    places = ["scheduled", "queued", "working", "retries", "queued", ""]
    for number, change in enumerate(changes):
        change()
        if number <= committed:
            engine.commit()
    engine.crash()
    place = places[committed]
    assert engine.sizes() == ({**NOTHING, place: 1} if place else NOTHING)


# -- pause ---------------------------------------------------------------------------------------------------------


def test_a_paused_queue_takes_jobs_and_gives_none(engine: Engine) -> None:
    engine.push(queue="q")
    engine.push(queue="r")
    engine.manager.pause(["q", "unknown"])
    engine.push(queue="q")
    assert engine.fetch("q") is None
    assert engine.jids("q", "r") == ["job-0002"]
    engine.manager.pause(["q", "q"], paused=False)
    assert engine.jids("q") == ["job-0001", "job-0003"]
    assert "unknown" not in engine.manager.queue_sizes()


def test_jobs_being_worked_are_not_affected_by_a_pause(engine: Engine) -> None:
    jid = engine.push()
    engine.fetch()
    engine.manager.pause(["default"])
    assert engine.manager.ack(jid, "")


def test_a_star_is_every_queue_only_as_the_first_name(engine: Engine) -> None:
    for name in "abc":
        engine.push(queue=name)
    engine.manager.pause(["a", "*"])
    assert [engine.fetch(name) is None for name in "abc"] == [True, False, False]
    engine.manager.pause(["*"])
    engine.push(queue="b")
    assert engine.fetch("a", "b", "c") is None
    engine.manager.pause(["*", "a"], paused=False)
    assert len(engine.jids("a", "b", "c")) == 2


def test_a_removed_queue_is_made_again_without_its_pause(engine: Engine) -> None:
    engine.push(queue="q")
    engine.manager.pause(["q"])
    engine.manager.remove_queues(["q"])
    jid = engine.push(queue="q")
    engine.restart()
    assert engine.jids("q") == [jid]


@pytest.mark.parametrize("way", ["scheduled", "retry", "requeue"])
def test_a_paused_queue_that_is_empty_stays_paused_when_a_job_enters_it(engine: Engine, way: str) -> None:
    jid = engine.push(queue="q")
    engine.fetch("q")
    engine.manager.pause(["q"])
    if way == "scheduled":
        engine.manager.ack(jid, "")
        jid = engine.push(queue="q", at=rfc3339(NOON + 15))
        engine.pass_time(15)
    else:
        engine.fail(jid)
        if way == "retry":
            engine.pass_time(15)
        else:
            engine.mutate("requeue", "retries")
    assert engine.manager.queue_sizes() == {"q": 1}
    assert engine.fetch("q") is None


# -- latency -------------------------------------------------------------------------------------------------------


def test_latency_is_the_age_of_the_next_job(engine: Engine) -> None:
    engine.push(queue="q", priority=1)
    engine.clock.advance(3)
    engine.push(queue="q", priority=9)
    engine.clock.advance(2.5)
    assert engine.manager.latencies(["q", "unknown", "not a name"]) == {"q": 2.5, "unknown": 0, "not a name": 0}
    engine.fetch("q")
    assert engine.manager.latencies(["q"]) == {"q": 5.5}
    engine.restart()
    assert engine.manager.latencies(["q"]) == {"q": 5.5}
    engine.fetch("q")
    assert engine.manager.latencies(["q"]) == {"q": 0}


def test_latency_of_a_queue_named_twice_is_looked_up_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.push(queue="q")
    engine.restart()
    reads: list[Sequence[int]] = []
    original = engine.store.read

    def read(ids: Sequence[int]) -> list[JobRow]:
        reads.append(ids)
        return original(ids)

    monkeypatch.setattr(engine.store, "read", read)
    assert engine.manager.latencies(["q"] * 5000) == {"q": 0}
    assert len(reads) == 1


def test_latencies_of_more_than_a_thousand_queues_are_refused(engine: Engine) -> None:
    names = [f"q-{number}" for number in range(1001)]
    assert len(engine.manager.latencies(names[:1000])) == 1000
    with pytest.raises(CommandError, match="more than 1000 queue names"):
        engine.manager.latencies(names)


def test_latency_is_never_negative(engine: Engine) -> None:
    engine.push(queue="q")
    engine.clock.step_wall(-HOUR)
    assert engine.manager.latencies(["q"]) == {"q": 0}


def test_latency_counts_from_the_last_time_a_job_entered_its_queue(engine: Engine) -> None:
    engine.push(queue="q", at=rfc3339(NOON + 10))
    engine.pass_time(12)
    engine.clock.advance(4)
    assert engine.manager.latencies(["q"]) == {"q": 4}


# -- upkeep --------------------------------------------------------------------------------------------------------


def test_nothing_due_is_one_slice(engine: Engine) -> None:
    engine.push(at=rfc3339(NOON + 10))
    engine.push()
    assert engine.upkeep() == 1


@pytest.mark.parametrize("what", ["scheduled", "retries", "dead", "working"])
def test_much_that_is_due_is_done_in_slices(engine: Engine, what: str) -> None:
    many = 1100
    for _ in range(many):
        engine.push(at=rfc3339(NOON + 10) if what == "scheduled" else None, retry=-1 if what == "dead" else 5)
    if what != "scheduled":
        for jid in engine.jids():
            if what != "working":
                engine.fail(jid)
    assert engine.sizes() == {**NOTHING, what: many}
    engine.clock.advance({"scheduled": 10, "retries": 15, "dead": 180 * 24 * HOUR, "working": 1800}[what])
    assert engine.manager.upkeep()
    assert 0 < engine.sizes()[what] < many
    assert many - engine.sizes()[what] <= 500
    engine.push("between1", retry=5)
    assert engine.upkeep() >= 2
    assert engine.sizes()[what] == 0
    engine.restart()
    assert sum(engine.sizes().values()) == 1 + (0 if what == "dead" else many)


def test_upkeep_waits_for_the_disk_when_the_open_batch_is_long(engine: Engine) -> None:
    for _ in range(25_000):
        engine.push(retry=0)
    engine.commit()
    engine.manager.remove_queues(["default"])
    slices = 0
    while engine.manager.upkeep() and slices < 100:
        slices += 1
    assert slices == 100
    held = len(engine.store.batch.removed)
    assert held < 25_000
    engine.commit()
    engine.upkeep()
    engine.commit()
    assert engine.rows_on_disk() == 0


def test_duties_count_what_they_did(engine: Engine) -> None:
    engine.push(at=rfc3339(NOON + 10))
    jid = engine.push(retry=-1)
    engine.fetch()
    engine.fail(jid)
    engine.pass_time(10)
    engine.fetch()
    engine.pass_time(1800)
    engine.pass_time(15)
    tasks = engine.manager.tasks
    assert (tasks["Scheduled"].enqueued, tasks["Retries"].enqueued, tasks["Busy"].reaped) == (1, 1, 1)
    engine.pass_time(180 * 24 * HOUR)
    assert tasks["Dead"].enqueued == 1
    assert tasks["Scheduled"].cycles == tasks["Retries"].cycles == tasks["Dead"].cycles == 4
    assert set(tasks) == {"Scheduled", "Retries", "Dead", "Busy", "Workers", "Expired"}


# -- what others may know ------------------------------------------------------------------------------------------


def test_queues_are_told_by_name(engine: Engine) -> None:
    for name in ("b", "a", "b"):
        engine.push(queue=name)
    assert list(engine.manager.queue_sizes().items()) == [("a", 1), ("b", 2)]
    assert engine.manager.set_sizes() == {"dead": 0, "retries": 0, "scheduled": 0, "working": 0}


def test_a_set_can_be_walked_and_its_jobs_read(engine: Engine) -> None:
    for number in range(5):
        engine.push(at=rfc3339(NOON + 10 - number))
    first = engine.manager.walk(Place.SCHEDULED, None, 2)
    rest = engine.manager.walk(Place.SCHEDULED, first[-1], 10)
    assert [at for at, _ in first + rest] == [NOON + 6, NOON + 7, NOON + 8, NOON + 9, NOON + 10]
    assert [jid_of(row) for row in engine.manager.read([first[1][1], 4711, first[0][1]])] == ["job-0004", "job-0005"]


def test_an_entry_that_left_its_set_meanwhile_is_neither_dropped_nor_moved(engine: Engine) -> None:
    """A long command holds entries while others work."""
    jid = engine.push(at=rfc3339(NOON + 10))
    [entry] = engine.manager.walk(Place.SCHEDULED, None, 1)
    [row] = engine.manager.read([entry[1]])
    engine.pass_time(10)
    engine.manager.edits.discard(Place.SCHEDULED, entry)
    engine.manager.edits.kill(Place.SCHEDULED, entry, row)
    engine.manager.edits.requeue(Place.SCHEDULED, entry, row)
    assert engine.sizes() == {**NOTHING, "queued": 1}
    engine.restart()
    assert engine.jids() == [jid]


def test_a_job_is_handed_over_as_it_was_pushed_whether_or_not_it_was_on_disk(engine: Engine) -> None:
    jobs = []
    for commits in (False, True):
        engine.manager.push(parse_job(job_json("12345678", args=[1, "é"], custom={"k": [None]}, reserve_for=60)))
        if commits:
            engine.restart()
        jobs.append(engine.fetch())
        engine.manager.ack("12345678", "")
    assert jobs[0] == jobs[1]
