"""What is done to jobs that somebody has checked in a list, or to the one job that somebody looks at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from faktory_tw.core.manager import JobManager
from faktory_tw.features.changes import change_one, find_job
from faktory_tw.wire import CommandError

from ..answers import Answer, Redirect, Refusal
from ..content import actions
from ..content.places import Spot, spot_of, spot_of_form
from ..routes import form
from ..visit import Visit
from .confirm import confirmation

_MOST_JOBS = 1000  # checked in one list
_MOST_TOLD = 5  # job ids in the log
_DIGITS = 19  # of the highest id
_ASKED = ("jobtype", "queue", "jid", "match", "error", "since", "until", "per", "page")  # fields of the list


class Selection:
    """Does ``action`` to jobs by their ids, and counts: those that are no longer in the place are left alone."""

    def __init__(self, manager: JobManager, spot: Spot, action: str, ids: list[int], priority: int | None) -> None:
        self._manager = manager
        self._spot = spot
        self._action = action
        self._ids = ids
        self.priority = priority
        self.changed: list[int] = []  # the ids that they have now
        self.left_alone = 0
        self.refusal = ""  # why the last one was left alone

    def steps(self) -> Iterator[None]:
        """A job at each step: it may have some MiB."""
        for job_id in self._ids:
            self._change(job_id)
            yield

    def _change(self, job_id: int) -> None:
        row = find_job(self._manager, job_id)
        if row is None or spot_of(row.place, row.queue) != self._spot:
            self.left_alone += 1
            return
        try:
            self.changed.append(change_one(self._manager, self._action, job_id, self.priority).id)
        except CommandError as refusal:
            self.left_alone += 1
            self.refusal = str(refusal)


async def change(visit: Visit) -> Answer:
    """Carry out what a button says."""
    where = spot_of_form(visit)
    action = visit.text("action")
    if action not in where.kind.actions:
        raise Refusal(400, visit.gettext("That cannot be done to these jobs."))
    ids = _ids(visit)
    if not ids:
        return Redirect(_back(visit, where), visit.gettext("No job was checked: check some first."), failed=True)
    priority = visit.number("priority", 5, 1, 9) if action == "priority" else None
    if action in actions.DANGEROUS:
        ask = confirmation(
            visit,
            actions.question(visit, action, len(ids)),
            actions.consent(visit, action, len(ids)),
            back=_back(visit, where),
            detail=actions.consequence(visit, action),
        )
        if ask is not None:
            return ask
    back = _back(visit, where)  # refused before anything is changed, if it makes no sense
    selection = Selection(visit.manager, where, action, ids, priority)
    visit.check_role()
    await visit.ui.carry_out(_carry_out(visit, where, action, selection))
    if not selection.changed:
        return Redirect(back, _told(visit, action, selection), failed=True)
    return Redirect(_next(visit, where, selection, back), _told(visit, action, selection))


async def _carry_out(visit: Visit, where: Spot, action: str, selection: Selection) -> None:
    """Change the jobs, wait for the disk, and tell the log; also when the browser leaves meanwhile."""
    await visit.ui.change(selection.steps())
    if selection.changed:
        await visit.ui.written()
        visit.ui.audit.changed(visit, f"{action} jobs", _facts(where, selection))


def _ids(visit: Visit) -> list[int]:
    """The jobs that are checked. Raises Refusal for what no list has."""
    texts = visit.texts("id")
    if len(texts) > _MOST_JOBS or any(
        len(text) > _DIGITS or not text.isascii() or not text.isdigit() for text in texts
    ):
        raise Refusal(400, visit.gettext("These are no jobs of a list. Go back and check some."))
    return list(dict.fromkeys(int(text) for text in texts))


def _facts(where: Spot, selection: Selection) -> dict[str, Any]:
    ids = selection.changed
    return {
        "place": where.kind.name,
        "queue": where.queue or None,
        "priority": selection.priority,
        "count": len(ids),
        "jobs": ", ".join(str(job_id) for job_id in ids[:_MOST_TOLD]) + (", …" if len(ids) > _MOST_TOLD else ""),
    }


def _told(visit: Visit, action: str, selection: Selection) -> str:
    sentences = [actions.done(visit, action, len(selection.changed))] if selection.changed else []
    if selection.left_alone:
        sentences.append(actions.left_alone(visit, selection.left_alone))
    return " ".join(sentences)


def _back(visit: Visit, where: Spot) -> str:
    """Where somebody came from: the list as it was, or the page of the job."""
    if visit.text("from") == "job":
        return f"/jobs/{(_ids(visit) or [0])[0]}"
    known = {name: visit.text(name) for name in _ASKED}
    return where.address(**known)


def _next(visit: Visit, where: Spot, selection: Selection, back: str) -> str:
    """Where to look now. A job that is still there is shown, with the id that it has now."""
    if visit.text("from") != "job":
        return back
    job_id = selection.changed[0]
    return f"/jobs/{job_id}" if find_job(visit.manager, job_id) is not None else where.address()


ROUTES = (form("/jobs/change", change),)
