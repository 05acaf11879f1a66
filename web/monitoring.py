"""For programs that watch the server.

``/health`` and ``/ready`` tell anybody whether it lives and whether it takes jobs, ``/stats`` has the members of INFO
for dashboards, ``/metrics`` is for Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from .answers import Answer, Json, NotThere
from .routes import Role, question
from .visit import Visit

_QUEUES = 2000  # put in order in one slice


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
    await visit.run(_gather_sizes(visit, sizes))
    info = msgspec.json.encode(visit.server.info(sizes))  # ten times as fast as Json with so many
    return Answer(info, content_type=Json.content_type)


def _gather_sizes(visit: Visit, sizes: dict[str, int]) -> Iterator[None]:
    """The jobs in each queue, in the order of the names."""
    some: list[list[tuple[str, int]]] = []
    for part in visit.manager.views.queue_sizes():
        some.append(sorted(part.items()))
        yield
    ordered = merge(*some)
    while part := dict(islice(ordered, _QUEUES)):
        sizes.update(part)
        yield


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
