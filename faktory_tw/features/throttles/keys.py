"""Which throttles a job is subject to, and with which key.

The key of a throttle is a path into the args: ``0.tenant_id`` is the member ``tenant_id`` of the first of them. What is
there is taken as it is: text as its characters, a number as it is spelled, and an array or an object as its JSON. A job
that has nothing there, or null, is not limited by that throttle.

Only the way to the value is decoded; what stands beside it stays bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec
from msgspec import Raw

from faktory_tw.config.throttles import Throttle

LONGEST_KEY = 200  # characters; of a longer one the beginning and a hash are kept
_KEPT = 120


class _Body(msgspec.Struct, gc=False):
    jobtype: str = ""
    args: Raw = Raw(b"")


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def keys_of(settings: Sequence[Throttle], text: bytes) -> list[str | None]:
    """For each of these throttles the key that a job, as a worker gets it, has there. None: it is not meant."""
    try:
        body = _decode_body(text)
    except _ERRORS:
        return [None] * len(settings)
    return [_key(setting, body) for setting in settings]


def _key(setting: Throttle, body: _Body) -> str | None:
    if setting.jobtype is not None and setting.jobtype != body.jobtype:
        return None
    return value_at(body.args, setting.key) if setting.key else ""


def value_at(args: Raw | bytes, path: Sequence[str]) -> str | None:
    """What stands at the end of a path, as text; None when nothing does."""
    value: Raw | bytes = args
    try:
        for name in path:
            if bytes(memoryview(value)[:1]) == b"{":
                found = _decode_object(value).get(name)
                if found is None:
                    return None
                value = found
            elif name.isdecimal() and name.isascii():
                members = _decode_list(value)
                if len(name) > 9 or int(name) >= len(members):
                    return None
                value = members[int(name)]
            else:
                return None
        return _as_text(bytes(value))
    except _ERRORS:
        return None


def _as_text(value: bytes) -> str | None:
    if value in (b"", b"null"):
        return None
    text = _decode_text(value) if value[:1] == b'"' else value.decode()
    if len(text) <= LONGEST_KEY:
        return text
    return text[:_KEPT] + "…" + sha256(text.encode()).hexdigest()[:32]
