"""What a job is: the fields a client may send, their defaults and limits, and the refusals.

A pushed line is decoded once into a :class:`Payload`, checked, completed with the defaults, and encoded again into the
*body*: compact JSON, as every FETCH will return it. ``args`` and ``custom`` are never decoded; their bytes go from the
producer to the worker, which keeps big integers and floats as they were written. What changes while a job lives
(``enqueued_at``, ``failure``) is not part of the body; :func:`wire_form` splices it in, so that moving a job never
rewrites its body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw

from faktory_tw.config.policies import QueuePolicy
from faktory_tw.core.marks import Marks, kept_marks
from faktory_tw.storage.store import JobRow
from faktory_tw.times import parse_rfc3339, rfc3339
from faktory_tw.wire import CommandError

DEFAULT_PRIORITY = 5  # of a job without one, with 0, or with more than the highest
HIGHEST_PRIORITY = 9
DEFAULT_QUEUE = "default"
DEFAULT_RETRY = 25
DEFAULT_RESERVE_SECONDS = 1800
MINIMUM_RESERVE_SECONDS = 60
MAXIMUM_RESERVE_SECONDS = 86_400
MINIMUM_JID_BYTES = 8
MAXIMUM_QUEUE_NAME = 1024
MAXIMUM_DEPTH = 512  # nested brackets; parsers on both sides give up somewhere beyond

_QUEUE_NAME = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)
_TOO_DEEP = f"invalid JSON: nested more than {MAXIMUM_DEPTH} deep"
_ABSENT = Raw(b"")
_NULL = (b"", b"null")
_STRING = re.compile(rb'"[^"]*"')  # of a text without escapes
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_PART_OF_NESTING = bytes(set(range(256)) - set(b'[]{}"'))

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Payload(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """The fields of a pushed job that mean something; ``None`` (and JSON's null) is absent.

    The order is the order of the keys in what a worker gets.
    """

    retry: Integer | None = None
    custom: Raw = _ABSENT
    jid: str | None = None
    queue: str | None = None
    jobtype: str | None = None
    created_at: str | None = None
    at: str | None = None
    args: Raw = _ABSENT
    reserve_for: Integer | None = None
    backtrace: Integer | None = None
    priority: Integer | None = None
    failure: Raw = _ABSENT


class Failure(msgspec.Struct, omit_defaults=True, gc=False):
    """A job's ``failure`` object: written by the server, kept when a client pushes one."""

    failed_at: str | None = None
    next_at: str | None = None
    message: str | None = None
    errtype: str | None = None
    backtrace: list[str] | None = None
    retry_count: Integer | None = None
    remaining: Integer | None = None


class Job(msgspec.Struct, gc=False):
    """A job that is queued or being worked. ``body`` may be empty while it is: the store has it."""

    id: int
    jid: str
    queue: str
    priority: int  # 1 to 9, the one that orders; the body keeps what was pushed
    position: int  # orders jobs of one queue and priority
    retry: int
    reserve_for: int
    enqueued_at: float
    failure: bytes  # JSON, empty for a job that never failed
    body: bytes
    marks: Marks | None = None


class _Kept(msgspec.Struct, gc=False):
    """What the manager needs to know of a job that was read back from disk."""

    jid: str
    retry: int = DEFAULT_RETRY
    reserve_for: int = 0
    custom: Raw = _ABSENT


_decode_payload = msgspec.json.Decoder(Payload).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw] | None).decode
_SPACE = b" \t\r\n"
_PIECE_BYTES = 256 * 1024
_BETWEEN_JOBS = re.compile(rb"\}[ \t]*(,)[ \t]*\{")
_decode_failure = msgspec.json.Decoder(Failure).decode
_decode_kept = msgspec.json.Decoder(_Kept).decode
_encode = msgspec.json.Encoder().encode
_DECODING_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse_job(text: bytes) -> Payload:
    """The job in ``text``, one JSON object. Raises CommandError when it is none."""
    try:
        if not text.isascii():
            text.decode()
        payload = _decode_payload(text)
    except msgspec.ValidationError as error:
        payload = _parse_unusual(text, error)
    except _DECODING_ERRORS as error:
        raise _invalid(error) from None
    if text.count(b"[") + text.count(b"{") > MAXIMUM_DEPTH and _depth(text) > MAXIMUM_DEPTH:
        raise CommandError(_TOO_DEEP)
    if b" " in text or b"\t" in text or b"\r" in text:
        payload.args = _compact(payload.args)
        payload.custom = _compact(payload.custom)
    return payload


