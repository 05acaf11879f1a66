"""The table of all settings: it is complete, and each kind of value says what it must be."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from faktory_tw.config import Settings, defaults
from faktory_tw.config.keys import BY_FIELD, BY_KEY, BY_OPTION, DURABILITIES, SECTIONS, SETTINGS, TABLES
from faktory_tw.config.kinds import duration_seconds
from faktory_tw.config.policies import POLICY_SETTINGS, QueuePolicy
from faktory_tw.config.table import default_text
from faktory_tw.storage import sqlite
from faktory_tw.tap import Options


def test_every_field_of_the_settings_is_in_the_table() -> None:
    assert {setting.field for setting in SETTINGS} == set(BY_FIELD)
    assert {each.name for each in fields(Settings)} == BY_FIELD.keys() | TABLES.keys()
    assert {each.name for each in fields(QueuePolicy)} == {setting.field for setting in POLICY_SETTINGS}


def test_every_setting_can_be_set_in_a_file_except_what_decides_which_files_are_read() -> None:
    assert {setting.field for setting in SETTINGS if not setting.key} == {"environment", "config_directory"}
    assert len(BY_KEY) == len(SETTINGS) - 2, "no key is there twice"
    assert sum(len(keys) for keys in SECTIONS.values()) == len(BY_KEY)


def test_every_option_of_the_command_line_is_in_the_table() -> None:
    options = {name.rstrip("=") for name in Options().longOpt} - {"help", "version"}
    assert options == set(BY_OPTION)
    assert {setting.letter for setting in SETTINGS if setting.letter} == set("bcdelw")


def test_the_durabilities_are_those_of_the_store() -> None:
    assert sorted(DURABILITIES) == sorted(sqlite.DURABILITIES)


def test_only_passwords_are_secret() -> None:
    assert {setting.field for setting in SETTINGS if setting.secret} == {
        "password",
        "web_password",
        "web_read_only_password",
    }


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting.key], ids=lambda each: each.key)
def test_every_default_is_a_value_that_could_have_been_set(setting: Any) -> None:
    default = defaults()[setting.field]
    if default is not None and default != () and setting.kind.read.__name__ not in ("duration_seconds", "_path"):
        assert setting.kind.read(list(default) if isinstance(default, tuple) else default) == default
    assert default_text(setting, defaults()) not in ("", "None", "()")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("faktory.max_connections", "many", "must be a whole number, not 'many'"),
        ("faktory.max_connections", 1.5, "must be a whole number, not 1.5"),
        ("faktory.max_connections", True, "must be a whole number, not true"),
        ("faktory.max_connections", 0, "must be 1 or more, not 0"),
        ("queues.max_size", -3, "must be 0 or more, not -3"),
        ("faktory.max_line_bytes", 100, "must be 65536 or more, not 100"),
        ("faktory.log_level", "Info", "must be one of debug, info, warn, error, not 'Info'"),
        ("faktory.log_level", ["info"], "must be one of debug, info, warn, error, not ['info']"),
        ("faktory.log_format", "xml", "must be one of auto, human, json, not 'xml'"),
        ("storage.durability", 1, "must be one of commit, second, os, not 1"),
        ("faktory.description", 1, "must be text in quotes, not 1"),
        ("faktory.description", {"a": "b" * 90}, f"must be text in quotes, not {{'a': '{'b' * 50}…"),
        ("faktory.reclaim_dead_workers", "yes", "must be true or false, not 'yes'"),
        ("faktory.reclaim_dead_workers", 1, "must be true or false, not 1"),
        ("faktory.binding", 7419, "must be an address in quotes or a list of them, not 7419"),
        ("faktory.binding", [], "must be an address in quotes or a list of them, not []"),
        ("faktory.binding", [":1", 2], "must be an address in quotes or a list of them, not [':1', 2]"),
        ("web.binding", [":1"], "must be an address in quotes, not [':1']"),
        ("faktory.tls_binding", "unix:/run/f", "must be host:port, or :port for all interfaces, not 'unix:/run/f'"),
        ("faktory.tls_binding", [":1", "x"], "must be host:port, or :port for all interfaces, not 'x'"),
        ("web.tls_binding", "localhost", "must be host:port, or :port for all interfaces, not 'localhost'"),
        ("backup.directory", "backups", """must be a path in quotes that begins with "/" or "~/", not 'backups'"""),
        ("faktory.password", "", "must not be empty; leave it out to go without"),
        ("faktory.password", 1, "must be text in quotes"),
        ("faktory.password_file", "secret", 'must be a path in quotes that begins with "/" or "~/"'),
        ("statsd.location", "localhost", "must be an address such as \"localhost:8125\", not 'localhost'"),
        ("statsd.location", "localhost:0", "must be an address such as \"localhost:8125\", not 'localhost:0'"),
        ("statsd.location", "h:65536", "must be an address such as \"localhost:8125\", not 'h:65536'"),
        ("statsd.tags", "env:x", """must be a list of texts such as ["a", "b"], not 'env:x'"""),
        ("statsd.queueLatency", ["a", ""], """must be a list of texts such as ["a", "b"], not ['a', '']"""),
        ("backup.frequency", 3600, 'must be a duration such as "1h", "30m" or "1h30m", not 3600'),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_what_it_must_be(key: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        BY_KEY[key].kind.read(value)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h", 3600),
        ("30m", 1800),
        ("90s", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5m", 30),
        ("1.m", 60),
        ("2m1500ms", 121.5),
        ("1us", 1e-6),
        ("1µs", 1e-6),
        ("1ns", 1e-9),
        ("0", 0),
        ("0s", 0),
        ("-5m", -300),
        ("+5m", 300),
        (" 1h ", 3600),
    ],
)
def test_a_duration_is_written_as_in_go(text: str, seconds: float) -> None:
    assert duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "1", "h", "1 h", "1h 30m", "1d", "1h30", "h1", "-", "+-5m", "--5m", "1e3s", "9" * 400 + "h", "00", None],
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        duration_seconds(text)


def test_a_path_may_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert BY_KEY["backup.directory"].kind.read("~/backups") == Path("/home/somebody/backups")
