"""Cron: jobs that are pushed at the times of a schedule, as ``[[cron]]`` in the settings says.

Each tick is carried out once. From when until when the ticks of an entry are settled is recorded in the batch that carries
the job, so a crash leaves both or neither, and a tick in that time is never carried out again: not after a restart, not
when the clock is set back. What a clock that was set forward has left out is not settled: when it is set back, because it
was wrong, the entry goes on there. A new entry begins now, and so does one whose schedule or time zone was changed, one
that comes back into the settings, and one that was paused; ticks from before that are nobody's.

A tick is carried out when it is less than a minute late. Later it was missed: the server was down, or the clock was set
forward. Then the entry's ``catch_up`` decides: ``skip`` does nothing, ``last`` pushes one job, for the last tick, ``all``
one for each, the last ``catch_up_limit`` of them. While the server refuses pushes because the disk is full, cron waits, and
then goes by ``last`` at least.

An operator who pauses an entry, or lets it go on, is obeyed until ``paused`` is changed in the settings. An entry that has
left the settings is remembered for a month, in case it comes back.
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import NamedTuple

from sortedcontainers import SortedList

from faktory_tw.config import Settings
from faktory_tw.config.cron import CronEntry
from faktory_tw.core import job as jobs
from faktory_tw.core.facts import Feature
from faktory_tw.core.marks import pushed_marks
from faktory_tw.features.cron.records import Record, Run, State, load_records
from faktory_tw.features.unique import unique_key
from faktory_tw.times import DAY_SECONDS, parse_rfc3339
from faktory_tw.wire import CommandError

LATE_SECONDS = 60.0  # from here on a tick was missed
REMEMBERED_SECONDS = 30 * DAY_SECONDS  # an entry that has left the settings
MISSED = "missed"
_MOST_REMEMBERED = 10_000
_SLICE = 200  # ticks in one turn
_SLICE_SECONDS = 0.005  # that one turn may take for each kind of work
_LONGEST_REASON = 200  # characters


class CronView(NamedTuple):
    """An entry as people see it. ``job`` and ``custom`` are JSON; ``custom`` is empty when there is none.

    ``next_at``: when it is due next; None while it is paused. ``runs``: the last ones, newest first.
    """

    name: str
    schedule: str
    timezone: str
    jobtype: str
    queue: str
    custom: bytes
    job: bytes
    catch_up: str
    paused: bool
    next_at: float | None
    runs: tuple[Run, ...]


class _Line:
    """An entry at work. ``due``: its next tick, if it is in the order of those that are due."""

    __slots__ = ("entry", "record", "due")

    def __init__(self, entry: CronEntry, record: Record) -> None:
        self.entry = entry
        self.record = record
        self.due: float | None = None


class Cron(Feature):
    """The entries of one server."""

    kind = "cron"

    def __init__(self, new_jid: Callable[[], str] = lambda: secrets.token_hex(12)) -> None:
        self._new_jid = new_jid
        self._entries: tuple[CronEntry, ...] = ()
        self._loaded = False
        self._admitting: Iterator[None] | None = None  # going by other settings than before
        self._records: dict[str, Record] = {}
        self._left: deque[Record] = deque()  # whose entries are no longer there; those that left first come first
        self._lines: dict[str, _Line] = {}
        self._due: SortedList[tuple[float, str]] = SortedList()
        self._unplanned: deque[_Line] = deque()
        self._work: tuple[_Line, Iterator[None]] | None = None  # an entry whose ticks are being carried out
        self._held_from: float | None = None  # when pushes began to be refused
        self._wall = float("-inf")  # what the clock showed last
        self._turned: deque[_Line] = deque()  # to be looked at because it was set back

    def configure(self, settings: Settings) -> None:
        self._entries = settings.cron
        if self._loaded:
            self._admitting = self._admit()
            if self._admit_some():
                self.manager.hurry(0.0)

    def load(self, entries: Iterator[tuple[bytes, bytes]]) -> None:
        self._records = load_records(entries)
        self._loaded = True
        for _ in self._admit():
            pass

    def flushed(self) -> None:
        """Forget the runs, but not which ticks are settled: no job is pushed twice, and what was paused stays so."""
        for record in self._left:
            if record.state.left_at is not None:  # it is not one that is coming back
                del self._records[record.name]
        self._left.clear()
        for record in self._records.values():
            record.forget_runs()
            self.store.batch.enter(self.kind, *record.row())

    # -- for operators -------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._lines)

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry of this name."""
        return name in self._lines

    def entries(self, start: int = 0, count: int | None = None) -> list[CronView]:
        """The entries, in the order of the settings; where there may be thousands, ``count`` of them from ``start`` on."""
        end = None if count is None else start + count
        return [_view(line) for line in islice(self._lines.values(), start, end)]

    def entry(self, name: str) -> CronView:
        """One entry. Raises CommandError when there is none of this name."""
        return _view(self._line(name))

    def pause(self, name: str, paused: bool = True) -> None:
        """Let an entry rest, or go on from now. Raises CommandError when there is none of this name."""
        line = self._line(name)
        state = line.record.state
        if state.paused == paused:
            return
        state.paused = paused
        if not paused:
            state.begin(self.clock.time())
        self.store.batch.enter(self.kind, *line.record.row())
        self._withdraw(line)
        self._plan(line)

    def run_now(self, name: str) -> str:
        """Push the job of an entry now, paused or not, and return its jid. Raises CommandError when it is refused."""
        line = self._line(name)
        jid = self._push(line.entry)
        self._note(line.record, Run(None, self.clock.time(), jid))
        return jid

    def _line(self, name: str) -> _Line:
        line = self._lines.get(name)
        if line is None:
            raise CommandError(f'there is no cron entry "{name[:100]}"')
        return line

    # -- settings ------------------------------------------------------------------------------------------------

    def _admit_some(self) -> bool:
        """One slice of that. Returns whether there is more."""
        if self._admitting is not None and next(self._admitting, self) is self:
            self._admitting = None
        return self._admitting is not None

    def _admit(self) -> Iterator[None]:
        """Go by the entries of the settings, some hundred at a step; until all are known, nothing is due."""
        now, lines = self.clock.time(), {}
        for number, entry in enumerate(self._entries, 1):
            lines[entry.name] = _Line(entry, self._recorded(entry, now))
            if number % _SLICE == 0:
                yield
        gone = [record for name, record in self._records.items() if name not in lines]
        for number, record in enumerate(gone, 1):
            if record.state.left_at is None:
                record.state.left_at = now
                self.store.batch.enter(self.kind, *record.row())
            if number % _SLICE == 0:
                yield
        left = (record for record in gone if record.name in self._records)  # a flush may have forgotten some meanwhile
        self._left = deque(sorted(left, key=lambda record: record.state.left_at or 0.0))
        self._lines = lines
        self._due.clear()
        self._turned.clear()
        self._wall = now  # to which all of them were brought; if it was set back since, they have to be looked at
        self._work = None
        self._unplanned = deque(lines.values())
        self._plan_some(_SLICE)

    def _recorded(self, entry: CronEntry, now: float) -> Record:
        """What is known of an entry, brought up to the settings."""
        rhythm = (entry.schedule.text, entry.schedule.timezone)
        record = self._records.get(entry.name)
        if record is None:
            record = self._records[entry.name] = Record(
                entry.name, State(now, rhythm, entry.paused, entry.paused, since=now)
            )
            self.store.batch.enter(self.kind, *record.row())
            return record
        state = record.state
        before = record.row()
        state.turn_back(now)
        if state.begins_paused != entry.paused:
            if state.paused and not entry.paused:
                state.begin(now)
            state.paused = state.begins_paused = entry.paused
        if state.rhythm != rhythm or state.left_at is not None:
            state.begin(now)
            state.rhythm, state.left_at = rhythm, None
        after = record.row()
        if after != before:
            self.store.batch.enter(self.kind, *after)
        return record

    def _forget_left(self, now: float) -> bool:
        """Forget entries that left the settings long ago. Returns whether there may be more."""
        for _ in range(_SLICE):
            if not self._left:
                return False
            record = self._left[0]
            if len(self._left) <= _MOST_REMEMBERED and (record.state.left_at or 0.0) + REMEMBERED_SECONDS > now:
                return False
            self._left.popleft()
            del self._records[record.name]
            for key in record.keys():  # noqa: SIM118 - it is no dict
                self.store.batch.enter(self.kind, key, None)
        return True

    # -- ticks ---------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        now = self.clock.time()
        if self._admitting is not None:
            self._admit_some()
            return True
        more = self._forget_left(now)
        more = self._see_clock(now) or more
        more = self._plan_some(_SLICE) or more
        if self.manager.refuse_pushes:
            if self._held_from is None:
                self._held_from = now
            return more
        until = self.clock.monotonic() + _SLICE_SECONDS
        for _ in range(_SLICE):
            if not self._go_on(now):
                self._held_from = None
                return more
            if self.clock.monotonic() > until:
                break
        return True

    def _see_clock(self, now: float) -> bool:
        """Have entries go on from now where the clock was set back. Returns whether there are more to look at."""
        if now < self._wall:
            self._turned = deque(self._lines.values())
            if self._held_from is not None:
                self._held_from = min(self._held_from, now)
        self._wall = now
        until = self.clock.monotonic() + _SLICE_SECONDS
        while self._turned and self.clock.monotonic() <= until:
            line = self._turned.popleft()
            if line.record.state.turn_back(now):
                self.store.batch.enter(self.kind, *line.record.row())
                self._withdraw(line)
                self._unplanned.append(line)
        return bool(self._turned)

    def _plan_some(self, count: int) -> bool:
        """Find out when entries are due next. Returns whether there are more."""
        until = self.clock.monotonic() + _SLICE_SECONDS
        while self._unplanned and count and self.clock.monotonic() <= until:
            self._plan(self._unplanned.popleft())
            count -= 1
        return bool(self._unplanned)

    def _plan(self, line: _Line) -> None:
        if line.due is None and not line.record.state.paused:
            line.due = line.record.state.after(line.entry.schedule.after)
            if line.due is not None:
                self._due.add((line.due, line.entry.name))

    def _withdraw(self, line: _Line) -> None:
        if self._work is not None and self._work[0] is line:
            self._work = None
        if line.due is not None:
            self._due.remove((line.due, line.entry.name))
            line.due = None

    def _go_on(self, now: float) -> bool:
        """Do a piece of what is due. Returns whether anything was."""
        if self._work is None:
            if not self._due or self._due[0][0] > now:
                return False
            due, name = self._due[0]
            line = self._lines[name]
            self._withdraw(line)
            self._work = (line, self._carry_out(line, due, now))
        line, work = self._work
        try:
            next(work)
        except StopIteration:
            self._work = None
            self._plan(line)
        return True

    def _carry_out(self, line: _Line, due: float, now: float) -> Generator[None, None, None]:
        """Do what is to be done of all ticks of an entry, from the one that is due, up to now or to a settled time."""
        entry, record, state = line.entry, line.record, line.record.state
        count = entry.catch_up_limit if entry.catch_up == "all" else 1
        start = state.next_start(due)
        until = now if start is None else min(now, math.nextafter(start, -math.inf))
        ticks = yield from entry.schedule.newest(due - 1.0, until, count)
        for number, tick in enumerate(ticks):
            yield
            if entry.catch_up == "skip" and not self._in_time(tick, now):
                state.leap(until)
                self._note(record, Run(tick, now, "", MISSED))
                continue
            if not number and tick != due:
                state.leap(tick)
            state.settle(tick)
            try:
                self._note(record, Run(tick, self.clock.time(), self._push(entry)))
            except CommandError as error:
                self._note(record, Run(tick, now, "", str(error)[:_LONGEST_REASON]))

    def _in_time(self, tick: float, now: float) -> bool:
        return now - tick < LATE_SECONDS or (self._held_from is not None and tick > self._held_from - LATE_SECONDS)

    def _push(self, entry: CronEntry) -> str:
        jid = self._new_jid()
        self.manager.push(_payload(entry.job, jid))
        return jid

    def _note(self, record: Record, run: Run) -> None:
        for key, value in (record.add(run), record.row()):
            self.store.batch.enter(self.kind, key, value)


