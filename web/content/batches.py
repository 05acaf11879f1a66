"""A batch as the pages show it: texts are short and legible, numbers add up to a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.features.batches import Batches
from faktory_tw.features.batches.views import BatchView

from . import jobs

if TYPE_CHECKING:
    from ..visit import Visit

KINDS = ("complete", "success", "death")
_NAME_CHARACTERS = 200
_MOST_ANCESTORS = 6  # shown; a chain may have thousands
_SLICE = 20  # batches read in one turn
_MOST_GRANDCHILDREN = 5  # shown of each child


class CallbackLine(NamedTuple):
    """One callback: ``state`` is "waiting", "enqueued", "done", or "gone" when its job was deleted or has expired."""

    kind: str
    jobtype: str
    state: str
    jid: str
    job_id: int | None


class BatchLine(NamedTuple):
    """A batch: ``state`` is "open", "running", "ended" or "dropped". ``left`` members neither succeeded nor failed yet."""

    number: int
    bid: str
    parent_bid: str
    title: str  # the description, or the bid
    state: str
    created_at: float
    ended_at: float | None
    total: int
    succeeded: int
    failed: int
    gone: int
    left: int
    children: int
    callbacks: list[CallbackLine]

    @property
    def described(self) -> bool:
        """Whether it has a description."""
        return self.title != self.bid

    @property
    def succeeded_width(self) -> float:
        """How much of a bar of 100 is done."""
        return round(100 * self.succeeded / self.total, 2) if self.total else 0.0

    @property
    def failed_width(self) -> float:
        """How much of it has failed."""
        return round(100 * self.failed / self.total, 2) if self.total else 0.0


class Branch(NamedTuple):
    """A child batch with the first of its own children; ``more`` of these are not shown."""

    line: BatchLine
    children: list[BatchLine]
    more: int


def batches(visit: Visit) -> Batches:
    """The batches of the server."""
    return visit.manager.facts.find(Batches)


def line(view: BatchView) -> BatchLine:
    """What is shown of a batch."""
    description = jobs.plain((view.description or "").strip(), _NAME_CHARACTERS)
    return BatchLine(
        view.number,
        view.bid,
        view.parent_bid or "",
        description or view.bid,
        _state(view),
        view.created_at,
        view.ended_at,
        view.total,
        view.succeeded,
        view.failed,
        view.gone,
        max(view.total - view.succeeded - view.failed, 0),
        view.children,
        [_callback(view, kind) for kind in KINDS if kind in view.callbacks],
    )


def _state(view: BatchView) -> str:
    if view.dropped:
        return "dropped"
    if not view.committed:
        return "open"
    return "running" if view.ended_at is None else "ended"


def _callback(view: BatchView, kind: str) -> CallbackLine:
    told = {"complete": view.complete_st, "success": view.success_st, "death": view.death_st}[kind]
    job_id = view.callback_ids.get(kind)
    state = {"": "waiting", "2": "done"}.get(told, "gone" if job_id is None else "enqueued")
    jobtype = jobs.plain(view.callbacks[kind], _NAME_CHARACTERS)
    return CallbackLine(kind, jobtype, state, jobs.plain(view.callback_jids.get(kind, ""), _NAME_CHARACTERS), job_id)


def ancestors(found: Batches, view: BatchView) -> tuple[list[BatchLine], bool]:
    """The batches above, the topmost first, and whether there are more above these."""
    above: list[BatchLine] = []
    parent = view.parent_bid
    while parent and len(above) < _MOST_ANCESTORS:
        known = found.get(parent)
        if known is None:
            return above[::-1], False
        above.append(line(known))
        parent = known.parent_bid
    return above[::-1], bool(parent)


def branches(found: Batches, views: list[BatchView], told: list[Branch]) -> Iterator[None]:
    """Put child batches with their own children into ``told``, one at each step."""
    for view in views:
        below = [line(child) for child in found.children(view.bid, None, _MOST_GRANDCHILDREN)] if view.children else []
        told.append(Branch(line(view), below, max(view.children - len(below), 0)))
        yield


def gathered(
    page: Callable[[int | None, int], list[BatchView]], mark: int | None, count: int, found: list[BatchView]
) -> Iterator[None]:
    """Put so many batches behind a mark into ``found``, some at each step: the callbacks of each may have 200 KiB."""
    while len(found) < count:
        views = page(mark, min(count - len(found), _SLICE))
        found += views
        if len(views) < _SLICE:
            return
        mark = views[-1].number
        yield
