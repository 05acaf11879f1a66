"""The locks of unique jobs: which jobs keep equal ones out, until when, and ending a lock before its time."""

from __future__ import annotations

from faktory_tw.core.job import job_of
from faktory_tw.features.changes import find_job

from ..answers import Answer, NotThere, Page, Redirect
from ..content import jobs, locks
from ..routes import form, page
from ..visit import Visit
from .confirm import confirmation

_ROWS = 50
_MOST_ID = 2**63 - 1
_NAME_CHARACTERS = 200


async def show_locks(visit: Visit) -> Answer:
    """A page of the locks."""
    found, more = locks.found(visit, _ROWS)
    unique = locks.unique(visit)
    return Page(
        "locks.html",
        rows=await locks.listed(visit, found),
        more=more,
        total=len(unique),
        denied=unique.denied,
        begun=bool(visit.text("after")),
    )


async def release_lock(visit: Visit) -> Answer:
    """End the lock of a job. The form names the job, so that no later lock of an equal job is meant."""
    job_id = visit.number("id", 0, 0, _MOST_ID)
    back = f"/jobs/{job_id}" if visit.text("from") == "job" else "/locks"
    if locks.unique(visit).held(job_id) is None:
        raise NotThere(visit.gettext("This job has no lock any more."))
    row = find_job(visit.manager, job_id)
    name = jobs.plain(job_of(row).jid, _NAME_CHARACTERS) if row is not None else str(job_id)
    ask = confirmation(
        visit,
        visit.gettext("Release the lock of the job %(jid)s?") % {"jid": name},
        visit.gettext("Release"),
        back=back,
        detail=visit.gettext(
            "An equal job is accepted then, also while this one is worked. The job stays where it is."
        ),
    )
    if ask is not None:
        return ask
    locks.unique(visit).release(job_id)
    await visit.changed("release lock", job=job_id, jid=name)
    return Redirect(back, visit.gettext("The lock is released."))


ROUTES = (page("/locks", show_locks), form("/locks/release", release_lock))
