"""What a job asks of the features: the members of its ``custom`` that mean something to the server.

They are decoded once, when the job is pushed or read back, so that a job without any costs a comparison. A producer is
told of a member that cannot be meant so; in a job that is read back, perhaps one of an older server, it is left out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from faktory_tw.core.backoff import LONGEST_DELAY, MOST_DELAYS, Backoff, Delays
from faktory_tw.times import DAY_SECONDS
from faktory_tw.wire import CommandError

LONGEST_SECONDS = 100 * 365 * DAY_SECONDS

Seconds = Annotated[float, Meta(gt=0, le=LONGEST_SECONDS)]


class Marks(msgspec.Struct, gc=False):
    """The known members of ``custom``; None, and JSON's null, is absent."""

    unique_for: Seconds | None = None
    unique_until: Literal["success", "start"] | None = None
    expires_at: str | None = None
    expires_in: Seconds | None = None
    track: bool | int | None = None
    bid: str | None = None
    callback_of: str | None = msgspec.field(default=None, name="_bid")
    backoff: Backoff | Delays | None = None


_SECONDS = "a number of seconds above 0, and 100 years at most"
_MEANT = {
    "unique_for": _SECONDS,
    "unique_until": '"success" or "start"',
    "expires_at": 'a time such as "2026-11-22T08:00:00Z"',
    "expires_in": _SECONDS,
    "track": "1 or 0",
    "bid": "the bid that BATCH NEW returned",
    "_bid": "the bid of the batch whose callback it is",
    "backoff": (
        'an object such as {"type":"exponential","base":10,"cap":3600,"jitter":0.2}, of type constant, linear or'
        " exponential, where cap and jitter (0 to 1) may be left out, or a list such as [10,60,300] of"
        f" {MOST_DELAYS} at most; in seconds, from 0 to {LONGEST_DELAY}"
    ),
}
_NONE = Marks()
_decode = msgspec.json.Decoder(Marks | None).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decoders: dict[str, Any] = {
    field.encode_name: msgspec.json.Decoder(field.type).decode for field in msgspec.structs.fields(Marks)
}
_fields = {field.encode_name: field.name for field in msgspec.structs.fields(Marks)}


def pushed_marks(custom: Raw) -> Marks | None:
    """The marks of a job that is pushed; None when it has none. Raises CommandError."""
    try:
        marks = _decode(custom)
    except msgspec.ValidationError:
        _, wrong = _each(custom)
        if not wrong:
            return None  # no object at all: not for here to say
        raise CommandError(f"custom.{wrong[0]} must be {_MEANT[wrong[0]]}") from None
    return None if marks == _NONE else marks


def kept_marks(custom: Raw) -> Marks | None:
    """The marks of a job that is read back; None when it has none that make sense."""
    try:
        marks = _decode(custom)
    except msgspec.DecodeError:
        marks = Marks(**_each(custom)[0])
    return None if marks == _NONE else marks


def _each(custom: Raw) -> tuple[dict[str, Any], list[str]]:
    """The members that make sense, and the names of those that do not."""
    right: dict[str, Any] = {}
    wrong = []
    try:
        members = _decode_members(custom)
    except msgspec.DecodeError:
        members = {}
    for name, decode in _decoders.items():
        if name in members:
            try:
                right[_fields[name]] = decode(members[name])
            except msgspec.DecodeError:
                wrong.append(name)
    return right, wrong
