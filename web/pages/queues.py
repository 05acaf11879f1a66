"""All queues: how long they are, how long their next job has waited, and pausing, clearing and removing them."""

from __future__ import annotations

from typing import NamedTuple

from faktory_tw.core.views import QueueView

from ..answers import Answer, NotThere, Page, Redirect, Refusal
from ..content import policies, queue_changes
from ..content.queue_changes import QueueChange
from ..content.queue_lists import ORDERS, QueueList
from ..gate.fields import Fields
from ..look import links
from ..routes import form, page
from ..visit import Visit
from .confirm import question

_ROWS = 50
_MOST_PAGES = 10**9
_HIGHEST = 2**63 - 1


class Lane(NamedTuple):
    """The jobs of one priority, as a part of a bar that is a hundred long."""

    priority: int
    size: int
    start: float
    length: float


class Row(NamedTuple):
    """A queue in the list, with what is asked before its jobs go."""

    view: QueueView
    url: str
    lanes: list[Lane]
    clear: str
    remove: str
    policy: list[str]


async def show_queues(visit: Visit) -> Answer:
    """A page of the queues."""
    order = visit.text("order") or ORDERS[0]
    if order not in ORDERS:
        raise Refusal(400, visit.gettext("There is no such order."))
    part = visit.text("match", most=1024)
    newest = visit.manager.views.newest()  # before anything is counted
    shown = QueueList(visit.manager, part, order, visit.number("page", 1, 1, _MOST_PAGES), _ROWS)
    await visit.run(shown.steps())
    rows = [
        Row(
            view,
            links.queue_url(visit, view.name),
            _lanes(view),
            _question(visit, "clear", [view.name], view.size),
            _question(visit, "remove", [view.name], view.size),
            policies.texts(visit, view.policy) if view.special else [],
        )
        for view in shown.views
    ]
    first = (shown.number - 1) * _ROWS + 1
    return Page("queues.html", shown=shown, rows=rows, match=part, order=order, first=first, newest=newest)


def _lanes(view: QueueView) -> list[Lane]:
    lanes, start = [], 0.0
    for priority, size in sorted(view.priorities.items(), reverse=True):
        length = 100 * size / max(view.size, 1)
        lanes.append(Lane(priority, size, round(start, 2), round(length, 2)))
        start += length
    return lanes


async def change_queues(visit: Visit) -> Answer:
    """Change the queues that are checked, the one whose button was clicked, or all."""
    action, names = _meant(visit)
    if not names and names is not None:
        raise Refusal(400, visit.gettext("No queue is checked. Go back and check some."))
    for name in names or ():
        if name not in visit.manager.queues():
            told = visit.gettext("There is no queue %(name)s. It was removed, or nothing was pushed to it yet.")
            raise NotThere(told % {"name": name[:200]})
    newest = visit.number("newest", -1, 0, _HIGHEST)
    if action in ("clear", "remove") and not visit.text("confirmed"):
        assert names is not None
        return _asked(visit, action, names, visit.form)
    back = _back(visit, names, action)  # refused before anything is changed, if it makes no sense
    change = QueueChange(visit.manager, action, names, None if newest < 0 else newest)
    told = "all" if names is None else ", ".join(names[:10])
    await visit.change(change.steps(), f"{action} queues", queues=told, done=change)
    if change.kept:
        return _asked_again(visit, change)
    return Redirect(back, _notice(visit, action, change))


def _asked(visit: Visit, action: str, names: list[str], fields: Fields, detail: str = "") -> Page:
    """The question before jobs go. A yes to it means the jobs that there are now."""
    _, jobs = queue_changes.count(visit.manager, names)
    label = visit.gettext("Delete the jobs") if action == "clear" else visit.gettext("Remove")
    fields = {**fields, "newest": [str(visit.manager.views.newest())]}
    return question(visit, _question(visit, action, names, jobs), label, "/queues", detail, fields)


