"""The account of a crash test: what clients were told about every job, and whether the server kept to it.

The threads of a load write into one `Ledger` (`pushing`, `pushed`, `fetched`, `Fetch.settling`, `Fetch.settled`), the
program that kills the server writes the moments of its kills, and at the end the `judge_…` methods compare all that
with what is in the database and what is delivered last. Nothing here talks to a server, so the comparison has tests of
its own (test_ledger.py).

Words. An *incarnation* is one life of the process, numbered from 1. A fetch is *settled* by the answer to its ACK or
FAIL. A fetch is *excused* when its reply came in the last EXCUSED_SECONDS before the kill that ended its incarnation:
its record may not have been on disk, which is the one exception the server's promise has. If a PUSH that was sent after that
reply was acknowledged before the kill, it was on disk: changes are written in order. After an excused fetch the
job may be delivered again, even if the worker's ACK was answered, but only if it was answered by a later incarnation: an
ACK that the very process that made the reservation has answered is final.

It follows that two workers may hold one job. So they may when a FAIL was carried out and not answered: the job is tried
again, by another, before the first worker sends its FAIL once more. The server lets any worker end a reservation, so the late FAIL of the first
may put the job among the retries while the second is at work; then the ACK of the second comes too late, is answered
`+OK` like any ACK of an unknown jid, and the job comes back. That is the same exception, and counted beside it.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tests.system.traits.trait import Trait

EXCUSED_SECONDS = 1.0
NEVER = float("inf")
MAX_SHOWN = 8


@dataclass(slots=True)
class Fetch:
    """One delivery of a job. `outcome` is "" (still held), "ACK" or "FAIL"; the rest tells when and by whom."""

    jid: str
    incarnation: int
    received_at: float
    outcome: str = ""
    times_sent: int = 0
    answer: str = ""  # "", "OK", or the text of the error
    answered_in: int = 0
    answered_at: float = 0.0
    sent_at: float = 0.0  # for the first time
    wid: str = ""
    fields: dict[str, Any] = field(
        default_factory=dict
    )  # that the ACK or FAIL has beside the jid, each time it is sent

    def settling(self, outcome: str) -> None:
        """ACK or FAIL is about to be sent, perhaps not for the first time."""
        self.outcome = outcome
        self.times_sent += 1
        self.sent_at = self.sent_at or time.monotonic()

    def settled(self, answer: str, incarnation: int) -> None:
        """The ACK or FAIL was answered."""
        self.answer, self.answered_in, self.answered_at = answer, incarnation, time.monotonic()

    def order(self) -> tuple[int, float]:
        """Sorts the deliveries of a job by the time they were made."""
        return self.incarnation, self.received_at


@dataclass(slots=True)
class Account:
    """One job: how it was pushed, whether that was acknowledged, and every delivery of it."""

    jid: str
    producer: str
    sequence: int
    queue: str
    priority: int
    retry: int
    scheduled: bool
    push: str = "unanswered"  # or "acknowledged", the text of the refusal, or "owed": the server pushes it some time
    fetches: list[Fetch] = field(default_factory=list)
    # What it asks of the features, see traits.py. `may_vanish`: it ends by itself.
    custom: dict[str, Any] = field(default_factory=dict)
    args: list[Any] | None = None
    jobtype: str = "Torture"
    delay: float = 0.0  # of a scheduled one, 0: any
    may_vanish: bool = False
    sent_at: float = 0.0
    answered_at: float = 0.0
    # What operators did, see traits/orders.py: when it was deleted, asked for and answered; whether it may have been
    # killed, or asked to stop.
    deleting_at: float = NEVER
    deleted_at: float = NEVER
    condemned: bool = False

    def may_be_finished(self, before: float = NEVER) -> bool:
        """Whether a client had said anything that may have ended the job, or it may have ended by itself."""
        return (
            self.may_vanish
            or self.deleting_at < before
            or any(
                f.sent_at <= before and (f.outcome == "ACK" or (f.outcome == "FAIL" and self.retry == 0))
                for f in self.fetches
            )
        )


class Found(NamedTuple):
    """A job as the database holds it after a clean stop.

    `place` is queued, scheduled, retries, dead or working; `failures` counts the FAILs written down with it; `position`
    is its turn among the queued ones; `custom` is JSON, or empty.
    """

    jid: str
    place: str
    queue: str
    priority: int
    failures: int
    position: int = 0
    custom: str = ""


@dataclass
class Verdict:
    """What is wrong, by kind, and figures. `wrong` holds only kinds with at least one finding."""

    wrong: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)

    def find(self, kind: str, what: str) -> None:
        """Note one thing that is wrong."""
        self.wrong.setdefault(kind, []).append(what)

    def text(self) -> str:
        """Return the findings, at most MAX_SHOWN of a kind, for a person; an empty string when all is well."""
        lines = []
        for kind, found in self.wrong.items():
            lines.append(f"{len(found)} x {kind}:")
            lines += [f"    {what}" for what in found[:MAX_SHOWN]]
        return "\n".join(lines)


class Ledger:
    """See the module's docstring. Methods may be called from any thread."""

    def __init__(self, traits: Sequence[Trait] = (), synced: bool = True) -> None:
        self.traits = traits
        self.synced = synced  # what is acknowledged is on disk
        self.accounts: dict[str, Account] = {}
        self.killed_at: dict[int, float] = {}
        self.ended_at: dict[int, float] = {}  # when it was killed, or asked to stop
        self.rows: dict[str, Found] = {}  # by jid, at the end
        self.broken: list[tuple[int, float]] = []
        self.verdict = Verdict()
        self.recent: deque[tuple[Account, Fetch]] = deque(maxlen=200)
        self._lock = threading.Lock()
        self._acknowledged: list[float] = []  # when pushes were sent that were
        self._on_disk: dict[int, float] = {}  # until when what a process did is

    def pushing(self, accounts: Iterable[Account]) -> None:
        """Jobs are about to be sent with PUSH or PUSHB."""
        now = time.monotonic()
        with self._lock:
            for account in accounts:
                account.sent_at = now
                self.accounts[account.jid] = account

    def pushed(self, accounts: Iterable[Account], refused: dict[str, str]) -> None:
        """The PUSH or PUSHB was answered; `refused` holds jid -> reason."""
        now = time.monotonic()
        for account in accounts:
            account.answered_at = now
            account.push = refused.get(account.jid, "acknowledged")
            if account.push == "acknowledged":
                self._acknowledged.append(account.sent_at)

    def delivered(self, job: dict[str, Any], incarnation: int, wid: str = "") -> Fetch:
        """As `fetched`, for a job that may be the server's own."""
        received_at = time.monotonic()
        self.account(job["jid"], job.get("custom") or {})
        return self.fetched(job["jid"], incarnation, wid, received_at)

    def account(self, jid: str, custom: dict[str, Any]) -> Account | None:
        """The account of a job; one that nobody pushed may be the server's own, then it gets one."""
        with self._lock:
            if jid not in self.accounts:
                adopted = (trait.adopt(jid, custom) for trait in self.traits)
                if account := next(filter(None, adopted), None):
                    self.accounts[jid] = account
            return self.accounts.get(jid)

    def fetched(self, jid: str, incarnation: int, wid: str = "", received_at: float = 0.0) -> Fetch:
        """A job was delivered; return the record in which the worker notes what becomes of it."""
        fetch = Fetch(jid, incarnation, received_at or time.monotonic(), wid=wid)
        with self._lock:
            account = self.accounts.get(jid)
            if account is None:
                self.verdict.find("delivered though never pushed", jid)
            else:
                account.fetches.append(fetch)
                self.recent.append((account, fetch))
        return fetch

    def killed(self, incarnation: int) -> None:
        """The process is being killed now."""
        self.killed_at[incarnation] = time.monotonic()
        self.ended_at.setdefault(incarnation, self.killed_at[incarnation])

    def stopping(self, incarnation: int) -> None:
        """The process is being asked to stop."""
        self.ended_at[incarnation] = time.monotonic()

    def connection_broken(self, incarnation: int) -> None:
        """A client has just lost its connection to this process."""
        self.broken.append((incarnation, time.monotonic()))

    def excused(self, fetch: Fetch) -> bool:
        """Whether the record of this fetch may have been lost with the process; see the module's docstring."""
        killed_at = self.killed_at.get(fetch.incarnation)
        if killed_at is None or killed_at - fetch.received_at >= EXCUSED_SECONDS:
            return False
        if self.synced and fetch.incarnation not in self._on_disk:
            known = sorted(self._acknowledged)
            number = bisect_left(known, killed_at)
            self._on_disk[fetch.incarnation] = known[number - 1] if number else 0.0
        return fetch.received_at >= self._on_disk.get(fetch.incarnation, 0.0)

    def final(self, account: Account, fetch: Fetch) -> bool:
        """Whether the answer to this fetch's ACK or FAIL means that the job is finished and may never come back."""
        ends = fetch.outcome == "ACK" or (fetch.outcome == "FAIL" and account.retry == 0)
        own = fetch.answered_in == fetch.incarnation
        counts = own or not self.excused(fetch)
        return ends and fetch.answer == "OK" and counts and not self.taken_over(account, fetch)

    def taken_over(self, account: Account, fetch: Fetch) -> bool:
        """Whether an earlier worker may have ended this reservation with its FAIL.

        Its own fetch was lost with its process, or its FAIL had been carried out and not answered, and it sent it again.
        """
        return any(
            f.order() < fetch.order()
            and f.outcome == "FAIL"
            and f.answered_in >= fetch.incarnation
            and (f.times_sent > 1 or (f.incarnation < fetch.incarnation and self.excused(f)))
            for f in account.fetches
        )

    def wrong_at(self, asked_at: float, told_at: float, rows: Iterable[Found]) -> list[str]:
        """What is wrong with the rows of a copy of the database that was made between these moments."""
        found = {row.jid: row for row in rows}
        wrong = []
        for account in self.accounts.values():
            there = account.jid in found
            kept = account.push == "acknowledged" and account.answered_at < asked_at
            ends = (fetch.answered_at for fetch in account.fetches if self.final(account, fetch))
            if kept and not there and not account.may_be_finished(told_at):
                wrong.append(f"acknowledged before and not there: {describe(account)}")
            if there and min(account.deleted_at, *ends, NEVER) < asked_at:
                wrong.append(f"finished before and there: {describe(account)}")
            if there and account.push != "owed" and account.sent_at > told_at:
                wrong.append(f"pushed later and there: {describe(account)}")
        return wrong

    # -- judging -------------------------------------------------------------------------------------------------------

    def judge_rows(self, rows: Iterable[Found]) -> None:
        """Compare the account with the rows of the database, when every thread has ended and the server has stopped."""
        seen = self.rows = {}
        for row in rows:
            if row.jid in seen:
                self.verdict.find("in two places", f"{seen[row.jid]} and {row}")
            seen[row.jid] = row
            account = self.account(row.jid, json.loads(row.custom or "{}"))
            if account is None:
                self.verdict.find("in the database though never pushed", str(row))
            else:
                self._judge_row(account, row)
        for account in self.accounts.values():
            if account.push not in ("acknowledged", "unanswered", "owed") and not self._rightly_refused(account):
                self.verdict.find("refused", describe(account))
            if account.jid not in seen and account.push == "acknowledged" and not account.may_be_finished():
                self.verdict.find("acknowledged and lost", describe(account))
        for incarnation, broken_at in self.broken:
            if broken_at < self.ended_at.get(incarnation, NEVER):
                self.verdict.find("a connection ended without a kill", f"process {incarnation} at {broken_at:.3f}")
        self._count(set(seen))

    def judge_drain(self, rows: Iterable[Found], incarnation: int) -> None:
        """Compare what the process `incarnation`, started on these rows, delivered when everything was drained."""
        expected = {row.jid for row in rows if row.place != "working"}
        delivered = {a.jid for a in self.accounts.values() if any(f.incarnation == incarnation for f in a.fetches)}
        for jid in expected - delivered - {jid for jid in expected if self.accounts[jid].may_vanish}:
            self.verdict.find("in the database and never delivered", describe(self.accounts[jid]))
        for jid in delivered - expected:
            if self.accounts[jid].push == "owed":
                continue
            self.verdict.find("delivered though not in the database", describe(self.accounts[jid]))

    def judge_deliveries(self) -> None:
        """Look for jobs that were delivered again without a reason, over the whole of the test."""
        for account in self.accounts.values():
            deliveries = sorted(account.fetches, key=Fetch.order)
            for before, after in pairwise(deliveries):
                lost_with_its_process = after.incarnation > before.incarnation and self.excused(before)
                if self.final(account, before):
                    self.verdict.find("finished and delivered again", describe(account))
                elif before.outcome != "FAIL" and not (lost_with_its_process or self.taken_over(account, before)):
                    self.verdict.find("delivered twice", describe(account))
            if len(deliveries) == 1 and self._forgotten(deliveries[0]):
                self.verdict.find("reservation forgotten", describe(account))
        for trait in self.traits:
            trait.judge(self)

    def _rightly_refused(self, account: Account) -> bool:
        if account.fetches:
            return False
        return any(trait.may_be_refused(account) for trait in self.traits)

    def _judge_row(self, account: Account, row: Found) -> None:
        if any(self.final(account, fetch) for fetch in account.fetches) or account.deleted_at < NEVER:
            self.verdict.find("finished and still there", f"{row.place}: {describe(account)}")
        fails = [fetch.answer for fetch in account.fetches if fetch.outcome == "FAIL"]
        wrong = (
            (row.place == "scheduled" and not account.scheduled)
            or (row.place == "retries" and row.failures == 0)
            or (row.place == "dead" and row.failures <= account.retry and not account.condemned)
            or (row.queue, row.priority) != (account.queue, account.priority)
        )
        if wrong:
            self.verdict.find("in a place it cannot be in", f"{row}: {describe(account)}")
        most = sum(fetch.times_sent for fetch in account.fetches if fetch.outcome == "FAIL")
        if not fails.count("OK") <= row.failures <= most:
            self.verdict.find("FAIL acknowledged and lost, or made up", f"{row}: {describe(account)}")

    def _forgotten(self, only: Fetch) -> bool:
        """Whether the only delivery of a job was refused when its FAIL was sent for the first time."""
        refused = only.times_sent == 1 and only.answer not in ("", "OK")
        return refused and not (self.excused(only) and only.answered_in > only.incarnation)

    # -- figures -------------------------------------------------------------------------------------------------------

    def _count(self, present: set[str]) -> None:
        accounts = self.accounts.values()
        fetches = [(account, fetch) for account in accounts for fetch in account.fetches]
        again = sum(self._delivered_again(account, account.jid in present) for account in accounts)
        self.verdict.figures = {
            "kills": len(self.killed_at),
            "pushes acknowledged": sum(account.push == "acknowledged" for account in accounts),
            "pushes unanswered": sum(account.push == "unanswered" for account in accounts),
            "... of them kept": sum(a.push == "unanswered" and (a.jid in present or bool(a.fetches)) for a in accounts),
            "deliveries": len(fetches),
            "... held over a kill, not excused": sum(
                f.answered_in > f.incarnation and not self.excused(f) for _, f in fetches
            ),
            "... never settled": sum(not fetch.answer for _, fetch in fetches),
            "ACK answered +OK": sum(f.outcome == "ACK" and f.answer == "OK" for _, f in fetches),
            "... by a later process": sum(f.outcome == "ACK" and f.answered_in > f.incarnation for _, f in fetches),
            "ACK sent more than once": sum(f.outcome == "ACK" and f.times_sent > 1 for _, f in fetches),
            "FAIL answered +OK": sum(f.outcome == "FAIL" and f.answer == "OK" for _, f in fetches),
            "FAIL: no longer reserved": sum(f.outcome == "FAIL" and f.answer not in ("", "OK") for _, f in fetches),
            "acknowledged and back, excused": again,
            "... after another's late FAIL": sum(
                f.outcome == "ACK" and f.answer == "OK" and self.taken_over(account, f) for account, f in fetches
            ),
        }

    def contested(self, account: Account) -> bool:
        """Whether two workers may have held the job at once: the fetch of the first was lost with its process."""
        return len(account.fetches) > 1 and any(map(self.excused, account.fetches))

    def _delivered_again(self, account: Account, present: bool) -> bool:
        """Whether a job whose ACK was answered came back, by the exception: its FETCH was lost with the process."""
        for fetch in account.fetches:
            late = fetch.answer == "OK" and fetch.outcome == "ACK" and fetch.answered_in > fetch.incarnation
            if late and self.excused(fetch):
                later = any(f.order() > fetch.order() for f in account.fetches)
                if later or present:
                    return True
        return False


def describe(account: Account) -> str:
    """Return a job's history in one line, for the person who has to find out what happened."""
    job = f"{account.jid} (queue {account.queue}, retry {account.retry}, push {account.push})"
    history = [
        f"fetched by process {f.incarnation} at {f.received_at:.3f}, {f.outcome or 'held'} x{f.times_sent}, "
        f"answered {f.answer or 'never'} by {f.answered_in} at {f.answered_at:.3f}"
        for f in sorted(account.fetches, key=Fetch.order)
    ]
    return "; ".join([job, *history])
