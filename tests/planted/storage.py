"""Faults of the store: batches, the journal, and what is read at a start."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

MANAGER, LOADING, DATABASE = "core/manager.py", "core/loading.py", "storage/database.py"
STORE, SQLITE, JOURNAL = "storage/store.py", "storage/sqlite.py", "storage/journal.py"

AREA = Area(
    tests=("tests/unit/storage", "tests/unit/core/test_loading.py", "tests/unit/core/test_manager.py"),
    faults=(
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
            "storage/rows.py",
            '    _many(execute, "INSERT OR REPLACE INTO places',
            '    execute("COMMIT")\n    execute("BEGIN IMMEDIATE")\n    _many(execute, "INSERT OR REPLACE INTO places',
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
        # -- start -----------------------------------------------------------------------------------------------------
        Fault(
            "the floor of a queue is ignored for jobs that never left it",
            LOADING,
            "        if ids[0] < floor:",
            "        if queue is None:",
        ),
        Fault(
            "the floor of a queue is ignored for jobs that entered it again",
            LOADING,
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
            "numbers of a start may fall below a position",
            SQLITE,
            "coalesce((SELECT max(position) FROM places), 0)",
            "0",
        ),
        Fault(
            "jobs that entered a queue again are loaded behind all others",
            LOADING,
            "            while moved and moved[0][0] < job_id:",
            "            while False:",
        ),
        Fault(
            "a second server may use the directory",
            DATABASE,
            "fcntl.LOCK_EX | fcntl.LOCK_NB",
            "fcntl.LOCK_SH | fcntl.LOCK_NB",
        ),
        Fault(
            "a newer schema is taken for the own one",
            DATABASE,
            "        if version > len(files):",
            "        if False:",
        ),
    ),
)
