"""What the pages and the API do with backups: list them, begin one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from faktory_tw.backups import Backups

from ..answers import NotThere, Refusal

if TYPE_CHECKING:
    from ..visit import Visit


def known(visit: Visit) -> Backups:
    """The backups of the server. Raises Refusal when it makes none."""
    backups: Backups | None = visit.server.backups
    if backups is None:
        raise NotThere(visit.gettext("This server makes no backups."))
    return backups


async def listed(backups: Backups) -> tuple[Sequence[Any], str]:
    """Those that there are, the newest first, and why they cannot be listed, or "". A thread looks for them."""
    looked: Deferred[tuple[Sequence[Any], str]] = Deferred()
    backups.list_soon(lambda found, error: looked.callback((found, error)))
    return await looked


def begin(visit: Visit) -> None:
    """Begin one. Raises Refusal when one is under way, or none can be begun."""
    backups = known(visit)
    if backups.running:
        raise Refusal(409, visit.gettext("A backup is under way already. Wait until it is done."))
    if visit.server.stopping:
        raise Refusal(409, visit.gettext("The server is stopping. Take the backup when it runs again."))
    backups.begin()
