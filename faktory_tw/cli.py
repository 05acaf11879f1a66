"""The console command ``faktory-tw``. It speaks the protocol to a running server, so it works from anywhere.

Each command is added by a module of :mod:`faktory_tw.console`. ``faktory-tw load`` measures a server: see
:mod:`faktory_tw.load`.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

from faktory_tw import __version__
from faktory_tw.console import backups, cron, jobs, manage, push, settings, status, watch
from faktory_tw.console.errors import ConsoleError, UsageError
from faktory_tw.console.options import add_server, address_of, natural, positive
from faktory_tw.load import MODES, LoadError, Plan, Result, run

_BAR_WIDTH = 50
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_FIRST_BUCKET_MS = 0.0625


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 when the server or the data said no, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="faktory-tw",
        description="Work with a running Faktory server, or with its data while it is stopped.",
        epilog="Exit status: 0 done, 1 the server or the data said no, 2 wrong usage. faktory-tw COMMAND --help says more.",
    )
    parser.add_argument("--version", action="version", version=f"faktory-tw {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for part in (status, watch, push, jobs, manage, cron, backups):
        part.add(commands)
    settings.add(commands, _check_address)
    _add_load(commands)
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not know every character of a job
    try:
        status_code = int(options.run(options))
        sys.stdout.flush()
    except UsageError as error:
        options.refuse(str(error))
    except (ConsoleError, LoadError) as error:
        sys.stderr.write(f"faktory-tw: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the end of the process flushes once more
        return 1
    return status_code


def _check_address(address: str) -> None:
    """Whether a server can listen there: it is the one to know, and to load all of it takes a while."""
    from faktory_tw.tap import check_address  # noqa: PLC0415

    check_address(address)


def _add_load(commands: Any) -> None:
    load = commands.add_parser(
        "load",
        help="measure how fast a server is",
        description="Push, fetch and acknowledge jobs as fast as the server lets, and say how fast that was. The jobs "
        "go to queues of their own, load-0 to load-4, which are removed before and after.",
    )
    load.set_defaults(run=_load, refuse=load.error)
    add_server(load)
    load.add_argument("--jobs", type=positive, default=30_000, metavar="N", help="jobs in all [30000]")
    load.add_argument("--connections", type=positive, default=10, metavar="N", help="connections [10]")
    load.add_argument("--pipeline", type=positive, default=1, metavar="N", help="commands in flight on each [1]")
    load.add_argument("--bulk", type=positive, default=1, metavar="N", help="jobs a PUSHB; 1 is PUSH [1]")
    load.add_argument("--size", type=natural, default=0, metavar="BYTES", help="bytes added to each job [0]")
    load.add_argument(
        "--processes", type=positive, default=0, metavar="N", help="processes [half the processors]; mixed: 1"
    )
    load.add_argument(
        "--mode",
        choices=MODES,
        default="cycle",
        help="cycle: each connection pushes, fetches, acknowledges; push: only push; drain: push all, then fetch and "
        "acknowledge all; mixed: half of the connections push, half drain [cycle]",
    )
    load.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def _load(options: argparse.Namespace) -> int:
    if options.mode == "mixed" and options.connections < 2:
        options.refuse("mode mixed needs two connections or more: --connections 2")
    address = address_of(options)
    if address.tls:
        raise UsageError("load measures a server over plain TCP: tcp://, not tcp+tls://")
    plan = Plan(
        address.host,
        address.port,
        address.password,
        options.mode,
        options.jobs,
        options.connections,
        options.pipeline,
        options.bulk,
        options.size,
        1 if options.mode == "mixed" else options.processes,
    )
    shown = sys.stderr.isatty()

    def progress(phase: str, done: int, seconds: float) -> None:
        if shown:
            rate = done / seconds if seconds else 0
            sys.stderr.write(f"\r\033[K{phase}: {done:,} of {plan.jobs:,} jobs, {rate:,.0f} a second")
            sys.stderr.flush()

    try:
        result = run(plan, progress)
    finally:
        if shown:
            sys.stderr.write("\r\033[K")
    sys.stdout.write(json.dumps(_summary(result)) + "\n" if options.json else _report(plan, result))
    return 0


def _percentile(ordered: list[float], part: float) -> float:
    """The least of them that ``part`` of all do not exceed."""
    return ordered[math.ceil(len(ordered) * part) - 1]


def _summary(result: Result) -> dict[str, Any]:
    """Jobs a second by phase; milliseconds by command."""
    latencies = {}
    for name, taken in result.latencies.items():
        ordered = sorted(taken)
        marks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}
        latencies[name] = {mark: round(_percentile(ordered, part), 3) for mark, part in marks.items()}
    rates = {phase: round(jobs / result.seconds[phase]) for phase, jobs in result.jobs.items()}
    return {"jobs_per_second": rates, "milliseconds": latencies}


def _report(plan: Plan, result: Result) -> str:
    summary = _summary(result)
    lines = [
        f"{plan.mode}: {plan.jobs:,} jobs over {plan.connections} connections, pipeline {plan.pipeline}"
        + (f", bulk {plan.bulk}" if plan.bulk > 1 else ""),
        "",
    ]
    lines += [f"{phase:<8} {rate:>10,} jobs/s" for phase, rate in summary["jobs_per_second"].items()]
    lines += ["", "round trip, ms        p50       p95       p99     p99.9       max"]
    for name, marks in summary["milliseconds"].items():
        lines.append(f"{name:<14}" + "".join(f"{value:>10.3f}" for value in marks.values()))
    for name, taken in result.latencies.items():
        lines += ["", f"{name}: how many round trips took how long", *_histogram(taken)]
    return "\n".join(lines) + "\n"


def _histogram(taken: list[float]) -> list[str]:
    """Bars on a logarithmic scale: each bucket is twice as long as the one before."""
    counts: dict[int, int] = {}
    for milliseconds in taken:
        bucket = max(math.ceil(math.log2(max(milliseconds, 1e-9) / _FIRST_BUCKET_MS)), 0)
        counts[bucket] = counts.get(bucket, 0) + 1
    most = max(counts.values())
    lines = []
    for bucket in range(min(counts), max(counts) + 1):
        number = counts.get(bucket, 0)
        eighths = round(number / most * _BAR_WIDTH * 8)
        bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
        share = number / len(taken)
        lines.append(f"  up to {_FIRST_BUCKET_MS * 2**bucket:>9.3f} ms {number:>9,} {share:>6.1%} {bar}".rstrip())
    return lines


if __name__ == "__main__":
    sys.exit(main())
