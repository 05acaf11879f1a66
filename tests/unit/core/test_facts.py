"""What a feature is told of its jobs: every way in which a job may go, and nothing of plain jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from faktory_tw.core.facts import Arrival, Feature
from faktory_tw.core.job import Job
from faktory_tw.core.marks import Marks
from faktory_tw.features.changes import Change, change_one
from faktory_tw.features.search import Filter, Where
from faktory_tw.storage.store import Place
from faktory_tw.wire import CommandError
from tests.unit.doubles import DAY, Client, Engine, FakeClock


class Notes(Feature):
    """Writes down what it is told. It refuses what is of type Refused; what ``over`` names is over."""

    kind = "notes"

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.over: set[int] = set()
        self.holding = True
        self.steps = 0

    def load(self, entries: Iterator[tuple[bytes, bytes]]) -> None:
        self.loaded = list(entries)

    def concerns(self, marks: Marks) -> bool:
        return marks.unique_for is not None

    def holds(self) -> bool:
        return self.holding

    def step(self) -> bool:
        self.steps += 1
        return False

    def check_push(self, arrival: Arrival) -> None:
        if arrival.payload.jobtype == "Refused":
            raise CommandError("refused")

    def is_over(self, job: Job) -> bool:
        return job.id in self.over

    def pushed(self, job_id: int, arrival: Arrival) -> None:
        self.told.append(("pushed", job_id))
        self.store.batch.enter(self.kind, b"%d" % job_id, str(arrival.payload.jid).encode())

    def flushed(self) -> None:
        self.told.append(("flushed", 0))

    def renumbered(self, old_id: int, job: Job) -> None:
        self.told.append((f"renumbered {old_id}", job.id))

    def fetched(self, job: Job) -> None:
        self.told.append(("fetched", job.id))

    def given_back(self, job: Job) -> None:
        self.told.append(("given_back", job.id))

    def acked(self, job: Job) -> None:
        self.told.append(("acked", job.id))

    def failed(self, job: Job) -> None:
        self.told.append(("failed", job.id))

    def died(self, job: Job) -> None:
        self.told.append(("died", job.id))

    def discarded(self, job: Job) -> None:
        self.told.append(("discarded", job.id))

    def expired(self, job: Job) -> None:
        self.told.append(("expired", job.id))

    def requeued(self, job: Job) -> None:
        self.told.append(("requeued", job.id))


MARKED = {"unique_for": 60}


class Town:
    """An engine with one feature, and what that was told since the last look. Ids of jobs begin with 1."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.notes = Notes()
        self.engine = Engine(directory, self.clock, features=self._feature)

    def _feature(self) -> tuple[Feature]:
        self.notes = Notes()
        return (self.notes,)

    def told(self) -> list[str]:
        told, self.notes.told = self.notes.told, []
        return [f"{fact} {job_id}" for fact, job_id in told]

    def push(self, count: int = 1, **fields: object) -> None:
        for _ in range(count):
            self.engine.push(custom=MARKED, **fields)
        self.told()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path / "data")
    yield town
    town.engine.stop()


def test_a_plain_job_is_told_to_nobody(town: Town) -> None:
    engine = town.engine
    for custom in (None, {"locale": "de"}, {"expires_in": 60}):
        engine.push(custom=custom)
        job = engine.fetch()
        assert job is not None
        engine.manager.ack(job["jid"], "")
    assert town.told() == []


def test_a_job_is_told_from_its_push_to_its_end(town: Town) -> None:
    jid = town.engine.push(custom=MARKED)
    town.engine.fetch()
    town.engine.fail(jid)
    town.engine.pass_time(100)
    town.engine.fetch()
    town.engine.manager.ack(jid, "")
    assert town.told() == ["pushed 1", "fetched 1", "failed 1", "requeued 1", "fetched 1", "acked 1"]


def test_a_job_is_told_though_it_was_read_back_from_disk(town: Town) -> None:
    first, second = (town.engine.push(custom=MARKED) for _ in range(2))
    town.engine.fetch()
    town.engine.restart()
    assert [key for key, _ in town.notes.loaded] == [b"1", b"2"]
    town.engine.manager.ack(first, "")
    town.engine.fetch()
    town.engine.manager.ack(second, "")
    assert town.told() == ["acked 1", "fetched 2", "acked 2"]


def test_a_refused_job_changes_nothing(town: Town) -> None:
    with pytest.raises(CommandError, match=r"^refused$"):
        town.engine.push(custom=MARKED, jobtype="Refused")
    assert town.told() == []
    assert not town.engine.store.batch
    assert town.engine.manager.queue_names() == []
    assert town.engine.manager.pushed == 0


