"""Faults of the long run itself: it must see what is lost, what comes back, and what grows."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

BOOKS, TREND, SUMMARY = (f"../tests/bench/long_run/{name}.py" for name in ("books", "trend", "summary"))

AREA = Area(
    tests=("tests/unit/bench/test_books.py", "tests/unit/bench/test_trend.py", "tests/unit/bench/test_long_run.py"),
    faults=(
        Fault("lost jobs are not counted", BOOKS, "            lost = len(self._open)\n", "            lost = 0\n"),
        Fault(
            "a job that comes after its end is not noticed",
            BOOKS,
            '                self._find(f"{jid} was delivered though it was over, or never pushed")\n',
            "",
        ),
        Fault("jobs expire at once", BOOKS, ".until + EXPIRED_SECONDS:", ".until - EXPIRED_SECONDS:"),
        Fault(
            "jobs that may expire are lost at the end",
            BOOKS,
            "        self.settle_all_expired()\n        with",
            "        with",
        ),
        Fault("two operators decide upon one job", BOOKS, "            del self._resting[place][:most]\n", ""),
        Fault("the slope is that of a minute", TREND, "HOUR = 3600.0", "HOUR = 60.0"),
        Fault(
            "noise is growth",
            TREND,
            "found.slope > allowed and found.low > 0",
            "found.slope > 0 or found.high > allowed",
        ),
        Fault("nothing grows", TREND, "    elif found.slope > allowed and found.low > 0:", "    elif False:"),
        Fault("whatever does not grow is flat", TREND, "    elif found.high <= allowed:", "    elif True:"),
        Fault("the interval is a third as wide", TREND, "_Z = 1.96", "_Z = 0.6"),
        Fault("the floor does not count", TREND, "max(abs(median) * share, floor)", "abs(median) * share"),
        Fault("highest values are judged", TREND, "[min(piece, key", "[max(piece, key"),
        Fault("the warm-up is judged", SUMMARY, ' if row["seconds"] >= warm_up_seconds]', "]"),
        Fault("counts may differ", SUMMARY, "any(left != right for", "any(False and left != right for"),
        Fault(
            "what was found does not matter",
            SUMMARY,
            ' or self.account.counts["lost"] or self.account.findings)',
            ' or self.account.counts["lost"])',
        ),
    ),
)
