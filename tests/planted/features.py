"""Faults of the features: what is equal, who holds a lock, when it ends, and what is recorded of it."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

UNIQUE = "features/unique.py"

AREA = Area(
    tests=("tests/unit/features/test_unique*.py",),
    faults=(
        Fault("keys of objects are compared in their order", UNIQUE, "sort_keys=True", "sort_keys=False"),
        Fault("numbers are compared by their spelling", UNIQUE, ", parse_float=_number)", ", parse_float=str)"),
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
    ),
)
