"""Jobs that expire under a crash test."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from struct import Struct

from tests.system.ledger import Account, Ledger, Verdict, describe
from tests.system.traits.trait import Trait, compare_entries, entries_of, jobs_of
from tests.system.traits.unique import TRIES

_JOB = Struct(">q")


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
        may = account.condemned or account.retry <= TRIES
        return may and any(fetch.outcome == "FAIL" for fetch in account.fetches)

    def check_rows(self, connection: sqlite3.Connection, verdict: Verdict) -> None:
        entries = Counter(_JOB.unpack(key)[0] for key, _ in entries_of(connection, "expires"))
        compare_entries("expiry", entries, *jobs_of(connection, "expires_in"), verdict)
