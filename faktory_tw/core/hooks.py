"""Who wants to know what happens to jobs: those that are worked, and those that a feature keeps out or drops.

A manager without an observer pays one comparison a command. An observer is told a fact after the manager has changed
its memory and recorded the change, in the same turn; it keeps its own books, changes nothing of the manager's, and must
not raise: the command is carried out already.

Every method does nothing here, so an observer overrides only what it wants to know.
"""

from __future__ import annotations

from faktory_tw.core.job import Job, Payload
from faktory_tw.core.reservations import Reservation


class Observer:
    """Facts about reservations. A reservation begins with ``fetched`` and ends with exactly one of those that follow.

    Those that were there at the start of the server, or before the observer was, end without having begun.

    ``expired``, ``locked`` and ``denied`` are told by the features, of jobs that need no reservation.
    """

    def fetched(self, reservation: Reservation) -> None:
        """A job was reserved. Its body is still in memory, here and nowhere later."""

    def acked(self, reservation: Reservation) -> None:
        """Its worker says that it is done."""

    def failed(self, reservation: Reservation) -> None:
        """Its worker says that it failed."""

    def taken_back(self, reservation: Reservation) -> None:
        """The reservation was over, or its worker is gone: the job counts as failed."""

    def given_back(self, reservation: Reservation) -> None:
        """The client left before it got the job, which is queued again as if nobody had fetched it."""

    def flushed(self) -> None:
        """All jobs, and with them all reservations, are gone."""

    def expired(self, job: Job) -> None:
        """A job was dropped because its time was over; its body may be gone from memory already."""

    def locked(self, payload: Payload) -> None:
        """A unique job was pushed, and keeps equal ones out now."""

    def denied(self, payload: Payload) -> None:
        """A job was refused because it is equal to a unique one."""


class _Several(Observer):
    """Tells several observers, in the order in which they came."""

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self.observers = observers

    def fetched(self, reservation: Reservation) -> None:
        for observer in self.observers:
            observer.fetched(reservation)

    def acked(self, reservation: Reservation) -> None:
        for observer in self.observers:
            observer.acked(reservation)

    def failed(self, reservation: Reservation) -> None:
        for observer in self.observers:
            observer.failed(reservation)

    def taken_back(self, reservation: Reservation) -> None:
        for observer in self.observers:
            observer.taken_back(reservation)

    def given_back(self, reservation: Reservation) -> None:
        for observer in self.observers:
            observer.given_back(reservation)

    def flushed(self) -> None:
        for observer in self.observers:
            observer.flushed()

    def expired(self, job: Job) -> None:
        for observer in self.observers:
            observer.expired(job)

    def locked(self, payload: Payload) -> None:
        for observer in self.observers:
            observer.locked(payload)

    def denied(self, payload: Payload) -> None:
        for observer in self.observers:
            observer.denied(payload)


def joined(present: Observer | None, newcomer: Observer) -> Observer:
    """One observer for those already there and a newcomer; who is there already is not told twice."""
    there = _each(present)
    return _one_for(there if newcomer in there else (*there, newcomer)) or newcomer


def without(present: Observer | None, leaver: Observer) -> Observer | None:
    """One observer for those who stay; None when nobody does."""
    return _one_for(tuple(observer for observer in _each(present) if observer is not leaver))


def _each(present: Observer | None) -> tuple[Observer, ...]:
    if isinstance(present, _Several):
        return present.observers
    return () if present is None else (present,)


def _one_for(observers: tuple[Observer, ...]) -> Observer | None:
    if len(observers) > 1:
        return _Several(observers)
    return observers[0] if observers else None
