"""What operators ask of cron: the entries, page by page, and to pause one, let it go on, or run it now."""

from __future__ import annotations

from typing import Any

import msgspec

from faktory_tw.features.cron import Cron, CronView
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError

MOST_CRON = 500  # entries told in one reply
ACTIONS = ("show", "pause", "resume", "run")


def list_entries(cron: Cron, after: str | None, limit: int) -> dict[str, Any]:
    """A page of the entries; ``next`` is what to send as ``after`` for the next one, or None. Raises CommandError."""
    try:
        start = int(after or "0")
    except ValueError:
        start = -1
    if not 0 <= start < 10**9:
        raise CommandError("after must be what an earlier reply had as next")
    views = cron.entries(start, limit)
    end = start + len(views)
    return {"entries": [told(view) for view in views], "next": str(end) if end < len(cron) else None}


def ask_entry(cron: Cron, action: str, name: str) -> dict[str, Any]:
    """Show an entry, or do something with it. Raises CommandError."""
    if action not in ACTIONS:
        raise CommandError(f"there is no action {action[:100]} of cron; there are list, {', '.join(ACTIONS)}")
    if not name:
        raise CommandError(f'which entry? {{"action":"{action}","name":"…"}}')
    if action == "show":
        return told(cron.entry(name))
    if action == "run":
        return {"name": name, "jid": cron.run_now(name)}
    cron.pause(name, paused=action == "pause")
    return {"name": name, "paused": action == "pause"}


def told(view: CronView) -> dict[str, Any]:
    """An entry as JSON has it. ``tick`` is null for a run by hand."""
    runs = [{"tick": _time(run.tick), "at": _time(run.at), "jid": run.jid, "reason": run.reason} for run in view.runs]
    return {
        "name": view.name,
        "schedule": view.schedule,
        "timezone": view.timezone,
        "job": msgspec.Raw(view.job),
        "catch_up": view.catch_up,
        "paused": view.paused,
        "next_at": _time(view.next_at),
        "runs": runs,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
