"""Tracking: how far a job is, what became of it, and what it brought, for whoever knows its jid.

A job with ``custom.track`` has a track from its push on, any other from its worker's first ``TRACK SET``, or from an ACK
with a result. The state of a track follows the job:

``enqueued``
    it waits for a worker, now or at its time
``working``
    a worker has it
``failed``
    it failed, and waits to be tried again
``success``
    it is done
``dead``
    nobody will try it again, unless an operator wants it: it is among the dead, failed with ``retry`` 0, was deleted, or
    expired. Clients know a closed list of states; what counts for who waits is that this one is final.

A track lives as long as its job. Once the job has ended, and a dead job counts as ended, it is kept for some time after
its last update, longer if there is a result. Times are those of the wall clock.

The server tells features only of jobs that asked for something. Of a job that did not ask to be tracked it is told while
a worker has it; between two tries its track says what it said last, and is kept as if the job had ended, so that it does
not stay for ever when the job is deleted meanwhile.

A jid has one track, that of the job pushed last: what becomes of an older job with the same jid does not touch it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
from sortedcontainers import SortedList

from faktory_tw.config import Settings
from faktory_tw.core.facts import Arrival, Feature
from faktory_tw.core.hooks import Observer
from faktory_tw.core.job import Job, job_of, kept_json, parse_folded
from faktory_tw.core.marks import Marks
from faktory_tw.core.reservations import Reservation
from faktory_tw.features.cancel import Cancel
from faktory_tw.times import DAY_SECONDS, parse_rfc3339, rfc3339
from faktory_tw.wire import ACKNOWLEDGED, CommandError, bulk

ENQUEUED, WORKING, FAILED, SUCCESS, DEAD = "enqueued", "working", "failed", "success", "dead"
MAXIMUM_JID = 255  # characters of the jid of a job that is tracked
MAXIMUM_DESC = 1000  # characters
_FARTHEST_SECONDS = DAY_SECONDS  # that a reservation may be extended ahead, as long as one may be asked for at PUSH
_SLICE = 500
_RESULT = "result"  # the kind of the entries that are results
_QUOTED = 100  # characters of a jid in an error
_ABSENT = msgspec.Raw(b"")

Mark = tuple[float, str]
"""A track in the order of updates: (updated_at, jid)."""


class Track(msgspec.Struct, array_like=True, gc=False):
    """What is known of one job. ``result`` is compact JSON, empty when there is none; it is read from disk when asked for.

    ``job_id`` is 0 once the job is gone: after a restart another job may get its id.
    """

    jid: str
    job_id: int
    state: str
    percent: int | None
    desc: str | None
    updated_at: float  # seconds since the epoch
    result: bytes
    opted_in: bool  # whether the job asked for it
    has_result: bool = False

    @property
    def mark(self) -> Mark:
        """Where it is in the order of updates."""
        return (self.updated_at, self.jid)

    @property
    def ended(self) -> bool:
        """Whether it is dropped after some time."""
        return self.state in (SUCCESS, DEAD) or not (self.opted_in or self.state == WORKING)


class _Update(msgspec.Struct, gc=False):
    """The argument of TRACK SET; what is absent, or null, stays as it is."""

    jid: str | None = None
    percent: int | None = None
    desc: str | None = None
    reserve_until: str | None = None
    result: msgspec.Raw = _ABSENT


class _Question(msgspec.Struct, gc=False):
    jid: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Track).decode


class _Remarker(Observer):
    """Marks a job that is fetched again and has a track that it did not ask for, so that the facts are told of it."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    def fetched(self, reservation: Reservation) -> None:
        job = reservation.job
        if self._tracking.is_of(job):
            _mark(job)


