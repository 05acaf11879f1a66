"""Kill the server while batches are worked, and count every callback.

    python -m tests.system.batch_torture --jobs 100000 --kills 3

One batch has children, and these have children: a tree whose leaves hold the members, with every callback. Producers fill
it while workers already work, fail at some members, and send an ACK or FAIL again that was not answered. Meanwhile the
process is ended with SIGKILL and started again on the same directory. At the end every batch has fired every callback
that it owes exactly once, and its numbers are exact. (The torture has many small batches, see traits/batches.py; here it is
one large family.)

A callback may be delivered twice, as any job whose FETCH was not on disk at the kill, and it has the same jid whenever it
is fired. But every job is counted as processed once: there must have been as many as there are members and callbacks.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.system.crew import Arena, Role, Visitor, visit
from tests.system.fwp import Client, Job, ServerError, job
from tests.system.ledger import Ledger, Verdict
from tests.system.server import Server
from tests.system.torture import progress, read_rows, say
from tests.system.traits.batches import new_batch

QUEUES = ("members", "callbacks")
BULK = 200
FAILING = 0.02
KINDS = ("complete", "success")
PATIENCE_SECONDS = 300.0


class Tree:
    """The batches of one run: a root, `width` children of it, and `width` children of each."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.bids: list[str] = []
        self.leaves: list[str] = []

    def begin(self, client: Client) -> None:
        """Make all batches."""
        root = self._new(client, None)
        for _ in range(self.width):
            middle = self._new(client, root)
            self.leaves += [self._new(client, middle) for _ in range(self.width)]

    def _new(self, client: Client, parent: str | None) -> str:
        asked: dict[str, Any] = {kind: {"jobtype": kind, "queue": "callbacks"} for kind in KINDS}
        if parent is not None:
            asked["parent_bid"] = parent
        bid = new_batch(client, asked)
        self.bids.append(bid)
        return bid


