"""The tracks of jobs: how far they are, and what came of them."""

from __future__ import annotations

from faktory_tw.features.changes import find_job

from ..answers import Answer, NotThere, Page, Redirect
from ..content import cursors, jobs, tracks
from ..look import links
from ..routes import page
from ..visit import Visit

_ROWS = 50
_MOST_JID = 1024


async def show_tracks(visit: Visit) -> Answer:
    """A page of the tracks, the one updated last first, or the page of the job that is looked for."""
    tracking = tracks.tracking(visit)
    jid = next(iter(visit.texts("jid")), "")[:_MOST_JID]
    if jid:
        return _one(visit, jid)
    after = cursors.timed(visit)
    found = tracking.page(after, _ROWS + 1)
    return Page(
        "tracking.html",
        lines=[tracks.line(track) for track in found[:_ROWS]],
        more=cursors.text(*found[_ROWS - 1].mark) if len(found) > _ROWS else None,
        total=len(tracking),
        begun=after is not None,
    )


def _one(visit: Visit, jid: str) -> Answer:
    """Its spaces may be part of a jid, or have come with it when it was pasted."""
    tracking = tracks.tracking(visit)
    track = tracking.get(jid) or tracking.get(jid.strip())
    if track is None:
        told = visit.gettext(
            "There is no track of %(jid)s: the job asks for none, ended some time ago, or was never there."
        )
        raise NotThere(told % {"jid": jobs.plain(jid, 100)})
    if track.job_id and find_job(visit.manager, track.job_id) is not None:
        path, fields = tracks.line(track).page
        return Redirect(links.address(path, **fields))
    return Page("jobs/ended.html", shown=tracks.shown(track))


ROUTES = (page("/tracking", show_tracks),)
