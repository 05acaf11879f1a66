"""What is read inside a line: jobs, globs, times. Each against a second opinion that is too simple to be wrong."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from faktory_tw.core.job import MAXIMUM_DEPTH, _depth, parse_job, parse_jobs
from faktory_tw.core.manager import JobManager
from faktory_tw.features.mutate import Glob, _split_at_stars
from faktory_tw.features.standard import standard_features
from faktory_tw.features.unique import unique_key
from faktory_tw.session import _delivery
from faktory_tw.times import parse_rfc3339, rfc3339
from faktory_tw.wire import CommandError, error
from tests.fuzz.cost import limited
from tests.fuzz.memory import Memory
from tests.fuzz.replies import BadReply, split
from tests.unit.doubles import FakeClock

_MOST_TEXT = 300
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def _plain(text: bytes) -> Any:
    """JSON with numbers as they are spelled, and objects as they are ordered."""
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse, object_pairs_hook=list)


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def _refused(refusal: CommandError) -> None:
    """A refusal is one line on the wire."""
    list(split(bytes(error(refusal))))


def job(data: bytes) -> None:
    """The JSON of a job: pushed, and fetched as it was pushed, or refused."""
    clock = FakeClock()
    store = Memory()
    manager = JobManager(store, clock, lambda n: 0, None, standard_features())
    manager.load()
    try:
        payload = limited(lambda: parse_job(data), len(data))
        limited(lambda: manager.push(payload), len(data))
    except CommandError as refusal:
        _refused(refusal)
        if store.batch or manager.queue_sizes():
            raise AssertionError("a job that is refused leaves something behind") from None
        return
    store._take(manager.seal())
    store.written()
    if manager.set_sizes()["scheduled"]:
        clock.advance(400 * 365 * 86_400.0)
        manager.upkeep()
    name = next(iter(manager.queue_sizes()), "default")
    reservation = manager.fetch((name,), None)
    if reservation is None:
        if b"expires" not in data and not manager.set_sizes()["scheduled"]:
            raise AssertionError("what was accepted cannot be fetched")
        return
    (reply,) = split(_delivery(reservation))
    _check_delivered(data, reply[reply.index(b"\n") + 1 : -2])
    manager.ack(reservation.job.jid, "")


def _check_delivered(sent: bytes, got: bytes) -> None:
    """A worker gets the args and the custom that were sent, and the other members that mean something."""
    told = dict(_plain(got))
    if len(told) != len(_plain(got)):
        raise BadReply(f"a member is there twice: {got[:300]!r}")
    asked: dict[str, Any] = {}
    for name, value in json.loads(sent.decode(), parse_int=str, parse_float=str, object_pairs_hook=list):
        asked[name.lower()] = value
    for name in ("args", "jid", "jobtype"):
        if told[name] != asked[name]:
            raise BadReply(f"{name} was {asked[name]!r} and is {told[name]!r}"[:500])
    if "custom" in told and told["custom"] != asked["custom"]:
        raise BadReply(f"custom was {asked['custom']!r} and is {told['custom']!r}"[:500])
    if "custom" not in told and asked.get("custom"):
        raise BadReply(f"custom was {asked['custom']!r} and is gone")


def jobs(data: bytes) -> None:
    """The argument of PUSHB, and how deep it is nested."""
    try:
        for payload in limited(lambda: list(parse_jobs(data)), len(data)):
            if payload.args:
                unique_key(payload.jobtype or "", payload.queue or "", bytes(payload.args))
    except CommandError as refusal:
        _refused(refusal)
    try:
        json.loads(data.decode())
    except (ValueError, RecursionError):
        return
    if _depth(data) != _nesting(data.decode()):
        raise AssertionError(f"nested {_nesting(data.decode())} deep, not {_depth(data)}")


def _nesting(text: str) -> int:
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)
    steps = [1 if sign in "[{" else -1 for sign in bare if sign in "[]{}"]
    return min(max(accumulate(steps), default=0), 10 * MAXIMUM_DEPTH)


def glob(data: bytes) -> None:
    """A pattern, a zero byte, and a text: matched as by trying all ways to share the text among the stars."""
    first, _, second = data.partition(b"\0")
    pattern, text = first[:_MOST_TEXT].decode("utf-8", "replace"), second[:_MOST_TEXT]
    size = len(first) + len(text)
    found = limited(lambda: Glob(pattern).matches(text), size)
    if found != _matches(pattern, text):
        raise AssertionError(f"{pattern!r} and {text!r}: {found}")


def _matches(pattern: str, text: bytes) -> bool:
    places = {0}
    for number, part in enumerate(_split_at_stars(pattern.encode())):
        if number:
            places = set(range(min(places), len(text) + 1)) if places else places
        for atom in part:
            one = re.compile(atom, re.DOTALL)
            places = {at + 1 for at in places if at < len(text) and one.fullmatch(text[at : at + 1])}
    return len(text) in places


def times(data: bytes) -> None:
    """RFC 3339: a time, or refused, as Python's own parser sees it."""
    text = data.decode("utf-8", "replace")
    try:
        seconds = limited(lambda: parse_rfc3339(text), len(text))
    except ValueError as refusal:
        str(refusal).encode()
        return
    if not math.isfinite(seconds):
        raise AssertionError(f"{text!r} is {seconds}")
    head, tail = text[:19], re.fullmatch(r"(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", text[19:], re.ASCII)
    assert tail is not None, text
    if head[:4] == "0000":
        return
    zone = datetime.timezone.utc
    if tail[2] != "Z":
        hours, minutes = int(tail[2][1:3]), int(tail[2][4:6])
        ahead = datetime.timedelta(hours=hours, minutes=minutes)
        zone = datetime.timezone(-ahead if tail[2][0] == "-" else ahead)
    local = datetime.datetime.strptime(head, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=zone)
    meant = (local - _EPOCH).total_seconds()
    if abs(seconds - meant) > 1.0 and meant < 253_402_300_799:
        raise AssertionError(f"{text!r} is {meant}, not {seconds}")
    if 0 <= seconds <= 253_402_300_799:
        again = parse_rfc3339(rfc3339(seconds))
        if abs(again - seconds) > 1e-4:
            raise AssertionError(f"{text!r} became {rfc3339(seconds)}")


def globs() -> Iterator[bytes]:
    """Patterns with all signs, and texts for them."""
    yield from (
        b"a*b[c-d]?\0aabbcx",
        b"*a*a*a\0aaaa",
        b"[^a-c]\\*[]\0d*[]",
        b"[\0[",
        b"[z-a]\0b",
        b"[^]\0\n",
        b"*b*a*\0ab",
    )


def moments() -> Iterator[bytes]:
    """Times in all forms."""
    yield from (
        b"2026-11-22T08:00:00.25+01:00",
        b"2024-02-29T23:59:59Z",
        b"9999-12-31T23:59:59,9-23:59",
        b"1900-02-29T00:00:00Z",
    )
