"""Whether the time in which a wrong password is refused tells how much of it was right.

    python -m tests.bench.guesses [--rounds 20000]

For the command port, the hash of HELLO is wrong in its first byte, in its last, or of another length; for the web UI the
password is wrong in its first character, in its last, too short, too long, or nearly that of readers. All of one door are
tried in turn, in an order that changes by chance, in this process, without a network, so that nothing hides a difference.
Printed are, in nanoseconds, the median of each, and how far its mean (without the slowest tenth) is from that of the
first, with its standard error. "The same again" is the same guess in another place of memory, which by itself makes a
difference of some nanoseconds: what is not larger than that one tells nothing.

On one core with CPython 3.11 all differences between guesses of one length were below 30 ns of 9.9 µs
(HELLO) and of 1.7 µs (web UI), those between the same guesses among them. An empty hash is refused some 70 ns earlier; how
long a hash is, is no secret.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from faktory_tw.core.manager import JobManager
from faktory_tw.server import Server
from faktory_tw.session import Session
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.wire import FatalCommandError

PASSWORD = "correct-horse-battery-staple"
READERS = "only-looking-at-everything"
_KEPT = 0.9  # of the times of each; the rest are interruptions

Guess = Callable[[], object]


def hellos(server: Server) -> Mapping[str, Guess]:
    """What is tried at the command port."""
    right = server.challenge().expected
    hashes = {
        "first byte wrong": ("0" if right[0] != "0" else "1") + right[1:],
        "the same again": ("0" if right[0] != "0" else "1") + right[1:],
        "last byte wrong": right[:-1] + ("0" if right[-1] != "0" else "1"),
        "all wrong": "".join("0" if digit != "0" else "1" for digit in right),
        "half as long": right[:32],
        "empty": "",
    }
    lines = {name: b'HELLO {"v":2,"pwdhash":"%b"}' % text.encode() for name, text in hashes.items()}
    return {name: partial(refused, server, line) for name, line in lines.items()}


def refused(server: Server, line: bytes) -> None:
    """Say HELLO with a wrong password."""
    try:
        Session(server, lambda *_: True).execute(line)
    except FatalCommandError:
        return
    raise AssertionError("that was right")


def passwords(server: Server) -> Mapping[str, Guess]:
    """What is tried at the web UI."""
    tried = {
        "first character wrong": "x" + PASSWORD[1:],
        "the same again": "x" + PASSWORD[1:],
        "last character wrong": PASSWORD[:-1] + "x",
        "all wrong": "x" * len(PASSWORD),
        "one too short": PASSWORD[:-1],
        "one too long": PASSWORD + "x",
        "readers', first wrong": "x" + READERS[1:],
        "readers', last wrong": READERS[:-1] + "x",
    }
    return {name: partial(server.web_role, text.encode()) for name, text in tried.items()}


def measure(guesses: Mapping[str, Guess], rounds: int) -> dict[str, list[int]]:
    """The nanoseconds of each, in order of their length."""
    taken: dict[str, list[int]] = {name: [] for name in guesses}
    order = list(guesses)
    dice = random.Random(7419)
    clock = time.perf_counter_ns
    gc.disable()
    for _ in range(rounds):
        dice.shuffle(order)
        for name in order:
            guess = guesses[name]
            began = clock()
            guess()
            taken[name].append(clock() - began)
    gc.enable()
    return {name: sorted(times) for name, times in taken.items()}


def report(door: str, taken: Mapping[str, list[int]]) -> None:
    """Print a table of one door."""
    print(f"{door:<28}{'median':>10}{'difference':>14}{'error':>10}")
    first: list[int] = []
    for name, times in taken.items():
        kept = times[: int(len(times) * _KEPT)]
        first = first or kept
        difference = statistics.fmean(kept) - statistics.fmean(first)
        error = ((statistics.variance(kept) + statistics.variance(first)) / len(kept)) ** 0.5
        print(f"  {name:<26}{statistics.median(times):>10,.0f}{difference:>+14.1f}{error:>10.1f}")


def main() -> int:
    """Measure both doors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20_000)
    options = parser.parse_args()
    with TemporaryDirectory() as directory:
        store = SQLiteStore(Path(directory), "os")
        manager = JobManager(store, time, lambda below: 0)
        server = Server(manager, time, lambda steps, finish: None, PASSWORD)
        server.change_passwords(PASSWORD, None, READERS)
        challenge = server.challenge()
        server.challenge = lambda: challenge  # type: ignore[method-assign]
        server.attempts.succeeded("")  # so that none is turned away
        report("HELLO", measure(hellos(server), options.rounds))
        report("web UI", measure(passwords(server), options.rounds))
        store.finish()
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
