"""Tracks and requests to stop against a model: what is told of each job, whatever happens to it, crashes included."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from faktory_tw.config import Settings
from faktory_tw.core.facts import Feature
from faktory_tw.features.cancel import Cancel
from faktory_tw.features.changes import change_one, possible_actions
from faktory_tw.features.tracking import Tracking
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import Client, jid_of
from tests.unit.features.model import NUMBER, Model, run_model

TRACK_SECONDS, RESULT_SECONDS = 60, 200


@dataclass
class Item:
    """A job that exists. Where it is says the engine."""

    number: int  # no other job has it, of the same jid or not
    tracked: bool
    retry: int
    works: bool = False
    cancelled: bool = False


@dataclass
class Known:
    """What is to be told of a jid; ``number`` is that of the job it is about."""

    number: int
    tracked: bool
    state: str
    updated_at: float
    percent: int | None = None
    result: bytes = b""

    @property
    def ended(self) -> bool:
        return self.state in ("success", "dead") or not (self.tracked or self.state == "working")


class Machine(Model):
    kept = ("items", "tracks")
    items: dict[str, Item]

    def begin(self) -> None:
        self.tracks: dict[str, Known] = {}
        self.numbers = 0

    def features(self) -> tuple[Feature, ...]:
        self.tracking, self.cancel = Tracking(), Cancel()
        seconds = {"track_seconds": TRACK_SECONDS, "result_seconds": RESULT_SECONDS}
        self.tracking.configure(Settings("development", None, None, None, **seconds))  # type: ignore[arg-type]
        return (self.tracking, self.cancel)

    # -- what the model says becomes of a track ----------------------------------------------------------------------

    def became(self, jid: str, item: Item, state: str, told: bool = False) -> None:
        """A job got into another state; it is told of those that asked, and of others while they are worked."""
        known = self.tracks.get(jid)
        if known is None or known.number != item.number or not (item.tracked or told) or known.state == state:
            return
        known.state, known.updated_at = state, self.clock.time()

    def is_alive(self, jid: str, item: Item, state: str) -> None:
        if item.tracked and jid not in self.tracks:
            self.tracks[jid] = Known(item.number, True, state, self.clock.time())
        else:
            self.became(jid, item, state, told=state == "working")

    def failed(self, jid: str) -> None:
        item = self.items[jid]
        known = self.tracks.get(jid)
        told = known is not None and known.number == item.number
        if item.retry == 0:
            self.became(jid, item, "dead", told)
            del self.items[jid]
        else:
            self.became(jid, item, "dead" if item.retry < 0 or item.cancelled else "failed", told)
        item.works = item.cancelled = False

    # -- rules -------------------------------------------------------------------------------------------------------

    @rule(
        tracked=st.booleans(),
        again=st.booleans(),
        which=NUMBER,
        delay=st.sampled_from([None, None, None, 50]),
        retry=st.sampled_from([-1, 0, 25, 25]),
    )
    def push(self, tracked: bool, again: bool, which: int, delay: int | None, retry: int) -> None:
        ended = sorted(self.tracks.keys() - self.items.keys())
        jid = ended[which % len(ended)] if again and ended else self.new_jid()
        now = self.clock.time()
        at = None if delay is None else rfc3339(now + delay)
        self.engine.push(jid, custom={"track": 1} if tracked else None, at=at, retry=retry)
        self.numbers += 1
        self.items[jid] = Item(self.numbers, tracked, retry)
        if tracked:
            self.tracks[jid] = Known(self.numbers, True, "enqueued", now)

    @rule(fate=st.sampled_from(["hold", "hold", "ack", "fail", "give back"]))
    def work(self, fate: str) -> None:
        reservation = self.engine.reserve()
        if reservation is None:
            return
        jid = reservation.job.jid
        item = self.items[jid]
        item.works = True
        self.held[jid] = reservation
        self.is_alive(jid, item, "working")
        if fate != "hold":
            self.finish(jid, fate)

    def finish(self, jid: str, fate: str) -> None:
        item, reservation = self.items[jid], self.held.pop(jid, None)
        if fate == "ack":
            if item.number % 2:
                self.acknowledge_with_result(jid, item)
            self.engine.manager.ack(jid, "")
            self.became(jid, item, "success", told=True)
            del self.items[jid]
        elif fate == "fail" or reservation is None:
            self.engine.fail(jid)
            self.failed(jid)
        else:
            stays = self.stays(reservation)
            self.engine.manager.give_back(reservation)
            self.became(jid, item, "enqueued", told=True)
            if not stays:
                self.became(jid, item, "dead", told=True)
                del self.items[jid]
            item.works = item.cancelled = False

    def acknowledge_with_result(self, jid: str, item: Item) -> None:
        self.tracking.take_result(jid, "", b"[%d]" % item.number)
        known = self.begun(jid, item)
        known.result, known.updated_at = b"[%d]" % item.number, self.clock.time()

    def begun(self, jid: str, item: Item) -> Known:
        """The track that a worker's word is about."""
        known = self.tracks.get(jid)
        if known is None or (known.number != item.number and known.ended):
            known = self.tracks[jid] = Known(item.number, item.tracked, "working", self.clock.time())
        return known

    @rule(which=NUMBER, percent=st.sampled_from([None, 0, 50, 100]), result=st.sampled_from(["", "", "1", '{"a":"b"}']))
    def set(self, which: int, percent: int | None, result: str) -> None:
        jids = sorted(self.tracks.keys() | self.items.keys())
        if not jids:
            return
        jid = jids[which % len(jids)]
        said = f',"percent":{percent}' if percent is not None else ""
        said += f',"result": {result}' if result else ""
        item = self.items.get(jid)
        known = self.begun(jid, item) if item is not None and item.works else self.tracks.get(jid)
        try:
            self.tracking.execute(f'SET {{"jid":"{jid}"{said}}}'.encode(), "")
        except CommandError:
            assert known is None
            return
        assert known is not None
        known.updated_at = self.clock.time()
        known.percent = known.percent if percent is None else percent
        known.result = result.encode() or known.result

    @rule(which=NUMBER)
    def ask_to_stop(self, which: int) -> None:
        reservations = sorted(self.engine.manager.reservations(), key=lambda each: each.job.id)
        if reservations:
            job = reservations[which % len(reservations)].job
            assert self.cancel.ask(job.id)
            self.items[job.jid].cancelled = True

    @rule()
    def a_client_that_is_gone_waits(self) -> None:
        if not self.engine.manager.queue_sizes().get("default"):
            Client(self.engine, "default", there=False)

    @rule(which=NUMBER, action=st.sampled_from(["delete", "kill", "retry", "priority"]), priority=st.integers(1, 9))
    def change(self, which: int, action: str, priority: int) -> None:
        rows = [row for row in self.rows() if action in possible_actions(row.place)]
        if rows:
            row = rows[which % len(rows)]
            change_one(self.engine.manager, action, row.id, priority)
            self.changed(jid_of(row), action)

    @rule(
        cmd=st.sampled_from(["clear", "kill", "requeue"]),
        place=st.sampled_from([Place.SCHEDULED, Place.RETRIES, Place.DEAD]),
    )
    def mutate(self, cmd: str, place: Place) -> None:
        if (cmd, place) == ("kill", Place.DEAD):
            return
        for row in self.engine.rows(place):
            self.changed(jid_of(row), {"clear": "delete", "requeue": "retry"}.get(cmd, cmd))
        self.engine.mutate(cmd, place.name.lower())

    def changed(self, jid: str, action: str) -> None:
        item = self.items[jid]
        if action == "retry":
            self.is_alive(jid, item, "enqueued")
        elif action != "priority":
            self.became(jid, item, "dead")
            if action == "delete":
                del self.items[jid]

    @rule()
    def remove(self) -> None:
        for row in self.rows():
            if row.place == Place.QUEUED:
                self.changed(jid_of(row), "delete")
        self.engine.manager.remove_queues(["default"])
        while self.engine.manager.sweeper.step():
            pass

    def time_passed(self) -> None:
        now = self.clock.time()
        working = {reservation.job.jid for reservation in self.engine.manager.reservations()}
        for jid in [jid for jid, item in self.items.items() if item.works and jid not in working]:
            self.failed(jid)
        for row in self.rows():
            jid = jid_of(row)
            if row.place == Place.QUEUED and self.items[jid].tracked:
                self.is_alive(jid, self.items[jid], "enqueued")
        for jid, known in list(self.tracks.items()):
            keep = RESULT_SECONDS if known.result else TRACK_SECONDS
            if known.ended and known.updated_at < now - keep:
                del self.tracks[jid]

    # -- what has to be true -----------------------------------------------------------------------------------------

    @invariant()
    def the_same_is_told_of_every_job(self) -> None:
        told = {track.jid: track for track in self.tracking.page(None, 100_000)}
        assert len(told) == len(self.tracking)
        assert {jid: (t.state, t.percent, t.result, t.updated_at) for jid, t in told.items()} == {
            jid: (known.state, known.percent, known.result, known.updated_at) for jid, known in self.tracks.items()
        }
        assert self.tracking.holds() == any(track.job_id for track in told.values())
        updates = [track.mark for track in self.tracking.page(None, 100_000)]
        assert updates == sorted(updates, reverse=True)
        ended = {(known.updated_at, jid, bool(known.result)) for jid, known in self.tracks.items() if known.ended}
        assert {(*mark, kind) for kind, marks in self.tracking._ended.items() for mark in marks} == ended

    @invariant()
    def the_same_jobs_were_asked_to_stop(self) -> None:
        reservations = {reservation.job.id: reservation for reservation in self.engine.manager.reservations()}
        asked = {reservations[job_id].job.jid for job_id in self.cancel._asked}
        assert asked == {jid for jid, item in self.items.items() if item.cancelled}
        listed = [jid for jids in self.cancel._by_wid.values() for jid in jids.values()]
        assert sorted(listed) == sorted(asked)

    @invariant()
    def plain_jobs_are_looked_at_only_when_there_is_a_reason(self) -> None:
        reason = bool(self.cancel._asked) or any(not known.tracked for known in self.tracks.values())
        assert (self.engine.manager.observer is not None) == reason

    def check_end(self) -> None:
        self.the_same_is_told_of_every_job()
        self.the_same_jobs_were_asked_to_stop()
        on_disk = [len(list(self.engine.store.entries(kind))) for kind in ("track", "cancel", "result")]
        results = sum(bool(known.result) for known in self.tracks.values())
        assert on_disk == [len(self.tracking), len(self.cancel), results]


def test_what_is_told_is_what_a_simple_model_says() -> None:
    run_model(Machine)
