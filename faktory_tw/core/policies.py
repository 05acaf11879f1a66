"""What an operator says of queues: how long they may become, what jobs have that were pushed without it, and aging.

A queue is said something of by its name, whether it exists or not: it applies from the next job on, and aging at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from faktory_tw.config.policies import QueuePolicy
from faktory_tw.core.aging import Aging
from faktory_tw.core.latencies import HeadTimes
from faktory_tw.core.queues import Queue
from faktory_tw.core.tasks import Limits
from faktory_tw.wire import CommandError

_NOTHING = QueuePolicy()


class QueuePolicies:
    """The policies of one manager's queues. ``times`` knows when their first jobs were enqueued."""

    def __init__(self, limits: Limits, times: HeadTimes) -> None:
        self._limits = limits
        self._times = times

    def change(self, limits: Limits, queues: Mapping[str, Queue]) -> None:
        """Go by other limits from now on."""
        named = {*self._limits.policies, *limits.policies}
        self._limits = limits
        for name in named.intersection(queues):
            queues[name].aging = self._aging(name)

    def of(self, name: str) -> tuple[QueuePolicy, bool]:
        """What applies to a queue, with the ``max_size`` of all queues unless it has its own; and whether it is special."""
        policy = self._limits.policies.get(name, _NOTHING)
        limit = self._limits.max_queue_size
        whole = replace(policy, max_size=limit) if limit and policy.max_size is None else policy
        return whole, policy is not _NOTHING

    def check_room(self, queue: Queue) -> None:
        """Refuse another job for a queue that is as long as it may be. Raises CommandError."""
        policy = self._limits.policies.get(queue.name, _NOTHING)
        limit = self._limits.max_queue_size if policy.max_size is None else policy.max_size
        if limit and len(queue) >= limit:
            raise CommandError(f"{queue.name} is too large, currently {len(queue)}, max size is {limit}")

    def new_queue(self, name: str, floor: int, paused: bool = False) -> Queue:
        """An empty queue; see there."""
        queue = Queue(name, floor, paused)
        queue.aging = self._aging(name)
        return queue

    def _aging(self, name: str) -> Aging | None:
        seconds = self._limits.policies.get(name, _NOTHING).aging
        return Aging(seconds, self._times) if seconds else None
