"""Batches under a crash test: members of which some fail and die, batches in batches, callbacks exactly once.

An owner makes families: a root, sometimes with a child and a grandchild, pushes their members and commits them; workers
push further members while they have one. Each callback gets a jid, so that it has an account like any job: a second job
for one callback is found there as a job that comes back, or is in two places. Its account says `owed`.

A callback comes too early if there was no moment between the commit and its delivery at which all was done that it waits
for. `Span` is a time in which something was not: of a member between the answer to its push and its first ACK, for example.
"""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, NamedTuple

from tests.system.crew import push
from tests.system.fwp import Client, Job, ServerError
from tests.system.ledger import NEVER, Account, Fetch, Ledger, Verdict, describe
from tests.system.traits.trait import Trait, Turn, counted, entries_of

CALLBACKS, MEMBERS = "callbacks", "members"
KINDS = ("complete", "success", "death")

# What the database has of a batch: flags, steps of the three callbacks, total, succeeded, gone, the callbacks' jobs, a time.
_PROGRESS = Struct(">BBBBqqqqqqd")
_KEY, _FAILED_KEY = Struct(">cq"), Struct(">cqq")
_FIRED = 1


class Span(NamedTuple):
    """From when until when something keeps a callback waiting."""

    begins: float
    ends: float


@dataclass
class Family:
    """One batch. Times are NEVER as long as it has not happened; `doubtful`: there may be a child of unknown bid."""

    name: str
    kinds: tuple[str, ...]
    parent: Family | None = None
    bid: str = ""
    asked_for: bool = False
    made_at: float = NEVER
    commit_sent_at: float = NEVER
    commit_answered_at: float = NEVER
    doubtful: bool = False
    members: list[Account] = field(default_factory=list)
    children: list[Family] = field(default_factory=list)
    callbacks: dict[str, Account] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)  # when everything was worked off

    def below(self) -> Iterator[Family]:
        """This one, and all in it."""
        yield self
        for child in self.children:
            yield from child.below()


def new_batch(client: Client, asked: dict[str, Any]) -> str:
    """BATCH NEW; return the bid."""
    return client.text(f"BATCH NEW {json.dumps(asked, separators=(',', ':'))}")


