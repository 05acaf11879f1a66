"""The sets: scheduled jobs, those that wait to be tried again, and the dead; and one queue, whose page is the same."""

from __future__ import annotations

from faktory_tw.core.views import QueueView

from ..answers import Answer, Page, Redirect
from ..content import actions, criteria, listing, policies
from ..content.places import Spot, spot
from ..routes import Respond, page
from ..visit import Visit


def of(name: str) -> Respond:
    """The page of a set."""

    async def show(visit: Visit) -> Answer:
        return await place(visit, spot(visit, name))

    return show


async def place(visit: Visit, where: Spot, view: QueueView | None = None) -> Answer:
    """The jobs of a place: a page of all, or what a filter finds. ``view`` is what else is shown of a queue."""
    wanted = criteria.read(visit)
    shown: listing.Numbered | listing.Found
    if wanted:
        shown = await listing.found(visit, where.where, wanted)
    else:
        shown = await listing.numbered(visit, where.where)
    return Page(
        "jobs/place.html",
        spot=where,
        kind=where.kind,
        shown=shown,
        wanted=wanted,
        asked=listing.asked(shown, wanted),
        words=actions,
        view=view,
        policy=policies.texts(visit, view.policy) if view is not None else [],
    )


async def morgue(_visit: Visit) -> Answer:
    """What Faktory calls the dead: links to it lead somewhere."""
    return Redirect("/dead")


ROUTES = (
    page("/scheduled", of("scheduled")),
    page("/retries", of("retries")),
    page("/dead", of("dead")),
    page("/morgue", morgue),
)
