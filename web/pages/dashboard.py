"""The first page: the server at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from heapq import nlargest
from typing import Any, NamedTuple

from faktory_tw.core.latencies import QueueState
from faktory_tw.core.manager import JobManager
from faktory_tw.features.batches import Batches
from faktory_tw.features.tracking import Tracking
from faktory_tw.features.unique import Unique
from faktory_tw.server import Server, resident_kib

from ..answers import Answer, Page
from ..content.history_chart import history_chart
from ..look.languages import gettext_noop
from ..look.links import queue_url
from ..routes import page
from ..visit import Visit

PERIODS = {
    7: gettext_noop("1 week"),
    30: gettext_noop("1 month"),
    90: gettext_noop("3 months"),
    180: gettext_noop("6 months"),
}
USUAL_PERIOD = 30
DURABILITY = {
    "commit": gettext_noop("Every acknowledged change is on disk first."),
    "second": gettext_noop("The disk is synced once a second: a power cut may lose the last second."),
    "os": gettext_noop("The system syncs when it likes: a power cut may lose the last minute."),
}
_TOP = 5  # queues that are listed
_QUEUES = 250  # looked at in one turn of the reactor
_MORE_SLICES = 20  # of reading when the first job of a queue was enqueued, for one look at the page
_SCARCE = 4  # times the room below which jobs are refused is still worth a warning
_LATE_BACKUP = 2.5  # times the time between two backups


class Queues(NamedTuple):
    """How many there are, those with the most jobs, and those whose next job has waited longest, if these are others."""

    total: int
    largest: list[QueueState]
    slowest: list[QueueState]


class Storage(NamedTuple):
    """How safely the jobs are kept. Times in seconds, None where nothing is known."""

    durability: str
    meaning: str
    commit_median: float | None
    commit_p99: float | None
    free: int | None
    scarce: bool
    has_backups: bool
    backup_at: float | None
    backup_error: str
    backup_late: bool


async def dashboard(visit: Visit) -> Answer:
    """How the server is doing."""
    days = visit.number("days", USUAL_PERIOD, 1, 3660)
    period = min(PERIODS, key=lambda known: abs(known - days))
    server, history = visit.server, visit.manager.history
    now = server.clock.time()
    queues = await busiest_queues(visit)
    return Page(
        "dashboard.html",
        chart=history_chart(history.days(), datetime.fromtimestamp(now, timezone.utc).date(), period),
        period=period,
        periods=PERIODS,
        success_ratio=1 - history.failures / history.processed if history.processed else None,
        uptime=server.clock.monotonic() - server.started_at,
        memory=resident_kib() * 1024,
        obstacles=server.obstacles(),
        storage=storage(server),
        queues=queues,
        queue_url=partial(queue_url, visit),
        workers=len(visit.manager.workers),
        kept=kept_by_features(visit.manager),
        untouched=not (history.processed or queues.total or any(visit.manager.set_sizes().values())),
    )


class Kept(NamedTuple):
    """How much the features keep of jobs, and how many jobs have expired since the start."""

    expired: int
    batches: int
    tracks: int
    locks: int


def kept_by_features(manager: JobManager) -> Kept:
    """The numbers of the features; most servers have none."""
    facts = manager.facts
    return Kept(
        manager.tasks["Expired"].reaped, len(facts.find(Batches)), len(facts.find(Tracking)), len(facts.find(Unique))
    )


async def busiest_queues(visit: Visit) -> Queues:
    """The queues to look at first, in slices: of 60,000 queues all at once would take a tenth of a second."""
    total = 0
    largest: list[QueueState] = []
    slowest: list[QueueState] = []

    def look() -> Iterator[None]:
        nonlocal total, largest, slowest
        for states in _states(visit):
            total += len(states)
            filled = [state for state in states if state.size]
            largest = nlargest(_TOP, [*largest, *filled], key=lambda state: state.size)
            slowest = nlargest(_TOP, [*slowest, *filled], key=lambda state: state.latency or 0.0)
            yield

    await visit.run(look())
    slowest = [state for state in slowest if state.latency]
    return Queues(total, largest, [] if all(state in largest for state in slowest) else slowest)


def _states(visit: Visit) -> Iterator[list[QueueState]]:
    """All queues, a slice at a time. Where jobs are so large that a queue's latency is not read soon, it has none."""
    manager, more = visit.manager, _MORE_SLICES
    names = list(manager.queues())
    for start in range(0, len(names), _QUEUES):
        states = manager.queue_states(names[start : start + _QUEUES])
        while more > 0 and (unread := [state.name for state in states if state.latency is None]):
            more -= 1
            yield [state for state in states if state.latency is not None]
            states = manager.queue_states(unread)
        yield states


def storage(server: Server) -> Storage:
    """How safely the jobs of a server are kept at the moment."""
    metrics, settings, backups = server.metrics, server.settings, server.backups
    backup_at = backups.last.taken_at if backups is not None and backups.last is not None else None
    every = settings.backup_seconds if settings is not None else 0
    age = None if backup_at is None else server.clock.time() - backup_at
    return Storage(
        durability=server.durability,
        meaning=DURABILITY.get(server.durability, ""),
        commit_median=metrics.recent_commits.quantile(0.5) if metrics is not None else None,
        commit_p99=metrics.recent_commits.quantile(0.99) if metrics is not None else None,
        free=metrics.room.free if metrics is not None else None,
        scarce=metrics is not None and metrics.room.free < metrics.room.least * _SCARCE,
        has_backups=every > 0,
        backup_at=backup_at,
        backup_error=_text(backups.last_error if backups is not None else ""),
        backup_late=every > 0 and age is not None and age > every * _LATE_BACKUP,
    )


def _text(value: Any) -> str:
    return str(value or "")


ROUTES = (page("/", dashboard),)
