"""Everything about the server that a report of a defect should have: versions, settings, disk, memory, the store, counters.

No job, argument or password is in it. What asks the operating system, and may take its time, is :func:`measure`, for a
thread; the rest is read in the reactor's.
"""

from __future__ import annotations

import gc
import os
import platform
import re
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from faktory_tw import __version__
from faktory_tw.config import Settings
from faktory_tw.config.keys import BY_FIELD, MASK
from faktory_tw.config.policies import shown_name
from faktory_tw.metrics import Metrics
from faktory_tw.server import SPOKEN_VERSION, Server, resident_kib
from faktory_tw.times import rfc3339

from ..look.languages import gettext_noop as _

_LIBRARIES = (
    "Twisted",
    "klein",
    "Werkzeug",
    "Jinja2",
    "Babel",
    "msgspec",
    "sortedcontainers",
    "prometheus-client",
    "cryptography",
    "pyOpenSSL",
)
_CREDENTIALS = re.compile(r"(://[^/@\s:]*:)[^@/\s]*@")
_SECRET_OPTION = re.compile(r"(--?[\w-]*(?:password|secret|token|key)[\w-]*=).*", re.IGNORECASE)
_STORE_FACTS = {
    "engine": _("Engine"),
    "journal_records": _("Records in the journal"),
    "checkpoints": _("Checkpoints since the start"),
    "writes_since_checkpoint": _("Writes since the last checkpoint"),
    "bytes_since_checkpoint": _("Written since the last checkpoint"),
}


class Fact(NamedTuple):
    """One line. ``kind`` is "text", "count", "size" (in bytes) or "seconds".

    ``term`` is in English, to be translated where it is shown, unless it is a ``name``.
    """

    term: str
    value: str | float | None
    kind: str = "text"
    name: bool = False


class Section(NamedTuple):
    """Facts that belong together."""

    title: str
    facts: list[Fact]


class Measures(NamedTuple):
    """What a thread has asked of the operating system."""

    platform: str
    libraries: dict[str, str]
    disk_total: int
    disk_free: int
    files: dict[str, int]
    backups: int
    backup_bytes: int
    open_files: int | None
    most_open_files: int | None
    load: str


def measure(directory: Path, backup_directory: Path) -> Measures:
    """Ask the operating system. What it does not tell is 0 or None."""
    try:
        room = os.statvfs(directory)
        total, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
    except OSError:
        total = free = 0
    names = ("faktory.db", "faktory.db-wal", "faktory.db-shm")
    kept = _sizes(backup_directory, "faktory-*.db")
    return Measures(
        _platform(),
        _libraries(),
        total,
        free,
        {name: _size(directory / name) for name in names},
        len(kept),
        sum(kept),
        _open_files(),
        _most_open_files(),
        " ".join(f"{each:.2f}" for each in os.getloadavg()) if hasattr(os, "getloadavg") else "",
    )


@cache
def _platform() -> str:
    return platform.platform()


