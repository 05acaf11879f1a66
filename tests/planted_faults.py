"""Faults planted one at a time into a copy of the package: each must turn a unit test red.

``python -m tests.planted_faults`` tries all of them and exits with 1 when one survives; names of faults as arguments try
those. A test suite that stays green when an ACK is not recorded is worth nothing, and nobody notices; so every promise
has a fault here that breaks it. A fault whose text is no longer in the source is an error: the source has moved on, and
the fault has to follow it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "*.egg-info", "build")
MODEL = "tests/unit/core/test_model.py"
FAST = ["tests/unit", f"--ignore={MODEL}", "--ignore=tests/unit/web"]
ENOUGH = 3  # red tests; the rest need not run
MOST_RED = 20  # tests that may be red without any fault
LONGEST_SECONDS = 120  # a fault may also make something go on for ever


class Fault(NamedTuple):
    """In ``file``, below faktory_tw, ``text`` becomes ``instead``."""

    name: str
    file: str
    text: str
    instead: str


MANAGER, DUTIES = "core/manager.py", "core/duties.py"
COMMITTER = "committer.py"
STORE, SQLITE, JOURNAL = "storage/store.py", "storage/sqlite.py", "storage/journal.py"
FAULTS = [
    # -- records: what is acknowledged is on disk ------------------------------------------------------------------
    Fault(
        "an ACK is not recorded",
        MANAGER,
        "        self._store.batch.remove(reservation.job.id)\n        self.history",
        "        self.history",
    ),
    Fault(
        "a FETCH is not recorded",
        MANAGER,
        "        self._store.batch.move(\n            PlaceRecord(job.id, _WORKING,",
        "        str(\n            PlaceRecord(job.id, _WORKING,",
    ),
    Fault(
        "a FAIL is not recorded",
        MANAGER,
        "        self._store.batch.move(PlaceRecord(job_id, int(place), job_id, at, enqueued_at,",
        "        (PlaceRecord(job_id, int(place), job_id, at, enqueued_at,",
    ),
    Fault(
        "a job that is dropped at its failure is not recorded",
        MANAGER,
        "            self._store.batch.remove(job.id)\n            return\n        failure, retry_at",
        "            return\n        failure, retry_at",
    ),
    Fault(
        "a removal is recorded before it is known whether the job is there",
        MANAGER,
        "        if self._sets[place].discard(*entry):\n            self._store.batch.remove(entry[1])",
        "        self._store.batch.remove(entry[1])\n        self._sets[place].discard(*entry)",
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
        "        self._record_queued(job, job.position)\n        self._enqueue(queue, job)",
        "        self._record_queued(job, job.id)\n        self._enqueue(queue, job)",
    ),
    Fault(
        "a job that is given back is not recorded",
        MANAGER,
        "        self._record_queued(job, job.position)\n        queue =",
        "        queue =",
    ),
    Fault(
        "a job that a gone client did not take is not recorded as queued again",
        MANAGER,
        "        self._record_queued(job, job.position)\n        return False",
        "        return False",
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
        MANAGER,
        "            self._store.batch.queues[queue.name] = None\n",
        "",
    ),
    Fault("a heartbeat is not recorded", MANAGER, "            self._store.batch.workers[wid] = True\n", ""),
    Fault("old dead jobs are kept", DUTIES, "self._manager.discard(Place.DEAD, entry)", "pass"),
    Fault("swept jobs stay on disk", "core/sweeper.py", "                self._store.batch.remove(job_id)\n", ""),
    # -- batches ---------------------------------------------------------------------------------------------------
    Fault(
        "a batch that is flushed keeps what was in it",
        STORE,
        "        self._clear()\n        self.flushed = True",
        "        self.flushed = True",
    ),
    Fault("a flush is not recorded", MANAGER, "        self._store.batch.flush()\n", ""),
    Fault(
        "a job of a sealed batch is taken for one of the open batch",
        STORE,
        "            self.removed[job_id] = None",
        "            pass",
    ),
    Fault(
        "a batch is committed in two transactions",
        SQLITE,
        '        self._many("INSERT OR REPLACE INTO places',
        '        execute("COMMIT")\n        execute("BEGIN IMMEDIATE")\n        self._many("INSERT OR REPLACE INTO places',
    ),
    Fault(
        "a batch that cannot be written is taken for written",
        SQLITE,
        "self._reserve.give_up():\n                    raise self._error(error) from error",
        "self._reserve.give_up():\n                    return False",
    ),
    Fault(
        "a batch that failed is not rolled back",
        SQLITE,
        "            self._writer.rollback()",
        '            self._writer.execute("COMMIT")',
    ),
    Fault(
        "the reserve is kept when the disk is full",
        SQLITE,
        "if not is_full(error) or not self._reserve.give_up():",
        "if True:",
    ),
    Fault("a commit does not sync", SQLITE, '"FULL" if durability == "commit" else "NORMAL"', '"NORMAL"'),
    Fault("what is not written yet is not read", SQLITE, "self._sealed, self.batch]", "self.batch]"),
    Fault(
        "a reply leaves before its batch is on disk",
        COMMITTER,
        "        self._inbox.put(batch)\n",
        "        self._send(self._flying)\n        self._inbox.put(batch)\n",
    ),
    # -- the journal -----------------------------------------------------------------------------------------------
    Fault("what the journal holds is not read", SQLITE, "[self._journal.unapplied, ", "["),
    Fault("a start forgets what is in the journal", SQLITE, "self.write(left)", "str(left)"),
    Fault("the journal is read backwards", JOURNAL, "ORDER BY batch", "ORDER BY batch DESC"),
    Fault(
        "the journal is emptied when the tables are committed already",
        SQLITE,
        '            self._journal.empty()\n            self._writer.execute("COMMIT")\n',
        '            self._writer.execute("COMMIT")\n            self._journal.empty()\n',
    ),
    Fault("what is in the journal stays there for ever", JOURNAL, "self._clock() >= self._until", "False"),
    Fault("the journal takes any number of records", JOURNAL, "len(self.unapplied) + len(batch)", "len(batch)"),
    Fault("the end leaves the journal to the next start", SQLITE, "self._apply_journal()", "pass"),
    Fault("the end writes to a disk that failed", SQLITE, "if not self._failed:", "if True:"),
    Fault("a disk that failed is tried once more", SQLITE, "is_locked(error) or is_full(error)", "True"),
    Fault("an ACK is lost when its batch is laid over another", STORE, "job_id in later.removed", "job_id in ()"),
    Fault("yesterday is lost when a batch is laid over another", STORE, "self.days + later.days", "later.days"),
    Fault(
        "a flush that is laid over a batch keeps what was in it",
        STORE,
        "        if later.flushed:\n            self.flush()\n",
        "        self.flushed = later.flushed\n",
    ),
    # -- writing in the reactor's thread ---------------------------------------------------------------------------
    Fault("the reactor's thread writes however many it holds up", COMMITTER, "or self._alone()", "or True"),
    Fault(
        "what the reactor's thread leaves to the other is taken for written",
        COMMITTER,
        "write_at_once(batch):",
        "write_at_once(batch) and False:",
    ),
    Fault(
        "replies leave though the reactor's thread failed to write",
        COMMITTER,
        "            self._lose(error)\n            return True\n",
        "            self._tell(error)\n",
    ),
    Fault("there is no upkeep while the reactor's thread writes", COMMITTER, "self._store.upkeep_due()", "False"),
    Fault("what came meanwhile waits for ever", COMMITTER, "elif self._outbox:", "elif False:"),
    Fault("an idle server leaves the journal as it is", COMMITTER, "self._store.unsealed()", "self._store.batch"),
    # -- start -----------------------------------------------------------------------------------------------------
    Fault(
        "the floor of a queue is ignored for jobs that never left it",
        "core/loading.py",
        "        if ids[0] < floor:",
        "        if queue is None:",
    ),
    Fault(
        "the floor of a queue is ignored for jobs that entered it again",
        "core/loading.py",
        "queue is None or row.position < queue.floor",
        "queue is None",
    ),
    Fault(
        "numbers of a start may fall below a floor",
        SQLITE,
        '            " coalesce((SELECT max(floor) FROM queues), 0))"',
        '            " 0)"',
    ),
    Fault(
        "numbers of a start may fall below a position", SQLITE, "coalesce((SELECT max(position) FROM places), 0)", "0"
    ),
    Fault(
        "jobs that entered a queue again are loaded behind all others",
        "core/loading.py",
        "            while moved and moved[0][0] < job_id:",
        "            while False:",
    ),
    Fault(
        "a second server may use the directory",
        "storage/database.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
    ),
    Fault(
        "a newer schema is taken for the own one",
        "storage/database.py",
        "        if version > len(files):",
        "        if False:",
    ),
    # -- order -----------------------------------------------------------------------------------------------------
    Fault(
        "a job that is given back goes to the tail",
        MANAGER,
        "        queue.put_back(job.priority, job.id, job.position)\n        self._serve(queue)",
        "        queue.append(job.priority, job.id)\n        self._serve(queue)",
    ),
    Fault(
        "jobs that are given back are fetched last first",
        "core/queues.py",
        "        index = bisect(self._returned, position)",
        "        index = 0",
    ),
    Fault(
        "the lowest priority comes first", "core/queues.py", "self._priorities[-priority]", "self._priorities[priority]"
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
        MANAGER,
        "        if queue.name in self._waiting.by_queue and not queue.paused:",
        "        if queue.name in self._waiting.by_queue:",
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
        "        queue = self._queues.get(row.queue)\n        if queue is None:",
        "        queue = self._queues.get(row.queue)\n        if not queue:",
    ),
    Fault(
        "the job of a gone client loses its body",
        MANAGER,
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
        MANAGER,
        "        if self.working.get(job.id) is not reservation:\n            return\n",
        "",
    ),
    # -- time ------------------------------------------------------------------------------------------------------
    Fault(
        "reservations begin on the wall clock",
        MANAGER,
        "        self.working.add(reservation, self._clock.monotonic())",
        "        self.working.add(reservation, self._clock.time())",
    ),
    Fault(
        "reservations end on the wall clock",
        DUTIES,
        "        expired = self._manager.working.expired(self._clock.monotonic())",
        "        expired = self._manager.working.expired(self._clock.time())",
    ),
    Fault(
        "gone workers are counted on the wall clock",
        DUTIES,
        "        gone = workers.take_gone(self._clock.monotonic())",
        "        gone = workers.take_gone(self._clock.time())",
    ),
    Fault(
        "jobs of a gone worker are taken back at once", "core/workers.py", "GONE_SECONDS = 60.0", "GONE_SECONDS = 0.0"
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
        "        if gone and self._reclaims:",
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
        '    return time.strftime("%Y-%m-%d", time.gmtime(seconds))',
        '    return time.strftime("%Y-%m-%d", time.localtime(seconds))',
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
    Fault("a back-off without chance", "core/retry.py", "random(30) * (retry_count + 1)", "15 * (retry_count + 1)"),
    Fault("dead jobs are dropped a day early", "core/retry.py", "180 * DAY_SECONDS", "179 * DAY_SECONDS"),
    Fault("a cut text ends in half a character", "core/retry.py", '"utf-8", "ignore"', '"utf-8", "replace"'),
    Fault("a failure is not counted as processed", "core/history.py", "        self.processed += 1\n", ""),
    # -- jobs ------------------------------------------------------------------------------------------------------
    Fault("JSON of any depth is taken", "core/job.py", "and _depth(text) > MAXIMUM_DEPTH:", "and False:"),
    Fault("brackets in strings are taken for nesting", "core/job.py", '_STRING.sub(b"", text)', "text"),
    Fault("bytes that are not UTF-8 are taken", "core/job.py", "        if not text.isascii():", "        if False:"),
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
        "                manager.kill(self.place, entry, row)",
        "                manager.requeue(self.place, entry, row)",
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
    Fault("FLUSH leaves what is being swept", "core/sweeper.py", "        self._condemned.clear()\n", ""),
    Fault(
        "upkeep goes on however much waits for the disk",
        DUTIES,
        "        if len(self._store.batch) > ",
        "        if False and len(self._store.batch) > ",
    ),
]


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the package and its unit tests."""
    with tempfile.TemporaryDirectory(prefix="faktory-faults-") as directory:
        copy = Path(directory) / "copy"
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
        yield copy