def _payload(job: bytes, jid: str) -> jobs.Payload:
    return jobs.parse_job(b'{"jid":"%b",%b' % (jid.encode(), job[1:]))


def _view(line: _Line) -> CronView:
    entry, record = line.entry, line.record
    return CronView(
        entry.name,
        entry.schedule.text,
        entry.schedule.timezone,
        entry.jobtype,
        entry.queue,
        entry.custom,
        entry.job,
        entry.catch_up,
        record.state.paused,
        line.due,
        tuple(reversed(record.runs)),
    )


def check_job(job: bytes) -> None:
    """Raise ValueError for a job, JSON without a jid, that no push would accept, whatever the moment."""
    try:
        payload = _payload(job, "0" * jobs.MINIMUM_JID_BYTES)
        jobs.check(payload)
        payload.queue = payload.queue or jobs.DEFAULT_QUEUE
        jobs.check_queue_name(payload.queue)
        jobs.complete(payload, 0.0)
        marks = pushed_marks(payload.custom) if payload.custom else None
        if marks is not None and marks.expires_at is not None:
            _check_time(marks.expires_at)
        if marks is not None and marks.unique_for is not None:
            unique_key(payload.jobtype or "", payload.queue, bytes(payload.args))
    except CommandError as error:
        raise ValueError(str(error)) from None


def _check_time(text: str) -> None:
    try:
        parse_rfc3339(text)
    except ValueError as error:
        raise CommandError(f"custom.expires_at is {error}") from None
