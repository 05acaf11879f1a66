"""Cancel: an operator asks for a running job to stop.

A server cannot stop a worker; it can tell it. A worker that looks learns of the request in the reply to a BEAT with
``"cancels":true``, and in ``TRACK GET`` of its job; one that does not goes on as if nothing had been asked. A job that was
asked to stop and fails is not tried again: it goes to the dead, where an operator may still have it tried again, and so
does it when its reservation ends or its worker is gone. One that is acknowledged is done.

The request belongs to the reservation and ends with it, whichever way; it survives a restart as the reservation does.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import msgspec

from faktory_tw.core.facts import Feature
from faktory_tw.core.hooks import Observer
from faktory_tw.core.reservations import Reservation
from faktory_tw.core.retry import GIVEN_UP
from faktory_tw.core.workers import State
from faktory_tw.wire import bulk

_TOLD_BYTES = 65_536  # of jids in one reply to BEAT; those of the other jobs follow when these have ended
_KEY = Struct(">q")
_VALUE = Struct(">d")
_STATES = {State.QUIET: "quiet", State.TERMINATE: "terminate"}


class _Ends(Observer):
    """Tells of reservations that ended."""

    def __init__(self, cancel: Cancel) -> None:
        self._cancel = cancel

    def acked(self, reservation: Reservation) -> None:
        self._cancel.forget(reservation)

    def failed(self, reservation: Reservation) -> None:
        self._cancel.forget(reservation)

    def taken_back(self, reservation: Reservation) -> None:
        self._cancel.forget(reservation)

    def given_back(self, reservation: Reservation) -> None:
        self._cancel.forget(reservation)


class Cancel(Feature):
    """The requests of one server, by job, and which of them are for which worker."""

    kind = "cancel"

    def __init__(self) -> None:
        self._ends = _Ends(self)
        self._begin()

    def _begin(self) -> None:
        self._asked: dict[int, float] = {}
        self._by_wid: dict[str, dict[int, str]] = {}

    def load(self, entries: Iterator[tuple[bytes, bytes]]) -> None:
        for key, value in entries:
            reservation = self.manager.working.get(_KEY.unpack(key)[0])
            if reservation is None:
                self.store.batch.enter(self.kind, key, None)
            else:
                self._hold(reservation, _VALUE.unpack(value)[0])

    def __len__(self) -> int:
        """How many jobs were asked to stop, and have not ended."""
        return len(self._asked)

    def ask(self, job_id: int) -> bool:
        """Ask for a job to stop, by its internal id. False when no worker has it. Once more changes nothing."""
        reservation = self.manager.working.get(job_id)
        if reservation is None:
            return False
        if job_id not in self._asked:
            now = self.clock.time()
            self._hold(reservation, now)
            self.store.batch.enter(self.kind, _KEY.pack(job_id), _VALUE.pack(now))
        return True

    def ask_all(self, jid: str) -> int:
        """Ask for all jobs of a jid to stop that workers have; how many that are."""
        return sum(self.ask(reservation.job.id) for reservation in self.manager.working.find_all(jid))

    def asked_at(self, job_id: int) -> float | None:
        """When a job was asked to stop, in seconds since the epoch; None when it was not, or has ended."""
        return self._asked.get(job_id)

    def beat_reply(self, wid: str, state: State) -> bytes | None:
        """What to tell a worker that wants to know its jobs that are to stop; None when there are none."""
        asked = self._by_wid.get(wid)
        if not asked:
            return None
        told: dict[str, object] = {"state": _STATES[state]} if state in _STATES else {}
        jids: dict[str, None] = {}
        size = 0
        for jid in asked.values():
            jids[jid] = None
            size += len(jid)
            if size > _TOLD_BYTES:
                break
        told["cancel"] = list(jids)
        return bulk(msgspec.json.encode(told))

    def forget(self, reservation: Reservation) -> None:
        """A reservation has ended, and with it what was asked of it."""
        job_id = reservation.job.id
        if self._asked.pop(job_id, None) is None:
            return
        of_worker = self._by_wid[reservation.wid]
        del of_worker[job_id]
        if not of_worker:
            del self._by_wid[reservation.wid]
        self.store.batch.enter(self.kind, _KEY.pack(job_id), None)
        if not self._asked:
            self.manager.ignore(self._ends)

    def flushed(self) -> None:
        self.manager.sweeper.free(self._asked, self._by_wid)
        self._begin()
        self.manager.ignore(self._ends)

    def _hold(self, reservation: Reservation, asked_at: float) -> None:
        """A job without further retries is among the dead when it fails; with ``retry`` 0 it is dropped as ever."""
        job = reservation.job
        if job.retry > 0:
            job.retry = GIVEN_UP
        self._asked[job.id] = asked_at
        self._by_wid.setdefault(reservation.wid, {})[job.id] = job.jid
        self.manager.observe(self._ends)
