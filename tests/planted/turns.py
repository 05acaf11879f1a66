"""Faults of what is done in one turn: too much of it, or work that is put off and then forgotten."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

BATCHES, CRON, MUTATE, UNIQUE = (
    "features/batches/__init__.py",
    "features/cron/__init__.py",
    "features/mutate.py",
    "features/unique.py",
)
THROTTLES, GATES, ASIDE, FACTS = (
    "features/throttles/__init__.py",
    "features/throttles/gates.py",
    "core/aside.py",
    "core/facts.py",
)

AREA = Area(
    tests=(
        "tests/unit/features/test_turns.py",
        "tests/unit/features/test_throttles_slices.py",
        "tests/unit/test_reading_anew.py",
    ),
    faults=(
        Fault(
            "what a turn may do for batches is counted for each event",
            BATCHES,
            "return self._looks <= 0 or self._fires <= 0",
            "return False",
        ),
        Fault("all callbacks are pushed in one turn", BATCHES, "_FIRED = 200 ", "_FIRED = 10**9 "),
        Fault(
            "SIGHUP takes all entries of cron over in one turn",
            CRON,
            "            lines[entry.name] = _Line(entry, self._recorded(entry, now))\n            if number % _SLICE == 0:",
            "            lines[entry.name] = _Line(entry, self._recorded(entry, now))\n            if number < 0:",
        ),
        Fault(
            "missed ticks are all looked for in one turn", "schedule.py", "len(ticks) % _AT_ONCE == 0", "len(ticks) < 0"
        ),
        Fault("MUTATE takes thousands in one turn", MUTATE, "_SLICE = 250 ", "_SLICE = 10**5 "),
        Fault("all queues are told of a slot in one turn", THROTTLES, "_MOST_SERVED = 500 ", "_MOST_SERVED = 10**9 "),
        Fault(
            "queues that were not told of a slot never are", THROTTLES, "            self._opened[lane] = left\n", ""
        ),
        Fault(
            "who may have no more is asked again and again",
            THROTTLES,
            "                left -= 1\n                self._serves -= 1\n",
            "                self._serves -= 1\n",
        ),
        Fault(
            "all that is worked is counted in one turn",
            THROTTLES,
            "islice(in_order, _SLICE)",
            "islice(in_order, 10**9)",
        ),
        Fault(
            "a job goes before those that were not told yet",
            GATES,
            "not lane.closed and self.aside.is_unoffered(lane)",
            "False",
        ),
        Fault(
            "a line that is closed is told to nobody",
            ASIDE,
            "            line.lane.wanted[self] = line\n        if wanted",
            "            str(line)\n        if wanted",
        ),
        Fault("all features do their duties in one turn", FACTS, "self._clock.monotonic() > until", "False"),
        Fault(
            "the first feature comes first in every turn",
            FACTS,
            "            self._next = (self._next + 1) % len(self._features)\n",
            "",
        ),
        Fault(
            "a bulk push has all costly jobs in one turn",
            "session.py",
            "_BULK_SLICE_BYTES = 16_384 ",
            "_BULK_SLICE_BYTES = 10**9 ",
        ),
        Fault(
            "a long bulk push is taken apart and pushed in one turn",
            "session.py",
            " or size > _BULK_BYTES:",
            ":",
        ),
        Fault(
            "a SIGHUP that comes while the settings are read is forgotten",
            "operations.py",
            "            self._reads_again = True\n",
            "",
        ),
    ),
)
