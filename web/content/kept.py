"""What the features keep of a job, as its page shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.core.job import job_of
from faktory_tw.features.expiry import Expiry
from faktory_tw.features.search import JobRow
from faktory_tw.features.unique import Unique

from . import stopping, tracks

if TYPE_CHECKING:
    from ..visit import Visit


class Kept(NamedTuple):
    """Of one job. Times in seconds since 1970; None where there is nothing of the kind."""

    locked_until: float | None
    expires_at: float | None
    track: tracks.Shown | None
    asked_at: float | None  # to stop
    since: str  # what a form that asks for that says of the reservation; empty when there is none


def of(visit: Visit, row: JobRow) -> Kept:
    """What is kept of a job."""
    manager = visit.manager
    job = job_of(row)
    lock = manager.facts.find(Unique).held(row.id)
    track = tracks.of_job(visit, job.jid, row.id)
    return Kept(
        locked_until=None if lock is None else lock.until,
        expires_at=manager.facts.find(Expiry).end(row.id),
        track=None if track is None else tracks.shown(track),
        asked_at=stopping.asked_at(manager, row.id),
        since=stopping.since(manager, row.id),
    )
