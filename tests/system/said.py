"""What clients said and were told, with the times, and what has to be on disk at any of them.

`Said` is filled by the threads of a load. An `Era` is the time in which one database was in use: a restore begins
another one. `Era.complaints` compares what is found in a database with what had been acknowledged at a moment; where a
command was sent and not answered, both outcomes are right.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tests.system.ledger import Found

NEVER = 2**63


@dataclass(slots=True)
class Word:
    """One command about one job. Times are those of time.monotonic_ns."""

    verb: str
    jid: str
    sent: int
    answered: int = NEVER


@dataclass
class Said:
    """Every command, in the order in which each connection sent them."""

    words: list[Word] = field(default_factory=list)
    owed: set[str] = field(default_factory=set)  # jobs that the server pushes by itself: callbacks of batches

    def say(self, verb: str, jids: Iterable[str], command: Callable[..., object], argument: object) -> None:
        """Call `command`, which speaks of these jobs; what it raises leaves it unanswered."""
        sent = time.monotonic_ns()
        words = [Word(verb, jid, sent) for jid in jids]
        self.words += words
        command(argument)
        answered = time.monotonic_ns()
        for word in words:
            word.answered = answered


@dataclass
class Era:
    """`base`: the jobs that were there when it began, and how often each had failed."""

    said: Said
    begins: int
    ends: int = NEVER
    base: Mapping[str, int] = field(default_factory=dict)

    def acknowledged(self, moment: int) -> int:
        """How many commands had been answered."""
        return sum(self.begins <= word.sent and word.answered <= moment for word in self.said.words)

    def complaints(self, moment: int, rows: Iterable[Found]) -> list[str]:
        """What is wrong with `rows`, found in a database that was left at `moment`."""
        words = [word for word in self.said.words if self.begins <= word.sent < moment]
        answered = [word for word in words if word.answered <= moment]
        jids = {verb: {word.jid for word in words if word.verb == verb} for verb in ("PUSH", "ACK", "FAIL")}
        done = {word.jid for word in answered if word.verb == "ACK"}
        kept = {word.jid for word in answered if word.verb == "PUSH"} | set(self.base)
        found = {row.jid: row for row in rows}
        wrong = [f"acknowledged and lost: {jid}" for jid in kept - jids["ACK"] - set(found)]
        wrong += [f"finished and back: {found[jid]}" for jid in done & set(found)]
        wrong += [f"never pushed: {found[jid]}" for jid in set(found) - jids["PUSH"] - set(self.base) - self.said.owed]
        failed = Counter(word.jid for word in answered if word.verb == "FAIL")
        tried = Counter(word.jid for word in words if word.verb == "FAIL")
        for jid, row in found.items():
            before = self.base.get(jid, 0)
            if not before + failed[jid] <= row.failures <= before + tried[jid]:
                wrong.append(f"FAIL acknowledged and lost, or made up: {row}")
        return wrong
