"""SIGHUP: what changes, what waits for a restart, and that a mistake changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faktory_tw.config import ConfigError, Settings
from faktory_tw.config.keys import BY_FIELD
from faktory_tw.reload import reload

CURRENT = Settings("production", Path("/data"), Path("/conf"), "s3cret")
NEW: dict[str, Any] = {
    "max_queue_size": 5,
    "log_level": "debug",
    "description": "Jobs",
    "max_connections": 7,
    "max_line_bytes": 70_000,
    "min_free_disk_bytes": 1,
    "reclaim_dead_workers": False,
    "password": "271828",
    "web_password": "314159",
    "web_read_only_password": "161803",
    "backup_seconds": 300,
    "backup_keep": 1,
    "backup_directory": Path("/backups"),
    "track_seconds": 1,
    "result_seconds": 2,
    "max_result_bytes": 3,
    "batch_open_seconds": 4,
    "batch_kept_seconds": 5,
    "statsd_location": "localhost:1",
    "statsd_namespace": "x.",
    "statsd_tags": ("a",),
    "statsd_buffer_size": 1,
    "statsd_queue_latency": ("default",),
}
OLD: dict[str, Any] = {
    "environment": "staging",
    "directory": Path("/other"),
    "config_directory": Path("/other"),
    "bindings": (":1",),
    "web_binding": None,
    "tls_bindings": (":2",),
    "web_tls_binding": ":3",
    "durability": "os",
    "log_format": "json",
}


def reading(**changes: Any) -> Callable[[], Settings]:
    return lambda: replace(CURRENT, **changes)


def test_every_setting_either_changes_or_waits() -> None:
    assert NEW.keys() | OLD.keys() == BY_FIELD.keys()


@pytest.mark.parametrize("name", NEW)
def test_what_can_change_while_the_server_runs_changes(name: str) -> None:
    came = reload(CURRENT, reading(**{name: NEW[name]}))
    assert came.settings == replace(CURRENT, **{name: NEW[name]}) != CURRENT
    assert (came.changed, came.needs_restart, came.error) == ([BY_FIELD[name].key], [], None)
    assert came.sentences() == [f"Changed: {BY_FIELD[name].key}"]


@pytest.mark.parametrize("name", OLD)
def test_what_cannot_change_stays_and_is_named(name: str) -> None:
    came = reload(CURRENT, reading(**{name: OLD[name]}))
    assert came.settings == CURRENT
    assert (came.changed, came.needs_restart) == ([], [BY_FIELD[name].name])
    assert came.sentences() == [f"{BY_FIELD[name].name}: restart the server to change it"]


def test_what_can_change_does_so_beside_what_cannot() -> None:
    came = reload(CURRENT, reading(bindings=(":1",), max_queue_size=5, statsd_tags=("a",)))
    assert came.settings == replace(CURRENT, max_queue_size=5, statsd_tags=("a",))
    assert came.sentences() == [
        "Changed: queues.max_size, statsd.tags",
        "faktory.binding: restart the server to change it",
    ]


def test_a_mistake_changes_nothing_and_is_told() -> None:
    def read() -> Settings:
        raise ConfigError("a.toml:1: wrong", "b.toml:2: wrong, too")

    came = reload(CURRENT, read)
    assert came.settings is CURRENT
    assert (came.changed, came.needs_restart) == ([], [])
    (sentence,) = came.sentences()
    assert sentence.startswith(
        "The settings stay as they are: there are 2 mistakes in the configuration:\n  a.toml:1: "
    )


def test_nothing_new_is_said_to_be_so() -> None:
    assert reload(CURRENT, reading()).sentences() == ["No setting has changed"]


def test_no_password_is_told() -> None:
    came = reload(CURRENT, reading(password="271828", web_password="314159", web_read_only_password="161803"))
    assert came.settings.password == "271828"
    for secret in ("s3cret", "271828", "314159", "161803"):
        assert secret not in repr(came)
        assert secret not in " ".join(came.sentences())


def test_a_section_that_is_one_setting_changes_as_a_whole() -> None:
    entries = (object(),)
    came = reload(CURRENT, reading(cron=entries, durability="os"))
    assert came.settings.cron == entries
    assert came.sentences() == ["Changed: cron", "storage.durability: restart the server to change it"]
