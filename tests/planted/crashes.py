"""Faults that only a crash shows: memory is right, and what is recorded is not. See tests/system/torture.py."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

AREA = Area(
    tests=("tests/system/test_crashes.py",),
    faults=(
        Fault(
            "it is not recorded that a callback was fired",
            "features/batches/index.py",
            "        batch.steps[kind] = step\n        self.record(batch)\n",
            "        batch.steps[kind] = step\n",
        ),
        Fault(
            "the ticks that a cron job was pushed for are not recorded",
            "features/cron/__init__.py",
            "        for key, value in (record.add(run), record.row()):\n",
            "        for key, value in (record.add(run),):\n",
        ),
        Fault(
            "what a worker says of its job is not recorded",
            "features/tracking.py",
            "        self._update(track, track.state, result)\n        return ACKNOWLEDGED",
            "        return ACKNOWLEDGED",
        ),
        Fault(
            "a restart gives a full bucket",
            "features/throttles/__init__.py",
            "            bucket = Bucket(rate, min(level, float(rate.burst)), now - max(wall - at, 0.0))\n",
            "            bucket = Bucket(rate, float(rate.burst), now)\n",
        ),
        Fault(
            "a restart forgets who has slots",
            "features/throttles/__init__.py",
            "            since = now - max(wall - reservation.reserved_at, 0.0)\n",
            "            continue\n            since = now - max(wall - reservation.reserved_at, 0.0)\n",
        ),
        Fault(
            "that a queue is paused is not recorded",
            "core/manager.py",
            "                self._store.batch.queues[queue.name] = QueueRecord(queue.name, paused, queue.floor)\n",
            "",
        ),
        Fault(
            "a request to stop is not recorded",
            "features/cancel.py",
            "            self.store.batch.enter(self.kind, _KEY.pack(job_id), _VALUE.pack(now))\n",
            "",
        ),
    ),
)