def _invalid(error: Exception) -> CommandError:
    return CommandError(_TOO_DEEP if isinstance(error, RecursionError) else f"invalid JSON: {error}")


def _parse_unusual(text: bytes, error: Exception) -> Payload:
    """A job whose keys are spelled in another case, or are unknown and dropped; ``null`` is a job without fields."""
    try:
        return _decode_folded(text, Payload)
    except _DECODING_ERRORS as second:
        raise _invalid(second if str(second) else error) from None


def parse_folded(text: bytes, kind: type[_Struct]) -> _Struct:
    """A JSON object whose keys may be spelled in any case; unknown ones are dropped, ``null`` is an empty one.

    Every field of ``kind`` must have a default and admit null. Raises ValueError when ``text`` is no such object.
    """
    try:
        text.decode()
        return _decode_folded(text, kind)
    except _DECODING_ERRORS as error:
        raise ValueError(str(error)) from None


def _decode_folded(text: bytes, kind: type[_Struct]) -> _Struct:
    if text.strip() == b"null":
        return kind()
    known: dict[str, Raw] = {}
    for key, value in _decode_fields(text).items():
        if key.lower() in kind.__struct_fields__:
            known[key.lower()] = value
    return msgspec.json.decode(_encode(known), type=kind)


def parse_jobs(text: bytes) -> Iterator[Payload]:
    """The jobs in ``text``, one JSON array; parsed one by one as they are asked for.

    Raises CommandError at once when ``text`` is no array, and while iterating when a member is no job. To split a long
    one would take long: it is done in pieces, and what is wrong at its end is found there.
    """
    if len(text) > _PIECE_BYTES and text.lstrip(_SPACE)[:1] == b"[":
        return (parse_job(bytes(member)) for members in _pieces(text.strip(_SPACE)) for member in members)
    return (parse_job(bytes(member)) for member in _members(text))


def _members(text: bytes) -> list[Raw]:
    try:
        return _decode_list(text) or []
    except _DECODING_ERRORS as error:
        raise _invalid(error) from None


def _pieces(text: bytes) -> Iterator[list[Raw]]:
    """The members of an array, some at a time.

    A comma between two of them is one up to which the text is valid: inside a string, an array or an object it is not.
    So a likely one is tried, and when it was none, one that is twice as far.
    """
    start, size, end = 1, _PIECE_BYTES, len(text) - 1
    while True:
        cut = _likely_cut(text, start + size, end)
        if cut == end:
            members = _members(b"[" + text[start:])
        else:
            try:
                members = _decode_list(b"[%b]" % text[start:cut]) or []
            except _DECODING_ERRORS:
                size *= 2
                continue
        if not members and (start, cut) != (1, end):
            raise CommandError("Invalid JSON format: a comma without a job")
        yield members
        if cut == end:
            return
        start, size = cut + 1, _PIECE_BYTES


def _likely_cut(text: bytes, start: int, end: int) -> int:
    """Where a comma is, behind ``start``, that may stand between two members; ``end`` when there is none."""
    found = _BETWEEN_JOBS.search(text, start, min(start + _PIECE_BYTES, end))
    cut = text.find(b",", start, end) if found is None else found.start(1)
    return end if cut < 0 else cut


def _compact(raw: Raw) -> Raw:
    return Raw(msgspec.json.format(bytes(raw), indent=-1)) if raw is not _ABSENT else raw


def kept_json(text: bytes) -> bytes:
    """A JSON value without spaces, for who keeps one that a client sent. Raises CommandError when it is none."""
    try:
        text.decode()
        compact = msgspec.json.format(text, indent=-1)
    except _DECODING_ERRORS as error:
        raise _invalid(error) from None
    if _depth(compact) > MAXIMUM_DEPTH:
        raise CommandError(_TOO_DEEP)
    return compact