class Tracking(Feature):
    """The tracks of one server: by jid, in the order of their updates, and those that are to be dropped some time."""

    kind = "track"

    def __init__(self) -> None:
        self._remarker = _Remarker(self)
        self._keep(Settings.track_seconds, Settings.result_seconds, Settings.max_result_bytes)
        self._begin()

    def _begin(self) -> None:
        self._tracks: dict[str, Track] = {}
        self._recent: SortedList[Mark] = SortedList()
        self._ended: dict[bool, SortedList[Mark]] = {False: SortedList(), True: SortedList()}  # True: with a result
        self._uninvited = 0  # tracks that their jobs did not ask for
        self._with_job = 0  # tracks whose job is there, as far as is known

    def configure(self, settings: Settings) -> None:
        self._keep(settings.track_seconds, settings.result_seconds, settings.max_result_bytes)

    def _keep(self, track_seconds: int, result_seconds: int, max_result_bytes: int) -> None:
        self._seconds = {False: track_seconds, True: max(track_seconds, result_seconds)}
        self._max_result_bytes = max_result_bytes

    def load(self, entries: Iterator[tuple[bytes, bytes]]) -> None:
        recent: list[Mark] = []
        ended: dict[bool, list[Mark]] = {False: [], True: []}
        for _, value in entries:
            track = _decode(value)
            self._tracks[track.jid] = track
            mark = track.mark
            recent.append(mark)
            if track.ended:
                ended[track.has_result].append(mark)
            if not track.opted_in:
                self._uninvited += 1
                self._find_again(track)
            self._with_job += track.job_id > 0
        for with_result, marks in ended.items():
            self._ended[with_result].update(marks)
        self._recent.update(recent)
        self._watch()

    def _find_again(self, track: Track) -> None:
        """Have what becomes of a job that did not ask told after a restart, too, if it is still there."""
        reservation = self.manager.working.get(track.job_id)
        if reservation is not None:
            _mark(reservation.job)
        elif track.job_id and [job_of(row).jid for row in self.manager.read([track.job_id])] != [track.jid]:
            track.job_id = 0
            self._record(track)

    def concerns(self, marks: Marks) -> bool:
        return bool(marks.track)

    def holds(self) -> bool:
        return self._with_job > 0

    def step(self) -> bool:
        """Drop the tracks of jobs that ended long enough ago."""
        now = self.clock.time()
        more = False
        for with_result, ended in self._ended.items():
            end = min(int(ended.bisect_left((now - self._seconds[with_result], ""))), _SLICE)
            for _, jid in list(ended.islice(0, end)):
                self._drop(self._tracks[jid])
            more = more or end == _SLICE
        self._watch()
        return more

    # -- what others may know ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many tracks there are."""
        return len(self._tracks)

    def get(self, jid: str) -> Track | None:
        """The track of a jid, with its result."""
        track = self._tracks.get(jid)
        return None if track is None else self._with_result(track)

    def is_of(self, job: Job) -> bool:
        """Whether the track of its jid is that of this job."""
        track = self._tracks.get(job.jid)
        return track is not None and track.job_id == job.id

    def page(self, after: Mark | None = None, count: int = 50) -> list[Track]:
        """Tracks, the one updated last first; ``after``: those that follow the track that has, or had, this mark."""
        end = len(self._recent) if after is None else int(self._recent.bisect_left(after))
        marks = self._recent.islice(max(end - count, 0), end, reverse=True)
        return [self._with_result(self._tracks[jid]) for _, jid in marks]

    def _with_result(self, track: Track) -> Track:
        """A copy to be looked at. Results may be long, so they are kept on disk only."""
        result = self.store.entry(_RESULT, track.jid.encode()) if track.has_result else b""
        return msgspec.structs.replace(track, result=result or b"")

    # -- commands ------------------------------------------------------------------------------------------------

    def execute(self, argument: bytes, wid: str) -> bytes:
        """TRACK SET and TRACK GET, said by a connection of this worker."""
        verb, _, rest = argument.partition(b" ")
        command = self.SUBCOMMANDS.get(verb.upper())
        if command is None:
            name = verb[:_QUOTED].decode("utf-8", "replace")
            raise CommandError(f"no such TRACK subcommand: {name}; there are GET and SET")
        return command(self, rest, wid)

    def _get(self, argument: bytes, wid: str) -> bytes:
        text = argument.strip()
        if text.startswith(b"{"):
            try:
                jid = parse_folded(text, _Question).jid or ""
            except ValueError as error:
                raise CommandError(f"invalid JSON for TRACK GET: {error}") from None
        else:
            jid = text.decode("utf-8", "replace")
        if not jid:
            raise CommandError("TRACK GET needs a jid: TRACK GET <jid>")
        told = self._told(jid)
        reservation = self.manager.working.find(jid, wid)
        if reservation is not None and self.manager.facts.find(Cancel).asked_at(reservation.job.id) is not None:
            told["cancel"] = True
        return bulk(msgspec.json.encode(told))

    def _told(self, jid: str) -> dict[str, Any]:
        track = self.get(jid)
        if track is None:
            return {"jid": jid, "state": "unknown", "updated_at": ""}
        told: dict[str, Any] = {"jid": jid}
        if track.percent is not None:
            told["percent"] = track.percent
        if track.desc:
            told["desc"] = track.desc
        told.update(state=track.state, updated_at=rfc3339(track.updated_at))
        if track.result:
            told["result"] = msgspec.Raw(track.result)
        return told

    def _set(self, argument: bytes, wid: str) -> bytes:
        try:
            update = parse_folded(argument, _Update)
        except ValueError as error:
            raise CommandError(
                'invalid TRACK SET: it needs {"jid":"…"}, and may have percent (a whole number), desc and reserve_until'
                f" (texts), and result: {error}"
            ) from None
        if not update.jid:
            raise CommandError('TRACK SET needs a jid: TRACK SET {"jid":"…","percent":50}')
        if update.percent is not None and not 0 <= update.percent <= 100:
            raise CommandError("percent must be a whole number from 0 to 100")
        result = self._checked_result(bytes(update.result))
        reservation = self.manager.working.find(update.jid, wid)
        until = None if update.reserve_until is None else self._checked_until(update.reserve_until, reservation)
        track = self._track_to_set(update.jid, reservation)
        if until is not None and reservation is not None:
            self.manager.extend(reservation, until)
        if update.percent is not None:
            track.percent = update.percent
        if update.desc is not None:
            track.desc = update.desc[:MAXIMUM_DESC] or None
        self._update(track, track.state, result)
        return ACKNOWLEDGED

    SUBCOMMANDS: ClassVar = {b"GET": _get, b"SET": _set}

    def take_result(self, jid: str, wid: str, result: bytes) -> None:
        """A worker is about to acknowledge its job with a result. Raises CommandError when that cannot be kept.

        The result of a job is dropped when its jid belongs to a job pushed later that has not ended.
        """
        compact = self._checked_result(result)
        reservation = self.manager.working.find(jid, wid)
        if reservation is None or not compact:
            return
        track = self._track_to_set(jid, reservation)
        if track.job_id == reservation.job.id:
            self._update(track, track.state, compact)

    def _checked_result(self, result: bytes) -> bytes:
        """A result as it is kept; empty when there is none. Raises CommandError."""
        if result in (b"", b"null"):
            return b""
        if not self._max_result_bytes:
            raise CommandError("this server keeps no results: tracking.max_result_bytes is 0")
        compact = kept_json(result)
        if len(compact) > self._max_result_bytes:
            raise CommandError(
                f"a result must not be longer than {self._max_result_bytes} bytes, this one has {len(compact)};"
                " keep it elsewhere and put its name here"
            )
        return compact

    def _checked_until(self, text: str, reservation: Reservation | None) -> float:
        """Until when a reservation is to be extended. Raises CommandError."""
        if reservation is None:
            raise CommandError("reserve_until: nobody works on this job, so there is no reservation to extend")
        try:
            until = parse_rfc3339(text)
        except ValueError as error:
            raise CommandError(f"reserve_until must be a time such as 2026-11-22T08:00:00Z: {error}") from None
        if until > self.clock.time() + _FARTHEST_SECONDS:
            raise CommandError("reserve_until must not be more than 24 hours from now; extend it again later")
        return until

    def _track_to_set(self, jid: str, reservation: Reservation | None) -> Track:
        """The track that a TRACK SET means, a new one if it has to begin. Raises CommandError."""
        track = self._tracks.get(jid)
        if reservation is None:
            if track is None:
                raise CommandError(
                    f"nothing is known of a job {jid[:_QUOTED]}: a job can be tracked when it was pushed with"
                    ' "custom":{"track":1}, and otherwise while a worker has it'
                )
            return track
        job = reservation.job
        if track is not None and (track.job_id == job.id or not track.ended):
            return track
        _check_jid(jid)
        if track is not None:
            self._drop(track)
        opted_in = job.marks is not None and bool(job.marks.track)
        _mark(job)
        return self._add(Track(jid, job.id, WORKING, None, None, self.clock.time(), b"", opted_in))

    # -- checks --------------------------------------------------------------------------------------------------

    def check_push(self, arrival: Arrival) -> None:
        if not arrival.own:
            _check_jid(arrival.payload.jid or "")

    # -- facts ---------------------------------------------------------------------------------------------------

    def pushed(self, job_id: int, arrival: Arrival) -> None:
        jid = arrival.payload.jid or ""
        if len(jid) > MAXIMUM_JID:  # the server's own
            return
        before = self._tracks.get(jid)
        if before is not None:
            self._drop(before)
        self._add(Track(jid, job_id, ENQUEUED, None, None, arrival.now, b"", True))

    def fetched(self, job: Job) -> None:
        self._is_alive(job, WORKING)

    def given_back(self, job: Job) -> None:
        self._became(job, ENQUEUED)

    def acked(self, job: Job) -> None:
        self._is_gone(job, SUCCESS)

    def failed(self, job: Job) -> None:
        self._became(job, FAILED)

    def died(self, job: Job) -> None:
        self._became(job, DEAD)

    def discarded(self, job: Job) -> None:
        self._is_gone(job, DEAD)

    def expired(self, job: Job) -> None:
        self._is_gone(job, DEAD)

    def requeued(self, job: Job) -> None:
        self._is_alive(job, ENQUEUED)

    def renumbered(self, old_id: int, job: Job) -> None:
        track = self._tracks.get(job.jid)
        if track is not None and track.job_id == old_id:
            track.job_id = job.id
            self._record(track)

    def flushed(self) -> None:
        self.manager.sweeper.free(self._tracks, self._recent, *self._ended.values())
        self._begin()
        self._watch()

    # -- keeping -------------------------------------------------------------------------------------------------

    def _is_alive(self, job: Job, state: str) -> None:
        """As :meth:`_became`; a job whose track is gone, for it was dead for long, gets another one."""
        if job.jid not in self._tracks and len(job.jid) <= MAXIMUM_JID:
            self._add(Track(job.jid, job.id, state, None, None, self.clock.time(), b"", True))
        else:
            self._became(job, state)

    def _became(self, job: Job, state: str) -> None:
        track = self._tracks.get(job.jid)
        if track is not None and track.job_id == job.id and track.state != state:
            self._update(track, state)

    def _is_gone(self, job: Job, state: str) -> None:
        track = self._tracks.get(job.jid)
        if track is not None and track.job_id == job.id:
            track.job_id = 0
            self._with_job -= 1
            if track.state == state:  # a dead job that was deleted
                self._record(track)
            else:
                self._update(track, state)

    def _add(self, track: Track) -> Track:
        self._tracks[track.jid] = track
        self._uninvited += not track.opted_in
        self._with_job += 1
        self._enlist(track)
        self._record(track)
        self._watch()
        return track

    def _update(self, track: Track, state: str, result: bytes = b"") -> None:
        self._strike_off(track)
        track.state = state
        if result:
            track.has_result = True
            self.store.batch.enter(_RESULT, track.jid.encode(), result)
        track.updated_at = self.clock.time()
        self._enlist(track)
        self._record(track)

    def _drop(self, track: Track) -> None:
        self._strike_off(track)
        del self._tracks[track.jid]
        self._uninvited -= not track.opted_in
        self._with_job -= track.job_id > 0
        self.store.batch.enter(self.kind, track.jid.encode(), None)
        if track.has_result:
            self.store.batch.enter(_RESULT, track.jid.encode(), None)

    def _enlist(self, track: Track) -> None:
        mark = track.mark
        self._recent.add(mark)
        if track.ended:
            self._ended[track.has_result].add(mark)

    def _strike_off(self, track: Track) -> None:
        self._recent.remove(track.mark)
        if track.ended:
            self._ended[track.has_result].remove(track.mark)

    def _record(self, track: Track) -> None:
        self.store.batch.enter(self.kind, track.jid.encode(), _encode(track))

    def _watch(self) -> None:
        """Look at what is fetched only while there is a track that its job did not ask for."""
        if self._uninvited:
            self.manager.observe(self._remarker)
        else:
            self.manager.ignore(self._remarker)


def _mark(job: Job) -> None:
    """Have the facts of this reservation told."""
    if job.marks is None:
        job.marks = Marks(track=True)
    else:
        job.marks.track = True


def _check_jid(jid: str) -> None:
    if len(jid) > MAXIMUM_JID:
        raise CommandError(f"the jid of a job that is tracked must have {MAXIMUM_JID} characters at most")
