"""For programs that watch the server.

``/health`` and ``/ready`` tell anybody whether it lives and whether it takes jobs, ``/stats`` has the members of INFO
for dashboards, ``/metrics`` is for Prometheus.
"""

from __future__ import annotations

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from .answers import Answer, Json, NotThere
from .routes import Role, question
from .visit import Visit


async def health(visit: Visit) -> Answer:
    """Alive: no password is needed to ask."""
    return Json(visit.server.health())


async def ready(visit: Visit) -> Answer:
    """Able to take jobs, or status 503 and why not. No password is needed to ask."""
    obstacles = visit.server.obstacles()
    return Json({"ready": not obstacles, "reasons": obstacles}, status=503 if obstacles else 200)


async def stats(visit: Visit) -> Answer:
    """The same as INFO, gathered in slices: there may be tens of thousands of queues."""
    sizes: dict[str, int] = {}
    await visit.run(visit.server.gather_sizes(sizes))
    info = msgspec.json.encode(visit.server.info(sizes))  # ten times as fast as Json with so many
    return Answer(info, content_type=Json.content_type)


async def metrics(visit: Visit) -> Answer:
    """Everything that is measured, in Prometheus' text format."""
    metrics = visit.server.metrics
    if metrics is None:
        raise NotThere("Nothing is measured yet.")
    pieces: list[bytes] = []
    await visit.run(map(pieces.append, metrics.scrape()))
    return Answer(b"".join(pieces), content_type=CONTENT_TYPE_PLAIN_0_0_4)


ROUTES = (
    question("/health", health, Role.NOBODY),
    question("/ready", ready, Role.NOBODY),
    question("/stats", stats),
    question("/metrics", metrics),
)
