"""What becomes of jobs that ask something of a feature, and whom the manager tells.

A feature is a module of ``faktory_tw.features`` with a class that derives from :class:`Feature`. Its methods are of two
kinds. A check may refuse a job, and changes nothing: a later check may refuse it, too. A fact changes the feature's own
state and records the same change in the open batch, so that a crash leaves both or neither; it must not raise, for what it
tells has happened. Facts are told only of jobs whose marks concern the feature; a job without marks costs a comparison.

A job that was ``pushed`` ends with exactly one of ``acked``, ``died``, ``discarded``, ``expired`` and ``flushed``, only that
one that ``died`` may be ``requeued``, or ``discarded`` later. Jobs that were pushed before the feature was there end without
having begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import error as StructError  # noqa: N812 - the name of a class
from typing import TYPE_CHECKING, TypeVar

import msgspec

from faktory_tw.config import Settings
from faktory_tw.core.job import Job, Payload, job_of
from faktory_tw.core.marks import Marks
from faktory_tw.core.tasks import Clock
from faktory_tw.storage.store import JobRow, Store, unreadable
from faktory_tw.wire import CommandError

if TYPE_CHECKING:
    from faktory_tw.core.manager import JobManager


_TURN_SECONDS = 0.01  # for the duties of all features together

F = TypeVar("F", bound="Feature")

NOT_AS_WRITTEN = (ValueError, ArithmeticError, LookupError, TypeError, StructError)
"""What comes of taking bytes apart that are not what was written: those of a damaged disk, or of somebody's SQL."""


class Arrival(msgspec.Struct, gc=False):
    """A job that is being pushed. A check may leave in it what the fact will need.

    ``own``: the server pushes it, a callback for instance, and nobody is there to be refused.
    """

    payload: Payload
    marks: Marks
    now: float
    due: float  # when it is to be enqueued: now, or later
    key: bytes = b""  # what makes it unique
    own: bool = False


class Feature:
    """One feature of one server. Every method does nothing here, so a feature overrides only what it needs."""

    kind = ""  # of its entries in the store
    manager: JobManager
    store: Store
    clock: Clock

    def join(self, manager: JobManager, store: Store, clock: Clock) -> None:
        """Belong to a manager; called once, before anything else."""
        self.manager, self.store, self.clock = manager, store, clock

    def configure(self, settings: Settings) -> None:
        """Go by these settings: called before the start, and when the operator has changed them."""

    def load(self, entries: Iterator[tuple[bytes, bytes]]) -> None:
        """Take over what the store has of this kind; at start, when the jobs are loaded."""

    def concerns(self, marks: Marks) -> bool:  # noqa: ARG002 - most features look at it
        """Whether a job with these marks is any of its business."""
        return False

    def holds(self) -> bool:
        """Whether it keeps anything of any job. While no feature does, jobs are dropped without being looked at."""
        return False

    def step(self) -> bool:
        """One slice of its periodic duties. Returns whether more is due."""
        return False

    # -- checks --------------------------------------------------------------------------------------------------

    def check_push(self, arrival: Arrival) -> None:
        """Refuse a job with a CommandError, or not. If not, and nobody else does, ``pushed`` follows in the same turn."""

    def is_over(self, job: Job) -> bool:  # noqa: ARG002
        """Whether a job that is about to be queued or fetched is to be dropped instead; then ``expired`` follows."""
        return False

    # -- facts ---------------------------------------------------------------------------------------------------

    def pushed(self, job_id: int, arrival: Arrival) -> None:
        """A job was accepted."""

    def fetched(self, job: Job) -> None:
        """A worker got it. Its body may be gone from memory already, here and in the facts that end a reservation."""

    def given_back(self, job: Job) -> None:
        """The worker that was to get it was gone: the job is queued as if nobody had fetched it."""

    def acked(self, job: Job) -> None:
        """It is done."""

    def failed(self, job: Job) -> None:
        """It failed, and is tried again later."""

    def died(self, job: Job) -> None:
        """It is among the dead now: it has failed too often, or an operator killed it."""

    def discarded(self, job: Job) -> None:
        """It is gone: deleted, with its queue perhaps, failed without any retry, or dead for too long."""

    def expired(self, job: Job) -> None:
        """It was dropped because a feature said that it is over."""

    def requeued(self, job: Job) -> None:
        """It left a set for its queue: it is due, or an operator wants it now."""

    def renumbered(self, old_id: int, job: Job) -> None:
        """It has another id now."""

    def flushed(self) -> None:
        """All jobs, and all entries of the store, are gone."""


