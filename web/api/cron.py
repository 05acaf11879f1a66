"""The entries of cron: listed, looked at, paused, resumed and run."""

from __future__ import annotations

from typing import Any

from faktory_tw.features.cron import Cron
from faktory_tw.features.cron.requests import MOST_CRON, list_entries, told
from faktory_tw.wire import CommandError

from ..answers import Answer, NotThere, Refusal
from ..content.cron import ACTIONS, change
from ..routes import Route, command, question
from ..visit import Visit
from .messages import Nothing, answer, asked_page, know_fields, read


async def list_cron(visit: Visit) -> Answer:
    """The entries in the order of the settings."""
    know_fields(visit, "limit", "after")
    limit, after = asked_page(visit)
    try:
        told_entries = list_entries(visit.manager.facts.find(Cron), after, min(limit, MOST_CRON))
    except CommandError as error:
        raise Refusal(400, f"{error}.") from None
    return answer(told_entries)


async def show_entry(visit: Visit, name: str) -> Answer:
    """One entry."""
    return answer(told(_known(visit, name).entry(name)))


def _known(visit: Visit, name: str) -> Cron:
    cron = visit.manager.facts.find(Cron)
    if name not in cron:
        raise NotThere(f"There is no cron entry {name[:200]}.")
    return cron


def _changer(action: str) -> Any:
    async def change_entry(visit: Visit, name: str) -> Answer:
        read(visit, Nothing)
        _known(visit, name)
        return answer(await change(visit, action, name))

    return change_entry


ROUTES: tuple[Route, ...] = (
    question("/api/cron", list_cron),
    question("/api/cron/<name>", show_entry),
    *(command(f"/api/cron/<name>/{action}", _changer(action)) for action in ACTIONS),
)