class Run:
    """The threads of one run, and what they saw."""

    def __init__(self, jobs: int, width: int, workers: int, seed: int) -> None:
        self.arena = Arena()
        self.ledger = Ledger()
        self.tree = Tree(width)
        self.members = jobs
        self.failures: list[str] = []
        self.deliveries: Counter[tuple[str, str, str]] = Counter()  # of callbacks, by bid, kind and jid
        self.acked = 0
        self.filled = threading.Event()
        self.over = threading.Event()
        self._lock = threading.Lock()
        roles: list[tuple[Role, str]] = [(self._produce, "producer")]
        roles += [(self._work, f"worker-{number}") for number in range(workers)]
        self._threads = [
            threading.Thread(target=self._watch, args=(role, name, random.Random(f"{seed} {name}")), daemon=True)
            for role, name in roles
        ]

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for every thread to end."""
        for thread in self._threads:
            thread.join(60.0)
            if thread.is_alive():
                self.failures.append("a thread did not end")

    def _watch(self, role: Role, name: str, rng: random.Random) -> None:
        try:
            role(name, rng)
        except Exception as error:  # noqa: BLE001 - whatever ends a thread early is a finding
            self.failures.append(f"{name}: {error!r}")

    def _produce(self, _name: str, _rng: random.Random) -> None:
        """Push the members, and commit. What was not answered is asked for again: total says what had arrived."""
        visit(self.arena, self.ledger, "producer", self._fill)
        self.filled.set()

    def _fill(self, client: Visitor, _going_on: bool) -> bool:
        leaves = self.tree.leaves
        share = -(-self.members // len(leaves))
        for number, leaf in enumerate(leaves):
            wanted = min(share, max(self.members - share * number, 0))
            pushed = client.do(f"BATCH STATUS {leaf}")["total"]
            while pushed < wanted:
                count = min(BULK, wanted - pushed)
                refused = client.pushb(job("Part", queue="members", custom={"bid": leaf}) for _ in range(count))
                assert not refused, refused
                pushed += count
        for bid in self.tree.bids:
            client.do(f"BATCH COMMIT {bid}")
        return True

    def _work(self, name: str, rng: random.Random) -> None:
        held: list[tuple[Job, bool]] = []

        def act(client: Visitor, _going_on: bool) -> bool:
            if not held and (fetched := client.fetch(*QUEUES)) is not None:
                held.append((fetched, fetched["jobtype"] == "Part" and rng.random() < FAILING))
                self._note(fetched)
            if held:
                self._settle(client, *held[0])
                held.clear()
            return self.over.is_set()

        visit(self.arena, self.ledger, f"batch-{name}", act)

    def _note(self, fetched: Job) -> None:
        if fetched["jobtype"] != "Part":
            custom = fetched["custom"]
            with self._lock:
                self.deliveries[custom["_bid"], custom["_cb"], fetched["jid"]] += 1

    def _settle(self, client: Client, fetched: Job, fails: bool) -> None:
        if fails:
            try:
                client.fail(fetched["jid"])
            except ServerError:  # sent before, and not answered
                return
        else:
            client.ack(fetched["jid"])
        with self._lock:
            self.acked += 1


def torture(
    server: Server, *, jobs: int, kills: int, width: int = 5, workers: int = 4, seed: int = 1
) -> tuple[list[str], dict[str, Any]]:
    """Run it with `server`, not yet started. Returns what was wrong, and figures."""
    run = Run(jobs, width, workers, seed)
    began = time.monotonic()
    server.start()
    with server.client() as client:
        run.tree.begin(client)
    run.start()
    for incarnation in range(1, kills + 2):
        run.arena.opened(incarnation, server.port)
        if incarnation > kills:
            break
        goal = jobs * incarnation // (kills + 1)
        wait(lambda goal=goal: run.acked >= goal or bool(run.failures), "the workers get on")  # type: ignore[misc]
        server.kill()
        server.start()
        progress(f"{incarnation}/{kills} kills, {run.acked} jobs done")
    wrong = finish(server, run)
    run.over.set()
    run.join()
    wrong += run.failures
    if status := server.stop():
        wrong.append(f"SIGTERM was answered with {status}")
    verdict = Verdict()
    if rows := read_rows(server.data_directory / "faktory.db", verdict):
        wrong.append(f"{len(rows)} jobs are left")
    wrong += [f"{kind}: {'; '.join(found)}" for kind, found in verdict.wrong.items()]
    figures = {
        "batches": len(run.tree.bids),
        "callbacks": len(run.deliveries),
        "delivered more than once": sum(count > 1 for count in run.deliveries.values()),
        "seconds": round(time.monotonic() - began, 1),
    }
    server.close()
    return wrong, figures


def finish(server: Server, run: Run) -> list[str]:
    """Have what failed tried again until all is done, and compare."""
    wait(lambda: run.filled.is_set() or bool(run.failures), "everything is pushed")
    root = run.tree.bids[0]
    with server.client() as client:

        def done() -> bool:
            client.mutate("requeue", "retries")
            return bool(run.failures) or client.do(f"BATCH STATUS {root}")["success_st"] == "2"

        wait(done, "the root has succeeded")
        wait(lambda: not busy(client), "nothing is left")
        statuses = [client.do(f"BATCH STATUS {bid}") for bid in run.tree.bids]
        counts = client.info()["faktory"]
    succeeded = counts["total_processed"] - counts["total_failures"]
    if succeeded != run.members + len(KINDS) * len(run.tree.bids):
        return [f"{succeeded} jobs succeeded", *compare(run, statuses)]
    return compare(run, statuses)


def busy(client: Client) -> int:
    """Jobs that are anywhere."""
    faktory = client.info()["faktory"]
    client.mutate("requeue", "retries")
    return sum(faktory["queues"].values()) + sum(faktory["sets"].values())


def compare(run: Run, statuses: list[dict[str, Any]]) -> list[str]:
    """Hold what the server says against what was pushed and fetched."""
    wrong = []
    for status in statuses:
        if (status["pending"], status["failed"], status["complete_st"], status["success_st"]) != (0, 0, "2", "2"):
            wrong.append(f"not done: {status}")
    totals = {status["bid"]: status["total"] for status in statuses}
    if sum(totals.values()) != run.members:
        wrong.append(f"{sum(totals.values())} members, not {run.members}")
    firings = Counter((bid, kind) for bid, kind, _ in run.deliveries)
    owed = {(bid, kind) for bid in run.tree.bids for kind in KINDS}
    wrong += [f"fired {firings[each]} times: {each}" for each in owed if firings[each] != 1]
    wrong += [f"not asked for: {each}" for each in firings if each not in owed]
    return wrong


def wait(condition: Callable[[], bool], what: str) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--width", type=int, default=10, help="children of each batch, on two levels")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        server = Server(Path(temporary))
        try:
            wrong, figures = torture(
                server,
                jobs=options.jobs,
                kills=options.kills,
                width=options.width,
                workers=options.workers,
                seed=options.seed,
            )
        finally:
            server.close()
    sys.stderr.write("\n")
    width = max(map(len, figures))
    say("".join(f"{name:<{width}}  {value:>9}\n" for name, value in figures.items()))
    say("".join(f"WRONG {finding}\n" for finding in wrong) or "every callback exactly once")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
