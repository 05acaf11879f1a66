"""Cron: the entries, when they are due next and what came of the last time, and pausing and running them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from faktory_tw.features.cron import MISSED, Cron, CronView
from faktory_tw.features.cron.records import Run

from ..answers import Answer, NotThere, Page, Redirect, Refusal
from ..content.cron import ACTIONS, change
from ..look import links
from ..routes import form, page
from ..visit import Visit

_ROWS = 100
_MOST_PAGES = 10**6
_EXAMPLE = """\
[[cron]]
name = "nightly-report"
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
[cron.job]
type = "Report"
args = ["daily"]
"""


class Row(NamedTuple):
    """An entry in the list."""

    view: CronView
    url: str
    queue_url: str
    last: Run | None


async def show_entries(visit: Visit) -> Answer:
    """A page of the entries."""
    cron = visit.manager.facts.find(Cron)
    pages = max(-(-len(cron) // _ROWS), 1)
    number = min(visit.number("page", 1, 1, _MOST_PAGES), pages)
    first = (number - 1) * _ROWS
    rows = [_row(visit, view) for view in cron.entries(first, _ROWS)]
    return Page(
        "cron/entries.html",
        rows=rows,
        total=len(cron),
        number=number,
        pages=pages,
        first=first + 1,
        example=_EXAMPLE,
        missed=MISSED,
    )


def _row(visit: Visit, view: CronView) -> Row:
    last = view.runs[0] if view.runs else None
    return Row(view, visit.url(f"/cron/{view.name}"), links.queue_url(visit, view.queue), last)


async def show_entry(visit: Visit, name: str) -> Answer:
    """One entry, and its last runs."""
    view = _known(visit, name).entry(name)
    job = msgspec.json.format(view.job, indent=2).decode()
    return Page("cron/entry.html", row=_row(visit, view), view=view, job=job, missed=MISSED)


def _known(visit: Visit, name: str) -> Cron:
    cron = visit.manager.facts.find(Cron)
    if name not in cron:
        raise NotThere(visit.gettext("There is no cron entry of this name. The settings may have changed."))
    return cron


async def change_entry(visit: Visit) -> Answer:
    """Pause an entry, let it go on, or run it now."""
    name, action = visit.text("name"), visit.text("action")
    if action not in ACTIONS:
        raise Refusal(400, visit.gettext("There is no such action."))
    _known(visit, name)
    number = visit.number("page", 1, 1, _MOST_PAGES)
    back = (
        f"/cron/{name}"
        if visit.text("from") == "entry"
        else links.address("/cron", page=number if number > 1 else None)
    )
    told = await change(visit, action, name)
    return Redirect(back, _notice(visit, action, told))


def _notice(visit: Visit, action: str, told: dict[str, str]) -> str:
    if action == "run":
        return visit.gettext("%(name)s was run: the job %(jid)s was pushed.") % told
    if action == "pause":
        return visit.gettext("%(name)s is paused.") % told
    return visit.gettext("%(name)s goes on.") % told


ROUTES = (
    page("/cron", show_entries),
    form("/cron", change_entry),
    page("/cron/<name>", show_entry),
)
