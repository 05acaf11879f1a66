"""Tracked jobs under a crash test: what was acknowledged is told after every kill, and what is told was said.

Each TRACK SET of a worker has a number, in `desc` and, modulo 101, in `percent`; an ACK may bring a result. A reader asks
for tracks all the time: what it is told must not be older than what had been acknowledged when it asked, nor newer than
what had been said when it was answered.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.system.fwp import Client, Job, ServerError
from tests.system.ledger import Account, Fetch, Found, Ledger, Verdict, describe
from tests.system.server import Server
from tests.system.traits.trait import DEAD, WORKING, Trait, Turn, entries_of, jobs_of, write_settings

# What a track may say of a job that is there. One that waits to be tried again may have become due meanwhile.
STATES = {
    "queued": ("enqueued",),
    "scheduled": ("enqueued",),
    "working": ("working",),
    "retries": ("failed",),
    "dead": ("dead",),
}
KEPT = '[tracking]\nkept_for = "10h"\nresult_kept_for = "20h"\n'


@dataclass
class Told:
    """The track of one job: the last number that was sent, the last that was acknowledged, and what was read of it."""

    sent: int = 0
    acknowledged: int = 0
    seen: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)  # from, to, what was told
    end: dict[str, Any] | None = None


class Tracked(Trait):
    """See the module's docstring."""

    share = 0.1
    setting = 0.7
    resulting = 0.5
    pause_seconds = 0.02

    def __init__(self) -> None:
        self.tracks: dict[str, Told] = {}
        self._lock = threading.Lock()

    def configure(self, server: Server, rng: random.Random, last: bool) -> None:
        write_settings(server, "tracking.toml", KEPT)

    def mark(self, account: Account, rng: random.Random) -> None:
        if rng.random() < self.share:
            account.custom["track"] = 1
            self.tracks[account.jid] = Told()

    def working(self, client: Client, account: Account, job: Job, ledger: Ledger, rng: random.Random) -> None:
        track = self.tracks.get(account.jid)
        if track is None or rng.random() > self.setting:
            return
        with self._lock:
            track.sent += 1
            number = track.sent
        try:
            client.do("TRACK SET", {"jid": account.jid, "percent": number % 101, "desc": str(number)})
        except ServerError as error:
            if account.push == "acknowledged":  # otherwise it may have been lost with its process
                ledger.verdict.find("tracks: TRACK SET refused", f"{error}: {describe(account)}")
        with self._lock:
            track.acknowledged = max(track.acknowledged, number)

    def fields(self, account: Account, fetch: Fetch, rng: random.Random) -> dict[str, Any]:
        mine = account.jid in self.tracks and fetch.outcome == "ACK" and rng.random() < self.resulting
        return {"result": {"of": account.jid, "fetched": fetch.received_at}} if mine else {}

    def act(self, turn: Turn) -> bool:
        """Ask for a track, rather a new one."""
        accounts = list(self.tracks)[-2000:]
        if accounts:
            jid = turn.rng.choice(accounts)
            if turn.ledger.accounts[jid].push == "acknowledged":
                self._read(turn.client, jid)
        time.sleep(self.pause_seconds)
        return not turn.going_on

    def _read(self, client: Client, jid: str) -> None:
        track = self.tracks[jid]
        least = track.acknowledged
        told = client.do(f"TRACK GET {jid}")
        track.seen.append((least, track.sent, told))

    def finished(self, client: Client, ledger: Ledger) -> None:
        for jid, track in self.tracks.items():
            if ledger.accounts[jid].push == "acknowledged":
                self._read(client, jid)
                track.end = track.seen[-1][2]

    def judge(self, ledger: Ledger) -> None:
        for jid, track in self.tracks.items():
            account = ledger.accounts[jid]
            if account.push != "acknowledged":
                continue
            for least, most, told in track.seen:
                self._judge_seen(ledger, account, least, most, told)
            if track.end is not None and not account.may_vanish and not ledger.contested(account):
                self._judge_end(ledger, account, track.end)
        tracks = self.tracks.values()
        ledger.verdict.figures |= {
            "tracked jobs": len(tracks),
            "... TRACK SET acknowledged": sum(track.acknowledged for track in tracks),
            "... tracks read": sum(len(track.seen) for track in tracks),
            "... results found at the end": sum("result" in (track.end or {}) for track in tracks),
        }

    def _judge_seen(self, ledger: Ledger, account: Account, least: int, most: int, told: dict[str, Any]) -> None:
        number = int(told.get("desc", "0"))
        if told["state"] == "unknown" or (number < least and not ledger.contested(account)):
            ledger.verdict.find("tracks: older than acknowledged", f"{told}, not {least}: {describe(account)}")
        if number > most or told.get("percent", 0) != number % 101:
            ledger.verdict.find("tracks: made up", f"{told}, not up to {most}: {describe(account)}")

    def _judge_end(self, ledger: Ledger, account: Account, told: dict[str, Any]) -> None:
        row = ledger.rows.get(account.jid)
        ends = [fetch for fetch in account.fetches if fetch.incarnation and ledger.final(account, fetch)]
        if row is not None:
            if told["state"] not in states(row):
                ledger.verdict.find("tracks: another state than the job's", f"{told}, {row}: {describe(account)}")
        elif ends:
            end = ends[-1]
            expected = "success" if end.outcome == "ACK" else "dead"
            if told["state"] != expected:
                ledger.verdict.find("tracks: another state than the job's", f"{told}: {describe(account)}")
            if end.outcome == "ACK" and told.get("result") != end.fields.get("result"):
                ledger.verdict.find("tracks: result lost", f"{told}, not {end.fields}: {describe(account)}")

    def check_rows(self, connection: sqlite3.Connection, verdict: Verdict) -> None:
        """Each job that asks for it has a track that says where it is; what has a result has one on disk."""
        places = dict(connection.execute("SELECT id, place FROM places"))
        marked, ids = jobs_of(connection, "track", without=-1)
        results = {key.decode() for key, _ in entries_of(connection, "result")}
        found: Counter[int] = Counter()
        for _, value in entries_of(connection, "track"):
            jid, job_id, state, *_, has_result = msgspec.msgpack.decode(value)
            found[job_id] += job_id > 0
            if has_result != (jid in results):
                verdict.find("tracks: a result is lost, or nobody's", jid)
            place = places.get(job_id, 0)
            if job_id in ids and (state == "working", state == "dead") != (place == WORKING, place == DEAD):
                verdict.find("tracks: another state than the row's", f"{jid}: {state}, place {place}")
            if job_id and job_id not in ids:
                verdict.find("tracks: kept for a job that is gone", f"{jid}: row {job_id}")
        for job_id in set(marked) - set(found):
            verdict.find("tracks: lost", f"{marked[job_id]}, row {job_id}")


def states(row: Found) -> tuple[str, ...]:
    """What may be told of a job that is found there at the end."""
    return (*STATES[row.place], *(("failed",) if row.place == "queued" and row.failures else ()))
