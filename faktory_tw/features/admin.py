"""ADMIN: what operators ask of a server and the Faktory protocol has no words for. An extension; old clients never send it.

``ADMIN <SUBCOMMAND> <JSON object>`` is answered with a bulk string that holds a JSON object, or with an error. A client
that has passed HELLO may say it, as it may say MUTATE and FLUSH. The subcommands are in the table at the end.

Jobs are found by ``jids``, ``jobtype``, ``queue`` and ``error`` (globs, as in MUTATE, but of the plain text), ``match``,
a text that stands anywhere in the job's JSON or in its failure, and a time, ``since`` and ``until``. Of several, all must
be met. How they are found is in search.py, what is done to them in changes.py.

One request looks at no more than some ten thousand jobs, in slices; its reply has ``next``, which the client sends back
as ``after`` to go on, or null. So nothing long is left behind by a client that goes away, and one that stays can tell
how far it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Protocol

import msgspec

from faktory_tw.core.job import parse_folded
from faktory_tw.core.manager import JobManager
from faktory_tw.core.views import QueueView, WorkerView
from faktory_tw.core.workers import State
from faktory_tw.features.cancel import Cancel
from faktory_tw.features.changes import ACTIONS, Change
from faktory_tw.features.cron import Cron
from faktory_tw.features.cron.requests import MOST_CRON, ask_entry, list_entries
from faktory_tw.features.filters import Filter
from faktory_tw.features.search import MOST_EXAMINED, Search, Where, place_name, place_named
from faktory_tw.features.throttles import Throttles
from faktory_tw.features.throttles.views import as_json as throttle_json
from faktory_tw.storage.snapshot import BackupError
from faktory_tw.storage.store import JobRow, Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError, Held, bulk
from faktory_tw.wire import error as wire_error

MOST_LISTED = 1000
MOST_QUEUES = 1000  # told in one reply
_LISTED = 100
_STATES = {"quiet": State.QUIET, "terminate": State.TERMINATE}


class Backups(Protocol):
    """What is asked of the server's backups; ``last_error`` is empty after one that succeeded."""

    last: Any
    last_error: str
    count: int
    running: bool

    def begin(self, done: Callable[..., None]) -> Any:
        """Make one now; ``done`` is called when it is made, or has failed."""

    def list_soon(self, done: Callable[[Sequence[Any], str], None]) -> None:
        """Call ``done`` with those that there are, newest first, and with why they cannot be listed, or ""."""


class _Request(msgspec.Struct, gc=False):
    place: str | None = None
    queue: str | None = None
    filter: Filter | None = None
    after: str | None = None
    limit: int | None = None
    jid: str | None = None
    wid: str | None = None
    state: str | None = None
    priority: int | None = None
    action: str | None = None
    name: str | None = None


