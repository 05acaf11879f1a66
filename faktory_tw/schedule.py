"""When something is due that a cron schedule describes: five fields, or ``@hourly`` and its like, in a time zone.

What the fields mean is left to ``cronsim``, which keeps to Debian's cron: ranges, steps, lists, names, ``L``, ``LW`` and
``MON#2``; when both the day of the month and the day of the week are restricted either one is enough, unless one of them
begins with a star. It is asked for times without a zone only. What these are in a zone is decided here, by the rules of
Debian's cron for daylight saving time:

* A schedule whose minute or hour begins with a star is due whenever the clock on the wall shows such a time: not at all in
  an hour that is left out, and twice in one that is repeated.
* Any other names times of the day, and each of them comes once a day. One that is left out is due at the moment to which
  the clock is put forward; one that is repeated is due the first time.

A moment is in seconds since the epoch; a tick is the moment at which a schedule is due, and has no seconds of its own.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

LONGEST = 200  # characters of a schedule
_MEANT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_OTHERS = ("0", "0", "*", "*", "*")  # for the other fields, to find out which one is wrong
_FORM = re.compile(r"[0-9A-Za-z*/,#-]+", re.ASCII)
_EARLY = 946_684_800.0  # the first moment of 2000
_SECOND, _DAY = timedelta(seconds=1), 86_400.0
_AT_ONCE = 50  # ticks found between two steps: a millisecond or two
_SOME_SECONDS = 30.0  # less than what is between two ticks
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the local time of an offset has no zone


@dataclass(frozen=True)
class Schedule:
    """A schedule in a time zone. ``text`` and ``timezone`` are as they were written, and two are equal when these are."""

    text: str
    timezone: str = "UTC"
    _fields: str = field(init=False, repr=False, compare=False)
    _zone: ZoneInfo | None = field(init=False, repr=False, compare=False)  # None: UTC
    _by_the_day: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError, which says what is wrong."""
        fields = _checked(self.text)
        object.__setattr__(self, "_fields", fields)
        object.__setattr__(self, "_zone", None if self.timezone == "UTC" else _zone(self.timezone))
        minute, hour = fields.split()[:2]
        object.__setattr__(self, "_by_the_day", not minute.startswith("*") and not hour.startswith("*"))

    def after(self, moment: float) -> float | None:
        """The first tick after a moment; None when there is none within fifty years."""
        return next(self._ticks(moment), None)

    def newest(self, after: float, until: float, count: int) -> Generator[None, None, list[float]]:
        """Return the last ticks after a moment, ``count`` at most, and until another. Yields after some ms of work each."""
        ticks = yield from self._first(after, until, count + 1)
        if len(ticks) <= count:
            return ticks
        low, high = after, until  # more than ``count`` ticks follow the one, no more than ``count`` the other
        found: list[float] = []
        while high - low > _SOME_SECONDS:
            yield
            middle = (low + high) / 2
            ticks = yield from self._first(middle, until, count + 1)
            if len(ticks) > count:
                low = middle
            else:
                high, found = middle, ticks
        return found

    def _first(self, after: float, until: float, count: int) -> Generator[None, None, list[float]]:
        ticks: list[float] = []
        for tick in islice(self._ticks(after), count):
            if tick > until:
                break
            ticks.append(tick)
            if len(ticks) % _AT_ONCE == 0:
                yield
        return ticks

    def _ticks(self, moment: float) -> Iterator[float]:
        try:
            if self._zone is None:
                yield from map(_seconds, _walk(self._fields, _local(moment, 0.0)))
            elif self._by_the_day:
                yield from self._daily(self._zone, moment)
            else:
                yield from self._continual(self._zone, moment)
        except (OverflowError, ValueError, OSError):
            return  # beyond what a date can be

    def _daily(self, zone: ZoneInfo, moment: float) -> Iterator[float]:
        last = moment
        for local in _walk(self._fields, _local(moment, _offset(zone, moment))):
            tick = local.replace(tzinfo=zone).timestamp()
            offset = _offset(zone, tick)
            if _local(tick, offset) != local:  # the clock never shows it
                tick = _change(zone, tick - _DAY, tick)
            if tick > last:
                yield tick
                last = tick

    def _continual(self, zone: ZoneInfo, moment: float) -> Iterator[float]:
        """Go on from one change of the clock to the next."""
        offset = _offset(zone, moment)
        local = _local(moment, offset)
        last = moment
        while True:
            for found in _walk(self._fields, local):
                tick = _seconds(found) - offset
                if _has_changed(zone, last, tick, offset):
                    break
                yield tick
                last = tick
            else:
                return
            change = _change(zone, last, tick)
            offset = _offset(zone, change)
            local, last = _local(change, offset) - _SECOND, change


def _local(moment: float, offset: float) -> datetime:
    return _EPOCH + timedelta(seconds=moment // 1 + offset)


def _seconds(local: datetime) -> float:
    return (local - _EPOCH).total_seconds()


def _offset(zone: ZoneInfo, moment: float) -> float:
    offset = datetime.fromtimestamp(moment, zone).utcoffset()
    return 0.0 if offset is None else offset.total_seconds()


def _has_changed(zone: ZoneInfo, start: float, end: float, offset: float) -> bool:
    """Whether the clock is put forward or back between two moments; no two changes are on one day."""
    while start < end:
        start = min(start + _DAY, end)
        if _offset(zone, start) != offset:
            return True
    return False


def _change(zone: ZoneInfo, start: float, end: float) -> float:
    """The first moment with another offset than ``start`` has; it is not after ``end``, whatever that has."""
    offset = _offset(zone, start)
    probe = start
    while probe < end and _offset(zone, probe) == offset:
        start, probe = probe, min(probe + _DAY, end)
    low, high = int(start), int(-(-probe // 1))
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return float(high)


def _checked(text: str) -> str:
    """The five fields that a text means. Raises ValueError."""
    if len(text) > LONGEST:
        raise ValueError(f"must have {LONGEST} characters at most")
    written = text.strip()
    if written.startswith("@"):
        fields = _MEANT.get(written.lower())
        if fields is None:
            raise ValueError(f"{written!r} is not known; there are {', '.join(_MEANT)}")
        return fields
    parts = written.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f'must have five fields, minute, hour, day of the month, month and day of the week, such as "*/5 * * * *", '
            f"not {len(parts)}"
        )
    fields = " ".join(parts)
    if all(map(_FORM.fullmatch, parts)) and _can_be(fields):
        return fields
    for index, part in enumerate(parts):
        alone = [*_OTHERS]
        alone[index] = part
        if not _FORM.fullmatch(part) or not _can_be(" ".join(alone)):
            raise ValueError(f"{part!r} cannot be the {_FIELDS[index]}")
    raise ValueError("never comes: no such month has such a day")


def _can_be(fields: str) -> bool:
    """Whether there is a tick within fifty years."""
    try:
        next(_walk(fields, _local(_EARLY, 0.0)))
    except (CronSimError, StopIteration, ValueError):
        return False
    return True


@lru_cache(maxsize=1000)
def _parsed(fields: str) -> CronSim:
    return CronSim(fields, _EPOCH)


def _walk(fields: str, local: datetime) -> CronSim:
    """The times that the fields mean after another. To parse them anew each time would cost ten times as much."""
    walk = copy.copy(_parsed(fields))
    walk.dt = local
    return walk


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(name.lower(), _zones(), n=1)
        hint = f"; did you mean {_zones()[near[0]]}?" if near else ', such as "Europe/Berlin"'
        raise ValueError(f"{name[:60]!r} is no name of a time zone{hint}") from None


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}
