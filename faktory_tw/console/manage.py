"""``queues``, ``workers`` and ``flush``: doing something with what is not a job."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from faktory_tw.console import options as common
from faktory_tw.console.connection import FOREVER, Connection, Refused
from faktory_tw.console.errors import ConsoleError, UsageError
from faktory_tw.console.status import ask_queues, queue_lines, worker_lines
from faktory_tw.console.terminal import Progress, confirmed, duration, out, out_json, plural, table

_ALL = 10**9
_AT_ONCE = 500  # queues named in one command


def add(commands: Any) -> None:
    """The commands."""
    queues = common.group(commands, "queues", "list, pause, resume and remove queues")
    common.command(queues, "list", _list_queues, "list the queues")
    for name, run, summary in (
        ("pause", _pause, "let no worker fetch from queues; jobs can still be pushed"),
        ("resume", _pause, "let workers fetch from queues again"),
        ("remove", _remove, "drop queues and the jobs in them"),
        ("latency", _latency, "say how long the next job of queues has waited"),
    ):
        parser = common.command(queues, name, run, summary)
        several = "the queues" if name == "latency" else "the queues, or '*' for all"
        parser.add_argument("queues", nargs="+", metavar="QUEUE", help=several)
        parser.set_defaults(verb=name.upper())
        if name == "remove":
            parser.add_argument("--yes", action="store_true", help="do not ask")
    workers = common.group(commands, "workers", "list workers, make them quiet or end them")
    common.command(workers, "list", _list_workers, "list the workers")
    for name, summary in (
        ("quiet", "have workers finish what they have and fetch no more, at their next heartbeat"),
        ("terminate", "have workers end, at their next heartbeat"),
    ):
        parser = common.command(workers, name, _tell, summary)
        parser.add_argument("wids", nargs="*", metavar="WID")
        parser.add_argument("--all", action="store_true", help="all workers")
        parser.set_defaults(state=name)
    parser = common.command(commands, "flush", _flush, "forget every job, queue and statistic of a server")
    parser.add_argument("--yes", action="store_true", help="do not ask")


# -- queues ------------------------------------------------------------------------------------------------------------


def _list_queues(options: argparse.Namespace) -> int:
    with common.connect(options) as connection:
        queues = ask_queues(connection)["queues"]
    out_json({"queues": queues}) if options.json else out(*queue_lines(queues, _ALL))
    return 0


def _sizes(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """The jobs in each of these queues. Raises ConsoleError when one does not exist."""
    sizes: dict[str, int] = connection.ask("INFO")["faktory"]["queues"]
    if list(names) == ["*"]:
        return sizes
    missing = [name for name in names if name not in sizes]
    if missing:
        there = f"there are {', '.join(sorted(sizes)[:10])}" if sizes else "there is none"
        raise ConsoleError(f"no such queue: {', '.join(missing)}; {there}")
    return {name: sizes[name] for name in names}


def _order(connection: Connection, verb: str, names: Sequence[str]) -> None:
    for start in range(0, len(names), _AT_ONCE):
        connection.ask(f"QUEUE {verb} {' '.join(names[start : start + _AT_ONCE])}")


def _pause(options: argparse.Namespace) -> int:
    common.check_queues(options.queues)
    with common.connect(options) as connection:
        names = list(_sizes(connection, options.queues))
        _order(connection, options.verb, names)
    out_json({"queues": names}) if options.json else out(f"{plural(len(names), 'queue')} {options.verb.lower()}d")
    return 0


def _remove(options: argparse.Namespace) -> int:
    common.check_queues(options.queues)
    with common.connect(options) as connection:
        sizes = _sizes(connection, options.queues)
        whole = f"{plural(len(sizes), 'queue')} with {plural(sum(sizes.values()))}"
        if sizes and not confirmed(f"Remove {whole}?", yes=options.yes):
            return 1
        _order(connection, "REMOVE", list(sizes))
    out_json({"removed": sizes}) if options.json else out(f"{whole} removed")
    return 0


def _latency(options: argparse.Namespace) -> int:
    common.check_queues([name for name in options.queues if name != "*"])
    if "*" in options.queues:
        raise UsageError("name the queues; queues list has the latency of all")
    latencies: dict[str, float] = {}
    with common.connect(options) as connection:
        _sizes(connection, options.queues)
        for start in range(0, len(options.queues), _AT_ONCE):
            latencies |= connection.ask(f"QUEUE LATENCY {' '.join(options.queues[start : start + _AT_ONCE])}")
    if options.json:
        out_json(latencies)
    else:
        out(*table(("QUEUE", "LATENCY"), [(name, duration(each)) for name, each in latencies.items()], right="LATENCY"))
    return 0


# -- workers -----------------------------------------------------------------------------------------------------------


def _list_workers(options: argparse.Namespace) -> int:
    with common.connect(options) as connection:
        workers = connection.ask("ADMIN WORKERS", {})["workers"]
    out_json({"workers": workers}) if options.json else out(*worker_lines(workers, _ALL))
    return 0


def _tell(options: argparse.Namespace) -> int:
    if bool(options.wids) == options.all:
        raise UsageError("say which workers: their wids, as workers list shows them, or --all")
    told, unknown = 0, []
    with common.connect(options) as connection:
        for wid in ["*"] if options.all else options.wids:
            try:
                told += connection.ask("ADMIN WORKER", {"wid": wid, "state": options.state})["told"]
            except Refused as refusal:
                if refusal.unknown:
                    raise
                unknown.append(wid)
    if options.json:
        out_json({"told": told, "unknown": unknown})
    elif told or not unknown:
        doing = "be quiet" if options.state == "quiet" else "end"
        out(f"{plural(told, 'worker')} told to {doing}, at the next heartbeat")
    if unknown:
        raise ConsoleError(f"no such worker: {', '.join(unknown)}; see workers list")
    return 0


# -- everything --------------------------------------------------------------------------------------------------------


def _flush(options: argparse.Namespace) -> int:
    with common.connect(options) as connection:
        faktory = connection.ask("INFO")["faktory"]
        jobs = faktory.get("total_enqueued", 0) + sum(faktory.get("sets", {}).values())
        question = (
            f"Forget {plural(jobs)}, all queues and all statistics of {connection.address}? There is no way back."
        )
        if not confirmed(question, yes=options.yes, word="flush"):
            return 1
        with Progress("flushing", None, "jobs") as progress:
            connection.ask("FLUSH", seconds=FOREVER, meanwhile=lambda: progress.update(jobs))
    out_json({"flushed": jobs}) if options.json else out(f"{plural(jobs)} forgotten")
    return 0
