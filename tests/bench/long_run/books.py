"""The account of a long run: every job that a client knows of, until it is over.

Jobs that are over are only counted, so that the books of an hour are no longer than those of a minute. A job is over
when its ACK, or a FAIL after which it is dropped, was answered; when an operator has removed it from a place that it could
not leave by itself; or when it was to expire, and its time has been over for long. What is left at the end was lost.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

MAX_SHOWN = 20
EXPIRED_SECONDS = 180.0  # after its end; a worker that vanished may have held it until a minute or so ago

# What is to become of a job.
DONE = "done"  # a worker acknowledges it
FAIL = "fail"  # … after some failures
DROP = "drop"  # it fails and is dropped
DIE = "die"  # it fails until it is dead, and an operator decides
PARK = "park"  # it fails, its worker asks for tomorrow, and an operator decides
REST = "rest"  # it is scheduled for tomorrow, and an operator decides
EXPIRE = "expire"  # it is done or expires


class Entry:
    """What is known of a job that is not over."""

    __slots__ = ("fate", "until", "times_fetched")

    def __init__(self, fate: str, until: float) -> None:
        self.fate = fate
        self.until = until
        self.times_fetched = 0


class Books:
    """Of all clients. Every method may be called from any thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._open: dict[str, Entry] = {}
        self._expiring: OrderedDict[str, None] = OrderedDict()  # the first pushed is the first
        self._resting: dict[str, list[str]] = {DIE: [], PARK: [], REST: []}
        self._counts: Counter[str] = Counter()
        self._findings: list[str] = []

    # -- producers -----------------------------------------------------------------------------------------------------

    def pushing(self, jid: str, fate: str = DONE, seconds: float = 0.0) -> None:
        """A job is about to be pushed. ``seconds``: when it may expire."""
        with self._lock:
            self._open[jid] = Entry(fate, self._monotonic() + seconds)
            if fate == EXPIRE:
                self._expiring[jid] = None

    def pushed(self, jids: Iterable[str], what: str = "pushed") -> None:
        """The server has acknowledged them."""
        with self._lock:
            for jid in jids:
                self._counts[what] += 1
                entry = self._open.get(jid)
                if entry is not None and entry.fate == REST:
                    self._resting[REST].append(jid)

    def refused(self, jid: str) -> None:
        """The server did not take the job, and had a reason."""
        with self._lock:
            self._open.pop(jid, None)
            self._expiring.pop(jid, None)
            self._counts["refused"] += 1

    # -- workers -------------------------------------------------------------------------------------------------------

    def fetched(self, jid: str) -> str:
        """A job was delivered. Return what is to become of it."""
        with self._lock:
            self._counts["delivered"] += 1
            entry = self._open.get(jid)
            if entry is None:
                self._find(f"{jid} was delivered though it was over, or never pushed")
                return DONE
            entry.times_fetched += 1
            if entry.times_fetched > 1:
                self._counts["delivered again"] += 1
            return entry.fate

    def over(self, jid: str, how: str) -> None:
        """The answer has come after which this job may never come back: it was done or dropped."""
        with self._lock:
            self._expiring.pop(jid, None)
            if self._open.pop(jid, None) is not None:
                self._counts[how] += 1

    def rests(self, jid: str, place: str) -> None:
        """The job is where it stays until an operator comes: it is dead (DIE) or waits for tomorrow (PARK)."""
        with self._lock:
            self._resting[place].append(jid)

    def count(self, what: str, number: int = 1) -> None:
        """Count what is worth being told."""
        with self._lock:
            self._counts[what] += number

    # -- operators -----------------------------------------------------------------------------------------------------

    def take_resting(self, place: str, most: int = 200) -> list[str]:
        """The jobs that rest in a place, for who is about to decide; nobody else is given them."""
        with self._lock:
            jids = self._resting[place][:most]
            del self._resting[place][:most]
            return jids

    def pardon(self, jids: Iterable[str]) -> None:
        """They are about to be enqueued, and are to be done."""
        with self._lock:
            for jid in jids:
                if jid in self._open:
                    self._open[jid].fate = DONE

    def moved(self, jids: Iterable[str], place: str) -> None:
        """An operator has put them from one place to another where they rest."""
        with self._lock:
            self._resting[place].extend(jids)

    def removed(self, jids: Iterable[str]) -> None:
        """An operator has removed them, and the server has said so."""
        for jid in jids:
            self.over(jid, "removed")

    def settle_expired(self) -> None:
        """Jobs that had to expire long ago are over."""
        now = self._monotonic()
        with self._lock:
            while self._expiring:
                jid = next(iter(self._expiring))
                if now < self._open[jid].until + EXPIRED_SECONDS:
                    break
                self._forget_expired(jid)

    def settle_all_expired(self) -> None:
        """At the end: whatever may expire has done so."""
        with self._lock:
            for jid in list(self._expiring):
                self._forget_expired(jid)

    def _forget_expired(self, jid: str) -> None:
        del self._expiring[jid], self._open[jid]
        self._counts["expired"] += 1

    # -- what came of it -----------------------------------------------------------------------------------------------

    def find(self, text: str) -> None:
        """Something is wrong."""
        with self._lock:
            self._find(text)

    def _find(self, text: str) -> None:
        self._counts["findings"] += 1
        if len(self._findings) < MAX_SHOWN:
            self._findings.append(text)
            sys.stderr.write(f"\nWRONG: {text}\n")

    def waiting(self) -> int:
        """How many jobs are not over and cannot expire."""
        with self._lock:
            return len(self._open) - len(self._expiring)

    def counts(self) -> dict[str, int]:
        """What was counted so far."""
        with self._lock:
            return {**self._counts, "open": len(self._open)}

    def close(self) -> tuple[dict[str, int], list[str]]:
        """The counts at the end, what was lost among them, and what is wrong."""
        self.settle_all_expired()
        with self._lock:
            lost = len(self._open)
            told = [f"{jid}: {entry.fate}, fetched {entry.times_fetched} times" for jid, entry in self._open.items()]
            findings = [*self._findings, *(f"lost: {line}" for line in told[:MAX_SHOWN])]
            return {**self._counts, "lost": lost}, findings
