"""A track as the pages show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.features.tracking import Track, Tracking

from . import jobs

if TYPE_CHECKING:
    from ..visit import Visit

_NAME_CHARACTERS = 255
_DESC_CHARACTERS = 1000
_SLICE = 500
_MOST_LOOKED_AT = 20_000  # tracks, for a job that is gone: one that has ended lately is among the first


class TrackLine(NamedTuple):
    """A track in a list. ``percent`` None: its worker has told none."""

    jid: str  # as it is, for links
    name: str
    job_id: int
    state: str
    percent: int | None
    desc: str
    updated_at: float
    has_result: bool


class Shown(NamedTuple):
    """A track on a page of its own; ``result_cut``: only the beginning of the result is there."""

    line: TrackLine
    result: str
    result_cut: bool


def tracking(visit: Visit) -> Tracking:
    """The tracks of the server."""
    return visit.manager.facts.find(Tracking)


def line(track: Track) -> TrackLine:
    """What a list shows."""
    return TrackLine(
        track.jid,
        jobs.plain(track.jid, _NAME_CHARACTERS),
        track.job_id,
        track.state,
        track.percent,
        jobs.plain(track.desc or "", _DESC_CHARACTERS),
        track.updated_at,
        bool(track.result),
    )


def shown(track: Track) -> Shown:
    """What a page shows."""
    result, cut = jobs.readable(track.result)
    return Shown(line(track), result, cut)


def of_job(visit: Visit, jid: str, job_id: int) -> Track | None:
    """The track of a job; None when it has none, or its jid belongs to another job now."""
    track = tracking(visit).get(jid)
    return track if track is not None and track.job_id == job_id else None


async def of_ended_job(visit: Visit, job_id: int) -> Track | None:
    """The track of a job that is gone and whose jid is not known, if it is among those that changed lately."""
    found: list[Track] = []

    def look() -> Iterator[None]:
        after = None
        for _ in range(_MOST_LOOKED_AT // _SLICE):
            tracks = tracking(visit).page(after, _SLICE)
            found.extend(track for track in tracks if track.job_id == job_id)
            if found or len(tracks) < _SLICE:
                return
            after = tracks[-1].mark
            yield

    await visit.run(look())
    return found[0] if found else None
