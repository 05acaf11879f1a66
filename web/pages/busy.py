"""The workers, what they are working on, and telling them to be quiet or to end."""

from __future__ import annotations

from typing import NamedTuple

from faktory_tw.core.views import WorkerView
from faktory_tw.core.workers import State
from faktory_tw.wire import CommandError

from ..answers import Answer, NotThere, Page, Redirect, Refusal
from ..content import jobs, workers
from ..content.workers import Held, WorkerList, WorkingList
from ..look import links
from ..routes import form, page
from ..visit import Visit
from .confirm import confirmation

_ROWS = 50
_FIRST_JOBS = 10  # of those being worked, on the page of the workers
_MOST_PAGES = 10**9
_NAME_CHARACTERS = 200  # of what a worker says of itself
_LABELS = 10  # shown of one worker


class WorkerRow(NamedTuple):
    """A worker in the list, as it may be shown: its texts are those of a client."""

    wid: str  # as it is, for links and forms
    name: str
    process: str
    labels: list[str]
    more_labels: int
    state: str
    started_at: float
    rss_bytes: int
    connections: int
    busy: int
    beat_at: float | None
    stop: str  # what is asked before it is told to end


async def show_busy(visit: Visit) -> Answer:
    """The workers, a page of them, and the first of the jobs being worked."""
    text = visit.text("worker", most=1024)
    shown = WorkerList(visit.manager, text, visit.number("page", 1, 1, _MOST_PAGES), _ROWS)
    working = WorkingList(visit.manager, Held(), 1, _FIRST_JOBS)
    await visit.run(shown.steps())
    await visit.run(working.steps())
    return Page(
        "busy.html",
        shown=shown,
        rows=[_worker_row(visit, view) for view in shown.views],
        working=working,
        text=text,
        first=(shown.number - 1) * _ROWS + 1,
    )


async def show_working(visit: Visit) -> Answer:
    """The jobs being worked: a page of all, or of those that a filter finds."""
    wid = next(iter(visit.texts("wid")), "")[:1024]
    if visit.manager.workers.connected(wid) is None:
        wid = wid.strip()  # as people paste it; a worker may have meant it so
    wanted = Held(wid, visit.text("queue", most=1024), visit.text("jobtype", most=1024))
    try:
        working = WorkingList(visit.manager, wanted, visit.number("page", 1, 1, _MOST_PAGES), _ROWS)
    except CommandError as error:
        raise Refusal(400, str(error)) from None
    await visit.run(working.steps())
    return Page("working.html", working=working, wanted=wanted, first=(working.number - 1) * _ROWS + 1)


def _worker_row(visit: Visit, view: WorkerView) -> WorkerRow:
    worker = view.worker
    name = jobs.plain(worker.wid, _NAME_CHARACTERS)
    beat_at = None if view.beat_age is None else visit.server.clock.time() - view.beat_age
    return WorkerRow(
        worker.wid,
        name,
        f"{jobs.plain(worker.hostname, _NAME_CHARACTERS)}:{worker.pid}",
        [jobs.plain(label, _NAME_CHARACTERS) for label in worker.labels[:_LABELS]],
        max(len(worker.labels) - _LABELS, 0),
        worker.state.name.lower(),
        worker.started_at,
        worker.rss_kb * 1024,
        worker.connections,
        view.busy,
        beat_at,
        _question(visit, [worker.wid], view.busy),
    )


async def tell_workers(visit: Visit) -> Answer:
    """Tell the workers that are checked, the one whose button was clicked, or all, to be quiet or to end."""
    state, wids = _meant(visit)
    if not wids and wids is not None:
        raise Refusal(400, visit.gettext("No worker is checked. Go back and check some."))
    views = [visit.manager.views.worker(wid) for wid in wids or ()]
    for wid, view in zip(wids or (), views, strict=True):
        if view is None:
            told = visit.gettext("The worker %(wid)s is not connected any more.")
            raise NotThere(told % {"wid": jobs.plain(wid, _NAME_CHARACTERS)})
    if state is State.TERMINATE:
        busy = sum(view.busy for view in views if view is not None)
        sentence = _question(visit, wids, busy if wids is not None else visit.manager.set_sizes()["working"])
        detail = visit.gettext(
            "Workers end at their next heartbeat, within 15 seconds or so. Jobs that they do not finish are tried again."
        )
        ask = confirmation(visit, sentence, visit.gettext("Stop"), back="/busy", detail=detail)
        if ask is not None:
            return ask
    back = _back(visit)  # refused before anything is changed, if it makes no sense
    count = sum(workers.tell(visit.manager, wids, state))
    action = "quiet workers" if state is State.QUIET else "stop workers"
    await visit.changed(action, wids="all" if wids is None else ", ".join(wids[:10]), count=count)
    return Redirect(back, _notice(visit, state, count))


def _meant(visit: Visit) -> tuple[State, list[str] | None]:
    """What is to be told, and to which workers: None is all of them.

    ``only`` is the button of one row, such as ``quiet/WID``, and says so whatever is checked besides.
    """
    action, _, only = visit.fields.get("only", [""])[0].partition("/")
    wids: list[str] | None = [only]
    if not only:
        action = visit.text("action")
        wids = list(dict.fromkeys(wid for wid in visit.texts("wid") if wid))
        if visit.text("all"):
            wids = None
    state = workers.STATES.get(action)
    if state is None:
        raise Refusal(400, visit.gettext("There is no such action."))
    return state, wids


def _question(visit: Visit, wids: list[str] | None, busy: int) -> str:
    number, ngettext = visit.language.number, visit.language.ngettext
    if wids is None:
        told = ngettext("Stop all workers? They hold %(num)s job.", "Stop all workers? They hold %(num)s jobs.", busy)
    elif len(wids) == 1:
        told = ngettext(
            "Stop the worker %(wid)s? It holds %(num)s job.", "Stop the worker %(wid)s? It holds %(num)s jobs.", busy
        )
    else:
        told = ngettext(
            "Stop %(count)s workers? They hold %(num)s job.", "Stop %(count)s workers? They hold %(num)s jobs.", busy
        )
    wid = jobs.plain(wids[0], _NAME_CHARACTERS) if wids else ""
    return told % {"num": number(busy), "count": number(len(wids or ())), "wid": wid}


def _notice(visit: Visit, state: State, count: int) -> str:
    if state is State.QUIET:
        return visit.ngettext(
            "%(num)s worker is told at its next heartbeat to fetch no more jobs.",
            "%(num)s workers are told at their next heartbeat to fetch no more jobs.",
            count,
        )
    return visit.ngettext(
        "%(num)s worker is told at its next heartbeat to end.",
        "%(num)s workers are told at their next heartbeat to end.",
        count,
    )


def _back(visit: Visit) -> str:
    number = visit.number("page", 1, 1, _MOST_PAGES)
    return links.address("/busy", worker=visit.text("worker", most=1024), page=number if number > 1 else None)


ROUTES = (
    page("/busy", show_busy),
    page("/busy/jobs", show_working),
    form("/busy", tell_workers),
)
