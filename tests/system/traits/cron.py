"""Cron under a crash test: each tick fires once, and what was missed is made up for as `catch_up` says.

A minute of this cron lasts a second (fast_cron.py). The server counts the runs of an entry and keeps the last twenty, each
with its tick and its job. These are read all the time, and compared: a tick may have one job, a job one tick. At the end
there must be as many jobs as runs of the entry that makes up for all, and as many runs as ticks.

A job that was fetched just before a kill may not have been on disk, nor its tick; then the tick has another job after the
start. Such jobs are `fleeting`, and counted.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.system.fast_cron import BEGIN
from tests.system.fwp import Client
from tests.system.ledger import Account, Ledger, Verdict, describe
from tests.system.server import Server
from tests.system.traits.trait import Trait, Turn, entries_of, write_settings

QUEUE = "cron"
ENTRIES = {"all": "all", "last": "last", "skip": "skip", "sometimes": "all"}
EVERY_SECONDS = 60.0  # of its own clock
LATE_SECONDS = 60.0
SLACK_SECONDS = 20.0  # of its own clock: what a slice of work may take
ENTRY = """
[[cron]]
name = "{name}"
schedule = "* * * * *"
catch_up = "{catch_up}"
catch_up_limit = 1000
[cron.job]
type = "Tick"
queue = "cron"
custom = {{ cron = "{name}" }}
"""


class Cron(Trait):
    """See the module's docstring."""

    queues: Mapping[str, int] = {QUEUE: 100}
    pause_seconds = 0.1

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, set[str]]] = {name: defaultdict(set) for name in ENTRIES}  # jids, by tick
        self.strange: list[str] = []
        self.runs: dict[str, int] = {}  # at the end, as the database counts them
        self.settled: dict[str, float] = {}
        self._asked: list[str] = []

    def configure(self, server: Server, rng: random.Random, last: bool) -> None:
        if BEGIN not in server.environment:
            server.environment[BEGIN] = str(time.time())
            server.command = [sys.executable, "-m", "tests.system.fast_cron", *server.command[1:]]
        names = [name for name in ENTRIES if name != "sometimes" or rng.random() < 0.5]
        text = "".join(ENTRY.format(name=name, catch_up=ENTRIES[name]) for name in names)
        write_settings(server, "cron.toml", text)

    def adopt(self, jid: str, custom: dict[str, Any]) -> Account | None:
        if custom.get("cron") not in ENTRIES:
            return None
        return Account(jid, str(custom["cron"]), 0, QUEUE, 5, 25, False, "owed", custom=custom)

    def act(self, turn: Turn) -> bool:
        self._look(turn.client)
        time.sleep(self.pause_seconds)
        return not turn.going_on

    def _look(self, client: Client) -> None:
        for entry in client.do("ADMIN CRON", {})["entries"]:
            for run in entry["runs"]:
                late = seconds(run["at"]) - seconds(run["tick"])
                if run["jid"]:
                    self.seen[entry["name"]][run["tick"]].add(run["jid"])
                wrong = late > LATE_SECONDS + SLACK_SECONDS if run["jid"] else late < LATE_SECONDS
                if entry["catch_up"] == "skip" and wrong:
                    self.strange.append(f"{entry['name']}: {run}")
                if not run["jid"] and entry["catch_up"] != "skip":
                    self.strange.append(f"{entry['name']}: {run}")

    def rest(self, client: Client) -> None:
        for entry in client.do("ADMIN CRON", {})["entries"]:
            client.do("ADMIN CRON", {"action": "pause", "name": entry["name"]})
            self._asked.append(entry["name"])

    def finished(self, client: Client, ledger: Ledger) -> None:
        self._look(client)
        for entry in client.do("ADMIN CRON", {})["entries"]:
            if entry["name"] in self._asked and not entry["paused"]:
                ledger.verdict.find("cron: not paused though asked to", str(entry["name"]))

    drained = finished

    def judge(self, ledger: Ledger) -> None:
        for strange in self.strange:
            ledger.verdict.find("cron: not as catch_up says", strange)
        jobs: dict[str, list[Account]] = defaultdict(list)
        for account in ledger.accounts.values():
            if "cron" in account.custom:
                jobs[account.custom["cron"]].append(account)
        fleeting = {a.jid for accounts in jobs.values() for a in accounts if is_fleeting(ledger, a)}
        for name, ticks in self.seen.items():
            self._judge_ticks(ledger, name, ticks, fleeting)
        kept = [account for account in jobs["all"] if account.jid not in fleeting]
        runs = self.runs.get("all", 0)
        if not len(kept) <= runs <= len(jobs["all"]):
            ledger.verdict.find("cron: jobs and runs disagree", f"{len(kept)} to {len(jobs['all'])} jobs, {runs} runs")
        self._judge_runs(ledger, runs)
        ledger.verdict.figures |= {
            "ticks of cron": sum(map(len, self.seen.values())),
            **{f"... jobs of catch_up {name}": len(jobs[name]) for name in ENTRIES if name != "sometimes"},
            "... runs of catch_up all": runs,
            "... fleeting jobs": len(fleeting),
        }

    def _judge_ticks(self, ledger: Ledger, name: str, ticks: dict[str, set[str]], fleeting: set[str]) -> None:
        last: dict[str, str] = {}
        for tick, jids in sorted(ticks.items()):
            # What was told of a run may not have been on disk either; only what is there still counts then.
            known = [ledger.accounts[jid] for jid in jids if jid in ledger.accounts and jid not in fleeting]
            if len(known) > 1:
                ledger.verdict.find("cron: a tick fired twice", f"{name}, {tick}: {'; '.join(map(describe, known))}")
            for jid in jids:
                if jid in last:
                    ledger.verdict.find("cron: a job of two ticks", f"{name}: {tick} and {last[jid]}: {jid}")
                last[jid] = tick

    def _judge_runs(self, ledger: Ledger, runs: int) -> None:
        """As many runs as ticks, of the entry that was always there."""
        if "all" not in self.settled or not self.seen["all"]:
            return
        first = min(map(seconds, self.seen["all"]))
        ticks = round((self.settled["all"] - first) / EVERY_SECONDS) + 1
        if runs != ticks:
            ledger.verdict.find("cron: ticks lost or made up", f"{runs} runs, {ticks} ticks")

    def check_rows(self, connection: sqlite3.Connection, verdict: Verdict) -> None:
        """There are as many of the last runs as the count says, and no tick has two jobs.

        One that was missed may be carried out later, when the clock is set back.
        """
        ticks: dict[str, list[float]] = defaultdict(list)
        kept: dict[str, int] = defaultdict(int)
        for key, value in entries_of(connection, "cron"):
            name, _, slot = key.partition(b"\0")
            if slot:
                tick, _, jid = json.loads(value)[:3]
                kept[name.decode()] += 1
                ticks[name.decode()] += [tick] if jid and tick else []
            else:
                state = json.loads(value)
                self.settled[name.decode()], self.runs[name.decode()] = state[0], state[4]
        for entry, count in kept.items():
            found = ticks[entry]
            if len(set(found)) != len(found) or count != min(self.runs.get(entry, 0), 20):
                verdict.find("cron: runs lost or doubled", f"{entry}: {self.runs.get(entry)} runs, of these {found}")


def is_fleeting(ledger: Ledger, account: Account) -> bool:
    """Whether it may never have been on disk: it was only fetched just before a kill, and nobody saw it later."""
    fetch = account.fetches[0] if len(account.fetches) == 1 else None
    if fetch is None or account.jid in ledger.rows:
        return False
    return ledger.excused(fetch) and fetch.answered_in != fetch.incarnation


def seconds(text: str) -> float:
    """Since the epoch, from RFC 3339."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