class Batches(Trait):
    """See the module's docstring."""

    queues: Mapping[str, int] = {CALLBACKS: 100, MEMBERS: 100}
    retries = (25, 25, 25, 25, 25, 1, 0)
    spawning = 0.2
    pause_seconds = 0.1

    def __init__(self) -> None:
        self.families: list[Family] = []
        self.unanswered = 0  # BATCH NEW
        self._by_bid: dict[str, Family] = {}
        self._callbacks: dict[str, Account] = {}
        self._steps: deque[Any] = deque()
        self._lock = threading.Lock()
        self._spawned = 0

    # -- the owner -----------------------------------------------------------------------------------------------------

    def act(self, turn: Turn) -> bool:
        if not self._steps:
            if not turn.going_on:
                return True
            self._plan(turn.rng)
        self._steps[0](turn)  # once more with the next process, if this one does not answer
        self._steps.popleft()
        time.sleep(self.pause_seconds * turn.rng.random())
        return False

    def _plan(self, rng: random.Random) -> None:
        """A root, perhaps with one in it, and one in that."""
        parent = None
        chain = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            kinds = rng.choice((KINDS, KINDS, KINDS, ("complete", "success"), ("success",), ("complete",)))
            family = Family(f"b{len(self.families):06d}", kinds, parent)
            self.families.append(family)
            chain.append(family)
            parent = family
        for family in chain:
            self._steps.append(lambda turn, family=family: self._make(turn, family))
        for family in chain:
            for _ in range(rng.randrange(3)):
                count = rng.choice((1, 2, 8))
                accounts = [self._member(family, f"{family.name}-m", len(family.members), rng) for _ in range(count)]
                self._steps.append(lambda turn, accounts=accounts: self._push(turn, accounts))
        for family in rng.sample(chain, len(chain)):
            self._steps.append(lambda turn, family=family: self._commit(turn, family))

    def _make(self, turn: Turn, family: Family) -> None:
        parent = family.parent
        if parent is not None and not parent.bid:
            return
        if family.asked_for:  # and not answered
            self.unanswered += 1
            while parent is not None:
                parent.doubtful, parent = True, parent.parent
            return
        for kind in family.kinds:
            jid = f"{family.name}-{kind}"
            account = Account(jid, jid, 0, CALLBACKS, 5, 25, False, "owed")
            family.callbacks[kind] = self._callbacks[jid] = account
        asked: dict[str, Any] = {
            kind: {"jid": account.jid, "jobtype": kind, "queue": CALLBACKS, "retry": account.retry}
            for kind, account in family.callbacks.items()
        }
        if parent is not None:
            asked["parent_bid"] = parent.bid
        family.asked_for = True
        family.bid = new_batch(turn.client, asked)
        family.made_at = time.monotonic()
        self._by_bid[family.bid] = family
        if parent is not None:
            parent.children.append(family)

    def _member(self, family: Family, producer: str, sequence: int, rng: random.Random) -> Account:
        account = Account(
            f"{producer}{sequence:04d}",
            producer,
            sequence,
            MEMBERS,
            5,
            rng.choice(self.retries),
            False,
            args=[sequence],
        )
        family.members.append(account)
        account.custom["batch"] = family.name
        return account

    def _push(self, turn: Turn, accounts: list[Account]) -> None:
        family = self._family(accounts[0])
        if not family.bid or accounts[0].sent_at:  # perhaps they arrived; they are not pushed twice
            return
        for account in accounts:
            account.custom["bid"] = family.bid
        push(turn.client, turn.ledger, accounts, turn.rng)

    def _commit(self, turn: Turn, family: Family) -> None:
        if not family.bid:
            return
        family.commit_sent_at = min(family.commit_sent_at, time.monotonic())
        turn.client.do(f"BATCH COMMIT {family.bid}")
        family.commit_answered_at = time.monotonic()

    def _family(self, account: Account) -> Family:
        return self.families[int(account.custom["batch"][1:])]

    # -- workers -------------------------------------------------------------------------------------------------------

    def adopt(self, jid: str, custom: dict[str, Any]) -> Account | None:
        return self._callbacks.get(jid)

    def working(self, client: Client, account: Account, job: Job, ledger: Ledger, rng: random.Random) -> None:
        """Some members add another one while they run for the first time, so that the batch cannot be complete."""
        family = self._by_bid.get(account.custom.get("bid", ""))
        if family is None or "failure" in job or rng.random() > self.spawning:
            return
        with self._lock:
            self._spawned += 1
            added = self._member(family, f"{family.name}-s", self._spawned, rng)
        added.producer = added.jid  # their order is nobody's
        added.custom["bid"] = family.bid
        push(client, ledger, [added], rng)

    def fields(self, account: Account, fetch: Fetch, rng: random.Random) -> dict[str, Any]:
        """What failed is tried again soon."""
        mine = account.queue in self.queues and fetch.outcome == "FAIL"
        return {"retry_after": rng.choice((0, 0.5))} if mine else {}

    # -- judging -------------------------------------------------------------------------------------------------------

    def drained(self, client: Client, ledger: Ledger) -> None:
        for family in self._by_bid.values():
            try:
                family.status = client.do(f"BATCH STATUS {family.bid}")
            except ServerError as error:
                ledger.verdict.find("batches: lost", f"{family.name}: {error}")

    def judge(self, ledger: Ledger) -> None:
        made = [family for family in self.families if family.bid]
        for family in made:
            self._judge_members(family, ledger.verdict)
            for kind, account in family.callbacks.items():
                self._judge_callback(family, kind, account, ledger)
        fired = [account for family in made for account in family.callbacks.values() if account.fetches]
        ledger.verdict.figures |= {
            "batches": len(made),
            "... in batches": sum(family.parent is not None for family in made),
            "... members": sum(len(family.members) for family in made),
            "... members added by members": self._spawned,
            "... callbacks": len(fired),
            "... of these for a death": sum(account.jid.endswith("death") for account in fired),
            "... callbacks delivered again": sum(len(account.fetches) > 1 for account in fired),
            "... in doubt": sum(family.doubtful for family in made),
        }

    def _judge_members(self, family: Family, verdict: Verdict) -> None:
        status = family.status
        sure = [account for account in family.members if account.push == "acknowledged"]
        maybe = [account for account in family.members if account.push == "unanswered" and account.sent_at]
        refused = [account for account in family.members if account.push not in ("acknowledged", "unanswered")]
        for account in refused:
            verdict.find("batches: member refused", describe(account))
        if not status:
            return
        if not len(sure) <= status["total"] <= len(sure) + len(maybe):
            verdict.find("batches: members lost or made up", f"{len(sure)} to {len(sure) + len(maybe)}: {status}")
        if status["pending"]:
            verdict.find("batches: somebody is still waited for", str(status))

    def _judge_callback(self, family: Family, kind: str, account: Account, ledger: Ledger) -> None:
        came_at = min((fetch.received_at for fetch in account.fetches), default=NEVER)
        if came_at < NEVER:
            if kind == "death":
                early = not any(could_have_died(each, came_at) for one in family.below() for each in one.members)
            else:
                early = too_early(family.commit_sent_at, came_at, waits_for(family, kind))
            if early:
                ledger.verdict.find(f"batches: {kind} came too early", f"{came_at:.3f}: {describe(account)}")
        state = family.status.get("death_st" if kind == "death" else f"{kind}_st", "")
        owed = self._owed(family, kind)
        if owed and state != "2":
            ledger.verdict.find(f"batches: {kind} never came", f"{family.name}: {family.status}")
        if owed is False and came_at < NEVER:
            ledger.verdict.find(f"batches: {kind} came and must not", f"{describe(account)}: {family.status}")

    def _owed(self, family: Family, kind: str) -> bool | None:
        """Whether everything having been worked off, this callback must have come; None: nobody knows."""
        family_and_below = list(family.below())
        members = [account for each in family_and_below for account in each.members]
        if kind == "death":
            if any(surely_died(account) for account in members):
                return True
            return None if any(could_have_died(account, NEVER) for account in members) else False
        if any(each.doubtful for each in family_and_below):
            return None
        if kind == "complete":
            return True
        if any(surely_gone(account) for account in members):
            return False
        return None if any(could_be_gone(account) for account in members) else True

    def check_rows(self, connection: sqlite3.Connection, verdict: Verdict) -> None:
        """The numbers of each batch are those of its members' rows; a callback that was fired and is not done has a row."""
        batches: dict[int, tuple[Any, ...]] = {}
        bids: dict[int, str] = {}
        failed: Counter[int] = Counter()
        ids = {job_id for (job_id,) in connection.execute("SELECT id FROM jobs")}
        for key, value in entries_of(connection, "batch"):
            if key[:1] == b"b":
                bids[_KEY.unpack(key)[1]] = json.loads(value)["bid"]
            elif key[:1] == b"c":
                batches[_KEY.unpack(key)[1]] = _PROGRESS.unpack(value)
            else:
                _, number, job_id = _FAILED_KEY.unpack(key)
                failed[number] += 1
                if job_id not in ids:
                    verdict.find("batches: a failed member is kept that is gone", f"{number}: row {job_id}")
        for number in set(batches) ^ set(bids) | (set(failed) - set(batches)):
            verdict.find("batches: half of one is there", str(number))
        members = counted(connection, "bid")
        for bid in set(members) - set(bids.values()):
            verdict.find("batches: lost", f"{bid}, of which {members[bid]} members are there")
        for number in set(batches) & set(bids):
            steps, (total, succeeded, gone), jobs = batches[number][1:4], batches[number][4:7], batches[number][7:10]
            told = f"{bids[number]}: total {total}, succeeded {succeeded}, gone {gone}, steps {steps}, jobs {jobs}"
            if members[bids[number]] != total - succeeded - gone:
                verdict.find("batches: numbers and members disagree", f"{members[bids[number]]} rows, {told}")
            if any((step == _FIRED) != (job_id in ids) for step, job_id in zip(steps, jobs, strict=True)):
                verdict.find("batches: callbacks and rows disagree", told)