class Task:
    """One request. It is either carried out by :meth:`steps` and then :meth:`reply`, or, if it ``waits``, begun.

    Raises CommandError when there is no such request.
    """

    def __init__(self, argument: bytes, manager: JobManager, backups: Backups | None) -> None:
        name, _, text = argument.partition(b" ")
        self.name = name.decode("utf-8", "replace").upper()
        prepare = self.SUBCOMMANDS.get(self.name)
        if prepare is None:
            known = ", ".join(sorted(self.SUBCOMMANDS))
            raise CommandError(f"no such ADMIN subcommand: {self.name[:100]}; there are {known}")
        try:
            self._request = parse_folded(text or b"{}", _Request)
        except ValueError as error:
            raise CommandError(f"invalid JSON for ADMIN {self.name}: {error}") from None
        self._manager = manager
        self._backups = backups
        self._result: dict[str, Any] = {}
        self._changed = False
        self._steps: Iterator[None] = iter(())
        self._begin: Callable[[Callable[[bytes], object]], None] | None = None
        prepare(self)

    @property
    def waits(self) -> bool:
        """Whether another thread carries it out."""
        return self._begin is not None

    def steps(self) -> Iterator[None]:
        """Carry it out, a slice at each step."""
        return self._steps

    def reply(self) -> bytes:
        """The reply, once it is carried out."""
        text = bulk(msgspec.json.encode(self._result))
        return Held(text) if self._changed else text

    # -- jobs ----------------------------------------------------------------------------------------------------

    def _list(self) -> None:
        request = self._request
        limit = _LISTED if request.limit is None else request.limit
        if not 0 <= limit <= MOST_LISTED:
            raise CommandError(f"limit must be a whole number from 0 (only count) to {MOST_LISTED}")
        where = None if request.place is None else place_named(request.place, request.queue)
        self._look(where, request.filter, limit)

    def _show(self) -> None:
        jid = self._request.jid
        if not jid:
            raise CommandError('ADMIN SHOW needs a jid: ADMIN SHOW {"jid":"…"}')
        self._look(None, Filter(jids=[jid]), MOST_LISTED)

    def _look(self, where: Where | None, wanted: Filter | None, limit: int) -> None:
        search = Search(self._manager, where, wanted, limit, self._request.after, MOST_EXAMINED)
        self._steps = self._gather_jobs(search)

    def _gather_jobs(self, search: Search) -> Iterator[None]:
        jobs: list[dict[str, Any]] = []
        for _ in search.steps():
            jobs += map(job_view, search.rows[len(jobs) :])
            yield
        jobs += map(job_view, search.rows[len(jobs) :])
        self._result = {"jobs": jobs, **_progress(search)}

    def _change(self) -> None:
        """DELETE, RETRY, KILL or PRIORITY: do it to the jobs of a set or a queue that a filter finds."""
        request = self._request
        if not request.place:
            places = ", ".join(map(place_name, ACTIONS[self.name.lower()]))
            raise CommandError(f"ADMIN {self.name} needs a place, one of {places}")
        change = Change(
            self._manager,
            self.name.lower(),
            place_named(request.place, request.queue),
            request.filter,
            request.priority,
            after=request.after,
            most_examined=MOST_EXAMINED,
        )
        self._changed = True
        self._steps = self._carry_out(change)

    def _carry_out(self, change: Change) -> Iterator[None]:
        yield from change.steps()
        self._result = _progress(change)

    def _cancel(self) -> None:
        jid = self._request.jid
        if not jid:
            raise CommandError('ADMIN CANCEL needs a jid: ADMIN CANCEL {"jid":"…"}')
        self._steps = self._ask_to_stop(jid)

    def _ask_to_stop(self, jid: str) -> Iterator[None]:
        """Ask the workers that have jobs of this jid. When none has, look where it is, for the error to say so."""
        cancel = self._manager.facts.find(Cancel)
        asked = cancel.ask_all(jid)
        if not asked:
            search = Search(self._manager, None, Filter(jids=[jid]), 1, None, MOST_EXAMINED)
            yield from search.steps()
            asked = cancel.ask_all(jid)  # fetched meanwhile
            if not asked:
                raise _nobody_works_on(jid, search)
        self._changed = True
        self._result["asked"] = asked

    # -- queues and workers --------------------------------------------------------------------------------------

    def _queues(self) -> None:
        limit = MOST_QUEUES if self._request.limit is None else self._request.limit
        if not 1 <= limit <= MOST_QUEUES:
            raise CommandError(f"limit must be a whole number from 1 to {MOST_QUEUES}")
        self._steps = self._gather_queues(self._request.after or "", limit)

    def _gather_queues(self, after: str, limit: int) -> Iterator[None]:
        found: list[dict[str, Any]] = []
        self._result = {"queues": found, "pushes_refused": self._manager.refuse_pushes, "next": None}
        for views in self._manager.views.queues(after):
            room = limit - len(found)
            found += [queue_view(view) for view in views[:room]]
            if len(views) > room:
                self._result["next"] = found[-1]["name"]
                return
            yield

    def _workers(self) -> None:
        self._steps = self._gather_workers()

    def _gather_workers(self) -> Iterator[None]:
        found = self._result["workers"] = []
        for views in self._manager.views.workers():
            found += [worker_view(view) for view in views]
            yield

    def _worker(self) -> None:
        wid, state = self._request.wid, _STATES.get(self._request.state or "")
        if not wid or state is None:
            raise CommandError(
                'ADMIN WORKER needs a wid, or *, and a state: {"wid":"…","state":"quiet"} or "terminate"'
            )
        told = self._manager.tell_workers(wid, state)
        if not told and wid != "*":
            raise CommandError(f"Unknown worker {wid[:100]}")
        self._result["told"] = told

    def _cron(self) -> None:
        """CRON: list the entries, or do what ``action`` says with the one of a name."""
        request = self._request
        cron = self._manager.facts.find(Cron)
        action = request.action or "list"
        if action == "list":
            limit = MOST_CRON if request.limit is None else request.limit
            if not 1 <= limit <= MOST_CRON:
                raise CommandError(f"limit must be a whole number from 1 to {MOST_CRON}")
            self._result = list_entries(cron, request.after, limit)
        else:
            self._changed = action != "show"
            self._result = ask_entry(cron, action, request.name or "")

    # -- throttles -----------------------------------------------------------------------------------------------

    def _throttles(self) -> None:
        throttles = self._manager.facts.find(Throttles)
        self._result["throttles"] = [throttle_json(view) for view in throttles.list()]
        self._result["count"] = len(throttles)

    # -- backups -------------------------------------------------------------------------------------------------

    def _list_backups(self) -> None:
        backups = self._known_backups()

        def begin(deliver: Callable[[bytes], object]) -> None:
            def done(found: Sequence[Any], error: str) -> None:
                self._result = {
                    "backups": [backup.told() for backup in found],
                    "running": backups.running,
                    "count": backups.count,
                    "last_error": backups.last_error or error,
                }
                deliver(self.reply())

            backups.list_soon(done)

        self._begin = begin

    def _backup(self) -> None:
        backups = self._known_backups()
        if backups.running:
            raise CommandError("a backup is being made already; see ADMIN BACKUPS")

        def begin(deliver: Callable[[bytes], object]) -> None:
            def done(*_outcome: object) -> None:
                if backups.last_error or backups.last is None:
                    deliver(wire_error(CommandError(f"the backup failed: {backups.last_error}")))
                else:
                    deliver(bulk(msgspec.json.encode(backups.last.told())))

            try:
                backups.begin(done)
            except BackupError as error:
                raise CommandError(str(error)) from None

        self._begin = begin

    def _known_backups(self) -> Backups:
        if self._backups is None:
            raise CommandError("this server makes no backups")
        return self._backups

    def begin(self, answer: Callable[[bytes], object]) -> bytes | None:
        """Begin what another thread does. Returns the reply if that ended at once; else ``answer`` is called with it."""
        assert self._begin is not None
        early: list[bytes] = []
        deliver: Callable[[bytes], object] = early.append

        def pass_on(reply: bytes) -> None:
            deliver(reply)

        self._begin(pass_on)
        deliver = answer
        return early[0] if early else None

    SUBCOMMANDS: ClassVar[dict[str, Callable[[Task], None]]] = {
        "LIST": _list,
        "SHOW": _show,
        "DELETE": _change,
        "RETRY": _change,
        "KILL": _change,
        "PRIORITY": _change,
        "CANCEL": _cancel,
        "QUEUES": _queues,
        "WORKERS": _workers,
        "WORKER": _worker,
        "CRON": _cron,
        "THROTTLES": _throttles,
        "BACKUP": _backup,
        "BACKUPS": _list_backups,
    }


