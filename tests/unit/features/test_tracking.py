"""Tracks: what state they are in, how long they are kept, and whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from faktory_tw.config import Settings
from faktory_tw.features import tracking
from faktory_tw.features.changes import change_one
from faktory_tw.features.tracking import Track, Tracking
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from tests.unit.doubles import DAY, NOON, Client
from tests.unit.features.floor import Floor

TRACKED = {"track": 1}
JID = "job-0001"
KEPT = 1800


def settings(**wanted: Any) -> Settings:
    """Settings of which only those of tracking count."""
    return Settings("development", None, None, None, **wanted)  # type: ignore[arg-type]


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("track", [1, True])
def test_a_track_follows_its_job_to_success(floor: Floor, restart: bool, track: object) -> None:
    states = []

    def note() -> None:
        if restart:
            floor.restart()
        states.append(floor.state(JID))

    floor.engine.push(JID, custom={"track": track}, at=rfc3339(NOON + 60))
    note()
    floor.engine.pass_time(60)
    note()
    floor.fetch()
    note()
    floor.engine.fail(JID)
    note()
    floor.engine.mutate("requeue", "retries")
    note()
    floor.fetch()
    note()
    assert floor.say('ACK {"jid":"job-0001"}') == "+OK"
    note()
    assert states == ["enqueued", "enqueued", "working", "failed", "enqueued", "working", "success"]
    assert floor.kept("track") == 1


@pytest.mark.parametrize("custom", [None, {}, {"track": 0}, {"track": False}, {"track": None}, {"other": 1}])
def test_nothing_is_known_of_a_job_that_did_not_ask(floor: Floor, custom: dict[str, object] | None) -> None:
    floor.engine.push(JID, custom=custom)
    assert floor.say(f"TRACK GET {JID}") == {"jid": JID, "state": "unknown", "updated_at": ""}
    assert len(floor.tracking) == 0


@pytest.mark.parametrize("how", ["exhausted", "retry 0", "killed", "deleted", "queue removed", "expired", "taken back"])
def test_a_job_that_nobody_will_try_again_is_dead(floor: Floor, how: str) -> None:
    retry = {"exhausted": -1, "retry 0": 0, "taken back": -1}.get(how)
    custom = {**TRACKED, "expires_in": 10} if how == "expired" else TRACKED
    floor.engine.push(JID, custom=custom, retry=retry)
    job_id = floor.engine.manager.newest_id()
    if how in ("exhausted", "retry 0", "taken back"):
        floor.fetch()
    if how == "taken back":
        floor.engine.pass_time(1800)
    elif how in ("exhausted", "retry 0"):
        floor.engine.fail(JID)
    elif how in ("killed", "deleted"):
        change_one(floor.engine.manager, how[:-2] if how == "killed" else "delete", job_id)
    elif how == "queue removed":
        floor.engine.manager.remove_queues(["default"])
    floor.engine.pass_time(10)
    floor.restart()
    assert floor.state(JID) == "dead"
    assert floor.tracking.holds() == bool(floor.engine.rows(Place.DEAD))


def test_a_dead_job_that_is_tried_again_goes_on_where_it_was(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED, retry=-1)
    floor.fetch()
    floor.set(JID, percent=40)
    floor.engine.fail(JID)
    floor.engine.mutate("requeue", "dead")
    floor.engine.pass_time(KEPT + 1)
    assert floor.say(f"TRACK GET {JID}")["percent"] == 40
    assert floor.state(JID) == "enqueued"


def test_a_job_that_was_dead_for_long_is_tracked_anew_when_it_is_tried_again(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED, retry=-1)
    floor.fetch()
    floor.engine.fail(JID)
    floor.engine.pass_time(KEPT + 1)
    assert floor.state(JID) == "unknown"
    floor.engine.mutate("requeue", "dead")
    assert floor.state(JID) == "enqueued"
    assert floor.kept("track") == 1


def test_a_dead_job_whose_time_is_over_gets_no_track_again(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED, retry=-1)
    floor.engine.push("job-0002", custom=TRACKED)
    floor.fetch()
    floor.engine.fail(JID)
    floor.engine.pass_time(181 * DAY)
    assert floor.engine.rows(Place.DEAD) == []
    assert len(floor.tracking) == floor.kept("track") == 1


@pytest.mark.parametrize("waited", [False, True])
def test_a_job_that_is_given_back_is_enqueued(floor: Floor, waited: bool) -> None:
    if waited:
        Client(floor.engine, "default", there=False)
        floor.engine.push(JID, custom=TRACKED)
    else:
        floor.engine.push(JID, custom=TRACKED)
        reservation = floor.engine.reserve()
        assert reservation is not None
        floor.engine.manager.give_back(reservation)
    assert floor.state(JID) == "enqueued"


def test_another_priority_changes_nothing(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED)
    floor.set(JID, percent=1)
    change_one(floor.engine.manager, "priority", floor.engine.manager.newest_id(), 9)
    floor.restart()
    floor.fetch()
    assert floor.say(f"TRACK GET {JID}")["percent"] == 1
    assert floor.state(JID) == "working"
    assert floor.kept("track") == 1


def test_flush_forgets_everything(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED)
    floor.engine.push("job-0002")
    floor.fetch()
    floor.fetch()
    floor.set("job-0002", percent=1)
    floor.say("FLUSH")
    assert floor.engine.manager.observer is None
    assert (len(floor.tracking), floor.tracking.page()) == (0, [])
    floor.engine.upkeep()
    floor.engine.push(JID, custom=TRACKED)
    floor.restart()
    assert floor.state(JID) == "enqueued"
    assert floor.kept("track") == 1


# -- two jobs with one jid ---------------------------------------------------------------------------------------------


def test_of_two_jobs_with_one_jid_the_newest_has_the_track(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED)
    floor.fetch("worker-1")
    floor.engine.push(JID, custom=TRACKED)
    assert floor.state(JID) == "enqueued"
    floor.say(f'ACK {{"jid":"{JID}","result":1}}', "worker-1")
    assert floor.state(JID) == "enqueued"
    floor.fetch("worker-2")
    floor.restart()
    assert floor.state(JID) == "working"
    floor.say(f'ACK {{"jid":"{JID}"}}', "worker-2")
    told = floor.say(f"TRACK GET {JID}")
    assert (told["state"], told.get("result")) == ("success", None)
    assert floor.kept("track") == 1


def test_a_jid_that_is_used_again_after_its_job_ended_begins_anew(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED)
    floor.fetch()
    floor.set(JID, percent=100, desc="done")
    floor.say(f'ACK {{"jid":"{JID}","result":[1]}}')
    floor.engine.push(JID)
    floor.fetch()
    floor.set(JID, percent=5)
    told = floor.say(f"TRACK GET {JID}")
    assert told == {"jid": JID, "percent": 5, "state": "working", "updated_at": rfc3339(NOON)}
    assert floor.kept("track") == 1


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("how", ["acked", "deleted", "deleted when dead"])
@pytest.mark.parametrize("jid", [JID, "job-0002"])
def test_a_job_that_gets_the_id_of_one_that_is_gone_has_a_track_of_its_own(
    floor: Floor, how: str, tracked: bool, jid: str
) -> None:
    """The highest id is given again after a restart when its job, and its queue, are gone by then."""
    floor.engine.push(JID, custom=TRACKED if tracked else None, retry=-1 if how == "deleted when dead" else 5)
    floor.fetch()
    floor.set(JID, percent=40)
    if how == "acked":
        floor.engine.manager.ack(JID, "")
    else:
        floor.engine.fail(JID)
        floor.engine.mutate("clear", "dead" if how == "deleted when dead" else "retries")
    told = floor.say(f"TRACK GET {JID}")
    floor.engine.manager.remove_queues(["default"])
    floor.restart()
    floor.engine.push(jid)
    assert floor.engine.manager.newest_id() == 1
    floor.fetch()
    assert floor.say(f"TRACK GET {JID}") == told
    floor.set(jid, desc="another")
    floor.restart()
    assert floor.say(f"TRACK GET {jid}") == {
        "jid": jid,
        "desc": "another",
        "state": "working",
        "updated_at": rfc3339(NOON),
    }
    assert len(floor.tracking) == (1 if jid == JID else 2)


# -- a job that did not ask --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("custom", [None, {"expires_in": 10_000}])
def test_a_track_can_begin_while_a_worker_has_the_job(
    floor: Floor, restart: bool, custom: dict[str, object] | None
) -> None:
    floor.engine.push(JID, custom=custom)
    floor.fetch()
    floor.set(JID, percent=10)
    if restart:
        floor.restart()
    assert floor.state(JID) == "working"
    floor.engine.pass_time(KEPT - 1)
    assert floor.state(JID) == "working"
    floor.say(f'ACK {{"jid":"{JID}"}}')
    assert floor.state(JID) == "success"
    floor.engine.pass_time(KEPT + 1)
    assert (len(floor.tracking), floor.kept("track")) == (0, 0)
    assert floor.engine.manager.observer is None


@pytest.mark.parametrize("restart", [False, True])
def test_it_goes_on_when_the_job_is_tried_again(floor: Floor, restart: bool) -> None:
    floor.engine.push(JID)
    floor.fetch()
    floor.set(JID, percent=10)
    floor.engine.fail(JID)
    assert floor.state(JID) == "failed"
    floor.engine.mutate("requeue", "retries")
    if restart:
        floor.restart()
    floor.fetch()
    assert floor.state(JID) == "working"
    floor.say(f'ACK {{"jid":"{JID}"}}')
    assert floor.say(f"TRACK GET {JID}")["percent"] == 10
    assert floor.state(JID) == "success"


def test_it_does_not_stay_for_ever_when_the_job_is_deleted_between_two_tries(floor: Floor) -> None:
    floor.engine.push(JID)
    floor.fetch()
    floor.set(JID, percent=10)
    floor.engine.fail(JID)
    floor.engine.mutate("discard", "retries")
    floor.engine.pass_time(KEPT + 1)
    assert (len(floor.tracking), floor.kept("track")) == (0, 0)
    assert floor.engine.manager.observer is None


# -- how long ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
def test_a_track_is_kept_for_half_an_hour_after_the_last_update_of_a_job_that_ended(
    floor: Floor, restart: bool
) -> None:
    floor.engine.push(JID, custom=TRACKED)
    floor.engine.pass_time(DAY)
    floor.fetch()
    floor.say(f'ACK {{"jid":"{JID}"}}')
    floor.engine.pass_time(KEPT - 1)
    floor.set(JID, desc="counted")
    if restart:
        floor.restart()
    floor.engine.pass_time(KEPT)
    assert floor.state(JID) == "success"
    floor.engine.pass_time(1)
    assert floor.state(JID) == "unknown"
    assert floor.kept("track") == 0


def test_one_with_a_result_is_kept_for_a_day(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED)
    floor.fetch()
    floor.say(f'ACK {{"jid":"{JID}","result":1}}')
    floor.engine.pass_time(DAY)
    assert floor.say(f"TRACK GET {JID}")["result"] == 1
    floor.engine.pass_time(1)
    assert (floor.state(JID), floor.kept("track"), floor.kept("result")) == ("unknown", 0, 0)


def test_other_settings_count_for_tracks_that_are_there(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED)
    floor.fetch()
    floor.say(f'ACK {{"jid":"{JID}","result":"a"}}')
    floor.tracking.configure(settings(result_seconds=60, track_seconds=120, max_result_bytes=2))
    floor.engine.pass_time(120)
    assert floor.state(JID) == "success"
    assert "2 bytes" in floor.refused(f'TRACK SET {{"jid":"{JID}","result":"a"}}')
    floor.engine.pass_time(1)
    assert floor.state(JID) == "unknown"


def test_many_that_are_over_are_dropped_in_slices(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_SLICE", 3)
    for number in range(10):
        floor.engine.push(f"job-{number:04}", custom=TRACKED)
    floor.engine.mutate("clear", "scheduled")
    floor.engine.manager.remove_queues(["default"])
    floor.engine.upkeep()
    floor.clock.advance(KEPT + 1)
    assert [floor.tracking.step() for _ in range(4)] == [True, True, True, False]
    assert (len(floor.tracking), floor.kept("track")) == (0, 0)


# -- looking at them ---------------------------------------------------------------------------------------------------


def pages(feature: Tracking, count: int) -> list[list[str]]:
    """The jids of all pages."""
    found: list[list[str]] = []
    page: list[Track] = feature.page(None, count)
    while page and len(found) < 10:
        found.append([track.jid for track in page])
        page = feature.page(page[-1].mark, count)
    return found


def test_pages_have_the_newest_update_first(floor: Floor) -> None:
    for number in range(5):
        floor.engine.push(f"job-{number:04}", custom=TRACKED)
        floor.clock.advance(number % 2)
    floor.clock.advance(1)
    floor.set("job-0001", percent=1)
    floor.restart()
    assert pages(floor.tracking, 2) == [["job-0001", "job-0004"], ["job-0003", "job-0002"], ["job-0000"]]
    assert floor.tracking.page(None, 0) == []


def test_a_page_goes_on_behind_a_track_that_is_gone(floor: Floor) -> None:
    for number in range(3):
        floor.engine.push(f"job-{number:04}", custom=TRACKED)
    last = floor.tracking.page(None, 2)[-1].mark
    floor.set(last[1], percent=1)
    floor.clock.advance(1)
    floor.set(last[1], percent=2)
    assert [track.jid for track in floor.tracking.page(last)] == ["job-0000"]


def test_what_is_told_of_one(floor: Floor) -> None:
    floor.engine.push(JID, custom=TRACKED)
    floor.set(JID, percent=0, desc="x", result={"a": 1})
    track = floor.tracking.get(JID)
    assert track is not None
    assert (track.jid, track.job_id, track.state, track.percent, track.desc) == (JID, 1, "enqueued", 0, "x")
    assert (track.updated_at, track.result) == (NOON, b'{"a":1}')
    assert floor.tracking.get("job-0002") is None
