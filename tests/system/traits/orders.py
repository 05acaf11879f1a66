"""Operators under a crash test: what they were told is done stays done.

Groups of jobs for tomorrow are pushed, and then ordered about as a whole, by MUTATE, ADMIN or the HTTP API: killed, deleted,
enqueued. An order that is not answered is given again, as a person would: a restart takes no half-done one up again, and
promises nothing of it. Once it was answered it holds for every job of the group. A queue is paused and let go on; running
jobs are asked to stop; failures say when they want to be tried again.
"""

from __future__ import annotations

import http.client
import json
import random
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from struct import Struct
from typing import Any

from tests.system.crew import Visitor, push
from tests.system.fwp import Job, ServerError
from tests.system.ledger import NEVER, Account, Fetch, Ledger, Verdict, describe
from tests.system.traits.trait import WORKING, Trait, Turn, entries_of

ORDERED, GATED = "ordered", "gated"
MUTATE = {"delete": "discard", "kill": "kill", "retry": "requeue"}
TOMORROW = 86400.0
_JOB = Struct(">q")


@dataclass
class Group:
    """Jobs that are ordered about together. `orders`: what was done with them, the last one last."""

    number: int
    accounts: list[Account]
    place: str = "scheduled"
    orders: list[str] = field(default_factory=list)
    answered_at: float = 0.0  # the last order

    @property
    def jobtype(self) -> str:
        """What only they have."""
        return f"Ordered-{self.number:06d}"


class Orders(Trait):
    """Groups of jobs. See the module's docstring."""

    queues: Mapping[str, int] = {ORDERED: 100}
    pause_seconds = 0.1

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.unanswered = 0
        self._wanted = ""  # of the last group, not answered yet

    def act(self, turn: Turn) -> bool:
        if self._wanted:
            self.unanswered += 1
            self._order(turn, self.groups[-1])
        elif self.groups and self.groups[-1].place != "gone" and turn.rng.random() < 0.6:
            places = {"scheduled": ("delete", "kill", "retry"), "dead": ("delete", "retry"), "queued": ("",)}
            self._wanted = turn.rng.choice(places[self.groups[-1].place])
            self._order(turn, self.groups[-1])
        elif turn.going_on:
            self._begin(turn)
        time.sleep(self.pause_seconds)
        return not turn.going_on and not self._wanted

    def _begin(self, turn: Turn) -> None:
        number = len(self.groups)
        group = Group(number, [])
        for sequence in range(turn.rng.choice((1, 5, 40))):
            account = Account(f"o{number:06d}-{sequence:04d}", f"o{number:06d}", sequence, ORDERED, 5, 25, True)
            account.jobtype, account.delay = group.jobtype, TOMORROW
            group.accounts.append(account)
        self.groups.append(group)
        push(turn.client, turn.ledger, group.accounts, turn.rng)

    def _order(self, turn: Turn, group: Group) -> None:
        if not self._wanted:
            group.place = "gone"  # on its way
            return
        wanted, now = self._wanted, time.monotonic()
        for account in group.accounts:
            if wanted == "delete":
                account.deleting_at = min(account.deleting_at, now)
            account.condemned = account.condemned or wanted == "kill"
        turn.rng.choice(WAYS)(turn.client, wanted, group.place, group.jobtype)
        self._wanted = ""
        group.orders.append(wanted)
        group.answered_at = time.monotonic()
        group.place = {"delete": "gone", "kill": "dead", "retry": "queued"}[wanted]
        for account in group.accounts:
            if wanted == "delete":
                account.deleted_at = group.answered_at

    def judge(self, ledger: Ledger) -> None:
        last = max((fetch.incarnation for each in ledger.accounts.values() for fetch in each.fetches), default=0)
        for group in self.groups:
            for account in group.accounts:
                self._judge(ledger, group, account, last)
        ledger.verdict.figures |= {
            "orders of operators": sum(len(group.orders) for group in self.groups),
            "... not answered, and given again": self.unanswered,
            **{
                f"... jobs ordered to {order}": sum(len(g.accounts) * (order in g.orders) for g in self.groups)
                for order in MUTATE
            },
        }

    def _judge(self, ledger: Ledger, group: Group, account: Account, last: int) -> None:
        """`last`: the process in which everything is drained, the dead, too."""
        order = group.orders[-1] if group.orders else ""
        row = ledger.rows.get(account.jid)
        early = [fetch for fetch in account.fetches if fetch.incarnation < last]
        wrong = (
            (order == "delete" and account.fetches)
            or (order == "kill" and (early or (row is not None and row.place != "dead")))
            or (order == "retry" and row is not None and row.place == "scheduled")
            or (not order and (early or (row is not None and row.place != "scheduled")))
        )
        if wrong and not (group is self.groups[-1] and self._wanted):
            ledger.verdict.find("orders: not carried out", f"{group.orders}, {row}: {describe(account)}")