def _asked_again(visit: Visit, change: QueueChange) -> Page:
    """The question about the queues that were not removed, because nobody had seen all that is in them."""
    detail = visit.ngettext(
        "Jobs came after you were asked, so %(num)s queue was not removed yet.",
        "Jobs came after you were asked, so %(num)s queues were not removed yet.",
        len(change.kept),
    )
    if change.queues:
        detail = f"{_notice(visit, 'remove', change)} {detail}"
    kept: Fields = {name: visit.form[name] for name in ("match", "order", "page", "from") if name in visit.form}
    return _asked(visit, "remove", change.kept, {**kept, "action": ["remove"], "queue": change.kept}, detail)


def _meant(visit: Visit) -> tuple[str, list[str] | None]:
    """What is to be done, and to which queues: None is all of them, which can only be paused or resumed.

    ``only`` is the button of one row, such as ``pause/default``, and says so whatever is checked besides.
    """
    action, _, only = visit.text("only").partition("/")
    names: list[str] | None = [only]
    if not only:
        action = visit.text("action")
        names = list(dict.fromkeys(name for name in visit.texts("queue") if name))
        if visit.text("all"):
            names = None
    if action not in queue_changes.ACTIONS or (names is None and action not in ("pause", "resume")):
        raise Refusal(400, visit.gettext("There is no such action."))
    return action, names


def _question(visit: Visit, action: str, names: list[str], jobs: int) -> str:
    ngettext = visit.language.ngettext
    if action == "clear" and len(names) == 1:
        told = ngettext(
            "Delete %(num)s job in the queue %(queue)s? The queue stays.",
            "Delete %(num)s jobs in the queue %(queue)s? The queue stays.",
            jobs,
        )
    elif action == "clear":
        told = ngettext(
            "Delete %(num)s job in %(count)s queues? The queues stay.",
            "Delete %(num)s jobs in %(count)s queues? The queues stay.",
            jobs,
        )
    elif len(names) == 1:
        told = ngettext(
            "Remove the queue %(queue)s and %(num)s job in it?",
            "Remove the queue %(queue)s and %(num)s jobs in it?",
            jobs,
        )
    else:
        told = ngettext(
            "Remove %(count)s queues and %(num)s job in them?",
            "Remove %(count)s queues and %(num)s jobs in them?",
            jobs,
        )
    number = visit.language.number
    return told % {"num": number(jobs), "count": number(len(names)), "queue": names[0][:200]}


def _notice(visit: Visit, action: str, change: QueueChange) -> str:
    if action == "pause":
        return visit.ngettext("%(num)s queue paused.", "%(num)s queues paused.", change.queues)
    if action == "resume":
        return visit.ngettext("%(num)s queue resumed.", "%(num)s queues resumed.", change.queues)
    if action == "clear":
        told = visit.ngettext("%(num)s job deleted.", "%(num)s jobs deleted.", change.jobs)
        if change.stayed:
            stayed = visit.ngettext(
                "%(num)s job came after you were asked, and stays.",
                "%(num)s jobs came after you were asked, and stay.",
                change.stayed,
            )
            told = f"{told} {stayed}"
        return told
    told = visit.language.ngettext(
        "%(queues)s queue removed; jobs deleted: %(jobs)s.",
        "%(queues)s queues removed; jobs deleted: %(jobs)s.",
        change.queues,
    )
    return told % {"queues": visit.language.number(change.queues), "jobs": visit.language.number(change.jobs)}


def _back(visit: Visit, names: list[str] | None, action: str) -> str:
    """Where somebody came from: the page of the queue, while there is one, or the list as it was."""
    if visit.text("from") == "queue" and names and action != "remove":
        return links.queue_address(names[0])
    order = visit.text("order")
    return links.address(
        "/queues",
        match=visit.text("match", most=1024),
        order=order if order in ORDERS[1:] else None,
        page=visit.text("page") if visit.number("page", 1, 1, _MOST_PAGES) > 1 else None,
    )


ROUTES = (
    page("/queues", show_queues),
    form("/queues", change_queues),
)