def red_tests(copy: Path, tests: Sequence[str], known: Sequence[str], enough: int = ENOUGH) -> list[str]:
    """The tests that fail there, ``enough`` of them; those ``known`` to fail are not run."""
    command = [sys.executable, "-m", "pytest", *tests, "-q", "--tb=no", "-p", "no:cacheprovider", f"--maxfail={enough}"]
    command += [f"--deselect={name}" for name in known]
    try:
        run = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return ["(a test that went on for ever)"]
    if run.returncode == 0:
        return []
    red = re.findall(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    return red or [f"(pytest itself: {(run.stdout + run.stderr).strip().splitlines()[-1]})"]


def plant(copy: Path, fault: Fault) -> str:
    """Change the copy; returns the text of the file as it was."""
    path = copy / "faktory_tw" / fault.file
    before = path.read_text(encoding="utf-8")
    if before.count(fault.text) != 1:
        sys.exit(f"{fault.name}: its text is {before.count(fault.text)} times in {fault.file}, not once")
    path.write_text(before.replace(fault.text, fault.instead), encoding="utf-8")
    return before


def main(names: Sequence[str]) -> int:
    wanted = [fault for fault in FAULTS if not names or fault.name in names]
    survivors = []
    with copied() as copy:
        for fault in wanted:
            (copy / "faktory_tw" / fault.file).write_text(plant(copy, fault), encoding="utf-8")
        known = red_tests(copy, [*FAST, MODEL], [], enough=10_000)
        if len(known) > MOST_RED or any(name.startswith("(") for name in known):
            sys.exit(f"without any fault {len(known)} tests are red, {known[0]} for one: nothing can be learned so")
        if known:
            print(f"red without any fault, and left out: {', '.join(known)}", flush=True)  # noqa: T201
        for fault in wanted:
            before = plant(copy, fault)
            red = red_tests(copy, FAST, known) or red_tests(copy, [MODEL], known)
            (copy / "faktory_tw" / fault.file).write_text(before, encoding="utf-8")
            if not red:
                survivors.append(fault.name)
            noticed = "noticed: " + ", ".join(dict.fromkeys(map(short, red))) if red else "SURVIVED"
            print(f"{fault.name}\n    {noticed}", flush=True)  # noqa: T201
    print(f"{len(wanted) - len(survivors)} of {len(wanted)} faults were noticed")  # noqa: T201
    return 1 if survivors else 0


def short(test: str) -> str:
    """The name of a test without its file and what it was given."""
    return test.rpartition("::")[2].partition("[")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