def test_a_job_that_another_check_refuses_is_not_told(town: Town) -> None:
    town.engine.manager.refuse_pushes = "full"
    with pytest.raises(CommandError, match=r"^full$"):
        town.engine.push(custom=MARKED)
    assert town.told() == []


def test_a_job_for_a_waiting_fetch_is_told_as_fetched_when_it_was_delivered(town: Town) -> None:
    gone = Client(town.engine, "default", there=False)
    there = Client(town.engine, "default")
    jid = town.engine.push(custom=MARKED)
    assert not gone.jobs
    assert [job["jid"] for job in there.jobs if job] == [jid]
    assert town.told() == ["pushed 1", "fetched 1"]


def test_a_job_that_is_given_back_is_told(town: Town) -> None:
    town.push()
    reservation = town.engine.reserve()
    assert reservation is not None
    town.engine.manager.give_back(reservation)
    assert town.told() == ["fetched 1", "given_back 1"]
    reservation = town.engine.reserve()
    assert reservation is not None
    town.engine.manager.remove_queues(["default"])
    town.engine.manager.give_back(reservation)
    assert town.told() == ["fetched 1", "given_back 1", "discarded 1"]


def test_a_reservation_that_is_over_is_a_failure(town: Town) -> None:
    town.push()
    town.engine.fetch()
    town.engine.pass_time(1801)
    assert town.told() == ["fetched 1", "failed 1"]


@pytest.mark.parametrize(("retry", "end"), [(0, "discarded 1"), (-1, "died 1")])
def test_a_job_that_fails_for_the_last_time_is_told(town: Town, retry: int, end: str) -> None:
    jid = town.engine.push(custom=MARKED, retry=retry)
    town.engine.fetch()
    town.engine.fail(jid)
    assert town.told()[2:] == [end]


def test_a_dead_job_is_told_when_it_is_dropped_after_its_time(town: Town) -> None:
    jid = town.engine.push(custom=MARKED, retry=-1)
    town.engine.fetch()
    town.engine.fail(jid)
    town.engine.pass_time(181 * DAY)
    assert town.told()[2:] == ["died 1", "discarded 1"]


def test_a_scheduled_job_is_told_when_it_is_due(town: Town) -> None:
    town.push(at="2025-11-21T12:01:00Z")
    town.engine.pass_time(61)
    assert town.told() == ["requeued 1"]


@pytest.mark.parametrize(
    ("cmd", "wanted", "fact"),
    [
        ("clear", {}, "discarded"),
        ("discard", {}, "discarded"),
        ("discard", {"jobtype": "Work"}, "discarded"),
        ("kill", {}, "died"),
        ("requeue", {}, "requeued"),
    ],
)
def test_what_mutate_does_is_told(town: Town, cmd: str, wanted: dict[str, str], fact: str) -> None:
    town.push(3, at="2025-11-21T12:01:00Z")
    town.engine.mutate(cmd, "scheduled", **wanted)
    assert town.told() == [f"{fact} {job_id}" for job_id in (1, 2, 3)]


def change(
    town: Town, action: str, where: Where, jobtype: str | None, newest: int | None, priority: int | None
) -> None:
    for _ in Change(town.engine.manager, action, where, Filter(jobtype=jobtype), priority, newest).steps():
        pass


@pytest.mark.parametrize("newest", [None, 1000])
@pytest.mark.parametrize("jobtype", [None, "Work"])
@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("delete", ["discarded 1", "discarded 2"]),
        ("kill", ["died 1", "died 2"]),
        ("priority", ["renumbered 1 3", "renumbered 2 4"]),
    ],
)
def test_what_an_operator_does_to_a_queue_is_told(
    town: Town, action: str, told: list[str], jobtype: str | None, newest: int | None
) -> None:
    town.push(2)
    change(town, action, Where(Place.QUEUED, "default"), jobtype, newest, 9 if action == "priority" else None)
    town.engine.upkeep()
    assert town.told() == told


@pytest.mark.parametrize("newest", [None, 2])
@pytest.mark.parametrize("jobtype", [None, "Work"])
@pytest.mark.parametrize(("action", "fact"), [("delete", "discarded"), ("kill", "died"), ("retry", "requeued")])
def test_what_an_operator_does_to_a_set_is_told(
    town: Town, action: str, fact: str, jobtype: str | None, newest: int | None
) -> None:
    town.push(3, at="2025-11-21T12:01:00Z")
    change(town, action, Where(Place.SCHEDULED), jobtype, newest, None)
    assert town.told() == [f"{fact} {job_id}" for job_id in ((1, 2, 3) if newest is None else (1, 2))]


