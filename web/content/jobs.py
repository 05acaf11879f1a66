"""A job as the pages show it.

What clients put into a job is hostile: texts of some MiB, brackets nested five hundred deep, characters that turn the
direction of what is written around them. Here it becomes short texts in which such characters are seen as escapes;
templates escape them for HTML. JSON is shown as it was written, never through Python's numbers, which would change it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from faktory_tw.core.job import Failure, decode_failure
from faktory_tw.features.search import JobRow, Place, place_name, time_of
from faktory_tw.times import parse_rfc3339, rfc3339

from ..look.links import queue_page

_LISTED_CHARACTERS = 1024  # of the arguments, in a list
_NAME_CHARACTERS = 200  # of a job id or a type
_MESSAGE_CHARACTERS = 300  # of an error's message, in a list
SHOWN_BYTES = 64 * 1024  # of JSON that is shown on the page of a job; the rest is one click away
_SHOWN_CHARACTERS = 256 * 1024  # of the same when it is indented: 512 levels deep, each line is long
_SHOWN_LINES = 1000  # of a backtrace
_LONGEST_CHARACTER = 12  # bytes of it in JSON: two escapes

_HIDDEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
_HIDING = re.compile(f"[{_HIDDEN}]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|.)", re.DOTALL)
_KEPT = re.compile(f'["\\\\\t\n\ud800-\udfff{_HIDDEN}]')  # what stays an escape


class Pushed(msgspec.Struct, gc=False):
    """What the pages want to know of a job's body. JSON stays what it is."""

    jid: str
    jobtype: str
    args: msgspec.Raw = msgspec.Raw(b"[]")
    custom: msgspec.Raw = msgspec.Raw(b"")
    retry: int | None = None
    created_at: str = ""
    at: str = ""
    reserve_for: int | None = None
    backtrace: int | None = None
    priority: int | None = None


class _Failed(msgspec.Struct, gc=False):
    errtype: str | None = None
    message: str | None = None
    retry_count: int | None = None
    remaining: int | None = None


_decode_pushed = msgspec.json.Decoder(Pushed).decode
_decode_failed = msgspec.json.Decoder(_Failed).decode


class JobLine(NamedTuple):
    """A job in a list: texts of some hundred characters at most, whatever the job is like."""

    id: int
    place: str
    jid: str
    jobtype: str
    queue: str
    priority: int
    args: str
    args_cut: bool
    error: str  # empty for a job that never failed
    message: str
    retry_count: int
    remaining: int
    moment: float | None  # when it came to where it is, or when it will leave a set: what orders it there
    wid: str

    @property
    def queue_page(self) -> tuple[str, dict[str, str]]:
        """Path and fields of the page of its queue."""
        return queue_page(self.queue)


class JobDetails(NamedTuple):
    """Everything about a job. ``args_size`` counts bytes; ``args_cut``: not all of them are in ``args``."""

    line: JobLine
    args: str
    args_size: int
    args_cut: bool
    custom: str
    custom_cut: bool
    retry: int
    reserve_for: int | None
    backtrace_lines: int | None
    created_at: float | None
    created_text: str  # where it is no time
    scheduled_at: float | None  # what the job was pushed with
    enqueued_at: float | None
    reserved_at: float | None
    expires_at: float | None
    leaves_at: float | None  # a dead job
    failure: Failure | None
    failed_at: float | None
    backtrace: tuple[str, ...]


def line(row: JobRow) -> JobLine:
    """A job in a list."""
    pushed = _decode_pushed(row.body)
    failed = _decode_failed(row.failure) if row.failure else _Failed()
    args, cut = _beginning(pushed.args, _LISTED_CHARACTERS)
    return JobLine(
        row.id,
        place_name(row.place),
        plain(pushed.jid, _NAME_CHARACTERS),
        plain(pushed.jobtype, _NAME_CHARACTERS),
        row.queue,
        row.priority,
        args,
        cut,
        plain(failed.errtype or "", _NAME_CHARACTERS),
        plain(failed.message or "", _MESSAGE_CHARACTERS),
        failed.retry_count or 0,
        failed.remaining or 0,
        time_of(row),
        plain(row.wid, _NAME_CHARACTERS),
    )