class Gate(Trait):
    """A queue that is paused for some seconds, again and again, by QUEUE or over HTTP; nobody gets a job meanwhile."""

    queues: Mapping[str, int] = {GATED: 100}
    share = 0.03
    slack_seconds = 2.0  # a reply may be under way for long on a busy machine

    def __init__(self) -> None:
        self.paused: list[tuple[float, float]] = []  # from the answer to a pause until somebody wants to go on
        self._since = NEVER
        self._until = 0.0
        self._marked: list[Account] = []

    def mark(self, account: Account, rng: random.Random) -> None:
        if rng.random() < self.share:
            account.queue = GATED
            self._marked.append(account)

    def act(self, turn: Turn) -> bool:
        if not any(each.push == "acknowledged" and each.queue == GATED and not each.scheduled for each in self._marked):
            time.sleep(0.1)  # before its first job there is no such queue, and none to pause
            return not turn.going_on
        if time.monotonic() < self._until and turn.going_on:
            time.sleep(0.1)
            return False
        if self._since < NEVER:
            self.paused.append((self._since, time.monotonic()))
            self._since = NEVER
        pause = turn.going_on and (not self.paused or time.monotonic() - self.paused[-1][1] > 1.0)
        if turn.rng.random() < 0.5:
            ask_web(turn.client, f"/api/queues/{GATED}/{'pause' if pause else 'resume'}", {})
        else:
            turn.client.queue("PAUSE" if pause else "RESUME", GATED)
        if pause:
            self._since = time.monotonic()
        self._until = time.monotonic() + turn.rng.uniform(1.0, 5.0)
        return not turn.going_on

    def judge(self, ledger: Ledger) -> None:
        for account in ledger.accounts.values():
            for fetch in account.fetches if account.queue == GATED else ():
                if any(begin + self.slack_seconds < fetch.received_at < end for begin, end in self.paused):
                    ledger.verdict.find("orders: delivered though paused", describe(account))
        ledger.verdict.figures["pauses of a queue"] = len(self.paused)
        ledger.verdict.figures["... seconds"] = round(sum(end - begin for begin, end in self.paused))


class Cancelled(Trait):
    """Some running jobs are asked to stop; when they fail then, they are not tried again."""

    pause_seconds = 0.1
    obeyed = 0.8

    def __init__(self) -> None:
        self.asked: dict[str, tuple[float, float]] = {}  # by jid: sent, answered

    def act(self, turn: Turn) -> bool:
        held = [account for account, fetch in list(turn.ledger.recent) if not fetch.times_sent and self._fits(account)]
        if held:
            account = turn.rng.choice(held)
            account.condemned = True
            sent = time.monotonic()
            try:
                turn.client.do("ADMIN CANCEL", {"jid": account.jid})
                self.asked[account.jid] = (sent, time.monotonic())
            except ServerError:
                pass  # it has ended meanwhile
        time.sleep(self.pause_seconds)
        return not turn.going_on

    def _fits(self, account: Account) -> bool:
        return account.retry > TRIES and account.queue in PLAIN and not account.condemned

    def fields(self, account: Account, fetch: Fetch, rng: random.Random) -> dict[str, Any]:
        """Most workers that are asked to stop do."""
        if account.jid in self.asked and rng.random() < self.obeyed:
            fetch.outcome = "FAIL"
        return {}

    def judge(self, ledger: Ledger) -> None:
        failed = 0
        for jid, (sent, answered) in self.asked.items():
            account = ledger.accounts[jid]
            for number, fetch in enumerate(sorted(account.fetches, key=Fetch.order)):
                if fetch.outcome != "FAIL" or fetch.answer != "OK" or ledger.contested(account):
                    continue
                if not (fetch.received_at < sent and fetch.sent_at > answered and fetch.times_sent == 1):
                    continue
                failed += 1
                row = ledger.rows.get(jid)
                only = number + 1 == len(account.fetches)
                if (only and row is not None and row.place != "dead") or (row is None and not account.may_vanish):
                    ledger.verdict.find("orders: to stop, and tried again", f"{row}: {describe(account)}")
        ledger.verdict.figures["running jobs asked to stop"] = len(self.asked)
        ledger.verdict.figures["... that failed then"] = failed

    def check_rows(self, connection: sqlite3.Connection, verdict: Verdict) -> None:
        """A request ends with the reservation."""
        working = {job_id for (job_id,) in connection.execute(f"SELECT id FROM places WHERE place = {WORKING}")}
        for key, _ in entries_of(connection, "cancel"):
            if (job_id := _JOB.unpack(key)[0]) not in working:
                verdict.find("orders: a request to stop is kept for a job that nobody works on", str(job_id))


