"""The pages: a module each, with what it shows and what its forms do."""

from __future__ import annotations

from . import (
    backups,
    batches,
    bulk,
    busy,
    cron,
    dashboard,
    debug,
    job,
    locks,
    preferences,
    push,
    queue,
    queues,
    search,
    selected,
    sets,
    static,
    stop,
    throttles,
    tracking,
)

ROUTES = (
    *backups.ROUTES,
    *batches.ROUTES,
    *bulk.ROUTES,
    *busy.ROUTES,
    *cron.ROUTES,
    *dashboard.ROUTES,
    *debug.ROUTES,
    *job.ROUTES,
    *locks.ROUTES,
    *preferences.ROUTES,
    *push.ROUTES,
    *queue.ROUTES,
    *queues.ROUTES,
    *search.ROUTES,
    *selected.ROUTES,
    *sets.ROUTES,
    *static.ROUTES,
    *stop.ROUTES,
    *tracking.ROUTES,
    *throttles.ROUTES,
)
