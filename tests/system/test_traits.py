"""What the torture knows of unique jobs and of ones that expire, on histories and rows that are known to be good or bad."""

from __future__ import annotations

import json
import sqlite3
from struct import pack
from typing import Any

import pytest

from tests.system.ledger import Account, Fetch, Ledger, Verdict
from tests.system.traits.standard import standard_traits

NOT_UNIQUE = "NOTUNIQUE Job not unique"


def unique(jid: str, sent_at: float, push: str = "acknowledged", **fields: Any) -> Account:
    """A job like the others of the test, whose push was answered half a second later."""
    account = Account(jid, "producer", 1, "default", 5, 25, False, push, custom={"unique_for": 3600}, args=[1])
    account.sent_at, account.answered_at = sent_at, sent_at + 0.5
    for name, value in fields.items():
        setattr(account, name, value)
    return account


def done(jid: str, at: float, outcome: str = "ACK") -> Fetch:
    return Fetch(jid, 1, at, outcome, 1, "OK", 1, at + 0.2, at + 0.1)


def kinds(*accounts: Account) -> list[str]:
    """What is found wrong, whatever is in the database."""
    ledger = Ledger(standard_traits())
    ledger.accounts = {account.jid: account for account in accounts}
    ledger.judge_deliveries()
    return list(ledger.verdict.wrong)


def test_an_equal_job_is_rightly_refused_while_the_first_is_not_done() -> None:
    assert kinds(unique("a", 1), unique("b", 2, NOT_UNIQUE)) == []
    assert kinds(unique("a", 1, "unanswered"), unique("b", 2, NOT_UNIQUE)) == []
    assert kinds(unique("a", 1, fetches=[done("a", 5, "FAIL")]), unique("b", 9, NOT_UNIQUE)) == []


def test_a_lock_that_outlives_its_job_is_noticed() -> None:
    wrong = ["refused as not unique without a reason"]
    assert kinds(unique("b", 2, NOT_UNIQUE)) == wrong
    assert kinds(unique("a", 1, fetches=[done("a", 5)]), unique("b", 9, NOT_UNIQUE)) == wrong
    assert kinds(unique("a", 1, fetches=[done("a", 5)]), unique("b", 5.1, NOT_UNIQUE)) == []  # at the same time


def test_a_lock_that_is_lost_is_noticed() -> None:
    wrong = ["two equal jobs at once"]
    assert kinds(unique("a", 1), unique("b", 2)) == wrong
    assert kinds(unique("a", 1, fetches=[done("a", 5, "FAIL")]), unique("b", 9)) == wrong
    assert kinds(unique("a", 1, fetches=[done("a", 5)]), unique("b", 9)) == []
    assert kinds(unique("a", 1, "unanswered"), unique("b", 2)) == []
    assert kinds(unique("a", 1), unique("b", 2, args=[2])) == []


def test_another_refusal_is_no_answer_to_an_ordinary_job() -> None:
    ledger = Ledger(standard_traits())
    ledger.accounts = {"a": unique("a", 1, NOT_UNIQUE, custom={}), "b": unique("b", 1, "ERR no")}
    ledger.judge_rows([])
    assert len(ledger.verdict.wrong["refused"]) == 2


def test_a_job_that_is_delivered_after_its_end_is_noticed() -> None:
    soon: dict[str, Any] = {"custom": {"expires_in": 1.0}, "may_vanish": True}
    assert kinds(unique("a", 1, fetches=[done("a", 3)], **soon)) == []
    assert kinds(unique("a", 1, fetches=[done("a", 9)], **soon)) == ["delivered though expired"]
    died = [done("a", 1.9, "FAIL"), done("a", 9)]
    assert kinds(unique("a", 1, fetches=died, retry=0, **soon)) == ["finished and delivered again"]
    assert kinds(unique("a", 1, fetches=died, retry=1, **soon)) == []


@pytest.mark.parametrize(
    ("entries", "wrong"),
    [
        ([("unique", b"k1", pack(">dq", 9, 1)), ("expires", pack(">q", 2), pack(">d", 9))], []),
        ([("unique", b"k1", pack(">dq", 9, 1))], ["expiry: lost"]),
        ([("expires", pack(">q", 2), pack(">d", 9))], ["locks: lost"]),
        (
            [("unique", b"k1", pack(">dq", 9, 7)), ("unique", b"k2", pack(">dq", 9, 1))]
            + [("expires", pack(">q", n), pack(">d", 9)) for n in (2, 8)],
            ["locks: kept for a job that is gone", "expiry: kept for a job that is gone"],
        ),
    ],
)
def test_what_features_keep_and_the_jobs_have_to_fit(entries: list[tuple[str, bytes, bytes]], wrong: list[str]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, body TEXT)")
    connection.execute("CREATE TABLE places (id INTEGER PRIMARY KEY, place INTEGER)")
    connection.execute("CREATE TABLE entries (kind TEXT, key BLOB, value BLOB)")
    customs = ({"unique_for": 1}, {"expires_in": 1}, {"unique_for": 1, "expires_in": 1}, None)
    rows = [(n, json.dumps({"jid": f"job-{n}", "custom": custom})) for n, custom in enumerate(customs, 1)]
    connection.executemany("INSERT INTO jobs VALUES (?, ?)", rows)
    connection.execute("INSERT INTO places VALUES (3, 3)")  # dead
    connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", entries)
    verdict = Verdict()
    for trait in standard_traits():
        trait.check_rows(connection, verdict)
    connection.close()
    assert list(verdict.wrong) == wrong
