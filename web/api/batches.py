"""Batches: listed, newest first, or those inside of one; and everything about one."""

from __future__ import annotations

from functools import partial
from typing import Any

from faktory_tw.features.batches.views import BatchView
from faktory_tw.times import rfc3339

from ..answers import Answer, NotThere
from ..content import batches, cursors
from ..routes import question
from ..visit import Visit
from .messages import answer, asked_page, know_fields

_FAILED = 1000  # ids told
_MOST_BID = 256


async def list_batches(visit: Visit) -> Answer:
    """All batches, the newest first; with ``parent`` those inside of one, the oldest first."""
    know_fields(visit, "parent", "limit", "after")
    limit, _ = asked_page(visit)
    after = cursors.numbered(visit)
    found = batches.batches(visit)
    parent = visit.text("parent", most=_MOST_BID)
    if parent:
        _known(visit, parent)
    views: list[BatchView] = []
    page = partial(found.children, parent) if parent else found.page
    await visit.run(batches.gathered(page, after, limit + 1, views))
    more = str(views[limit - 1].number) if len(views) > limit else None
    return answer({"batches": [_told(view) for view in views[:limit]], "size": len(found), "next": more})


async def show_batch(visit: Visit, bid: str) -> Answer:
    """One batch, with the ids of its members that have failed."""
    know_fields(visit)
    view = _known(visit, bid)
    return answer({**_told(view), "failed_jobs": batches.batches(visit).failed_jobs(view.bid, _FAILED)})


def _known(visit: Visit, bid: str) -> BatchView:
    view = batches.batches(visit).get(bid)
    if view is None:
        raise NotThere(
            f"There is no batch {bid[:100]}: it ended some time ago, was never committed, or has never been there."
        )
    return view


def _told(view: BatchView) -> dict[str, Any]:
    line = batches.line(view)
    return {
        "bid": view.bid,
        "parent_bid": view.parent_bid,
        "description": view.description,
        "state": line.state,
        "created_at": rfc3339(view.created_at),
        "ended_at": None if view.ended_at is None else rfc3339(view.ended_at),
        "total": view.total,
        "pending": view.pending,
        "succeeded": view.succeeded,
        "failed": view.failed,
        "gone": view.gone,
        "children": view.children,
        "callbacks": {
            callback.kind: {
                "jobtype": view.callbacks[callback.kind],
                "state": callback.state,
                "jid": view.callback_jids.get(callback.kind),
                "job_id": callback.job_id,
            }
            for callback in line.callbacks
        },
    }


ROUTES = (
    question("/api/batches", list_batches),
    question("/api/batches/<bid>", show_batch),
)
