"""Throttles under a crash test: never more jobs are worked than the limit says, and no slot is lost for good.

What a worker holds from the answer to its FETCH until it sends its ACK or FAIL, the server counts as well; so the number of
those is never above the limit, whatever is killed meanwhile. Not counted after a kill: fetches that it may have lost, see
ledger.py. And all the time the server is asked how many slots are taken: no fewer than workers hold. Times of workers lie inside those of the server, except where a slot comes back by itself: there some are taken off.
The limits of one throttle change with SIGHUP.
"""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tests.system.fwp import Client
from tests.system.ledger import NEVER, Account, Fetch, Ledger
from tests.system.server import Server
from tests.system.traits.trait import Trait, Turn, toml, write_settings

ONE, THREE, VARIED, KEYED, MINE, RATED = QUEUES = tuple(
    f"limited-{name}" for name in ("one", "three", "varied", "keyed", "mine", "rated")
)
TIMEOUT_SECONDS = 4.0
RATE, BURST = 0.5, 3  # so slow that what a restart takes brings less than a bucket
SLACK_SECONDS = 1.5  # between what a worker and what the server takes for the time
TENANTS = ("a", "b", "c", "d")


class Throttles(Trait):
    """See the module's docstring."""

    queues: Mapping[str, int] = {ONE: 1, THREE: 3, VARIED: 2, KEYED: 1, MINE: 2, RATED: 100}
    share = 0.08
    pause_seconds = 0.05

    def __init__(self) -> None:
        self.limits: list[tuple[float, dict[str, int]]] = []  # since when
        self.seen: list[tuple[float, float, dict[str, int]]] = []  # asked and told when; slots taken, by queue
        self._told: dict[str, dict[str, Any]] = {}
        self._rated = threading.Semaphore(BURST)

    def configure(self, server: Server, rng: random.Random, last: bool) -> None:
        limits = {ONE: 1, THREE: 3, VARIED: rng.choice((2, 3, 5)), KEYED: 2, MINE: 2}
        rate = {"limit": 1_000_000 if last else 1, "period": 1 if last else 1 / RATE, "burst": 1000 if last else BURST}
        write_settings(server, "throttles.toml", as_toml(limits, rate))
        self.limits.append((time.monotonic(), limits))
        for _ in range(BURST):
            self._rated.release()

    def mark(self, account: Account, rng: random.Random) -> None:
        if rng.random() > self.share:
            return
        account.queue = rng.choice(QUEUES)
        if account.queue == RATED and not self._rated.acquire(blocking=False):
            account.queue = THREE  # not more than go through it
        if account.queue == KEYED and account.args is None:
            account.args = [rng.choice(TENANTS), account.sequence]

    def act(self, turn: Turn) -> bool:
        asked_at = time.monotonic()
        told = throttles(turn.client)
        self.seen.append((asked_at, time.monotonic(), {name: each["taken"] for name, each in told.items()}))
        time.sleep(self.pause_seconds)
        return not turn.going_on

    def finished(self, client: Client, ledger: Ledger) -> None:
        self._told = throttles(client)

    def drained(self, client: Client, ledger: Ledger) -> None:
        for name, told in throttles(client).items():
            if told["taken"] or told["waiting"]:
                ledger.verdict.find("throttles: slots are taken though nobody works", f"{name}: {told}")

    def judge(self, ledger: Ledger) -> None:
        lanes: dict[tuple[str, str], list[tuple[Account, Fetch]]] = defaultdict(list)
        last = max((fetch.incarnation for each in ledger.accounts.values() for fetch in each.fetches), default=0)
        for account in ledger.accounts.values():
            if account.queue in self.queues:
                for fetch in account.fetches:
                    if fetch.incarnation < last:  # that one drains
                        lanes[account.queue, lane(account, fetch)].append((account, fetch))
        most = dict.fromkeys(QUEUES, 0)
        for (queue, key), held in lanes.items():
            if queue == RATED:
                most[queue] = max(most[queue], self._judge_rate(ledger, held))
            else:
                most[queue] = max(most[queue], self._judge_slots(ledger, queue, key, held))
        for queue in QUEUES:
            self._judge_seen(
                ledger, queue, [pair for (name, _), held in lanes.items() if name == queue for pair in held]
            )
        self._judge_told(ledger)
        ledger.verdict.figures["throttled jobs"] = sum(a.queue in self.queues for a in ledger.accounts.values())
        ledger.verdict.figures["... deliveries"] = sum(map(len, lanes.values()))
        for queue in QUEUES[:-1]:
            allowed = max((limits[queue] for _, limits in self.limits), default=0)
            ledger.verdict.figures[f"... most at once, of {allowed}, in {queue}"] = most[queue]
        ledger.verdict.figures[f"... most in {1 / RATE:.0f} s, of {1 + BURST}, in {RATED}"] = most[RATED]

    def _judge_slots(self, ledger: Ledger, queue: str, key: str, held: list[tuple[Account, Fetch]]) -> int:
        """At the moment of each FETCH: how many were held? Returns the most."""
        spans = sorted((fetch.received_at, held_until(ledger, account, fetch)) for account, fetch in held)
        begins, most = [begin for begin, _ in spans], 0
        ends = sorted(max(end, begin) for begin, end in spans)
        for begin in begins:
            count = bisect_right(begins, begin) - bisect_left(ends, begin + 1e-9)
            most = max(most, count)
            if count > (limit := self._limit(queue, begin)):
                ledger.verdict.find(
                    "throttles: more at once than allowed", f"{queue} {key}: {count} of {limit}, {begin:.3f}"
                )
        return most

    def _judge_seen(self, ledger: Ledger, queue: str, held: list[tuple[Account, Fetch]]) -> None:
        """Whoever held a job from before the question until after the answer had a slot in it."""
        begins = sorted(fetch.received_at for _, fetch in held)
        ends = sorted(held_until(ledger, account, fetch) for account, fetch in held)
        for asked_at, told_at, taken in self.seen:
            least = bisect_right(begins, asked_at) - bisect_left(ends, told_at)
            if taken.get(queue, 0) < least:
                told = f"{queue}: {taken.get(queue, 0)} taken, {least} held, {told_at:.3f}"
                ledger.verdict.find("throttles: slots forgotten", told)

    def _limit(self, queue: str, moment: float) -> int:
        """The highest that may have been in force then."""
        since = [begin for begin, _ in self.limits]
        first = max(bisect_right(since, moment - SLACK_SECONDS) - 2, 0)
        last = bisect_right(since, moment + SLACK_SECONDS)
        return max(limits[queue] for _, limits in self.limits[first:last])

    def _judge_rate(self, ledger: Ledger, held: list[tuple[Account, Fetch]]) -> int:
        """From one FETCH to any later one: no more than the bucket had and what came meanwhile. Returns the most in 2 s."""
        times = sorted(fetch.received_at for _, fetch in held if not ledger.excused(fetch))
        least, most = NEVER, 0  # of what had been used up of what came, before one of them
        for number, moment in enumerate(times):
            least = min(least, number - RATE * moment)
            used = number + 1 - RATE * moment - least
            if used > BURST + RATE * SLACK_SECONDS + 1e-6:
                ledger.verdict.find("throttles: faster than the rate", f"{used:.1f} tokens of {BURST} at {moment:.3f}")
                break
            most = max(most, number + 1 - bisect_left(times, moment - 1 / RATE))
        return most

    def _judge_told(self, ledger: Ledger) -> None:
        """Who holds a slot at the end: the jobs that are worked, and nobody else."""
        for queue, told in self._told.items():
            working = sum(row.place == "working" and row.queue == queue for row in ledger.rows.values())
            least = 0 if queue == ONE else working
            if not least <= told["taken"] <= working:
                ledger.verdict.find("throttles: slots and reservations disagree", f"{working} worked, {told}")


