"""Choosing theme, time zone and language. It changes nothing of the server, so readers may, too."""

from __future__ import annotations

from ..answers import Answer, Redirect, Refusal
from ..look.languages import COOKIE as LANGUAGE_COOKIE
from ..look.languages import NAMES
from ..look.preferences import THEME_COOKIE, THEMES, ZONE_COOKIE, ZONES, own_path
from ..routes import preference
from ..visit import Visit

_CHOICES = (
    ("theme", THEME_COOKIE, tuple(THEMES)),
    ("zone", ZONE_COOKIE, tuple(ZONES)),
    ("language", LANGUAGE_COOKIE, tuple(NAMES)),
)


async def choose(visit: Visit) -> Answer:
    """Keep what was chosen, and go back to where it was."""
    chosen: list[tuple[str, str]] = []
    for field, cookie, values in _CHOICES:
        value = visit.text(field)
        if value and value not in values:
            raise Refusal(400, visit.gettext("There is no such choice: %(field)s.") % {"field": field})
        if value:
            chosen.append((cookie, value))
    back = own_path(visit.text("back", "/"))
    for cookie, value in chosen:
        visit.set_cookie(cookie, value)
    return Redirect(back)


ROUTES = (preference("/preferences", choose),)
