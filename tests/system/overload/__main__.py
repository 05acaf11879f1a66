"""Far more clients, jobs or queues at once than on an ordinary day: who is served, and what holds the event loop.

    python -m tests.system.overload [--scale 0.1] [--deep 10000000] [--directory DIR] [PART...]

Each part starts a server of its own, with a probe in it that measures every turn of the event loop (probe.py), and a
polite client that pushes one job after the other and takes the time of each. A row of the table is one situation: how
many of what it is about, how many seconds it took, the median, 99th percentile and maximum of the polite client's PUSH,
the processor time of the longest turn, its time by the clock, how many turns took more than 50 ms of processor time, and
the server's memory. On a machine that does other things, too, only processor time says what the server does; a turn of
more than 50 ms of it is one that has to be cut in slices.

The program fails when something is lost, out of order, or not as it has to be; never for a time. `--scale` makes
everything smaller (and the minute after which workers are gone shorter); test_overload.py runs it so. With all of it a
run takes some fifteen minutes. Both ends need a file handle a connection: raise `ulimit -n` where that is less.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tests.system.overload import clients, jobs
from tests.system.overload.stand import HEAD, Options, Stand

PARTS: dict[str, Callable[[Options], Stand]] = {
    part.__name__: part
    for part in (
        clients.connections,
        clients.silence,
        clients.herd,
        clients.herd_with_password,
        jobs.due,
        jobs.deep,
        jobs.bulk,
        clients.producers,
        jobs.queues,
        clients.workers,
        clients.leases,
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all parts, or those that are named; print the table, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.overload", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--deep", type=int, default=1_000_000, help="jobs in the deep queue, at full scale")
    parser.add_argument("--directory", help="where the data lies; default: where temporary files do")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    stands = {}
    for name in options.parts or PARTS:
        sys.stderr.write(f"== {name}\n")
        stands[name] = PARTS[name](Options(options.scale, options.deep, options.directory))
    sys.stdout.write(table(stands))
    return 1 if any(stand.wrong for stand in stands.values()) else 0


def table(stands: dict[str, Stand]) -> str:
    """Return what was measured, noted and found wrong."""
    lines = [HEAD]
    for name, stand in stands.items():
        lines += ["", name, *(row.text() for row in stand.rows), *(f"  {note}" for note in stand.notes)]
        lines += [f"  WRONG: {wrong}" for wrong in stand.wrong]
    wrong = sum(len(stand.wrong) for stand in stands.values())
    long = sum(turn.processor > 0.05 for stand in stands.values() for row in stand.rows for turn in row.turns)
    lines += ["", f"{wrong} things wrong; {long} turns of more than 50 ms of processor time"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
