"""The locks of unique jobs, a page of them, in the order in which they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.features.unique import Lock, Unique

from . import cursors, jobs
from .jobs import JobLine

if TYPE_CHECKING:
    from ..visit import Visit


class LockRow(NamedTuple):
    """A lock as the list shows it, with its job; None when that is gone with its queue, as the lock will soon be, too."""

    job_id: int
    until: float
    line: JobLine | None


def unique(visit: Visit) -> Unique:
    """The unique jobs of the server."""
    return visit.manager.facts.find(Unique)


def found(visit: Visit, count: int) -> tuple[list[Lock], str | None]:
    """The locks behind the cursor of the address, and the cursor behind those. Raises Refusal."""
    mark = cursors.timed(visit)
    after = None if mark is None else (mark[0], cursors.whole(visit, mark[1]))
    locks = unique(visit).page(after, count + 1)
    more = len(locks) > count
    locks = locks[:count]
    return locks, cursors.text(locks[-1].until, locks[-1].job_id) if more else None


async def listed(visit: Visit, locks: list[Lock]) -> list[LockRow]:
    """The same with what is shown of their jobs."""
    lines: dict[int, JobLine] = {}

    def keep() -> Iterator[None]:
        """Keep of each job only what is shown: its args may be long."""
        for rows in visit.manager.views.rows([lock.job_id for lock in locks]):
            lines.update({row.id: jobs.line(row) for row in rows})
            yield

    await visit.run(keep())
    return [LockRow(lock.job_id, lock.until, lines.get(lock.job_id)) for lock in locks]
