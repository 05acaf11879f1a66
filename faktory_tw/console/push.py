"""``push``: one job from the command line, or many from standard input, a JSON object a line."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from faktory_tw.console import options as common
from faktory_tw.console.connection import Connection, Refused
from faktory_tw.console.errors import ConsoleError, UsageError
from faktory_tw.console.terminal import Progress, note, out, out_json, plural, printable
from faktory_tw.times import parse_rfc3339, rfc3339

_BULK_JOBS = 1000
_BULK_BYTES = 1024 * 1024
_MOST_TOLD = 20  # lines that were refused; the others are counted
_EXAMPLES = """\
examples:
  faktory-tw push Mailer '"ann@example.com"' 3
  faktory-tw push Report --queue bulk --at +2h --custom '{"locale": "de"}'
  faktory-tw push - --queue bulk < jobs.jsonl
"""


def add(commands: Any) -> None:
    """The command ``push``."""
    parser = common.command(
        commands,
        "push",
        run,
        "push a job, or many from standard input",
        description="Push a job and print its jid; or, with - instead of a job type, push the jobs that standard input "
        "has, a JSON object a line: then the options are for those that do not say otherwise.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("jobtype", metavar="JOBTYPE", help="the type of the job, or - for standard input")
    parser.add_argument("args", nargs="*", metavar="ARG", help="an argument as JSON; a text needs its quotes")
    parser.add_argument("--jid", help="[a new one]")
    parser.add_argument("--queue", help="[default]")
    parser.add_argument("--priority", type=int, choices=range(1, 10), metavar="1-9", help="9 is the most urgent [5]")
    parser.add_argument(
        "--at", metavar="TIME", help="when: 2026-11-21T18:00:00Z, or a delay such as +90s, +10m, +1h30m"
    )
    parser.add_argument("--retry", type=int, metavar="N", help="retries; 0: dropped when it fails, -1: dead then [25]")
    parser.add_argument("--reserve-for", type=common.positive, metavar="SECONDS", help="to work on it [1800]")
    parser.add_argument("--backtrace", type=common.natural, metavar="N", help="lines of backtrace to keep")
    parser.add_argument("--custom", metavar="JSON", help="an object for middleware")


def run(options: argparse.Namespace) -> int:
    """Push."""
    fields = _fields(options)
    if options.jobtype != "-":
        return _push_one(options, fields)
    if options.args or options.jid:
        raise UsageError("with - the jobs come from standard input, with their arguments and jids")
    return _push_lines(options, fields)


def _fields(options: argparse.Namespace) -> dict[str, Any]:
    """The members of a job that the options stand for."""
    names = ("queue", "priority", "retry", "reserve_for", "backtrace")
    fields: dict[str, Any] = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.queue is not None:
        if options.queue == "*":
            raise UsageError("'*' is no name of a queue")
        common.check_queues([options.queue])
    if options.at is not None:
        fields["at"] = _due(options.at)
    if options.custom is not None:
        fields["custom"] = _raw_json(options.custom, "--custom")
        if not bytes(fields["custom"]).startswith(b"{"):
            raise UsageError('--custom must be a JSON object, such as \'{"locale": "de"}\'')
    return fields


def _due(text: str) -> str:
    seconds = common.delay(text)
    if seconds is not None:
        return rfc3339(time.time() + seconds)
    try:
        parse_rfc3339(text)
    except ValueError as error:
        raise UsageError(f"--at {text!r} is {error}, nor a delay such as +90s, +10m or +1h30m") from None
    return text


def _raw_json(text: str, what: str) -> msgspec.Raw:
    """JSON as it was written, but for spaces: no number is rounded on its way."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        msgspec.json.decode(data)
        return msgspec.Raw(msgspec.json.format(data, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} {text!r} is no JSON ({error}); a text is written '\"{text}\"'") from None


def _push_one(options: argparse.Namespace, fields: dict[str, Any]) -> int:
    arguments = [_raw_json(text, "argument") for text in options.args]
    jid = options.jid or secrets.token_hex(12)
    job = {"jid": jid, "jobtype": options.jobtype, "args": arguments, **fields}
    with common.connect(options) as connection:
        connection.command(b"PUSH " + msgspec.json.encode(job))
    out_json({"jid": jid}) if options.json else out(jid)
    return 0


# -- many --------------------------------------------------------------------------------------------------------------


class Pusher:
    """Pushes jobs in bulk and keeps account: how many were accepted, and which lines were refused and why."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[int, str, bytes]] = []  # line, jid, job
        self._waiting_bytes = 0
        self.pushed = 0
        self.refused: list[tuple[int, str]] = []

    def add(self, line: int, jid: str, job: bytes) -> None:
        """A job, of a line of the input."""
        self._waiting.append((line, jid, job))
        self._waiting_bytes += len(job)
        if len(self._waiting) >= _BULK_JOBS or self._waiting_bytes >= _BULK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Push those that wait. When one of them is such that all are refused, each is pushed alone."""
        jobs, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not jobs:
            return
        try:
            answer = self._connection.ask(f"PUSHB [{b','.join(job for _, _, job in jobs).decode()}]")
        except Refused as refusal:
            if refusal.reason.startswith("Shutdown"):
                raise
            for line, _, job in jobs:
                self._push_alone(line, job)
            return
        for line, jid, _ in jobs:
            if jid in answer:
                self.refused.append((line, answer[jid]))
            else:
                self.pushed += 1

    def _push_alone(self, line: int, job: bytes) -> None:
        try:
            self._connection.command(b"PUSH " + job)
        except Refused as refusal:
            self.refused.append((line, refusal.reason))
        else:
            self.pushed += 1


def _push_lines(options: argparse.Namespace, fields: dict[str, Any]) -> int:
    with common.connect(options) as connection, Progress("pushing", _input_size(), "bytes") as progress:
        pusher = Pusher(connection)
        try:
            _feed(pusher, sys.stdin.buffer, fields, progress)
        except ConsoleError as error:
            raise ConsoleError(
                f"{error}; {plural(pusher.pushed)} had been accepted. Of up to {_BULK_JOBS:,} more it is not known, and "
                "the rest was not sent"
            ) from None
    for line, reason in pusher.refused[:_MOST_TOLD]:
        note(f"line {line}: {printable(reason)}")
    if len(pusher.refused) > _MOST_TOLD:
        note(f"and {plural(len(pusher.refused) - _MOST_TOLD, 'line')} more")
    if options.json:
        refused = [{"line": line, "reason": reason} for line, reason in pusher.refused]
        out_json({"pushed": pusher.pushed, "refused": refused})
    else:
        out(f"{plural(pusher.pushed)} pushed, {len(pusher.refused):,} refused")
    return 1 if pusher.refused else 0


def _input_size() -> int | None:
    """Bytes of standard input, when it is a file."""
    status = os.fstat(sys.stdin.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _feed(pusher: Pusher, lines: Iterable[bytes], fields: dict[str, Any], progress: Progress) -> None:
    done = 0
    for number, line in enumerate(lines, 1):
        done += len(line)
        if line.strip():
            try:
                jid, job = _completed(line, fields)
            except ValueError as error:
                pusher.refused.append((number, str(error)))
            else:
                pusher.add(number, jid, job)
        progress.update(done)
    pusher.flush()
    pusher.refused.sort()


_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _completed(line: bytes, fields: dict[str, Any]) -> tuple[str, bytes]:
    """The jid of a job and its JSON, with what it lacks filled in. Raises ValueError when it is none."""
    try:
        text = line.decode()
        job = _decode_object(text)
        jid = msgspec.json.decode(job["jid"]) if "jid" in job else secrets.token_hex(12)
    except msgspec.ValidationError:
        raise ValueError("a job is a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no JSON: {error}") from None
    missing = {name: value for name, value in fields.items() if name not in job}
    whole = {**job, **missing, "jid": jid, "args": job.get("args", msgspec.Raw(b"[]"))}
    return jid if isinstance(jid, str) else json.dumps(jid), msgspec.json.format(msgspec.json.encode(whole), indent=-1)
