"""What happens to a server under a load: it is killed at any moment, stopped, reconfigured, backed up; backups are restored.

    kill                    SIGKILL after a random time
    kill at start           SIGKILL while it starts: the journal is folded, the database is loaded
    kill in shutdown        SIGTERM, and soon SIGKILL
    kill in backup          SIGKILL while a backup is made
    stop                    SIGTERM; the status has to be 0, and nothing may be missing
    SIGHUP                  with other settings, in the middle of a life
    restore                 a backup is restored in a copy of the directory, now and then with a SIGKILL in it; the copy has to
                            hold everything that was acknowledged before the backup was asked for and nothing that was
                            finished by then, and a server has to start on it

The load goes on all the time, with the next process; the copies are looked at and thrown away.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from faktory_tw.storage.backup import BackupError, list_backups, verify
from tests.system.crew import BROKEN, Arena
from tests.system.fwp import ServerError
from tests.system.ledger import Found, Ledger, Verdict
from tests.system.server import Server, clean_environment

# How long a process lives before it is killed, and how often it is not even allowed to start.
MIN_LIFE_SECONDS, MAX_LIFE_SECONDS = 0.02, 0.6
EVERY_EIGHTH_LIFE_SECONDS = 2.0
MAX_START_SECONDS = 1.0
MAX_SHUTDOWN_SECONDS = 0.1
MAX_BACKUP_SECONDS = 0.1
RESTORE_SECONDS = 0.6  # until one was measured
RESTORE_DEADLINE_SECONDS = 60.0

# In so many of twenty lives.
ENDINGS = {"kill": 12, "kill at start": 3, "kill in shutdown": 2, "kill in backup": 2, "stop": 1}
RELOADED, BACKED_UP, RESTORED, RESTORE_KILLED = 0.15, 0.1, 0.1, 0.5
FIGURES = (
    *("kill", "kill at start", "kill in shutdown", "... that had ended before", "kill in backup", "stop", "SIGHUP"),
    *("backups", "restores", "... of these killed", "... and had been done", "... jobs found"),
)

Examine = Callable[[Server, Verdict], list[Found]]
"""Starts and stops a server, compares INFO with the rows, and returns these."""


class Copy(NamedTuple):
    """A backup that was made: when it was asked for and when that was answered."""

    asked_at: float
    told_at: float
    name: str


class Mishaps:
    """See the module's docstring."""

    def __init__(self, server: Server, ledger: Ledger, arena: Arena, rng: random.Random, examine: Examine) -> None:
        self.figures: Counter[str] = Counter(dict.fromkeys(FIGURES, 0))
        self.copies: list[Copy] = []
        self._server = server
        self._ledger = ledger
        self._arena = arena
        self._rng = rng
        self._examine = examine
        self._upcoming: deque[str] = deque()
        self._incarnation = 0
        self._restore_seconds = RESTORE_SECONDS

    def run(self, kills: int) -> Iterator[int]:
        """Go on until it was killed so often; yields how often it was, after each life."""
        while self.kills < kills:
            self._incarnation += 1
            ending = "kill" if self._incarnation == 1 else self._next_ending()
            self._configure()
            if ending == "kill at start":
                self._server.spawn()
                time.sleep(self._rng.uniform(0, MAX_START_SECONDS))
            else:
                self._live()
            if not self._server.running():
                log = self._server.log()[-4000:]
                self._ledger.verdict.find("ended by itself", f"process {self._incarnation}:\n{log}")
            self._end(ending)
            self.figures[ending] += 1
            if self.copies and self._rng.random() < RESTORED:
                self.restore(self._rng.random() < RESTORE_KILLED)
            yield self.kills

    @property
    def kills(self) -> int:
        """How often it was killed."""
        return len(self._ledger.killed_at)

    def start(self) -> int:
        """Start it once more, for good; return the number of this life."""
        self._incarnation += 1
        self._configure()
        self._open()
        return self._incarnation

    def _configure(self) -> None:
        for trait in self._ledger.traits:
            trait.configure(self._server, self._rng, last=False)

    def _open(self) -> None:
        self._server.start()
        self._arena.opened(self._incarnation, self._server.port, self._server.web_port)

    def _next_ending(self) -> str:
        if not self._upcoming:
            twenty = [ending for ending, count in ENDINGS.items() for _ in range(count)]
            self._upcoming.extend(self._rng.sample(twenty, len(twenty)))
        return self._upcoming.popleft()

    def _live(self) -> None:
        self._open()
        long = self._incarnation % 8 == 0 or self._incarnation == 1
        life = EVERY_EIGHTH_LIFE_SECONDS if long else self._rng.uniform(MIN_LIFE_SECONDS, MAX_LIFE_SECONDS)
        end = time.monotonic() + life
        if self._rng.random() < RELOADED:
            time.sleep(self._rng.uniform(0, life / 2))
            self._configure()
            self._server.send_signal(signal.SIGHUP)
            self.figures["SIGHUP"] += 1
        if long or self._rng.random() < BACKED_UP:
            self._back_up()
        time.sleep(max(end - time.monotonic(), 0))

    def _back_up(self) -> None:
        asked_at = time.monotonic()
        try:
            with self._server.client(timeout=60.0) as client:
                name = client.do("ADMIN BACKUP", {})["name"]
        except BROKEN:
            return  # killed
        except ServerError as error:
            if "Shutdown" not in str(error):
                self._ledger.verdict.find("a backup failed", str(error))
            return
        self.copies.append(Copy(asked_at, time.monotonic(), name))
        self.figures["backups"] += 1

    # -- how it ends ---------------------------------------------------------------------------------------------------

    def _end(self, ending: str) -> None:
        if ending == "stop":
            self._ledger.stopping(self._incarnation)
            if status := self._server.stop():
                log = self._server.log()[-4000:]
                self._ledger.verdict.find("SIGTERM was answered with a status", f"{status}\n{log}")
            self._server.close()
            return
        backup = threading.Thread(target=self._back_up) if ending == "kill in backup" else None
        if backup is not None:
            backup.start()
            time.sleep(self._rng.uniform(0, MAX_BACKUP_SECONDS))
        if ending == "kill in shutdown":
            self._ledger.stopping(self._incarnation)
            self._server.send_signal(signal.SIGTERM)
            time.sleep(self._rng.uniform(0, MAX_SHUTDOWN_SECONDS))
            self.figures["... that had ended before"] += not self._server.running()
        self._ledger.killed(self._incarnation)
        self._server.close()  # with SIGKILL
        if backup is not None:
            backup.join()

    # -- backups -------------------------------------------------------------------------------------------------------

    def restore(self, killed: bool) -> None:
        """Restore one of the last backups in a copy of the directory, and look at what is there then."""
        verdict, now = self._ledger.verdict, time.monotonic()
        listed = {backup.name: backup for backup in list_backups(self._server.data_directory / "backups")}
        copies = [copy for copy in self.copies[-3:] if copy.name in listed]
        if not copies:
            return verdict.find("a backup that was made is gone", str(self.copies[-1]))
        copy = self._rng.choice(copies)
        directory = self._server.working_directory / "restored"
        other = Server(directory, environment=self._server.environment)
        shutil.copytree(self._server.data_directory, other.data_directory, dirs_exist_ok=True)
        self.figures["restores"] += 1
        try:
            for backup in listed.values():
                verify(backup.path)
            if killed:
                self.figures["... of these killed"] += 1
                self._begin_restore(other, copy.name)
                rows = self._examine(other, verdict)
                wrong = [
                    self._ledger.wrong_at(copy.asked_at, copy.told_at, rows),
                    self._ledger.wrong_at(now, now, rows),
                ]
                self.figures["... and had been done"] += len(wrong[0]) < len(wrong[1])
                for what in min(wrong, key=len):
                    verdict.find("after a restore that was killed", what)
            begins = time.monotonic()
            status, said = run_restore(other, copy.name)
            self._restore_seconds = time.monotonic() - begins
            if status:
                verdict.find("restore failed", said)
            rows = self._examine(other, verdict)
            for what in self._ledger.wrong_at(copy.asked_at, copy.told_at, rows):
                verdict.find("after a restore", what)
            self.figures["... jobs found"] += len(rows)
        except (BackupError, AssertionError) as error:
            verdict.find("a backup, or what was restored, cannot be used", str(error)[-4000:])
        finally:
            other.close()
            shutil.rmtree(directory)

    def _begin_restore(self, server: Server, name: str) -> None:
        with subprocess.Popen(
            restore_command(server, name), env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(self._rng.uniform(0.4, 1.1) * self._restore_seconds)
            process.kill()


def restore_command(server: Server, name: str) -> list[str]:
    """What an operator types."""
    return [sys.executable, "-m", "faktory_tw.cli", "restore", name, "--yes", "-d", str(server.data_directory)]


def run_restore(server: Server, name: str) -> tuple[int, str]:
    """Restore a backup; return the status and what was said."""
    result = subprocess.run(
        restore_command(server, name),
        env=clean_environment(),
        cwd=Path(server.working_directory),
        capture_output=True,
        text=True,
        timeout=RESTORE_DEADLINE_SECONDS,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr
