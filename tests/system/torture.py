"""Kill the server at random moments under load, many times, and account for every job.

    python -m tests.system.torture --kills 300 --seed 1

Producers and workers (crew.py) keep a server busy: PUSH and PUSHB with priorities into several queues, scheduled jobs,
FETCH, ACK, FAIL with and without retries. Parts of the jobs ask for more: unique ones, ones that expire, tracks and results,
throttles, batches, cron, changes by operators (traits/). Meanwhile the process is ended with SIGKILL, now and then while it
is still starting, stopping, or makes a backup; it is stopped and reconfigured; and backups are restored (mishaps.py). It is
started again on the same directory. At the end everything that was said is compared (ledger.py, traits/) with

1.  the rows of the database after a clean stop, and INFO just before it,
2.  what a last process delivers when everything in it is drained.

It ends with a table, and with status 1 if anything is wrong. One exception is counted and not held against the server,
see ledger.py: a job fetched in the last second before a kill may come back after a late ACK.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.system.crew import QUEUES, Arena, Crew
from tests.system.fwp import Client, ConnectionEnded
from tests.system.ledger import Account, Found, Ledger, Verdict
from tests.system.mishaps import Mishaps
from tests.system.server import Server
from tests.system.traits.standard import standard_traits
from tests.system.traits.trait import Trait

# What expires has expired, and was swept away, so long after the last push.
SWEPT_SECONDS = 3.0

# A FETCH of an empty queue waits two seconds; so many jobs are asked for at once when draining.
DRAIN_DEPTH = 100
DRAIN_ROUNDS = 20

PLACES = ("queued", "scheduled", "retries", "dead", "working")
ROWS = """
    SELECT json_extract(jobs.body, '$.jid'), coalesce(places.place, jobs.at IS NOT NULL), jobs.queue, jobs.priority,
           coalesce(places.failure, ''), coalesce(places.position, jobs.id),
           coalesce(json_extract(jobs.body, '$.custom'), '')
    FROM jobs LEFT JOIN places USING (id) LEFT JOIN queues ON queues.name = jobs.queue
    WHERE coalesce(places.place, jobs.at IS NOT NULL) <> 0
       OR coalesce(places.position, jobs.id) >= queues.floor
