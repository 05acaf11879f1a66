"""What somebody looks for: the fields of the form above each list, which live in the address of the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.features.filters import Filter
from faktory_tw.times import parse_rfc3339, rfc3339

from ..answers import Refusal
from ..look.languages import gettext_noop as _

if TYPE_CHECKING:
    from ..visit import Visit

_MOST_CHARACTERS = 256  # of a field: in bytes it is less than what a filter takes
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MINUTE = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)? ?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_AGE = re.compile(r"(\d{1,6}) ?([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

NAMES = {
    "match": _("Text"),
    "jobtype": _("Job type"),
    "queue": _("Queue"),
    "error": _("Error class"),
    "jid": _("Job ID"),
    "since": _("From (UTC)"),
    "until": _("Until (UTC)"),
}


class Criteria(NamedTuple):
    """What a job must be like; what is empty, every job is. ``jobtype``, ``queue`` and ``error`` may have ``*`` and ``?``.

    ``since`` and ``until`` are seconds since the epoch: of the time that orders jobs in their place.
    """

    jobtype: str = ""
    queue: str = ""
    jid: str = ""
    match: str = ""
    error: str = ""
    since: float | None = None
    until: float | None = None

    def __bool__(self) -> bool:
        return self != Criteria()

    def fields(self) -> dict[str, str]:
        """The fields of an address or a form that mean the same."""
        texts = {name: getattr(self, name) for name in ("jobtype", "queue", "jid", "match", "error")}
        for name, at in (("since", self.since), ("until", self.until)):
            texts[name] = "" if at is None else _field(at)
        return {name: text for name, text in texts.items() if text}

    def told(self, visit: Visit) -> list[tuple[str, str]]:
        """What is looked for, in words: names and values."""
        fields = self.fields()
        return [(visit.gettext(NAMES[name]), fields[name]) for name in NAMES if name in fields]

    def filter(self) -> Filter | None:
        """The filter that finds such jobs, or None where all are meant."""
        if not self:
            return None
        return Filter(
            jids=[self.jid] if self.jid else None,
            jobtype=self.jobtype or None,
            queue=self.queue or None,
            error=self.error or None,
            match=self.match or None,
            since=self.since,
            until=self.until,
        )


def read(visit: Visit, names: Mapping[str, str] | None = None) -> Criteria:
    """The fields of a visit. Raises Refusal where one is too long, or no time. ``names`` gives other names to fields."""

    def text(name: str) -> str:
        return visit.text((names or {}).get(name, name), most=_MOST_CHARACTERS)

    def time(name: str) -> float | None:
        given = text(name)
        try:
            return parse_moment(given, visit.server.clock.time()) // 1 if given else None
        except ValueError:
            told = visit.gettext(
                "%(text)s is no time. Write it as 2026-11-21 18:17, in UTC, or as 2h for two hours ago."
            )
            raise Refusal(400, told % {"text": given}) from None

    return Criteria(
        text("jobtype"), text("queue"), text("jid"), text("match"), text("error"), time("since"), time("until")
    )


def parse_moment(text: str, now: float, ahead: bool = False) -> float:
    """The time that a person wrote: a date, with or without a time of day, or an age such as ``2h``.

    It is in UTC unless it says otherwise at its end. ``ahead``: ``2h`` is in two hours, not two hours ago. Raises
    ValueError for anything else.
    """
    age = _AGE.fullmatch(text)
    if age is not None:
        seconds = int(age[1]) * _SECONDS[age[2]]
        return now + seconds if ahead else (now - seconds) // 60 * 60  # whole minutes: what a browser's field has
    minute = _MINUTE.fullmatch(text)
    if minute is not None:
        return parse_rfc3339(f"{minute[1]}T{minute[2]}{minute[3] or ':00'}{minute[4] or 'Z'}")
    return parse_rfc3339(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)


def _field(at: float) -> str:
    """A time as a browser's field for date and time has it."""
    return rfc3339(at)[:-1].removesuffix(".000000").removesuffix(":00")
