"""MUTATE: clear, discard, kill or requeue the jobs of a set that a filter finds.

The filter's ``regexp`` is a Redis glob over the job's whole JSON text; ``jobtype`` is one, too, over the job type as it
stands in that text, with ``<``, ``>`` and ``&`` as escapes: so the recorded server behaves. ``jids`` wins alone.

A million jobs are gone through in slices; a job that enters or leaves the set meanwhile may be seen or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import groupby

import msgspec

from faktory_tw.core.job import parse_folded
from faktory_tw.core.manager import JobManager
from faktory_tw.core.slices import Stride
from faktory_tw.storage.store import JobRow, Place
from faktory_tw.wire import CommandError

_SLICE = 250  # jobs in one turn: those of many features take some 60 µs each
_TARGETS = {"scheduled": Place.SCHEDULED, "retries": Place.RETRIES, "dead": Place.DEAD}
_MOST_GLOB_BYTES = 1024
_ATOM = re.compile(rb"\\.|.", re.DOTALL)
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class _Filter(msgspec.Struct, gc=False):
    jids: list[str] | None = None
    regexp: str | None = None
    jobtype: str | None = None


class _Request(msgspec.Struct, gc=False):
    cmd: str | None = None
    target: str | None = None
    filter: _Filter | None = None


class _Typed(msgspec.Struct, gc=False):
    jid: str
    jobtype: str


_decode_typed = msgspec.json.Decoder(_Typed).decode
_encode = msgspec.json.Encoder().encode


class Mutation:
    """One MUTATE. Raises CommandError when the request in ``text`` is none."""

    def __init__(self, text: bytes) -> None:
        try:
            request = parse_folded(text, _Request)
        except ValueError as error:
            raise CommandError(f"invalid JSON: {error}") from None
        if request.cmd not in ("clear", "kill", "discard", "requeue"):
            raise CommandError("unknown mutate operation")
        if request.target not in _TARGETS:
            raise CommandError("invalid target for mutation command")
        self.cmd = request.cmd
        self.place = _TARGETS[request.target]
        self._matches = None if self.cmd == "clear" else _matcher(request.filter or _Filter())

    def steps(self, manager: JobManager) -> Iterator[None]:
        """Carry it out, a slice at each step."""
        if self.cmd == "kill" and self.place is Place.DEAD:
            return
        last = None
        stride = Stride(manager.read)
        while entries := manager.walk(self.place, last, _SLICE):
            last = entries[self._mutate(manager, stride, entries) - 1]
            yield

    def _mutate(self, manager: JobManager, stride: Stride, entries: list[tuple[float, int]]) -> int:
        """Go through the first of these entries: as many as are read in one turn. Returns how many that were."""
        if self._matches is None or (self._matches is _everything and self.cmd == "discard"):
            return manager.edits.discard_entries(self.place, entries)
        found, count = stride.read([job_id for _, job_id in entries])
        rows = {row.id: row for row in found}
        for entry in entries[:count]:
            row = rows.get(entry[1])
            if row is None or not self._matches(row):
                continue
            if self.cmd == "discard":
                manager.edits.discard(self.place, entry, row)
            elif self.cmd == "kill":
                manager.edits.kill(self.place, entry, row)
            else:
                manager.edits.requeue(self.place, entry, row)
        return count


def _everything(_row: JobRow) -> bool:
    return True


def _matcher(wanted: _Filter) -> Callable[[JobRow], bool]:
    """The test that a filter stands for."""
    if wanted.jids:
        jids = set(wanted.jids)
        return lambda row: _decode_typed(row.body).jid in jids
    for name, pattern in (("jobtype", wanted.jobtype), ("regexp", wanted.regexp)):
        if pattern and len(pattern.encode()) > _MOST_GLOB_BYTES:
            raise CommandError(f"{name} is too long, max size is {_MOST_GLOB_BYTES} bytes")
    tests: list[Callable[[JobRow], bool]] = []
    if wanted.jobtype:
        of_type = Glob(wanted.jobtype)
        tests.append(lambda row: of_type.matches(_escaped(_decode_typed(row.body).jobtype)))
    if wanted.regexp:
        of_text = Glob(wanted.regexp)
        tests.append(lambda row: of_text.matches(_text(row)))
    if not tests:
        return _everything
    return lambda row: all(test(row) for test in tests)


def _escaped(jobtype: str) -> bytes:
    """A job type as it stands between the quotes of compact JSON with HTML characters escaped."""
    text = _encode(jobtype).decode()[1:-1]
    return "".join(_ESCAPES.get(char, char) for char in text).encode()


def _text(row: JobRow) -> bytes:
    """The JSON text that a ``regexp`` is matched against: the job with its failure."""
    return b'{"failure":%b,%b' % (row.failure, row.body[1:]) if row.failure else row.body


class Glob:
    """A Redis glob: ``*``, ``?``, ``[a-z]``, ``[^a]`` and backslash, anchored at both ends.

    Between two stars everything has a fixed length, so taking the leftmost place for each part in turn is enough; a
    translation into one regular expression could be made to backtrack for hours.
    """

    def __init__(self, pattern: str) -> None:
        parts = _split_at_stars(pattern.encode())
        self._first = re.compile(_expression(parts[0]), re.DOTALL)
        self._middle = [re.compile(_expression(part), re.DOTALL) for part in parts[1:-1] if part]
        self._last = re.compile(_expression(parts[-1]) + rb"\Z", re.DOTALL) if len(parts) > 1 else None
        self._last_length = len(parts[-1]) if len(parts) > 1 else 0

    def matches(self, text: bytes) -> bool:
        found = self._first.match(text)
        if found is None:
            return False
        end = found.end()
        if self._last is None:
            return end == len(text)
        for part in self._middle:
            found = part.search(text, end)
            if found is None:
                return False
            end = found.end()
        start = len(text) - self._last_length
        return start >= end and self._last.match(text, start) is not None


def _split_at_stars(pattern: bytes) -> list[list[bytes]]:
    """The parts between stars: regular expressions that match one byte each. A bracket that is not closed is itself."""
    parts: list[list[bytes]] = [[]]
    atoms: list[bytes] = _ATOM.findall(pattern)
    index = 0
    last_closing = max((place for place, atom in enumerate(atoms) if atom == b"]"), default=-1)
    while index < len(atoms):
        atom = atoms[index]
        if atom == b"*":
            parts.append([])
        elif atom == b"?":
            parts[-1].append(b".")
        elif atom == b"[" and index < last_closing:
            end = atoms.index(b"]", index)
            parts[-1].append(_class(atoms[index + 1 : end]))
            index = end
        else:
            parts[-1].append(re.escape(atom[-1:]))
        index += 1
    return parts


def _class(atoms: list[bytes]) -> bytes:
    """A bracket expression; ranges stay ranges, and an empty one matches nothing."""
    negated = atoms[:1] == [b"^"]
    if negated:
        atoms = atoms[1:]
    body = b""
    index = 0
    while index < len(atoms):
        if index + 2 < len(atoms) and atoms[index + 1] == b"-":
            low, high = sorted((atoms[index][-1:], atoms[index + 2][-1:]))
            body += re.escape(low) + b"-" + re.escape(high)
            index += 3
        else:
            body += re.escape(atoms[index][-1:])
            index += 1
    if not body:
        return b"." if negated else b"(?!)"
    return b"[" + (b"^" if negated else b"") + body + b"]"


def _expression(part: list[bytes]) -> bytes:
    """One regular expression for a part. Of many ``?`` in a row it is a short one, which costs no more than one."""
    runs = ((token, len(list(run))) for token, run in groupby(part))
    return b"".join(b".{%d}" % count if token == b"." else token * count for token, count in runs)