"""


def torture(
    server: Server, *, kills: int, seed: int, producers: int = 3, workers: int = 5, quiet: bool = True
) -> Verdict:
    """Run the whole test with `server`, not yet started, and return the verdict; `quiet`: without a progress line."""
    rng = random.Random(seed)
    ledger, arena = Ledger(standard_traits(), synced="commit" in server.arguments or not server.arguments), Arena()
    crew = Crew(arena, ledger, seed, producers, workers)
    crew.start()
    mishaps = Mishaps(server, ledger, arena, rng, compare_with_info)
    for done in mishaps.run(kills):
        if not quiet:
            progress(f"{done}/{kills} kills, {len(ledger.accounts)} jobs, {len(ledger.verdict.wrong)} kinds of wrong")
    incarnation = mishaps.start()
    time.sleep(0.5)
    arena.finish()
    crew.join()
    with server.client() as client:
        for trait in ledger.traits:
            trait.rest(client)
    time.sleep(SWEPT_SECONDS)
    for failure in crew.failures:
        ledger.verdict.find("a client ended early", failure)
    if not quiet:
        progress("everything is drained")
    rows = examine(server, ledger)
    ledger.verdict.figures |= mishaps.figures
    try:
        drain(server, ledger, rows, incarnation + 1, rng)
    except (ConnectionEnded, OSError, AssertionError) as error:
        ledger.verdict.find("the server did not let itself be drained", f"{error!r}\n{server.log()[-4000:]}")
    ledger.judge_drain(rows, incarnation + 1)
    ledger.judge_deliveries()
    return ledger.verdict


def examine(server: Server, ledger: Ledger) -> list[Found]:
    """Ask for INFO, stop the server, read its database, compare and judge; return the rows."""
    with server.client(timeout=60.0) as client:
        for trait in ledger.traits:
            trait.finished(client, ledger)
    rows = stop_and_compare(server, ledger.verdict, ledger.traits)
    ledger.judge_rows(rows)
    ledger.verdict.figures.update(Counter(f"at the end: {row.place}" for row in rows))
    return rows


def compare_with_info(server: Server, verdict: Verdict) -> list[Found]:
    """Start a server on what is there, and stop it; compare and return the rows."""
    server.start()
    return stop_and_compare(server, verdict)


def stop_and_compare(server: Server, verdict: Verdict, traits: Sequence[Trait] = ()) -> list[Found]:
    """Ask for INFO, stop the server, and compare; return the rows."""
    with server.client() as client:
        info = client.info()["faktory"]
    if status := server.stop():
        verdict.find("SIGTERM was answered with a status", f"{status}\n{server.log()[-4000:]}")
    server.close()
    rows = read_rows(server.data_directory / "faktory.db", verdict, traits)
    compare_counts(info, rows, verdict)
    return rows


def read_rows(path: Path, verdict: Verdict, traits: Sequence[Trait] = ()) -> list[Found]:
    """Return every job in a database nobody has open, and check the file itself, and what features keep in it."""
    connection = sqlite3.connect(path)
    try:
        result = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if result != "ok":
            verdict.find("the database is damaged", result)
        orphans = connection.execute("SELECT count(*) FROM places WHERE id NOT IN (SELECT id FROM jobs)").fetchone()[0]
        if orphans:
            verdict.find("rows of places without a job", str(orphans))
        for trait in traits or standard_traits():
            trait.check_rows(connection, verdict)
        return [
            Found(jid, PLACES[place], queue, priority, failures(failure), position, custom)
            for jid, place, queue, priority, failure, position, custom in connection.execute(ROWS)
        ]
    except sqlite3.DatabaseError as error:
        verdict.find("the database is damaged", str(error))
        return []
    finally:
        connection.close()


def failures(failure: str) -> int:
    """How often a job has failed."""
    return json.loads(failure)["retry_count"] + 1 if failure else 0


def compare_counts(info: dict[str, Any], rows: list[Found], verdict: Verdict) -> None:
    """Compare INFO's numbers with the rows.

    Between INFO and the stop a job may have come due: the timed sets may have become smaller by what the queues gained.
    """
    have = Counter(row.place for row in rows)
    queues = Counter(row.queue for row in rows if row.place == "queued")
    said = {**info["sets"], "queued": sum(info["queues"].values())}
    due = sum(said[place] - have[place] for place in ("scheduled", "retries"))
    wrong = (
        any(said[place] != have[place] for place in ("dead", "working"))
        or any(said[place] < have[place] for place in ("scheduled", "retries"))
        or have["queued"] - said["queued"] != due
        or any(queues[name] < size for name, size in info["queues"].items())
    )
    if wrong:
        verdict.find("INFO and the database disagree", f"INFO {info['sets']} {info['queues']}, rows {have} {queues}")


def drain(server: Server, ledger: Ledger, rows: list[Found], incarnation: int, rng: random.Random) -> None:
    """Fetch and acknowledge everything, the timed sets after MUTATE; then nothing may be left in the database."""
    for trait in ledger.traits:
        trait.configure(server, rng, last=True)
    server.start()
    depths = dict.fromkeys(QUEUES, DRAIN_DEPTH) | {
        q: depth for trait in ledger.traits for q, depth in trait.queues.items()
    }
    with server.client(wid="torture-drain", timeout=60.0) as client:
        for row in rows:
            if row.place == "working":
                client.ack(row.jid)
        for target in ("scheduled", "retries", "dead"):
            client.mutate("requeue", target)
        positions = {row.jid: row.position for row in rows if row.place == "queued"}
        for _ in range(DRAIN_ROUNDS):  # callbacks of batches come meanwhile
            for queue, depth in depths.items():
                drain_queue(client, queue, depth, ledger, incarnation, Order(ledger.verdict, positions))
            if not any(client.info()["faktory"]["queues"].values()):
                break
        for trait in ledger.traits:
            trait.drained(client, ledger)
        info = client.info()["faktory"]
    judge_rest(server, ledger, info)


def judge_rest(server: Server, ledger: Ledger, info: dict[str, Any]) -> None:
    """After everything was drained nothing may be there; stop the server and look."""
    left = {name: size for name, size in {**info["sets"], **info["queues"]}.items() if size}
    if left:
        ledger.verdict.find("left after everything was drained", str(left))
    if status := server.stop():
        ledger.verdict.find("SIGTERM was answered with a status", f"{status}\n{server.log()[-4000:]}")
    remaining = read_rows(server.data_directory / "faktory.db", ledger.verdict, ledger.traits)
    if remaining:
        ledger.verdict.find("rows left after everything was drained", str(remaining[:3]))


def drain_queue(client: Client, queue: str, most: int, ledger: Ledger, incarnation: int, order: Order) -> None:
    """Fetch and acknowledge one queue to its end, `most` at a time, and check the order in which its jobs come."""
    while size := client.info()["faktory"]["queues"].get(queue, 0):
        depth = min(size, most)
        for _ in range(depth):
            client.send(f"FETCH {queue}")
        fetches = []
        for _ in range(depth):
            reply = client.receive()
            if reply.type != "bulk":
                ledger.verdict.find("INFO counts a job that cannot be fetched", f"{queue}: {reply}")
                return
            fetches.append(ledger.delivered(json.loads(reply.value), incarnation))
            if account := ledger.accounts.get(fetches[-1].jid):
                order.see(account)
        for fetch in fetches:
            fetch.settling("ACK")
            client.send(f'ACK {{"jid":"{fetch.jid}"}}')
        for fetch in fetches:
            reply = client.receive()
            fetch.settled("OK" if reply == ("simple", "OK") else str(reply), incarnation)


class Order:
    """The order in which one queue's jobs have to come while nothing enters it: by priority, then first in, first out.

    For jobs that were queued already when the database was read, that is the order of `positions` (by jid); and those
    that never left their queue must come in the order in which their producer pushed them.
    """

    def __init__(self, verdict: Verdict, positions: dict[str, int]) -> None:
        self.verdict = verdict
        self.positions = positions
        self.lowest = 9
        self.newest: dict[tuple[int, str], int] = {}

    def see(self, account: Account) -> None:
        """A job was delivered."""
        if account.priority > self.lowest:
            self.verdict.find("out of order", f"{account.jid}, priority {account.priority}, after one of {self.lowest}")
        self.lowest = account.priority
        if account.jid in self.positions:
            self._in_line(account, "position", self.positions[account.jid])
        if len(account.fetches) == 1 and not account.scheduled:
            self._in_line(account, account.producer, account.sequence)

    def _in_line(self, account: Account, line: str, number: int) -> None:
        before = self.newest.get((account.priority, line), -1)
        if number < before:
            self.verdict.find("out of order", f"{account.jid}: {line} {number} after {before} in {account.queue}")
        self.newest[account.priority, line] = number


def table(verdict: Verdict, seconds: float) -> str:
    """Return the figures, one a line, and the findings."""
    figures = {**verdict.figures, "seconds": round(seconds)}
    width = max(map(len, figures))
    lines = [f"{name:<{width}}  {number:>9}" for name, number in figures.items()]
    return "\n".join([*lines, "", verdict.text() or "nothing lost, nothing twice, nothing back"])


def say(text: str, end: str = "\n") -> None:
    """Print: this program's result is what it says."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def progress(text: str) -> None:
    """Show how far it is, in one line."""
    sys.stderr.write(f"\r{text:<78}")
    sys.stderr.flush()


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the jobs and of the moments; threads still race")
    parser.add_argument("--producers", type=int, default=3)
    parser.add_argument("--workers", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="an empty one to keep; the default is a temporary one")
    parser.add_argument("--durability", choices=("commit", "second", "os"), default="commit")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        server = Server(options.directory or Path(temporary), arguments=["--durability", options.durability])
        try:
            verdict = torture(
                server,
                kills=options.kills,
                seed=options.seed,
                producers=options.producers,
                workers=options.workers,
                quiet=False,
            )
        finally:
            server.close()
    sys.stderr.write("\n")
    say(table(verdict, time.monotonic() - started))
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