def _depth(text: bytes) -> int:
    """How deep brackets nest outside strings, in valid JSON.

    A pattern that steps over escapes would keep something for each of them, and read an open string again and again.
    """
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    text = text.translate(None, _NO_PART_OF_NESTING).replace(b'""', b"")  # two quotes side by side change nothing
    steps = _STRING.sub(b"", text).translate(_STEPS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def check(payload: Payload) -> None:
    """Refuse, with a CommandError, a job without its required fields or beyond its limits."""
    jid = payload.jid or ""
    if len(jid) < MINIMUM_JID_BYTES and len(jid.encode()) < MINIMUM_JID_BYTES:
        raise CommandError("jobs must have a reasonable jid parameter")
    if not payload.jobtype:
        raise CommandError("jobs must have a jobtype parameter")
    args = bytes(payload.args)
    if args in _NULL:
        raise CommandError("jobs must have an args parameter")
    if args[:1] != b"[":
        raise CommandError("invalid JSON: args must be an array")
    if payload.reserve_for is not None and payload.reserve_for > MAXIMUM_RESERVE_SECONDS:
        raise CommandError("jobs cannot be reserved for more than one day")
    if payload.priority is not None and payload.priority < 0:
        raise CommandError("invalid JSON: priority must be a number from 1 to 9")


def check_queue_name(name: str) -> None:
    """Refuse a queue name that is not made of letters, digits, dot, underscore and hyphen, or is very long."""
    if len(name) > MAXIMUM_QUEUE_NAME:
        raise CommandError(f"queue names must have {MAXIMUM_QUEUE_NAME} characters at most")
    if not _QUEUE_NAME.fullmatch(name):
        raise CommandError(f'cannot get "{name}" queue: queue names must match \\A[a-zA-Z0-9._-]+\\z')


def due_time(at: str) -> float:
    """When a job is to be enqueued, in seconds since the epoch."""
    try:
        return parse_rfc3339(at)
    except ValueError as error:
        raise CommandError(f"invalid timestamp for 'at': \"{at}\": {error}") from None


def pushed_failure(payload: Payload) -> bytes:
    """The ``failure`` that came with a push, in the server's own form; empty when there was none."""
    failure = bytes(payload.failure)
    if failure in _NULL:
        return b""
    try:
        return encode_failure(_decode_failure(failure))
    except _DECODING_ERRORS as error:
        raise CommandError(f"invalid JSON: failure: {error}") from None


def decode_failure(failure: bytes) -> Failure | None:
    """The failure record of a job, or None for a job that never failed."""
    return _decode_failure(failure) if failure else None


def encode_failure(failure: Failure) -> bytes:
    """JSON of a failure record; the members that clients rely on are always there."""
    failure.failed_at = failure.failed_at or ""
    failure.retry_count = failure.retry_count or 0
    failure.remaining = failure.remaining or 0
    return _encode(failure)


def complete(payload: Payload, now: float) -> bytes:
    """Fill in the defaults (``queue`` is filled in already) and return the body.

    Nothing is added that the client did not send but ``retry``, ``queue`` and ``created_at``, and what means nothing
    is left out: some clients compare the job with what they pushed, others refuse unknown or empty members.
    """
    if payload.retry is None:
        payload.retry = DEFAULT_RETRY
    if not payload.created_at:
        payload.created_at = rfc3339(now)
    payload.at = payload.at or None
    payload.reserve_for = payload.reserve_for or None
    payload.backtrace = payload.backtrace or None
    payload.failure = _ABSENT
    custom = bytes(payload.custom)
    if custom:
        if custom in (b"null", b"{}"):
            payload.custom = _ABSENT
        elif custom[:1] != b"{":
            raise CommandError("invalid JSON: custom must be an object")
    return _encode(payload)


def fill(payload: Payload, policy: QueuePolicy) -> int:
    """Give a job what it was pushed without, as its queue says. Returns the priority that it has without one.

    ``retry`` and ``reserve_for`` are told the worker, who goes by them; a priority is not, as always.
    """
    if payload.retry is None:
        payload.retry = policy.retry
    payload.reserve_for = payload.reserve_for or policy.reserve_for
    return policy.priority or DEFAULT_PRIORITY


def with_priority(body: bytes, priority: int) -> bytes:
    """The body of a job, with another priority in it."""
    payload = _decode_payload(body)
    payload.priority = priority
    return _encode(payload)


def wire_form(job: Job) -> bytes:
    """The job as a worker gets it."""
    if job.failure:
        return b'{"enqueued_at":"%b","failure":%b,%b' % (rfc3339(job.enqueued_at).encode(), job.failure, job.body[1:])
    return b'{"enqueued_at":"%b",%b' % (rfc3339(job.enqueued_at).encode(), job.body[1:])


def lease_seconds(reserve_for: int) -> int:
    """How long a worker may hold a job: what it asked for, a minute at least, half an hour when it did not ask."""
    return max(reserve_for, MINIMUM_RESERVE_SECONDS) if reserve_for else DEFAULT_RESERVE_SECONDS


def job_of(row: JobRow) -> Job:
    """The job of a row that was read back."""
    kept = _decode_kept(row.body)
    return Job(
        row.id,
        kept.jid,
        row.queue,
        row.priority,
        row.position,
        kept.retry,
        kept.reserve_for,
        row.enqueued_at or 0.0,
        row.failure,
        row.body,
        kept_marks(kept.custom) if kept.custom is not _ABSENT else None,
    )
