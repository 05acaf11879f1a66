"""The entries ``[[cron]]`` of the files: jobs that are pushed at the times of a schedule.

An entry that cannot be used is left out and complained of with its file and line; the others are used all the same. The
``name`` of an entry is what makes it the same one after a change of everything else. One without a name gets one that is
made from its job and schedule, so that after a change of those it is another entry.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from faktory_tw.config.files import Tree
from faktory_tw.config.kinds import shown
from faktory_tw.schedule import Schedule

CheckJob = Callable[[bytes], object]  # raises ValueError for a job, JSON, that no push would accept

CATCH_UP = ("skip", "last", "all")
MOST_CAUGHT_UP = 1000
CAUGHT_UP = 100
LONGEST_JOB = 1024 * 1024  # bytes of JSON
_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,99}", re.ASCII)
_KEYS = ("name", "schedule", "timezone", "catch_up", "catch_up_limit", "paused", "job")
_JOB_KEYS = {
    "type": str,
    "queue": str,
    "retry": int,
    "args": list,
    "reserve_for": int,
    "priority": int,
    "backtrace": int,
    "custom": dict,
}
_KINDS = {str: "text in quotes", int: "a whole number", list: "a list", dict: "a table", bool: "true or false"}
_V = TypeVar("_V")


@dataclass(frozen=True)
class CronEntry:
    """An entry that can be used. ``job`` is the JSON object that is pushed, still without its jid."""

    name: str
    schedule: Schedule
    job: bytes
    jobtype: str
    queue: str
    custom: bytes  # JSON, empty when there is none
    catch_up: str  # one of CATCH_UP
    catch_up_limit: int
    paused: bool  # what it begins with
    place: str = field(compare=False)  # file:line


class _Mistake(Exception):
    """What is wrong with an entry, and the keys of what it is about."""

    def __init__(self, text: str, *keys: str) -> None:
        super().__init__(text)
        self.keys = keys


def read_entries(tree: Tree, check_job: CheckJob, left_out: list[str]) -> tuple[CronEntry, ...]:
    """The entries that can be used, in their order. What is wrong with the others is added to ``left_out``."""
    entries: dict[str, CronEntry] = {}
    for index, content in enumerate(tree.values["cron"]):
        place = tree.place("cron", index)
        try:
            entry = _read(content, place, check_job)
            _refuse_second(entry, entries.get(entry.name), "name" in content)
        except _Mistake as mistake:
            left_out.append(f"{tree.place('cron', index, *mistake.keys)}: {mistake}; this [[cron]] is left out")
        else:
            entries[entry.name] = entry
    return tuple(entries.values())


def _refuse_second(entry: CronEntry, other: CronEntry | None, named: bool) -> None:
    if other is None:
        return
    if named:
        raise _Mistake(f"the name {entry.name} is in {other.place}, too; choose another one", "name")
    raise _Mistake(f"the same schedule and job are in {other.place}, too; give them names to have both")


def _read(content: Mapping[str, Any], place: str, check_job: CheckJob) -> CronEntry:
    _refuse_unknown(content, _KEYS, "[[cron]]")
    if "schedule" not in content:
        raise _Mistake('it needs a schedule, such as schedule = "*/5 * * * *"')
    schedule = _schedule(_value(content, "schedule", ""), _value(content, "timezone", "UTC"))
    catch_up = _value(content, "catch_up", CATCH_UP[0])
    if catch_up not in CATCH_UP:
        raise _Mistake(f"catch_up must be one of {', '.join(CATCH_UP)}, not {shown(catch_up)}", "catch_up")
    limit = _value(content, "catch_up_limit", CAUGHT_UP)
    if not 1 <= limit <= MOST_CAUGHT_UP:
        raise _Mistake(f"catch_up_limit must be from 1 to {MOST_CAUGHT_UP}, not {shown(limit)}", "catch_up_limit")
    name = _value(content, "name", "")
    if "name" in content and not _NAME.fullmatch(name):
        raise _Mistake(
            "name must have letters, digits, underscore, dot and hyphen only, begin with none of the last two, and have 100 "
            f"characters at most, not {shown(name)}",
            "name",
        )
    paused = _value(content, "paused", False)
    job = _job(content)
    text = _encoded(job, check_job)
    return CronEntry(
        name or _made_name(job, schedule),
        schedule,
        text,
        job["jobtype"],
        job.get("queue") or "default",
        _json(job["custom"]) if job.get("custom") else b"",
        catch_up,
        limit,
        paused,
        place,
    )


def _refuse_unknown(content: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key.lower(), known, n=1)
            said = f"did you mean {near[0]}?" if near else f"its keys are {', '.join(known)}"
            if where == "[[cron]]" and key in _JOB_KEYS:
                said = "it belongs below [cron.job]"
            raise _Mistake(f"unknown key {key} in {where}; {said}", *(["job"] if where == "[cron.job]" else []), key)


def _value(content: Mapping[str, Any], key: str, default: _V) -> _V:
    value = content.get(key, default)
    if type(value) is not type(default):
        raise _Mistake(f"{key} must be {_KINDS[type(default)]}, not {shown(value)}", key)
    return value


def _schedule(text: str, timezone: str) -> Schedule:
    try:
        Schedule("@daily", timezone)
    except ValueError as error:
        raise _Mistake(f"timezone: {error}", "timezone") from None
    try:
        return Schedule(text, timezone)
    except ValueError as error:
        raise _Mistake(f"schedule {shown(text)}: {error}", "schedule") from None


def _job(content: Mapping[str, Any]) -> dict[str, Any]:
    """The job of an entry, in the words of the protocol."""
    table = content.get("job")
    if not isinstance(table, dict):
        raise _Mistake('it needs a job: write [cron.job] below it, and then type = "…"', "job")
    _refuse_unknown(table, tuple(_JOB_KEYS), "[cron.job]")
    for key, value in table.items():
        if type(value) is not _JOB_KEYS[key]:
            raise _Mistake(f"job.{key} must be {_KINDS[_JOB_KEYS[key]]}, not {shown(value)}", "job", key)
    if not table.get("type"):
        raise _Mistake('its job needs a type: type = "…" below [cron.job]', "job")
    least = {"retry": -1, "priority": 1}
    for key, most in (("priority", 9), ("reserve_for", 86_400), ("retry", 2**31), ("backtrace", 2**31)):
        if not least.get(key, 0) <= table.get(key, 1) <= most:
            said = f"job.{key} must be from {least.get(key, 0)} to {most}, not {shown(table[key])}"
            raise _Mistake(said, "job", key)
    others = {key: value for key, value in table.items() if key != "type"}
    return {"jobtype": table["type"], "args": [], **others}


def _encoded(job: dict[str, Any], check_job: CheckJob) -> bytes:
    for key in ("args", "custom"):
        if not _can_be_json(job.get(key)):
            said = f"job.{key} must have text, numbers, true or false, lists and tables only; write dates in quotes"
            raise _Mistake(said, "job", key)
    try:
        text = _json(job)
        if len(text) > LONGEST_JOB:
            raise _Mistake(f"its job must not be longer than {LONGEST_JOB} bytes as JSON", "job")
        check_job(text)
    except (ValueError, RecursionError) as error:
        raise _Mistake(f"its job cannot be pushed: {error}", "job") from None
    return text


def _can_be_json(value: Any) -> bool:
    """TOML also has dates, infinity and numbers that are none."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, float):
            if not math.isfinite(each):
                return False
        elif each is not None and not isinstance(each, (str, int)):
            return False
    return True


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _made_name(job: dict[str, Any], schedule: Schedule) -> str:
    whole = json.dumps([schedule.text.split(), schedule.timezone, job], sort_keys=True)
    plain = re.sub(r"[^a-zA-Z0-9._-]+", "-", job["jobtype"]).strip(".-")[:60]
    return f"{plain or 'job'}-{hashlib.sha256(whole.encode()).hexdigest()[:10]}"
