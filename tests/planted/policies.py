"""Faults of when a failed job is tried again, and of what an operator says of single queues."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

BACKOFF, AGING, WEIGHTS, POLICIES = "core/backoff.py", "core/aging.py", "core/weights.py", "core/policies.py"
CONFIG, JOB = "config/policies.py", "core/job.py"

AREA = Area(
    tests=(
        "tests/unit/core/test_backoff.py",
        "tests/unit/core/test_marks.py",
        "tests/unit/core/test_policies.py",
        "tests/unit/core/test_aging.py",
        "tests/unit/core/test_weights.py",
        "tests/unit/config/test_policies.py",
    ),
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
        Fault(
            "of two jobs that count the same the lower priority comes first",
            AGING,
            "(at - priority * self.seconds, -priority)",
            "(at - priority * self.seconds, priority)",
        ),
        Fault("a high priority is a handicap", AGING, "at - priority * self.seconds", "at + priority * self.seconds"),
        Fault(
            "a job that is first again has its old time",
            AGING,
            "            self._moves = self._times.moves\n            self._starts.clear()\n",
            "            self._moves = self._times.moves\n",
        ),
        Fault("who looks reads the disk", AGING, "for _, job_id in jobs], reads)", "for _, job_id in jobs], True)"),
        Fault(
            "nobody reads when a job was enqueued",
            AGING,
            "for _, job_id in jobs], reads)",
            "for _, job_id in jobs], False)",
        ),
        Fault(
            "first jobs are asked for again and again",
            AGING,
            "                self._starts[job_id] = ",
            "                self._starts.clear()\n                self._starts[job_id] = ",
        ),
        Fault(
            "a new queue does not age",
            POLICIES,
            "        queue.aging = self._aging(name)\n        return queue",
            "        return queue",
        ),
        Fault("aging does not end", POLICIES, "{*self._limits.policies, *limits.policies}", "{*limits.policies}"),
        Fault(
            "a limit of one queue does not win",
            POLICIES,
            "if policy.max_size is None else policy.max_size",
            "or policy.max_size",
        ),
        Fault("one job too many", POLICIES, "len(queue) >= limit", "len(queue) > limit"),
        Fault(
            "callbacks are kept out of a full queue",
            "core/manager.py",
            "self._check_room(None if own else queue)",
            "self._check_room(queue)",
        ),
        Fault(
            "the retries of the queue win",
            JOB,
            "    if payload.retry is None:\n        payload.retry = policy.retry",
            "    payload.retry = policy.retry",
        ),
        Fault(
            "the reservation of the queue wins",
            JOB,
            "payload.reserve_for or policy.reserve_for",
            "policy.reserve_for or payload.reserve_for",
        ),
        Fault(
            "the priority of the queue is forgotten",
            JOB,
            "return policy.priority or DEFAULT_PRIORITY",
            "return DEFAULT_PRIORITY",
        ),
        Fault("a weight counts for nothing", WEIGHTS, "number -= weight", "number -= 1"),
        Fault(
            "empty queues are drawn",
            WEIGHTS,
            "if name in queues and len(queues[name]) and not queues[name].paused:",
            "if name in queues:",
        ),
        Fault(
            "what is drawn first is last",
            WEIGHTS,
            "                del left[index]\n                yield name\n",
            "                del left[index]\n                left.append((name, 0))\n",
        ),
        Fault(
            "a plain name waits behind those with weights",
            WEIGHTS,
            "            yield from _draw(side_by_side, random)\n            side_by_side = []\n",
            "",
        ),
        Fault("a queue may be there twice", WEIGHTS, "if times > 1:", "if times > 2:"),
        Fault("a weight of nothing", WEIGHTS, "([1-9]", "([0-9]"),
        Fault("weights in great numbers", WEIGHTS, "weights) > MOST_WEIGHTED", "weights) > 2 * MOST_WEIGHTED"),
        Fault(
            "an unknown key is passed over",
            CONFIG,
            '            problems.append(f"{place}: {_unknown_key(name, key, value)}")\n',
            "",
        ),
        Fault("any name is that of a queue", CONFIG, "if not _QUEUE_NAME.fullmatch(name):", "if not name:"),
        Fault(
            "SIGHUP leaves the policies",
            "reload.py",
            "    new.update((name, getattr(fresh, name)) for name in TABLES)\n",
            "",
        ),
        Fault(
            "a check does not say where a policy is written",
            "config/__init__.py",
            "        self._origins.update(places)\n",
            "",
        ),
    ),
)
