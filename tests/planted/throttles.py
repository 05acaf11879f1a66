"""Faults of the throttles: slots that are not freed or freed twice, jobs that stand aside for ever, tokens for nothing."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

ASIDE, ADMISSION, DELIVERIES = "core/aside.py", "core/admission.py", "core/deliveries.py"
LANES, GATES, THROTTLES = "features/throttles/lanes.py", "features/throttles/gates.py", "features/throttles/__init__.py"

AREA = Area(
    tests=("tests/unit/features/test_throttle*.py", "tests/unit/config/test_throttles.py"),
    faults=(
        Fault("one slot more than allowed", LANES, "self.taken >= most) or", "self.taken > most) or"),
        Fault(
            "a worker may have one more",
            LANES,
            "self.by_worker.get(wid, 0) >= most",
            "self.by_worker.get(wid, 0) > most",
        ),
        Fault("a slot that times out is not reclaimed", THROTTLES, "if each.since + timeout > now:", "if each.since:"),
        Fault("a slot times out a moment late", THROTTLES, "since + timeout > now", "since + timeout >= now"),
        Fault("a job that fails keeps its slot", GATES, "failed = taken_back = acked", "taken_back = acked"),
        Fault("a job that is taken back keeps its slot", GATES, "failed = taken_back = acked", "failed = acked"),
        Fault(
            "who waits is not served when a slot is free",
            GATES,
            "served\n            self._opened(lane)\n",
            "served\n            str(lane)\n",
        ),
        Fault(
            "a job that is given back costs a token",
            GATES,
            "bucket.level = min(bucket.fill(now) + 1, float(bucket.rate.burst))",
            "bucket.fill(now)",
        ),
        Fault(
            "tokens are not recorded",
            THROTTLES,
            "        self.store.batch.enter(self.kind, _entry(lane), _VALUE.pack(lane.bucket.level, self.clock.time()))\n",
            "",
        ),
        Fault("a bucket is full after a restart", THROTTLES, "Bucket(rate, min(level, ", "Bucket(rate, max(level, "),
        Fault("a bucket does not fill while the server is down", THROTTLES, "now - max(wall - at, 0.0)", "now"),
        Fault(
            "nobody is woken when a token comes",
            THROTTLES,
            "            self._serve(lane)\n            self._expect",
            "            self._expect",
        ),
        Fault(
            "the duties are not asked for in time",
            THROTTLES,
            "            self.manager.hurry(max(at - now, 0.0))\n",
            "",
        ),
        Fault(
            "reservations do not count after a restart",
            THROTTLES,
            "        while self._count_on():\n            pass\n\n    def _count_on",
            "\n    def _count_on",
        ),
        Fault("a new throttle is open while it counts", GATES, "self.shut = counts or any(", "self.shut = any("),
        Fault(
            "a full lane opens for nobody who stands aside",
            ASIDE,
            "            for aside, line in islice(self.wanted.items(), _OFFERED):\n                aside.offer(line)\n",
            "            str(self.lines)\n",
        ),
        Fault(
            "those that stand aside are not counted",
            "core/queues.py",
            "return sum(map(len, self._order)) + aside",
            "return sum(map(len, self._order))",
        ),
        Fault(
            "a job that stands aside cannot be taken out",
            ASIDE,
            "        found = self._aside.discard(self._priority, ids)\n",
            "        found: set[int] = set()\n",
        ),
        Fault(
            "a job that came in again is taken for another",
            ASIDE,
            "self._ranks.get(job_id, rank(priority, job_id))",
            "rank(priority, job_id)",
        ),
        Fault(
            "the first of a line may not go when the one before it went",
            ASIDE,
            "        line.ranks.remove(number)\n        self.offer(line)\n",
            "        line.ranks.remove(number)\n",
        ),
        Fault(
            "a job of low priority goes before one of high",
            "core/queues.py",
            "returned else _LAST) < number",
            "returned else _LAST) < 0",
        ),
        Fault(
            "what is full for one is full for all",
            ASIDE,
            "            if passed == _MOST_PASSED:\n",
            "            if passed:\n",
        ),
        Fault("only the longest waiter is asked", DELIVERIES, "_MOST_ASKED if gate.choosy else 1", "1"),
        Fault(
            "all jobs are looked at in one turn",
            ADMISSION,
            "while looked < _MOST_LOOKED_AT and",
            "while looked < 10**9 and",
        ),
        Fault(
            "nobody goes on looking",
            ADMISSION,
            "        self.tired[queue.name] = None\n        self._hurry()\n",
            "        self._hurry()\n",
        ),
        Fault(
            "nobody goes when all that led are over",
            ADMISSION,
            "if job is None and number is None:",
            "if job is None:",
        ),
        Fault(
            "a long queue is the first again",
            DELIVERIES,
            "{**dict.fromkeys(left), **self._admission.tired}",
            "{**self._admission.tired, **dict.fromkeys(left)}",
        ),
        Fault("all workers are asked in one turn", DELIVERIES, "            self._in_vain += gate.choosy\n", ""),
        Fault(
            "a worker is asked for each of its connections",
            "core/waiting.py",
            'found.setdefault("" if waiter.worker is None else waiter.worker.wid, waiter)',
            "found.setdefault(str(id(waiter)), waiter)",
        ),
        Fault(
            "what stands aside does not age among those that do",
            "core/queues.py",
            "        if self.aging is None:\n            return gate",
            "        if True:\n            return gate",
        ),
        Fault(
            "what stands aside does not age",
            "core/queues.py",
            "if self.aging is not None and self.gate is not None and priority != other:",
            "if False and self.gate is not None:",
        ),
        Fault(
            "a tenant is never forgotten",
            THROTTLES,
            "            del throttle.lanes[lane.key]\n",
            "            str(lane)\n",
        ),
        Fault(
            "a throttle that is removed stays closed",
            THROTTLES,
            "        self._changed.extend(throttle.lanes.values())\n",
            "",
        ),
        Fault(
            "a job without the key is limited",
            "features/throttles/keys.py",
            'if value in (b"", b"null"):',
            'if value in (b"",):',
        ),
        Fault(
            "a true is a number of slots",
            "config/throttles.py",
            "if isinstance(value, bool) or not isinstance(value, int) or not",
            "if not isinstance(value, int) or not",
        ),
    ),
)
