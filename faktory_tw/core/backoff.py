"""When a failed job is tried again: as its producer wished, as its worker wished, or else as Faktory does it.

``custom.backoff`` is the producer's wish: ``{"type":"exponential","base":10,"cap":3600,"jitter":0.2}``, or a list of
seconds such as ``[10,60,300]``, one for each failure, of which the last counts for all that follow. ``jitter`` draws the
seconds anew each time, so that jobs that failed together are not tried again together: 0.2 takes off up to a fifth, 1 up
to all. The worker's wish is ``retry_after`` in FAIL, which wins: seconds, or a time.

How often a job is tried again is another matter: that is its ``retry``, whatever the seconds between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from faktory_tw.times import DAY_SECONDS, parse_rfc3339
from faktory_tw.wire import CommandError

LONGEST_DELAY = 365 * DAY_SECONDS
MOST_DELAYS = 100  # in a list: each job that is in memory has its own
_STEPS = 1000  # of a jitter
_MOST_DOUBLINGS = 900  # a float ends at 1023
_LONGEST_DEFAULT = 100 * LONGEST_DELAY  # a client may push a job with any number of failures

Delay = Annotated[float, Meta(ge=0, le=LONGEST_DELAY)]
Delays = Annotated[list[Delay], Meta(min_length=1, max_length=MOST_DELAYS)]
Random = Callable[[int], int]


class Backoff(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """How the seconds grow with the number of failures; None, and JSON's null, is absent."""

    type: Literal["constant", "linear", "exponential"]
    base: Delay
    cap: Delay | None = None
    jitter: Annotated[float, Meta(ge=0, le=1)] | None = None


_decode_after = msgspec.json.Decoder(Delay | str | None).decode


def default_seconds(count: int, random: Random) -> int:
    """Seconds until the next try: ``count^4 + 15 + rand(30) * (count + 1)``, as Faktory documents it.

    The first failure, count 0, waits 15 to 44 s; 25 of them span three weeks. ``random(n)`` gives 0 to n - 1.
    """
    return min(int(count**4) + 15 + random(30) * (count + 1), _LONGEST_DEFAULT)


def backoff_seconds(backoff: Backoff | list[float] | None, count: int, random: Random) -> float:
    """Seconds until the next try of a job that has failed, and was tried again ``count`` times before."""
    if backoff is None:
        return default_seconds(count, random)
    if isinstance(backoff, list):
        return backoff[min(count, len(backoff) - 1)]
    seconds = backoff.base
    if backoff.type == "linear":
        seconds *= count + 1
    elif backoff.type == "exponential":
        seconds *= 2.0 ** min(count, _MOST_DOUBLINGS)
    seconds = min(seconds, LONGEST_DELAY if backoff.cap is None else backoff.cap)
    if backoff.jitter:
        seconds -= seconds * backoff.jitter * random(_STEPS + 1) / _STEPS
    return seconds


def time_of_retry(after: Raw, now: float) -> float | None:
    """When a worker wants its failed job to be tried again, in seconds since the epoch; None: it did not say.

    ``after`` is ``retry_after`` as it sent it. A time in the past means at once. Raises CommandError.
    """
    try:
        said = _decode_after(after) if after else None
        if said is None:
            return None
        at = parse_rfc3339(said) if isinstance(said, str) else now + said
    except ValueError:
        at = float("inf")
    if at > now + LONGEST_DELAY:
        raise CommandError(
            f"retry_after must be a number of seconds from 0 to {LONGEST_DELAY}, or a time within them such as"
            ' "2026-11-22T08:00:00Z"; the job is still reserved'
        )
    return max(at, now)
