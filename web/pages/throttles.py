"""Throttles: what they limit, and how many jobs are worked, or wait, because of them."""

from __future__ import annotations

from functools import partial

from faktory_tw.features.throttles import MOST_LISTED, Throttles

from ..answers import Answer, Page
from ..look.links import queue_url
from ..routes import page
from ..visit import Visit

EXAMPLE = """\
[throttles]
bulk = { concurrency = 10, timeout = 60 }
email = { worker = 2, timeout = 60 }
api = { rate = { limit = 100, period = 60, burst = 20 } }

[throttles.tenants]
key = "0.tenant_id"
concurrency = 5
"""


async def show_throttles(visit: Visit) -> Answer:
    """The throttles in the order of the files, or how to write one."""
    throttles = visit.manager.facts.find(Throttles)
    number = visit.number("page", 1, 1, 1 + len(throttles) // MOST_LISTED)
    start = (number - 1) * MOST_LISTED
    return Page(
        "ops/throttles.html",
        throttles=throttles.list(start),
        total=len(throttles),
        first=start + 1,
        page=number,
        pages=max(-(-len(throttles) // MOST_LISTED), 1),
        example=EXAMPLE,
        queue_url=partial(queue_url, visit),
    )


ROUTES = (page("/throttles", show_throttles),)
