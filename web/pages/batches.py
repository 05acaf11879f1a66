"""Batches: how far they are, what has failed in them, their callbacks and the batches inside of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from faktory_tw.features.batches.views import BatchView

from ..answers import Answer, NotThere, Page, Redirect
from ..content import batches, cursors, jobs
from ..content.jobs import JobLine
from ..routes import page
from ..visit import Visit

_ROWS = 50
_CHILDREN = 25
_FAILED = 50
_MOST_BID = 256  # characters of what somebody looks for


async def show_batches(visit: Visit) -> Answer:
    """A page of the batches that have no parent, or the one that is looked for."""
    found = batches.batches(visit)
    bid = visit.text("bid", most=_MOST_BID)
    if bid:
        return Redirect(f"/batches/{_known(visit, bid).bid}")
    before = cursors.numbered(visit)
    views: list[BatchView] = []
    await visit.run(batches.gathered(found.roots, before, _ROWS + 1, views))
    return Page(
        "batches/list.html",
        lines=[batches.line(view) for view in views[:_ROWS]],
        more=views[_ROWS - 1].number if len(views) > _ROWS else None,
        total=len(found),
        begun=before is not None,
    )


async def show_batch(visit: Visit, bid: str) -> Answer:
    """Everything about a batch."""
    found = batches.batches(visit)
    view = _known(visit, bid)
    above, more_above = batches.ancestors(found, view)
    after = cursors.numbered(visit)
    children: list[BatchView] = []
    branches: list[batches.Branch] = []
    await visit.run(batches.gathered(partial(found.children, view.bid), after, _CHILDREN + 1, children))
    await visit.run(batches.branches(found, children[:_CHILDREN], branches))
    return Page(
        "batches/batch.html",
        batch=batches.line(view),
        above=above,
        more_above=more_above,
        branches=branches,
        more=children[_CHILDREN - 1].number if len(children) > _CHILDREN else None,
        begun=after is not None,
        failed=await _failed(visit, found.failed_jobs(view.bid, _FAILED)),
    )


def _known(visit: Visit, bid: str) -> BatchView:
    """The batch of that bid. Raises NotThere."""
    view = batches.batches(visit).get(bid)
    if view is None:
        told = visit.gettext(
            "There is no batch %(bid)s: it ended and was dropped after its time, or was never committed, or never there."
        )
        raise NotThere(told % {"bid": jobs.plain(bid, 100)})
    return view


async def _failed(visit: Visit, ids: list[int]) -> list[JobLine]:
    lines: list[JobLine] = []

    def keep() -> Iterator[None]:
        for rows in visit.manager.views.rows(ids):
            lines.extend(jobs.line(row) for row in rows)
            yield

    await visit.run(keep())
    return lines


ROUTES = (page("/batches", show_batches), page("/batches/<bid>", show_batch))
