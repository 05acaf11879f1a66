"""Faults of batches: what is counted, what is fired and when, who is told, and what is kept."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

BATCHES, RECORDS, INDEX, REQUESTS = (
    "features/batches/__init__.py",
    "features/batches/records.py",
    "features/batches/index.py",
    "features/batches/requests.py",
)

AREA = Area(
    tests=(  # without the model, which takes its time
        "tests/unit/features/test_batches.py",
        "tests/unit/features/test_batches_commands.py",
        "tests/unit/features/test_batches_nested.py",
    ),
    faults=(
        Fault(
            "success does not wait for the complete callback",
            RECORDS,
            " and (not self.has(COMPLETE) or self.steps[COMPLETE] in SETTLED)",
            "",
        ),
        Fault(
            "complete does not wait for the children",
            RECORDS,
            "self.untried == 0 and self.incomplete == 0",
            "self.untried == 0",
        ),
        Fault(
            "success does not wait for the children",
            RECORDS,
            "not self.hopeless and self.unsuccessful == 0",
            "not self.hopeless",
        ),
        Fault(
            "a callback without custom is kept as no JSON",
            REQUESTS,
            "payload.custom = _NOTHING",
            'payload.custom = Raw(b"")',
        ),
        Fault(
            "an open batch is dropped before its callback could be pushed",
            BATCHES,
            "if self.manager.refuse_pushes or self._held or self._work:",
            "if self._work:",
        ),
        Fault("a member that is gone is forgiven", RECORDS, "self.gone > 0 or self.spoiled", "self.spoiled"),
        Fault(
            "callbacks are fired before the commit",
            RECORDS,
            "return self.committed and self.untried",
            "return self.untried",
        ),
        Fault(
            "a lost success callback is a success",
            RECORDS,
            " or self.steps[SUCCESS] == Step.LOST",
            "",
        ),
        Fault(
            "a callback that was opened again is fired again",
            RECORDS,
            "self.steps[kind] != Step.WAITING or not self.has(kind):\n            return False\n        if kind == DEATH",
            "not self.has(kind):\n            return False\n        if kind == DEATH",
        ),
        Fault(
            "a death is not told to the parent",
            BATCHES,
            "        parent.afflicted = parent.afflicted or batch.afflicted\n",
            "",
        ),
        Fault(
            "a dead member does not fire death",
            BATCHES,
            "            self._index.add_failed(batch, job.id)\n            batch.afflicted = True\n",
            "            self._index.add_failed(batch, job.id)\n",
        ),
        Fault(
            "a failed member is counted twice when it is deleted",
            BATCHES,
            "            self._index.remove_failed(batch, job.id)\n            batch.gone += 1\n",
            "            batch.gone += 1\n",
        ),
        Fault(
            "any job that says so is a callback",
            BATCHES,
            "if batch is not None and job.id in batch.jobs:",
            "if batch is not None and (job.id in batch.jobs or not batch.jobs.__setitem__(0, job.id)):",
        ),
        Fault(
            "a callback with another priority is lost",
            BATCHES,
            "            batch.jobs[batch.jobs.index(old_id)] = job.id\n",
            "",
        ),
        Fault(
            "callbacks are pushed though the disk is nearly full",
            BATCHES,
            "                if self.manager.refuse_pushes:\n",
            "                if not batch:\n",
        ),
        Fault(
            "what was left for later is forgotten in a crash",
            BATCHES,
            "            if self._is_behind(batch):\n",
            "            if batch.dropped:\n",
        ),
        Fault("a long chain is gone through in one turn", BATCHES, "_AT_ONCE = 16", "_AT_ONCE = 100_000"),
        Fault(
            "one that is open again and forgotten is dropped",
            BATCHES,
            "            if batch.once:\n",
            "            if not batch.number:\n",
        ),
        Fault(
            "a child that was never committed keeps its parent waiting",
            INDEX,
            "            parent.incomplete -= self._delays(batch, COMPLETE)\n            parent.unsuccessful",
            "            parent.unsuccessful",
        ),
        Fault(
            "a push gives no more time",
            INDEX,
            "            if batch.touched > at:\n",
            "            if batch.touched < at:\n",
        ),
        Fault(
            "a failed member is not on disk",
            INDEX,
            '        self._store.batch.enter(self._kind, failed_key(batch.number, job_id), b"")\n',
            "",
        ),
        Fault(
            "one that was dropped is still on disk",
            INDEX,
            "        self._store.batch.enter(self._kind, progress_key(batch.number), None)\n",
            "",
        ),
        Fault(
            "a parent stays for ever when it ended before its children",
            INDEX,
            "                self._ended.add(parent.due, parent.number)\n",
            "                str(parent.due)\n",
        ),
        Fault(
            "the number of a batch whose failed members are still on disk is given again",
            INDEX,
            "            self._next = max(self._next, entry.number + 1)\n            batch = batches",
            "            self._next = max(self._next, entry.number * entry.is_origin + 1)\n            batch = batches",
        ),
        Fault(
            "a callback is a member of the batch that its custom names",
            REQUESTS,
            '_OWN = ("bid", ',
            "_OWN = (",
        ),
        Fault("a callback is not vetted", REQUESTS, "    vet(payload)\n", "    str(vet)\n"),
        Fault(
            "a job of an unknown batch is taken",
            BATCHES,
            " and not arrival.own and self._index.find(bid) is None:",
            " and not arrival.own and not bid:",
        ),
    ),
)
