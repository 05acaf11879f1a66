"""Faults of the job manager: what is recorded, in which order jobs are given, to whom, and when."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

MANAGER, DUTIES, EDITS = "core/manager.py", "core/duties.py", "core/edits.py"
DELIVERIES = "core/deliveries.py"
RECORDED_QUEUED = "        self.record_queued(job, job.position)\n"
TOLD_GIVEN_BACK = (
    "        if self._manager.observer is not None:\n            self._manager.observer.given_back(reservation)\n"
)

AREA = Area(
    tests=("tests/unit/core", "tests/unit/features", "tests/unit/test_times.py"),
    faults=(
        # -- records: what is acknowledged is on disk ------------------------------------------------------------------
        Fault(
            "an ACK is not recorded",
            MANAGER,
            "        self._store.batch.remove(reservation.job.id)\n        self.history",
            "        self.history",
        ),
        Fault(
            "a FETCH is not recorded",
            DELIVERIES,
            "        until = now + seconds\n        self._store.batch.move(\n            PlaceRecord(job.id, _WORKING,",
            "        until = now + seconds\n        str(\n            PlaceRecord(job.id, _WORKING,",
        ),
        Fault(
            "a FAIL is not recorded",
            MANAGER,
            "        self._store.batch.move(PlaceRecord(job_id, int(place), position, at, enqueued_at,",
            "        (PlaceRecord(job_id, int(place), position, at, enqueued_at,",
        ),
        Fault(
            "a job that is dropped at its failure is not recorded",
            MANAGER,
            "            self._store.batch.remove(job.id)\n            self.facts.discarded(job)\n            return\n",
            "            self.facts.discarded(job)\n            return\n",
        ),
        Fault(
            "a removal is recorded before it is known whether the job is there",
            EDITS,
            "        if not self._manager.timed(place).discard(*entry):\n            return False\n        if self._manager.facts.m",
            "        self._manager.timed(place).discard(*entry)\n        if self._manager.facts.m",
        ),
        Fault(
            "a queue is made before the last check may refuse the job",
            MANAGER,
            "            jobs.check_queue_name(name)\n",
            "            jobs.check_queue_name(name)\n            queue = self._create_queue(name, self._next_id)\n",
        ),
        Fault(
            "the position of a job that enters a queue again is not recorded",
            MANAGER,
            "            self._deliveries.record_queued(job, job.position)\n        self._deliveries.enqueue(queue, job)",
            "            self._deliveries.record_queued(job, job.id)\n        self._deliveries.enqueue(queue, job)",
        ),
        Fault(
            "a job that is given back is not recorded",
            DELIVERIES,
            f"{RECORDED_QUEUED}{TOLD_GIVEN_BACK}        self._manager.facts",
            f"{TOLD_GIVEN_BACK}        self._manager.facts",
        ),
        Fault(
            "a job that a gone client did not take is not recorded as queued again",
            DELIVERIES,
            f"{RECORDED_QUEUED}{TOLD_GIVEN_BACK}        return False",
            f"{TOLD_GIVEN_BACK}        return False",
        ),
        Fault(
            "the failure of a pushed job is not recorded",
            MANAGER,
            "            self._store.batch.move(PlaceRecord(job_id, int(Place.QUEUED), job_id, None, now, failure,",
            "            (PlaceRecord(job_id, int(Place.QUEUED), job_id, None, now, failure,",
        ),
        Fault(
            "statistics are not recorded",
            MANAGER,
            "        self._store.batch.days = self.history.changes()\n",
            "        self.history.changes()\n",
        ),
        Fault(
            "a pause is not recorded",
            MANAGER,
            "                self._store.batch.queues[queue.name] = QueueRecord(queue.name, paused, queue.floor)\n",
            "",
        ),
        Fault(
            "the removal of a queue is not recorded",
            EDITS,
            "            self._store.batch.queues[queue.name] = None\n",
            "",
        ),
        Fault("a heartbeat is not recorded", MANAGER, "            self._store.batch.workers[wid] = True\n", ""),
        Fault(
            "old dead jobs are kept", DUTIES, "self._manager.edits.discard_entries(Place.DEAD, old) if old", "0 if old"
        ),
        Fault("swept jobs stay on disk", "core/sweeper.py", "                self._store.batch.remove(job_id)\n", ""),
        # -- features are told -----------------------------------------------------------------------------------------
        Fault(
            "a job that a feature refuses is counted as pushed",
            MANAGER,
            "        arrival = self._checked_by_features(payload, now, at, own) if payload.custom else None\n        self.pushed += 1\n",
            "        self.pushed += 1\n        arrival = self._checked_by_features(payload, now, at, own) if payload.custom else None\n",
        ),
        Fault(
            "a job is told as fetched before a waiting client has it",
            DELIVERIES,
            "        if waiter.deliver(reservation):\n",
            "        self._manager.facts.fetched(job)\n        if waiter.deliver(reservation):\n",
        ),
        Fault(
            "jobs of an emptied queue are swept without telling",
            "core/sweeper.py",
            "                self._facts.discarded_rows(rows)\n",
            "",
        ),
        Fault(
            "a job with another priority keeps its old id for the features",
            EDITS,
            "        self._manager.facts.renumbered(row.id, job)\n",
            "",
        ),
        Fault(
            "large jobs are dropped many in one turn",
            EDITS,
            "                ids = ids[:count]\n",
            "                rows = self._store.read(ids)\n",
        ),
        Fault(
            "a fetch drops all jobs that are over in one turn",
            DELIVERIES,
            "if dropped == _MOST_DROPPED or size > SLICE_BYTES:",
            "if size > SLICE_BYTES:",
        ),
        # -- order -----------------------------------------------------------------------------------------------------
        Fault(
            "a job that is given back goes to the tail",
            DELIVERIES,
            "        queue.put_back(job.priority, job.id, job.position)\n        self.serve(queue)",
            "        queue.append(job.priority, job.id)\n        self.serve(queue)",
        ),
        Fault(
            "jobs that are given back are fetched last first",
            "core/queues.py",
            "        index = bisect(self._returned, position)",
            "        index = 0",
        ),
        Fault(
            "the lowest priority comes first",
            "core/queues.py",
            "sorted(self._by_priority.items(), reverse=True)",
            "sorted(self._by_priority.items())",
        ),
        Fault(
            "a long queue forgets what came in its first run",
            "core/queues.py",
            '        rest = self._chunks.pop() if self._chunks else array("q")',
            '        rest = array("q")\n        self._chunks.clear()',
        ),
        Fault(
            "the latest to wait is served first",
            "core/waiting.py",
            "        for waiter in self.by_queue.get(name, ()):",
            "        for waiter in reversed(list(self.by_queue.get(name, ()))):",
        ),
        # -- who gets a job --------------------------------------------------------------------------------------------
        Fault(
            "a paused queue gives jobs to FETCH",
            MANAGER,
            "            if queue is not None and not queue.paused:",
            "            if queue is not None:",
        ),
        Fault(
            "a paused queue gives jobs to those who wait",
            DELIVERIES,
            " and queue.name in self._waiting.by_queue and not queue.paused:",
            " and queue.name in self._waiting.by_queue:",
        ),
        Fault(
            "a quiet worker gets jobs",
            MANAGER,
            "        if worker is not None and worker.state is not State.RUNNING:\n            return None\n",
            "",
        ),
        Fault(
            "a quiet worker that waits gets a job",
            "core/waiting.py",
            "            if waiter.worker is None or waiter.worker.state is State.RUNNING:",
            "            if True:",
        ),
        Fault(
            "an empty queue is made again when a job enters it",
            MANAGER,
            "        queue = self._queues.get(job.queue)\n        if queue is None:\n            queue = ",
            "        queue = self._queues.get(job.queue)\n        if not queue:\n            queue = ",
        ),
        Fault(
            "the job of a gone client loses its body",
            DELIVERIES,
            "                job.body = body  # the delivery that failed had dropped it\n",
            "                pass\n",
        ),
        Fault(
            "an ACK ends the reservation of another worker",
            "core/reservations.py",
            "found = next((one for one in found if one.wid == wid), found[0])",
            "found = found[0]",
        ),
        Fault(
            "giving back too late takes the job from its next worker",
            DELIVERIES,
            "        if self._manager.working.get(job.id) is not reservation:\n            return\n",
            "",
        ),
        # -- time ------------------------------------------------------------------------------------------------------
        Fault(
            "reservations begin on the wall clock",
            DELIVERIES,
            "        manager.working.add(reservation, self._clock.monotonic())",
            "        manager.working.add(reservation, self._clock.time())",
        ),
        Fault(
            "reservations end on the wall clock",
            DUTIES,
            "        expired = self._manager.working.expired(self._clock.monotonic(), _SLICE)",
            "        expired = self._manager.working.expired(self._clock.time(), _SLICE)",
        ),
        Fault(
            "gone workers are counted on the wall clock",
            DUTIES,
            "        gone = workers.take_gone(self._clock.monotonic())",
            "        gone = workers.take_gone(self._clock.time())",
        ),
        Fault(
            "jobs of a gone worker are taken back at once",
            "core/workers.py",
            "GONE_SECONDS = 60.0",
            "GONE_SECONDS = 0.0",
        ),
        Fault(
            "workers that never sent a heartbeat are taken for gone",
            "core/workers.py",
            "            if worker.beaten:\n                self._last_signs",
            "            if True:\n                self._last_signs",
        ),
        Fault(
            "jobs of gone workers are left alone",
            DUTIES,
            "        if gone and self.reclaims:",
            "        if False:",
        ),
        Fault(
            "a due job waits a moment longer",
            DUTIES,
            "walk(place, None, _SLICE) if entry[0] <=",
            "walk(place, None, _SLICE) if entry[0] <",
        ),
        Fault(
            "days are those of the machine",
            "times.py",
            "    moment = time.gmtime(seconds)\n",
            "    moment = time.localtime(seconds)\n",
        ),
        Fault(
            "the count of yesterday is lost at midnight",
            "core/history.py",
            "        self._changed.add(day)\n",
            "        self._changed = {day}\n",
        ),
        Fault(
            "jobs that are due enter while the disk is nearly full",
            DUTIES,
            "        if not self._manager.refuse_pushes:\n            more = self._enqueue_due",
            "        if True:\n            more = self._enqueue_due",
        ),
        # -- failures --------------------------------------------------------------------------------------------------
        Fault("a job is tried once too often", "core/retry.py", "    if count >= retry:", "    if count > retry:"),
        Fault("a back-off without chance", "core/backoff.py", "random(30) * (count + 1)", "15 * (count + 1)"),
        Fault("dead jobs are dropped a day early", "core/retry.py", "180 * DAY_SECONDS", "179 * DAY_SECONDS"),
        Fault("a cut text ends in half a character", "core/retry.py", '"utf-8", "ignore"', '"utf-8", "replace"'),
        Fault("a failure is not counted as processed", "core/history.py", "        self.processed += 1\n", ""),
        # -- jobs ------------------------------------------------------------------------------------------------------
        Fault("JSON of any depth is taken", "core/job.py", "and _depth(text) > MAXIMUM_DEPTH:", "and False:"),
        Fault("brackets in strings are taken for nesting", "core/job.py", '_STRING.sub(b"", text)', "text"),
        Fault(
            "bytes that are not UTF-8 are taken", "core/job.py", "        if not text.isascii():", "        if False:"
        ),
        Fault(
            "a reservation may be shorter than a minute",
            "core/job.py",
            "MINIMUM_RESERVE_SECONDS = 60",
            "MINIMUM_RESERVE_SECONDS = 1",
        ),
        # -- operators -------------------------------------------------------------------------------------------------
        Fault(
            "MUTATE kill enqueues",
            "features/mutate.py",
            "                manager.edits.kill(self.place, entry, row)",
            "                manager.edits.requeue(self.place, entry, row)",
        ),
        Fault(
            "MUTATE takes any job that its jids do not name",
            "features/mutate.py",
            "_decode_typed(row.body).jid in jids",
            "_decode_typed(row.body).jid not in jids",
        ),
        Fault(
            "FLUSH leaves the reservations",
            MANAGER,
            "        self.working = Reservations()\n        self.history.clear()",
            "        self.history.clear()",
        ),
        Fault(
            "a job that gets another priority leaves its old row",
            EDITS,
            "        batch.remove(row.id)\n        job = jobs.job_of(row)\n",
            "        job = jobs.job_of(row)\n",
        ),
        Fault(
            "another priority is not what its worker is told",
            EDITS,
            "        job.body = jobs.with_priority(row.body, priority)\n",
            "        jobs.with_priority(row.body, priority)\n",
        ),
        Fault("another priority forgets the failure", EDITS, "        if job.failure:\n", "        if False:\n"),
        Fault(
            "a job that is deleted from a queue stays on disk",
            EDITS,
            "        for job_id in taken:\n            self._store.batch.remove(job_id)\n",
            "",
        ),
        Fault(
            "a job that leaves a queue stays in memory",
            EDITS,
            "            self._cache.pop(job_id)\n",
            "",
        ),
        Fault(
            "a queue that is cleared is full again after a crash",
            EDITS,
            "        self._store.batch.queues[name] = QueueRecord(name, queue.paused, queue.floor)\n",
            "",
        ),
        Fault(
            "jobs that were removed from a long queue are counted for ever",
            "core/queues.py",
            "                self._missing -= _CHUNK - len(chunk)\n",
            "                pass\n",
        ),
        Fault(
            "the place of a job that was given back and removed is kept",
            "core/queues.py",
            "                del self._returned[index]\n",
            "                pass\n",
        ),
        Fault(
            "a walk goes on where the next job was before others left",
            "core/views.py",
            "                return first + near.index(job_id)\n",
            "                return index\n",
        ),
        Fault(
            "a job of a removed queue is found",
            "core/views.py",
            "        return queue is not None and row.position >= queue.floor\n",
            "        return queue is not None\n",
        ),
        Fault(
            "the dead are paged from the oldest on",
            "core/views.py",
            "backwards=place is Place.DEAD",
            "backwards=False",
        ),
        Fault(
            "a change takes jobs that came after somebody looked",
            "features/changes.py",
            "        return (self._newest is None or row.position <= self._newest) and (",
            "        return bool(self._newest or 1) and (",
        ),
        Fault(
            "a change takes jobs of any priority that moved behind it",
            "features/changes.py",
            'self._action != "priority" or row.priority != self._priority',
            'self._action != "priority" or True',
        ),
        Fault(
            "everything is deleted though a filter with a time says nothing",
            "features/filters.py",
            'in (None, "", [])',
            'in (None, "", [], 0)',
        ),
        Fault("a time ends a moment later", "features/filters.py", "since <= time < until", "since <= time <= until"),
        Fault(
            "a search by time begins at the first job",
            "features/search.py",
            "    earliest = (since, _FIRST_ID)\n",
            '    earliest = (float("-inf"), _FIRST_ID)\n',
        ),
        Fault("FLUSH leaves what is being swept", "core/sweeper.py", "        self._condemned = deque()\n", ""),
        Fault(
            "upkeep goes on however much waits for the disk",
            DUTIES,
            "        if len(self._store.batch) > ",
            "        if False and len(self._store.batch) > ",
        ),
    ),
)
