"""Batches: jobs that belong together, and callbacks, jobs that the server pushes when they are done.

``BATCH NEW`` begins one with a callback at least, a job pushed with its bid in ``custom.bid`` is a member, and ``BATCH
COMMIT`` says that all are there. Members run at once. Once the batch is committed,

* ``complete`` is fired when every member was tried (is done, failed once, or is dead) or is gone (deleted, discarded or
  expired), and every child batch is complete: its own complete callback has succeeded, or was fired and is gone; without
  one, what would have fired it has come about.
* ``success`` is fired when every member and every child batch succeeded, and not before a complete callback that it has
  succeeded or is gone. A child has succeeded when its success callback has; without one, when its members and children
  have. A member that is gone, a success callback that is gone, and a child that was never committed make it impossible.
* ``death``, which may come before the commit, is fired when the first member dies or is gone, in the batch or in one below
  it, or when a batch below it was never committed.

Each is fired once, also when the batch is opened and committed again; what has come about once counts. As all this only
ever goes forward, it does not matter in which order it is noticed: a batch that may have come further is put on a list,
and the list is worked off at once, or, when a long chain of parents is on it or very many have come further in one turn, in
slices. After a start all batches are on it, so that a crash between two slices leaves nothing undone.

A callback is pushed in the turn of the fact that caused it if there is not too much of that, and then one batch of the store
carries both. The job of a callback
is known by its id; what its ``custom`` says anybody may write. While pushes are refused because the disk is nearly full,
callbacks wait.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from itertools import islice

from faktory_tw.config import Settings
from faktory_tw.core.facts import Arrival, Feature
from faktory_tw.core.job import Job
from faktory_tw.core.manager import JobManager
from faktory_tw.core.marks import Marks
from faktory_tw.core.tasks import Clock
from faktory_tw.features.batches.index import BatchIndex
from faktory_tw.features.batches.records import COMPLETE, DEATH, KINDS, SUCCESS, Batch, Origin, Step
from faktory_tw.features.batches.requests import callback_job, no_such_batch, parse_new, vetted_callbacks
from faktory_tw.features.batches.views import BatchView, status_json, view
from faktory_tw.storage.store import Store
from faktory_tw.wire import ACKNOWLEDGED, CommandError, Held, bulk

_AT_ONCE = 16  # batches looked at for one event; the rest of a long chain is for the periodic duties
_SLICE = 500
_LOOKED_AT = 500  # batches looked at from one turn of the periodic duties to the next, whatever gives cause
_FIRED = 200  # callbacks pushed in that time: each is as much work as several looks


def new_bid() -> str:
    """A bid that nobody guesses."""
    return f"b-{secrets.token_urlsafe(12)}"


class Batches(Feature):
    """The batches of one server."""

    kind = "batch"

    def __init__(self, make_bid: Callable[[], str] = new_bid) -> None:
        self._make_bid = make_bid
        self._open_seconds = Settings.batch_open_seconds
        self._kept_seconds = Settings.batch_kept_seconds
        self._work: list[Batch] = []  # may have come further; the last ones first
        self._held: dict[int, Batch] = {}  # owe a callback, and wait for room on the disk
        self._working = False
        self._looks, self._fires = _LOOKED_AT, _FIRED  # left until the next turn of the periodic duties
        self._firing: tuple[Batch, int] | None = None  # whose callback is being pushed
        self._reached: set[str] = set()  # queues of callbacks
        self.fired = 0  # callbacks, since the start
        self.abandoned = 0  # batches dropped because they were never committed, since the start
        self.committed_again = 0  # batches that were opened again, and committed by the server, since the start

    def join(self, manager: JobManager, store: Store, clock: Clock) -> None:
        super().join(manager, store, clock)
        self._index = BatchIndex(store, self.kind, clock.monotonic)

    def configure(self, settings: Settings) -> None:
        self._open_seconds, self._kept_seconds = settings.batch_open_seconds, settings.batch_kept_seconds

    def load(self, entries: Iterator[tuple[bytes, bytes]]) -> None:
        for batch in self._index.load(entries):
            if self._is_behind(batch):
                self._look_at(batch)

    def concerns(self, marks: Marks) -> bool:
        return marks.bid is not None or marks.callback_of is not None

    def holds(self) -> bool:
        return len(self._index) > 0

    # -- commands ------------------------------------------------------------------------------------------------

    def execute(self, argument: bytes) -> bytes:
        """BATCH NEW, OPEN, COMMIT and STATUS. Raises CommandError."""
        word, _, rest = argument.partition(b" ")
        word = word.upper()
        if word == b"NEW":
            return Held(bulk(self._new(rest).encode()))
        if word not in (b"OPEN", b"COMMIT", b"STATUS"):
            raise CommandError("no such BATCH subcommand: there are NEW {…}, OPEN bid, COMMIT bid and STATUS bid")
        batch = self._named(rest.strip().decode("utf-8", "replace"))
        if word == b"STATUS":
            return bulk(status_json(batch))
        if word == b"COMMIT":
            self._commit(batch)
            return ACKNOWLEDGED
        batch.committed = False
        self._index.touched(batch, self.clock.time())
        return Held(bulk(batch.bid.encode()))

    def _named(self, bid: str) -> Batch:
        batch = self._index.find(bid)
        if batch is None:
            raise no_such_batch(bid)
        return batch

    def _new(self, argument: bytes) -> str:
        asked = parse_new(argument)
        parent = self._named(asked.parent_bid) if asked.parent_bid else None
        callbacks = vetted_callbacks(asked, self.manager.vet)
        while not self._index.is_free(bid := self._make_bid()):
            pass
        origin = Origin(bid, self.clock.time(), description=asked.description or None, callbacks=callbacks)
        if parent is not None:
            origin.parent, origin.parent_bid = parent.number, parent.bid
        self._index.add(origin)
        return bid

    def _commit(self, batch: Batch) -> None:
        self._index.committed(batch)
        self._come_further(batch)

    # -- checks --------------------------------------------------------------------------------------------------

    def check_push(self, arrival: Arrival) -> None:
        bid = arrival.marks.bid
        if bid is not None and not arrival.own and self._index.find(bid) is None:
            raise no_such_batch(bid)

    # -- facts ---------------------------------------------------------------------------------------------------

    def pushed(self, job_id: int, arrival: Arrival) -> None:
        if self._firing is not None:
            (batch, kind), self._firing = self._firing, None
            batch.jobs[kind] = job_id
            self._index.step(batch, kind, Step.FIRED)
            return
        member = self._batch(arrival.marks.bid)
        if member is not None:
            member.total += 1
            self._index.touched(member, arrival.now)

    def acked(self, job: Job) -> None:
        batch = self._member_of(job)
        if batch is not None:
            self._index.remove_failed(batch, job.id)
            batch.succeeded += 1
            self._index.record(batch)
            if not batch.untried:
                self._come_further(batch)
        self._callback_ended(job, Step.DONE)

    def failed(self, job: Job) -> None:
        batch = self._member_of(job)
        if batch is not None and self._index.add_failed(batch, job.id) and not batch.untried:
            self._come_further(batch)

    def died(self, job: Job) -> None:
        batch = self._member_of(job)
        if batch is not None:
            self._index.add_failed(batch, job.id)
            batch.afflicted = True
            self._index.record(batch)
            self._come_further(batch)

    def discarded(self, job: Job) -> None:
        batch = self._member_of(job)
        if batch is not None:
            self._index.remove_failed(batch, job.id)
            batch.gone += 1
            batch.afflicted = True
            self._index.record(batch)
            self._come_further(batch)
        self._callback_ended(job, Step.LOST)

    def expired(self, job: Job) -> None:
        self.discarded(job)

    def renumbered(self, old_id: int, job: Job) -> None:
        batch = self._member_of(job)
        if batch is not None and self._index.remove_failed(batch, old_id):
            self._index.add_failed(batch, job.id)
        batch = self._callback_of(job)
        if batch is not None and old_id in batch.jobs:
            batch.jobs[batch.jobs.index(old_id)] = job.id
            self._index.record(batch)

    def flushed(self) -> None:
        self._index.flush(self.manager.sweeper)
        self._work.clear()
        self._held.clear()
        self._reached.clear()

    def _batch(self, bid: str | None) -> Batch | None:
        return self._index.find(bid) if bid is not None else None

    def _member_of(self, job: Job) -> Batch | None:
        return self._batch(job.marks.bid) if job.marks is not None else None

    def _callback_of(self, job: Job) -> Batch | None:
        return self._batch(job.marks.callback_of) if job.marks is not None else None

    def _callback_ended(self, job: Job, step: Step) -> None:
        batch = self._callback_of(job)
        if batch is not None and job.id in batch.jobs:
            kind = batch.jobs.index(job.id)
            batch.jobs[kind] = 0
            others = len(self._work)
            self._settle(batch, kind, step)
            self._come_further(batch, others)

    # -- how far they are ----------------------------------------------------------------------------------------

    def _come_further(self, batch: Batch, others: int | None = None) -> None:
        """Something has happened to it: look at it, and at what that causes, and leave the ``others`` for later."""
        if self._spent:
            self._look_at(batch)
            self.manager.hurry(0.0)
            return
        if others is None:
            others = len(self._work)
        self._work.append(batch)
        self._go_on(_AT_ONCE, others)

    @property
    def _spent(self) -> bool:
        """Whether enough was done since the last turn of the periodic duties: thousands of events may come in one."""
        return self._looks <= 0 or self._fires <= 0

    def _look_at(self, batch: Batch) -> None:
        """It may have come further."""
        if not batch.queued:
            batch.queued = True
            self._work.append(batch)

    def _go_on(self, most: int, others: int = 0) -> None:
        """Look at batches that may have come further, ``most`` of them, and leave the ``others`` for later.

        What a callback that is being pushed causes is left to whoever pushes it.
        """
        if self._working:
            return
        self._working = True
        while len(self._work) > others and most and not self._spent:
            most -= 1
            self._looks -= 1
            batch = self._work.pop()
            batch.queued = False
            if not batch.dropped:
                self._advance(batch)
        self._working = False

    def _is_behind(self, batch: Batch) -> bool:
        """Whether :meth:`_advance` would find something to do."""
        if batch.dropped:
            return False
        return (
            any(batch.owes(kind) or batch.comes_about(kind) for kind in range(len(KINDS)))
            or self._is_warned(batch) is not None
            or (not batch.ended and batch.is_over())
        )

    def _advance(self, batch: Batch) -> None:
        """Bring one as far as it has come, and tell its parent."""
        for kind in (DEATH, COMPLETE, SUCCESS):
            if batch.owes(kind):
                if self.manager.refuse_pushes:
                    self._held[batch.number] = batch
                else:
                    self._fire(batch, kind)
            elif batch.comes_about(kind):
                self._settle(batch, kind, Step.DONE)
        parent = self._is_warned(batch)
        if parent is not None:
            self._warn(parent, batch)
        if not batch.ended and batch.is_over():
            self._index.end(batch, self.clock.time())

    def _is_warned(self, batch: Batch) -> Batch | None:
        """The parent, if it does not know yet what can never be again."""
        parent = self._index.parent(batch)
        if parent is None or (parent.spoiled >= batch.hopeless and parent.afflicted >= batch.afflicted):
            return None
        return parent

    def _warn(self, parent: Batch, batch: Batch) -> None:
        parent.spoiled = parent.spoiled or batch.hopeless
        parent.afflicted = parent.afflicted or batch.afflicted
        self._index.record(parent)
        self._look_at(parent)

    def _settle(self, batch: Batch, kind: int, step: Step) -> None:
        parent = self._index.step(batch, kind, step)
        if parent is not None:
            self._look_at(parent)

    def _fire(self, batch: Batch, kind: int) -> None:
        """Push a callback. It was vetted; if it is refused all the same, it is lost, so that nothing waits for it."""
        payload = callback_job(batch.told(), kind)
        self.fired += 1
        self._fires -= 1
        self._reached.add(payload.queue or "")
        self._firing = (batch, kind)
        try:
            self.manager.push(payload, own=True)
        except CommandError:
            self._firing = None
            self._settle(batch, kind, Step.LOST)
            self._look_at(batch)

    # -- periodic duties -----------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Go on with long chains, drop what was not committed in time, and what ended long ago."""
        if self._held and not self.manager.refuse_pushes:
            for _ in range(min(len(self._held), _FIRED)):
                self._look_at(self._held.popitem()[1])
        self._looks, self._fires = _LOOKED_AT, _FIRED
        self._go_on(_LOOKED_AT)
        more = self._end_open()
        more = self._drop_ended() or more
        more = self._index.forget_failed(_SLICE) or more
        more = self._serve_reached() or more
        return more or bool(self._work) or bool(self._held and not self.manager.refuse_pushes)

    def _serve_reached(self) -> bool:
        """A FETCH that dropped what had expired, and found nothing else, did not see what that caused."""
        for _ in range(min(len(self._reached), _SLICE)):
            self.manager.serve(self._reached.pop())
        return bool(self._reached)

    def _end_open(self) -> bool:
        """End the time of those that nobody has committed; not while they cannot be pushed to, or owe a callback."""
        if self.manager.refuse_pushes or self._held or self._work:
            return False
        before = self.clock.monotonic() - self._open_seconds
        for _ in range(_SLICE):
            batch = self._index.next_open(before)
            if batch is None:
                return False
            if batch.due is not None:
                continue
            if batch.once:
                self.committed_again += 1
                self._index.committed(batch)
                self._look_at(batch)
            else:
                self._drop_open(batch)
        return True

    def _drop_open(self, batch: Batch) -> None:
        """Its members go on as plain jobs. With children it stays, out of use, until these have ended."""
        self.abandoned += 1
        self._index.drop(batch, self.clock.time())
        parent = self._index.parent(batch)
        if parent is not None:
            self._warn(parent, batch)

    def _drop_ended(self) -> bool:
        before = self.clock.time() - self._kept_seconds
        for _ in range(_SLICE):
            batch = self._index.next_ended(before)
            if batch is None:
                return False
            if not batch.children:
                self._index.remove(batch)
        return True

    # -- looking at them -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many batches are kept."""
        return len(self._index)

    def get(self, bid: str) -> BatchView | None:
        """One batch; None when there is none, or no longer."""
        batch = self._index.shown(bid)
        return None if batch is None else view(batch)

    def page(self, before: int | None, count: int) -> list[BatchView]:
        """All batches, the newest first; ``before``: the number of the last one of the page before."""
        return [view(batch) for batch in self._index.newest(before, count)]

    def roots(self, before: int | None, count: int) -> list[BatchView]:
        """Those without a parent, the newest first."""
        return [view(batch) for batch in self._index.newest_children(0, before, count)]

    def children(self, bid: str, after: int | None, count: int) -> list[BatchView]:
        """The children of one, the oldest first; ``after``: the number of the last one of the page before."""
        batch = self._index.shown(bid)
        return [] if batch is None else [view(child) for child in self._index.children(batch.number, after, count)]

    def failed_jobs(self, bid: str, count: int) -> list[int]:
        """The ids of members that failed and have not succeeded since, at most ``count``."""
        batch = self._index.find(bid)
        return [] if batch is None or batch.failed is None else list(islice(batch.failed, count))
