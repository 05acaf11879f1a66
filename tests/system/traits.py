"""What some jobs of a crash test ask of the features, and what has to be true of them then: one class a feature.

This is where a further feature joins the torture: a `Trait` that marks a part of the jobs, knows when one of them may be
refused or gone, and looks for what is wrong at the end, in the `Ledger` and in the rows that the feature keeps. `TRAITS`
names them all.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter, defaultdict
from struct import Struct

from tests.system.ledger import Account, Ledger, Trait, Verdict, describe

_LOCK = Struct(">dq")
_JOB = Struct(">q")

# Jobs with this place hold no lock and do not expire. Those with at most so many retries may come there.
DEAD = 3
TRIES = 3
MARKED = """
    SELECT jobs.id, json_extract(body, '$.jid') FROM jobs LEFT JOIN places USING (id)
    WHERE json_extract(body, '$.custom.{}') IS NOT NULL AND coalesce(place, 0) <> {}
"""


def compare_entries(kind: str, entries: dict[int, int], marked: dict[int, str], all_ids: set[int], v: Verdict) -> None:
    """`entries`: how many there are for which id; `marked`: the jobs that must have one."""
    for job_id in set(entries) - all_ids:
        v.find(f"{kind}: kept for a job that is gone", str(job_id))
    for job_id in set(marked) - set(entries):
        v.find(f"{kind}: lost", f"{marked[job_id]}, row {job_id}")
    for job_id, count in entries.items():
        if count > 1:
            v.find(f"{kind}: kept twice", str(job_id))


class Unique(Trait):
    """Equal jobs are kept out while one of them is not done; a kill neither loses a lock nor leaves one behind."""

    share = 0.15
    keys = 25
    seconds = 3600.0

    def mark(self, account: Account, rng: random.Random) -> None:
        if rng.random() < self.share:
            account.custom["unique_for"] = self.seconds
            account.args = ["unique", rng.randrange(self.keys)]

    def may_be_refused(self, account: Account) -> bool:
        return "unique_for" in account.custom and "not unique" in account.push

    def judge(self, ledger: Ledger) -> None:
        equal: dict[tuple[str, str], list[Account]] = defaultdict(list)
        for account in ledger.accounts.values():
            if "unique_for" in account.custom:
                equal[account.queue, str(account.args)].append(account)
        for accounts in equal.values():
            for account in accounts:
                others = [other for other in accounts if other is not account]
                if self.may_be_refused(account):
                    self._judge_refused(ledger, account, others)
                elif account.push == "acknowledged":
                    self._judge_accepted(ledger, account, others)
        refused = sum(map(self.may_be_refused, ledger.accounts.values()))
        ledger.verdict.figures |= {"unique jobs": sum(map(len, equal.values())), "... refused": refused}

    def _judge_refused(self, ledger: Ledger, account: Account, others: list[Account]) -> None:
        reasons = [
            other
            for other in others
            if other.push in ("acknowledged", "unanswered")
            and other.sent_at <= account.answered_at
            and not any(ledger.final(other, f) and f.answered_at < account.sent_at for f in other.fetches)
        ]
        if not reasons:
            ledger.verdict.find("refused as not unique without a reason", describe(account))

    def _judge_accepted(self, ledger: Ledger, account: Account, others: list[Account]) -> None:
        for other in others:
            before = other.push == "acknowledged" and other.answered_at < account.sent_at
            if before and not self._may_have_ended(other, account.answered_at):
                ledger.verdict.find("two equal jobs at once", f"{describe(other)} AND {describe(account)}")

    def _may_have_ended(self, account: Account, moment: float) -> bool:
        return account.may_vanish or any(
            fetch.sent_at <= moment and (fetch.outcome == "ACK" or (fetch.outcome and account.retry <= TRIES))
            for fetch in account.fetches
        )

    def check_rows(self, connection: sqlite3.Connection, verdict: Verdict) -> None:
        values = connection.execute("SELECT value FROM entries WHERE kind = 'unique'").fetchall()
        entries = Counter(_LOCK.unpack(value)[1] for (value,) in values)
        compare_entries("locks", entries, *jobs_of(connection, "unique_for"), verdict)


class Expiring(Trait):
    """Some jobs expire after a second, others tomorrow: the first are not delivered later, the others are not lost."""

    share = 0.15
    soon, late = 1.0, 86400.0
    slack = 5.0  # a reply may be under way for long on a busy machine

    def mark(self, account: Account, rng: random.Random) -> None:
        if rng.random() < self.share:
            account.may_vanish = not account.scheduled and rng.random() < 0.5
            account.custom["expires_in"] = self.soon if account.may_vanish else self.late

    def judge(self, ledger: Ledger) -> None:
        soon = [account for account in ledger.accounts.values() if account.may_vanish]
        for account in soon:
            end = account.answered_at + self.soon + self.slack
            late = [fetch for fetch in account.fetches if fetch.received_at > end]
            if account.push == "acknowledged" and late and not self._may_have_died(account):
                ledger.verdict.find("delivered though expired", describe(account))
        ledger.verdict.figures |= {
            "jobs that expire": sum("expires_in" in account.custom for account in ledger.accounts.values()),
            "... soon": len(soon),
            "... soon, and never delivered": sum(not account.fetches for account in soon),
        }

    def _may_have_died(self, account: Account) -> bool:
        """Then it expires no more, and the drain brings it back."""
        return account.retry <= TRIES and any(fetch.outcome == "FAIL" for fetch in account.fetches)

    def check_rows(self, connection: sqlite3.Connection, verdict: Verdict) -> None:
        keys = connection.execute("SELECT key FROM entries WHERE kind = 'expires'").fetchall()
        entries = Counter(_JOB.unpack(key)[0] for (key,) in keys)
        compare_entries("expiry", entries, *jobs_of(connection, "expires_in"), verdict)


def jobs_of(connection: sqlite3.Connection, custom: str) -> tuple[dict[int, str], set[int]]:
    """Return the jobs that ask for this and are not dead, and the ids of all."""
    marked = dict(connection.execute(MARKED.format(custom, DEAD)).fetchall())
    return marked, {job_id for (job_id,) in connection.execute("SELECT id FROM jobs")}


TRAITS: tuple[Trait, ...] = (Unique(), Expiring())
