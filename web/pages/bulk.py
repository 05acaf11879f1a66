"""Operations on many jobs: begun with a filter, looked at, confirmed, stopped. See :mod:`web.content.bulk`."""

from __future__ import annotations

from ..answers import Answer, NotThere, Page, Redirect, Refusal
from ..content import actions, criteria
from ..content.bulk import Operation, State
from ..content.places import spot_of_form
from ..routes import form, page
from ..visit import Visit


async def begin(visit: Visit) -> Answer:
    """Count what a button of a list means. Nothing is changed yet."""
    where = spot_of_form(visit)
    action = visit.text("action")
    if action not in where.kind.actions:
        raise Refusal(400, visit.gettext("That cannot be done to these jobs."))
    priority = visit.number("priority", 5, 1, 9) if action == "priority" else None
    operation = Operation(visit.manager, where, criteria.read(visit), action, priority)
    counted = visit.ui.operations.start(visit, operation)
    if counted is not None:
        await counted
    return Redirect(f"/bulk/{operation.name}")


async def show(visit: Visit, name: str) -> Answer:
    """How far it is, what it would change, what it has changed."""
    operation = _known(visit, name)
    return Page("jobs/bulk.html", operation=operation, kind=operation.spot.kind, words=actions)


async def confirm(visit: Visit, name: str) -> Answer:
    """Somebody has seen the number and says yes."""
    operation = _known(visit, name)
    action = visit.text("action")
    if action != operation.action and not (operation.may_kill_instead and action == "kill"):
        raise Refusal(400, visit.gettext("That cannot be done to these jobs."))
    if operation.state is not State.READY:
        return Redirect(f"/bulk/{name}", visit.gettext("It has been begun, or stopped, already."), failed=True)
    done = visit.ui.operations.carry_out(visit, operation, action)
    if done is not None:
        await done
    return Redirect(f"/bulk/{name}")


async def stop(visit: Visit, name: str) -> Answer:
    """Go no further, or do not begin at all."""
    operation = _known(visit, name)
    waiting = operation.state in (State.READY, State.COUNTING)
    operation.stop()
    if waiting:
        return Redirect(operation.spot.address(**operation.criteria.fields()), visit.gettext("Nothing was changed."))
    await visit.ui.written()
    return Redirect(f"/bulk/{name}")


def _known(visit: Visit, name: str) -> Operation:
    operation = visit.ui.operations.get(name)
    if operation is None:
        raise NotThere(visit.gettext("There is no such operation: the server was restarted, or it ended long ago."))
    return operation


ROUTES = (
    form("/bulk", begin),
    page("/bulk/<name>", show),
    form("/bulk/<name>/confirm", confirm),
    form("/bulk/<name>/stop", stop),
)
