"""Where a list goes on that is ordered by a time: ``1790000000.25_17`` is behind the entry of that time and name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..answers import Refusal

if TYPE_CHECKING:
    from ..visit import Visit

_MOST_CHARACTERS = 1200


def text(at: float, name: object) -> str:
    """The cursor behind an entry."""
    return f"{at!r}_{name}"


def timed(visit: Visit) -> tuple[float, str] | None:
    """The time and name that the field ``after`` says; None at the beginning. Raises Refusal."""
    given = visit.text("after", most=_MOST_CHARACTERS)
    if not given:
        return None
    at, _, name = given.partition("_")
    try:
        moment = float(at)
    except ValueError:
        moment = math.nan
    if not math.isfinite(moment) or not name:
        raise bad_cursor(visit)
    return moment, name


def numbered(visit: Visit) -> int | None:
    """The number that the field ``after`` says; None at the beginning. Raises Refusal."""
    given = visit.text("after", most=_MOST_CHARACTERS)
    if not given:
        return None
    return whole(visit, given)


def whole(visit: Visit, given: str) -> int:
    """A number of a cursor. Raises Refusal."""
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise bad_cursor(visit)
    return int(given)


def bad_cursor(visit: Visit) -> Refusal:
    """The refusal of a cursor that is none."""
    return Refusal(400, visit.gettext("This is no place in the list. Go back to its beginning."))