def details(row: JobRow) -> JobDetails:
    """Everything about a job."""
    pushed = _decode_pushed(row.body)
    failure = decode_failure(row.failure)
    args, args_cut = readable(bytes(pushed.args))
    custom, custom_cut = readable(bytes(pushed.custom))
    if failure is not None:
        failure.errtype = plain(failure.errtype or "", _LISTED_CHARACTERS)
        failure.message = plain(failure.message or "", SHOWN_BYTES)
    lines = (failure.backtrace or []) if failure is not None else []
    place = row.place
    return JobDetails(
        line(row),
        args,
        len(memoryview(pushed.args)),
        args_cut,
        custom,
        custom_cut,
        25 if pushed.retry is None else pushed.retry,
        pushed.reserve_for,
        pushed.backtrace,
        parsed_time(pushed.created_at),
        plain(pushed.created_at, _NAME_CHARACTERS),
        parsed_time(pushed.at),
        row.enqueued_at,
        row.reserved_at if place == Place.WORKING else None,
        row.at if place == Place.WORKING else None,
        row.at if place == Place.DEAD else None,
        failure,
        parsed_time(failure.failed_at or "") if failure is not None else None,
        tuple(plain(each, _LISTED_CHARACTERS) for each in lines[:_SHOWN_LINES]),
    )


def pushed(row: JobRow) -> Pushed:
    """What was pushed."""
    return _decode_pushed(row.body)


def arguments(row: JobRow) -> bytes:
    """The arguments, byte for byte."""
    return bytes(_decode_pushed(row.body).args)


def wire_text(row: JobRow) -> bytes:
    """The job as a worker gets it."""
    text = row.body[1:]
    if row.failure:
        text = b'"failure":%b,%b' % (row.failure, text)
    if row.enqueued_at is not None:
        text = b'"enqueued_at":"%b",%b' % (rfc3339(row.enqueued_at).encode(), text)
    return b"{" + text


def parsed_time(text: str) -> float | None:
    """Seconds since the epoch, or None where a client wrote something else."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


def plain(text: str, most: int) -> str:
    """A text of at most so many characters, in which those that are not seen, or turn the direction, are escapes."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return _HIDING.sub(lambda found: f"\\u{ord(found[0]):04x}", cut)


def _beginning(raw: msgspec.Raw, most: int) -> tuple[str, bool]:
    """JSON on one line, cut; only as much of it is looked at as is shown."""
    view = memoryview(raw)
    text = legible(bytes(view[: most * _LONGEST_CHARACTER]).decode("utf-8", "ignore"))
    cut = len(text) > most or len(view) > most * _LONGEST_CHARACTER
    return (text[:most] + "…" if cut else text), cut


def readable(json: bytes) -> tuple[str, bool]:
    """JSON as people read it, and whether it was cut. What is large is shown as it is, from its beginning."""
    cut = len(json) > SHOWN_BYTES
    if not json:
        return "", False
    text = json[:SHOWN_BYTES] if cut else msgspec.json.format(json, indent=2)
    cut = cut or len(text) > _SHOWN_CHARACTERS
    return legible(text[:_SHOWN_CHARACTERS].decode("utf-8", "ignore")) + ("…" if cut else ""), cut


def legible(json: str) -> str:
    """JSON of the same meaning: letters that were written as escapes are letters, what cannot be seen is an escape."""
    return plain(_ESCAPE.sub(_letter, json) if "\\u" in json else json, len(json) + 1)


def _letter(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    code = int(found[1], 16)
    if found[2] is not None and 0xD800 <= code < 0xDC00:
        code = 0x10000 + ((code - 0xD800) << 10) + (int(found[2], 16) - 0xDC00)
    elif found[2] is not None:
        return found[0]
    letter = chr(code)
    return found[0] if _KEPT.match(letter) else letter
