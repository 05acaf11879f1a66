"""What is kept of a batch: what never changes, and the few numbers that do.

A batch has a number, under which the store has two entries of it: its origin, JSON with the callbacks, written once, and
its progress, sixty bytes that change with every member that is done. A member that has failed and has not succeeded since
has an entry of its own; one that never fails has none.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

import msgspec
from msgspec import Raw

COMPLETE, SUCCESS, DEATH = range(3)
KINDS = ("complete", "success", "death")
"""The callbacks, by their names on the wire; the constants above are places in lists of three."""

_COMMITTED, _ONCE, _SPOILED, _AFFLICTED, _ENDED, _DROPPED = (1 << bit for bit in range(6))
_PROGRESS = Struct(">BBBBqqqqqqd")
_KEY = Struct(">cq")
_FAILED_KEY = Struct(">cqq")
_ORIGIN, _STATE, _FAILED = b"b", b"c", b"f"  # in this order they are read at start


class Step(IntEnum):
    """How far one callback of a batch is. Each is fired once, so it only ever goes forward."""

    WAITING = 0
    FIRED = 1  # its job is enqueued, or worked, or dead
    DONE = 2  # its job succeeded; or there is no such callback, and its condition has held
    LOST = 3  # its job was deleted, discarded or expired


SETTLED = (Step.DONE, Step.LOST)


class Origin(msgspec.Struct, gc=False, omit_defaults=True):
    """What never changes. ``callbacks`` holds jobs as they were vetted, by kind; ``parent`` is a number, 0: none."""

    bid: str
    created_at: float
    parent: int = 0
    parent_bid: str | None = None
    description: str | None = None
    callbacks: dict[str, Raw] = {}


_decode_origin = msgspec.json.Decoder(Origin).decode
_encode = msgspec.json.Encoder().encode


class Batch(msgspec.Struct, gc=False):
    """One batch. Its members are jobs that name it; those that neither failed nor are gone are only counted."""

    number: int
    bid: str
    parent: int  # the number of the batch it is a child of, 0: none
    defined: int  # a bit for each kind of callback it has
    origin: bytes  # see Origin
    at: float  # when it was last opened or pushed to; when it ended, if it has
    committed: bool = False
    once: bool = False  # committed at some time; it may have been opened again
    spoiled: bool = False  # a child batch can never succeed
    afflicted: bool = False  # a member died or is gone, or a child is afflicted
    ended: bool = False  # nothing can fire any more, and nobody works on it
    dropped: bool = False  # it was not committed in time; kept only while it has children
    total: int = 0
    succeeded: int = 0
    gone: int = 0
    steps: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0])
    jobs: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0])  # ids of the callback jobs that are there
    failed: dict[int, None] | None = None  # ids of members that failed and have not succeeded since, oldest first
    # what follows is told by the others, and not kept
    children: int = 0  # that are still kept
    incomplete: int = 0  # children whose complete is not settled
    unsuccessful: int = 0  # children whose success is not done
    touched: float = 0.0  # when it was last opened or pushed to, monotonic
    due: float | None = None  # where it stands among those that may be over, or None
    queued: bool = False  # it is to be looked at

    @property
    def pending(self) -> int:
        """Members that may still succeed, and have not."""
        return self.total - self.succeeded - self.gone

    @property
    def untried(self) -> int:
        """Members that were neither done nor have failed, so far."""
        return self.total - self.succeeded - self.gone - (len(self.failed) if self.failed else 0)

    @property
    def hopeless(self) -> bool:
        """Whether it can never succeed."""
        return self.gone > 0 or self.spoiled or self.dropped or self.steps[SUCCESS] == Step.LOST

    def has(self, kind: int) -> bool:
        """Whether it has such a callback."""
        return bool(self.defined >> kind & 1)

    def is_complete(self) -> bool:
        """Whether every member was tried, or is gone, and every child is complete."""
        return self.committed and self.untried == 0 and self.incomplete == 0

    def is_success(self) -> bool:
        """Whether every member and every child succeeded."""
        return self.committed and self.pending == 0 and not self.hopeless and self.unsuccessful == 0

    def is_over(self) -> bool:
        """Whether nothing can happen to it any more, unless it is opened or pushed to."""
        return (
            self.committed
            and self.pending == 0
            and self.steps[COMPLETE] in SETTLED
            and (self.steps[SUCCESS] in SETTLED or self.hopeless)
            and Step.FIRED not in self.steps
            and not self.owes(DEATH)
        )

    def owes(self, kind: int) -> bool:
        """Whether a callback is to be fired now."""
        if self.steps[kind] != Step.WAITING or not self.has(kind):
            return False
        if kind == DEATH:
            return self.afflicted
        if kind == COMPLETE:
            return self.is_complete()
        return self.is_success() and (not self.has(COMPLETE) or self.steps[COMPLETE] in SETTLED)

    def comes_about(self, kind: int) -> bool:
        """Whether the condition of a callback that it does not have holds now, and is to be remembered."""
        if self.steps[kind] != Step.WAITING or self.has(kind) or kind == DEATH:
            return False
        return self.is_complete() if kind == COMPLETE else self.is_success()

    def told(self) -> Origin:
        """What never changes, decoded."""
        return _decode_origin(self.origin)

    def state(self, kind: int) -> str:
        """How far a callback is, as clients know it: "" waiting or not there, "1" enqueued, "2" succeeded."""
        step = self.steps[kind]
        if step == Step.WAITING or not self.has(kind):
            return ""
        return "2" if step == Step.DONE else "1"

    def progress(self) -> bytes:
        """The numbers that change, for the store."""
        flags = (
            self.committed * _COMMITTED
            | self.once * _ONCE
            | self.spoiled * _SPOILED
            | self.afflicted * _AFFLICTED
            | self.ended * _ENDED
            | self.dropped * _DROPPED
        )
        return _PROGRESS.pack(flags, *self.steps, self.total, self.succeeded, self.gone, *self.jobs, self.at)

    def resume(self, progress: bytes) -> None:
        """Take the numbers over that the store has."""
        flags, *rest = _PROGRESS.unpack(progress)
        self.committed, self.once = bool(flags & _COMMITTED), bool(flags & _ONCE)
        self.spoiled, self.afflicted = bool(flags & _SPOILED), bool(flags & _AFFLICTED)
        self.ended, self.dropped = bool(flags & _ENDED), bool(flags & _DROPPED)
        self.steps = rest[:3]
        self.total, self.succeeded, self.gone = rest[3:6]
        self.jobs = rest[6:9]
        self.at = rest[9]


def new_batch(number: int, origin: Origin) -> Batch:
    """A batch that begins; its numbers are zero."""
    defined = sum(1 << kind for kind, name in enumerate(KINDS) if name in origin.callbacks)
    return Batch(number, origin.bid, origin.parent, defined, _encode(origin), origin.created_at)


def origin_key(number: int) -> bytes:
    return _KEY.pack(_ORIGIN, number)


def progress_key(number: int) -> bytes:
    return _KEY.pack(_STATE, number)


def failed_key(number: int, job_id: int) -> bytes:
    return _FAILED_KEY.pack(_FAILED, number, job_id)


class Entry(msgspec.Struct, gc=False):
    """A key that was read back, taken apart. ``job_id`` 0: it is no member's."""

    number: int
    is_origin: bool
    job_id: int = 0


def parse_key(key: bytes) -> Entry:
    """What an entry of the store is about."""
    if key[:1] == _FAILED:
        return Entry(_FAILED_KEY.unpack(key)[1], False, _FAILED_KEY.unpack(key)[2])
    return Entry(_KEY.unpack(key)[1], key[:1] == _ORIGIN)


def resumed_batch(number: int, origin: bytes) -> Batch:
    """A batch that is read back; its numbers follow."""
    told = _decode_origin(origin)
    batch = new_batch(number, told)
    batch.origin = origin
    return batch
