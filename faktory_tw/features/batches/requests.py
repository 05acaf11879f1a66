"""What a client asks with BATCH NEW, and the jobs that come of it.

Callbacks are vetted when the batch begins, as PUSH would, and kept as JSON: when a callback is due nobody is there to be
told that it cannot be pushed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from faktory_tw.core.job import Payload, parse_folded, parse_job
from faktory_tw.features.batches.records import KINDS, Origin
from faktory_tw.wire import CommandError

MAXIMUM_DESCRIPTION = 1000  # characters
MAXIMUM_CALLBACK_BYTES = 65_536
MOST_QUOTED = 100  # characters of a bid in an error

_NULL = (b"", b"null", b'""')
_NOTHING = Payload().custom  # this very object is left out when a job is encoded, an equal one is not
_OWN = ("bid", "_bid", "_pbid", "_cb")  # of the custom of a callback: the server says these, when it fires
_decode_custom = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


class NewBatch(msgspec.Struct, gc=False):
    """What BATCH NEW is given. ``bid`` is sent, empty, by the Go client."""

    bid: str | None = None
    parent_bid: str | None = None
    description: str | None = None
    success: Raw = Raw(b"")
    complete: Raw = Raw(b"")
    death: Raw = Raw(b"")


def no_such_batch(bid: str) -> CommandError:
    """The refusal that workers look for."""
    return CommandError(f"No such batch {bid[:MOST_QUOTED]}")


def parse_new(argument: bytes) -> NewBatch:
    """The request in ``argument``. Raises CommandError."""
    try:
        asked = parse_folded(argument, NewBatch)
    except ValueError as error:
        raise CommandError(f"invalid JSON: {error}") from None
    if asked.description is not None and len(asked.description) > MAXIMUM_DESCRIPTION:
        raise CommandError(f"the description of a batch must not be longer than {MAXIMUM_DESCRIPTION} characters")
    return asked


def vetted_callbacks(asked: NewBatch, vet: Callable[[Payload], None]) -> dict[str, Raw]:
    """The callbacks by kind, complete jobs each. ``vet`` refuses what cannot be pushed. Raises CommandError."""
    callbacks = {}
    for kind, text in zip(KINDS, (asked.complete, asked.success, asked.death), strict=True):
        if bytes(text) not in _NULL:
            try:
                callbacks[kind] = _vetted(bytes(text), vet)
            except CommandError as error:
                raise CommandError(f"the {kind} callback: {error}") from None
    if not callbacks:
        raise CommandError('a batch needs a callback: give "success", "complete" or "death" a job')
    return callbacks


def _vetted(text: bytes, vet: Callable[[Payload], None]) -> Raw:
    if len(text) > MAXIMUM_CALLBACK_BYTES:
        raise CommandError(f"a callback must not be longer than {MAXIMUM_CALLBACK_BYTES} bytes")
    payload = parse_job(text)
    payload.jid = payload.jid or secrets.token_hex(12)
    if bytes(payload.args) in (b"", b"null"):
        payload.args = Raw(b"[]")
    if bytes(payload.custom) == b"null":
        payload.custom = _NOTHING
    if payload.custom:
        payload.custom = _without(payload.custom)
    vet(payload)
    return Raw(_encode(payload))


def _without(custom: Raw) -> Raw:
    try:
        members = _decode_custom(custom)
    except msgspec.DecodeError:
        raise CommandError("invalid JSON: custom must be an object") from None
    for name in _OWN:
        members.pop(name, None)
    return Raw(_encode(members)) if members else _NOTHING


def callback_job(told: Origin, kind: int) -> Payload:
    """The job of a callback, to be pushed now."""
    payload = parse_job(bytes(told.callbacks[KINDS[kind]]))
    custom: dict[str, Any] = _decode_custom(payload.custom) if payload.custom else {}
    custom["_bid"] = told.bid
    if told.parent_bid is not None:
        custom["_pbid"] = told.parent_bid
    custom["_cb"] = KINDS[kind]
    payload.custom = Raw(_encode(custom))
    return payload
