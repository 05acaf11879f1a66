"""What the features keep of a job, as its page shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.core.job import job_of
from faktory_tw.features.expiry import Expiry
from faktory_tw.features.search import JobRow
from faktory_tw.features.unique import Unique

from . import batches, jobs, stopping, tracks
from .batches import BatchLine

if TYPE_CHECKING:
    from ..visit import Visit


class Kept(NamedTuple):
    """Of one job. Times in seconds since 1970; None where there is nothing of the kind."""

    locked_until: float | None
    expires_at: float | None
    track: tracks.Shown | None
    asked_at: float | None  # to stop
    batch: BatchLine | None  # it belongs to this one
    bid: str  # the same, also of one that is not there any more
    callback: tuple[BatchLine, str] | None  # the batch whose callback it is, and of which kind
    since: str  # what a form that asks for that says of the reservation; empty when there is none


def of(visit: Visit, row: JobRow) -> Kept:
    """What is kept of a job."""
    manager = visit.manager
    job = job_of(row)
    bid = (job.marks.bid if job.marks is not None else None) or ""
    lock = manager.facts.find(Unique).held(row.id)
    track = tracks.of_job(visit, row)
    return Kept(
        locked_until=None if lock is None else lock.until,
        expires_at=manager.facts.find(Expiry).end(row.id),
        track=None if track is None else tracks.shown(track),
        asked_at=stopping.asked_at(manager, row.id),
        batch=_batch(visit, bid),
        bid=jobs.plain(bid, 100),
        callback=_callback(visit, job.marks.callback_of if job.marks is not None else None, row.id),
        since=stopping.since(manager, row.id),
    )


def _batch(visit: Visit, bid: str) -> BatchLine | None:
    view = batches.batches(visit).get(bid) if bid else None
    return None if view is None else batches.line(view)


def _callback(visit: Visit, bid: str | None, job_id: int) -> tuple[BatchLine, str] | None:
    """Whose callback it really is: a producer may have written anything into a job."""
    view = batches.batches(visit).get(bid) if bid else None
    if view is None:
        return None
    kinds = [kind for kind, callback_id in view.callback_ids.items() if callback_id == job_id]
    return (batches.line(view), kinds[0]) if kinds else None
