"""When backups are taken: at the turn of every period by themselves, and when somebody asks.

A period is ``backup_seconds`` of UTC; with 3600 it begins at the full hour. There is one automatic backup a period, also
when the clock is set back into one that had its own, unless two periods' time has passed without any. A period that
begins while a backup is under way has none of its own.

Old ones are deleted before an automatic backup and after it; when there is not enough room for it, it takes the place of
the oldest. So a disk that they have filled is none that stays full.

The work is done in another thread, and all else here in the reactor's. A failure is logged as an error and remembered in
``last_error`` until a backup succeeds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from faktory_tw.config import Settings
from faktory_tw.core.tasks import Clock
from faktory_tw.storage import backup
from faktory_tw.storage.backup import Backup, BackupError
from faktory_tw.times import rfc3339

RunInThread = Callable[[Callable[[], None], Callable[[], None]], None]
_MIB = 1024 * 1024
_LONGEST_PERIODS = 2  # without a backup, whatever the clock says


class Log(Protocol):
    """What is used of a logger."""

    def info(self, format: str, **values: object) -> None: ...  # noqa: A002 - Twisted's name
    def warn(self, format: str, **values: object) -> None: ...  # noqa: A002 - Twisted's name
    def error(self, format: str, **values: object) -> None: ...  # noqa: A002 - Twisted's name


class Backups:
    """The backups of one running server, whose database is ``database``.

    ``run_in_thread(work, done)`` calls ``work`` in another thread and, when it has returned, ``done`` in this one.
    ``released`` is called in this one when a backup no longer reads the database.

    ``count``: backups taken since the start. ``last``: the newest, those of earlier servers included, or None.
    ``last_error``: why the latest attempt failed, or "". ``running``: one is being taken.
    """

    def __init__(
        self,
        database: Path,
        settings: Settings,
        log: Log,
        run_in_thread: RunInThread,
        released: Callable[[], None] = lambda: None,
        clock: Clock = time,
    ) -> None:
        self.count = 0
        self.last_error = ""
        self.running = False
        self._database = database
        self._log = log
        self._run_in_thread = run_in_thread
        self._released = released
        self._clock = clock
        self._stopped = threading.Event()
        self._settings = settings
        self._seen: set[int] = set()  # periods that had their backup, or are to have none
        self._tried_at = 0.0
        self._begin_periods()
        self.last = self._newest()

    @property
    def directory(self) -> Path:
        """Where they are kept."""
        return self._settings.backup_directory or self._database.parent / "backups"

    def configure(self, settings: Settings) -> None:
        """Go on with other settings; a backup that is under way is finished with the old ones."""
        before, self._settings = self._settings, settings
        if settings.backup_seconds != before.backup_seconds:
            self._begin_periods()

    def age_seconds(self, now: float) -> float | None:
        """How old the newest one is; None when there is none."""
        return None if self.last is None else max(now - self.last.taken_at, 0.0)

    # -- when ----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Called every second: begin the automatic backup when it is time."""
        if self._settings.backup_seconds <= 0 or self._stopped.is_set() or not self._is_time():
            return
        if self.running:
            self._log.warn("No backup for this period: the one before is still under way")
        else:
            self._begin([], purge=True)

    def _is_time(self) -> bool:
        """Whether a period begins; true once for each."""
        period, elapsed = self._period(), self._clock.monotonic() - self._tried_at
        if period in self._seen and elapsed <= _LONGEST_PERIODS * self._settings.backup_seconds:
            return False
        self._seen.add(period)
        self._tried_at = self._clock.monotonic()
        return True

    def _period(self) -> int:
        return int(self._clock.time() // max(self._settings.backup_seconds, 1))

    def _begin_periods(self) -> None:
        """The period under way had its backup, or will have none: one is taken when the next begins."""
        self._seen = {self._period()}
        self._tried_at = self._clock.monotonic()

    def begin(self, done: Callable[[], None] = lambda: None) -> None:
        """Take one now, in any environment, and call ``done`` when it is taken or has failed: see ``last_error``.

        Raises BackupError when one is under way, or the server stops. No old ones are deleted.
        """
        if self.running:
            raise BackupError("a backup is under way already; wait until it is done")
        if self._stopped.is_set():
            raise BackupError("the server stops; take the backup when it runs again")
        self._begin([done], purge=False)

    def stop(self) -> None:
        """Abandon what is under way, within a moment; it leaves no file. No other is begun."""
        self._stopped.set()

    # -- one backup ----------------------------------------------------------------------------------------------

    def _begin(self, waiting: list[Callable[[], None]], purge: bool) -> None:
        self.running = True
        attempt = _Attempt(
            self._database, self.directory, self._settings, self._clock, self._stopped.is_set, keep_all=not purge
        )

        def done() -> None:
            self._ended(attempt)
            for call in waiting:
                call()

        self._run_in_thread(attempt.run, done)

    def _ended(self, attempt: _Attempt) -> None:
        self.running = False
        self._released()
        self.last_error = attempt.error
        taken = attempt.taken
        if taken is not None:
            self.count += 1
            self.last = taken
            self._log.info(
                "Backup {path}: {jobs} jobs, {mib:.1f} MiB, in {seconds:.1f} s, {deleted} old ones deleted",
                path=str(taken.path),
                jobs=taken.jobs,
                mib=taken.size_bytes / _MIB,
                seconds=attempt.seconds,
                deleted=len(attempt.deleted),
            )
        if attempt.error and self._stopped.is_set():
            self._log.info("No backup: {error}", error=attempt.error)
        elif attempt.error:
            self._log.error(
                "BACKUP FAILED: {error}; the latest good one is {last}", error=attempt.error, last=self._when()
            )

    def _when(self) -> str:
        return "missing" if self.last is None else f"of {rfc3339(self.last.taken_at)}"

    def _newest(self) -> Backup | None:
        try:
            return next(iter(backup.list_backups(self.directory)), None)
        except BackupError as error:
            self._log.error("{error}", error=error)
            return None

    def list_soon(self, done: Callable[[Sequence[Backup], str], None]) -> None:
        """Call ``done`` with those that there are, the newest first, and with why they cannot be listed, or ""."""
        directory = self.directory
        found: list[Backup] = []
        errors: list[str] = []

        def look() -> None:
            try:
                found.extend(backup.list_backups(directory))
            except BackupError as error:
                errors.append(str(error))

        self._run_in_thread(look, lambda: done(found, "".join(errors)))


class _Attempt:
    """One backup, taken in another thread; what came of it is here when :meth:`run` has returned."""

    def __init__(
        self,
        database: Path,
        directory: Path,
        settings: Settings,
        clock: Clock,
        stopped: Callable[[], bool],
        keep_all: bool,
    ) -> None:
        self.taken: Backup | None = None
        self.deleted: list[Backup] = []
        self.error = ""
        self.seconds = 0.0
        self._database = database
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._stopped = stopped
        self._keep_all = keep_all

    def run(self) -> None:
        began = self._clock.monotonic()
        try:
            self.taken = self._create() if self._keep_all else self._replace()
            self.seconds = self._clock.monotonic() - began
            if not self._keep_all:
                self.deleted += backup.purge(self._directory, self._settings.backup_keep)
        except BackupError as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001 - a thread that dies quietly would look like one at work
            self.error = f"unexpected: {error!r}"

    def _create(self) -> Backup:
        return backup.create(
            self._database, self._directory, self._clock.time(), self._settings.min_free_disk_bytes, self._stopped
        )

    def _replace(self) -> Backup:
        """Take it when the old ones are gone; without room for it the oldest goes before, not after it."""
        keep = self._settings.backup_keep
        self._make_room(keep)
        try:
            return self._create()
        except BackupError as error:
            if not backup.lacks_room(error) or not self._make_room(keep - 1):
                raise
        return self._create()

    def _make_room(self, keep: int) -> bool:
        """Whether some were deleted. What cannot be deleted is told when the backup is taken: it comes first."""
        with suppress(BackupError):
            if len(backup.list_backups(self._directory)) > max(keep, 1):
                deleted = backup.purge(self._directory, keep)
                self.deleted += deleted
                return bool(deleted)
        return False
