"""The books of the long run: they have to see every job that is lost, and every one that comes back."""

from __future__ import annotations

import pytest

from tests.bench.long_run.books import DIE, DONE, EXPIRE, EXPIRED_SECONDS, FAIL, MAX_SHOWN, PARK, REST, Books
from tests.unit.doubles import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def books(clock: FakeClock) -> Books:
    return Books(clock.monotonic)


def push(books: Books, jid: str, fate: str = DONE, seconds: float = 0.0) -> None:
    books.pushing(jid, fate, seconds)
    books.pushed([jid])


def test_a_job_that_was_done_is_over(books: Books) -> None:
    push(books, "job-1")
    assert books.waiting() == 1
    assert books.fetched("job-1") == DONE
    books.over("job-1", "done")
    counts, findings = books.close()
    assert (counts["pushed"], counts["done"], counts["lost"], findings) == (1, 1, 0, [])


def test_a_job_that_nobody_has_done_is_lost(books: Books) -> None:
    push(books, "job-1")
    counts, findings = books.close()
    assert counts["lost"] == 1
    assert findings == ["lost: job-1: done, fetched 0 times"]


def test_a_job_that_comes_after_its_end_is_found(books: Books, capsys: pytest.CaptureFixture[str]) -> None:
    push(books, "job-1")
    books.over("job-1", "done")
    books.fetched("job-1")
    counts, findings = books.close()
    assert counts["findings"] == 1
    assert findings == ["job-1 was delivered though it was over, or never pushed"]
    assert findings[0] in capsys.readouterr().err


def test_a_job_that_was_removed_and_comes_is_found(books: Books) -> None:
    push(books, "job-1", REST)
    books.removed(books.take_resting(REST))
    books.fetched("job-1")
    assert books.counts()["removed"] == books.counts()["findings"] == 1


def test_a_job_that_failed_and_comes_again_is_none_to_be_found(books: Books) -> None:
    push(books, "job-1", FAIL)
    books.fetched("job-1")
    books.fetched("job-1")
    assert books.counts() == {"pushed": 1, "delivered": 2, "delivered again": 1, "open": 1}


def test_a_job_that_was_refused_is_none_to_be_lost(books: Books) -> None:
    books.pushing("job-1", EXPIRE, 5)
    books.refused("job-1")
    assert books.close() == ({"refused": 1, "lost": 0}, [])


def test_a_job_that_may_expire_is_over_only_long_after_its_end(books: Books, clock: FakeClock) -> None:
    push(books, "job-1", EXPIRE, 5)
    clock.advance(5 + EXPIRED_SECONDS - 1)
    books.settle_expired()
    assert (books.counts()["open"], books.waiting()) == (1, 0)
    clock.advance(2)
    books.settle_expired()
    assert (books.counts()["open"], books.counts()["expired"]) == (0, 1)
    books.fetched("job-1")
    assert books.counts()["findings"] == 1


def test_a_job_that_was_done_before_it_expired_has_not_expired(books: Books, clock: FakeClock) -> None:
    push(books, "job-1", EXPIRE, 5)
    books.over("job-1", "done")
    clock.advance(2 * EXPIRED_SECONDS)
    books.settle_expired()
    assert books.close()[0] == {"pushed": 1, "done": 1, "lost": 0}


def test_at_the_end_what_may_expire_has_done_so(books: Books) -> None:
    push(books, "job-1", EXPIRE, 5)
    assert books.close() == ({"pushed": 1, "expired": 1, "lost": 0}, [])


def test_jobs_that_rest_are_given_to_one_operator_only_and_are_done_when_pardoned(books: Books) -> None:
    push(books, "job-1", DIE)
    push(books, "job-2", PARK)
    books.rests("job-1", DIE)
    books.rests("job-2", PARK)
    assert books.take_resting(PARK) == ["job-2"]
    books.moved(["job-2"], DIE)
    assert books.take_resting(PARK) == []
    assert books.take_resting(DIE, most=1) == ["job-1"]
    assert books.take_resting(DIE) == ["job-2"]
    books.pardon(["job-1", "job-2", "job-unknown"])
    assert books.fetched("job-1") == books.fetched("job-2") == DONE


def test_many_losses_are_counted_and_some_are_told(books: Books) -> None:
    for number in range(1000):
        push(books, f"job-{number}")
    counts, findings = books.close()
    assert (counts["lost"], len(findings)) == (1000, MAX_SHOWN)
