"""What the pages and the API do with the entries of cron."""

from __future__ import annotations

from typing import Any

from faktory_tw.features.cron import Cron
from faktory_tw.features.cron.requests import ask_entry

from ..visit import Visit

ACTIONS = {"pause": "pause cron entry", "resume": "resume cron entry", "run": "run cron entry"}


async def change(visit: Visit, action: str, name: str) -> dict[str, Any]:
    """Pause an entry, let it go on, or run it now; what came of it, once that is on disk. Raises CommandError."""
    visit.check_role()
    told = ask_entry(visit.manager.facts.find(Cron), action, name)
    facts = {"entry": name, **({"jid": told["jid"]} if "jid" in told else {})}
    await visit.changed(ACTIONS[action], **facts)
    return told
