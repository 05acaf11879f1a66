"""Which jobs are meant: the filters of ADMIN and of the web UI."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import msgspec

from faktory_tw.core.retry import DEAD_SECONDS
from faktory_tw.features.mutate import Glob
from faktory_tw.storage.store import JobRow, Place
from faktory_tw.times import parse_rfc3339
from faktory_tw.wire import CommandError

_MOST_BYTES = 1024
_FEW = 16  # jids that are looked for as bytes before a job is decoded

Test = Callable[[JobRow], bool]


class Filter(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a job must meet; what is null or empty, every job does.

    ``since`` and ``until`` are seconds since the epoch or RFC 3339 texts; the first belongs to the time between them,
    the last does not. Which time of a job is meant, :func:`time_of` says. A member that is misspelt is refused: to ignore
    it would be to take more jobs than are meant.
    """

    jids: list[str] | None = None
    jobtype: str | None = None
    queue: str | None = None
    error: str | None = None
    match: str | None = None
    since: float | str | None = None
    until: float | str | None = None

    @property
    def empty(self) -> bool:
        """Whether every job meets it."""
        return all(getattr(self, name) in (None, "", []) for name in self.__struct_fields__)


class _Typed(msgspec.Struct, gc=False):
    jid: str
    jobtype: str


class _Failed(msgspec.Struct, gc=False):
    errtype: str | None = None


_decode_typed = msgspec.json.Decoder(_Typed).decode
_decode_failed = msgspec.json.Decoder(_Failed).decode


def matcher(wanted: Filter | None) -> Test:
    """The test that a filter stands for, its cheap parts first. Raises CommandError when a part is too long."""
    tests: list[Test] = []
    if wanted is None:
        return _everything
    for name in ("jobtype", "queue", "error", "match"):
        text = getattr(wanted, name)
        if text and len(text.encode()) > _MOST_BYTES:
            raise CommandError(f"{name} is too long, max size is {_MOST_BYTES} bytes")
    tests += _time_tests(wanted)
    if wanted.queue:
        tests.append(_queue_test(wanted.queue))
    if wanted.jids:
        tests.append(_jid_test(wanted.jids))
    if wanted.match:
        tests.append(_text_test(wanted.match))
    if wanted.jobtype:
        tests.append(_jobtype_test(wanted.jobtype))
    if wanted.error:
        tests.append(_error_test(wanted.error))
    return _all_of(tests)


def _all_of(tests: list[Test]) -> Test:
    if not tests:
        return _everything
    found = tests[0]
    for test in tests[1:]:
        found = _both(found, test)
    return found


def _both(first: Test, second: Test) -> Test:
    return lambda row: first(row) and second(row)


def time_of(row: JobRow) -> float | None:
    """The time by which a job is looked for, in seconds since the epoch.

    When it is due, of a scheduled job or a retry; when it died; when it was enqueued; when it was reserved.
    """
    if row.place == Place.QUEUED:
        return row.enqueued_at
    if row.place == Place.WORKING:
        return row.reserved_at
    return row.at - DEAD_SECONDS if row.place == Place.DEAD and row.at is not None else row.at


def time_span(wanted: Filter | None, place: Place) -> tuple[float, float]:
    """Which jobs of a set a filter may find by the time that orders them: from the first on, up to the second."""
    since, until = _span(wanted) if wanted is not None else (-math.inf, math.inf)
    shift = DEAD_SECONDS if place is Place.DEAD else 0
    return since + shift, until + shift


def _span(wanted: Filter) -> tuple[float, float]:
    return _moment("since", wanted.since, -math.inf), _moment("until", wanted.until, math.inf)


def _moment(name: str, said: float | str | None, default: float) -> float:
    if said is None or said == "":
        return default
    if isinstance(said, str):
        try:
            return parse_rfc3339(said)
        except ValueError as error:
            raise CommandError(f'{name} is no time: "{said[:100]}": {error}') from None
    if not math.isfinite(said):
        raise CommandError(f"{name} must be a time: seconds since 1970, or a text such as 2026-11-21T18:17:40Z")
    return said


def _time_tests(wanted: Filter) -> list[Test]:
    since, until = _span(wanted)
    if math.isinf(since) and math.isinf(until):
        return []

    def test(row: JobRow) -> bool:
        time = time_of(row)
        return time is not None and since <= time < until

    return [test]


def _everything(_row: JobRow) -> bool:
    return True


def _queue_test(pattern: str) -> Test:
    glob = Glob(pattern)
    return lambda row: glob.matches(row.queue.encode())


def _jid_test(jids: Sequence[str]) -> Test:
    wanted = set(jids)
    texts = [msgspec.json.encode(jid) for jid in wanted]

    def test(row: JobRow) -> bool:
        if len(texts) <= _FEW and not any(text in row.body for text in texts):
            return False
        return _decode_typed(row.body).jid in wanted

    return test


def _text_test(text: str) -> Test:
    """The text as it is, or as JSON may spell it inside a string."""
    spellings = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    needles = [spelling.encode("utf-8", "replace") for spelling in spellings]
    if len(needles) == 1:
        [only] = needles
        return lambda row: only in row.body or only in row.failure
    return lambda row: any(needle in row.body or needle in row.failure for needle in needles)


def _jobtype_test(pattern: str) -> Test:
    glob = Glob(pattern)
    return lambda row: glob.matches(_decode_typed(row.body).jobtype.encode())


def _error_test(pattern: str) -> Test:
    glob = Glob(pattern)
    return lambda row: bool(row.failure) and glob.matches((_decode_failed(row.failure).errtype or "").encode())
