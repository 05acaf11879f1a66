"""The server at a glance, its history, and its backups."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from faktory_tw.times import rfc3339

from ..answers import Answer
from ..content import backup_work
from ..routes import command, question
from ..visit import Visit
from .messages import Nothing, answer, know_fields, read

_MOST_DAYS = 3650


async def show_summary(visit: Visit) -> Answer:
    """The numbers that every page shows above, and how the server is."""
    know_fields(visit)
    server, manager = visit.server, visit.manager
    summary = await visit.ui.summary(visit)
    return answer(
        {
            "now": rfc3339(server.clock.time()),
            "description": server.description,
            "processed": summary["processed"],
            "failed": summary["failed"],
            "queued": summary["enqueued"],
            "scheduled": summary["scheduled"],
            "retries": summary["retries"],
            "dead": summary["dead"],
            "working": summary["busy"],
            "queues": len(manager.queues()),
            "workers": len(manager.workers),
            "connections": server.connections,
            "uptime": int(server.clock.monotonic() - server.started_at),
            "durability": server.durability,
            "obstacles": server.obstacles(),
        }
    )


async def show_history(visit: Visit) -> Answer:
    """Jobs processed and failed by day, the last days first; a day without any is there, too."""
    know_fields(visit, "days")
    count = visit.number("days", 30, 1, _MOST_DAYS)
    days = visit.manager.history.days()
    today = datetime.fromtimestamp(visit.server.clock.time(), timezone.utc).date()
    dates = [(today - timedelta(days=ago)).isoformat() for ago in range(count)]
    return answer(
        {
            "days": [
                {"date": date, "processed": days.get(date, (0, 0))[0], "failed": days.get(date, (0, 0))[1]}
                for date in dates
            ]
        }
    )


async def list_backups(visit: Visit) -> Answer:
    """The backups that there are, the newest first."""
    know_fields(visit)
    backups = backup_work.known(visit)
    found, error = await backup_work.listed(backups)
    return answer(
        {
            "backups": [backup.told() for backup in found],
            "running": backups.running,
            "count": backups.count,
            "last_error": backups.last_error or error,
        }
    )


async def take_backup(visit: Visit) -> Answer:
    """Begin a backup; ``GET /api/backups`` tells when it is done."""
    read(visit, Nothing)
    backup_work.begin(visit)
    await visit.changed("take backup")
    return answer({"running": True}, 202)


ROUTES = (
    question("/api/summary", show_summary),
    question("/api/history", show_history),
    question("/api/backups", list_backups),
    command("/api/backups", take_backup),
)
