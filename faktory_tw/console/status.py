"""``status``: a server on one screen. ``watch`` shows the same again and again."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from faktory_tw.console import options as common
from faktory_tw.console.connection import Connection, Refused
from faktory_tw.console.terminal import duration, out, out_json, plural, printable, size, table
from faktory_tw.times import parse_rfc3339

_MOST_SHOWN = 20  # queues and workers; the others are counted


def add(commands: Any) -> None:
    """The command ``status``."""
    parser = common.command(commands, "status", run, "show a server on one screen")
    parser.add_argument("--all", action="store_true", help=f"all queues and workers, not only {_MOST_SHOWN} of each")


def run(options: argparse.Namespace) -> int:
    """Print how the server is."""
    with common.connect(options) as connection:
        state = look(connection)
    if options.json:
        out_json(state.as_json())
    else:
        out(*screen(state, most=10**9 if options.all else _MOST_SHOWN))
    return 0


@dataclass
class State:
    """What a server told at one moment; None is what this server does not tell."""

    address: str
    at: float  # on the monotonic clock of this machine
    info: dict[str, Any]
    queues: list[dict[str, Any]] | None
    workers: list[dict[str, Any]] | None
    backups: dict[str, Any] | None
    pushes_refused: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "info": self.info,
            "queues": self.queues,
            "workers": self.workers,
            "backups": self.backups,
            "pushes_refused": self.pushes_refused,
        }


def look(connection: Connection) -> State:
    """Ask a server how it is."""
    info = connection.ask("INFO")
    try:
        queues = ask_queues(connection)
    except Refused:
        queues = {}
    workers = connection.ask_if_known("ADMIN WORKERS", {}) or {}
    backups = connection.ask_if_known("ADMIN BACKUPS", {})
    return State(
        str(connection.address),
        time.monotonic(),
        info,
        queues.get("queues"),
        workers.get("workers"),
        backups,
        queues.get("pushes_refused", ""),
    )


def ask_queues(connection: Connection) -> dict[str, Any]:
    """What ADMIN QUEUES tells, all pages of it. Raises Refused."""
    told: dict[str, Any] = connection.ask("ADMIN QUEUES", {})
    after = told.get("next")  # older servers tell all at once
    while after is not None:
        page = connection.ask("ADMIN QUEUES", {"after": after})
        told["queues"] += page["queues"]
        after = page["next"]
    return told


def screen(state: State, most: int, before: State | None = None) -> list[str]:
    """The lines of the screen, with ``most`` queues and workers; rates are those since ``before``."""
    return [
        *_server_lines(state, before),
        "",
        *queue_lines(_queues(state), most),
        "",
        *_set_lines(state),
        "",
        *worker_lines(state.workers, most),
        "",
        *_backup_lines(state),
    ]


def _server_lines(state: State, before: State | None) -> list[str]:
    server, faktory = state.info.get("server", {}), state.info.get("faktory", {})
    name = f"{server.get('implementation', server.get('description', 'Faktory'))} "
    name += f"{server.get('implementation_version', server.get('faktory_version', ''))}"
    lines = [f"{printable(name)} at {state.address}, up {duration(server.get('uptime'))}"]
    rates = ""
    if before is not None and state.at > before.at:
        seconds = state.at - before.at
        old = before.info.get("faktory", {})
        done, failed = (
            (faktory.get(key, 0) - old.get(key, 0)) / seconds for key in ("total_processed", "total_failures")
        )
        rates = f" ({done:,.1f} and {failed:,.1f} a second)"
    lines.append(
        f"{plural(faktory.get('total_processed', 0))} processed, {faktory.get('total_failures', 0):,} failed{rates}, "
        f"{faktory.get('total_enqueued', 0):,} queued"
    )
    facts = [plural(server.get("connections", 0), "connection"), f"{server.get('used_memory_mb', 0)} MiB of memory"]
    if server.get("durability"):
        facts.append(f"durability {server['durability']}")
    lines.append(printable(", ".join(facts)))
    if state.pushes_refused:
        lines.append(f"NEW JOBS ARE REFUSED: {printable(state.pushes_refused)}")
    return lines


def _queues(state: State) -> list[dict[str, Any]]:
    """The queues; of a server without the extension, their names and sizes."""
    if state.queues is not None:
        return state.queues
    sizes = state.info.get("faktory", {}).get("queues", {})
    return [{"name": name, "size": number} for name, number in sizes.items()]


def queue_lines(queues: Sequence[dict[str, Any]], most: int) -> list[str]:
    """A table of queues, the longest first when not all are shown."""
    if not queues:
        return ["no queues"]
    shown = list(queues)
    if len(shown) > most:
        shown = sorted(shown, key=lambda queue: -queue["size"])[:most]
    rows = [
        (
            queue["name"],
            f"{queue['size']:,}",
            duration(queue.get("latency")),
            "paused" if queue.get("paused") else "",
            " ".join(f"{priority}:{number:,}" for priority, number in queue.get("priorities", {}).items()),
        )
        for queue in shown
    ]
    lines = table(("QUEUE", "JOBS", "LATENCY", "STATE", "PRIORITIES"), rows, right="JOBS LATENCY")
    return [*lines, *_not_shown(len(queues) - len(shown), "queue")]


def _set_lines(state: State) -> list[str]:
    faktory = state.info.get("faktory", {})
    tasks = faktory.get("tasks", {})
    sets = faktory.get("sets") or {
        name.lower(): tasks.get(name, {}).get("size", 0) for name in ("Scheduled", "Retries", "Dead")
    }
    return ["  ".join(f"{name} {sets[name]:,}" for name in ("scheduled", "retries", "dead", "working") if name in sets)]


def worker_lines(workers: Sequence[dict[str, Any]] | None, most: int) -> list[str]:
    """A table of workers."""
    if workers is None:
        return ["workers: this server does not tell"]
    if not workers:
        return ["no workers"]
    rows = [
        (
            worker["wid"],
            f"{worker['hostname']}:{worker['pid']}",
            worker["state"],
            f"{worker['busy']:,}",
            duration(worker["beat_age"]),
            size(worker["rss_kb"] * 1024) if worker["rss_kb"] else "-",
            " ".join(worker["labels"]),
        )
        for worker in workers[:most]
    ]
    head = ("WORKER", "PROCESS", "STATE", "JOBS", "HEARTBEAT", "MEMORY", "LABELS")
    return [*table(head, rows, right="JOBS HEARTBEAT MEMORY"), *_not_shown(len(workers) - len(rows), "worker")]


def _not_shown(number: int, noun: str) -> list[str]:
    return [f"and {plural(number, noun)} more"] if number > 0 else []


def _backup_lines(state: State) -> list[str]:
    backups = state.backups
    if backups is None:
        return ["backups: this server makes none"]
    lines = [f"{plural(len(backups['backups']), 'backup')}{', one is being made' if backups['running'] else ''}"]
    if backups["backups"]:
        last = backups["backups"][0]
        age = time.time() - parse_rfc3339(last["taken_at"])
        lines[0] += f", the last {duration(max(age, 0.0))} ago: {printable(last['name'])}, {size(last['size_bytes'])}"
    if backups["last_error"]:
        lines.append(f"THE LAST BACKUP FAILED: {printable(backups['last_error'])}")
    return lines
