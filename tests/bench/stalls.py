"""How long the features hold the reactor: the longest turn of each situation that has much work come at once.

    python -m tests.bench.stalls [--count 1000000] [--directory DIR] [SITUATION …]

Each situation is built in a process of its own, on a real store, and then played turn by turn as the reactor would: one
command, one slice of a long command, or one slice of the periodic duties is a turn. Told are how many entries there were,
how many turns it took, the longest of them and all together, in milliseconds of processor time of that thread: what other
processes do meanwhile does not count. What is on its way to the disk is written between two turns, as the writing thread
does it, and is not counted. ``start`` is told beside it: the seconds in which a server with that data loads it.

By hand: it says how long, which no test may rely on. The tests count work instead; see tests/unit/turns.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from faktory_tw import process
from faktory_tw.core.tasks import MOST_RECORDS
from tests.bench.scene import Scene
from tests.bench.situations import SITUATIONS

_ROW = "{:<44}{:>10}{:>9}{:>12}{:>12}{:>9}"


class Figures(NamedTuple):
    """What one situation came to."""

    entries: int
    turns: int
    longest_ms: float
    total_ms: float
    start_seconds: float
    of: str  # what the longest turn was


def play(name: str, count: int, directory: str | None) -> Figures:
    """Build a situation and play it, in this process."""
    process.tune_interpreter()
    with tempfile.TemporaryDirectory(prefix="faktory-stalls-", dir=directory) as place:
        scene = Scene(Path(place))
        situation = SITUATIONS[name]
        entries, turns = situation(scene, count)
        scene.commit()
        began = time.thread_time()
        if scene.restarts:
            scene.engine.restart()
            turns = scene.again()
        start = time.thread_time() - began if scene.restarts else 0.0
        process.freeze_garbage()
        return _measured(scene, entries, turns, start)


def _measured(scene: Scene, entries: int, turns: Iterator[tuple[str, Callable[[], Any]]], start: float) -> Figures:
    longest, total, number, what = 0.0, 0.0, 0, ""
    for name, turn in turns:
        began = time.thread_time()
        turn()
        spent = time.thread_time() - began
        number, total = number + 1, total + spent
        if spent > longest:
            longest, what = spent, name
        if len(scene.engine.store.batch) > MOST_RECORDS // 4:
            scene.commit()
    return Figures(entries, number, longest * 1e3, total * 1e3, start, what)


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("situations", nargs="*", metavar="SITUATION", help=f"of {', '.join(SITUATIONS)} [all]")
    parser.add_argument("--count", type=int, default=1_000_000, help="entries, where there may be so many [1000000]")
    parser.add_argument("--directory", help="where the data is kept meanwhile")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each, for a comparison")
    options = parser.parse_args()
    if unknown := set(options.situations) - SITUATIONS.keys():
        parser.error(f"no such situation: {', '.join(sorted(unknown))}")
    if not options.json:
        print(_ROW.format("situation", "entries", "turns", "longest ms", "all ms", "start s"))
    fresh = multiprocessing.get_context("spawn")
    for number, name in enumerate(options.situations or SITUATIONS, 1):
        print(f"{number}: {name} …", file=sys.stderr, flush=True)
        with fresh.Pool(1) as pool:
            found: Figures = pool.apply(play, (name, options.count, options.directory))
        if options.json:
            print(json.dumps({"situation": name, **found._asdict()}), flush=True)
            continue
        start = f"{found.start_seconds:.1f}" if found.start_seconds else ""
        row = (name, found.entries, found.turns, f"{found.longest_ms:.1f}", f"{found.total_ms:.0f}", start)
        print(_ROW.format(*row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