def _nobody_works_on(jid: str, search: Search) -> CommandError:
    """Why a job cannot be cancelled, and what to do instead."""
    name = jid[:100]
    if search.rows:
        row = search.rows[0]
        queue = f" --queue {row.queue}" if row.place == Place.QUEUED else ""
        place = place_name(row.place)
        return CommandError(
            f"no worker has the job {name}, it is {place}: to get rid of it, faktory-tw delete {place} {name}{queue}"
        )
    if search.next is None:
        return CommandError(f"there is no job {name}: it is done, or was never pushed")
    return CommandError(f"no worker has the job {name}; where it is says faktory-tw show {name}")


def _progress(done: Search | Change) -> dict[str, Any]:
    return {"matched": done.matched, "examined": done.examined, "next": done.next, "size": done.size}


def job_view(row: JobRow) -> dict[str, Any]:
    """A job and where it is; ``job`` is what a worker gets, as it was written."""
    view: dict[str, Any] = {"place": place_name(row.place)}
    if row.place == Place.WORKING:
        view["wid"] = row.wid
        view["reserved_at"] = _time(row.reserved_at)
        view["expires_at"] = _time(row.at)
    elif row.place != Place.QUEUED:
        view["at"] = _time(row.at)
    text = row.body[1:]
    if row.failure:
        text = b'"failure":%b,%b' % (row.failure, text)
    if row.enqueued_at is not None:
        text = b'"enqueued_at":"%b",%b' % (rfc3339(row.enqueued_at).encode(), text)
    view["job"] = msgspec.Raw(b"{" + text)
    return view


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)


def queue_view(view: QueueView) -> dict[str, Any]:
    """A queue: its jobs, how long the next one has waited, in seconds, and how many there are of which priority.

    With a policy if one applies to it.
    """
    told: dict[str, Any] = {
        "name": view.name,
        "size": view.size,
        "paused": view.paused,
        "latency": round(view.latency, 3),
        "priorities": {str(priority): size for priority, size in view.priorities.items()},
    }
    policy = {
        name: value for name, value in asdict(view.policy).items() if value is not None and (value or name != "aging")
    }
    if policy:
        told["policy"] = policy
    return told


def worker_view(view: WorkerView) -> dict[str, Any]:
    """What a worker has said of itself, and how many jobs it holds."""
    worker = view.worker
    return {
        "wid": worker.wid,
        "hostname": worker.hostname,
        "pid": worker.pid,
        "labels": worker.labels,
        "started_at": rfc3339(worker.started_at),
        "state": worker.state.name.lower(),
        "rss_kb": worker.rss_kb,
        "connections": worker.connections,
        "busy": view.busy,
        "beat_age": None if view.beat_age is None else round(view.beat_age, 1),
    }
