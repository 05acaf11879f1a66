"""What a manager knows, as plain values: the same before and after a start on what it has recorded."""

from __future__ import annotations

from typing import Any

import msgspec

from faktory_tw.core.manager import JobManager
from faktory_tw.features.batches import Batches
from faktory_tw.features.cancel import Cancel
from faktory_tw.features.cron import Cron
from faktory_tw.features.expiry import Expiry
from faktory_tw.features.tracking import Tracking
from faktory_tw.features.unique import Unique
from faktory_tw.storage.store import Place

MANY = 10**6
_MOST_SLICES = 20_000


class Inconsistent(AssertionError):
    """Two parts of the state contradict each other."""


def do_duties(manager: JobManager) -> None:
    """Carry out all that is due now. Fails when that does not come to an end."""
    for _ in range(_MOST_SLICES):
        if not manager.upkeep():
            return
    raise Inconsistent(f"there is something to do after {_MOST_SLICES} slices")


def things(manager: JobManager) -> int:
    """How many things there are that a command may have to look at."""
    facts = manager.facts
    kept = len(facts.find(Unique)) + len(facts.find(Tracking)) + len(facts.find(Batches))
    kept += len(facts.find(Expiry)) + len(facts.find(Cancel)) + len(facts.find(Cron))
    jobs = sum(manager.queue_sizes().values()) + sum(manager.set_sizes().values())
    return jobs + kept + len(manager.queue_names()) + len(manager.workers) + manager.waits()


def snapshot(manager: JobManager) -> dict[str, Any]:
    """Everything that survives a restart. What is due must be done before."""
    facts = manager.facts
    state: dict[str, Any] = {
        "queues": {
            name: (queue.paused, _rows(manager, Place.QUEUED, name)) for name, queue in manager.queues().items()
        },
        "working": {
            reservation.job.id: (reservation.job.jid, reservation.wid, reservation.reserved_at)
            for reservation in manager.reservations()
        },
        "days": manager.history.days(),
        "unique": sorted(facts.find(Unique).page(None, MANY)),
        "tracks": [msgspec.structs.replace(track, job_id=0) for track in facts.find(Tracking).page(None, MANY)],
        "batches": [_without_ids(view) for view in facts.find(Batches).page(None, MANY)],
        "cron": facts.find(Cron).entries(),
    }
    for place in (Place.SCHEDULED, Place.RETRIES, Place.DEAD):
        state[place.name] = _rows(manager, place)
    expiry, cancel = facts.find(Expiry), facts.find(Cancel)
    ids = [row[0] for name in state["queues"].values() for row in name[1]] + list(state["working"])
    ids += [row[0] for place in (Place.SCHEDULED, Place.RETRIES, Place.DEAD) for row in state[place.name]]
    state["expiry"] = {job_id: expiry.end(job_id) for job_id in sorted(ids)}
    state["cancel"] = {job_id: cancel.asked_at(job_id) for job_id in sorted(state["working"])}
    return state


def _rows(manager: JobManager, place: Place, queue: str = "") -> list[tuple[Any, ...]]:
    rows = [row for rows in manager.views.page(place, queue, 0, MANY) for row in rows]
    return [(row.id, row.priority, row.at, row.enqueued_at, row.failure, row.body) for row in rows]


def _without_ids(view: Any) -> Any:
    return msgspec.structs.asdict(view)


def check_counts(manager: JobManager, rows: int) -> None:
    """Fail unless what is counted is what is there; ``rows`` are the jobs that the store has. After the duties."""
    sizes = manager.set_sizes()
    told = sum(manager.queue_sizes().values()) + sum(sizes.values())
    if told != rows:
        raise Inconsistent(f"{told} jobs are counted, and the store has {rows}: {sizes}, {manager.queue_sizes()}")
    for name, size in manager.queue_sizes().items():
        found = len(_rows(manager, Place.QUEUED, name))
        if found != size:
            raise Inconsistent(f"queue {name} has {found} jobs and tells {size}")
    for place in (Place.SCHEDULED, Place.RETRIES, Place.DEAD):
        if len(_rows(manager, place)) != sizes[place.name.lower()]:
            raise Inconsistent(f"{place.name} has {len(_rows(manager, place))} jobs and tells {sizes}")


def check_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Fail unless two snapshots are alike."""
    for name, value in before.items():
        if after[name] != value:
            raise Inconsistent(f"after a restart {name} is other than before: {value!r} became {after[name]!r}"[:3000])
