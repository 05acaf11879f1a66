"""What is done without being asked: jobs that are due, old dead jobs, reservations that are over, workers that are gone.

Each duty works in slices: some hundred jobs, then commands are let in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from faktory_tw.core.reservations import Reservation
from faktory_tw.core.retry import FailureReport
from faktory_tw.core.slices import Stride
from faktory_tw.core.tasks import MOST_RECORDS, Clock, TaskCounter
from faktory_tw.storage.store import Place, Store

if TYPE_CHECKING:
    from faktory_tw.core.manager import JobManager

_SLICE = 500  # jobs handled in one turn of the reactor
_LOOKED_AT = 20_000  # reservations among which those of workers that are gone are looked for in one turn
_EXPIRED = FailureReport("ReservationExpired", "Faktory job reservation expired")
_GONE = FailureReport("WorkerGone", "the worker has no connection and gave no sign of life for a minute")


class Duties:
    """The periodic duties of one manager; ``tasks`` is what INFO tells of them."""

    def __init__(self, manager: JobManager, store: Store, clock: Clock, reclaim: bool) -> None:
        self._manager = manager
        self._store = store
        self._clock = clock
        self.reclaims = reclaim
        self._stride = Stride(store.read)
        self._orphans: deque[Reservation] = deque()  # of workers that are gone, to be taken back
        self._gone: list[str] = []  # these workers
        self._searches: deque[tuple[set[str], Iterator[list[Reservation]]]] = deque()  # for what some of them hold
        self.tasks = {name: TaskCounter() for name in ("Scheduled", "Retries", "Dead", "Busy", "Workers", "Expired")}

    def step(self) -> bool:
        """One slice of each duty. Returns whether more is due."""
        if len(self._store.batch) > MOST_RECORDS:
            return True
        more = self._drop_old_dead()
        if not self._manager.refuse_pushes:
            more = self._enqueue_due(Place.SCHEDULED, "Scheduled") or more
            more = self._enqueue_due(Place.RETRIES, "Retries") or more
        more = self._expire_reservations() or more
        more = self._reclaim() or more
        more = self._manager.facts.step() or more
        return self._manager.sweeper.step() or more

    def forget(self) -> None:
        """All jobs were flushed."""
        self._orphans.clear()
        self._searches.clear()
        self._gone.clear()

    def _enqueue_due(self, place: Place, task: str) -> bool:
        manager, counter = self._manager, self.tasks[task]
        began = self._clock.monotonic()
        now = self._clock.time()
        due = [entry for entry in manager.walk(place, None, _SLICE) if entry[0] <= now]
        found, count = self._stride.read([job_id for _, job_id in due])
        rows = {row.id: row for row in found}
        for entry in due[:count]:
            if entry[1] in rows:
                manager.edits.requeue(place, entry, rows[entry[1]])
            else:
                manager.edits.discard(place, entry)
        counter.cycles += 1
        counter.enqueued += count
        counter.wall_time += self._clock.monotonic() - began
        return count < len(due) or len(due) == _SLICE

    def _drop_old_dead(self) -> bool:
        counter = self.tasks["Dead"]
        now = self._clock.time()
        old = [entry for entry in self._manager.walk(Place.DEAD, None, _SLICE) if entry[0] <= now]
        count = self._manager.edits.discard_entries(Place.DEAD, old) if old else 0
        counter.cycles += 1
        counter.enqueued += count
        return count < len(old) or len(old) == _SLICE

    def _expire_reservations(self) -> bool:
        expired = self._manager.working.expired(self._clock.monotonic(), _SLICE)
        for job_id in expired:
            self._take_back(job_id, _EXPIRED)
        return len(expired) == _SLICE

    def _reclaim(self) -> bool:
        """Take back the jobs of workers that are gone.

        On disk a worker is forgotten with the last of them: after a crash its minute begins anew for the rest.
        """
        workers, working = self._manager.workers, self._manager.working
        gone = workers.take_gone(self._clock.monotonic())
        self.tasks["Workers"].reaped += len(gone)
        self._gone += gone
        if gone and self.reclaims:
            self._searches.append((set(gone), working.walk(_LOOKED_AT)))
        if self._searches:
            self._search()
        for _ in range(min(len(self._orphans), _SLICE)):
            orphan = self._orphans.popleft()
            if working.get(orphan.job.id) is orphan:
                self._take_back(orphan.job.id, _GONE)
        if self._orphans or self._searches:
            return True
        for wid in self._gone:
            if not workers.gave_sign(wid):  # it has not come back meanwhile
                self._store.batch.workers[wid] = None
        self._gone.clear()
        return False

    def _search(self) -> None:
        """Look for what workers that are gone hold, in a part of all that is worked."""
        wids, walk = self._searches[0]
        some = next(walk, None)
        if some is None:
            self._searches.popleft()
        else:
            self._orphans.extend(reservation for reservation in some if reservation.wid in wids)

    def _take_back(self, job_id: int, report: FailureReport) -> None:
        if self._manager.take_back(job_id, report):
            self.tasks["Busy"].reaped += 1
