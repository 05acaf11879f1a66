"""Reading ``[throttles]``: how many jobs of a kind may be worked at once, and how many in a time.

As in Faktory Enterprise the name of an entry is that of its queue. Beyond it an entry may say ``queue``, ``jobtype`` and
``key`` itself, and then its name is just a name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from faktory_tw.config.files import Tree
from faktory_tw.config.kinds import duration_seconds, shown

MOST_THROTTLES = 10_000
MOST_SLOTS = 1_000_000
LONGEST_SECONDS = 366 * 86_400.0
_LONGEST_NAME = 1024
_DEEPEST_PATH = 16
_QUEUE_NAME = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)
_EXAMPLE = "{ concurrency = 10, timeout = 60 }"


@dataclass(frozen=True)
class Rate:
    """``limit`` jobs in ``period`` seconds. A bucket of ``burst`` tokens: when none was used for long, so many go at once."""

    limit: float
    period: float
    burst: int


@dataclass(frozen=True)
class Throttle:
    """One entry. Without ``queue`` it is for the jobs of all queues; ``key`` is a path into the args of a job.

    ``concurrency`` jobs at once, ``worker`` at once in one worker process, and no more than ``rate``; of jobs with a key:
    for each key by itself. After ``timeout`` seconds a job that is still worked counts no more.
    """

    name: str
    queue: str | None = None
    jobtype: str | None = None
    key: tuple[str, ...] = ()
    concurrency: int | None = None
    worker: int | None = None
    timeout: float | None = None
    rate: Rate | None = None
    place: str = field(default="", compare=False)  # file:line

    @property
    def meant(self) -> tuple[str, str | None, str | None, tuple[str, ...]]:
        """Which jobs it is for: as long as this stays, only its limits change."""
        return self.name, self.queue, self.jobtype, self.key


def read_throttles(tree: Tree, content: Any, problems: list[str]) -> tuple[Throttle, ...]:
    """The entries of ``[throttles]`` that can be used; what is wrong with the others is added to ``problems``."""
    if not isinstance(content, dict):
        problems.append(f"{tree.place('throttles')}: throttles must be a section: write [throttles]")
        return ()
    if len(content) > MOST_THROTTLES:
        problems.append(
            f"{tree.place('throttles')}: throttles has {len(content)} entries, more than {MOST_THROTTLES}; use a key, which "
            "makes one entry a throttle for each of its values"
        )
        return ()
    read = []
    for name, value in content.items():
        if isinstance(value, dict):
            entry = _Entry(tree, name, value, problems).read()
            if entry is not None:
                read.append(entry)
        else:
            problems.append(
                f"{tree.place('throttles', name)}: throttles.{shown_name(name)} must be a table such as {_EXAMPLE}, "
                f"not {shown(value)}"
            )
    return tuple(read)


def shown_name(name: str) -> str:
    """A name in a message."""
    return name if len(name) <= 60 else name[:57] + "…"


class _Entry:
    """One table of the section."""

    def __init__(self, tree: Tree, name: str, table: dict[str, Any], problems: list[str]) -> None:
        self._tree = tree
        self._name = name
        self._table = table
        self._problems = problems
        self._wrong = False

    def read(self) -> Throttle | None:
        if not self._name.isprintable() or not 1 <= len(self._name) <= _LONGEST_NAME:
            self._complain(None, f"has a bad name: take letters and digits, {_LONGEST_NAME} characters at most")
        for key in self._table:
            if key not in _KEYS:
                self._complain(key, f"is no key of a throttle; its keys are {', '.join(_KEYS)}")
        read = {key: self._value(key) for key in _KEYS}
        queue = read["queue"]
        if queue is None and not self._table.keys() & {"jobtype", "key"}:
            queue = self._name
            if _not_a_queue(queue):
                self._complain(
                    None, f'is no name of a queue: say which one is meant with queue = "…", not {shown(queue)}'
                )
        if not self._wrong and not self._table.keys() & {"concurrency", "worker", "rate"}:
            self._complain(None, f"limits nothing: give it concurrency, worker or rate, such as {_EXAMPLE}")
        if self._wrong:
            return None
        place = self._tree.place("throttles", self._name)
        return Throttle(self._name, **{**read, "queue": queue, "key": read["key"] or ()}, place=place)

    def _value(self, key: str) -> Any:
        if key not in self._table:
            return None
        try:
            return _KEYS[key](self._table[key])
        except ValueError as error:
            self._complain(key, str(error))
            return None

    def _complain(self, key: str | None, what: str) -> None:
        self._wrong = True
        keys = ("throttles", self._name) if key is None else ("throttles", self._name, key)
        named = ".".join((*("throttles", shown_name(self._name)), *([key] if key else [])))
        self._problems.append(f"{self._tree.place(*keys)}: {named} {what}")


def _not_a_queue(name: str) -> bool:
    return not _QUEUE_NAME.fullmatch(name) or len(name) > _LONGEST_NAME


def _queue(value: Any) -> str:
    if not isinstance(value, str) or _not_a_queue(value):
        raise ValueError(f"must be the name of a queue in quotes, not {shown(value)}")
    return value


def _jobtype(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > _LONGEST_NAME:
        raise ValueError(f"must be a jobtype in quotes, not {shown(value)}")
    return value


def _path(value: Any) -> tuple[str, ...]:
    parts = tuple(value.split(".")) if isinstance(value, str) else ()
    if not parts or not all(parts) or len(parts) > _DEEPEST_PATH:
        raise ValueError(
            'must be a path into the args such as "0", the first of them, or "0.tenant_id", a member of it, not '
            f"{shown(value)}"
        )
    return parts


def _slots(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SLOTS:
        raise ValueError(
            f"must be a whole number from 1 to {MOST_SLOTS}, not {shown(value)}; to stop a queue, pause it instead"
        )
    return value


def _seconds(value: Any) -> float:
    """A number of seconds, or a duration such as "10m"."""
    try:
        seconds = duration_seconds(value) if isinstance(value, str) else _number(value)
    except ValueError:
        seconds = 0.0
    if not 0.001 <= seconds <= LONGEST_SECONDS:
        raise ValueError(
            f'must be a number of seconds, at most a year, or a duration such as "10m", not {shown(value)}'
        )
    return seconds


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if abs(value) < 1e18 and math.isfinite(value) else 0.0


def _rate(value: Any) -> Rate:
    example = "{ limit = 100, period = 60, burst = 20 }"
    if not isinstance(value, dict):
        raise ValueError(f"must be a table such as {example}, not {shown(value)}")
    unknown = sorted(value.keys() - {"limit", "period", "burst"})
    if unknown or not {"limit", "period"} <= value.keys():
        what = f"has {shown_name(unknown[0])}, which it cannot" if unknown else "needs limit and period"
        raise ValueError(f"{what}: write a table such as {example}")
    limit = _number(value["limit"])
    if not 0.001 <= limit <= MOST_SLOTS:
        raise ValueError(f"must have a limit from 0.001 to {MOST_SLOTS}, not {shown(value['limit'])}")
    try:
        period = _seconds(value["period"])
        burst = _slots(value.get("burst", max(math.floor(limit), 1)))
    except ValueError as error:
        raise ValueError(f"must have a period and a burst as in {example}: one {error}") from None
    return Rate(limit, period, burst)


_KEYS: dict[str, Callable[[Any], Any]] = {
    "queue": _queue,
    "jobtype": _jobtype,
    "key": _path,
    "concurrency": _slots,
    "worker": _slots,
    "timeout": _seconds,
    "rate": _rate,
}