@cache
def _libraries() -> dict[str, str]:
    """Their versions, which are read from files once: they stay what was loaded."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sizes(directory: Path, pattern: str) -> list[int]:
    try:
        return [_size(path) for path in directory.glob(pattern)]
    except OSError:
        return []


def _open_files() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None


def _most_open_files() -> int | None:
    try:
        import resource  # noqa: PLC0415 - Unix only

        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except (ImportError, OSError):
        return None


# -- in the reactor's thread -----------------------------------------------------------------------------------------


def sections(server: Server, found: Measures) -> list[Section]:
    """All of it, but what concerns only who looks."""
    told = [
        Section(_("Versions"), list(_versions(server, found))),
        Section(_("Process"), list(_process(server, found))),
        Section(_("Memory"), list(_memory())),
        Section(_("Disk"), list(_disk(server, found))),
        Section(_("Store"), list(_store(server))),
        Section(_("Clients"), list(_clients(server))),
        Section(_("Commands by verb (refused)"), list(_commands(server))),
        Section(_("Done without being asked, since the start"), list(_tasks(server))),
    ]
    if server.settings is not None:
        told.append(Section(_("Settings in force"), list(_settings(server.settings))))
    return told


def _versions(server: Server, found: Measures) -> Iterator[Fact]:
    yield Fact("faktory_tw", __version__, name=True)
    yield Fact(_("Protocol"), f"Faktory {SPOKEN_VERSION}")
    yield Fact("Python", f"{platform.python_version()} ({platform.python_implementation()})", name=True)
    yield Fact(_("Store"), str(server.store_facts().get("engine", "")) or None)
    for name, number in found.libraries.items():
        yield Fact(name, number, name=True)
    yield Fact(_("Platform"), found.platform)


def _process(server: Server, found: Measures) -> Iterator[Fact]:
    yield Fact(_("Command line"), command_line(sys.argv))
    yield Fact(_("Process ID"), str(os.getpid()))
    yield Fact(_("Uptime"), server.clock.monotonic() - server.started_at, "seconds")
    yield Fact(_("Threads"), threading.active_count(), "count")
    yield Fact(_("Open files"), found.open_files, "count")
    yield Fact(_("Open files at most"), found.most_open_files, "count")
    yield Fact(_("Processors"), os.cpu_count(), "count")
    yield Fact(_("Load"), found.load)
    yield Fact(_("Time zone of the machine"), f"{time.tzname[0]} (UTC{time.strftime('%z')})")
    yield Fact(_("Event loop lag"), _histogram(server, "faktory_event_loop_lag_seconds"))


def _memory() -> Iterator[Fact]:
    yield Fact(_("Resident memory"), resident_kib() * 1024, "size")
    yield Fact(_("Memory blocks of Python"), sys.getallocatedblocks(), "count")
    yield Fact(_("Objects left out of garbage collection"), gc.get_freeze_count(), "count")
    yield Fact(_("Waiting for garbage collection, by generation"), " / ".join(map(str, gc.get_count())))
    collected = (f"{each['collections']} ({each['collected']})" for each in gc.get_stats())
    yield Fact(_("Garbage collections (objects collected)"), " / ".join(collected))


def _disk(server: Server, found: Measures) -> Iterator[Fact]:
    if server.settings is not None:
        yield Fact(_("Data directory"), str(server.settings.directory))
    yield Fact(_("File system"), found.disk_total, "size")
    yield Fact(_("Used"), found.disk_total - found.disk_free, "size")
    yield Fact(_("Free"), found.disk_free, "size")
    if server.settings is not None:
        yield Fact(_("Jobs are refused below"), server.settings.min_free_disk_bytes, "size")
    for name, size in found.files.items():
        yield Fact(name, size, "size", name=True)
    yield Fact(_("Backups"), found.backups, "count")
    yield Fact(_("Size of all backups"), found.backup_bytes, "size")


def _store(server: Server) -> Iterator[Fact]:
    yield Fact(_("Durability"), server.durability)
    for name, value in server.store_facts().items():
        kind = "text" if isinstance(value, str) else "size" if name.startswith("bytes") else "count"
        yield Fact(_STORE_FACTS.get(name, name), value, kind, name=name not in _STORE_FACTS)
    yield Fact(_("Commits"), _histogram(server, "faktory_commit_seconds"))
    obstacles = "; ".join(server.obstacles())
    yield Fact(_("New jobs are refused because"), obstacles or None)


def _clients(server: Server) -> Iterator[Fact]:
    manager = server.manager
    yield Fact(_("Connections"), server.connections, "count")
    yield Fact(_("Connections accepted since the start"), server.accepted_connections, "count")
    refused = ", ".join(f"{reason} {number}" for reason, number in sorted(server.refused_connections.items()))
    yield Fact(_("Connections refused"), refused or "0")
    yield Fact(_("Workers"), len(manager.workers), "count")
    yield Fact(_("FETCHes that wait for a job"), manager.waits(), "count")
    yield Fact(_("Jobs pushed since the start"), manager.pushed, "count")
    yield Fact(_("Jobs fetched since the start"), manager.fetched, "count")
    yield Fact(_("Queues"), len(manager.queues()), "count")


def _commands(server: Server) -> Iterator[Fact]:
    for verb, number in sorted(server.commands.items()):
        refused = server.refused_commands.get(verb, 0)
        yield Fact(verb.decode("ascii", "replace"), f"{number} ({refused})" if refused else str(number), name=True)
    yield Fact(_("Unknown commands"), server.unknown_commands, "count")


def _tasks(server: Server) -> Iterator[Fact]:
    tasks = server.manager.tasks
    yield Fact(_("Scheduled jobs enqueued"), tasks["Scheduled"].enqueued, "count")
    yield Fact(_("Retries enqueued"), tasks["Retries"].enqueued, "count")
    yield Fact(_("Dead jobs dropped after their time"), tasks["Dead"].enqueued, "count")
    yield Fact(_("Jobs taken back from workers"), tasks["Busy"].reaped, "count")
    yield Fact(_("Workers that vanished"), tasks["Workers"].reaped, "count")
    yield Fact(_("Time that took"), sum(tasks[name].wall_time for name in ("Scheduled", "Retries", "Dead")), "seconds")


def _settings(settings: Settings) -> Iterator[Fact]:
    for each in fields(settings):
        setting = BY_FIELD.get(each.name)
        if setting is None:
            continue
        value = getattr(settings, each.name)
        secret = setting.secret or "password" in each.name
        if value is None or value == ():
            told = "none"
        elif secret:
            told = MASK
        elif isinstance(value, tuple):
            told = ", ".join(map(str, value))
        else:
            told = str(value).lower() if isinstance(value, bool) else str(value)
        yield Fact(setting.name, told, name=True)
    for name, policy in settings.queue_policies.items():
        told = ", ".join(f"{key} = {value}" for key, value in policy.told().items())
        yield Fact(f"queues.{shown_name(name)}", told, name=True)


def command_line(words: list[str]) -> str:
    """The words a process was started with, without what may be a secret."""
    told, hide = [], False
    for word in words:
        shown = MASK if hide else _SECRET_OPTION.sub(rf"\g<1>{MASK}", _CREDENTIALS.sub(rf"\g<1>{MASK}@", word))
        hide = not hide and bool(re.fullmatch(_SECRET_OPTION.pattern.replace("=).*", ")"), word, re.IGNORECASE))
        told.append(shown)
    return shlex.join(told)


def _histogram(server: Server, family: str) -> str:
    """How often something was measured since the start, and how long half of it, and 99 of 100, took at most."""
    buckets = _buckets(server, family)
    count = int(buckets[-1][1]) if buckets else 0
    told = [f"{count} ×"]
    for share in (0.5, 0.99) if count else ():
        bound = next(bound for bound, number in buckets if number >= share * count)
        told.append(f"{share:.0%} ≤ {bound:g} s")
    return ", ".join(told)


def _buckets(server: Server, name: str) -> list[tuple[float, float]]:
    """(upper bound in seconds, number of those below) of a histogram."""
    if not isinstance(server.metrics, Metrics):
        return []
    for family in server.metrics.collect():
        if family.name == name:
            found = [each for each in family.samples if each.name.endswith("_bucket")]
            return [(float(each.labels["le"]), each.value) for each in found]
    return []


# -- as text -----------------------------------------------------------------------------------------------------------


def as_text(told: list[Section], at: float) -> str:
    """The same in English, for a report."""
    lines = [f"faktory_tw, {rfc3339(at)}"]
    for section in told:
        lines += ["", section.title, "-" * len(section.title)]
        lines += [f"{fact.term}: {_plain(fact)}" for fact in section.facts]
    return "\n".join(lines) + "\n"


def _plain(fact: Fact) -> str:
    if fact.value is None:
        return "none"
    if fact.kind == "size":
        return f"{fact.value} bytes"
    if fact.kind == "seconds":
        return f"{float(fact.value):.6g} s"
    return str(fact.value)
