"""One job: everything about it, where it is now, and what can be done to it."""

from __future__ import annotations

from faktory_tw.features.changes import find_job
from faktory_tw.features.search import JobRow
from faktory_tw.features.tracking import Track

from ..answers import Answer, NotThere, Page
from ..content import actions, jobs, kept, tracks
from ..content.places import spot_of
from ..routes import page
from ..visit import Visit

_MOST_DIGITS = 18  # of an id that SQLite can have


def found(visit: Visit, job_id: str) -> JobRow:
    """The job of that id. Raises NotThere."""
    row = find_job(visit.manager, int(job_id)) if _is_id(job_id) else None
    if row is None:
        raise NotThere(visit.gettext("There is no such job now: it is finished, was deleted, or has never been there."))
    return row


def _is_id(text: str) -> bool:
    return len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit()


async def job(visit: Visit, job_id: str) -> Answer:
    """The page of a job. It goes with the job, wherever that moves; of one that has ended there may be a track."""
    try:
        row = found(visit, job_id)
    except NotThere:
        track = await _track(visit, job_id)
        if track is None:
            raise
        return Page("jobs/ended.html", shown=tracks.shown(track))
    where = spot_of(row.place, row.queue)
    return Page(
        "jobs/job.html",
        job=jobs.details(row),
        row_id=row.id,
        spot=where,
        kind=where.kind,
        words=actions,
        kept=kept.of(visit, row),
    )


async def _track(visit: Visit, job_id: str) -> Track | None:
    """What is left of a job that has ended. Our lists tell the jid in the address; without it, only the latest are known."""
    if not _is_id(job_id):
        return None
    jid = next(iter(visit.texts("jid")), "")
    if jid:
        return tracks.of_job(visit, jid, int(job_id))
    return await tracks.of_ended_job(visit, int(job_id))


async def arguments(visit: Visit, job_id: str) -> Answer:
    """All of the arguments, as they were pushed."""
    return Answer(jobs.arguments(found(visit, job_id)), content_type="application/json")


async def wire(visit: Visit, job_id: str) -> Answer:
    """The job as a worker gets it."""
    return Answer(jobs.wire_text(found(visit, job_id)), content_type="application/json")


ROUTES = (
    page("/jobs/<job_id>", job),
    page("/jobs/<job_id>/args.json", arguments),
    page("/jobs/<job_id>/job.json", wire),
)
