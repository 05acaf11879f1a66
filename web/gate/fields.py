"""From the bytes of a query or a form to its fields. What is not UTF-8, or has too many fields, is refused."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

MOST_FIELDS = 2000  # the largest list has a hundred rows
FORM_BYTES = 1 << 20
FORM_TYPE = "application/x-www-form-urlencoded"
_PIECE_BYTES = 16_384
JSON_TYPE = "application/json"

Fields = dict[str, list[str]]


class TooManyFields(ValueError):
    """There are more than MOST_FIELDS."""


def parse_fields(text: bytes) -> Fields:
    """The values of each field. Raises TooManyFields, or UnicodeDecodeError when it is not UTF-8.

    What urllib does for a whole value is done here piece by piece: for one of 20 MiB that holds all threads for seconds.
    """
    if text.count(b"&") >= MOST_FIELDS:
        raise TooManyFields
    fields: Fields = {}
    for pair in text.split(b"&"):
        name, _, value = pair.partition(b"=")
        if pair:
            fields.setdefault(_unquoted(name), []).append(_unquoted(value))
    return fields


def _unquoted(text: bytes) -> str:
    return b"".join(map(unquote_to_bytes, _pieces(text.replace(b"+", b" ")))).decode()


def _pieces(text: bytes) -> Iterator[bytes]:
    """A text in pieces, none of which ends within a %XX."""
    start = 0
    while start < len(text):
        end = start + _PIECE_BYTES
        escape = text.rfind(b"%", end - 2, end)
        end = end if escape < 0 else escape
        yield text[start:end]
        start = end


def media_type(header: str | None) -> str:
    """The type that a ``Content-Type`` names, without its parameters."""
    return (header or "").partition(";")[0].strip().lower()