class Patience(Trait):
    """Some failures say when they are to be tried again, and some jobs how long they wait: they do not come earlier."""

    share = 0.1
    waits = (1.0, 2.0)
    slack_seconds = 0.05

    def mark(self, account: Account, rng: random.Random) -> None:
        if rng.random() < self.share:
            account.custom["backoff"] = {"type": "constant", "base": 2}
            account.priority = 9  # it does not wait behind others as well

    def fields(self, account: Account, fetch: Fetch, rng: random.Random) -> dict[str, Any]:
        wants = fetch.outcome == "FAIL" and account.queue in PLAIN and rng.random() < 0.5
        return {"retry_after": rng.choice(self.waits)} if wants else {}

    def judge(self, ledger: Ledger) -> None:
        last = max((fetch.incarnation for each in ledger.accounts.values() for fetch in each.fetches), default=0)
        tried = 0
        for account in ledger.accounts.values():
            fetches = sorted(account.fetches, key=Fetch.order)
            for before, after in pairwise(fetches):
                wait = before.fields.get("retry_after", 2.0 if "backoff" in account.custom else 0.0)
                if before.outcome != "FAIL" or before.answer != "OK" or not wait or after.incarnation == last:
                    continue
                if ledger.contested(account):
                    continue
                tried += 1
                if after.received_at < before.sent_at + wait - self.slack_seconds:
                    ledger.verdict.find("retries: tried again too early", f"after {wait} s: {describe(account)}")
        ledger.verdict.figures["retries that were to wait"] = tried


PLAIN = ("critical", "default", "mail", "reports")
TRIES = 3  # see unique.py: with so many retries a job may be among the dead anyway


def mutate(client: Visitor, order: str, place: str, jobtype: str) -> None:
    """Give an order with MUTATE."""
    client.mutate(MUTATE[order], place, jobtype=jobtype)


def administer(client: Visitor, order: str, place: str, jobtype: str) -> None:
    """Give an order with ADMIN, page by page."""
    request: dict[str, Any] = {"place": place, "filter": {"jobtype": jobtype}}
    while True:
        told: Job = client.do(f"ADMIN {order.upper()}", request)
        if told["next"] is None:
            return
        request["after"] = told["next"]


def browse(client: Visitor, order: str, place: str, jobtype: str) -> None:
    """Give an order over HTTP."""
    ask_web(client, f"/api/{place}/{order}", {"filter": {"jobtype": jobtype}})


WAYS: tuple[Callable[[Visitor, str, str, str], None], ...] = (mutate, administer, browse)


def ask_web(client: Visitor, path: str, body: dict[str, Any]) -> None:
    """POST to the HTTP API. Raises ConnectionError when there is no answer, or when the server is stopping."""
    connection = http.client.HTTPConnection("127.0.0.1", client.web_port, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    if answer.status == 503:
        raise ConnectionError(said.decode(errors="replace"))
    if answer.status != 200:
        raise ServerError(f"{path}: {answer.status} {said.decode(errors='replace')[:300]}")
