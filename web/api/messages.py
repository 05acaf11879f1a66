"""What the API is sent and what it answers, as JSON.

What is sent is decoded into a struct that knows every member: one that is misspelled is refused, not passed over, because
a filter that is not understood would mean all jobs.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from faktory_tw.features.admin import job_view
from faktory_tw.features.filters import Filter
from faktory_tw.features.search import JobRow
from faktory_tw.times import parse_rfc3339

from ..answers import Answer, Refusal
from ..visit import Visit

MOST_LISTED = 1000
LISTED = 100
_MOST_NAMES = 1000
_MOST_CURSOR = 1200  # characters of ``after``, which may hold the name of a queue

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
Names = Annotated[list[str], Meta(max_length=_MOST_NAMES)]
Newest = Annotated[int, Meta(ge=0, le=2**63 - 1)] | None


class Criteria(msgspec.Struct, forbid_unknown_fields=True):
    """Which jobs are meant: those that meet all that is given."""

    jid: str | None = None
    jids: Names | None = None
    jobtype: str | None = None
    queue: str | None = None
    error: str | None = None
    match: str | None = None
    since: str | None = None
    until: str | None = None

    def told(self) -> dict[str, Any]:
        """What is given, for the log."""
        facts: dict[str, Any] = {name: getattr(self, name) or None for name in self.__struct_fields__}
        if self.jids:
            facts["jids"] = f"{', '.join(self.jids[:3])}{', …' * (len(self.jids) > 3)} ({len(self.jids)})"
        return facts

    def filter(self) -> Filter | None:
        """The filter that finds them; None when nothing is given. Raises Refusal."""
        jids = [*(self.jids or ()), *((self.jid,) if self.jid else ())]
        wanted = Filter(
            jids=jids or None,
            jobtype=self.jobtype or None,
            queue=self.queue or None,
            error=self.error or None,
            match=self.match or None,
            since=_moment("since", self.since),
            until=_moment("until", self.until),
        )
        return None if wanted == Filter() else wanted


class Bulk(msgspec.Struct, forbid_unknown_fields=True):
    """A change of many jobs. Those of a filter, or really all."""

    filter: Criteria | None = None
    all: bool = False
    dry_run: bool = False
    newest: Newest = None
    priority: Annotated[int, Meta(ge=1, le=9)] | None = None


class Priority(msgspec.Struct, forbid_unknown_fields=True):
    """Another priority for one job."""

    priority: Annotated[int, Meta(ge=1, le=9)]


class QueueNames(msgspec.Struct, forbid_unknown_fields=True):
    """Some queues, or all."""

    queues: Names | None = None
    all: bool = False


class Clearing(msgspec.Struct, forbid_unknown_fields=True):
    """What came to a queue after ``newest`` stays."""

    newest: Newest = None


class ClearingNames(QueueNames, forbid_unknown_fields=True):
    """The same, for some queues or all."""

    newest: Newest = None


class WorkerIds(msgspec.Struct, forbid_unknown_fields=True):
    """Some workers, or all."""

    wids: Names | None = None
    all: bool = False


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """Where there is nothing to say."""


def read(visit: Visit, kind: type[_Struct]) -> _Struct:
    """What was sent. No body at all is an empty object. Raises Refusal with what is wrong and where."""
    if visit.has_body:
        return visit.decode(kind)
    try:
        return kind()
    except TypeError:
        raise Refusal(400, f"Send JSON with {', '.join(kind.__struct_fields__)}; see /api/.") from None


def chosen(names: list[str] | None, everything: bool, what: str) -> list[str] | None:
    """The names that were given, None for all. Raises Refusal when it is neither, or both."""
    if everything == bool(names):
        raise Refusal(400, f'Say which {what}: give their names, or "all": true.')
    return None if everything else list(dict.fromkeys(names or ()))


def asked_criteria(visit: Visit) -> Criteria:
    """The same criteria, from the fields of an address."""
    fields = {name: visit.text(name, most=1024) or None for name in ("jobtype", "queue", "error", "match")}
    return Criteria(
        jids=[jid for jid in visit.texts("jid") if jid][:_MOST_NAMES] or None,
        since=visit.text("since") or None,
        until=visit.text("until") or None,
        **fields,
    )


def asked_page(visit: Visit, least: int = 1) -> tuple[int, str | None]:
    """How many are wanted, and behind which."""
    return visit.number("limit", LISTED, least, MOST_LISTED), visit.text("after", most=_MOST_CURSOR) or None


def know_fields(visit: Visit, *names: str) -> None:
    """Raises Refusal when the address has a field that means nothing: it may be a misspelled filter."""
    unknown = sorted(visit.query.keys() - set(names))
    if unknown:
        known = f"there are {', '.join(names)}" if names else "there are none"
        raise Refusal(400, f"Unknown field {unknown[0][:100]}; {known}.")


def answer(value: Any, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON, in which JSON that was pushed stands as it was written."""
    return Answer(msgspec.json.encode(value), status, "application/json", **headers)


def told_job(row: JobRow) -> dict[str, Any]:
    """A job, with the id by which it is addressed."""
    return {"id": row.id, **job_view(row)}


def _moment(name: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise Refusal(400, f"{name} must be a time such as 2026-11-21T18:17:40Z, not {text[:100]!r}.") from None
