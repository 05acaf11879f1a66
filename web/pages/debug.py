"""Everything about the server that somebody wants to know who looks for a defect, and the same as a text."""

from __future__ import annotations

from pathlib import Path

from ..answers import Answer, Page
from ..content import diagnosis
from ..content.diagnosis import Fact, Section
from ..look.languages import gettext_noop as _
from ..routes import page
from ..visit import Visit

_SOURCES = {
    "cookie": _("chosen on these pages"),
    "browser": _("asked for by the browser"),
    "default": _("the default"),
}


async def show_debug(visit: Visit) -> Answer:
    """The page."""
    return Page("debug.html", sections=[*await _sections(visit), _browser(visit)])


async def download(visit: Visit) -> Answer:
    """The text, for a report of a defect."""
    text = diagnosis.as_text(await _sections(visit), visit.server.clock.time())
    disposition = 'attachment; filename="faktory_tw-debug.txt"'
    return Answer(text.encode(), content_type="text/plain; charset=utf-8", Content_Disposition=disposition)


async def _sections(visit: Visit) -> list[Section]:
    settings, backups = visit.server.settings, visit.server.backups
    directory = settings.directory if settings is not None else Path()
    kept = backups.directory if backups is not None else directory / "backups"
    found = await visit.ui.load(lambda: diagnosis.measure(directory, kept))
    return diagnosis.sections(visit.server, found)


def _browser(visit: Visit) -> Section:
    """What concerns only who looks."""
    choice = visit.language_choice
    return Section(
        _("You"),
        [
            Fact(_("Language"), f"{visit.language.name} ({choice.code})"),
            Fact(_("Chosen by"), visit.gettext(_SOURCES[choice.source])),
            Fact(_("Direction"), visit.language.direction),
            Fact(_("User name"), visit.user or "–"),
            Fact(_("Address"), visit.address),
            Fact(_("Role"), visit.role.name.lower()),
            Fact(_("Prefix of a reverse proxy"), visit.prefix or None),
        ],
    )


ROUTES = (
    page("/debug", show_debug),
    page("/debug.txt", download),
)
