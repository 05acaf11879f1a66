"""Doing something to all jobs of a place, or to all that a filter finds: counted first, done when somebody says so.

An operation is kept in memory, under a name that nobody guesses, and goes on whether its page is looked at or not. It
counts in slices what it would change and waits for its confirmation. Then it changes, in slices again, what it finds,
but never a job that came to its place after the count began. It can be stopped at any time, and is done when all is on disk.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from faktory_tw.core.manager import JobManager
from faktory_tw.features.changes import Change
from faktory_tw.features.search import Search, page
from faktory_tw.wire import CommandError

from ..answers import Refusal
from ..look.languages import gettext_noop as _
from . import jobs
from .criteria import Criteria
from .jobs import JobLine
from .places import Spot

if TYPE_CHECKING:
    from ..site import WebUI
    from ..visit import Visit

_MOST_KEPT = 50
_MOST_AT_WORK = 8
_SAMPLE = 5
_COUNTED_AT_ONCE = 500  # jobs that are in memory together, a page of a search
_SOON = 20_000  # jobs that are gone through while the browser waits for the page


class State(Enum):
    """What an operation is doing."""

    COUNTING = "counting"
    READY = "ready"  # counted, and waits for a yes
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


AT_WORK = (State.COUNTING, State.RUNNING)


class Operation:
    """One operation. ``matched`` is how many jobs it would change, ``changed`` how many it has changed."""

    def __init__(
        self, manager: JobManager, spot: Spot, criteria: Criteria, action: str, priority: int | None = None
    ) -> None:
        self.name = secrets.token_urlsafe(12)
        self.spot = spot
        self.criteria = criteria
        self.action = action
        self.priority = priority
        self.state = State.COUNTING
        self.size = manager.views.size(*spot.where)
        self.examined = self.matched = self.changed = 0
        self.sample: list[JobLine] = []
        self.error = ""  # why it failed, in English
        self._manager = manager
        self._newest = manager.views.newest()

    @property
    def at_work(self) -> bool:
        return self.state in AT_WORK

    @property
    def may_kill_instead(self) -> bool:
        """Whether the jobs could be moved to the dead where they are to be deleted."""
        return self.action == "delete" and "kill" in self.spot.kind.actions

    def count(self) -> Iterator[None]:
        """Find out how many jobs there are, a slice at each step. Raises CommandError."""
        yield from self._count_found() if self.criteria else self._count_all()
        if self.state is State.COUNTING:
            self.state = State.READY

    def _count_all(self) -> Iterator[None]:
        self.matched = self.examined = self.size
        for rows in page(self._manager, self.spot.where, 0, _SAMPLE):
            self.sample += [jobs.line(row) for row in rows if row.position <= self._newest]
            yield

    def _count_found(self) -> Iterator[None]:
        after: str | None = None
        while True:
            before = self.examined
            search = Search(self._manager, self.spot.where, self.criteria.filter(), _COUNTED_AT_ONCE, after, None)
            for _step in search.steps():
                self.examined = before + search.examined
                yield
                if self.state is not State.COUNTING:
                    return
            self.examined = before + search.examined
            found = [row for row in search.rows if row.position <= self._newest]
            self.matched += len(found)
            self.sample += [jobs.line(row) for row in found[: _SAMPLE - len(self.sample)]]
            after = search.next
            if after is None:
                return
            yield

    def begin(self, action: str) -> None:
        """Somebody has said yes, to this action or to the one that is offered instead."""
        assert self.state is State.READY
        self.action = action
        self.state = State.RUNNING
        self.size = self._manager.views.size(*self.spot.where)
        self.examined = 0

    def change(self) -> Iterator[None]:
        """Do it, a slice at each step. Raises CommandError."""
        change = Change(
            self._manager, self.action, self.spot.where, self.criteria.filter(), self.priority, self._newest
        )
        for _step in change.steps():
            self.examined, self.changed = change.examined, change.matched
            yield
            if self.state is not State.RUNNING:
                break
        self.examined, self.changed = change.examined, change.matched

    def stop(self) -> None:
        """Go no further; what is changed stays changed."""
        if self.state not in (State.DONE, State.FAILED):
            self.state = State.STOPPED


class Operations:
    """The operations of one server, by name. The oldest that does nothing is forgotten for a new one."""

    def __init__(self, ui: WebUI) -> None:
        self._ui = ui
        self._kept: OrderedDict[str, Operation] = OrderedDict()

    def get(self, name: str) -> Operation | None:
        return self._kept.get(name)

    def all(self) -> list[Operation]:
        """Those that are kept, the oldest first."""
        return list(self._kept.values())

    def keep(self, operation: Operation) -> None:
        """Keep an operation; the oldest that does nothing is forgotten for it."""
        if len(self._kept) >= _MOST_KEPT:
            del self._kept[next(each.name for each in self.all() if not each.at_work)]
        self._kept[operation.name] = operation

    def start(self, visit: Visit, operation: Operation) -> Deferred[None] | None:
        """Keep an operation and count. Returns what to wait for where that is not long. Raises Refusal."""
        self._check_load(visit)
        self.keep(operation)
        small = operation.size <= _SOON
        counted = self._ui.carry_out(self._count(operation))
        return counted if small else None

    async def _count(self, operation: Operation) -> None:
        with self._failing(operation):
            await self._ui.search(operation.count())

    def carry_out(self, visit: Visit, operation: Operation, action: str) -> Deferred[None] | None:
        """Do it, and tell the log when it is done. Returns what to wait for where that is not long. Raises Refusal."""
        visit.check_role()
        self._check_load(visit)
        operation.begin(action)
        self._ui.audit.changed(visit, f"begin to {action} jobs", told(operation))
        small = operation.size <= _SOON
        done = self._ui.carry_out(self._change(visit, operation))
        return done if small else None

    async def _change(self, visit: Visit, operation: Operation) -> None:
        with self._failing(operation):
            await self._ui.change(operation.change())
            await self._ui.written()
            if operation.state is State.RUNNING:
                operation.state = State.DONE
        if operation.state is State.FAILED:
            self._ui.audit.failed(visit, f"{operation.action} jobs", told(operation), operation.error)
        else:
            self._ui.audit.changed(visit, f"{operation.action} jobs", told(operation))

    @contextmanager
    def _failing(self, operation: Operation) -> Iterator[None]:
        """Nobody else waits for it, so what goes wrong has to be told here."""
        try:
            yield
        except CommandError as refusal:
            operation.state, operation.error = State.FAILED, str(refusal)
        except Exception:  # noqa: BLE001 - see above
            operation.state, operation.error = State.FAILED, _("Something went wrong. The server's log has more.")
            self._ui.log.failure("An operation on many jobs failed")

    def _check_load(self, visit: Visit) -> None:
        if sum(each.at_work for each in self.all()) >= _MOST_AT_WORK:
            raise Refusal(429, visit.gettext("Too many operations are at work. Wait until one of them is done."))


def told(operation: Operation) -> dict[str, Any]:
    """What the log says of an operation."""
    spot = operation.spot
    facts: dict[str, Any] = {"place": spot.kind.name, "priority": operation.priority, **operation.criteria.fields()}
    if spot.queue:
        facts["queue"] = spot.queue
    return {**facts, "found": operation.matched, "changed": operation.changed, "state": operation.state.value}
