"""Faults of when a failed job is tried again, and of what an operator says of single queues."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

BACKOFF = "core/backoff.py"

AREA = Area(
    tests=("tests/unit/core/test_backoff.py", "tests/unit/core/test_marks.py"),
    faults=(
        Fault("linear begins with nothing", BACKOFF, "seconds *= count + 1", "seconds *= count"),
        Fault("exponential grows for ever", BACKOFF, "min(count, _MOST_DOUBLINGS)", "count"),
        Fault("a cap is no limit", BACKOFF, "LONGEST_DELAY if backoff.cap is None else backoff.cap", "LONGEST_DELAY"),
        Fault("jitter adds", BACKOFF, "seconds -= seconds * backoff.jitter", "seconds += seconds * backoff.jitter"),
        Fault("a list ends", BACKOFF, "min(count, len(backoff) - 1)", "count % len(backoff)"),
        Fault("a worker wishes for a time beyond a year", BACKOFF, "at > now + LONGEST_DELAY", "at == float('inf')"),
        Fault("a time in the past stays in the past", BACKOFF, "return max(at, now)", "return at"),
        Fault("the producer wins over the worker", "core/retry.py", "if report.retry_at is None else", "if True else"),
        Fault(
            "a wish is forgotten",
            "core/manager.py",
            "report, now, self._random, backoff)",
            "report, now, self._random)",
        ),
    ),
)
