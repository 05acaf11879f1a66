"""The jobs of a place, a page of them: by number while all are shown, by what a search has found so far when not.

A million jobs are no more than a few: a page is read from where it begins. A search looks at some hundred thousand jobs
in one request; where it stops it says how far it has come, and the next request goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from faktory_tw.features.search import JobRow, Place, Search, Where, page
from faktory_tw.wire import CommandError

from ..answers import Refusal
from . import jobs
from .criteria import Criteria
from .jobs import JobLine

if TYPE_CHECKING:
    from ..visit import Visit

SIZES = (25, 50, 100)
_MOST_EXAMINED = 100_000  # jobs looked at for one request: a second or so, in slices
_MOST_PAGES = 10**12
_MOST_MARK = 1200  # characters of where a search goes on, which may hold the name of a queue


class Numbered(NamedTuple):
    """A page of all jobs of a place."""

    lines: list[JobLine]
    total: int
    page: int
    pages: int
    per: int

    @property
    def first(self) -> int:
        """The number of the first job of the page, from 1 on; 0 when there is none."""
        return (self.page - 1) * self.per + 1 if self.lines else 0

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1 if self.lines else 0

    @property
    def kept(self) -> dict[str, int]:
        """The fields of the address that all pages share."""
        return {} if self.per == SIZES[0] else {"per": self.per}


class Found(NamedTuple):
    """What a search has found so far: ``examined`` of ``total`` jobs, those of earlier requests included.

    ``next`` None: there is no more.
    """

    lines: list[JobLine]
    total: int
    examined: int
    matched: int
    next: str | None
    per: int


def per_page(visit: Visit) -> int:
    """How many jobs somebody wants on a page: one of SIZES."""
    wanted = visit.number("per", SIZES[0], 1, SIZES[-1])
    return next(size for size in SIZES if size >= wanted)


async def numbered(visit: Visit, where: Where) -> Numbered:
    """The page that was asked for, or the last one when there are fewer."""
    wanted = visit.number("page", 1, 1, _MOST_PAGES)
    per = per_page(visit)
    total = visit.manager.views.size(*where)
    pages = max(-(-total // per), 1)
    number = min(wanted, pages)
    lines: list[JobLine] = []
    await visit.run(_gather(page(visit.manager, where, (number - 1) * per, per), lines))
    return Numbered(lines, total, number, pages, per)


def _gather(slices: Iterator[list[JobRow]], lines: list[JobLine]) -> Iterator[None]:
    """Keep of each job only what is shown: a hundred of them may have 400 MiB."""
    for rows in slices:
        lines += [jobs.line(row) for row in rows]
        yield


async def found(visit: Visit, where: Where | None, criteria: Criteria) -> Found:
    """What the criteria find in a place, or everywhere, from where the last request stopped."""
    per = per_page(visit)
    after = visit.text("after", most=_MOST_MARK) or None
    looked = visit.number("looked", 0, 0, _MOST_PAGES)
    so_far = visit.number("found", 0, 0, _MOST_PAGES)
    backwards = where is not None and where.place is Place.DEAD  # as they are listed: who died last comes first
    try:
        search = Search(visit.manager, where, criteria.filter(), per, after, _MOST_EXAMINED, backwards=backwards)
    except CommandError as error:
        raise Refusal(400, str(error)) from None
    await visit.search(search.steps())
    lines = [jobs.line(row) for row in search.rows]
    examined = looked + search.examined
    return Found(lines, max(search.size, examined), examined, so_far + search.matched, search.next, per)


def asked(page: Numbered | Found, criteria: Criteria) -> dict[str, Any]:
    """The fields of an address that shows the same again."""
    fields: dict[str, Any] = criteria.fields()
    if page.per != SIZES[0]:
        fields["per"] = page.per
    if isinstance(page, Numbered) and page.page > 1:
        fields["page"] = page.page
    return fields
