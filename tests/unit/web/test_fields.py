"""Queries and forms become the fields that the standard library would make of them."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.gate import fields
from web.gate.fields import TooManyFields, media_type, parse_fields

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8))
def test_what_a_browser_encodes_is_what_comes_out(pairs: list[tuple[str, str]]) -> None:
    assert parse_fields(urlencode(pairs).encode()) == grouped(pairs)


@given(st.lists(st.sampled_from(["a", "=", "&", "%", "+", "%2", "%26", "%3D", "%25", ";", "é", "%c3%a9", "zz"])))
def test_nonsense_is_read_as_the_standard_library_reads_it(parts: list[str]) -> None:
    text = "".join(parts)
    assert parse_fields(text.encode()) == grouped(parse_qsl(text, keep_blank_values=True))


@pytest.mark.parametrize("size", range(1, 12))
def test_a_long_value_is_the_same_wherever_it_is_cut(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(fields, "_PIECE_BYTES", size + 3)
    text = "a%b é€ 100%25 %zz % %2"
    assert parse_fields(f"x={quote(text)}&y=%{quote(text)}%".encode()) == {"x": [text], "y": [f"%{text}%"]}
    assert parse_fields(b"x=" + b"%41" * 100 + b"%") == {"x": ["A" * 100 + "%"]}


def test_there_is_a_most() -> None:
    assert len(parse_fields(b"&".join(b"%d=" % number for number in range(fields.MOST_FIELDS)))) == fields.MOST_FIELDS
    with pytest.raises(TooManyFields):
        parse_fields(b"&" * fields.MOST_FIELDS)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, ""),
        ("", ""),
        ("Text/HTML; charset=x", "text/html"),
        (" application/json ", "application/json"),
        (";", ""),
    ],
)
def test_a_type_is_named_without_its_parameters(header: str | None, wanted: str) -> None:
    assert media_type(header) == wanted
