"""``cron``: the entries, and pausing them, letting them go on, and running them now."""

from __future__ import annotations

import argparse
from typing import Any

from faktory_tw.console import options as common
from faktory_tw.console.connection import Connection
from faktory_tw.console.terminal import out, out_json, table


def add(commands: Any) -> None:
    """The commands."""
    cron = common.group(commands, "cron", "list, pause, resume and run what is pushed by a schedule")
    common.command(cron, "list", _list, "list the entries, and when they are due next")
    parser = common.command(cron, "history", _history, "list the last runs of an entry")
    parser.add_argument("name", metavar="NAME", help="the entry, as cron list shows it")
    for name, summary in (
        ("pause", "let entries rest until they are resumed"),
        ("resume", "let entries go on; what was due meanwhile is not made up for"),
        ("run", "push the jobs of entries now, beside their schedules"),
    ):
        parser = common.command(cron, name, _change, summary)
        parser.add_argument("names", nargs="+", metavar="NAME", help="the entries, as cron list shows them")
        parser.set_defaults(action=name)


def _entries(connection: Connection) -> list[dict[str, Any]]:
    """All entries, page after page."""
    told = connection.ask("ADMIN CRON", {})
    entries: list[dict[str, Any]] = told["entries"]
    while told["next"] is not None:
        told = connection.ask("ADMIN CRON", {"after": told["next"]})
        entries += told["entries"]
    return entries


def _list(options: argparse.Namespace) -> int:
    with common.connect(options) as connection:
        entries = _entries(connection)
    if options.json:
        out_json({"entries": entries})
    elif entries:
        head = ("NAME", "SCHEDULE", "TIME ZONE", "JOB", "QUEUE", "NEXT", "LAST")
        out(*table(head, [_row(entry) for entry in entries]))
    else:
        out("there are no entries: write [[cron]] into a file of conf.d")
    return 0


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    job, runs = entry["job"], entry["runs"]
    due = "paused" if entry["paused"] else _minute(entry["next_at"])
    last = _outcome(runs[0]) if runs else "-"
    zone, schedule = entry["timezone"], entry["schedule"]
    return entry["name"], schedule, zone, job["jobtype"], job.get("queue", "default"), due, last


def _outcome(run: dict[str, Any]) -> str:
    return f"{_minute(run['at'])} {run['jid'] or run['reason']}"


def _minute(text: str | None) -> str:
    return "-" if text is None else f"{text[:10]} {text[11:19]}Z"


def _history(options: argparse.Namespace) -> int:
    with common.connect(options) as connection:
        found = connection.ask("ADMIN CRON", {"action": "show", "name": options.name})
    if options.json:
        out_json(found)
    else:
        runs = [(_minute(run["tick"]), _minute(run["at"]), run["jid"] or "-", run["reason"]) for run in found["runs"]]
        out(*table(("TICK", "DONE", "JID", "WHY NOT"), runs) if runs else ["it was not due yet"])
    return 0


def _change(options: argparse.Namespace) -> int:
    done = []
    with common.connect(options) as connection:
        for name in options.names:
            done.append(connection.ask("ADMIN CRON", {"action": options.action, "name": name}))
    if options.json:
        out_json({"entries": done})
    elif options.action == "run":
        out(*(f"{each['name']}: job {each['jid']} pushed" for each in done))
    else:
        out(*(f"{each['name']} {options.action}d" for each in done))
    return 0
