"""What the clients of a long run share: the server's address and password, the books, and when to end."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench.long_run.books import Books
from tests.system.fwp import Client, ConnectionEnded

BROKEN = (ConnectionEnded, ConnectionError, TimeoutError)
QUEUES = ("critical", "default", "mail", "reports")
THROTTLED = ("bulk", "api", "tenants")
WORKERS = "long-run-"  # what the wids of workers begin with
NOBODY = "nobody"  # a queue without workers: what is pushed there expires


class Crowd:
    """Threads that play roles. Producers and operators end first, workers when all that was pushed is over."""

    def __init__(self, port: int, web_port: int, password: str, rate: float, seed: int) -> None:
        self.port = port
        self.web_port = web_port
        self.password = password
        self.rate = rate
        self.books = Books()
        self.pushing = True
        self.working = True
        self._seed = seed
        self._numbers = itertools.count()
        self._threads: dict[threading.Thread, bool] = {}  # whether it works until all is over

    def client(self, **options: Any) -> Client:
        """Return a new connection."""
        self.books.count("connections")
        return Client(self.port, password=self.password, **options)

    def jid(self, kind: str) -> str:
        """Return a jid that nobody has had."""
        return f"{kind}-{next(self._numbers):012d}"

    def rng(self, name: str) -> random.Random:
        """Return the chance of one role."""
        return random.Random(f"{self._seed} {name}")

    def play(self, name: str, role: Callable[[Crowd, random.Random], None], works: bool = False) -> None:
        """Play a role in a thread of its own. One that is broken off by an error is a finding."""
        thread = threading.Thread(target=self._watch, args=(name, role), name=name, daemon=True)
        self._threads[thread] = works
        thread.start()

    def _watch(self, name: str, role: Callable[[Crowd, random.Random], None]) -> None:
        try:
            role(self, self.rng(name))
        except Exception as error:  # noqa: BLE001 - whatever ends a thread early is a finding
            self.books.find(f"{name} ended early: {error!r}")

    def every(self, seconds: float) -> Iterator[int]:
        """Yield in such steps, the first of them short, while jobs are pushed. What was missed is not made up for."""
        for number in itertools.count():
            end = time.monotonic() + (seconds if number else seconds / 5)
            while (left := end - time.monotonic()) > 0:
                if not self.pushing:
                    return
                time.sleep(min(left, 0.2))
            if not self.pushing:
                return
            yield number

    def end_pushing(self, seconds: float) -> None:
        """End all but the workers."""
        self.pushing = False
        self._join([thread for thread, works in self._threads.items() if not works], seconds)

    def end(self, seconds: float) -> None:
        """End the workers, too."""
        self.working = False
        self._join(list(self._threads), seconds)

    def _join(self, threads: list[threading.Thread], seconds: float) -> None:
        """Wait for them to end; who does not is a finding."""
        until = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
            if thread.is_alive():
                self.books.find(f"{thread.name} did not end within {seconds:.0f} s")
