"""What stands between a queue and the workers: whether a job of it may go now, and to whom.

A queue without a gate pays one comparison at FETCH. A gate may be closed for the queue as a whole, which is known without
looking at a job; or it may keep single jobs back, which then stand aside (aside.py).
"""

from __future__ import annotations

from faktory_tw.core.aside import Aside, Lane
from faktory_tw.core.job import Job


class Gate:
    """The gate of one queue; by itself it stands open."""

    __slots__ = ("aside", "shut", "passed", "asks", "picks", "plain", "choosy")

    def __init__(self, queue: str) -> None:
        self.aside = Aside(queue)
        self.shut = False  # for everybody, until something else happens: FETCH goes on without asking
        self.passed = 0  # FETCHes that went by
        self.asks = False  # it may be closed although it is not shut
        self.picks = False  # jobs are looked at one by one: see `obstacle`
        self.plain = False  # as long as it is not shut, whoever comes may have any job
        self.choosy = False  # one worker may have what another may not

    def closed(self, wid: str) -> bool:  # noqa: ARG002
        """Whether this worker can have no job of this queue now, whichever it is."""
        return False

    def obstacle(self, job: Job, wid: str) -> Lane | None:  # noqa: ARG002
        """What a job has to wait for before a worker may have it. None: it may go, and does in this turn or is put back."""
        return None

    def take_all(self) -> Aside:
        """The queue is emptied: hand over those that stand aside."""
        taken, self.aside = self.aside, Aside(self.aside.queue)
        return taken
