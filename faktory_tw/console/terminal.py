"""What people see: tables, sizes and times in words, progress on stderr, questions.

Texts out of jobs are shown without their control characters, so that no job can play with a terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from faktory_tw.console.errors import UsageError

_BAR_WIDTH = 30
_REDRAW_SECONDS = 0.1
_WIDEST = 200  # of a column where nothing limits it


def printable(text: object) -> str:
    """Text on one line; what a terminal would act upon is shown as an escape."""
    string = str(text)
    if string.isprintable():
        return string
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in string)


def compact(value: object) -> str:
    """A JSON value on one line, as people read it."""
    return printable(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def table(head: Sequence[str], rows: Sequence[Sequence[object]], right: str = "") -> list[str]:
    """Lines of a table; the columns named in ``right`` (words) are aligned there. On a terminal lines are cut to fit."""
    texts = [[printable(cell) for cell in row] for row in rows]
    widths = [
        min(max([len(title), *(len(row[column]) for row in texts)]), _WIDEST) for column, title in enumerate(head)
    ]
    to_the_right = [title in right.split() for title in head]
    lines = []
    for row in [list(head), *texts]:
        cells = [
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, to_the_right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return cut(lines) if sys.stdout.isatty() else lines


def cut(lines: Sequence[str]) -> list[str]:
    """Lines no wider than the terminal."""
    width = shutil.get_terminal_size().columns
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]


def duration(seconds: float | None) -> str:
    """Seconds in words of two units at most: ``3 d 4 h``, ``12.3 s``, ``-`` for None."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds else "0 s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def size(number: float | None) -> str:
    """Bytes in words: ``12.3 MiB``."""
    if number is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def plural(number: int, noun: str = "job") -> str:
    """``1 job``, ``1,234 jobs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def out(*lines: str) -> None:
    """Print lines."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def out_json(value: Any) -> None:
    """Print one JSON value on one line."""
    out(json.dumps(value, ensure_ascii=False))


def note(line: str) -> None:
    """Print a line beside the result: to stderr."""
    sys.stderr.write(f"{line}\n")


class Progress:
    """A bar on stderr while something takes long; nothing when that is no terminal. Use it with ``with``."""

    def __init__(self, what: str, total: float | None = None, unit: str = "jobs") -> None:
        self._what = what
        self._unit = unit
        self.total = total
        self._shown = sys.stderr.isatty()
        self._began = time.monotonic()
        self._drawn_at = self._began  # what is done at once needs no bar

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def update(self, done: float) -> None:
        """So much is done."""
        now = time.monotonic()
        if self._shown and now - self._drawn_at >= _REDRAW_SECONDS:
            self._drawn_at = now
            sys.stderr.write(f"\r\033[K{self._line(done, now - self._began)}")
            sys.stderr.flush()

    def _line(self, done: float, seconds: float) -> str:
        if not self.total:
            return f"{self._what}: {done:,.0f} {self._unit}, {duration(seconds)}"
        part = min(done / self.total, 1.0)
        bar = ("█" * round(part * _BAR_WIDTH)).ljust(_BAR_WIDTH, "·")
        return f"{self._what} {bar} {part:4.0%} {done:,.0f} of {self.total:,.0f} {self._unit}, {duration(seconds)}"


def confirmed(question: str, *, yes: bool, word: str = "") -> bool:
    """Whether the user wants it: ``yes`` (of --yes), or what is typed: y, or ``word`` if there is one.

    Raises UsageError when there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is nobody to ask here; --yes goes ahead")
    sys.stderr.write(f"{question} {f'Type {word} to go ahead:' if word else '[y/N]'} ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    agreed = answer == word if word else answer.lower() in ("y", "yes")
    if not agreed:
        note("Nothing was changed.")
    return agreed
