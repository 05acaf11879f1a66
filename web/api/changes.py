"""Changes of jobs: of one by its id, or of all that a filter finds in a place."""

from __future__ import annotations

from typing import Any

from faktory_tw.core.job import job_of
from faktory_tw.features.changes import Change, change_one, find_job
from faktory_tw.features.search import Place, Search, Where, place_name
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError

from ..answers import Answer, Refusal
from ..content import stopping
from ..routes import Route, command
from ..visit import Visit
from .jobs import no_job, no_queue
from .messages import Bulk, Nothing, Priority, answer, read, told_job

SETS = {"scheduled": Place.SCHEDULED, "retries": Place.RETRIES, "dead": Place.DEAD}
_OF_SET = {
    "scheduled": ("retry", "delete", "kill"),
    "retries": ("retry", "delete", "kill"),
    "dead": ("retry", "delete"),
}
_OF_QUEUE = ("delete", "kill", "priority")


def _changer_of_one(action: str) -> Any:
    async def change(visit: Visit, job_id: int) -> Answer:
        if action == "priority":
            priority: int | None = read(visit, Priority).priority
        else:
            read(visit, Nothing)
            priority = None
        if job_id >= 2**63 or find_job(visit.manager, job_id) is None:
            raise no_job(job_id)
        row = change_one(visit.manager, action, job_id, priority)
        view = told_job(row)
        await visit.changed(f"{action} job", job=job_id, jid=job_of(row).jid, queue=row.queue)
        return answer({"action": action, "job": view})

    return change


async def cancel(visit: Visit, job_id: int) -> Answer:
    """Ask for a job that is being worked to stop."""
    read(visit, Nothing)
    row = find_job(visit.manager, job_id) if job_id < 2**63 else None
    if row is None:
        raise no_job(job_id)
    if not stopping.ask(visit.manager, job_id):
        told = f"The job {job_id} is not being worked: it is {place_name(row.place)}. Delete it where it is."
        raise Refusal(409, told)
    jid = job_of(row).jid
    asked_at = stopping.asked_at(visit.manager, job_id)
    await visit.changed("ask job to stop", job=job_id, jid=jid, wid=row.wid or None)
    return answer({"action": "cancel", "job_id": job_id, "jid": jid, "asked_at": rfc3339(asked_at or 0.0)})


def _changer_of_set(action: str, place: Place) -> Any:
    async def change(visit: Visit) -> Answer:
        return await _change_found(visit, action, Where(place))

    return change


def _changer_of_queue(action: str) -> Any:
    async def change(visit: Visit, name: str) -> Answer:
        if name not in visit.manager.queues():
            raise no_queue(name)
        return await _change_found(visit, action, Where(Place.QUEUED, name))

    return change


async def _change_found(visit: Visit, action: str, where: Where) -> Answer:
    bulk = read(visit, Bulk)
    wanted = bulk.filter.filter() if bulk.filter is not None else None
    if bulk.all == (wanted is not None):
        raise Refusal(400, 'Say which jobs: a "filter" with at least one member, or "all": true, but not both.')
    if (bulk.priority is None) == (action == "priority"):
        raise Refusal(400, "priority, from 1 to 9, belongs to the action of that name, and to no other.")
    newest = visit.manager.views.newest() if bulk.newest is None else bulk.newest
    try:
        work = (
            Search(visit.manager, where, wanted, 0, None, None)
            if bulk.dry_run
            else Change(visit.manager, action, where, wanted, bulk.priority, newest)
        )
    except CommandError as error:
        raise Refusal(400, str(error)) from None
    if isinstance(work, Search):
        await visit.search(work.steps())
    else:
        await visit.change(work.steps(), f"{action} jobs", **_facts(where, bulk), done=_Done(work))
    return answer(
        {
            "action": action,
            "dry_run": bulk.dry_run,
            "matched": work.matched,
            "examined": work.examined,
            "newest": newest,
        }
    )


def _facts(where: Where, bulk: Bulk) -> dict[str, Any]:
    """What the log says of a change: where, and of which jobs. A queue is named before one that is looked for."""
    criteria = {} if bulk.filter is None else bulk.filter.told()
    facts = {"place": place_name(where.place), "priority": bulk.priority, "newest": bulk.newest, **criteria}
    return {**facts, "queue": where.queue} if where.queue else facts


class _Done:
    """How many jobs were changed, when the log is told of it."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def __str__(self) -> str:
        return f"{self._change.matched} jobs"


ROUTES: tuple[Route, ...] = (
    command("/api/jobs/<int:job_id>/cancel", cancel),
    *(
        command(f"/api/jobs/<int:job_id>/{action}", _changer_of_one(action))
        for action in ("retry", "delete", "kill", "priority")
    ),
    *(
        command(f"/api/{name}/{action}", _changer_of_set(action, place))
        for name, place in SETS.items()
        for action in _OF_SET[name]
    ),
    *(command(f"/api/queues/<name>/jobs/{action}", _changer_of_queue(action)) for action in _OF_QUEUE),
)