@pytest.mark.parametrize("action", ["delete", "kill"])
def test_what_an_operator_does_to_one_job_is_told(town: Town, action: str) -> None:
    town.push(2)
    change_one(town.engine.manager, action, 2)
    assert town.told() == ["discarded 2" if action == "delete" else "died 2"]


def clear(town: Town) -> None:
    town.engine.manager.edits.clear_queue("default")


def remove(town: Town) -> None:
    town.engine.manager.remove_queues(["default"])


@pytest.mark.parametrize("empty", [clear, remove])
@pytest.mark.parametrize("crash", [False, True])
def test_jobs_of_a_queue_that_is_emptied_are_told_while_their_rows_are_swept(
    town: Town, empty: Callable[[Town], None], crash: bool
) -> None:
    town.push(3)
    town.engine.push()
    empty(town)
    town.engine.commit()
    if crash:
        town.engine.crash()
    assert town.told() == []
    town.engine.upkeep()
    assert sorted(town.told()) == ["discarded 1", "discarded 2", "discarded 3"]
    assert town.engine.manager.read([1, 2, 3, 4]) == []


def test_large_jobs_are_read_and_told_a_few_at_a_time(town: Town) -> None:
    town.push(24, args=["x" * 1_000_000])
    town.push(12, args=["x" * 1_000_000], at="2025-11-21T12:01:00Z")
    entries = town.engine.manager.walk(Place.SCHEDULED, None, 100)
    assert 0 < town.engine.manager.edits.discard_entries(Place.SCHEDULED, entries) < 12
    change(town, "delete", Where(Place.SCHEDULED), None, 100, None)
    assert town.told() == [f"discarded {job_id}" for job_id in range(25, 37)]
    assert 0 < len(town.engine.manager.edits.discard_queued("default", 5, range(1, 24))) < 23
    taken = len(town.told())
    change(town, "delete", Where(Place.QUEUED, "default"), None, 20, None)
    assert town.told() == [f"discarded {job_id}" for job_id in range(taken + 1, 21)]
    town.push(20, args=["x" * 1_000_000])
    clear(town)
    assert town.engine.upkeep() > 2
    assert town.told() == [f"discarded {job_id}" for job_id in (*range(21, 25), *range(37, 57))]


def test_while_no_feature_keeps_anything_jobs_are_dropped_unread(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.push(2)
    town.push(2, at="2025-11-21T12:01:00Z")
    town.notes.holding = False
    read: list[Sequence[int]] = []
    monkeypatch.setattr(town.engine.manager.sweeper._stride, "_read", read.append)
    monkeypatch.setattr(town.engine.manager.edits._stride, "_read", read.append)
    town.engine.mutate("clear", "scheduled")
    clear(town)
    town.engine.upkeep()
    assert read == []
    assert town.told() == []
    assert town.engine.sizes()["queued"] == town.engine.sizes()["scheduled"] == 0


def test_a_flush_is_told_and_leaves_no_entry(town: Town) -> None:
    town.push(2)
    town.engine.fetch()
    town.engine.commit()
    town.engine.manager.flush()
    assert town.told() == ["fetched 1", "flushed 0"]
    town.engine.restart()
    assert town.notes.loaded == []


def test_jobs_that_are_over_are_dropped_on_the_way_to_the_next_one(town: Town) -> None:
    town.push(3)
    town.notes.over = {1, 2}
    job = town.engine.fetch()
    assert town.told() == ["expired 1", "expired 2", "fetched 3"]
    assert job is not None
    assert town.engine.manager.read([1, 2]) == []


def test_a_job_that_is_over_before_it_is_queued_is_given_to_nobody(town: Town) -> None:
    town.notes.over = {1}
    client = Client(town.engine, "default")
    town.engine.push(custom=MARKED)
    assert town.told() == ["pushed 1", "expired 1"]
    town.engine.push(custom=MARKED)
    assert town.told() == ["pushed 2", "fetched 2"]
    assert len(client.jobs) == 1
    town.engine.commit()
    assert town.engine.rows_on_disk() == 1


@pytest.mark.parametrize(("args", "most"), [([], 256), (["x" * 300_000], 8)])
def test_a_fetch_drops_no_more_than_one_turn_is_good_for(town: Town, args: list[str], most: int) -> None:
    town.push(300, args=args)
    town.notes.over = set(range(1, 300))
    for _ in range(299 // most):
        assert town.engine.fetch() is None
        assert 0 < len(town.told()) <= most
    while (job := town.engine.fetch()) is None:
        pass
    assert json.dumps(job["args"]) == json.dumps(args)


def test_what_a_feature_has_to_do_is_done_with_the_other_duties(town: Town) -> None:
    town.engine.upkeep()
    assert town.notes.steps == 1
