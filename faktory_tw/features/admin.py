"""ADMIN: what operators ask of a server and the Faktory protocol has no words for. An extension; old clients never send it.

``ADMIN <SUBCOMMAND> <JSON object>`` is answered with a bulk string that holds a JSON object, or with an error. A client
that has passed HELLO may say it, as it may say MUTATE and FLUSH. The subcommands are in the table at the end.

Jobs are found by ``jids``, ``jobtype``, ``queue`` and ``error`` (globs, as in MUTATE, but of the plain text), and
``match``, a text that stands anywhere in the job's JSON or in its failure. Of several, all must be met.

One request looks at no more than some ten thousand jobs, in slices; its reply has ``next``, which the client sends back
as ``after`` to go on, or null. So nothing long is left behind by a client that goes away, and one that stays can tell
how far it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from typing import Any, ClassVar, Protocol

import msgspec

from faktory_tw.core.job import parse_folded
from faktory_tw.core.manager import JobManager
from faktory_tw.core.views import QueueView, WorkerView
from faktory_tw.core.workers import State
from faktory_tw.features.filters import Filter, matcher
from faktory_tw.storage.snapshot import BackupError
from faktory_tw.storage.store import JobRow, Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError, Held, bulk
from faktory_tw.wire import error as wire_error

MOST_EXAMINED = 20_000  # jobs looked at for one request, about
MOST_LISTED = 1000
MOST_LISTED_BYTES = 4 * 1024 * 1024
MOST_QUEUES = 1000  # told in one reply
_LISTED = 100
_SHELVES = 100  # gone through in one slice when nothing is in them
_SETS = (Place.SCHEDULED, Place.RETRIES, Place.DEAD)
_ORDER = {place: rank for rank, place in enumerate((Place.WORKING, Place.QUEUED, *_SETS))}
_PLACES = {place.name.lower(): place for place in _ORDER}
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
        shelves = self._all_shelves() if request.place is None else [self._shelf(request.place, request.queue)]
        self._steps = self._look(shelves, matcher(request.filter), limit)

    def _show(self) -> None:
        jid = self._request.jid
        if not jid:
            raise CommandError('ADMIN SHOW needs a jid: ADMIN SHOW {"jid":"…"}')
        self._steps = self._look(self._all_shelves(), matcher(Filter(jids=[jid])), MOST_LISTED)

    def _shelf(self, name: str, queue: str | None = None) -> _Shelf:
        """The place that is named, from ``after`` on."""
        if name not in _PLACES:
            raise CommandError(f"no such place: {name[:100]}; there are {', '.join(_PLACES)}")
        if name == "queued" and not queue:
            raise CommandError('the place "queued" needs the name of a queue: {"place":"queued","queue":"default"}')
        shelf = _PLACES[name], queue or "" if name == "queued" else ""
        self._result["size"] = self._manager.views.size(*shelf)
        after = _parse_mark(self._request.after)
        if after is not None and after[:2] != shelf:
            raise _bad_after()
        return after or (*shelf, None)

    def _all_shelves(self) -> Iterator[_Shelf | None]:
        """All places, from ``after`` on, but not the empty queues. None stands for the end of a slice."""
        return self._from(_parse_mark(self._request.after) or (Place.WORKING, "", None))

    def _from(self, first: _Shelf) -> Iterator[_Shelf | None]:
        views = self._manager.views
        place, at_queue, _ = first
        behind = at_queue if place is Place.QUEUED else ""
        self._result["size"] = sum(views.size(each) for each in (Place.WORKING, *_SETS))
        names: list[list[str]] = []
        for sizes in views.queue_sizes():
            self._result["size"] += sum(sizes.values())
            names.append(sorted(name for name, size in sizes.items() if size and name > behind))
            yield None
        yield first
        if place in (Place.WORKING, Place.QUEUED):
            for number, name in enumerate(merge(*names), 1):
                yield Place.QUEUED, name, None
                if number % _SHELVES == 0:
                    yield None
        for each in _SETS:
            if _ORDER[each] > _ORDER[place]:
                yield each, "", None

    def _look(self, shelves: Iterable[_Shelf | None], matches: Callable[[JobRow], bool], limit: int) -> Iterator[None]:
        """Gather the jobs of one page: at most ``limit``, or only their number if that is 0."""
        jobs: list[dict[str, Any]] = []
        page_bytes = matched = examined = 0
        self._result |= {"jobs": jobs, "matched": 0, "examined": 0, "next": None}
        for shelf in shelves:
            if shelf is None:
                yield
                continue
            place, queue, after = shelf
            walk = self._manager.views.walk(place, queue, after)
            for rows in walk:
                for row in rows:
                    examined += 1
                    if not matches(row):
                        continue
                    matched += 1
                    if limit:
                        jobs.append(job_view(row))
                        page_bytes += len(row.body) + len(row.failure)
                    if limit and (len(jobs) == limit or page_bytes >= MOST_LISTED_BYTES):
                        self._result["next"] = _mark_text(place, queue, mark_of(row))
                        break
                self._result["matched"], self._result["examined"] = matched, examined
                if examined >= MOST_EXAMINED and self._result["next"] is None:
                    assert walk.after is not None
                    self._result["next"] = _mark_text(place, queue, walk.after)
                if self._result["next"] is not None:
                    return
                yield

    def _change(self) -> None:
        """DELETE, RETRY or KILL the jobs of a set that a filter finds."""
        request = self._request
        name = request.place or ""
        place = _PLACES.get(name)
        if place not in _SETS:
            raise CommandError(f"ADMIN {self.name} needs a set: scheduled, retries or dead")
        if self.name == "KILL" and place is Place.DEAD:
            raise CommandError("these jobs are dead already")
        self._changed = True
        self._steps = self._change_found(self._shelf(name), matcher(request.filter))

    def _change_found(self, shelf: _Shelf, matches: Callable[[JobRow], bool]) -> Iterator[None]:
        place, _, after = shelf
        walk = self._manager.views.walk(place, "", after)
        self._result |= {"matched": 0, "examined": 0, "next": None}
        for rows in walk:
            for row in rows:
                if matches(row):
                    self._result["matched"] += 1
                    self._change_one(place, row)
            self._result["examined"] += len(rows)
            if self._result["examined"] >= MOST_EXAMINED:
                assert walk.after is not None
                self._result["next"] = _mark_text(place, "", walk.after)
                return
            yield

    def _change_one(self, place: Place, row: JobRow) -> None:
        entry = mark_of(row)
        if self.name == "DELETE":
            self._manager.discard(place, entry)
        elif self.name == "KILL":
            self._manager.kill(place, entry, row)
        else:
            self._manager.requeue(place, entry, row)

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
        "QUEUES": _queues,
        "WORKERS": _workers,
        "WORKER": _worker,
        "BACKUP": _backup,
        "BACKUPS": _list_backups,
    }


_Shelf = tuple[Place, str, tuple[float, int] | None]


def mark_of(row: JobRow) -> tuple[float, int]:
    """Where a walk is when it has seen this job; of a job in a set, its entry."""
    if row.place == Place.QUEUED:
        return -row.priority, row.position
    return (0, row.id) if row.place == Place.WORKING else (row.at or 0.0, row.id)


def _mark_text(place: Place, queue: str, mark: tuple[float, int]) -> str:
    return f"{place.name.lower()}/{queue}/{mark[0]!r}/{mark[1]}"


def _parse_mark(text: str | None) -> _Shelf | None:
    if text is None:
        return None
    try:
        name, queue, first, second = text.split("/")
        return _PLACES[name], queue, (float(first), int(second))
    except (ValueError, KeyError):
        raise _bad_after() from None


def _bad_after() -> CommandError:
    return CommandError('"after" must be the "next" of an earlier reply to the same question')


def job_view(row: JobRow) -> dict[str, Any]:
    """A job and where it is; ``job`` is what a worker gets, as it was written."""
    view: dict[str, Any] = {"place": Place(row.place).name.lower()}
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
    """A queue: its jobs, how long the next one has waited, in seconds, and how many there are of which priority."""
    return {
        "name": view.name,
        "size": view.size,
        "paused": view.paused,
        "latency": round(view.latency, 3),
        "priorities": {str(priority): size for priority, size in view.priorities.items()},
    }


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
