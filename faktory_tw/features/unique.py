"""Unique jobs: ``custom.unique_for`` keeps an equal job out for so many seconds, or until the first one is done.

Equal are jobs of one jobtype and queue whose args are equal as values. While a job holds the lock of its key, the push of
an equal one that asks to be unique, too, is refused with ``NOTUNIQUE``. The lock ends with the job, however that comes to
its end: done, dead, deleted, expired, or gone with its queue; with ``unique_until`` ``start`` it ends when a worker gets
the job. A job that is tried again keeps it. At the latest it ends ``unique_for`` seconds after the job was, or is to be,
enqueued. That moment is one of the wall clock, so that it survives a restart: when the clock is set back locks last longer
by as much, when it is set forward they end earlier.

Who is refused relies on the other job, so the refusal leaves when that is on disk, as an acknowledgement does.

A lock belongs to one job: the end of a job that had lost its lock to the clock takes nothing from the next one. A lock
whose job is not there any more, because its queue was removed and is not swept yet, stops nobody.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from sortedcontainers import SortedList

from faktory_tw.core.facts import Arrival, Feature
from faktory_tw.core.job import Job
from faktory_tw.core.marks import Marks
from faktory_tw.wire import CommandError

MAXIMUM_ARGS_BYTES = 65_536  # they are decoded, in one turn of the reactor
_KEY_BYTES = 16  # of SHA-256: with a billion locks two keys are alike by accident once in 10**20 such servers
_SLICE = 500
_SHORT = 60  # digits
_EXACT = 2.0**53  # up to here a float is a whole number exactly when its text is one
_VALUE = Struct(">dq")
_TOKEN = secrets.token_hex(8)  # nobody can write it into the args of a job
_PLACE_OF = re.compile(f'"{_TOKEN}([0-9]+)"')


class Lock(NamedTuple):
    """In the order in which locks end."""

    until: float  # seconds since the epoch
    job_id: int
    key: bytes


def unique_key(jobtype: str, queue: str, args: bytes) -> bytes:
    """What two jobs have in common when they are equal. ``args`` is JSON without spaces. Raises CommandError.

    Object keys have no order, escapes are the characters they stand for, and numbers are compared as numbers: whole ones
    exactly, however long, and 1, 1.0 and 10e-1 are one; others as double-precision floats, as which they are read
    nearly everywhere.
    """
    if len(args) > MAXIMUM_ARGS_BYTES:
        raise CommandError(
            f"the args of a unique job must not be longer than {MAXIMUM_ARGS_BYTES} bytes;"
            " push a name of the data, or do without custom.unique_for"
        )
    wholes: list[str] = []
    try:
        value = json.loads(args, parse_float=lambda text: _number(text, wholes))
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except ValueError as error:  # an integer of thousands of digits
        raise CommandError(f"the args of a unique job cannot be compared: {error}") from None
    if wholes:
        text = _PLACE_OF.sub(lambda found: wholes[int(found[1])], text)
    whole = f"{len(jobtype)} {jobtype} {queue} {text}"
    return sha256(whole.encode("utf-8", "surrogatepass")).digest()[:_KEY_BYTES]


def _number(text: str, wholes: list[str]) -> float | str:
    """The value of a JSON number that has a point or an exponent: an int when it is whole.

    A large one is left to ``wholes``, and what is returned holds its place: 1e300 has three hundred digits, ten thousand of
    them fit into the args of a job, and to make an integer of digits takes the square of their number.
    """
    value = float(text)
    if not value.is_integer():
        return value
    if abs(value) <= _EXACT:
        return int(value)
    whole, _, rest = format(Decimal(text), "f").partition(".")
    if rest.strip("0"):
        return value
    if len(whole) < _SHORT:
        return int(whole)
    wholes.append(whole)
    return f"{_TOKEN}{len(wholes) - 1}"


class Unique(Feature):
    """The locks of one server: by key, by the job that has it, and by the time at which they end."""

    kind = "unique"

    def __init__(self) -> None:
        self._begin()
        self._lent: dict[int, Lock] = {}  # released when a worker got the job, which may still be given back
        self.taken = 0  # locks since the start
        self.denied = 0  # pushes refused since the start

    def _begin(self) -> None:
        self._locks: dict[bytes, Lock] = {}
        self._by_job: dict[int, Lock] = {}
        self._ends: SortedList[Lock] = SortedList()

    def load(self, entries: Iterator[tuple[bytes, bytes]]) -> None:
        for key, value in entries:
            until, job_id = _VALUE.unpack(value)
            lock = Lock(until, job_id, key)
            self._locks[key] = self._by_job[lock.job_id] = lock
        self._ends.update(self._locks.values())

    def concerns(self, marks: Marks) -> bool:
        return marks.unique_for is not None

    def holds(self) -> bool:
        return bool(self._locks)

    def __len__(self) -> int:
        """How many locks there are."""
        return len(self._locks)

    def held(self, job_id: int) -> Lock | None:
        """The lock that a job has."""
        return self._by_job.get(job_id)

    def page(self, after: tuple[float, int] | None, count: int) -> list[Lock]:
        """Locks behind ``after`` (until, job_id) in the order in which they end; None: from the first."""
        start = 0 if after is None else int(self._ends.bisect_left((after[0], after[1] + 1)))
        return list(self._ends.islice(start, start + count))

    def release(self, job_id: int) -> bool:
        """End the lock of a job, which stays where it is. False when the job has none any more."""
        lock = self._by_job.get(job_id)
        if lock is None:
            return False
        self._release(lock)
        return True

    def step(self) -> bool:
        """Drop locks whose time is over, so that they take no room."""
        end = min(int(self._ends.bisect_right((self.clock.time(), 2**63))), _SLICE)
        for lock in list(self._ends.islice(0, end)):
            self._release(lock)
        return end == _SLICE

    # -- checks --------------------------------------------------------------------------------------------------

    def check_push(self, arrival: Arrival) -> None:
        if arrival.own:
            return
        payload = arrival.payload
        arrival.key = unique_key(payload.jobtype or "", payload.queue or "", bytes(payload.args))
        lock = self._locks.get(arrival.key)
        if lock is not None and lock.until > arrival.now and self.manager.views.find(lock.job_id) is not None:
            self.denied += 1
            if self.manager.observer is not None:
                self.manager.observer.denied(payload)
            raise CommandError("Job not unique", "NOTUNIQUE", held=True)

    # -- facts ---------------------------------------------------------------------------------------------------

    def pushed(self, job_id: int, arrival: Arrival) -> None:
        if arrival.own:
            return
        self._hold(Lock(arrival.due + (arrival.marks.unique_for or 0.0), job_id, arrival.key))
        self.taken += 1
        if self.manager.observer is not None:
            self.manager.observer.locked(arrival.payload)

    def fetched(self, job: Job) -> None:
        if job.marks is not None and job.marks.unique_until == "start":
            lock = self._by_job.get(job.id)
            if lock is not None:
                self._release(lock)
                self._lent[job.id] = lock

    def given_back(self, job: Job) -> None:
        lock = self._lent.pop(job.id, None)
        if lock is None:
            return
        other = self._locks.get(lock.key)
        if other is None or other.until <= self.clock.time():
            self._hold(lock)

    def acked(self, job: Job) -> None:
        self._ended(job.id)

    def failed(self, job: Job) -> None:
        self._lent.pop(job.id, None)

    def died(self, job: Job) -> None:
        self._ended(job.id)

    def discarded(self, job: Job) -> None:
        self._ended(job.id)

    def expired(self, job: Job) -> None:
        self._ended(job.id)

    def renumbered(self, old_id: int, job: Job) -> None:
        lock = self._by_job.get(old_id)
        if lock is not None:
            self._hold(Lock(lock.until, job.id, lock.key))

    def flushed(self) -> None:
        self.manager.sweeper.free(self._locks, self._by_job, self._ends)
        self._begin()
        self._lent = {}

    def _ended(self, job_id: int) -> None:
        self._lent.pop(job_id, None)
        lock = self._by_job.get(job_id)
        if lock is not None:
            self._release(lock)

    def _hold(self, lock: Lock) -> None:
        before = self._locks.get(lock.key)
        if before is not None:
            self._forget(before)
        self._locks[lock.key] = self._by_job[lock.job_id] = lock
        self._ends.add(lock)
        self.store.batch.enter(self.kind, lock.key, _VALUE.pack(lock.until, lock.job_id))

    def _release(self, lock: Lock) -> None:
        self._forget(lock)
        self.store.batch.enter(self.kind, lock.key, None)

    def _forget(self, lock: Lock) -> None:
        del self._locks[lock.key], self._by_job[lock.job_id]
        self._ends.remove(lock)
