"""Jobs: found, looked at, pushed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from faktory_tw.core.job import Payload, parse_job, parse_jobs
from faktory_tw.core.manager import JobManager
from faktory_tw.features.changes import find_job
from faktory_tw.features.search import Place, Search, Where, place_named
from faktory_tw.wire import CommandError

from ..answers import Answer, NotThere, Refusal
from ..routes import command, question
from ..visit import Visit
from .messages import answer, asked_criteria, asked_page, know_fields, told_job

_CRITERIA = ("jid", "jobtype", "queue", "error", "match", "since", "until", "limit", "after")
_PUSHED = 200  # in one slice
_IN_A_THREAD = 65_536  # bytes: what is longer is parsed in a thread


async def find_jobs(visit: Visit) -> Answer:
    """What a search finds, in one place or in all."""
    know_fields(visit, "place", *_CRITERIA)
    place = visit.text("place")
    try:
        where = place_named(place, visit.text("queue")) if place else None
    except CommandError as error:
        raise Refusal(400, str(error)) from None
    return await _found(visit, where)


async def list_queued(visit: Visit, name: str) -> Answer:
    """The jobs of a queue, in the order in which they will be fetched."""
    if name not in visit.manager.queues():
        raise no_queue(name)
    know_fields(visit, *_CRITERIA)
    return await _found(visit, Where(Place.QUEUED, name))


def _lister(place: Place) -> Any:
    async def list_place(visit: Visit) -> Answer:
        know_fields(visit, *_CRITERIA)
        return await _found(visit, Where(place))

    return list_place


async def _found(visit: Visit, where: Where | None) -> Answer:
    limit, after = asked_page(visit, least=0)
    try:
        search = Search(visit.manager, where, asked_criteria(visit).filter(), limit, after)
    except CommandError as error:
        raise Refusal(400, str(error)) from None
    await visit.search(search.steps())
    return answer(
        {
            "jobs": [told_job(row) for row in search.rows],
            "matched": search.matched,
            "examined": search.examined,
            "size": search.size,
            "next": search.next,
        }
    )


async def show_job(visit: Visit, job_id: int) -> Answer:
    """One job, wherever it is."""
    row = find_job(visit.manager, job_id) if job_id < 2**63 else None
    if row is None:
        raise no_job(job_id)
    return answer(told_job(row))


# -- pushing ---------------------------------------------------------------------------------------------------------


async def push_jobs(visit: Visit) -> Answer:
    """Push a job, or each of an array; one without a jid is given one."""
    text = visit.body
    if len(text) < _IN_A_THREAD:
        many, payloads = _parse(text)
    else:
        many, payloads = await visit.ui.load(lambda: _parse(text))
    pushing = Pushing(visit.manager, payloads, visit.server.clock.time())
    await visit.change(pushing.steps(), "push jobs", done=pushing)
    refused = pushing.refused
    if refused and not many:
        raise Refusal(503 if visit.manager.refuse_pushes else 400, f"{refused[0]['error']}.")
    return answer({"jids": pushing.jids, "refused": refused}, 201 if not refused else 200)


def _parse(text: bytes) -> tuple[bool, list[Payload]]:
    """Whether it is an array, and the jobs. All are parsed first: one that is no job refuses the whole."""
    text = text.strip()
    if not text:
        raise Refusal(400, 'Send a job as JSON: {"jobtype":"…","args":[…]}, or an array of jobs.')
    many = text.startswith(b"[")
    payloads: list[Payload] = []
    try:
        if many:
            payloads.extend(parse_jobs(text))
        else:
            payloads.append(parse_job(text))
    except CommandError as error:
        raise Refusal(400, f"Job {len(payloads)}: {error}." if many and payloads else f"{error}.") from None
    return many, payloads


class Pushing:
    """Pushes jobs one by one: one that is refused stops no other. ``jids`` of those pushed, and who was ``refused``."""

    def __init__(self, manager: JobManager, payloads: list[Payload], now: float) -> None:
        self._manager = manager
        self._payloads = payloads
        self._now = now
        self.jids: list[str] = []
        self.refused: list[dict[str, Any]] = []

    def __str__(self) -> str:
        return f"{len(self.jids)} jobs pushed, {len(self.refused)} refused; first {', '.join(self.jids[:3])}"

    def steps(self) -> Iterator[None]:
        """Push, a slice at each step."""
        for index, payload in enumerate(self._payloads):
            payload.jid = payload.jid or secrets.token_hex(12)
            try:
                self._manager.push(payload, self._now)
                self.jids.append(payload.jid)
            except CommandError as error:
                self.refused.append({"index": index, "jid": payload.jid, "error": str(error)})
            if index % _PUSHED == _PUSHED - 1:
                yield


def no_queue(name: str) -> NotThere:
    """The refusal where a queue is not there."""
    return NotThere(f"There is no queue {name[:200]}; it was removed, or nothing was pushed to it yet.")


def no_job(job_id: int) -> NotThere:
    """The refusal where a job is not there."""
    return NotThere(f"There is no job {job_id}: it is done, was deleted, or has another id since its priority changed.")


ROUTES = (
    question("/api/jobs", find_jobs),
    command("/api/jobs", push_jobs, large=True),
    question("/api/jobs/<int:job_id>", show_job),
    question("/api/queues/<name>/jobs", list_queued),
    question("/api/scheduled", _lister(Place.SCHEDULED)),
    question("/api/retries", _lister(Place.RETRIES)),
    question("/api/dead", _lister(Place.DEAD)),
    question("/api/working", _lister(Place.WORKING)),
)
