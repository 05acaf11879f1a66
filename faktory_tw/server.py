"""What all sessions of one server share: the manager, the password, the counters, and INFO.

No socket and no reactor: the service gives it a way to carry out long commands in slices, and reads its counters.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import Any, Literal, Protocol

from faktory_tw import __version__
from faktory_tw.attempts import Attempts
from faktory_tw.challenge import Challenge
from faktory_tw.config import Settings
from faktory_tw.config.keys import MIB
from faktory_tw.core.manager import Clock, JobManager
from faktory_tw.recent import RecentTimes
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError

SPOKEN_VERSION = "1.9.4"  # clients test it: the Faktory whose protocol this is
_CHALLENGE_SECONDS = 1.0
_SIZES = 2000  # of queues put in order in one slice
_LONGEST_LINE = 64 * MIB  # until there are settings

Slices = Callable[[Iterator[None], Callable[[CommandError | None], None]], None]
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class Room(Protocol):
    """The disk as it was last looked at: bytes that are free, and below how many of them PUSH is refused."""

    free: int
    least: int


class Measured(Protocol):
    """What is measured of the server, for a monitoring system and for people."""

    recent_commits: RecentTimes
    room: Room

    def scrape(self) -> Iterator[bytes]:
        """The text, in pieces; each takes some milliseconds at most."""


class Server:
    """Shared by all sessions.

    ``run_in_slices(steps, finish)`` runs an iterator, one step a turn, and then calls ``finish`` with None, or with
    the CommandError that a step raised. ``password`` None: clients need none. ``web_password`` None: it is that of the
    clients; who has the ``read_only_password`` sees everything in the web UI and changes nothing. ``when_written(done)``
    is the committer's, once the service has set it: it calls ``done`` when all that was changed so far is on disk.
    """

    def __init__(
        self,
        manager: JobManager,
        clock: Clock,
        run_in_slices: Slices,
        password: str | None = None,
        description: str = "Faktory",
        log_flush: Callable[[], None] = lambda: None,
        web_password: str | None = None,
    ) -> None:
        self.manager = manager
        self.clock = clock
        self.run_in_slices = run_in_slices
        self.password = password
        self.description = description
        self.web_password = web_password
        self.read_only_password: str | None = None
        self.connections = 0
        self.accepted_connections = 0
        self.refused_connections: defaultdict[str, int] = defaultdict(int)  # by reason
        self.attempts = Attempts(clock.monotonic, "the command port")
        self.web_attempts = Attempts(clock.monotonic, "the web UI")
        self.commands: defaultdict[bytes, int] = defaultdict(int)  # by verb, those refused included
        self.refused_commands: defaultdict[bytes, int] = defaultdict(int)
        self.unknown_commands = 0
        self.durability = ""
        self.stopping = False
        self.store_failed = False
        self.metrics: Measured | None = None
        self.backups: Any = None  # a faktory_tw.backups.Backups, once the service has made one
        self.when_written: Callable[[Callable[[], None]], None] = _at_once
        self.settings: Settings | None = None  # those in force, once the service has told them
        self.store_facts: Callable[[], Mapping[str, str | int]] = dict  # what the store tells administrators
        self._log_flush = log_flush
        self._started_at = clock.monotonic()
        self._challenge = Challenge("")
        self._challenge_until = self._started_at

    def challenge(self) -> Challenge:
        """What the greeting of a connection asks.

        Connections of one second share one: the thousands of hashes that the answer takes cost two milliseconds, and
        after a restart all workers come back at once.
        """
        now = self.clock.monotonic()
        if self.password is not None and now >= self._challenge_until:
            self._challenge = Challenge(self.password)
            self._challenge_until = now + _CHALLENGE_SECONDS
        return self._challenge

    def change_passwords(
        self, password: str | None, web_password: str | None, read_only_password: str | None = None
    ) -> None:
        """Ask for other passwords from now on; who is connected stays so."""
        self.password, self.web_password = password, web_password
        self.read_only_password = read_only_password
        self._challenge_until = self.clock.monotonic()

    def flush(self) -> None:
        """FLUSH, which operators want to find in the log."""
        self._log_flush()
        self.manager.flush()

    @property
    def command_count(self) -> int:
        """Commands carried out, or refused by what they said; unknown ones are not counted."""
        return sum(self.commands.values())

    @property
    def started_at(self) -> float:
        """When the server was started, in monotonic seconds."""
        return self._started_at

    @property
    def asks_for_web_password(self) -> bool:
        """Whether the web UI has a password."""
        return self.password is not None or self.web_password is not None

    def web_role(self, password: bytes) -> Literal["operator", "reader"] | None:
        """What somebody with this password may do in the web UI; None: nothing, the password is wrong.

        How long it takes to say so tells nothing of the right ones, their length included. Without a password everybody
        is an operator.
        """
        wanted = self.password if self.web_password is None else self.web_password
        if wanted is None:
            return "operator"
        is_operator = _is_same(password, wanted)
        is_reader = self.read_only_password is not None and _is_same(password, self.read_only_password)
        if is_operator:
            return "operator"
        return "reader" if is_reader else None

    @property
    def max_line_bytes(self) -> int:
        """The longest command, and the longest job, that is accepted."""
        return _LONGEST_LINE if self.settings is None else self.settings.max_line_bytes

    def obstacles(self) -> list[str]:
        """Why the server takes no jobs at the moment; empty when it does. The texts may be told to anybody."""
        if self.store_failed:
            return ["the store failed; the log says why"]
        obstacles = []
        if self.stopping:
            obstacles.append("the server is stopping")
        if self.manager.refuse_pushes:
            obstacles.append(self.manager.refuse_pushes)
        return obstacles

    def health(self) -> dict[str, Any]:
        """What may be told to anybody who asks whether the server is alive."""
        told = self._health()
        if self.backups is not None:
            last = self.backups.last
            told["backup"] = {
                "failed": bool(self.backups.last_error),
                "last_success": rfc3339(last.taken_at) if last is not None else None,
            }
        return told

    def _health(self) -> dict[str, Any]:
        return {
            "now": rfc3339(self.clock.time()),
            "server": {
                "description": self.description,
                "faktory_version": SPOKEN_VERSION,
                "connections": self.connections,
                "command_count": self.command_count,
            },
        }

    def gather_sizes(self, sizes: dict[str, int]) -> Iterator[None]:
        """Fill ``sizes`` for :meth:`info`, in the order of the names, a slice at a step; some hundred take none."""
        ordered: list[list[tuple[str, int]]] = []
        for part in self.manager.views.queue_sizes():
            if ordered:
                yield
            ordered.append(sorted(part.items()))
        if len(ordered) <= 1:
            sizes.update(*ordered)
            return
        names = merge(*ordered)
        while part := dict(islice(names, _SIZES)):
            yield
            sizes.update(part)

    def info(self, queues: dict[str, int] | None = None) -> dict[str, Any]:
        """INFO: the members that clients, dashboards and exporters read, with the types they expect.

        ``queues`` are the sizes by name, for who has gathered them in slices because they may be very many.
        """
        manager, now = self.manager, self.clock.time()
        queues, sets = manager.queue_sizes() if queues is None else queues, manager.set_sizes()
        return {
            "now": rfc3339(now),
            "server_utc_time": time.strftime("%H:%M:%S UTC", time.gmtime(now)),
            "faktory": {
                "queues": queues,
                "sets": sets,
                "tasks": self._tasks(sets),
                "default_size": queues.get("default", 0),
                "total_failures": manager.history.failures,
                "total_processed": manager.history.processed,
                "total_enqueued": sum(queues.values()),
                "total_queues": len(queues),
            },
            "server": {
                "description": self.description,
                "faktory_version": SPOKEN_VERSION,
                "implementation": "faktory_tw",
                "implementation_version": __version__,
                "python_version": platform.python_version(),
                "durability": self.durability,
                "uptime": int(self.clock.monotonic() - self._started_at),
                "connections": self.connections,
                "command_count": self.command_count,
                "used_memory_mb": resident_kib() // 1024,
            },
        }

    def _tasks(self, sets: dict[str, int]) -> dict[str, dict[str, Any]]:
        tasks = self.manager.tasks
        told: dict[str, dict[str, Any]] = {}
        for name, size in (("Scheduled", "scheduled"), ("Retries", "retries"), ("Dead", "dead")):
            task = tasks[name]
            told[name] = {
                "enqueued": task.enqueued,
                "cycles": task.cycles,
                "size": sets[size],
                "wall_time_sec": round(task.wall_time, 6),
            }
        told["Busy"] = {"size": sets["working"], "reaped": tasks["Busy"].reaped}
        told["Workers"] = {"size": len(self.manager.workers), "reaped": tasks["Workers"].reaped}
        told["Expired"] = {"reaped": tasks["Expired"].reaped}
        if self.backups is not None:
            told["backup"] = self._backup()
        return told

    def _backup(self) -> dict[str, Any]:
        """Of backups: how many succeeded since the start, the last one, and why the latest failed if it did."""
        backups = self.backups
        told = {"count": backups.count, "last_error": backups.last_error}
        if backups.last is not None:
            told.update(last_at=rfc3339(backups.last.taken_at), size=backups.last.size_bytes, jobs=backups.last.jobs)
        return told


def _is_same(given: bytes, wanted: str) -> bool:
    """Compare by hashes, which are of one length."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(wanted.encode()).digest())


def _at_once(done: Callable[[], None]) -> None:
    """Stands for a committer where there is no disk to wait for."""
    done()


def resident_kib() -> int:
    """Resident memory of this process in KiB; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE_KIB
    except OSError:
        return 0