def as_toml(limits: dict[str, int], rate: dict[str, Any]) -> str:
    """The settings."""
    entries: dict[str, dict[str, Any]] = {
        ONE: {"concurrency": limits[ONE], "timeout": TIMEOUT_SECONDS},
        THREE: {"concurrency": limits[THREE]},
        VARIED: {"concurrency": limits[VARIED]},
        KEYED: {"queue": KEYED, "key": "0", "concurrency": limits[KEYED]},
        MINE: {"worker": limits[MINE]},
        RATED: {"rate": rate},
    }
    return "[throttles]\n" + "".join(f"{name} = {toml(entry)}\n" for name, entry in entries.items())


def throttles(client: Client) -> dict[str, dict[str, Any]]:
    """What ADMIN THROTTLES tells, by name."""
    return {told["name"]: told for told in client.do("ADMIN THROTTLES", {})["throttles"]}


def lane(account: Account, fetch: Fetch) -> str:
    """What a limit is for, in its queue."""
    if account.queue == KEYED:
        return str((account.args or [""])[0])
    return fetch.wid if account.queue == MINE else ""


def held_until(ledger: Ledger, account: Account, fetch: Fetch) -> float:
    """Until when the server counts this fetch for certain."""
    ends = [fetch.sent_at or NEVER]
    if account.queue == ONE:
        ends.append(fetch.received_at + TIMEOUT_SECONDS - SLACK_SECONDS)
    if ledger.excused(fetch):
        ends.append(ledger.killed_at[fetch.incarnation])
    # An earlier worker, whose own fetch was lost, or who says once more what was not answered, may have ended this one.
    for other in account.fetches:
        late = (other.answered_at or NEVER) >= fetch.received_at and (other.times_sent > 1 or ledger.excused(other))
        if other.order() < fetch.order() and late:
            ends.append(other.sent_at or NEVER)
    return max(min(ends), fetch.received_at)
