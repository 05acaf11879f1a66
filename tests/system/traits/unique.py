"""Unique jobs under a crash test: equal ones, some of which have to be refused."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter, defaultdict
from struct import Struct

from tests.system.ledger import Account, Ledger, Verdict, describe
from tests.system.traits.trait import Trait, compare_entries, entries_of, jobs_of

_LOCK = Struct(">dq")

# Jobs with at most so many retries may come among the dead, which hold no lock and do not expire.
TRIES = 3


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
            fetch.sent_at <= moment
            and (fetch.outcome == "ACK" or (fetch.outcome and (account.condemned or account.retry <= TRIES)))
            for fetch in account.fetches
        )

    def check_rows(self, connection: sqlite3.Connection, verdict: Verdict) -> None:
        entries = Counter(_LOCK.unpack(value)[1] for _, value in entries_of(connection, "unique"))
        compare_entries("locks", entries, *jobs_of(connection, "unique_for"), verdict)
