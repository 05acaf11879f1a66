"""The tracks of jobs: listed, and looked at by jid. A jid may be any text: one that an address cannot hold is a field."""

from __future__ import annotations

from typing import Any

import msgspec

from faktory_tw.features.tracking import Track
from faktory_tw.times import rfc3339

from ..answers import Answer, NotThere
from ..content import cursors, tracks
from ..routes import question
from ..visit import Visit
from .messages import answer, asked_page, know_fields


async def list_tracks(visit: Visit) -> Answer:
    """The tracks, the one updated last first; with ``jid``, only that one."""
    know_fields(visit, "jid", "limit", "after")
    limit, _ = asked_page(visit)
    tracking = tracks.tracking(visit)
    jid = next(iter(visit.texts("jid")), "")
    if jid:
        track = tracking.get(jid)
        found = [] if track is None else [track]
    else:
        found = tracking.page(cursors.timed(visit), limit + 1)
    more = cursors.text(*found[limit - 1].mark) if len(found) > limit else None
    told = [_told(track, with_result=bool(jid)) for track in found[:limit]]
    return answer({"tracks": told, "size": len(tracking), "next": more})


async def show_track(visit: Visit, jid: str) -> Answer:
    """One track, with its result."""
    know_fields(visit)
    track = tracks.tracking(visit).get(jid)
    if track is None:
        raise NotThere(
            f"There is no track of {jid[:255]}: the job asks for none, ended some time ago, or was never there."
        )
    return answer(_told(track, with_result=True))


def _told(track: Track, with_result: bool) -> dict[str, Any]:
    """Results may be long: a list says only whether there is one."""
    told: dict[str, Any] = {
        "jid": track.jid,
        "job_id": track.job_id or None,
        "state": track.state,
        "percent": track.percent,
        "desc": track.desc,
        "updated_at": rfc3339(track.updated_at),
        "has_result": track.has_result,
    }
    if with_result and track.result:
        told["result"] = msgspec.Raw(track.result)
    return told


ROUTES = (
    question("/api/tracking", list_tracks),
    question("/api/tracking/<path:jid>", show_track),
)
