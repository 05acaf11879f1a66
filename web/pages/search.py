"""Jobs wherever they are: what the search box of each page finds, and a filter over all places."""

from __future__ import annotations

from typing import Any

from ..answers import Answer, Page, Redirect
from ..content import batches, criteria, listing, tracks
from ..content.places import KINDS
from ..look import links
from ..routes import page
from ..visit import Visit

_MOST_CHARACTERS = 256


async def search(visit: Visit) -> Answer:
    """What somebody wrote into the search box: a type when it has a ``*`` or ``?``, else a text, such as a job id."""
    text = visit.text("q", most=_MOST_CHARACTERS)
    if "*" in text or "?" in text:
        return Redirect(links.address("/jobs", jobtype=text))
    return Redirect(links.address("/jobs", match=text))


async def jobs(visit: Visit) -> Answer:
    """What a filter finds in all places."""
    wanted = criteria.read(visit)
    shown = await listing.found(visit, None, wanted) if wanted else None
    return Page(
        "jobs/search.html",
        shown=shown,
        wanted=wanted,
        asked=listing.asked(shown, wanted) if shown is not None else {},
        kinds=KINDS,
        **_named(visit, wanted),
    )


def _named(visit: Visit, wanted: criteria.Criteria) -> dict[str, Any]:
    """A batch and a track that have this very name: one of an ended job is found by no search for jobs."""
    batch = batches.batches(visit).get(wanted.match) if wanted.match else None
    name = wanted.jid or wanted.match
    track = tracks.tracking(visit).get(name) if name else None
    return {
        "batch": None if batch is None else batches.line(batch),
        "track": None if track is None else tracks.line(track),
    }


ROUTES = (page("/search", search), page("/jobs", jobs))
