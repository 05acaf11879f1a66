"""Workers: listed, looked at, told to be quiet or to end.

A wid is whatever a client says, ".." and "a/b" included: one that an address cannot hold is named in the body, as several
are.
"""

from __future__ import annotations

from typing import Any

from faktory_tw.core.workers import State
from faktory_tw.features.admin import worker_view

from ..answers import Answer, NotThere
from ..content import workers
from ..routes import Route, command, question
from ..visit import Visit
from .messages import Nothing, WorkerIds, answer, asked_page, chosen, know_fields, read


async def list_workers(visit: Visit) -> Answer:
    """The workers that are connected, by wid."""
    know_fields(visit, "limit", "after")
    limit, after = asked_page(visit)
    found = workers.WorkerList(visit.manager, count=10**9)
    await visit.run(found.steps())
    views = [view for view in found.views if after is None or view.worker.wid > after]
    told_views = [worker_view(view) for view in views[:limit]]
    more = len(views) > limit
    return answer({"workers": told_views, "next": told_views[-1]["wid"] if more else None})


async def show_worker(visit: Visit, wid: str) -> Answer:
    """One worker."""
    view = visit.manager.views.worker(wid)
    if view is None:
        raise no_worker(wid)
    return answer(worker_view(view))


def no_worker(wid: str) -> NotThere:
    """The refusal where a worker is not there."""
    return NotThere(f"There is no worker {wid[:255]}: it has disconnected, or was never there.")


def _teller_of_one(name: str, state: State) -> Any:
    async def tell(visit: Visit, wid: str) -> Answer:
        read(visit, Nothing)
        return await _tell(visit, name, state, [wid])

    return tell


def _teller_of_many(name: str, state: State) -> Any:
    async def tell(visit: Visit) -> Answer:
        body = read(visit, WorkerIds)
        return await _tell(visit, name, state, chosen(body.wids, body.all, "workers"))

    return tell


async def _tell(visit: Visit, name: str, state: State, wids: list[str] | None) -> Answer:
    for wid in wids or ():
        if visit.manager.workers.connected(wid) is None:
            raise no_worker(wid)
    count = sum(workers.tell(visit.manager, wids, state))
    await visit.changed(f"{name} workers", wids="all" if wids is None else ", ".join(wids[:10]), count=count)
    return answer({"action": name, "workers": count})


ROUTES: tuple[Route, ...] = (
    question("/api/workers", list_workers),
    question("/api/workers/<path:wid>", show_worker),
    *(command(f"/api/workers/{name}", _teller_of_many(name, state)) for name, state in workers.STATES.items()),
    *(
        command(f"/api/workers/<path:wid>/{name}", _teller_of_one(name, state))
        for name, state in workers.STATES.items()
    ),
)
