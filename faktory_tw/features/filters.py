"""Which jobs are meant: the filters of ADMIN."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import msgspec

from faktory_tw.features.mutate import Glob
from faktory_tw.storage.store import JobRow
from faktory_tw.wire import CommandError

_MOST_BYTES = 1024
_FEW = 16  # jids that are looked for as bytes before a job is decoded

Test = Callable[[JobRow], bool]


class Filter(msgspec.Struct, gc=False):
    """What a job must meet; what is null or empty, every job does."""

    jids: list[str] | None = None
    jobtype: str | None = None
    queue: str | None = None
    error: str | None = None
    match: str | None = None


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
    if len(tests) <= 1:
        return tests[0] if tests else _everything
    return lambda row: all(test(row) for test in tests)


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
    return lambda row: any(needle in row.body or needle in row.failure for needle in needles)


def _jobtype_test(pattern: str) -> Test:
    glob = Glob(pattern)
    return lambda row: glob.matches(_decode_typed(row.body).jobtype.encode())


def _error_test(pattern: str) -> Test:
    glob = Glob(pattern)
    return lambda row: bool(row.failure) and glob.matches((_decode_failed(row.failure).errtype or "").encode())
