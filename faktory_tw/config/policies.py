"""What an operator says of a single queue: the tables ``[queues.NAME]``.

Whatever is left out is as it is for every queue. A name with a dot is written in quotes, ``[queues."mail.eu"]``, because
TOML takes the dot for another level; who forgets them is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from faktory_tw.config.files import Tree
from faktory_tw.config.keys import BY_KEY, Setting
from faktory_tw.config.kinds import seconds, whole_number
from faktory_tw.config.sections import nearest

_QUEUE_NAME = re.compile(r"[a-zA-Z0-9._-]{1,1024}", re.ASCII)  # as PUSH admits them
_DAY = 86_400
_MOST_RETRIES = 1_000_000


@dataclass(frozen=True)
class QueuePolicy:
    """What is different in one queue; None: nothing. ``aging`` is in seconds, 0 is without."""

    max_size: int | None = None
    retry: int | None = None
    reserve_for: int | None = None
    priority: int | None = None
    aging: int = 0

    def told(self) -> dict[str, str]:
        """What it says, for people, by the key in the files."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        told = {name: str(value) for name, value in said.items() if value is not None}
        told.update((name, f"{told[name]}s") for name in ("reserve_for", "aging") if name in told)
        if not self.aging:
            del told["aging"]
        return told


Policies = Mapping[str, QueuePolicy]

POLICY_SETTINGS = (
    Setting(
        "queues.NAME.max_size",
        "max_size",
        whole_number(0),
        "The same for one queue; 0 is no limit.",
        default="queues.max_size",
        reloads=True,
    ),
    Setting(
        "queues.NAME.retry",
        "retry",
        whole_number(-1, _MOST_RETRIES),
        "How often a failed job is tried again that was pushed to this queue without retry; 0: it is dropped, -1: it is dead.",
        default="25",
        reloads=True,
    ),
    Setting(
        "queues.NAME.reserve_for",
        "reserve_for",
        seconds(60, _DAY),
        "How long a worker may have a job that was pushed without reserve_for.",
        default="30m",
        reloads=True,
    ),
    Setting(
        "queues.NAME.priority",
        "priority",
        whole_number(1, 9),
        "The priority of jobs that were pushed without one.",
        default="5",
        reloads=True,
    ),
    Setting(
        "queues.NAME.aging",
        "aging",
        seconds(0, 365 * _DAY),
        "For each such time that a job has waited it counts as one priority higher; 0 is without.",
        default="0",
        reloads=True,
    ),
)
_BY_FIELD = {setting.field: setting for setting in POLICY_SETTINGS}


def read_policies(tree: Tree, problems: list[str]) -> tuple[dict[str, QueuePolicy], dict[str, str]]:
    """The policies of the files by queue, and the place ``file:line`` of each value by its key."""
    policies: dict[str, QueuePolicy] = {}
    places: dict[str, str] = {}
    section = tree.values.get("queues")
    for name, table in section.items() if isinstance(section, dict) else ():
        if not isinstance(table, dict) or f"queues.{name}" in BY_KEY:  # which is looked at with the other settings
            continue
        if not _QUEUE_NAME.fullmatch(name):
            problems.append(
                f"{tree.place('queues', name)}: [queues.{shown_name(name)}]: a queue is named with letters, digits, dot,"
                " underscore and hyphen, 1024 characters at most"
            )
            continue
        policy = QueuePolicy(**_values(tree, name, table, problems, places))
        if policy != QueuePolicy():
            policies[name] = policy
    return policies, places


def _values(
    tree: Tree, name: str, table: dict[str, Any], problems: list[str], places: dict[str, str]
) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        place = tree.place("queues", name, key)
        setting = _BY_FIELD.get(key)
        if setting is None:
            problems.append(f"{place}: {_unknown_key(name, key, value)}")
            continue
        try:
            values[key] = setting.kind.read(value)
        except ValueError as error:
            problems.append(f"{place}: queues.{shown_name(name)}.{key} {error}")
            continue
        places[f"queues.{shown_name(name)}.{key}"] = place
    return values


def _unknown_key(name: str, key: str, value: Any) -> str:
    where = f"[queues.{shown_name(name)}]"
    near = nearest(key, _BY_FIELD)
    if isinstance(value, dict):
        return (
            f'[queues.{name}.{key}] has too many dots: the name of a queue with dots is written [queues."{name}.{key}"]'
        )
    if near:
        return f"unknown key {key} in {where}; did you mean {near}?"
    return f"unknown key {key} in {where}; its keys are {', '.join(_BY_FIELD)}"


def shown_name(name: str) -> str:
    """The name of a queue as it is written in a key, and not endless."""
    short = name if len(name) <= 60 else name[:57] + "…"
    return short if "." not in short and _QUEUE_NAME.fullmatch(short) else f'"{short}"'
