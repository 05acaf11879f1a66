"""What follows a failure: how it is recorded, and whether the job is tried again or given up."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from faktory_tw.core.backoff import Backoff, backoff_seconds
from faktory_tw.core.job import Failure, decode_failure, encode_failure
from faktory_tw.times import DAY_SECONDS, rfc3339

DEAD_SECONDS = 180 * DAY_SECONDS  # how long a dead job is kept
MAXIMUM_ERRTYPE_BYTES = 100
MAXIMUM_MESSAGE_BYTES = 1000
MAXIMUM_BACKTRACE_LINES = 50
UNKNOWN = "unknown"
GIVEN_UP = -(2**63)  # the retries that a job has which somebody wants to stop, however many it was pushed with
_MOST_RETRIES = 2**31  # a client may push a job with any record


class FailureReport(msgspec.Struct, gc=False):
    """What a worker said of a failed job. ``retry_at``: when it wants it to be tried again, in seconds since the epoch."""

    errtype: str | None = None
    message: str | None = None
    backtrace: list[str] | None = None
    retry_at: float | None = None


def next_failure(
    before: bytes,
    retry: int,
    report: FailureReport,
    now: float,
    random: Callable[[int], int],
    backoff: Backoff | list[float] | None = None,
) -> tuple[bytes, float | None]:
    """The failure record after one more failure, and when to try again (None: never, the job is dead).

    ``before`` is the record of the failure before, or empty; ``retry`` the number of retries the job may have,
    ``now`` seconds since the epoch, ``backoff`` what the producer wished for.
    """
    failure = decode_failure(before)
    if failure is None:
        failure = Failure(failed_at=rfc3339(now), retry_count=0, remaining=0 if retry == GIVEN_UP else retry)
    else:
        failure.retry_count = min(max(failure.retry_count or 0, 0), _MOST_RETRIES) + 1
        failure.remaining = failure.remaining or 0
        failure.remaining -= failure.remaining > 0
        failure.failed_at = failure.failed_at or rfc3339(now)
    failure.errtype = _trimmed(report.errtype, MAXIMUM_ERRTYPE_BYTES)
    failure.message = _trimmed(report.message, MAXIMUM_MESSAGE_BYTES)
    failure.backtrace = (report.backtrace or [])[:MAXIMUM_BACKTRACE_LINES] or None
    count = failure.retry_count or 0
    if count >= retry:
        return encode_failure(failure), None
    at = now + backoff_seconds(backoff, count, random) if report.retry_at is None else report.retry_at
    failure.next_at = rfc3339(at)
    return encode_failure(failure), at


def _trimmed(text: str | None, limit: int) -> str:
    """``text`` without white space around it, cut to ``limit`` bytes, ``unknown`` when nothing is left."""
    data = (text or "").strip().encode()[:limit]
    return data.decode("utf-8", "ignore") or UNKNOWN
