"""Faults of tracking and of cancel: what is told of a job, how long, and who learns that it is to stop."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

TRACKING, CANCEL = "features/tracking.py", "features/cancel.py"

AREA = Area(
    tests=("tests/unit/features/test_tracking*.py", "tests/unit/features/test_cancel*.py"),
    faults=(
        Fault("a dead job's track stays", TRACKING, "self.state in (SUCCESS, DEAD) or", "self.state == SUCCESS or"),
        Fault(
            "a track that its job did not ask for stays between two tries",
            TRACKING,
            "or not (self.opted_in or self.state == WORKING)",
            "or not (self.opted_in or self.state in (WORKING, FAILED))",
        ),
        Fault(
            "a job without a wish is not told of after a restart",
            TRACKING,
            "        if reservation is not None:\n            _mark(reservation.job)\n        elif",
            "        if reservation is None and",
        ),
        Fault(
            "a job without a wish is not told of at its second try",
            TRACKING,
            "        if self._tracking.is_of(job):\n            _mark(job)\n",
            "",
        ),
        Fault(
            "every FETCH is looked at for ever",
            TRACKING,
            "            self.manager.ignore(self._remarker)\n",
            "            str(self._remarker)\n",
        ),
        Fault(
            "a track with a result is dropped with the others",
            TRACKING,
            "self._seconds[with_result]",
            "self._seconds[False]",
        ),
        Fault(
            "a result is kept for less long than no result",
            TRACKING,
            "max(track_seconds, result_seconds)",
            "result_seconds",
        ),
        Fault("ended tracks are not dropped after a restart", TRACKING, ".update(marks)", ".update(marks[:0])"),
        Fault("pages begin with the oldest", TRACKING, ", reverse=True)", ", reverse=False)"),
        Fault("pages overlap", TRACKING, "self._recent.bisect_left(after)", "self._recent.bisect_right(after)"),
        Fault(
            "an end is not on disk",
            TRACKING,
            "        self._enlist(track)\n        self._record(track)\n\n",
            "        self._enlist(track)\n\n",
        ),
        Fault(
            "a track that was dropped is still on disk",
            TRACKING,
            "        self.store.batch.enter(self.kind, track.jid.encode(), None)\n",
            "",
        ),
        Fault(
            "the result of a track that was dropped is still on disk",
            TRACKING,
            "            self.store.batch.enter(_RESULT, track.jid.encode(), None)\n",
            "            str(track)\n",
        ),
        Fault(
            "a flushed entry is still read",
            "storage/sqlite.py",
            "        if batches and batches[0].flushed:\n            return None\n",
            "",
        ),
        Fault(
            "the track of an older job of the same jid stays in the list",
            TRACKING,
            "        if before is not None:\n            self._drop(before)\n",
            "",
        ),
        Fault(
            "the end of an older job of the same jid is told of the newer",
            TRACKING,
            "track is not None and track.job_id == job.id and track.state != state",
            "track is not None and track.state != state",
        ),
        Fault(
            "another priority costs the track",
            TRACKING,
            "            track.job_id = job.id\n",
            "            str(job.id)\n",
        ),
        Fault(
            "a track is taken for that of a later job with the same id",
            TRACKING,
            "            track.job_id = 0\n            self._with_job -= 1\n",
            "",
        ),
        Fault(
            "a track that is found again is taken for that of a later job with the same id",
            TRACKING,
            "            track.job_id = 0\n            self._record(track)\n",
            "            self._record(track)\n",
        ),
        Fault(
            "a job that was dead for long is not tracked again",
            TRACKING,
            "        if job.jid not in self._tracks and len",
            "        if not job.jid and len",
        ),
        Fault(
            "a discarded job is waited for",
            TRACKING,
            "    def discarded(self, job: Job) -> None:\n        self._is_gone(job, DEAD)\n",
            "",
        ),
        Fault("what is null is taken away", TRACKING, "        if update.desc is not None:\n", "        if True:\n"),
        Fault("a long description is kept", TRACKING, "update.desc[:MAXIMUM_DESC]", "update.desc"),
        Fault("percent may be 101", TRACKING, "<= 100:", "<= 101:"),
        Fault(
            "a reservation may be extended for ever",
            TRACKING,
            "until > self.clock.time() + _FAR",
            "until > 1e18 + _FAR",
        ),
        Fault(
            "a reservation is not extended",
            TRACKING,
            "            self.manager.extend(reservation, until)\n",
            "            str(until)\n",
        ),
        Fault(
            "a refused result has changed something",
            TRACKING,
            "        compact = self._checked_result(result)\n",
            "        compact = self._checked_result(result) if self.manager.ack(jid, wid) else b''\n",
        ),
        Fault("a long result is kept", TRACKING, "len(compact) > self._max", "len(compact) > 9 * self._max"),
        Fault(
            "a result may be nested without end",
            "core/job.py",
            "    if _depth(compact) > MAXIMUM_DEPTH:\n        raise CommandError(_TOO_DEEP)\n    return compact",
            "    return compact",
        ),
        Fault(
            "the worker does not learn it from its track",
            TRACKING,
            '            told["cancel"] = True\n',
            "            str(told)\n",
        ),
        Fault(
            "a request is not on disk",
            CANCEL,
            "            self.store.batch.enter(self.kind, _KEY.pack(job_id), _VALUE.pack(now))\n",
            "",
        ),
        Fault(
            "a request that ended is still on disk",
            CANCEL,
            "        self.store.batch.enter(self.kind, _KEY.pack(job_id), None)\n",
            "",
        ),
        Fault("a cancelled job is tried again", CANCEL, "            job.retry = GIVEN_UP", "            str(job)"),
        Fault("a cancelled job with retry 0 is among the dead", CANCEL, "if job.retry > 0:", "if job.retry >= 0:"),
        Fault(
            "a request outlives a job that is given back",
            CANCEL,
            "    def given_back(self, reservation: Reservation) -> None:\n        self._cancel.forget(reservation)\n",
            "",
        ),
        Fault(
            "every reservation is looked at for ever",
            CANCEL,
            "        if not self._asked:\n            self.manager.ignore(self._ends)\n",
            "",
        ),
        Fault(
            "a worker is told without end", CANCEL, "            if size > _TOLD_BYTES:\n                break\n", ""
        ),
        Fault(
            "the state is not told with the jobs to stop",
            CANCEL,
            "if state in _STATES else {}",
            "if not _STATES else {}",
        ),
        Fault("who does not ask is told, too", "session.py", "if beat.cancels else None", "if beat else None"),
        Fault(
            "only one of the jobs of a jid is asked",
            "core/reservations.py",
            "            return list(found)\n",
            "            return found[:1]\n",
        ),
        Fault(
            "the request is acknowledged before it is on disk",
            "features/admin.py",
            '        self._changed = True\n        self._result["asked"]',
            '        self._result["asked"]',
        ),
    ),
)
