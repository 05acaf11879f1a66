"""Where settings come from, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from faktory_tw.config import (
    DEFAULT_BINDING,
    DEFAULT_WEB_BINDING,
    ConfigError,
    Settings,
    directories,
    environment,
    one_of,
    password,
    whole_number,
)


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
        environment(None, {"FAKTORY_ENV": name})


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


# -- the password ------------------------------------------------------------------------------------------------------


@pytest.fixture
def config_directory(tmp_path: Path) -> Path:
    """A configuration directory with a password file."""
    (tmp_path / "password").write_text("  from the file\n", encoding="utf-8")
    return tmp_path


def test_the_environment_variable_wins_over_the_file(config_directory: Path) -> None:
    assert password("production", config_directory, {"FAKTORY_PASSWORD": " as it is "}) == " as it is "


def test_the_file_of_the_configuration_directory_has_the_password(config_directory: Path) -> None:
    assert password("production", config_directory, {}) == "from the file"
    assert password("development", config_directory, {"FAKTORY_PASSWORD": ""}) == "from the file"


def test_an_environment_variable_that_is_a_path_names_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pässword\n", encoding="utf-8")
    assert password("production", tmp_path, {"FAKTORY_PASSWORD": str(tmp_path / "secret")}) == "pässword"


def test_development_needs_no_password(tmp_path: Path) -> None:
    assert password("development", tmp_path, {}) is None


@pytest.mark.parametrize("name", ["staging", "production"])
def test_elsewhere_a_password_is_required(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        password(name, tmp_path, {})
    text = str(refused.value)
    assert text.startswith(f"a password is required in {name}: set FAKTORY_PASSWORD")
    assert str(tmp_path / "password") in text
    assert "FAKTORY_SKIP_PASSWORD=1" in text


@pytest.mark.parametrize(
    ("answer", "goes_without"), [("1", True), ("true", True), ("YES", True), ("0", False), ("", False)]
)
def test_production_goes_without_a_password_only_when_it_is_said(
    tmp_path: Path, answer: str, goes_without: bool
) -> None:
    environ = {"FAKTORY_SKIP_PASSWORD": answer}
    if goes_without:
        assert password("production", tmp_path, environ) is None
    else:
        with pytest.raises(ConfigError, match="a password is required"):
            password("production", tmp_path, environ)


def test_skipping_the_password_does_not_skip_one_that_is_there(config_directory: Path) -> None:
    assert password("production", config_directory, {"FAKTORY_SKIP_PASSWORD": "1"}) == "from the file"


def test_a_password_file_that_is_missing_empty_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, said in (("missing", "No such file"), ("empty", "is empty"), ("bytes", "not UTF-8"), ("", "directory")):
        path = tmp_path / name
        with pytest.raises(ConfigError, match=said) as refused:
            password("production", tmp_path, {"FAKTORY_PASSWORD": str(path)})
        assert f"{path} named by FAKTORY_PASSWORD" in str(refused.value)


def test_an_empty_password_file_does_not_open_the_server(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("\n")
    with pytest.raises(ConfigError, match="named by the configuration directory is empty"):
        password("development", tmp_path, {})


# -- numbers and choices -----------------------------------------------------------------------------------------------


def test_a_whole_number_is_read() -> None:
    assert whole_number("max-connections", "12", 1) == 12
    assert whole_number("max-connections", " 1 ", 1) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("many", "--max-connections must be a whole number, not 'many'"),
        ("", "--max-connections must be a whole number, not ''"),
        ("1.5", "--max-connections must be a whole number, not '1.5'"),
        ("64M", "--max-connections must be a whole number, not '64M'"),
        ("0", "--max-connections must be 1 or more, not 0"),
        ("-3", "--max-connections must be 1 or more, not -3"),
    ],
)
def test_a_number_that_is_none_or_too_small_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        whole_number("max-connections", text, 1)
    assert str(refused.value) == said


def test_a_choice_is_one_of_those_that_are_named() -> None:
    assert one_of("colour", "red", ("red", "blue")) == "red"
    with pytest.raises(ConfigError) as refused:
        one_of("colour", "Red", ("red", "blue"))
    assert str(refused.value) == "--colour must be one of red, blue, not 'Red'"


def test_the_defaults_are_those_of_the_documentation(tmp_path: Path) -> None:
    settings = Settings("development", tmp_path, tmp_path, None)
    assert settings.bindings == (DEFAULT_BINDING,) == ("localhost:7419",)
    assert settings.web_binding == DEFAULT_WEB_BINDING == "localhost:7420"
    assert (settings.durability, settings.log_level, settings.description) == ("commit", "info", "Faktory")
    assert (settings.max_line_bytes, settings.min_free_disk_bytes) == (67_108_864, 67_108_864)
    assert (settings.max_connections, settings.max_queue_size, settings.reclaim_dead_workers) == (10_000, 0, True)
