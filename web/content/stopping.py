"""Asking for a job that is being worked to stop: what buttons, pages and the API have in common.

A form names the reservation that was shown, by when it began: the same job in the hands of another worker is not meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faktory_tw.features.cancel import Cancel

if TYPE_CHECKING:
    from faktory_tw.core.manager import JobManager, Reservation


def since(manager: JobManager, job_id: int) -> str:
    """What a form says of the reservation of a job; empty when there is none."""
    reservation = manager.working.get(job_id)
    return "" if reservation is None else repr(reservation.reserved_at)


def meant(manager: JobManager, job_id: int, began: str) -> Reservation | None:
    """The reservation that a form means; None when it has ended."""
    reservation = manager.working.get(job_id)
    return reservation if reservation is not None and repr(reservation.reserved_at) == began else None


def asked_at(manager: JobManager, job_id: int) -> float | None:
    """When a job was asked to stop, in seconds since the epoch; None when it was not."""
    return manager.facts.find(Cancel).asked_at(job_id)


def ask(manager: JobManager, job_id: int) -> bool:
    """Ask for a job to stop. False when nobody works it."""
    return manager.facts.find(Cancel).ask(job_id)
