"""The worker processes that are connected, their states, and the ones that left without finishing.

A worker is known from the HELLO of its first connection to the end of its last. One that has sent a heartbeat and then
vanishes is remembered for a minute; when it gives no sign of life in that time, its jobs are taken back. Clients that
never send a heartbeat (some open a connection per command) are left to their reservations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum

GONE_SECONDS = 60.0


class State(IntEnum):
    """What a worker was told, or says, to do. It only ever moves forward."""

    RUNNING = 0
    QUIET = 1
    TERMINATE = 2


_STATES = {"quiet": State.QUIET, "terminate": State.TERMINATE}


class Worker:
    """One worker process, with any number of connections."""

    __slots__ = (
        "wid",
        "hostname",
        "pid",
        "labels",
        "started_at",
        "state",
        "rss_kb",
        "connections",
        "beaten",
        "beaten_at",
    )

    def __init__(self, wid: str, hostname: str, pid: int, labels: list[str], started_at: float) -> None:
        self.wid = wid
        self.hostname = hostname
        self.pid = pid
        self.labels = labels
        self.started_at = started_at
        self.state = State.RUNNING
        self.rss_kb = 0
        self.connections = 0
        self.beaten = False
        self.beaten_at: float | None = None  # monotonic, of its last heartbeat since it connected

    def advance(self, state: State) -> None:
        """Move to ``state``, unless that would be a step back."""
        self.state = max(self.state, state)


class Workers:
    """All of them. Times are monotonic, but for ``started_at``."""

    def __init__(self) -> None:
        self._connected: dict[str, Worker] = {}
        self._last_signs: dict[str, float] = {}  # of workers with a heartbeat and no connection

    def load(self, wids: Iterable[str], now: float) -> None:
        """Workers that had sent heartbeats before a restart: their minute begins anew."""
        self._last_signs = dict.fromkeys(wids, now)

    def connect(self, wid: str, hostname: str, pid: int, labels: list[str], wall: float) -> Worker:
        """Another connection of a worker; the first one's data are kept."""
        worker = self._connected.get(wid)
        if worker is None:
            worker = self._connected[wid] = Worker(wid, hostname, pid, labels, wall)
            worker.beaten = self._last_signs.pop(wid, None) is not None
        worker.connections += 1
        return worker

    def disconnect(self, worker: Worker, now: float) -> None:
        """A connection of a worker ended."""
        worker.connections -= 1
        if not worker.connections and self._connected.get(worker.wid) is worker:
            del self._connected[worker.wid]
            if worker.beaten:
                self._last_signs[worker.wid] = now

    def beat(self, wid: str, state: str | None, rss_kb: int, now: float) -> Worker | None:
        """A heartbeat, from whatever connection. None when no connection of that worker is open."""
        worker = self._connected.get(wid)
        if worker is None:
            if wid in self._last_signs:
                self._last_signs[wid] = now
            return None
        worker.rss_kb = rss_kb
        worker.beaten_at = now
        worker.advance(_STATES.get(state or "", State.RUNNING))
        return worker

    def connected(self, wid: str) -> Worker | None:
        """A worker by its id; None when no connection of it is open."""
        return self._connected.get(wid)

    def tell(self, wid: str, state: State) -> int:
        """Have a worker, or all for ``*``, told to do something at its next heartbeat; how many workers that are."""
        told = [worker for worker in self if wid in ("*", worker.wid)]
        for worker in told:
            worker.advance(state)
        return len(told)

    def take_gone(self, now: float) -> list[str]:
        """Forget, and return, the workers that gave no sign of life for a minute."""
        gone = [wid for wid, last in self._last_signs.items() if now - last >= GONE_SECONDS]
        for wid in gone:
            del self._last_signs[wid]
        return gone

    def gave_sign(self, wid: str) -> bool:
        """Whether a worker sent a heartbeat and is not gone."""
        worker = self._connected.get(wid)
        return worker.beaten if worker is not None else wid in self._last_signs

    def forget_heartbeats(self) -> None:
        """After a FLUSH no reservation is left to take back; a new heartbeat is recorded again."""
        self._last_signs.clear()
        for worker in self._connected.values():
            worker.beaten = False

    def __len__(self) -> int:
        return len(self._connected)

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._connected.values())
