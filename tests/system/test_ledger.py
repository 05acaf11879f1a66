"""The crash test's bookkeeping, tried on histories that are known to be good or bad: it has to see every loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.ledger import Account, Fetch, Found, Ledger, Verdict
from tests.system.torture import read_rows

KILLED_AT = 100.0


def make(retry: int = 25, push: str = "acknowledged", scheduled: bool = False) -> tuple[Ledger, Account]:
    """Return a ledger in which process 1 was killed at KILLED_AT, and one account in it."""
    ledger = Ledger()
    ledger.killed_at[1] = KILLED_AT
    account = Account("job-0001", "producer", 1, "default", 5, retry, scheduled, push)
    ledger.pushing([account])
    return ledger, account


def delivered(
    account: Account,
    incarnation: int,
    received_at: float,
    outcome: str = "",
    answered: tuple[str, int, float] = ("", 0, 0.0),
) -> None:
    """Add a delivery; `answered` is the answer, by which process, and when."""
    account.fetches.append(Fetch(account.jid, incarnation, received_at, outcome, bool(outcome), *answered))


def row(place: str = "queued", failures: int = 0, queue: str = "default") -> Found:
    """Return the job as found in the database."""
    return Found("job-0001", place, queue, 5, failures)


def kinds(ledger: Ledger, *rows: Found) -> list[str]:
    """Return the kinds of wrong that all judgements but the drain's find."""
    ledger.judge_rows(rows)
    ledger.judge_deliveries()
    return list(ledger.verdict.wrong)


def test_an_acknowledged_job_that_is_gone_is_lost() -> None:
    ledger, _ = make()
    assert kinds(ledger) == ["acknowledged and lost"]


def test_a_job_whose_push_was_not_answered_may_exist_or_not() -> None:
    assert kinds(make(push="unanswered")[0]) == []
    assert kinds(make(push="unanswered")[0], row()) == []


def test_a_job_that_was_only_held_is_lost_when_it_is_gone() -> None:
    ledger, account = make()
    delivered(account, 1, KILLED_AT - 0.1)
    assert kinds(ledger) == ["acknowledged and lost"]


def test_a_failed_job_that_is_gone_is_lost_unless_it_was_not_to_be_retried() -> None:
    ledger, account = make()
    delivered(account, 1, 50.0, "FAIL", ("OK", 1, 51.0))
    assert kinds(ledger) == ["acknowledged and lost"]
    ledger, account = make(retry=0)
    delivered(account, 1, 50.0, "FAIL", ("OK", 1, 51.0))
    assert kinds(ledger) == []


def test_an_ack_answered_by_the_process_that_delivered_the_job_is_final_even_just_before_the_kill() -> None:
    ledger, account = make()
    delivered(account, 1, KILLED_AT - 0.1, "ACK", ("OK", 1, KILLED_AT - 0.05))
    assert kinds(ledger, row()) == ["finished and still there"]
    delivered(account, 2, KILLED_AT + 5)
    assert "finished and delivered again" in kinds(ledger)


def test_a_late_ack_of_a_job_fetched_just_before_the_kill_is_excused_and_counted() -> None:
    ledger, account = make()
    delivered(account, 1, KILLED_AT - 0.9, "ACK", ("OK", 2, KILLED_AT + 2))
    assert kinds(ledger, row()) == []
    assert ledger.verdict.figures["acknowledged and back, excused"] == 1


def test_a_late_ack_of_a_job_fetched_earlier_is_not_excused() -> None:
    ledger, account = make()
    delivered(account, 1, KILLED_AT - 1.1, "ACK", ("OK", 2, KILLED_AT + 2))
    assert kinds(ledger, row()) == ["finished and still there"]


def test_a_fetch_before_a_push_that_was_acknowledged_is_not_excused() -> None:
    for pushed_at, kinds_found in ((KILLED_AT - 0.2, []), (KILLED_AT - 0.05, ["finished and still there"])):
        ledger, account = make()
        delivered(account, 1, KILLED_AT - 0.1, "ACK", ("OK", 2, KILLED_AT + 2))
        other = Account("job-0002", "producer", 2, "default", 5, 25, False)
        ledger.accounts[other.jid] = other
        other.sent_at = pushed_at
        ledger.pushed([other], {})
        other_row = Found("job-0002", "queued", "default", 5, 0)
        assert kinds(ledger, row(), other_row) == kinds_found


def test_a_job_fetched_in_a_process_that_was_not_killed_is_never_excused() -> None:
    ledger, account = make()
    delivered(account, 2, 150.0, "ACK", ("OK", 3, 160.0))
    assert kinds(ledger, row()) == ["finished and still there"]


