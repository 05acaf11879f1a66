"""What programs may ask for and do, in JSON: the same as the pages. ``openapi.json`` describes it."""

from __future__ import annotations

from ..routes import Route
from . import batches, changes, cron, description, jobs, locks, queues, server, throttles, tracking, workers

ROUTES: tuple[Route, ...] = (
    *description.ROUTES,
    *server.ROUTES,
    *queues.ROUTES,
    *jobs.ROUTES,
    *changes.ROUTES,
    *workers.ROUTES,
    *locks.ROUTES,
    *tracking.ROUTES,
    *batches.ROUTES,
    *cron.ROUTES,
    *throttles.ROUTES,
)
