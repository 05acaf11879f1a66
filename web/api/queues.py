"""Queues: listed, looked at, paused, resumed, cleared and removed.

A queue may be called ".." or ".", which no address can hold: such a one is changed by its name in the body, as several
are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from faktory_tw.features.admin import queue_view

from ..answers import Answer
from ..content.queue_changes import ACTIONS, QueueChange
from ..routes import Route, command, question
from ..visit import Visit
from .jobs import no_queue
from .messages import Clearing, ClearingNames, Nothing, QueueNames, answer, asked_page, chosen, know_fields, read


async def list_queues(visit: Visit) -> Answer:
    """The queues by name, of which a text may be wanted; or, with ``name``, only that one."""
    know_fields(visit, "name", "match", "limit", "after")
    limit, after = asked_page(visit)
    name, part = visit.text("name"), visit.text("match").lower()
    found: list[dict[str, Any]] = []
    more: list[str] = []

    def gather() -> Iterator[None]:
        wanted = (lambda each: each == name) if name else (lambda each: part in each.lower())
        for views in visit.manager.views.queues(after or "", wanted):
            room = limit - len(found)
            found.extend(queue_view(view) for view in views[:room])
            if len(views) > room:
                more.append(found[-1]["name"])
                return
            yield

    await visit.run(gather())
    return answer({"queues": found, "next": more[0] if more else None})


async def show_queue(visit: Visit, name: str) -> Answer:
    """One queue."""
    view = visit.manager.views.queue(name)
    if view is None:
        raise no_queue(name)
    return answer(queue_view(view))


def _changer_of_one(action: str) -> Any:
    async def change(visit: Visit, name: str) -> Answer:
        if action == "clear":
            return await _change(visit, action, [name], read(visit, Clearing).newest)
        read(visit, Nothing)
        return await _change(visit, action, [name])

    return change


def _changer_of_many(action: str) -> Any:
    async def change(visit: Visit) -> Answer:
        body = read(visit, ClearingNames if action == "clear" else QueueNames)
        newest = body.newest if isinstance(body, ClearingNames) else None
        return await _change(visit, action, chosen(body.queues, body.all, "queues"), newest)

    return change


async def _change(visit: Visit, action: str, names: list[str] | None, newest: int | None = None) -> Answer:
    for name in names or ():
        if name not in visit.manager.queues():
            raise no_queue(name)
    change = QueueChange(visit.manager, action, names, newest)
    told = "all" if names is None else ", ".join(names[:10])
    await visit.change(change.steps(), f"{action} queues", queues=told, done=change)
    return answer({"action": action, "queues": change.queues, "jobs": change.jobs})


ROUTES: tuple[Route, ...] = (
    question("/api/queues", list_queues),
    question("/api/queues/<name>", show_queue),
    *(command(f"/api/queues/{action}", _changer_of_many(action)) for action in ACTIONS),
    *(command(f"/api/queues/<name>/{action}", _changer_of_one(action)) for action in ACTIONS),
)
