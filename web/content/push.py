"""A job from the fields of a form. What PUSH would refuse is refused here, each with the field that it is about."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from faktory_tw.core import job as jobs
from faktory_tw.core.job import Payload
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError

from .criteria import parse_moment
from .jobs import SHOWN_BYTES, pushed

if TYPE_CHECKING:
    from faktory_tw.features.search import JobRow

    from ..visit import Visit

FIELDS = ("jobtype", "queue", "priority", "args", "at", "retry", "reserve_for", "custom", "jid")
BLANK = {
    "queue": jobs.DEFAULT_QUEUE,
    "priority": str(jobs.DEFAULT_PRIORITY),
    "args": "[]",
    "retry": str(jobs.DEFAULT_RETRY),
}
_JSON_CHARACTERS = 8 * 1024 * 1024  # of the arguments, which the size of the request bounds before
_NAME_CHARACTERS = 8192
_MOST_RETRIES = 10_000
_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)


class PushForm:
    """The fields as somebody wrote them, ``errors`` by field, and the job if there is none."""

    def __init__(self, visit: Visit, values: Mapping[str, str]) -> None:
        self.values = {name: values.get(name, "") for name in FIELDS}
        self.errors: dict[str, str] = {}
        self._visit = visit

    def payload(self) -> Payload | None:
        """The job, or None when there are errors."""
        payload = Payload(
            jid=self.values["jid"] or secrets.token_hex(12),
            jobtype=self.values["jobtype"],
            queue=self.values["queue"] or jobs.DEFAULT_QUEUE,
            priority=self._number("priority", 1, jobs.HIGHEST_PRIORITY),
            retry=self._number("retry", -1, _MOST_RETRIES),
            reserve_for=self._number("reserve_for", 0, jobs.MAXIMUM_RESERVE_SECONDS),
            at=self._time("at"),
        )
        for name, first in (("args", b"["), ("custom", b"{")):
            raw = self._json(name, first)
            if raw is not None:
                setattr(payload, name, raw)
        if not payload.jobtype:
            self.errors["jobtype"] = self._visit.gettext("A job needs a type: the name under which workers know it.")
        self._check("queue", lambda: jobs.check_queue_name(payload.queue or ""))
        if len((payload.jid or "").encode()) < jobs.MINIMUM_JID_BYTES:
            self.errors["jid"] = self._visit.gettext("A job ID needs at least 8 characters.")
        return None if self.errors else self._parsed(payload)

    def _parsed(self, payload: Payload) -> Payload | None:
        """The job as PUSH would read it, with the same refusals."""
        try:
            parsed = jobs.parse_job(msgspec.json.encode(payload))
            jobs.check(parsed)
        except CommandError as error:
            self.errors["args"] = str(error)
            return None
        return parsed

    def _check(self, field: str, check: Callable[[], object]) -> None:
        try:
            check()
        except CommandError as error:
            self.errors[field] = str(error)

    def _json(self, field: str, first: bytes) -> msgspec.Raw | None:
        """A field of JSON as it was written: numbers keep all their digits. None when it is empty, or wrong."""
        text = self.values[field].encode()
        if field == "args":
            sentence = self._visit.gettext('Arguments must be a JSON array, such as [1, "two"].')
        else:
            sentence = self._visit.gettext('Custom data must be a JSON object, such as {"a": 1}.')
        if not text and field != "args":
            return None
        if text[:1] != first:
            self.errors[field] = sentence
            return None
        try:
            return msgspec.json.decode(text, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError) as error:
            self.errors[field] = f"{sentence} {error}."
            return None

    def _number(self, field: str, least: int, most: int) -> int | None:
        text = self.values[field]
        if not text:
            return None
        number = int(text) if _NUMBER.fullmatch(text) else most + 1
        if not least <= number <= most:
            told = self._visit.gettext("This must be a whole number from %(least)s to %(most)s.")
            self.errors[field] = told % {"least": least, "most": most}
            return None
        return number

    def _time(self, field: str) -> str | None:
        text = self.values[field]
        if not text:
            return None
        try:
            return rfc3339(parse_moment(text, self._visit.server.clock.time(), ahead=True))
        except ValueError:
            told = self._visit.gettext(
                "This is no time. Write it as 2026-11-21 18:17, in UTC, or as 2h for in two hours."
            )
            self.errors[field] = told
            return None


def sent(visit: Visit) -> PushForm:
    """The form that somebody has sent."""
    large = ("args", "custom")
    most = {name: _JSON_CHARACTERS if name in large else _NAME_CHARACTERS for name in FIELDS}
    return PushForm(visit, {name: visit.text(name, most=most[name]) for name in FIELDS})


def again(row: JobRow) -> dict[str, str]:
    """The fields with which a job like this one is pushed: all but its id and its time."""
    job = pushed(row)
    custom = bytes(job.custom)
    return {
        "jobtype": job.jobtype,
        "queue": row.queue,
        "priority": str(row.priority),
        "args": _indented(bytes(job.args)),
        "retry": "" if job.retry is None else str(job.retry),
        "reserve_for": str(job.reserve_for or ""),
        "custom": _indented(custom) if custom else "",
    }


def _indented(json: bytes) -> str:
    """JSON with the same numbers and texts; what is large stays on its line."""
    return (msgspec.json.format(json, indent=2) if len(json) <= SHOWN_BYTES else json).decode()
