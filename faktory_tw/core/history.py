"""How many jobs were processed and how many failed: in all, and by UTC day."""

from __future__ import annotations

from collections.abc import Iterable

from faktory_tw.storage.store import DayRecord
from faktory_tw.times import DAY_SECONDS, utc_day

TOTAL = "total"


class History:
    """Counters. A failed job counts as processed, too, as it does in Faktory."""

    __slots__ = ("processed", "failures", "_days", "_day", "_day_number", "_changed")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.processed = 0
        self.failures = 0
        self._days: dict[str, list[int]] = {}
        self._day = [0, 0]
        self._day_number = -1
        self._changed: set[str] = set()

    def load(self, days: Iterable[DayRecord]) -> None:
        """Take over what the store had."""
        for day, processed, failures in days:
            if day == TOTAL:
                self.processed, self.failures = processed, failures
            else:
                self._days[day] = [processed, failures]

    def count(self, now: float, failed: bool) -> None:
        """One job was processed at ``now`` (seconds since the epoch)."""
        number = int(now // DAY_SECONDS)
        if number != self._day_number:
            self._turn(number, now)
        self.processed += 1
        self._day[0] += 1
        if failed:
            self.failures += 1
            self._day[1] += 1
        if not self._changed:
            self._changed.add(utc_day(now))

    def _turn(self, number: int, now: float) -> None:
        """Another day: the counters of the day before may still be unrecorded."""
        day = utc_day(now)
        self._day_number = number
        self._day = self._days.setdefault(day, [0, 0])
        self._changed.add(day)

    def changes(self) -> list[DayRecord]:
        """The rows that changed since the last call."""
        if not self._changed:
            return []
        rows = [DayRecord(TOTAL, self.processed, self.failures)]
        rows += [DayRecord(day, *self._days[day]) for day in sorted(self._changed)]
        self._changed.clear()
        return rows

    def days(self) -> dict[str, tuple[int, int]]:
        """(processed, failures) by day."""
        return {day: (counts[0], counts[1]) for day, counts in self._days.items()}
