"""Faults of the features: what is equal, who holds a lock, when it ends, and what is recorded of it."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

UNIQUE, EXPIRY = "features/unique.py", "features/expiry.py"

AREA = Area(
    tests=("tests/unit/features/test_unique*.py", "tests/unit/features/test_expiry*.py"),
    faults=(
        Fault("keys of objects are compared in their order", UNIQUE, "sort_keys=True", "sort_keys=False"),
        Fault(
            "numbers are compared by their spelling",
            UNIQUE,
            ", parse_float=lambda text: _number(text, wholes))",
            ", parse_float=str)",
        ),
        Fault(
            "a large whole number is another one", UNIQUE, "wholes.append(whole)", 'wholes.append(whole.rstrip("0"))'
        ),
        Fault("the queue is no part of what is unique", UNIQUE, "{jobtype} {queue} {text}", "{jobtype} {text}"),
        Fault("a lock ends a moment late", UNIQUE, "lock.until > arrival.now", "lock.until >= arrival.now"),
        Fault(
            "the delay of a scheduled job counts as time of its lock",
            UNIQUE,
            "Lock(arrival.due +",
            "Lock(arrival.now +",
        ),
        Fault(
            "a lock whose job is gone with its queue stops others",
            UNIQUE,
            " and self.manager.views.find(lock.job_id) is not None",
            "",
        ),
        Fault(
            "a lock is taken by the check",
            UNIQUE,
            "        lock = self._locks.get(arrival.key)\n",
            "        lock = self._locks.get(arrival.key)\n        self.pushed(self.manager.newest_id() + 1, arrival)\n",
        ),
        Fault(
            "the lock of a dead job stays",
            UNIQUE,
            "    def died(self, job: Job) -> None:\n        self._ended(job.id)\n",
            "    def died(self, job: Job) -> None:\n        str(job.id)\n",
        ),
        Fault(
            "a job that is tried again has no lock",
            UNIQUE,
            "    def failed(self, job: Job) -> None:\n        self._lent",
            "    def failed(self, job: Job) -> None:\n        self._ended(job.id)\n        self._lent",
        ),
        Fault(
            "a lock until start ends with the job only",
            UNIQUE,
            'job.marks.unique_until == "start"',
            'job.marks.unique_until == "never"',
        ),
        Fault(
            "a lock that ended is still on disk",
            UNIQUE,
            "        self.store.batch.enter(self.kind, lock.key, None)\n",
            "",
        ),
        Fault(
            "a lock is not on disk",
            UNIQUE,
            "        self.store.batch.enter(self.kind, lock.key, _VALUE.pack(lock.until, lock.job_id))\n",
            "",
        ),
        Fault(
            "a job that is given back has lost its lock",
            UNIQUE,
            "            self._hold(lock)\n\n    def acked",
            "            str(lock)\n\n    def acked",
        ),
        Fault(
            "a job that is given back takes the lock of another",
            UNIQUE,
            "if other is None or other.until <= self.clock.time():",
            "if other is None or other.until:",
        ),
        Fault(
            "another priority costs the lock",
            UNIQUE,
            "            self._hold(Lock(lock.until, job.id, lock.key))\n",
            "            str(job.id)\n",
        ),
        Fault(
            "a refusal leaves before its reason is on disk", UNIQUE, '"NOTUNIQUE", held=True', '"NOTUNIQUE", held=False'
        ),
        Fault("a job expires a moment late", EXPIRY, "end <= self.clock.time()", "end < self.clock.time()"),
        Fault("seconds count from the push of a scheduled job", EXPIRY, "arrival.due + marks", "arrival.now + marks"),
        Fault("of two moments the later counts", EXPIRY, "return min(ends)", "return max(ends)"),
        Fault(
            "a dead job expires when it is tried again",
            EXPIRY,
            "    def died(self, job: Job) -> None:\n        self._forget(job.id)\n",
            "",
        ),
        Fault(
            "a job that failed after its time is not swept",
            EXPIRY,
            "    def failed(self, job: Job) -> None:\n        self._is_idle(job.id)\n",
            "",
        ),
        Fault(
            "a job that is given back is not swept",
            EXPIRY,
            "    def given_back(self, job: Job) -> None:\n        self._is_idle(job.id)\n",
            "",
        ),
        Fault(
            "when a job expires is not on disk",
            EXPIRY,
            "        self.store.batch.enter(self.kind, _KEY.pack(job_id), _VALUE.pack(end))\n",
            "",
        ),
        Fault(
            "an expired job is still on disk among those that expire",
            EXPIRY,
            "            self.store.batch.enter(self.kind, _KEY.pack(job_id), None)\n",
            "",
        ),
        Fault(
            "what stands behind expired jobs waits for the next push",
            EXPIRY,
            "            self.manager.serve(name)\n",
            "            str(name)\n",
        ),
        Fault(
            "a lock that was released is still on disk",
            UNIQUE,
            "        self._release(lock)\n        return True\n",
            "        self._forget(lock)\n        return True\n",
        ),
        Fault("a lock is listed on two pages", UNIQUE, "(after[0], after[1] + 1)", "(after[0], after[1])"),
        Fault("refused jobs are not counted", UNIQUE, "            self.denied += 1\n", ""),
        Fault("expired jobs are not counted", EXPIRY, '        self.manager.tasks["Expired"].reaped += 1\n', ""),
        Fault(
            "those that were read too late are never swept",
            EXPIRY,
            "            self._idle.add(*entry)\n",
            "            str(entry)\n",
        ),
        Fault(
            "the sweep drops a job that is worked",
            "core/edits.py",
            "elif row.place != Place.WORKING and self._manager.timed",
            "elif self._manager.timed",
        ),
        Fault(
            "jobs that stand far from each other are never swept",
            EXPIRY,
            "        for row in left:\n            self._is_idle(row.id)\n",
            "",
        ),
        Fault(
            "an expired job of a queue is not recorded",
            "core/edits.py",
            "    def _expire(self, row: JobRow) -> None:\n        self._store.batch.remove(row.id)\n",
            "    def _expire(self, row: JobRow) -> None:\n",
        ),
    ),
)
