"""The backups that there are, taking one now, and how one is restored."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from faktory_tw.config import Settings

from ..answers import Answer, Page, Redirect
from ..content import backup_work
from ..routes import form, page
from ..visit import Visit

_ROWS = 200  # the newest; more are only counted


class Schedule(NamedTuple):
    """When backups are taken by themselves: every ``seconds``, 0 for never; the next at ``next_at``."""

    seconds: int
    keep: int
    next_at: float | None


async def show_backups(visit: Visit) -> Answer:
    """The backups, and how it stands with them."""
    backups = visit.server.backups
    if backups is None:
        return Page("backups.html", backups=None)
    found, error = await backup_work.listed(backups)
    now = visit.server.clock.time()
    settings = visit.server.settings
    return Page(
        "backups.html",
        backups=backups,
        found=found[:_ROWS],
        number=len(found),
        size_bytes=sum(backup.size_bytes for backup in found),
        error=backups.last_error or error,
        directory=str(backups.directory),
        schedule=_schedule(settings, now),
        environment=settings.environment if settings is not None else "",
        command=_restore_command(settings),
        now=now,
    )


def _schedule(settings: Settings | None, now: float) -> Schedule:
    """A period begins at multiples of its length since 1970; see faktory_tw/backups.py."""
    if settings is None or settings.backup_seconds <= 0:
        return Schedule(0, settings.backup_keep if settings is not None else 0, None)
    seconds = settings.backup_seconds
    return Schedule(seconds, settings.backup_keep, (now // seconds + 1) * seconds)


def _restore_command(settings: Settings | None) -> str:
    """What puts the newest backup in the place of the data, once the server is stopped."""
    if settings is None:
        return "faktory-tw restore latest"
    words = ["faktory-tw", "restore", "latest", "-e", settings.environment, "-d", str(settings.directory)]
    if settings.backup_directory is not None:
        words += ["--backup-directory", str(settings.backup_directory)]
    return shlex.join(words)


async def take_backup(visit: Visit) -> Answer:
    """Begin one; the page shows when it is done."""
    visit.check_role()
    backup_work.begin(visit)
    await visit.changed("take backup")
    return Redirect(
        "/backups", visit.gettext("A backup is being taken. It is listed here when it is done and checked.")
    )


ROUTES = (
    page("/backups", show_backups),
    form("/backups", take_backup),
)
