"""Finding jobs: one page of what a filter finds, in a place or everywhere, and any page of a place.

A :class:`Search` goes through the jobs in slices and can be left at any of them: nothing is changed, and nothing stays
behind. Where it ends it tells how to go on, by what orders the jobs and not by their number, so that jobs may come and go
between two pages: one that stays is found exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from typing import NamedTuple

from faktory_tw.core.manager import JobManager
from faktory_tw.core.views import Mark, Walk
from faktory_tw.features.filters import Filter, matcher, time_of, time_span
from faktory_tw.storage.store import JobRow, Place
from faktory_tw.wire import CommandError

__all__ = ["Filter", "JobRow", "Place", "Search", "Where", "mark_of", "page", "place_name", "place_named", "time_of"]

MOST_EXAMINED = 20_000  # jobs looked at for one page, about
MOST_BYTES = 4 * 1024 * 1024  # of bodies and failures in one page, about
_SHELVES = 100  # gone through in one slice when nothing is in them
_FIRST_ID = 0
SETS = (Place.SCHEDULED, Place.RETRIES, Place.DEAD)
_ORDER = {place: rank for rank, place in enumerate((Place.WORKING, Place.QUEUED, *SETS))}
PLACES = {place.name.lower(): place for place in _ORDER}


class Where(NamedTuple):
    """A place in which jobs are: a set, those being worked, or one queue."""

    place: Place
    queue: str = ""


class Shelf(NamedTuple):
    """Where a search is: in which place, and behind which job of it (None: at its beginning)."""

    where: Where
    after: Mark | None = None


def place_name(place: int) -> str:
    """What a place is called: queued, scheduled, retries, dead or working."""
    return Place(place).name.lower()


def place_named(name: str, queue: str | None = None) -> Where:
    """The place of a name; of "queued", the queue. Raises CommandError."""
    if name not in PLACES:
        raise CommandError(f"no such place: {name[:100]}; there are {', '.join(PLACES)}")
    if name == "queued" and not queue:
        raise CommandError('the place "queued" needs the name of a queue: {"place":"queued","queue":"default"}')
    return Where(PLACES[name], queue or "" if name == "queued" else "")


def page(manager: JobManager, where: Where, start: int, count: int) -> Iterator[list[JobRow]]:
    """The jobs number ``start`` and following of a place in its order, in slices; see ``Views.page``."""
    return manager.views.page(where.place, where.queue, start, count)


class Search:
    """One page of what a filter finds: ``limit`` jobs at most, or, if that is 0, only their number.

    ``where`` None is everywhere. ``after`` is the ``next`` of the page before; None in ``next``: there is no more. A page
    ends, and may be empty, when ``most_examined`` jobs were looked at (None: it goes on to the end). Sets are gone
    through soonest first, or the other way round if ``backwards``, which needs a ``where``.

    ``size`` is how many jobs there are to look at; everywhere, it grows during the first slices. Raises CommandError when
    the filter or ``after`` is none.
    """

    def __init__(
        self,
        manager: JobManager,
        where: Where | None,
        wanted: Filter | None,
        limit: int,
        after: str | None = None,
        most_examined: int | None = MOST_EXAMINED,
        *,
        backwards: bool = False,
    ) -> None:
        self._manager = manager
        self._wanted = wanted
        self._matches = matcher(wanted)
        self._limit = limit
        self._most_examined = most_examined
        self._backwards = backwards and where is not None and where.place in SETS
        self._bytes = 0
        self.rows: list[JobRow] = []
        self.matched = self.examined = self.size = 0
        self.next: str | None = None
        begin = parse_mark(after)
        if where is None:
            self._shelves: Iterable[Shelf | None] = self._everywhere(begin or Shelf(Where(Place.WORKING)))
            return
        if begin is not None and begin.where != where:
            raise bad_after()
        self.size = manager.views.size(*where)
        self._shelves = [begin or Shelf(where)]

    def steps(self) -> Iterator[None]:
        """Look, a slice at each step."""
        for shelf in self._shelves:
            if shelf is None:
                yield
                continue
            walk = walk_through(self._manager, shelf, self._wanted, self._backwards)
            for rows in walk.slices():
                self._look(shelf.where, rows)
                if self._most_examined is not None and self.examined >= self._most_examined and self.next is None:
                    self.next = mark_text(shelf.where, walk.after)
                if self.next is not None:
                    return
                yield

    def _look(self, where: Where, rows: list[JobRow]) -> None:
        for row in rows:
            self.examined += 1
            if not self._matches(row):
                continue
            self.matched += 1
            if not self._limit:
                continue
            self.rows.append(row)
            self._bytes += len(row.body) + len(row.failure)
            if len(self.rows) == self._limit or self._bytes >= MOST_BYTES:
                self.next = mark_text(where, mark_of(row))
                return

    def _everywhere(self, first: Shelf) -> Iterator[Shelf | None]:
        """All places, from ``first`` on, but not the empty queues. None stands for the end of a slice."""
        views = self._manager.views
        place, at_queue = first.where
        behind = at_queue if place is Place.QUEUED else ""
        self.size = sum(views.size(each) for each in (Place.WORKING, *SETS))
        names: list[list[str]] = []
        for sizes in views.queue_sizes():
            self.size += sum(sizes.values())
            names.append(sorted(name for name, size in sizes.items() if size and name > behind))
            yield None
        yield first
        if place in (Place.WORKING, Place.QUEUED):
            for number, name in enumerate(merge(*names), 1):
                yield Shelf(Where(Place.QUEUED, name))
                if number % _SHELVES == 0:
                    yield None
        for each in SETS:
            if _ORDER[each] > _ORDER[place]:
                yield Shelf(Where(each))


class Slices:
    """The jobs of one place, from ``after`` on, in slices; of a set, only those at the times that a filter asks for."""

    def __init__(self, walk: Walk, outside: Callable[[float], bool] | None) -> None:
        self._walk = walk
        self._outside = outside

    @property
    def after(self) -> Mark:
        """Behind which job the last slice ended."""
        assert self._walk.after is not None
        return self._walk.after

    @property
    def start(self) -> int:
        """Where the last slice began among the jobs of its queue and priority."""
        return self._walk.start

    def slices(self) -> Iterator[list[JobRow]]:
        """The jobs, a slice at each step, of which any may be empty."""
        for rows in self._walk:
            yield rows
            if self._outside is not None and self._outside(self.after[0]):
                return


def walk_through(manager: JobManager, shelf: Shelf, wanted: Filter | None, backwards: bool = False) -> Slices:
    """Go through a place. What orders a set is a time, so of a million retries those of one hour are found at once."""
    (place, queue), after = shelf
    if place not in SETS:
        return Slices(manager.views.walk(place, queue, after), None)
    since, until = time_span(wanted, place)
    if backwards:
        latest = (until, _FIRST_ID)
        walk = manager.views.walk(place, "", latest if after is None else min(after, latest), backwards=True)
        return Slices(walk, lambda at: at < since)
    earliest = (since, _FIRST_ID)
    walk = manager.views.walk(place, "", earliest if after is None else max(after, earliest))
    return Slices(walk, lambda at: at >= until)


def mark_of(row: JobRow) -> Mark:
    """Where a walk is when it has seen this job; of a job in a set, its entry."""
    if row.place == Place.QUEUED:
        return -row.priority, row.position
    return (0, row.id) if row.place == Place.WORKING else (row.at or 0.0, row.id)


def mark_text(where: Where, mark: Mark) -> str:
    """How a client says where it goes on."""
    return f"{place_name(where.place)}/{where.queue}/{mark[0]!r}/{mark[1]}"


def parse_mark(text: str | None) -> Shelf | None:
    """What a client said, None if it said nothing. Raises CommandError."""
    if text is None:
        return None
    try:
        name, queue, first, second = text.split("/")
        return Shelf(Where(PLACES[name], queue), (float(first), int(second)))
    except (ValueError, KeyError):
        raise bad_after() from None


def bad_after() -> CommandError:
    """The refusal of an ``after`` that belongs to another question, or to none."""
    return CommandError('"after" must be the "next" of an earlier reply to the same question')
