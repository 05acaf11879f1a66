"""A track as the pages show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from faktory_tw.core.job import job_of
from faktory_tw.features.search import JobRow
from faktory_tw.features.tracking import Track, Tracking

from . import jobs

if TYPE_CHECKING:
    from ..visit import Visit

_NAME_CHARACTERS = 255
_DESC_CHARACTERS = 1000


class TrackLine(NamedTuple):
    """A track in a list. ``percent`` None: its worker has told none."""

    jid: str  # as it is, for links
    name: str
    job_id: int  # 0: the job is gone
    state: str
    percent: int | None
    desc: str
    updated_at: float
    has_result: bool

    @property
    def page(self) -> tuple[str, dict[str, str]]:
        """Path and fields of where it is shown: the page of its job while that is there, and one of its own later.

        The page of a job is told the jid, so that it shows what is left when the job has gone: its id may be that of
        another one then.
        """
        return (f"/jobs/{self.job_id}" if self.job_id else "/tracking", {"jid": self.jid})


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
        track.has_result,
    )


def shown(track: Track) -> Shown:
    """What a page shows."""
    result, cut = jobs.readable(track.result)
    return Shown(line(track), result, cut)


def of_job(visit: Visit, row: JobRow) -> Track | None:
    """The track of a job; None when it has none, or its jid belongs to another job now."""
    job = job_of(row)
    known = tracking(visit)
    return known.get(job.jid) if known.is_of(job) else None
