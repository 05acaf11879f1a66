"""The jobs being worked: who holds which, since when and until when."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from faktory_tw.core.job import Job
from faktory_tw.core.timed import Leases


class Reservation(msgspec.Struct, gc=False, eq=False):
    """A job in the hands of a worker. ``wid`` is empty when a connection without one fetched it."""

    job: Job
    wid: str
    reserved_at: float  # since the epoch
    seconds: int


class Reservations:
    """Reservations by job id, by jid, and by the time they end. Several jobs may share a jid; each has its own."""

    def __init__(self) -> None:
        self._by_id: dict[int, Reservation] = {}
        self._by_jid: dict[str, Reservation | list[Reservation]] = {}
        self._leases = Leases()

    def add(self, reservation: Reservation, now: float) -> None:
        """``now`` is monotonic: the lease runs from it."""
        job = reservation.job
        self._by_id[job.id] = reservation
        self._leases.add(job.id, reservation.seconds, now)
        other = self._by_jid.setdefault(job.jid, reservation)
        if other is reservation:
            return
        if isinstance(other, list):
            other.append(reservation)
        else:
            self._by_jid[job.jid] = [other, reservation]

    def take(self, jid: str, wid: str) -> Reservation | None:
        """End the reservation of a jid: the one of this worker, else the oldest. None when there is none."""
        found = self._by_jid.get(jid)
        if found is None:
            return None
        if isinstance(found, list):
            found = next((one for one in found if one.wid == wid), found[0])
            self._drop_shared(found)
        else:
            del self._by_jid[jid]
        job_id = found.job.id
        del self._by_id[job_id]
        self._leases.discard(job_id, found.seconds)
        return found

    def extend(self, reservation: Reservation, seconds: int, now: float) -> bool:
        """Let it end so many seconds after ``now``, monotonic. False when it ends no earlier anyway."""
        end = self._leases.end(reservation.job.id, reservation.seconds)
        if end is None or end >= now + seconds:
            return False
        self._leases.discard(reservation.job.id, reservation.seconds)
        reservation.seconds = seconds
        self._leases.add(reservation.job.id, seconds, now)
        return True

    def find(self, jid: str, wid: str) -> Reservation | None:
        """The reservation of a jid, the one of this worker if there is one, which goes on."""
        found = self._by_jid.get(jid)
        if isinstance(found, list):
            return next((one for one in found if one.wid == wid), found[0])
        return found

    def find_all(self, jid: str) -> list[Reservation]:
        """All reservations of a jid, which go on."""
        found = self._by_jid.get(jid)
        if isinstance(found, list):
            return list(found)
        return [] if found is None else [found]

    def get(self, job_id: int) -> Reservation | None:
        """The reservation of one job, which goes on."""
        return self._by_id.get(job_id)

    def take_id(self, job_id: int) -> Reservation | None:
        """End the reservation of one job. None when there is none."""
        reservation = self._by_id.get(job_id)
        if reservation is None:
            return None
        jid = reservation.job.jid
        if isinstance(self._by_jid[jid], list):
            self._drop_shared(reservation)
        else:
            del self._by_jid[jid]
        del self._by_id[job_id]
        self._leases.discard(job_id, reservation.seconds)
        return reservation

    def _drop_shared(self, reservation: Reservation) -> None:
        shared = self._by_jid[reservation.job.jid]
        assert isinstance(shared, list)
        shared.remove(reservation)
        if len(shared) == 1:
            self._by_jid[reservation.job.jid] = shared[0]

    def expired(self, now: float, most: float = float("inf")) -> list[int]:
        """Ids of jobs whose reservation is over, ``most`` at most."""
        return self._leases.expired(now, most)

    def of_workers(self, wids: set[str]) -> list[Reservation]:
        """What these workers hold."""
        return [reservation for reservation in self._by_id.values() if reservation.wid in wids]

    def walk(self, count: int) -> Iterator[list[Reservation]]:
        """All that there are now, ``count`` at a time."""
        rest = iter(list(self._by_id.values()))
        while some := list(islice(rest, count)):
            yield some

    def containers(self) -> list[dict[Any, Any]]:
        """What it is made of, for who frees it when nobody needs it any more."""
        return [self._by_id, self._by_jid, *self._leases.containers()]

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Reservation]:
        return iter(self._by_id.values())
