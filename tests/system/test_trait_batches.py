"""What the torture knows of batches, on histories and rows that are known to be good or bad."""

from __future__ import annotations

import json
import sqlite3
from struct import pack
from typing import Any

import pytest

from tests.system.ledger import Account, Fetch, Found, Ledger, Verdict
from tests.system.traits.batches import CALLBACKS, MEMBERS, Batches, Family

DONE: dict[str, Any] = {"total": 2, "pending": 0, "failed": 0, "complete_st": "2", "success_st": "2", "death_st": ""}


def settled(jid: str, received_at: float, outcome: str = "ACK", answer: str = "OK", incarnation: int = 1) -> Fetch:
    """A job that was held for half a second."""
    sent_at = received_at + 0.5
    return Fetch(jid, incarnation, received_at, outcome, 1, answer, incarnation, sent_at + 0.1, sent_at)


class History:
    """A batch of two members, pushed at 1 and 2 and committed at 3, whose callbacks came at 8 and 9."""

    def __init__(self, **status: Any) -> None:
        self.trait = Batches()
        self.ledger = Ledger([self.trait])
        self.family = self.batch(("complete", "success"))
        self.family.status = DONE | status
        self.members = [
            self.member(self.family, 1.0, settled("", 5.0)),
            self.member(self.family, 2.0, settled("", 6.0)),
        ]
        self.fires(self.family, "complete", settled("", 8.0))
        self.fires(self.family, "success", settled("", 9.0))

    def batch(self, kinds: tuple[str, ...], parent: Family | None = None) -> Family:
        family = Family(
            f"b{len(self.trait.families):06}", kinds, parent, f"b-{len(self.trait.families)}", True, 0.5, 3.0
        )
        self.trait.families.append(family)
        if parent is not None:
            parent.children.append(family)
        for kind in kinds:
            family.callbacks[kind] = self.account(f"{family.name}-{kind}", CALLBACKS, "owed")
        return family

    def account(self, jid: str, queue: str, push: str = "acknowledged") -> Account:
        account = Account(jid, jid, 0, queue, 5, 25, False, push)
        self.ledger.accounts[jid] = account
        return account

    def member(self, family: Family, answered_at: float, *fetches: Fetch, retry: int = 25) -> Account:
        account = self.account(f"{family.name}-m{len(family.members)}", MEMBERS)
        account.retry, account.fetches = retry, list(fetches)
        account.sent_at, account.answered_at = answered_at - 0.1, answered_at
        family.members.append(account)
        return account

    def fires(self, family: Family, kind: str, *fetches: Fetch) -> None:
        family.callbacks[kind].fetches = list(fetches)

    def wrong(self) -> list[str]:
        """What is found, without "batches: "."""
        self.ledger.judge_deliveries()
        return [kind.removeprefix("batches: ") for kind in self.ledger.verdict.wrong]


def test_a_batch_whose_callbacks_came_when_all_was_done_is_right() -> None:
    assert History().wrong() == []


def test_complete_may_come_when_each_member_was_tried_and_success_only_when_each_has_succeeded() -> None:
    history = History()
    history.members[1].fetches = [settled("", 6.0, "FAIL"), settled("", 8.2)]
    assert history.wrong() == []
    history.members[1].fetches = [settled("", 6.0, "FAIL"), settled("", 9.2)]
    assert history.wrong() == ["success came too early"]


def test_a_callback_before_its_condition_is_noticed() -> None:
    history = History()
    history.members[0].fetches = [settled("", 7.6)]
    assert history.wrong() == ["complete came too early"]
    history = History()
    history.fires(history.family, "success", settled("", 8.3))  # the job of complete ran until 8.5
    assert history.wrong() == ["success came too early"]
    history = History()
    history.family.commit_sent_at = 8.2
    assert history.wrong() == ["complete came too early"]


def test_a_member_that_was_added_while_one_was_worked_is_waited_for() -> None:
    history = History(total=3)
    history.member(history.family, 6.2, settled("", 8.1))
    assert history.wrong() == ["complete came too early"]


def test_a_parent_that_does_not_wait_for_the_callback_of_its_child_is_noticed() -> None:
    history = History()
    child = history.batch(("complete", "success"), history.family)
    child.status = DONE | {"total": 0}
    history.fires(child, "complete", settled("", 7.0))
    history.fires(child, "success", settled("", 8.2))
    assert history.wrong() == []
    history.fires(child, "complete", settled("", 7.6))
    assert history.wrong() == ["complete came too early"]


