"""Jobs that expire: when, where they are dropped, and that a job that is worked stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from faktory_tw.core import edits
from faktory_tw.core.facts import Feature
from faktory_tw.features.changes import change_one
from faktory_tw.features.expiry import Expiry
from faktory_tw.features.unique import Unique
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import DAY, Client, Engine, FakeClock

IN = {"expires_in": 60}


class Town:
    """An engine whose jobs may expire."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.engine = Engine(directory, self.clock, features=self._features)

    def _features(self) -> tuple[Feature, ...]:
        self.expiry = Expiry()
        return (Unique(), self.expiry)

    def push(self, custom: Mapping[str, object] = IN, **fields: object) -> str:
        return self.engine.push(custom=custom, **fields)

    def dropped(self) -> int:
        """How many jobs were dropped since the start."""
        return self.engine.manager.tasks["Expired"].reaped

    def kept(self) -> int:
        """Of how many jobs it is known, in memory and, after a commit, on disk, when they expire."""
        self.engine.commit()
        assert self.engine.rows_on_disk("entries") == len(self.expiry)
        assert len(self.expiry._idle) <= len(self.expiry)
        return len(self.expiry)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path / "data")
    yield town
    town.engine.stop()


# -- when ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("after", [59.5, 60])
def test_a_job_expires_to_the_second(town: Town, after: float, restart: bool) -> None:
    town.push()
    if restart:
        town.engine.restart()
    town.clock.advance(after)
    assert (town.engine.fetch() is None) == (after == 60)
    assert town.dropped() == (after == 60)


def test_a_job_expires_at_a_time(town: Town) -> None:
    town.push({"expires_at": "2025-11-21T13:01:00+01:00"})
    town.clock.advance(59.5)
    town.engine.upkeep()
    assert town.dropped() == 0
    town.clock.advance(0.5)
    town.engine.upkeep()
    assert town.dropped() == 1


def test_the_seconds_of_a_scheduled_job_count_from_when_it_is_due(town: Town) -> None:
    town.push(at="2025-11-21T12:01:40Z")
    town.engine.pass_time(159.5)
    assert town.engine.sizes()["queued"] == 1
    town.engine.pass_time(0.5)
    assert town.engine.sizes()["queued"] == 0


def test_of_two_moments_the_earlier_counts(town: Town) -> None:
    town.push({"expires_at": "2025-11-21T13:00:00Z", "expires_in": 5})
    town.push({"expires_at": "2025-11-21T12:00:05Z", "expires_in": 3600})
    town.engine.pass_time(5)
    assert town.dropped() == 2


def test_a_job_that_has_expired_already_is_accepted_and_dropped(town: Town) -> None:
    client = Client(town.engine, "default")
    town.push({"expires_at": "2020-01-01T00:00:00Z"})
    assert client.jobs == []
    assert town.dropped() == 1
    assert town.kept() == 0
    assert town.engine.rows_on_disk() == 0


@pytest.mark.parametrize("time", ["", "soon", "2025-11-21", "2025-13-21T12:00:00Z"])
def test_a_time_that_is_none_is_refused_with_what_to_give(town: Town, time: str) -> None:
    with pytest.raises(CommandError, match=r"^custom\.expires_at must be a time such as \"2026-11-22T08:00:00Z\": "):
        town.push({"expires_at": time})
    assert not town.engine.store.batch


def test_the_moment_follows_the_wall_clock(town: Town) -> None:
    town.push()
    town.clock.step_wall(-30)
    town.engine.pass_time(60)
    assert town.dropped() == 0
    town.clock.step_wall(30)
    town.engine.upkeep()
    assert town.dropped() == 1


# -- where ---------------------------------------------------------------------------------------------------------


def test_a_fetch_goes_on_to_the_next_job(town: Town) -> None:
    for _ in range(3):
        town.push()
    plain = town.engine.push()
    town.clock.advance(60)
    job = town.engine.fetch()
    assert job is not None
    assert job["jid"] == plain
    assert town.dropped() == 3
    assert town.kept() == 0


def test_the_sweep_drops_queued_scheduled_and_retried_jobs_and_no_other(town: Town) -> None:
    for queue in ("a", "b"):
        for priority in (1, 9):
            town.push(queue=queue, priority=priority)
            town.engine.push(queue=queue, priority=priority)
    town.push({"expires_at": "2025-11-21T12:01:00Z"}, at=rfc3339(town.clock.time() + 3600))
    failing = town.push(queue="failing", retry=25)
    town.engine.fetch("failing")
    town.engine.fail(failing)
    town.clock.advance(10)
    assert town.engine.sizes() == {"queued": 8, "scheduled": 1, "retries": 1, "working": 0, "dead": 0}
    town.engine.pass_time(50)
    assert town.engine.sizes()["queued"] == 4
    assert town.engine.sizes()["scheduled"] == town.engine.sizes()["retries"] == 0
    assert town.dropped() == 6
    assert len(town.engine.jids("a", "b")) == 4
    assert town.kept() == 0


