"""Reply bytes: what a client reads with one read, and can cut at the lengths that are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw.wire import ACKNOWLEDGED, LONGEST_ERROR, NULL, OK, CommandError, FatalCommandError, Held, bulk, error


def test_a_bulk_string_counts_bytes_and_not_characters() -> None:
    assert bulk(b"{}") == b"$2\r\n{}\r\n"
    assert bulk(b"") == b"$0\r\n\r\n"
    assert bulk('"é€😀"'.encode()) == b'$11\r\n"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"\r\n'


@given(st.binary(max_size=300))
def test_a_bulk_string_is_read_back_by_its_length(body: bytes) -> None:
    head, _, rest = bulk(body).partition(b"\r\n")
    assert head[:1] == b"$"
    assert rest[: int(head[1:])] == body
    assert rest[int(head[1:]) :] == b"\r\n"


def test_an_error_has_the_code_before_the_text() -> None:
    assert error(CommandError("jobs must have an args parameter")) == b"-ERR jobs must have an args parameter\r\n"
    assert error(CommandError("Job not unique", "NOTUNIQUE")) == b"-NOTUNIQUE Job not unique\r\n"
    assert error(FatalCommandError("Invalid password")) == b"-ERR Invalid password\r\n"


@given(st.text(max_size=200))
def test_an_error_is_one_line_whatever_it_quotes(quoted: str) -> None:
    reply = error(CommandError(f"Unknown command {quoted}"))
    assert reply.startswith(b"-ERR Unknown command ")
    assert reply.endswith(b"\r\n")
    assert b"\r" not in reply[:-2]
    assert b"\n" not in reply[:-2]


def test_half_a_surrogate_pair_in_an_error_is_replaced() -> None:
    assert error(CommandError("Unknown worker \ud800")) == b"-ERR Unknown worker ?\r\n"


def test_an_acknowledgement_of_a_change_is_held_and_other_replies_are_not() -> None:
    assert isinstance(ACKNOWLEDGED, Held)
    assert ACKNOWLEDGED == OK == b"+OK\r\n"
    assert not isinstance(OK, Held)
    assert not isinstance(NULL, Held)
    assert NULL == b"$-1\r\n"


def test_a_fatal_refusal_is_a_refusal() -> None:
    with pytest.raises(CommandError, match=r"^Shutdown in progress$"):
        raise FatalCommandError("Shutdown in progress")


def test_an_error_is_cut_where_it_quotes_without_end() -> None:
    reply = error(CommandError("x" * 100_000))
    assert reply == b"-ERR " + b"x" * (LONGEST_ERROR - 6) + "…\r\n".encode()
    assert error(CommandError("x" * (LONGEST_ERROR - 5))).count(b"x") == LONGEST_ERROR - 5
