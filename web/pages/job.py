"""One job: everything about it, where it is now, and what can be done to it."""

from __future__ import annotations

from faktory_tw.core.job import job_of
from faktory_tw.features.changes import find_job
from faktory_tw.features.search import JobRow

from ..answers import Answer, NotThere, Page, Redirect
from ..content import actions, jobs, kept, tracks
from ..content.places import spot_of
from ..look import links
from ..look.languages import gettext_noop
from ..routes import page
from ..visit import Visit

_MOST_DIGITS = 18  # of an id that SQLite can have
_GONE = gettext_noop("There is no such job now: it is finished, was deleted, or has never been there.")


def found(visit: Visit, job_id: str) -> JobRow:
    """The job of that id. Raises NotThere."""
    row = find_job(visit.manager, int(job_id)) if _is_id(job_id) else None
    if row is None:
        raise NotThere(visit.gettext(_GONE))
    return row


def _is_id(text: str) -> bool:
    return len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit()


async def job(visit: Visit, job_id: str) -> Answer:
    """The page of a job. It goes with the job, wherever that moves.

    That of a tracked job has the jid in its address, so that it shows the track when the job has gone.
    """
    jid = next(iter(visit.texts("jid")), "")
    try:
        row = found(visit, job_id)
    except NotThere:
        return _what_is_left(visit, jid)
    kept_of_it = kept.of(visit, row)
    if jid and job_of(row).jid != jid:
        return _what_is_left(visit, jid)
    if kept_of_it.track is not None and not jid:
        fields = {**kept_of_it.track.line.page[1], "notice": visit.text("notice")}
        return Redirect(links.address(f"/jobs/{row.id}", **fields))
    where = spot_of(row.place, row.queue)
    return Page(
        "jobs/job.html",
        job=jobs.details(row),
        row_id=row.id,
        spot=where,
        kind=where.kind,
        words=actions,
        kept=kept_of_it,
    )


def _what_is_left(visit: Visit, jid: str) -> Answer:
    """The track of a job that is gone. Raises NotThere."""
    track = tracks.tracking(visit).get(jid) if jid else None
    if track is None:
        raise NotThere(visit.gettext(_GONE))
    return Page("jobs/ended.html", shown=tracks.shown(track))


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
