"""The workers and the jobs they hold, as lists that can be searched and paged.

What a worker says of itself is a client's input: any text, of any length that fits into a command.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.core.workers import State
from faktory_tw.features.filters import Filter, matcher
from faktory_tw.features.search import JobRow, Place

from . import jobs, stopping
from .jobs import JobLine

if TYPE_CHECKING:
    from faktory_tw.core.manager import JobManager
    from faktory_tw.core.views import WorkerView

STATES = {"quiet": State.QUIET, "terminate": State.TERMINATE}
_TOLD = 500  # workers told in one slice
_LOOKED_AT = 5000  # reservations in one slice


class WorkerList:
    """One page of the workers, by wid. ``text`` must be in the wid, the host, or a label, in whatever case.

    ``matched`` workers have it, and hold ``busy`` jobs; ``total`` are connected; ``quiet`` of them fetch no more.
    """

    def __init__(self, manager: JobManager, text: str = "", number: int = 1, count: int = 50) -> None:
        self._manager = manager
        self._text = text.lower()
        self._count = count
        self.number = number
        self.matched = self.total = self.quiet = self.busy = self.rss_kb = 0
        self.views: list[WorkerView] = []

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(-(-self.matched // self._count), 1)

    def steps(self) -> Iterator[None]:
        """Gather it, a slice at each step."""
        found: list[WorkerView] = []
        for views in self._manager.views.workers():
            self.total += len(views)
            self.quiet += sum(view.worker.state is not State.RUNNING for view in views)
            found += [view for view in views if self._is_meant(view)]
            yield
        self.matched = len(found)
        self.busy = sum(view.busy for view in found)
        self.rss_kb = sum(view.worker.rss_kb for view in found)
        self.number = min(self.number, self.pages)
        found.sort(key=lambda view: view.worker.wid)
        start = (self.number - 1) * self._count
        self.views = found[start : start + self._count]

    def _is_meant(self, view: WorkerView) -> bool:
        worker = view.worker
        if not self._text:
            return True
        return any(self._text in said.lower() for said in (worker.wid, worker.hostname, *worker.labels))


class Held(NamedTuple):
    """Which of the jobs being worked are meant; what is empty, all are. ``jobtype`` may have ``*`` and ``?``."""

    wid: str = ""
    queue: str = ""
    jobtype: str = ""

    def __bool__(self) -> bool:
        return self != Held()


class HeldJob(NamedTuple):
    """A job that is being worked, when its reservation ends, and whether it was asked to stop; see stopping.py."""

    line: JobLine
    expires_at: float | None
    since: str
    asked_at: float | None


class WorkingList:
    """One page of the jobs being worked, by id. ``matched`` of ``total`` are meant."""

    def __init__(self, manager: JobManager, held: Held, number: int = 1, count: int = 50) -> None:
        self._manager = manager
        self._held = held
        self._count = count
        self._matches = matcher(Filter(jobtype=held.jobtype or None))
        self.number = number
        self.total = manager.set_sizes()["working"]
        self.matched = 0 if held else self.total
        self.jobs: list[HeldJob] = []

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(-(-self.matched // self._count), 1)

    def steps(self) -> Iterator[None]:
        """Gather it, a slice at each step. Bodies are read only of the jobs of the page, or to find a type."""
        if not self._held:
            self.number = min(self.number, self.pages)
            yield from self._read_page()
        elif not self._held.jobtype:
            yield from self._find_in_memory()
        else:
            yield from self._find_by_type()

    def _read_page(self) -> Iterator[None]:
        for rows in self._manager.views.page(Place.WORKING, "", (self.number - 1) * self._count, self._count):
            self._keep(rows)
            yield

    def _find_in_memory(self) -> Iterator[None]:
        wid, queue, _ = self._held
        ids = []
        for number, reservation in enumerate(list(self._manager.reservations()), 1):
            if wid in ("", reservation.wid) and queue in ("", reservation.job.queue):
                ids.append(reservation.job.id)
            if number % _LOOKED_AT == 0:
                yield
        yield from self._read_found(sorted(ids))

    def _find_by_type(self) -> Iterator[None]:
        wid, queue, _ = self._held
        ids = []
        for rows in self._manager.views.walk(Place.WORKING):
            meant = (row for row in rows if wid in ("", row.wid) and queue in ("", row.queue))
            ids += [row.id for row in meant if self._matches(row)]
            yield
        yield from self._read_found(ids)

    def _read_found(self, ids: list[int]) -> Iterator[None]:
        self.matched = len(ids)
        self.number = min(self.number, self.pages)
        start = (self.number - 1) * self._count
        for job_id in ids[start : start + self._count]:
            row = self._manager.views.find(job_id)
            if row is not None and row.place == Place.WORKING:
                self._keep([row])
            yield

    def _keep(self, rows: list[JobRow]) -> None:
        """Keep of each job only what is shown: fifty of them may have 200 MiB."""
        self.jobs += [
            HeldJob(
                jobs.line(row), row.at, stopping.since(self._manager, row.id), stopping.asked_at(self._manager, row.id)
            )
            for row in rows
        ]


def tell(manager: JobManager, wids: list[str] | None, state: State) -> Iterator[int]:
    """Have workers, or all for None, told to be quiet or to end at their next heartbeat; how many were, slice by slice."""
    if wids is None:
        yield manager.tell_workers("*", state)
        return
    for start in range(0, len(wids), _TOLD):
        told = 0
        for wid in wids[start : start + _TOLD]:
            worker = manager.workers.connected(wid)
            if worker is not None:
                worker.advance(state)
                told += 1
        yield told
