"""Set the wall clock of a server forward and back under load, many times, and account for every job.

    python -m tests.system.clock_steps --rounds 20 --seed 1

The clock of the server (wall.py) is not that of the machine: it jumps by seconds, minutes, hours and days, at random moments
and over restarts, while CLOCK_MONOTONIC goes on. Meanwhile the crew of the torture (crew.py) pushes, fetches and settles
jobs, a worker with heartbeats holds some from beginning to end, and in each round every feature has its episode
(clock_episodes.py): scheduled jobs, retries, locks, expiry, batches, tracks, throttles, cron, backups, pages, a process that
is stopped for a while.

At the end the ledger compares everything that was said with the database, and with what a server delivers that is started
thirty days later. The program ends with a table, and with status 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.system.clock_episodes import EPISODES, frozen
from tests.system.clock_town import PATIENCE_SECONDS, Town
from tests.system.crew import BROKEN
from tests.system.fwp import ServerError
from tests.system.ledger import Verdict
from tests.system.server import Server
from tests.system.torture import drain, examine, table
from tests.system.wall import DAY, Wall

QUIET_WATCHDOG_SECONDS = 45.0  # it speaks twice a second, and the smallest steps but one are longer
LATE_STARTS = (-3 * 3600.0, 30 * DAY, -30 * DAY)  # what the clock does while the server is down


def clock_steps(
    server: Server,
    wall: Wall,
    *,
    rounds: int,
    seed: int,
    episodes: Sequence[str] = tuple(EPISODES),
    wanders: int = 5,
    late_starts: Sequence[float] = LATE_STARTS,
    producers: int = 2,
    workers: int = 3,
    pause_seconds: float = 0.05,
    frozen_seconds: float = 0.0,
    quiet: bool = True,
) -> Verdict:
    """Run the whole test with `server`, not yet started, and return the verdict; `quiet`: without progress lines."""
    town = Town(server, wall, seed=seed, producers=producers, workers=workers, pause_seconds=pause_seconds)
    town.begin()
    for number in range(rounds):
        order = list(episodes)
        town.rng.shuffle(order)
        for name in order:
            play(town, name)
            for _ in range(wanders):
                town.wander()
            if not quiet:
                progress(town, number, rounds, name)
        for seconds in late_starts:
            town.restart(seconds)
            town.look()
    end(town, frozen_seconds)
    return town.verdict


def play(town: Town, name: str) -> None:
    """One episode; what breaks it is a finding."""
    town.counts[f"episodes of {name}"] += 1
    try:
        with town.client() as client:
            EPISODES[name](town, client)
    except (ServerError, OSError, *BROKEN) as error:
        town.find(f"the episode {name} broke off", f"{error!r}\n{town.server.log()[-2000:]}")


def end(town: Town, frozen_seconds: float) -> None:
    """Let everybody go, and compare what was said with what there is."""
    ledger, server = town.ledger, town.server
    town.end_holding()
    town.arena.finish()
    town.crew.join()
    town.look()
    if frozen_seconds:
        with server.client(timeout=frozen_seconds + PATIENCE_SECONDS) as client:
            frozen(town, client, frozen_seconds)
            frozen(town, client, frozen_seconds)  # again before its duties of this second
    for failure in town.crew.failures:
        town.find("a client ended early", failure)
    ledger.killed(town.incarnation)
    town.note_log()
    town.without_cron()
    rows = [row for row in examine(server, ledger) if row.jid in ledger.accounts]
    town.set_clock(30 * DAY)
    town.silence()
    drain(server, ledger, rows, town.incarnation + 1, town.rng)
    ledger.judge_drain(rows, town.incarnation + 1)
    ledger.judge_deliveries()
    longest = town.watchdog.longest
    town.check(longest < QUIET_WATCHDOG_SECONDS, "the watchdog was not fed", f"for {longest:.1f} s")
    town.check(town.statsd.heard > 0, "statsd heard nothing", "")
    wrong = {kind: len(found) for kind, found in ledger.verdict.wrong.items()}
    kinds = {
        "lost": ("acknowledged and lost", "in the database and never delivered"),
        "doubled": ("finished and delivered again", "delivered twice", "a minute of cron twice", "too early or twice"),
        "starved": ("starved",),
        "reservations taken back wrongly": ("taken back wrongly", "a reservation was lost", "reservation forgotten"),
    }
    before = ledger.verdict.figures
    ledger.verdict.figures = {
        "steps of the clock": town.counts["steps"],
        "restarts with a step": town.counts["restarts"],
        "checks": town.counts["checks"],
        "minutes of cron with a job": len(town.ticks),
        "words of the watchdog": town.watchdog.heard,
        "jobs held all the time": town.counts["jobs held all the time"],
        **{name: count for name, count in sorted(town.counts.items()) if name.startswith("episodes")},
        **before,
        **{name: sum(wrong.get(kind, 0) for kind in of) for name, of in kinds.items()},
    }


def progress(town: Town, number: int, rounds: int, name: str) -> None:
    """Say on stderr how far it is."""
    jobs, wrong = len(town.ledger.accounts), sum(map(len, town.verdict.wrong.values()))
    sys.stderr.write(
        f"round {number + 1}/{rounds}, {name}: {town.counts['steps']} steps, {town.counts['restarts']} restarts, "
        f"{jobs} jobs, {wrong} wrong\n"
    )


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="each has all episodes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wanders", type=int, default=5, help="steps at random after each episode")
    parser.add_argument("--episodes", nargs="+", choices=tuple(EPISODES), default=tuple(EPISODES))
    parser.add_argument(
        "--frozen", type=float, default=65.0, metavar="SECONDS", help="stop the process twice, at the end"
    )
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        wall, server = Wall.build(Path(temporary)), Server(Path(temporary))
        try:
            verdict = clock_steps(
                server,
                wall,
                rounds=options.rounds,
                seed=options.seed,
                episodes=options.episodes,
                wanders=options.wanders,
                frozen_seconds=options.frozen,
                quiet=False,
            )
        finally:
            server.close()
    sys.stdout.write(table(verdict, time.monotonic() - began) + "\n")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