def test_two_workers_may_hold_a_job_only_after_a_kill() -> None:
    ledger, account = make()
    delivered(account, 1, KILLED_AT - 0.2)
    delivered(account, 1, KILLED_AT - 0.1)
    assert kinds(ledger, row("working")) == ["delivered twice"]
    ledger, account = make()
    delivered(account, 1, KILLED_AT - 0.2)
    delivered(account, 2, KILLED_AT + 1)
    assert kinds(ledger, row("working")) == []
    ledger, account = make()
    delivered(account, 1, KILLED_AT - 2)
    delivered(account, 2, KILLED_AT + 1)
    assert kinds(ledger, row("working")) == ["delivered twice"]


def test_the_late_fail_of_a_lost_fetch_may_undo_anothers_ack_but_no_other_fail_may() -> None:
    ledger, account = make()
    delivered(account, 1, KILLED_AT - 0.1, "FAIL", ("OK", 2, KILLED_AT + 2))
    delivered(account, 2, KILLED_AT + 1, "ACK", ("OK", 2, KILLED_AT + 3))
    assert kinds(ledger, row("retries", failures=1)) == []
    assert ledger.verdict.figures["... after another's late FAIL"] == 1
    delivered(account, 3, KILLED_AT + 30)
    ledger.judge_deliveries()
    assert not ledger.verdict.wrong
    ledger, account = make()
    delivered(account, 1, KILLED_AT - 10, "FAIL", ("OK", 1, KILLED_AT - 9))
    delivered(account, 2, KILLED_AT + 1, "ACK", ("OK", 2, KILLED_AT + 3))
    assert kinds(ledger, row("retries", failures=1)) == ["finished and still there"]


def test_a_failed_job_may_be_delivered_again() -> None:
    ledger, account = make()
    delivered(account, 1, 20.0, "FAIL", ("OK", 1, 21.0))
    delivered(account, 1, 50.0)
    assert kinds(ledger, row("working", failures=1)) == []


def test_a_fail_that_was_acknowledged_must_have_been_written_down() -> None:
    ledger, account = make()
    delivered(account, 1, 20.0, "FAIL", ("OK", 1, 21.0))
    assert kinds(ledger, row("working", failures=0)) == ["FAIL acknowledged and lost, or made up"]
    assert "in a place it cannot be in" in kinds(ledger, row("dead", failures=1))


def test_a_reservation_the_server_forgot_is_noticed() -> None:
    ledger, account = make()
    delivered(account, 1, 20.0, "FAIL", ("ERR Job not found job-0001", 1, 21.0))
    assert kinds(ledger, row()) == ["reservation forgotten"]


def test_a_job_in_two_places_is_noticed() -> None:
    ledger, account = make()
    delivered(account, 1, 20.0)
    assert kinds(ledger, row(), row("working")) == ["in two places"]


@pytest.mark.parametrize("found", [row("scheduled"), row("retries"), row("dead"), row(queue="other")])
def test_a_job_in_a_place_nobody_put_it_in_is_noticed(found: Found) -> None:
    ledger, _ = make()
    assert kinds(ledger, found) == ["in a place it cannot be in"]


def test_a_drain_that_leaves_out_a_job_or_invents_one_is_noticed() -> None:
    ledger, account = make()
    ledger.judge_drain([row()], 3)
    assert list(ledger.verdict.wrong) == ["in the database and never delivered"]
    ledger, account = make()
    delivered(account, 3, 200.0)
    ledger.judge_drain([], 3)
    assert list(ledger.verdict.wrong) == ["delivered though not in the database"]
    ledger, account = make()
    delivered(account, 3, 200.0)
    ledger.judge_drain([row()], 3)
    assert not ledger.verdict.wrong


def test_what_was_never_pushed_is_noticed() -> None:
    ledger = Ledger()
    ledger.fetched("stranger", 1)
    ledger.judge_rows([row()])
    assert list(ledger.verdict.wrong) == ["delivered though never pushed", "in the database though never pushed"]


def test_a_connection_that_ends_without_a_kill_is_noticed() -> None:
    ledger = Ledger()
    ledger.connection_broken(1)
    ledger.killed(1)
    ledger.connection_broken(1)
    ledger.judge_rows([])
    assert [len(found) for found in ledger.verdict.wrong.values()] == [1]


def test_a_database_that_cannot_be_read_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "faktory.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    verdict = Verdict()
    assert read_rows(tmp_path / "faktory.db", verdict) == []
    assert list(verdict.wrong) == ["the database is damaged"]
