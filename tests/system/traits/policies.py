"""A queue with a policy under a crash test: it is never longer than it may be, and only then a push is refused.

Its `max_size` changes with SIGHUP and with every start. Retries and jobs that were scheduled get in all the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from tests.system.ledger import Account, Ledger, describe
from tests.system.server import Server
from tests.system.traits.trait import Trait, write_settings

QUEUE = "crowded"
SIZES = (10, 30)
REFUSAL = re.compile(rf"{QUEUE} is too large, currently (\d+), max size is (\d+)")


class Crowded(Trait):
    """See the module's docstring."""

    queues: Mapping[str, int] = {QUEUE: 100}
    share = 0.05

    def configure(self, server: Server, rng: random.Random, last: bool) -> None:
        write_settings(server, "policies.toml", f"[queues.{QUEUE}]\nmax_size = {rng.choice(SIZES)}\n")

    def mark(self, account: Account, rng: random.Random) -> None:
        if rng.random() < self.share:
            account.queue = QUEUE

    def may_be_refused(self, account: Account) -> bool:
        told = REFUSAL.search(account.push)
        return told is not None and int(told[2]) in SIZES and int(told[1]) >= int(told[2])

    def judge(self, ledger: Ledger) -> None:
        mine = [account for account in ledger.accounts.values() if account.queue == QUEUE]
        rows = [ledger.rows[account.jid] for account in mine if account.jid in ledger.rows and not account.scheduled]
        queued = sum(row.place == "queued" and not row.failures for row in rows)
        if queued > max(SIZES):
            ledger.verdict.find("policies: longer than its max_size", f"{queued} jobs in {QUEUE}")
        for account in mine:
            if "too large" in account.push and not self.may_be_refused(account):
                ledger.verdict.find("policies: refused though there is room", describe(account))
        ledger.verdict.figures["jobs for a queue that may be full"] = len(mine)
        ledger.verdict.figures["... refused, it was full"] = sum("too large" in account.push for account in mine)
