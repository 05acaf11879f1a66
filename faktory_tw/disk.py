"""The room on the disk: below a limit no new jobs are taken, so that those there are can be finished."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import Logger

from faktory_tw.core.manager import JobManager


class DiskWatch:
    """Watches the disk of the data directory; ``least`` is the limit in bytes."""

    def __init__(self, directory: Path, least: int, manager: JobManager, log: Logger) -> None:
        self.least = least
        self.free = 0
        self._directory = directory
        self._manager = manager
        self._log = log

    def look(self) -> None:
        """Refuse new jobs, or take them again."""
        room = os.statvfs(self._directory)
        self.free = room.f_bavail * room.f_frsize
        was = self._manager.refuse_pushes
        now = ""
        if self.free < self.least:
            now = f"the disk is nearly full, {self.free >> 20} MiB free: no new jobs until there is more room"
        self._manager.refuse_pushes = now
        if now and not was:
            self._log.error(
                "Refusing new jobs: {free} bytes free in {directory}, fewer than --min-free-disk {least}",
                free=self.free,
                directory=str(self._directory),
                least=self.least,
            )
        elif was and not now:
            self._log.info("Accepting new jobs again: {free} bytes free", free=self.free)
