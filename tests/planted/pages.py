"""Faults of the pages that show what the features keep, and of what receivers of metrics are told of it."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

WEB = "../web"

AREA = Area(
    tests=(
        "tests/unit/web/test_batches.py",
        "tests/unit/web/test_tracking.py",
        "tests/unit/web/test_stop.py",
        "tests/unit/web/test_locks.py",
        "tests/unit/test_statsd.py",
    ),
    faults=(
        Fault(
            "an old form stops the job in the hands of another worker",
            f"{WEB}/content/stopping.py",
            "if reservation is not None and repr(reservation.reserved_at) == began else None",
            "if reservation is not None and began else None",
        ),
        Fault(
            "a job is asked to stop before that was confirmed",
            f"{WEB}/pages/stop.py",
            "    if ask is not None:\n        return ask\n",
            "    str(ask)\n",
        ),
        Fault(
            "nobody is told who asked a job to stop",
            f"{WEB}/pages/stop.py",
            '    await visit.changed("ask job to stop", job=job_id, jid=jid, wid=reservation.wid or None)\n',
            "    await visit.ui.written()\n",
        ),
        Fault(
            "a lock is released before that was confirmed",
            f"{WEB}/pages/locks.py",
            "    if ask is not None:\n        return ask\n",
            "    str(ask)\n",
        ),
        Fault(
            "a job that only says so is shown as a callback",
            f"{WEB}/content/kept.py",
            "if callback_id == job_id]",
            "if callback_id or job_id]\n    kinds = kinds or list(view.callbacks)",
        ),
        Fault(
            "the track of another job with the same jid is shown",
            f"{WEB}/content/tracks.py",
            "return known.get(job.jid) if known.is_of(job) else None",
            "return known.get(job.jid)",
        ),
        Fault(
            "a page of tracks leaves one out",
            f"{WEB}/pages/tracking.py",
            "cursors.text(*found[_ROWS - 1].mark)",
            "cursors.text(*found[_ROWS].mark)",
        ),
        Fault(
            "a page of batches leaves one out",
            f"{WEB}/pages/batches.py",
            "more=views[_ROWS - 1].number",
            "more=views[_ROWS].number",
        ),
        Fault(
            "what is inside of a batch is shown up to the first page only",
            f"{WEB}/pages/batches.py",
            "more=children[_CHILDREN - 1].number if len(children) > _CHILDREN else None",
            "more=None",
        ),
        Fault(
            "batches beyond the first slice are not read",
            f"{WEB}/content/batches.py",
            "        if len(views) < _SLICE:\n",
            "        if len(views) <= _SLICE:\n",
        ),
        Fault(
            "a callback whose job is gone is shown as enqueued",
            f"{WEB}/content/batches.py",
            '"gone" if job_id is None else "enqueued"',
            '"enqueued"',
        ),
        Fault(
            "statsd is not told of expired jobs",
            "features/expiry.py",
            "            self.manager.observer.expired(job)\n",
            "            str(job)\n",
        ),
        Fault(
            "statsd takes refused jobs for accepted ones",
            "features/unique.py",
            "self.manager.observer.denied(payload)",
            "self.manager.observer.locked(payload)",
        ),
    ),
)