def waits_for(family: Family, kind: str) -> Iterator[Span]:
    """What keeps a callback waiting, as far as was told."""
    yield from not_done(family, kind)
    if kind == "success" and "complete" in family.callbacks:
        yield Span(0.0, acked_at(family.callbacks["complete"]))


def not_done(family: Family, kind: str) -> Iterator[Span]:
    """When its members and children were not so far."""
    for account in family.members:
        if account.push == "acknowledged":
            ends = [f.sent_at for f in account.fetches if f.sent_at and (f.outcome == "ACK" or kind == "complete")]
            yield Span(account.answered_at, min(ends, default=NEVER))
    for child in family.children:
        own = child.callbacks.get(kind)
        if own is not None:
            yield Span(child.made_at, acked_at(own))
        else:
            yield Span(child.made_at, child.commit_sent_at)
            yield from not_done(child, kind)


def acked_at(account: Account) -> float:
    """When a worker said for the first time that it is done."""
    return min((f.sent_at for f in account.fetches if f.sent_at and f.outcome == "ACK"), default=NEVER)


def too_early(begins: float, came_at: float, spans: Iterable[Span]) -> bool:
    """Whether there was no moment between these at which nothing was waited for."""
    moment = begins
    for span in sorted(spans):
        if span.begins <= moment < span.ends:
            moment = span.ends
    return moment > came_at


def could_have_died(account: Account, before: float) -> bool:
    """Whether it may have failed as often as it is tried."""
    sent = sum(fetch.times_sent for fetch in account.fetches if fetch.outcome == "FAIL" and fetch.sent_at <= before)
    return sent > max(account.retry, 0)


def surely_died(account: Account) -> bool:
    """Whether it was told so often that it failed."""
    return sum(f.outcome == "FAIL" and f.answer == "OK" for f in account.fetches) > max(account.retry, 0)


def could_be_gone(account: Account) -> bool:
    """Whether it may have failed once without being tried again."""
    return account.retry == 0 and could_have_died(account, NEVER)


def surely_gone(account: Account) -> bool:
    """Whether it was told that it has failed, and is not tried again."""
    return account.retry == 0 and surely_died(account)
