"""Throttles: what they limit, and how many jobs are worked, or wait, because of them."""

from __future__ import annotations

from faktory_tw.features.throttles import MOST_LISTED, Throttles
from faktory_tw.features.throttles.views import as_json

from ..answers import Answer
from ..routes import Route, question
from ..visit import Visit
from .messages import answer, know_fields


async def list_throttles(visit: Visit) -> Answer:
    """The throttles in the order of the files, from the ``start``-th on."""
    know_fields(visit, "start", "limit")
    throttles = visit.manager.facts.find(Throttles)
    start = visit.number("start", 0, 0, len(throttles))
    views = throttles.list(start, visit.number("limit", MOST_LISTED, 1, MOST_LISTED))
    return answer({"throttles": [as_json(view) for view in views], "count": len(throttles)})


ROUTES: tuple[Route, ...] = (question("/api/throttles", list_throttles),)
