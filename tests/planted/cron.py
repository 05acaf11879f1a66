"""Faults of cron: which ticks are carried out, how often, and what is recorded of them."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

CRON, RECORDS, SCHEDULE, ENTRIES = (
    "features/cron/__init__.py",
    "features/cron/records.py",
    "schedule.py",
    "config/cron.py",
)
REQUESTS = "features/cron/requests.py"

AREA = Area(
    tests=("tests/unit/features/test_cron*.py", "tests/unit/test_schedule.py", "tests/unit/config/test_cron.py"),
    faults=(
        Fault("a tick is not recorded as settled", CRON, "            state.settle(tick)\n", ""),
        Fault(
            "the state of an entry is not on disk with its run",
            CRON,
            "for key, value in (record.add(run), record.row()):",
            "for key, value in (record.add(run),):",
        ),
        Fault(
            "runs are not on disk",
            CRON,
            "for key, value in (record.add(run), record.row()):",
            "record.add(run)\n        for key, value in (record.row(),):",
        ),
        Fault("a new entry makes up for an hour", CRON, "State(now, rhythm,", "State(now - 3600, rhythm,"),
        Fault(
            "a new entry is not on disk",
            CRON,
            "            self.store.batch.enter(self.kind, *record.row())\n            return record\n",
            "            return record\n",
        ),
        Fault(
            "another schedule makes up for what it would have done",
            CRON,
            "if state.rhythm != rhythm or state.left_at is not None:",
            "if state.left_at is not None:",
        ),
        Fault(
            "an entry that comes back makes up for its absence",
            CRON,
            "            state.begin(now)\n            state.rhythm, state.left_at",
            "            state.rhythm, state.left_at",
        ),
        Fault(
            "a clock that was set back lets ticks come again after another schedule",
            CRON,
            "            state.begin(now)\n            state.rhythm, state.left_at",
            "            state.settled = now\n            state.rhythm, state.left_at",
        ),
        Fault(
            "who goes on makes up for the pause",
            CRON,
            "        if not paused:\n            state.begin(self.clock.time())\n",
            "",
        ),
        Fault(
            "who goes on after the clock was set back repeats ticks",
            CRON,
            "        if not paused:\n            state.begin(self.clock.time())\n",
            "        if not paused:\n            state.settled = self.clock.time()\n",
        ),
        Fault(
            "a pause is not on disk",
            CRON,
            "        self.store.batch.enter(self.kind, *line.record.row())\n        self._withdraw(line)\n",
            "        self._withdraw(line)\n",
        ),
        Fault(
            "a pause does not end what is being done",
            CRON,
            "        if self._work is not None and self._work[0] is line:\n            self._work = None\n",
            "",
        ),
        Fault("a pause ends with the start", CRON, "and not line.record.state.paused:", "and not line.entry.paused:"),
        Fault("a tick is missed a moment late", CRON, "now - tick < LATE_SECONDS or", "now - tick <= LATE_SECONDS or"),
        Fault(
            "the last of the ticks is skipped, too", CRON, 'entry.catch_up == "skip" and', 'entry.catch_up != "all" and'
        ),
        Fault(
            "all ticks are made up for", CRON, 'if entry.catch_up == "all" else 1', 'if entry.catch_up != "skip" else 1'
        ),
        Fault(
            "cron does not wait for the disk", CRON, "        if self.manager.refuse_pushes:\n", "        if False:\n"
        ),
        Fault(
            "what waited for the disk was missed",
            CRON,
            "            if self._held_from is None:\n                self._held_from = now\n",
            "",
        ),
        Fault("cron waits for the disk for ever", CRON, "                self._held_from = None\n", ""),
        Fault(
            "what was missed before it waited is made up for",
            CRON,
            "and tick > self._held_from - LATE_SECONDS)",
            "and tick > 0.0)",
        ),
        Fault(
            "a refused job comes again",
            CRON,
            '                self._note(record, Run(tick, now, "", str(error)[:_LONGEST_REASON]))\n',
            "                str(error)\n",
        ),
        Fault("a reason is as long as it likes", CRON, "str(error)[:_LONGEST_REASON]", "str(error)"),
        Fault(
            "all is done in one turn",
            CRON,
            "            if self.clock.monotonic() > until:\n                break\n",
            "",
        ),
        Fault(
            "thousands are done in one turn",
            CRON,
            "        for _ in range(_SLICE):\n            if not self._go_on",
            "        for _ in range(10**9):\n            if not self._go_on",
        ),
        Fault("flush keeps the count of runs", CRON, "            record.forget_runs()\n", ""),
        Fault(
            "flush forgets what is settled on disk",
            CRON,
            "            record.forget_runs()\n            self.store.batch.enter(self.kind, *record.row())\n",
            "            record.forget_runs()\n",
        ),
        Fault(
            "who has left is remembered for ever",
            CRON,
            "        more = self._forget_left(now)\n",
            "        more = False\n",
        ),
        Fault(
            "who has left stays on disk",
            CRON,
            "                self.store.batch.enter(self.kind, key, None)\n",
            "                str(key)\n",
        ),
        Fault(
            "that an entry left is not on disk",
            CRON,
            "                record.state.left_at = now\n                self.store.batch.enter(self.kind, *record.row())\n",
            "                record.state.left_at = now\n",
        ),
        Fault(
            "any number of those who left are remembered", CRON, "len(self._left) <= _MOST_REMEMBERED and", "True and"
        ),
        Fault(
            "a run by hand settles a tick",
            CRON,
            "Run(None, self.clock.time(), jid))",
            "Run(None, self.clock.time(), jid))\n        line.record.state.settled = self.clock.time() + 60",
        ),
        Fault(
            "a run by hand is not in the history",
            CRON,
            "        self._note(line.record, Run(None, self.clock.time(), jid))\n",
            "",
        ),
        Fault("more runs than twenty are kept", RECORDS, "        del self.runs[:-MOST_RUNS]\n", ""),
        Fault(
            "runs are read in the order of their rows",
            RECORDS,
            "range(max(count - MOST_RUNS, 0), count))",
            "range(MOST_RUNS))",
        ),
        Fault(
            "not all rows of an entry are removed",
            RECORDS,
            "range(min(self.state.runs, MOST_RUNS)))]",
            "range(min(self.state.runs, MOST_RUNS) - 1))]",
        ),
        Fault(
            "a time that the clock leaves out is an hour late",
            SCHEDULE,
            "                tick = _change(zone, tick - _DAY, tick)\n",
            "                pass\n",
        ),
        Fault(
            "a time that comes again is due again", SCHEDULE, "            if tick > last:\n", "            if tick:\n"
        ),
        Fault(
            "the clock is never put back",
            SCHEDULE,
            "                if _has_changed(zone, last, tick, offset):\n                    break\n",
            "",
        ),
        Fault(
            "the first minute after a change is left out",
            SCHEDULE,
            "_local(change, offset) - _SECOND, change",
            "_local(change, offset), change",
        ),
        Fault(
            "a star in the hour does not make a schedule continual",
            SCHEDULE,
            'not minute.startswith("*") and not hour.startswith("*")',
            'not minute.startswith("*")',
        ),
        Fault(
            "the newest ticks are the oldest",
            SCHEDULE,
            "                high, found = middle, ticks\n",
            "                high = middle\n                found = found or ticks\n",
        ),
        Fault("a schedule that never comes is one", SCHEDULE, " and _can_be(fields):\n", ":\n"),
        Fault("the order of keys makes another entry", ENTRIES, ", sort_keys=True)", ")"),
        Fault(
            "the zone is no part of a made name",
            ENTRIES,
            "schedule.text.split(), schedule.timezone, job]",
            "schedule.text.split(), job]",
        ),
        Fault(
            "an entry with a mistake takes the others along",
            ENTRIES,
            "        except _Mistake as mistake:\n",
            "        except ZeroDivisionError as mistake:\n",
        ),
        Fault(
            "of two entries with one name the last is used",
            ENTRIES,
            "    if other is None:\n",
            "    if other is None or named:\n",
        ),
        Fault(
            "a date may be an argument",
            ENTRIES,
            "        elif each is not None and not isinstance(each, (str, int)):\n            return False\n",
            "",
        ),
        Fault(
            "true is a whole number",
            ENTRIES,
            "if type(value) is not type(default):",
            "if not isinstance(value, type(default)):",
        ),
        Fault(
            "where an entry is makes it another one",
            ENTRIES,
            "place: str = field(compare=False)",
            "place: str = field()",
        ),
        Fault(
            "the reply to a change does not wait for the disk",
            "features/admin.py",
            '            self._changed = action != "show"\n',
            "",
        ),
        Fault("the last page of entries has a next one", REQUESTS, "if end < len(cron)", "if end <= len(cron)"),
        Fault(
            "a reload leaves cron as it was",
            "reload.py",
            "    new.update((name, getattr(fresh, name)) for name in TABLES)\n",
            '    new.update((name, getattr(fresh, name)) for name in TABLES if name != "cron")\n',
        ),
    ),
)
