"""Faults in what is a date and what a duration: each shows only when the wall clock is set, or the process stopped."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

RECORDS, CRON, BATCHES = "features/cron/records.py", "features/cron/__init__.py", "features/batches/__init__.py"
INDEX, SERVICE, LOADING, TIMES = "features/batches/index.py", "service.py", "core/loading.py", "times.py"

AREA = Area(
    tests=(
        "tests/unit/features/test_cron.py",
        "tests/unit/features/test_batches_commands.py",
        "tests/unit/features/test_tracking_commands.py",
        "tests/unit/test_service_duties.py",
        "tests/unit/test_times.py",
    ),
    faults=(
        Fault("a clock that was ahead silences cron", RECORDS, "if now >= self.since:", "if now >= 0.0:"),
        Fault(
            "what the clock was set over is settled",
            RECORDS,
            "        self._leave(moment, moment)\n",
            "        self.settled = moment\n",
        ),
        Fault(
            "cron forgets what was settled when the clock is set back",
            RECORDS,
            "sorted([*self.past, (self.since, self.settled)])",
            "sorted(self.past)",
        ),
        Fault(
            "a time to which the clock comes back may become one with the next before it is gone on with",
            RECORDS,
            "            self.past.remove(span)  # before the earliest two may become one\n        self._leave(*(span or (now, now)))\n",
            "            pass\n        self._leave(*(span or (now, now)))\n"
            "        self.past = [each for each in self.past if each != span]\n",
        ),
        Fault("nobody sees that the clock was set back", CRON, "if now < self._wall:", "if now < 0.0:"),
        Fault("after a restart nobody sees that the clock was set back", CRON, "        state.turn_back(now)\n", ""),
        Fault(
            "a batch is open until a date",
            BATCHES,
            "before = self.clock.monotonic() - self._open_seconds",
            "before = self.clock.time() - self._open_seconds",
        ),
        Fault(
            "the time of an open batch does not begin anew with the server",
            INDEX,
            "        now = self._monotonic()\n        for batch in batches:",
            "        now = 0.0\n        for batch in batches:",
        ),
        Fault(
            "a reservation becomes as long as a step of the clock",
            LOADING,
            "min(math.ceil((row.at or 0.0) - since), MAXIMUM_RESERVE_SECONDS)",
            "math.ceil((row.at or 0.0) - since)",
        ),
        Fault("jobs are taken back before what came is heard", SERVICE, "if self._stood_still():", "if False:"),
        Fault(
            "a process that is stopped often takes nothing back",
            SERVICE,
            "> _STILL_SECONDS and self._stood < 2",
            "> _STILL_SECONDS",
        ),
        Fault(
            "a year has as many digits as it needs",
            TIMES,
            "moment.tm_year:04}{time.strftime('-%m-%dT",
            "moment.tm_year}{time.strftime('-%m-%dT",
        ),
        Fault(
            "a zone leads out of the calendar",
            TIMES,
            "max(min(seconds, float(LAST_SECOND)), float(_FIRST_SECOND))",
            "min(seconds, float(LAST_SECOND))",
        ),
    ),
)