def test_a_callback_that_never_comes_is_noticed() -> None:
    for kind in ("complete", "success"):
        assert History(**{f"{kind}_st": "1"}).wrong() == [f"{kind} never came"]
    history = History(success_st="")
    history.family.doubtful = True
    assert history.wrong() == []


def test_members_that_are_lost_or_waited_for_in_vain_are_noticed() -> None:
    assert History(total=1).wrong() == ["members lost or made up"]
    assert History(total=3).wrong() == ["members lost or made up"]
    assert History(pending=1).wrong() == ["somebody is still waited for"]
    history = History(total=3)
    history.member(history.family, 2.0, settled("", 5.0)).push = "unanswered"
    assert history.wrong() == []


def test_success_after_a_member_is_gone_and_a_death_that_is_not_told_are_noticed() -> None:
    history = History()
    history.member(history.family, 2.0, settled("", 5.0, "FAIL"), retry=0)
    history.family.status["total"] = 3
    assert sorted(history.wrong()) == ["success came and must not", "success came too early"]
    history = History(death_st="")
    history.family.callbacks["death"] = history.account("b-death", CALLBACKS, "owed")
    assert history.wrong() == []
    history.members[0].retry, history.members[0].fetches = 0, [settled("", 5.0, "FAIL"), settled("", 5.6)]
    assert "death never came" in history.wrong()


def test_a_death_before_anybody_died_is_noticed() -> None:
    history = History()
    history.family.callbacks["death"] = history.account("b-death", CALLBACKS, "owed")
    history.fires(history.family, "death", settled("", 7.0))
    assert history.wrong() == ["death came too early", "death came and must not"]


def test_a_second_job_for_one_callback_is_noticed() -> None:
    history = History()
    history.fires(history.family, "success", settled("", 9.0), settled("", 12.0))
    assert history.wrong() == ["finished and delivered again"]
    ledger = History().ledger
    row = Found("b000000-success", "queued", CALLBACKS, 5, 0)
    ledger.judge_rows([row, row])
    assert "in two places" in ledger.verdict.wrong


PROGRESS = ">BBBBqqqqqqd"


def entries(total: int, succeeded: int, gone: int, jobs: tuple[int, ...] = (0, 0, 0), fired: int = 0) -> list[Any]:
    progress = pack(PROGRESS, 1, fired, 0, 0, total, succeeded, gone, *jobs, 0.0)
    return [
        ("batch", b"b" + pack(">q", 1), json.dumps({"bid": "b-1"}).encode()),
        ("batch", b"c" + pack(">q", 1), progress),
    ]


@pytest.mark.parametrize(
    ("kept", "wrong"),
    [
        (entries(3, 1, 0), []),
        (entries(4, 1, 1, (9, 0, 0), fired=1), []),
        (entries(3, 0, 0), ["numbers and members disagree"]),
        (entries(3, 1, 1), ["numbers and members disagree"]),
        (entries(3, 1, 0)[:1], ["half of one is there"]),
        (entries(3, 1, 0)[1:], ["half of one is there", "lost"]),
        ([], ["lost"]),
        (entries(3, 1, 0, (8, 0, 0), fired=1), ["callbacks and rows disagree"]),
        (entries(3, 1, 0, (9, 0, 0), fired=2), ["callbacks and rows disagree"]),
        ([*entries(3, 1, 0), ("batch", b"f" + pack(">qq", 1, 7), b"")], ["a failed member is kept that is gone"]),
    ],
)
def test_what_is_kept_of_a_batch_and_the_rows_of_its_members_have_to_fit(kept: list[Any], wrong: list[str]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, body TEXT)")
    connection.execute("CREATE TABLE entries (kind TEXT, key BLOB, value BLOB)")
    bodies = [{"custom": {"bid": "b-1"}}, {"custom": {"bid": "b-1"}}, {}]
    rows = [(number, json.dumps(body)) for number, body in zip((1, 2, 9), bodies, strict=True)]
    connection.executemany("INSERT INTO jobs VALUES (?, ?)", rows)
    connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", kept)
    verdict = Verdict()
    Batches().check_rows(connection, verdict)
    connection.close()
    assert [kind.removeprefix("batches: ") for kind in verdict.wrong] == wrong
