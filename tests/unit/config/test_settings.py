"""Where settings come from, which source wins, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faktory_tw.config import (
    DEFAULT_BINDING,
    DEFAULT_WEB_BINDING,
    ConfigError,
    Loaded,
    Settings,
    directories,
    environment,
    load,
)

Write = Callable[..., Path]


Load = Callable[..., Loaded]


def refusal(load_it: Callable[[], Loaded]) -> str:
    with pytest.raises(ConfigError) as refused:
        load_it()
    return str(refused.value)


# -- environment and directories ---------------------------------------------------------------------------------------


def test_whoever_says_nothing_is_in_development() -> None:
    assert environment(None, {}) == "development"
    assert environment("", {"FAKTORY_ENV": ""}) == "development"


def test_the_option_wins_over_the_environment_variable() -> None:
    assert environment(None, {"FAKTORY_ENV": "staging"}) == "staging"
    assert environment("production", {"FAKTORY_ENV": "staging"}) == "production"


@pytest.mark.parametrize("name", ["test", "Production", "production "])
def test_an_unknown_environment_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f'invalid environment "{name}": legal values are development, staging or'):
        environment(name, {})
    with pytest.raises(ConfigError, match="legal values"):
        load({}, {"FAKTORY_ENV": name})


def test_development_keeps_its_data_at_home(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert directories("development", None, None, home) == (tmp_path / ".faktory/db", tmp_path / ".faktory")


@pytest.mark.parametrize("name", ["staging", "production"])
def test_elsewhere_data_are_where_the_system_keeps_them(name: str) -> None:
    assert directories(name, None, None, {}) == (Path("/var/lib/faktory/db"), Path("/etc/faktory"))


def test_named_directories_are_absolute_whatever_the_working_directory_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert directories("production", "data", "~/conf", {}) == (tmp_path / "data", Path("/home/somebody/conf"))


def test_without_a_home_there_is_still_an_absolute_directory() -> None:
    data, config = directories("development", None, None, {})
    assert data.is_absolute()
    assert config.is_absolute()


def test_the_files_can_name_the_data_directory_and_the_option_wins(write: Write, loaded: Load) -> None:
    write('[storage]\ndirectory = "/srv/jobs"')
    assert loaded().settings.directory == Path("/srv/jobs")
    assert loaded(directory="/elsewhere").settings.directory == Path("/elsewhere")
    assert loaded(directory="/elsewhere").origins["directory"] == "-d"


# -- sources and their order -------------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_documentation(tmp_path: Path) -> None:
    settings = Settings("development", tmp_path, tmp_path, None)
    assert settings.bindings == (DEFAULT_BINDING,) == ("localhost:7419",)
    assert settings.web_binding == DEFAULT_WEB_BINDING == "localhost:7420"
    assert (settings.durability, settings.log_level, settings.description) == ("commit", "info", "Faktory")
    assert (settings.max_line_bytes, settings.min_free_disk_bytes) == (67_108_864, 67_108_864)
    assert (settings.max_connections, settings.max_queue_size, settings.reclaim_dead_workers) == (10_000, 0, True)


def test_without_files_variables_and_options_the_defaults_hold(tmp_path: Path, loaded: Load) -> None:
    there = loaded()
    assert there.settings == Settings("development", directories("development", None, None, {})[0], tmp_path, None)
    assert there.warnings == ()


FILES = [
    ('[faktory]\nbinding = ":7000"', "bindings", (":7000",)),
    ('[faktory]\nbinding = [":7000", "unix:/run/f"]', "bindings", (":7000", "unix:/run/f")),
    ('[faktory]\ntls_binding = ":7001"', "tls_bindings", (":7001",)),
    ('[faktory]\npassword = "s3cret"', "password", "s3cret"),
    ('[faktory]\ndescription = "Jobs"', "description", "Jobs"),
    ("[faktory]\nmax_connections = 5", "max_connections", 5),
    ("[faktory]\nmax_line_bytes = 65_536", "max_line_bytes", 65_536),
    ('[faktory]\nlog_level = "warn"', "log_level", "warn"),
    ('[faktory]\nlog_format = "json"', "log_format", "json"),
    ("[faktory]\nreclaim_dead_workers = false", "reclaim_dead_workers", False),
    ('[web]\nbinding = ":7421"', "web_binding", ":7421"),
    ('[web]\nbinding = ":0"', "web_binding", None),
    ('[web]\ntls_binding = "localhost:7422"', "web_tls_binding", "localhost:7422"),
    ('[web]\npassword = "other"', "web_password", "other"),
    ("[queues]\nmax_size = 9", "max_queue_size", 9),
    ('[backup]\nfrequency = "1h30m"', "backup_seconds", 5400),
    ("[backup]\nkeep = 3", "backup_keep", 3),
    ('[backup]\ndirectory = "/backups"', "backup_directory", Path("/backups")),
    ('[storage]\ndirectory = "/data"', "directory", Path("/data")),
    ('[storage]\ndurability = "os"', "durability", "os"),
    ("[storage]\nmin_free_disk = 0", "min_free_disk_bytes", 0),
    ('[statsd]\nlocation = "localhost:8125"', "statsd_location", "localhost:8125"),
    ('[statsd]\nnamespace = "jobs."', "statsd_namespace", "jobs."),
    ('[statsd]\ntags = ["env:test"]', "statsd_tags", ("env:test",)),
    ("[statsd]\nbufferSize = 1", "statsd_buffer_size", 1),
    ('[statsd]\nqueueLatency = ["default", "mail"]', "statsd_queue_latency", ("default", "mail")),
]


@pytest.mark.parametrize(("text", "name", "value"), FILES)
def test_every_key_of_a_file_sets_what_it_names(write: Write, loaded: Load, text: str, name: str, value: Any) -> None:
    assert getattr(loaded().settings, name) != value
    path = write(text)
    there = loaded()
    assert getattr(there.settings, name) == value
    assert there.origins[name] == f"{path}:2"
    assert there.warnings == ()


@pytest.mark.parametrize(
    ("text", "option", "given", "name", "value"),
    [
        ('[faktory]\nbinding = ":1"', "bind", [":2", ":3"], "bindings", (":2", ":3")),
        ('[web]\nbinding = ":1"', "web", "", "web_binding", None),
        ('[faktory]\nlog_level = "warn"', "log_level", "info", "log_level", "info"),
        ("[faktory]\nmax_connections = 5", "max_connections", "10000", "max_connections", 10_000),
        ("[faktory]\nmax_line_bytes = 65536", "max_line_bytes", "70000", "max_line_bytes", 70_000),
        ('[faktory]\ndescription = "A"', "description", "Faktory", "description", "Faktory"),
        ("[faktory]\nreclaim_dead_workers = true", "keep_dead_workers_jobs", 1, "reclaim_dead_workers", False),
        ("[queues]\nmax_size = 1", "max_queue_size", "0", "max_queue_size", 0),
        ('[storage]\ndurability = "os"', "durability", "commit", "durability", "commit"),
        ("[storage]\nmin_free_disk = 1", "min_free_disk", "0", "min_free_disk_bytes", 0),
    ],
)
def test_an_option_wins_over_the_files_also_when_it_says_the_default(
    write: Write, loaded: Load, text: str, option: str, given: Any, name: str, value: Any
) -> None:
    write(text)
    assert getattr(loaded().settings, name) != value
    there = loaded(**{option: given})
    assert getattr(there.settings, name) == value
    assert there.origins[name] == "--" + option.replace("_", "-")


def test_options_that_were_not_given_leave_the_files_alone(write: Write, loaded: Load) -> None:
    write('[faktory]\nbinding = ":1"\nlog_level = "warn"')
    settings = loaded(bind=[], log_level=None).settings
    assert (settings.bindings, settings.log_level) == ((":1",), "warn")


def test_everything_that_is_wrong_is_told_at_once(write: Write, loaded: Load) -> None:
    first = write('[faktory]\nmax_connections = 0\nlog_level = "loud"')
    second = write("[[[", "conf.d/b.toml")
    with pytest.raises(ConfigError) as refused:
        loaded(environment="production", max_queue_size="x", durability="maybe")
    problems = refused.value.problems
    assert [problem.split(": ")[0] for problem in problems[:3]] == [f"{second}:1:3", f"{first}:2", f"{first}:3"]
    assert problems[3:5] == (
        "--max-queue-size must be a whole number, not 'x'",
        "--durability must be one of commit, second, os, not 'maybe'",
    )
    assert problems[5].startswith("a password is required in production")
    assert len(problems) == 6
    assert str(refused.value).startswith("there are 6 mistakes in the configuration:\n  /")


def test_an_address_in_a_file_is_checked_and_its_line_told(tmp_path: Path, write: Write) -> None:
    def refuse(address: str) -> None:
        if address == "bad":
            raise ConfigError("'bad' is no address")

    path = write('[faktory]\nbinding = [":1", "bad"]\n[web]\nbinding = "bad"')
    said = refusal(lambda: load({"config": str(tmp_path), "bind": ["bad"]}, {}, refuse))
    assert said.splitlines()[1:] == [
        f"  {path}:2: 'bad' is no address",
        f"  {path}:4: 'bad' is no address",
        "  'bad' is no address",
    ]


def test_what_was_probably_meant_to_be_read_is_pointed_out(tmp_path: Path, write: Write, loaded: Load) -> None:
    write("", "faktory.toml")
    assert loaded().warnings == (f"{tmp_path / 'faktory.toml'} is not read: move it to {tmp_path / 'conf.d'}",)
    missing = load({"config": str(tmp_path / "none")}, {})
    assert missing.warnings == (f"the configuration directory {tmp_path / 'none'} does not exist",)
    assert load({}, {"HOME": str(tmp_path)}).warnings == ()


# -- backups, metrics, TLS ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "seconds"), [("development", 0), ("staging", 3600), ("production", 3600)])
def test_backups_are_taken_by_themselves_outside_development(loaded: Load, name: str, seconds: int) -> None:
    environ = {"FAKTORY_PASSWORD": "x"}
    assert loaded(environ, environment=name).settings.backup_seconds == seconds
    environ["FAKTORY_BACKUP_FREQUENCY"] = "20m"
    assert loaded(environ, environment=name).settings.backup_seconds == 1200


def test_the_variable_for_backups_wins_over_the_files(write: Write, loaded: Load) -> None:
    write('[backup]\nfrequency = "2h"')
    assert loaded().settings.backup_seconds == 7200
    there = loaded({"FAKTORY_BACKUP_FREQUENCY": "0"})
    assert (there.settings.backup_seconds, there.warnings) == (0, ())
    assert there.origins["backup_seconds"] == "FAKTORY_BACKUP_FREQUENCY"


def test_too_many_backups_become_one_in_five_minutes(write: Write, loaded: Load) -> None:
    path = write('[backup]\nfrequency = "299s"')
    there = loaded()
    assert there.settings.backup_seconds == 300
    assert there.warnings[0].startswith(f"{path}:2: backup.frequency is '299s', but no more than one backup is taken")
    there = loaded({"FAKTORY_BACKUP_FREQUENCY": "1s"})
    assert there.settings.backup_seconds == 300
    assert there.warnings[1].startswith("FAKTORY_BACKUP_FREQUENCY is '1s', but no more than one")


def test_a_frequency_that_cannot_be_read_is_an_hour_in_the_variable_and_a_mistake_in_a_file(
    write: Write, loaded: Load
) -> None:
    there = loaded({"FAKTORY_BACKUP_FREQUENCY": "hourly"})
    assert there.settings.backup_seconds == 3600
    (said,) = there.warnings
    assert said.startswith("FAKTORY_BACKUP_FREQUENCY must be a duration such as")
    assert said.endswith("not 'hourly': a backup is taken every hour")
    path = write('[backup]\nfrequency = "hourly"')
    assert refusal(loaded).startswith(f"{path}:2: backup.frequency must be a duration such as")


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("udp://localhost:9125", "localhost:9125"),
        ("udp://10.0.0.1", "10.0.0.1:8125"),
        ("udp://[::1]:9125", "[::1]:9125"),
        ("udp://[::1]", "[::1]:8125"),
    ],
)
def test_the_address_for_metrics_can_come_from_datadogs_variable(
    write: Write, loaded: Load, url: str, location: str
) -> None:
    write('[statsd]\nlocation = "elsewhere:1"')
    there = loaded({"DD_DOGSTATSD_URL": url})
    assert (there.settings.statsd_location, there.warnings) == (location, ())


@pytest.mark.parametrize("url", ["unix:///var/run/dsd.socket", "localhost:8125", "udp://", "udp://[::1", "udp://a:b"])
def test_datadogs_variable_in_another_form_is_no_reason_not_to_start(loaded: Load, url: str) -> None:
    there = loaded({"DD_DOGSTATSD_URL": url})
    assert there.settings.statsd_location is None
    assert there.warnings == (
        f"DD_DOGSTATSD_URL must have the form udp://host:port, not {url!r}: it is not used for metrics",
    )


@pytest.mark.parametrize("name", ["staging", "production"])
def test_tls_is_refused_outside_development_with_the_way_to_have_it(write: Write, loaded: Load, name: str) -> None:
    path = write('[faktory]\npassword = "x"\ntls_binding = ":7421"\n[web]\ntls_binding = ":7422"')
    assert loaded().settings.tls_bindings == (":7421",)
    text = refusal(lambda: loaded(environment=name))
    assert text.startswith(
        f"TLS belongs in a front end in {name}: remove faktory.tls_binding ({path}:3) and web.tls_binding ({path}:5) "
    )
    for program in ("haproxy:", "nginx stream:", "stunnel:"):
        assert program in text
    assert 'section "TLS"' in text


@pytest.mark.parametrize("option", ["bind", "web"])
def test_an_address_with_tls_is_refused_in_production_too(loaded: Load, option: str) -> None:
    address = "ssl:7419:privateKey=key.pem"
    given = {option: [address] if option == "bind" else address}
    text = refusal(lambda: loaded({"FAKTORY_PASSWORD": "x"}, environment="production", **given))
    assert f"TLS belongs in a front end in production: remove the address {address!r}" in text