@pytest.mark.parametrize("restart", [False, True])
def test_a_job_that_is_worked_stays_until_it_fails(town: Town, restart: bool) -> None:
    done, failing = town.push(), town.push()
    town.engine.jids()
    if restart:
        town.engine.restart()
    town.engine.pass_time(61)
    assert town.dropped() == 0
    assert town.engine.sizes()["working"] == 2
    town.engine.manager.ack(done, "")
    town.engine.fail(failing)
    town.engine.upkeep()
    assert town.dropped() == 1
    assert town.engine.sizes()["retries"] == 0
    assert town.kept() == 0


def test_a_job_that_is_given_back_after_its_time_is_dropped(town: Town) -> None:
    town.push()
    reservation = town.engine.reserve()
    assert reservation is not None
    town.engine.pass_time(61)
    town.engine.manager.give_back(reservation)
    town.engine.upkeep()
    assert town.dropped() == 1
    assert town.engine.sizes()["queued"] == 0


def test_a_dead_job_does_not_expire_and_may_be_tried_again(town: Town) -> None:
    jid = town.push(retry=-1)
    town.engine.fetch()
    town.engine.fail(jid)
    assert town.kept() == 0
    town.engine.pass_time(DAY)
    town.engine.mutate("requeue", "dead")
    assert town.engine.jids() == [jid]


def test_another_priority_changes_nothing(town: Town) -> None:
    town.push()
    change_one(town.engine.manager, "priority", 1, 9)
    assert town.kept() == 1
    town.engine.pass_time(60)
    assert town.dropped() == 1


@pytest.mark.parametrize("how", ["delete", "remove", "flush", "retry 0"])
def test_nothing_is_kept_of_a_job_that_is_gone(town: Town, how: str) -> None:
    jid = town.push(retry=0)
    town.engine.commit()
    if how == "delete":
        change_one(town.engine.manager, "delete", 1)
    elif how == "remove":
        town.engine.manager.remove_queues(["default"])
    elif how == "flush":
        town.engine.manager.flush()
    else:
        town.engine.fetch()
        town.engine.fail(jid)
    town.engine.upkeep()
    assert town.kept() == 0
    town.engine.pass_time(60)
    assert town.dropped() == 0


def test_an_entry_without_its_job_is_dropped_when_it_is_due(town: Town) -> None:
    town.engine.store.batch.enter("expires", (99).to_bytes(8, "big"), bytes(8))
    town.engine.restart()
    assert town.kept() == 1
    town.engine.upkeep()
    assert town.kept() == 0
    assert town.dropped() == 0


def test_the_lock_of_an_expired_job_ends(town: Town) -> None:
    unique = {"unique_for": 3600, **IN}
    town.push(unique)
    with pytest.raises(CommandError, match=r"^Job not unique$"):
        town.push(unique)
    town.engine.pass_time(60)
    town.push(unique)


def test_a_fetch_that_waits_gets_what_stood_behind_many_expired_jobs(town: Town) -> None:
    for _ in range(1200):
        town.push()
    plain = town.engine.push()
    town.clock.advance(60)
    assert town.engine.fetch() is None
    client = Client(town.engine, "default")
    assert town.engine.upkeep() >= 2
    assert [job["jid"] for job in client.jobs if job] == [plain]
    assert town.dropped() == 1200


def test_jobs_that_stand_far_from_each_other_are_swept_a_few_at_a_time(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits, "_WINDOW", 3)
    plain = []
    for number in range(100):
        plain += [town.engine.push() for _ in range(3)]
        town.push({"expires_in": 60 - number % 7})
    town.clock.advance(60)
    assert town.engine.manager.upkeep()
    assert 0 < town.dropped() < 40
    town.engine.upkeep()
    assert town.dropped() == 100
    assert town.engine.jids() == plain


def test_large_jobs_are_swept_a_few_at_a_time(town: Town) -> None:
    for _ in range(20):
        town.push(args=["x" * 1_000_000])
    town.clock.advance(60)
    assert town.engine.manager.upkeep()
    assert 0 < town.dropped() < 20
    town.engine.upkeep()
    assert town.dropped() == 20
    assert town.kept() == 0


def test_what_is_dropped_is_dropped_from_the_disk(town: Town) -> None:
    town.push()
    town.push(at=rfc3339(town.clock.time() + 1))
    town.engine.commit()
    town.engine.pass_time(100)
    town.engine.commit()
    town.engine.crash()
    assert town.engine.rows_on_disk() == 0
    assert town.engine.manager.timed(Place.SCHEDULED).after(None, 10) == []
    assert town.kept() == 0


def test_a_job_tells_when_it_expires(town):
    town.push()
    job_id = town.engine.manager.newest_id()
    assert town.expiry.end(job_id) == town.clock.time() + 60
    assert town.expiry.end(job_id + 1) is None
