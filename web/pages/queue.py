"""One queue: its jobs in the order in which they will be fetched."""

from __future__ import annotations

from ..answers import Answer
from ..content.places import spot
from ..routes import page
from ..visit import Visit
from .sets import place


async def queue(visit: Visit, name: str) -> Answer:
    """A queue by its name in the path."""
    where = spot(visit, "queued", name)
    return await place(visit, where, view=visit.manager.views.queue(name))


async def named(visit: Visit) -> Answer:
    """A queue whose name no browser leaves in a path; see :mod:`web.look.links`."""
    return await queue(visit, visit.text("name"))


ROUTES = (
    page("/queues/<name>", queue),
    page("/queue", named),
)
