"""Lines that wait: in order, counted, and many short ones in little room."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw.lines import PutBy

LINES = st.lists(st.lists(st.sampled_from([b"", b"INFO\r", b"x"]), max_size=1000), max_size=4)


@given(LINES, st.integers(0, 600))
def test_lines_come_out_in_the_order_in_which_they_went_in(several: list[list[bytes]], between: int) -> None:
    put_by, model = PutBy(), list[bytes]()
    for lines in several:
        put_by.extend(lines)
        model += lines
        for _ in range(min(between, len(model))):
            assert put_by.first() == model[0]
            assert put_by.popleft() == model.pop(0)
        assert put_by.size == sum(map(len, model)) + len(model)
        assert bool(put_by) is bool(model)
    assert [put_by.popleft() for _ in model] == model
    assert (put_by.size, bool(put_by)) == (0, False)


def test_ten_thousand_short_lines_take_about_the_room_of_their_bytes() -> None:
    put_by = PutBy()
    put_by.extend([b"INFO\r"] * 10_000)
    kept = [*put_by._lines, *put_by._texts]
    assert sum(map(sys.getsizeof, kept)) < 1.3 * put_by.size


def test_a_long_line_is_not_copied() -> None:
    line = b"x" * 100_000
    put_by = PutBy()
    put_by.extend([b"first"] * 300)
    put_by.extend([line])
    for _ in range(300):
        put_by.popleft()
    assert put_by.popleft() is line


def test_there_is_no_first_line_when_there_is_none() -> None:
    put_by = PutBy()
    put_by.extend([b"a"] * 300)
    put_by.clear()
    assert (put_by.size, bool(put_by)) == (0, False)
    with pytest.raises(IndexError):
        put_by.first()
