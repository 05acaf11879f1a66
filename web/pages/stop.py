"""Asking for a job that is being worked to stop."""

from __future__ import annotations

from ..answers import Answer, NotThere, Redirect
from ..content import jobs, stopping
from ..look import links
from ..routes import form
from ..visit import Visit
from .confirm import confirmation

_MOST_ID = 2**63 - 1
_NAME_CHARACTERS = 200
_HELD = ("wid", "queue", "jobtype", "page")  # fields of the list that somebody comes from


async def ask_to_stop(visit: Visit) -> Answer:
    """Have the worker of a job told that it should stop."""
    job_id = visit.number("id", 0, 0, _MOST_ID)
    reservation = stopping.meant(visit.manager, job_id, visit.text("since"))
    if reservation is None:
        raise NotThere(visit.gettext("This job is not worked any more, or by another worker. Nothing was changed."))
    jid = jobs.plain(reservation.job.jid, _NAME_CHARACTERS)
    ask = confirmation(
        visit,
        visit.gettext("Ask for the job %(jid)s to stop?") % {"jid": jid},
        visit.gettext("Ask to stop"),
        back=_back(visit, job_id),
        detail=visit.gettext(
            "Its worker learns of it at its next heartbeat, if it asks for that. If the job fails then, it is not tried again, but is among the dead."
        ),
    )
    if ask is not None:
        return ask
    stopping.ask(visit.manager, job_id)
    await visit.changed("ask job to stop", job=job_id, jid=jid, wid=reservation.wid or None)
    return Redirect(_back(visit, job_id), visit.gettext("The job was asked to stop."))


def _back(visit: Visit, job_id: int) -> str:
    came_from = visit.text("from")
    if came_from == "job":
        return f"/jobs/{job_id}"
    if came_from == "working":
        return links.address("/busy/jobs", **{name: next(iter(visit.texts(name)), "")[:1024] for name in _HELD})
    return "/busy"


ROUTES = (form("/busy/stop", ask_to_stop),)
