"""Pushing a job by hand: to try something out, or once more what went wrong."""

from __future__ import annotations

from faktory_tw.wire import CommandError

from ..answers import Answer, Page, Redirect
from ..content.push import BLANK, PushForm, again, sent
from ..routes import form, page
from ..visit import Visit
from .job import found

_MOST_COPIED = 512 * 1024  # bytes of a job that is pushed again: a form of more is no fun


async def blank(visit: Visit) -> Answer:
    """The form: with nothing in it, or with what another job had."""
    values = {**BLANK, "queue": visit.text("queue") or BLANK["queue"], "jobtype": visit.text("jobtype")}
    copied = visit.text("job")
    too_large = False
    if copied:
        row = found(visit, copied)
        too_large = len(row.body) > _MOST_COPIED
        if not too_large:
            values = again(row)
    return _form(PushForm(visit, values), copied=copied, too_large=too_large)


async def push(visit: Visit) -> Answer:
    """Push the job, or show the form again with what is wrong in it."""
    given = sent(visit)
    payload = given.payload()
    if payload is None:
        return _form(given, status=400)
    visit.check_role()
    try:
        visit.manager.push(payload)
    except CommandError as error:
        return _form(given, status=409, refusal=str(error))
    job_id = visit.manager.views.newest()
    await visit.changed("push job", jid=payload.jid, jobtype=payload.jobtype, queue=payload.queue)
    notice = visit.gettext("The job was pushed. Its ID is %(jid)s.") % {"jid": payload.jid}
    return Redirect(f"/jobs/{job_id}" if visit.manager.views.find(job_id) else "/push", notice)


def _form(given: PushForm, status: int = 200, refusal: str = "", copied: str = "", too_large: bool = False) -> Answer:
    return Page(
        "jobs/push.html",
        status,
        values=given.values,
        errors=given.errors,
        refusal=refusal,
        copied=copied,
        too_large=too_large,
    )


ROUTES = (
    page("/push", blank),
    form("/push", push, large=True),
)
