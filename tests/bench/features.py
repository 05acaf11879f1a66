"""What features cost: bytes of memory and of disk for each lock, job that may expire, track, and request to stop.

    python -m tests.bench.features [--count 100000] [KIND …]

Each kind is measured in a process of its own: so many jobs are pushed into a real store, with the feature and without, and
the difference is told. A track is measured again after its job has ended, for it outlives the job.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faktory_tw.features.cancel import Cancel
from faktory_tw.features.tracking import Tracking
from faktory_tw.server import resident_kib
from tests.unit.doubles import DATABASE_FILES, Engine, FakeClock

COMMIT_EVERY = 5000
QUEUE = "features"

Work = Callable[[Engine, int], None]


def jid_of(number: int) -> str:
    """Return a jid of 24 characters, as most libraries make them."""
    return f"job-{number:020}"


def push(engine: Engine, count: int, custom: dict[str, Any] | None = None) -> None:
    """Push so many jobs of different args."""
    for number in range(count):
        engine.push(jid_of(number), queue=QUEUE, args=[number], custom=custom)
        if number % COMMIT_EVERY == 0:
            engine.commit()


def say(engine: Engine, count: int, said: str) -> None:
    """TRACK SET all of them."""
    tracking = engine.manager.facts.find(Tracking)
    for number in range(count):
        tracking.execute(f'SET {{"jid":"{jid_of(number)}",{said}}}'.encode(), "")
        if number % COMMIT_EVERY == 0:
            engine.commit()


def described(engine: Engine, count: int) -> None:
    """Tracks with a sentence and a percentage."""
    push(engine, count, {"track": 1})
    say(engine, count, f'"percent":50,"desc":"{"x" * 40}"')


def with_result(engine: Engine, count: int) -> None:
    """Tracks with a result of 100 bytes, too."""
    described(engine, count)
    say(engine, count, f'"result":"{"x" * 98}"')


def work_on(engine: Engine, count: int, custom: dict[str, Any] | None = None) -> None:
    """Have a worker fetch all."""
    push(engine, count, custom)
    while engine.fetch(QUEUE) is not None:
        pass


def ended(engine: Engine, count: int, custom: dict[str, Any] | None = None) -> None:
    """Jobs that are done."""
    work_on(engine, count, custom)
    for number in range(count):
        engine.manager.ack(jid_of(number), "")
        if number % COMMIT_EVERY == 0:
            engine.commit()


def cancelled(engine: Engine, count: int) -> None:
    """Jobs that are worked and were asked to stop."""
    work_on(engine, count)
    for reservation in list(engine.manager.reservations()):
        engine.manager.facts.find(Cancel).ask(reservation.job.id)


KINDS: dict[str, tuple[Work, Work]] = {
    "lock": (lambda engine, count: push(engine, count, {"unique_for": 3600}), push),
    "expiring job": (lambda engine, count: push(engine, count, {"expires_in": 3600}), push),
    "track": (lambda engine, count: push(engine, count, {"track": 1}), push),
    "track with desc": (described, push),
    "track with desc, result": (with_result, push),
    "track of a done job": (lambda engine, count: ended(engine, count, {"track": 1}), ended),
    "request to stop": (cancelled, work_on),
}
"""What is measured: the work that makes so many of it, and the same work with plain jobs."""


def measure(kind: str, plain: bool, count: int) -> tuple[int, int, float]:
    """Bytes of memory and of disk, and seconds, in this process."""
    work = KINDS[kind][plain]
    with tempfile.TemporaryDirectory(prefix="faktory-bench-") as directory:
        engine = Engine(Path(directory) / "data", FakeClock())
        push(engine, 1)
        engine.manager.flush()
        engine.commit()
        before, began = resident_kib(), time.perf_counter()
        work(engine, count)
        engine.commit()
        seconds = time.perf_counter() - began
        gc.collect()
        memory = (resident_kib() - before) * 1024
        engine.stop()
        disk = sum(file.stat().st_size for name in DATABASE_FILES if (file := Path(directory) / "data" / name).exists())
    return memory, disk, seconds


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)} [all]")
    parser.add_argument("--count", type=int, default=100_000, help="how many of each [100000]")
    options = parser.parse_args()
    if unknown := set(options.kinds) - KINDS.keys():
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    print(f"{'':<26}{'memory':>9}{'disk':>9}{'µs more':>9}   bytes each, {options.count} of them")
    fresh = multiprocessing.get_context("spawn")
    for kind in options.kinds or KINDS:
        figures = []
        for plain in (False, True):
            with fresh.Pool(1) as pool:
                figures.append(pool.apply(measure, (kind, plain, options.count)))
        (memory, disk, seconds), (plain_memory, plain_disk, plain_seconds) = figures
        each = [(memory - plain_memory) / options.count, (disk - plain_disk) / options.count]
        more = (seconds - plain_seconds) / options.count * 1e6
        print(f"{kind:<26}{each[0]:>9.0f}{each[1]:>9.0f}{more:>9.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
