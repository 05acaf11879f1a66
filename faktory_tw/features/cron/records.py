"""What cron keeps of an entry: until when its ticks are settled, whether it is paused, and its last runs.

A key is the entry's name, for what it is now, or the name, a zero byte and a number below twenty, for one of its runs: so a
tick writes some hundred bytes, and old runs are replaced by new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

MOST_RUNS = 20
MOST_SPANS = 8

Span = tuple[float, float]
"""A time, its first and its last moment."""


class Run(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One time that an entry was due, or was run by hand. ``reason``: why no job was pushed; then ``jid`` is empty."""

    tick: float | None  # None: by hand
    at: float
    jid: str = ""
    reason: str = ""


class State(msgspec.Struct, array_like=True):
    """What is known of an entry beside its settings.

    No tick from ``since`` to ``settled`` is carried out any more, nor one in the ``past``: times that were settled before
    the clock was set over what is between. Where the clock comes into such a gap again, its ticks are carried out.
    ``rhythm`` and ``begins_paused`` are what the settings said last: where they say something else now, that counts from
    now on.
    """

    settled: float
    rhythm: tuple[str, str]  # schedule and time zone
    paused: bool
    begins_paused: bool
    runs: int = 0  # so far
    left_at: float | None = None  # when it was no longer in the settings
    since: float = 0.0
    past: list[Span] = []

    def begin(self, now: float) -> None:
        """Let ticks up to now be nobody's."""
        self.turn_back(now)
        self.settled = max(self.settled, now)

    def turn_back(self, now: float) -> bool:
        """Go on from here if the clock was set back before all that this span has. Returns whether it was."""
        if now >= self.since:
            return False
        span = next((span for span in self.past if span[0] <= now <= span[1]), None)
        if span is not None:
            self.past.remove(span)  # before the earliest two may become one
        self._leave(*(span or (now, now)))
        return True

    def leap(self, moment: float) -> None:
        """Go on from a moment to which the clock was set forward; what is between was missed."""
        self._leave(moment, moment)

    def settle(self, tick: float) -> None:
        """A tick is carried out; what was settled before it is of this span now."""
        self.settled = tick
        self.past = [span for span in self.past if not self.since < span[0] <= tick]

    def next_start(self, moment: float) -> float | None:
        """Where the next time begins, after a moment, that is settled already."""
        return min((start for start, _ in self.past if start > moment), default=None)

    def after(self, tick_after: Callable[[float], float | None]) -> float | None:
        """The next tick, if ``tick_after`` tells the one after a moment."""
        settled = self.settled
        while (tick := tick_after(settled)) is not None:
            passed = max((end for start, end in self.past if self.since < start <= tick), default=settled)
            if passed <= settled:
                break
            settled = passed
        return tick

    def _leave(self, since: float, settled: float) -> None:
        """Begin another span. Of too many the earliest two become one: what is between them is settled then, too."""
        self.past = sorted([*self.past, (self.since, self.settled)])
        self.since, self.settled = since, settled
        if len(self.past) > MOST_SPANS:
            first = 1 if self.past[0][0] <= since <= self.past[1][1] else 0
            (start, end), (_, other) = self.past[first : first + 2]
            self.past[first : first + 2] = [(start, max(end, other))]


class Record:
    """The state of one entry, and its last runs, newest last."""

    __slots__ = ("name", "state", "runs")

    def __init__(self, name: str, state: State) -> None:
        self.name = name
        self.state = state
        self.runs: list[Run] = []

    def row(self) -> tuple[bytes, bytes]:
        """Key and value of the state."""
        return self.name.encode(), _encode(self.state)

    def add(self, run: Run) -> tuple[bytes, bytes]:
        """Add a run; its key and value. The state is another one then, too."""
        self.runs.append(run)
        del self.runs[:-MOST_RUNS]
        key = _run_key(self.name, self.state.runs % MOST_RUNS)
        self.state.runs += 1
        return key, _encode(run)

    def forget_runs(self) -> None:
        """All rows are gone."""
        self.runs.clear()
        self.state.runs = 0

    def keys(self) -> list[bytes]:
        """Of all its rows."""
        return [self.name.encode(), *(_run_key(self.name, slot) for slot in range(min(self.state.runs, MOST_RUNS)))]


_encode = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(State).decode
_decode_run = msgspec.json.Decoder(Run).decode


def _run_key(name: str, slot: int) -> bytes:
    return b"%b\0%c" % (name.encode(), slot)


def load_records(entries: Iterable[tuple[bytes, bytes]]) -> dict[str, Record]:
    """The records of a store, by name."""
    records: dict[str, Record] = {}
    runs: dict[str, dict[int, Run]] = {}
    for key, value in entries:
        name, _, slot = key.partition(b"\0")
        if slot:
            runs.setdefault(name.decode(), {})[slot[0]] = _decode_run(value)
        else:
            records[name.decode()] = Record(name.decode(), _decode_state(value))
    for found, record in records.items():
        slots, count = runs.get(found, {}), record.state.runs
        numbers = (number % MOST_RUNS for number in range(max(count - MOST_RUNS, 0), count))
        record.runs = [slots[number] for number in numbers if number in slots]
    return records
