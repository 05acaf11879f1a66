"""The locks of unique jobs: listed, looked at, released. A lock is addressed by the id of its job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from faktory_tw.core.job import job_of
from faktory_tw.features.search import JobRow
from faktory_tw.features.unique import Lock
from faktory_tw.times import rfc3339

from ..answers import Answer, NotThere
from ..content import jobs, locks
from ..routes import command, question
from ..visit import Visit
from .messages import Nothing, answer, asked_page, know_fields, read


async def list_locks(visit: Visit) -> Answer:
    """The locks, the first to end first."""
    know_fields(visit, "limit", "after")
    limit, _ = asked_page(visit)
    found, more = locks.found(visit, limit)
    told = await _told(visit, found)
    return answer({"locks": told, "size": len(locks.unique(visit)), "next": more})


async def show_lock(visit: Visit, job_id: int) -> Answer:
    """The lock of one job."""
    know_fields(visit)
    lock = locks.unique(visit).held(job_id)
    if lock is None:
        raise no_lock(job_id)
    return answer((await _told(visit, [lock]))[0])


async def release_lock(visit: Visit, job_id: int) -> Answer:
    """End the lock of a job, which stays where it is."""
    read(visit, Nothing)
    if not locks.unique(visit).release(job_id):
        raise no_lock(job_id)
    await visit.changed("release lock", job=job_id)
    return answer({"action": "release", "job_id": job_id})


def no_lock(job_id: int) -> NotThere:
    """The refusal where a job has no lock."""
    return NotThere(f"The job {job_id} has no lock: it ended, was released, or has never been there.")


async def _told(visit: Visit, found: list[Lock]) -> list[dict[str, Any]]:
    names: dict[int, dict[str, Any]] = {}

    def gather() -> Iterator[None]:
        for rows in visit.manager.views.rows([lock.job_id for lock in found]):
            names.update({row.id: _named(row) for row in rows})
            yield

    await visit.run(gather())
    unknown = {"jid": None, "jobtype": None, "queue": None}
    return [{"job_id": lock.job_id, "until": rfc3339(lock.until), **names.get(lock.job_id, unknown)} for lock in found]


def _named(row: JobRow) -> dict[str, Any]:
    return {"jid": job_of(row).jid, "jobtype": jobs.pushed(row).jobtype, "queue": row.queue}


ROUTES = (
    question("/api/locks", list_locks),
    question("/api/locks/<int:job_id>", show_lock),
    command("/api/locks/<int:job_id>", release_lock, method="DELETE"),
)
