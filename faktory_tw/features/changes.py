"""What an operator does to jobs: delete, retry, kill, another priority. One home for it, for ADMIN and for the web UI.

A :class:`Change` does it to each job of a place that a filter finds, in slices; :func:`change_one` to one job, wherever it
is at that moment. Both raise CommandError, with a sentence for people, when it cannot be done.

A person decides on what she has seen. ``Views.newest`` tells, with the number of jobs that a preview found, the highest
position there was; a change that is given it leaves jobs alone that came to their place later, whenever they were pushed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from faktory_tw.core.job import HIGHEST_PRIORITY
from faktory_tw.core.manager import JobManager
from faktory_tw.features.filters import Filter, matcher
from faktory_tw.features.search import (
    PLACES,
    Shelf,
    Where,
    bad_after,
    mark_of,
    mark_text,
    parse_mark,
    place_name,
    walk_through,
)
from faktory_tw.storage.store import JobRow, Place
from faktory_tw.wire import CommandError

ACTIONS = {
    "delete": (Place.SCHEDULED, Place.RETRIES, Place.DEAD, Place.QUEUED),
    "retry": (Place.SCHEDULED, Place.RETRIES, Place.DEAD),
    "kill": (Place.SCHEDULED, Place.RETRIES, Place.QUEUED),
    "priority": (Place.QUEUED,),
}
"""Where each action is possible."""
_BARE = 500  # jobs deleted in one slice when they need not be read


def possible_actions(place: int) -> list[str]:
    """What can be done to a job that is there."""
    return [action for action, places in ACTIONS.items() if place in places]


def find_job(manager: JobManager, job_id: int) -> JobRow | None:
    """A job by its internal id, wherever it is; None when it is gone."""
    return manager.views.find(job_id)


def change_one(manager: JobManager, action: str, job_id: int, priority: int | None = None) -> JobRow:
    """Do something to one job. Returns it as it is now, or, if it was deleted, as it was.

    With another priority it has another id.
    """
    _check_priority(action, priority)
    row = manager.views.find(job_id)
    if row is None:
        raise CommandError("this job is gone: it is done, or was deleted")
    _check(action, Place(row.place))
    start = manager.views.index(row) if row.place == Place.QUEUED else 0
    if action == "priority" and row.priority == priority:
        return row
    changed = _apply(manager, action, [row], start, priority)
    if not changed:
        raise CommandError("this job has left its place meanwhile; look again")
    if action == "delete":
        return row
    rows = manager.read(changed)
    if not rows:
        raise CommandError("this job was over, and is gone: its time to expire had come")
    return rows[0]


def came_later(manager: JobManager, queue: str, newest: int) -> bool:
    """Whether a job came to a queue after somebody looked: then the last in line of its priority did."""
    if manager.views.newest() <= newest or queue not in manager.queues():
        return False
    lines = [fifo for _, fifo in manager.queues()[queue].orders() if len(fifo)]
    return any(_turn(manager, fifo.part(len(fifo) - 1, 1)[0], newest) > newest for fifo in lines)


def _turn(manager: JobManager, job_id: int, newest: int) -> int:
    """The position of a queued job, or just any number above ``newest`` if it is."""
    if job_id > newest:
        return job_id  # a position is the id, or higher
    position = manager.views.position(job_id)
    return newest + 1 if position is None else position


class Change:
    """Does ``action`` to the jobs of ``where`` that a filter finds; ``priority`` is for the action of that name.

    ``newest``: jobs with a higher position are left alone. ``after`` and ``most_examined`` are for who wants it in pieces: as
    with Search, ``next`` tells then where the next one begins. ``matched`` is how many jobs were changed.
    """

    def __init__(
        self,
        manager: JobManager,
        action: str,
        where: Where,
        wanted: Filter | None,
        priority: int | None = None,
        newest: int | None = None,
        *,
        after: str | None = None,
        most_examined: int | None = None,
    ) -> None:
        _check_priority(action, priority)
        _check(action, where.place)
        self._manager = manager
        self._action = action
        self._where = where
        self._wanted = wanted
        self._all = wanted is None or wanted.empty
        self._matches = matcher(wanted)
        self._priority = priority
        self._newest = newest
        self._most_examined = most_examined
        self._begin = parse_mark(after) or Shelf(where)
        if self._begin.where != where:
            raise bad_after()
        self.matched = self.examined = 0
        self.size = manager.views.size(*where)
        self.next: str | None = None

    def steps(self) -> Iterator[None]:
        """Carry it out, a slice at each step."""
        if self._all and self._action == "delete":
            if self._where.place is Place.QUEUED:
                return self._clear() if self._newest is None else self._delete_queued(self._newest)
            if self._newest is None:
                return self._delete_entries()
        return self._change_found()

    def _change_found(self) -> Iterator[None]:
        walk = walk_through(self._manager, self._begin, self._wanted)
        for rows in walk.slices():
            chosen = [row for row in rows if self._is_meant(row) and self._matches(row)]
            if chosen:
                self.matched += len(_apply(self._manager, self._action, chosen, walk.start, self._priority))
            self.examined += len(rows)
            if self._ends(walk.after):
                return
            yield

    def _is_meant(self, row: JobRow) -> bool:
        """Whether somebody may have seen it, and something is to be done: the walk meets again what it has moved."""
        return (self._newest is None or row.position <= self._newest) and (
            self._action != "priority" or row.priority != self._priority
        )

    def _ends(self, mark: tuple[float, int]) -> bool:
        if self._most_examined is None or self.examined < self._most_examined:
            return False
        self.next = mark_text(self._where, mark)
        return True

    # -- deleting everything, without reading it -----------------------------------------------------------------

    def _delete_entries(self) -> Iterator[None]:
        manager, place, after = self._manager, self._where.place, self._begin.after
        while entries := manager.walk(place, after, _BARE):
            entries = entries[: manager.edits.discard_entries(place, entries)]
            after = entries[-1]
            self.matched += len(entries)
            self.examined += len(entries)
            if self._ends(after):
                return
            yield

    def _clear(self) -> Iterator[None]:
        self.matched = self.examined = self._manager.edits.clear_queue(self._where.queue)
        yield

    def _delete_queued(self, newest: int) -> Iterator[None]:
        """Delete the jobs of a queue up to ``newest``. Whoever stands behind a newer job has come later, too.

        Of five hundred jobs it is the last whose position is looked up, and some nine more where the newer ones begin.
        """
        name = self._where.queue
        for priority in range(HIGHEST_PRIORITY, 0, -1):
            while ids := self._manager.views.queued_ids(name, priority, 0, _BARE):
                old = self._seen(ids, newest)
                taken = self._manager.edits.discard_queued(name, priority, old)
                self.matched += len(taken)
                self.examined += len(taken)
                yield
                if len(old) < len(ids) and len(taken) == len(old):
                    break

    def _seen(self, ids: list[int], newest: int) -> list[int]:
        """Of jobs that follow each other in a queue, those up to ``newest``."""
        manager = self._manager
        if _turn(manager, ids[-1], newest) <= newest:
            return ids
        return ids[: bisect_right(ids, newest, key=lambda job_id: _turn(manager, job_id, newest))]


def _check_priority(action: str, priority: int | None) -> None:
    if action == "priority" and (priority is None or not 1 <= priority <= HIGHEST_PRIORITY):
        raise CommandError(f"priority must be a whole number from 1 to {HIGHEST_PRIORITY}")


def _check(action: str, place: Place) -> None:
    """Whether the action is there, and possible in this place. Raises CommandError."""
    places = ACTIONS.get(action)
    if places is None:
        raise CommandError(f"no such action: {action[:100]}; there are {', '.join(ACTIONS)}")
    if place in places:
        return
    if place is Place.WORKING:
        raise CommandError("a job that is being worked cannot be changed: wait until its worker is done with it")
    if action == "kill":
        raise CommandError("these jobs are dead already")
    known = ", ".join(name for name, each in PLACES.items() if each in places)
    raise CommandError(f"{action} is not possible for jobs that are {place_name(place)}; it is for {known}")


def _apply(manager: JobManager, action: str, rows: Sequence[JobRow], start: int, priority: int | None) -> list[int]:
    """Do it to jobs of one place, of a queue of one priority. Returns the ids that they have now."""
    edits = manager.edits
    first = rows[0]
    if first.place != Place.QUEUED:
        place = Place(first.place)
        if action == "delete":
            return [row.id for row in rows if edits.discard(place, mark_of(row), row)]
        change = edits.kill if action == "kill" else edits.requeue
        return [row.id for row in rows if change(place, mark_of(row), row)]
    if action == "delete":
        return list(edits.discard_queued(first.queue, first.priority, [row.id for row in rows], start, rows))
    if action == "kill":
        return list(edits.kill_queued(rows, start))
    assert priority is not None
    return list(edits.prioritize(rows, priority, start).values())
