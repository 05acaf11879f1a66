"""The console command ``faktory-tw``. It speaks the protocol to a running server, so it works from anywhere.

``faktory-tw load`` measures a server: see :mod:`faktory_tw.load`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from faktory_tw import __version__
from faktory_tw.load import MODES, LoadError, Plan, Result, run

_BAR_WIDTH = 50
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_FIRST_BUCKET_MS = 0.0625


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 when the server did not do its part, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="faktory-tw", description="Work with a running Faktory server.")
    parser.add_argument("--version", action="version", version=f"faktory-tw {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_load(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except LoadError as error:
        sys.stderr.write(f"faktory-tw: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _add_load(commands: Any) -> None:
    load = commands.add_parser(
        "load",
        help="measure how fast a server is",
        description="Push, fetch and acknowledge jobs as fast as the server lets, and say how fast that was. The jobs "
        "go to queues of their own, load-0 to load-4, which are removed before and after.",
    )
    load.set_defaults(run=_load, refuse=load.error)
    load.add_argument(
        "--url",
        type=_address,
        default=os.environ.get("FAKTORY_URL") or "tcp://localhost:7419",
        help="tcp://:password@host:port [default: FAKTORY_URL, else tcp://localhost:7419]",
    )
    load.add_argument("--jobs", type=_positive, default=30_000, metavar="N", help="jobs in all [30000]")
    load.add_argument("--connections", type=_positive, default=10, metavar="N", help="connections [10]")
    load.add_argument("--pipeline", type=_positive, default=1, metavar="N", help="commands in flight on each [1]")
    load.add_argument("--bulk", type=_positive, default=1, metavar="N", help="jobs a PUSHB; 1 is PUSH [1]")
    load.add_argument("--size", type=_natural, default=0, metavar="BYTES", help="bytes added to each job [0]")
    load.add_argument(
        "--processes", type=_positive, default=0, metavar="N", help="processes [half the processors]; mixed: 1"
    )
    load.add_argument(
        "--mode",
        choices=MODES,
        default="cycle",
        help="cycle: each connection pushes, fetches, acknowledges; push: only push; drain: push all, then fetch and "
        "acknowledge all; mixed: half of the connections push, half drain [cycle]",
    )
    load.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def _positive(text: str) -> int:
    return _whole_number(text, 1)


def _natural(text: str) -> int:
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"must be a whole number of {least} or more, not {text!r}")
    return number


def _address(url: str) -> tuple[str, int, str | None]:
    """Host, port and password of a server's URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or 7419
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{url!r}: {error}") from None
    if parts.scheme != "tcp" or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{url!r} is no URL such as tcp://:password@localhost:7419")
    return parts.hostname, port, unquote(parts.password) if parts.password else None


def _load(options: argparse.Namespace) -> int:
    if options.mode == "mixed" and options.connections < 2:
        options.refuse("mode mixed needs two connections or more: --connections 2")
    host, port, password = options.url
    plan = Plan(
        host,
        port,
        password,
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
