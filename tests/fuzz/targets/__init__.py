"""The targets: functions that take bytes and raise when something is not as it must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.fuzz import edges
from tests.fuzz.targets import records, settings, values, wire


class Target(NamedTuple):
    """``begin_with`` are examples of what is meant, ``edges`` of what is not.

    ``max_bytes``: longer inputs are not tried by the coverage-guided driver, which would only grow slow with them.
    """

    run: Callable[[bytes], None]
    max_bytes: int
    begin_with: Callable[[], Iterator[bytes]] = lambda: iter(())
    edges: Callable[[], Iterator[bytes]] = lambda: iter(())


TARGETS: dict[str, Target] = {
    "framing": Target(wire.framing, 2000, wire.recorded_streams),
    "hello": Target(wire.hello, 1000, wire.greetings, edges.greetings),
    "conversation": Target(wire.conversation, 4000, wire.recorded_scripts),
    "command": Target(wire.command, 2000, wire.recorded_lines, edges.lines),
    "job": Target(values.job, 4000, wire.recorded_jobs, edges.jobs),
    "jobs": Target(values.jobs, 4000, wire.recorded_jobs, edges.jobs),
    "glob": Target(values.glob, 400, values.globs, values.globs),
    "times": Target(values.times, 60, values.moments),
    "toml": Target(settings.toml, 3000, settings.readme_files, edges.files),
    "value": Target(settings.value, 200, settings.defaults),
    "schedule": Target(settings.schedule, 150, settings.schedules),
    "entries": Target(records.entries, 4000, records.written_entries),
    "journal": Target(records.journal, 4000, records.written_journal),
    "facts": Target(records.facts, 500, records.written_facts),
    "storage": Target(wire.storage, 4000, wire.recorded_scripts),
}
