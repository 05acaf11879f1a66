"""What the features keep of a job, as its page shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.features.expiry import Expiry
from faktory_tw.features.search import JobRow
from faktory_tw.features.unique import Unique

if TYPE_CHECKING:
    from ..visit import Visit


class Kept(NamedTuple):
    """Of one job. Times in seconds since 1970; None where there is nothing of the kind."""

    locked_until: float | None
    expires_at: float | None


def of(visit: Visit, row: JobRow) -> Kept:
    """What is kept of a job."""
    facts = visit.manager.facts
    lock = facts.find(Unique).held(row.id)
    return Kept(
        locked_until=None if lock is None else lock.until,
        expires_at=facts.find(Expiry).end(row.id),
    )
