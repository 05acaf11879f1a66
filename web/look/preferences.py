"""How somebody wants to see the pages: light or dark, times in UTC or their own. Kept in cookies of their browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from .languages import gettext_noop

if TYPE_CHECKING:
    from ..visit import Visit

THEMES = {"auto": gettext_noop("As the system"), "light": gettext_noop("Light"), "dark": gettext_noop("Dark")}
ZONES = {"utc": gettext_noop("UTC"), "local": gettext_noop("Local time")}
THEME_COOKIE = "faktory_theme"
ZONE_COOKIE = "faktory_zone"
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,4000}")  # no host, no backslash, no white space, no control characters


class Preferences(NamedTuple):
    """``theme`` is one of THEMES, ``zone`` one of ZONES."""

    theme: str = "auto"
    zone: str = "utc"

    @property
    def themes(self) -> list[tuple[str, str]]:
        """All themes and what they are called."""
        return list(THEMES.items())

    @property
    def zones(self) -> list[tuple[str, str]]:
        """All zones and what they are called."""
        return list(ZONES.items())


def preferences_of(visit: Visit) -> Preferences:
    """What the cookies say; anything that cannot be meant is passed over."""
    theme, zone = visit.cookie(THEME_COOKIE) or "", visit.cookie(ZONE_COOKIE) or ""
    return Preferences(theme if theme in THEMES else "auto", zone if zone in ZONES else "utc")


def here(visit: Visit) -> str:
    """The address of this page, to come back to; the first page's when this one cannot be asked for again."""
    if visit.method != "GET":
        return "/"
    query = {name: values for name, values in visit.query.items() if name != "notice"}
    return own_path(visit.path + (f"?{urlencode(query, doseq=True)}" if query else ""))


def own_path(text: str) -> str:
    """The text when it is an address of ours, else that of the first page: nobody is sent elsewhere by a forged field."""
    return text if _OWN_PATH.fullmatch(text) else "/"