class Facts:
    """The features of one manager, told of the jobs that concern them."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)
        self._next = 0  # whose duties come first in the next turn

    def join(self, manager: JobManager, store: Store, clock: Clock) -> None:
        self._clock = clock
        for feature in self._features:
            feature.join(manager, store, clock)

    def configure(self, settings: Settings) -> None:
        for feature in self._features:
            feature.configure(settings)

    def find(self, kind: type[F]) -> F:
        """The feature of a class, for who carries out its commands. Raises CommandError when the manager has none."""
        for feature in self._features:
            if isinstance(feature, kind):
                return feature
        raise CommandError(f"this server has no {kind.__name__.lower()}")

    def load(self, store: Store) -> None:
        """Have each take over what the store has of its kind. Raises StoreError when that is not what it wrote."""
        for feature in self._features:
            try:
                feature.load(store.entries(feature.kind))
            except NOT_AS_WRITTEN as error:
                raise unreadable(
                    store.path, f"an entry of {feature.kind} is not as it was written, {error!r}"
                ) from error

    def matter(self) -> bool:
        """Whether a job that is dropped has to be read first, because a feature may keep something of it."""
        return any(feature.holds() for feature in self._features)

    def step(self) -> bool:
        """One slice of the duties of each feature, or of as many as there is time for. Returns whether more is due.

        When all of them have much to do at once, those that were left out come first in the next turn.
        """
        until = self._clock.monotonic() + _TURN_SECONDS
        more = False
        for _ in self._features:
            if self._clock.monotonic() > until:
                return True
            feature = self._features[self._next]
            self._next = (self._next + 1) % len(self._features)
            more = feature.step() or more
        return more

    def _of(self, marks: Marks | None) -> list[Feature]:
        return [feature for feature in self._features if feature.concerns(marks)] if marks is not None else []

    def check_push(self, arrival: Arrival) -> None:
        for feature in self._of(arrival.marks):
            feature.check_push(arrival)

    def is_over(self, job: Job) -> bool:
        return any(feature.is_over(job) for feature in self._of(job.marks))

    def pushed(self, job_id: int, arrival: Arrival) -> None:
        for feature in self._of(arrival.marks):
            feature.pushed(job_id, arrival)

    def fetched(self, job: Job) -> None:
        for feature in self._of(job.marks):
            feature.fetched(job)

    def given_back(self, job: Job) -> None:
        for feature in self._of(job.marks):
            feature.given_back(job)

    def acked(self, job: Job) -> None:
        for feature in self._of(job.marks):
            feature.acked(job)

    def failed(self, job: Job) -> None:
        for feature in self._of(job.marks):
            feature.failed(job)

    def died(self, job: Job) -> None:
        for feature in self._of(job.marks):
            feature.died(job)

    def discarded(self, job: Job) -> None:
        for feature in self._of(job.marks):
            feature.discarded(job)

    def discarded_rows(self, rows: Iterable[JobRow]) -> None:
        for row in rows:
            self.discarded(job_of(row))

    def expired(self, job: Job) -> None:
        for feature in self._of(job.marks):
            feature.expired(job)

    def requeued(self, job: Job) -> None:
        for feature in self._of(job.marks):
            feature.requeued(job)

    def renumbered(self, old_id: int, job: Job) -> None:
        for feature in self._of(job.marks):
            feature.renumbered(old_id, job)

    def flushed(self) -> None:
        for feature in self._features:
            feature.flushed()
