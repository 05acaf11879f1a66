"""RFC 3339 text to seconds since the epoch, and back.

Times on the wire are text; inside they are float seconds, because ``datetime`` costs a microsecond an operation. Output
is UTC with six digits of fraction; input may have any number of digits, ``Z`` or an offset, as Go's parser takes it.
"""

from __future__ import annotations

import calendar
import re
import time

DAY_SECONDS = 86_400

_TIMESTAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FIRST_SECOND = calendar.timegm((1, 1, 1, 0, 0, 0))
LAST_SECOND = calendar.timegm((9999, 12, 31, 23, 59, 59))  # that can be written


class _Second:
    """The text of the latest second formatted: thousands of jobs a second share it."""

    number = -1
    text = ""


def rfc3339(seconds: float) -> str:
    """``seconds`` since the epoch as ``2026-11-21T18:17:40.992588Z``."""
    micros = int(seconds * 1_000_000)
    number, fraction = divmod(micros, 1_000_000)
    if number != _Second.number:
        moment = time.gmtime(number)
        _Second.text = f"{moment.tm_year:04}{time.strftime('-%m-%dT%H:%M:%S', moment)}"
        _Second.number = number
    return f"{_Second.text}.{fraction:06d}Z"


def parse_rfc3339(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time with a zone; leap seconds are refused, as the servers in Go do.

    Raises ValueError, with a text for the client, when it is none.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("not a time such as 2026-11-21T18:17:40Z or 2026-11-21T18:17:40.25+01:00")
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    if not year:
        raise ValueError("the year 0 is out of range")
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS_IN_MONTH[month - 1]:
        raise ValueError("day out of range")
    if month == 2 and day == 29 and not calendar.isleap(year):
        raise ValueError("day out of range")
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("hour, minute or second out of range")
    seconds = float(calendar.timegm((year, month, day, hour, minute, second)))
    if match[7]:
        seconds += float(f"0.{match[7][:9]}")
    if match[8]:
        if int(match[9]) > 23 or int(match[10]) > 59:
            raise ValueError("zone offset out of range")
        offset = int(match[9]) * 3600 + int(match[10]) * 60
        seconds += -offset if match[8] == "+" else offset
    return max(min(seconds, float(LAST_SECOND)), float(_FIRST_SECOND))


def utc_day(seconds: float) -> str:
    """The UTC calendar day of a time, ``2026-11-21``: the key of the statistics."""
    moment = time.gmtime(seconds)
    return f"{moment.tm_year:04}{time.strftime('-%m-%d', moment)}"
