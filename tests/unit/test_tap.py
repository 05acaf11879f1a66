"""The command line, and how the parts are joined."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.internet import endpoints
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.plugin import getPlugins
from twisted.python import usage

from faktory_tw import __version__, process
from faktory_tw.config import ConfigError
from faktory_tw.service import FaktoryService
from faktory_tw.tap import Options, endpoint_description, makeService


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without anything in it, and an environment that configures nothing."""
    for name in [name for name in os.environ if name.startswith("FAKTORY_") or name == "DD_DOGSTATSD_URL"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


# -- options -----------------------------------------------------------------------------------------------------------


def test_without_options_it_is_a_server_for_this_machine(home: Path) -> None:
    settings = parsed().settings
    assert settings.environment == "development"
    assert settings.bindings == ("localhost:7419",)
    assert settings.web_binding == "localhost:7420"
    assert settings.directory == home / ".faktory/db"
    assert settings.config_directory == home / ".faktory"
    assert settings.password is None


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["-b", "0.0.0.0:7000"], "bindings", ("0.0.0.0:7000",)),
        (["--bind", ":7000", "-b", "unix:/run/f.sock"], "bindings", (":7000", "unix:/run/f.sock")),
        (["-w", ":7421"], "web_binding", ":7421"),
        (["--web", ":0"], "web_binding", None),
        (["--web="], "web_binding", None),
        (["-e", "development"], "environment", "development"),
        (["--environment=development"], "environment", "development"),
        (["-d", "/data"], "directory", Path("/data")),
        (["--directory=/data"], "directory", Path("/data")),
        (["-c", "/conf"], "config_directory", Path("/conf")),
        (["--config=/conf"], "config_directory", Path("/conf")),
        (["-l", "debug"], "log_level", "debug"),
        (["--log-level=warn"], "log_level", "warn"),
        (["--durability=second"], "durability", "second"),
        (["--max-connections=5"], "max_connections", 5),
        (["--max-line-bytes=65536"], "max_line_bytes", 65_536),
        (["--max-queue-size=9"], "max_queue_size", 9),
        (["--min-free-disk=0"], "min_free_disk_bytes", 0),
        (["--description=Faktory Enterprise"], "description", "Faktory Enterprise"),
        (["--keep-dead-workers-jobs"], "reclaim_dead_workers", False),
    ],
)
def test_every_option_sets_what_it_names(arguments: list[str], name: str, value: object) -> None:
    assert getattr(parsed(*arguments).settings, name) == value
    assert getattr(parsed().settings, name) != value or name == "environment"


def test_the_environment_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKTORY_ENV", "production")
    monkeypatch.setenv("FAKTORY_PASSWORD", "secret")
    settings = parsed().settings
    assert (settings.environment, settings.password) == ("production", "secret")
    assert settings.directory == Path("/var/lib/faktory/db")


def test_the_password_file_is_looked_for_in_the_named_directory(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hidden\n")
    assert parsed("-c", str(tmp_path), "-e", "staging").settings.password == "hidden"


def test_the_password_cannot_be_given_where_everybody_reads_it() -> None:
    with pytest.raises(usage.UsageError):
        parsed("--password=secret")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-e", "test"], 'invalid environment "test": legal values are development, staging or production'),
        (["-e", "production"], "a password is required in production: set FAKTORY_PASSWORD"),
        (["-l", "loud"], "--log-level must be one of debug, info, warn, error, not 'loud'"),
        (["--durability=maybe"], "--durability must be one of commit, second, os, not 'maybe'"),
        (["--max-connections=x"], "--max-connections must be a whole number, not 'x'"),
        (["--max-connections=0"], "--max-connections must be 1 or more, not 0"),
        (["--max-line-bytes=100"], "--max-line-bytes must be 65536 or more, not 100"),
        (["--max-queue-size=-1"], "--max-queue-size must be 0 or more, not -1"),
        (["--min-free-disk=1G"], "--min-free-disk must be a whole number, not '1G'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as refused:
        parsed(*arguments)
    assert str(refused.value).startswith(f"faktory: {said}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("argument", ["--nonsense", "argument"])
def test_what_does_not_exist_is_refused_with_the_help(argument: str) -> None:
    with pytest.raises(usage.UsageError, match=argument.strip("-")):
        parsed(argument)


def test_the_files_are_read_and_the_options_win(home: Path) -> None:
    (home / ".faktory/conf.d").mkdir(parents=True)
    (home / ".faktory/conf.d/a.toml").write_text(
        '[faktory]\nbinding = ":1"\nlog_level = "warn"\nreclaim_dead_workers = false\n[web]\nbinding = ""\n[[cron]]\n'
    )
    settings = parsed().settings
    assert (settings.bindings, settings.log_level, settings.web_binding) == ((":1",), "warn", None)
    assert settings.reclaim_dead_workers is False
    options = parsed("-b", ":2", "-l", "info", "-w", "localhost:7420")
    settings = options.settings
    assert (settings.bindings, settings.log_level, settings.web_binding) == ((":2",), "info", "localhost:7420")
    assert options.warnings == (
        f'{home}/.faktory/conf.d/a.toml:7: it needs a schedule, such as schedule = "*/5 * * * *"; this [[cron]] is left out',
    )


def test_an_address_of_a_file_is_refused_with_its_line(home: Path) -> None:
    (home / ".faktory/conf.d").mkdir(parents=True)
    path = home / ".faktory/conf.d/a.toml"
    path.write_text('[faktory]\nbinding = "7419"')
    with pytest.raises(SystemExit) as refused:
        parsed()
    assert str(refused.value).startswith(f"faktory: {path}:2: '7419' is no address: give host:port")


def test_settings_are_read_again_from_the_same_place_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf/conf.d").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    options = parsed("-c", "conf", "-d", "data", "--max-connections=3", "-b", ":1")
    monkeypatch.chdir("/")
    assert options.read() == options.settings
    (tmp_path / "conf/conf.d/a.toml").write_text("[queues]\nmax_size = 7\n[faktory]\nmax_connections = 4")
    again = options.read()
    assert (again.max_queue_size, again.max_connections, again.directory) == (7, 3, tmp_path / "data")
    assert options.settings.max_queue_size == 0
    (tmp_path / "conf/conf.d/a.toml").write_text("[queues]\nmax_size = -1")
    with pytest.raises(ConfigError, match="must be 0 or more"):
        options.read()


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--version", "-v"):
        with pytest.raises(SystemExit) as left:
            parsed(option)
        assert left.value.code == 0
        assert capsys.readouterr().out == f"faktory_tw {__version__}, speaks the protocol of Faktory 1.9.4\n"


def test_the_help_shows_every_option() -> None:
    text = str(Options())
    for name in Options().longOpt:
        assert f"--{name}" in text


# -- addresses ---------------------------------------------------------------------------------------------------------

BAD_ADDRESSES = [
    "",
    "7419",
    "localhost",
    "localhost:",
    "localhost:x",
    "localhost:65536",
    "::1:7419",
    "[::1",
    "[::1]7419",
]
BAD_DESCRIPTIONS = ["tcp:x", "tcp:7419:bogus=1", "systemd:domain=INET"]


@pytest.mark.parametrize(
    ("address", "port", "interface"),
    [
        ("localhost:7419", 7419, "127.0.0.1"),
        ("127.0.0.1:1", 1, "127.0.0.1"),
        ("example.org:65535", 65_535, "example.org"),
        (":7419", 7419, ""),
        ("[::1]:7419", 7419, "::1"),
        ("[::]:7419", 7419, "::"),
        ("tcp:7419:interface=10.0.0.1", 7419, "10.0.0.1"),
    ],
)
def test_an_address_is_listened_on(address: str, port: int, interface: str) -> None:
    reactor = MemoryReactor()
    endpoints.serverFromString(reactor, endpoint_description(address)).listen(Factory())
    ((listened_port, _, backlog, listened_interface),) = reactor.tcpServers
    assert (listened_port, listened_interface) == (port, interface)
    assert backlog >= 1024 or address.startswith("tcp:"), "all workers come back at once after a restart"


def test_a_unix_socket_is_listened_on() -> None:
    reactor: Any = MemoryReactor()
    endpoints.serverFromString(reactor, endpoint_description("unix:/run/faktory.sock")).listen(Factory())
    assert [path for path, *_ in reactor.unixServers] == ["/run/faktory.sock"]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_an_address_that_is_none_is_quoted_and_told_what_one_is(address: str) -> None:
    with pytest.raises(ConfigError) as refused:
        endpoint_description(address)
    assert str(refused.value) == (
        f"{address!r} is no address: give host:port, :port for all interfaces, or a Twisted endpoint description"
    )


@pytest.mark.parametrize(
    ("option", "address"),
    [("-b", "7419"), ("-w", "7419"), ("-w", "localhost:x"), *itertools.product(["-b", "-w"], BAD_DESCRIPTIONS)],
)
def test_an_address_that_is_none_is_refused_with_the_options(option: str, address: str) -> None:
    """Only a refusal of parseOptions is shown as a sentence; one of makeService is shown as a traceback."""
    with pytest.raises(SystemExit) as refused:
        parsed(option, address)
    assert f"{address!r} is no address" in str(refused.value)


# -- the parts ---------------------------------------------------------------------------------------------------------


def test_the_service_is_made_without_touching_disk_or_network(home: Path) -> None:
    service = makeService(parsed("-d", str(home / "data"), "-b", ":7419", "-b", "[::1]:7419"))
    assert isinstance(service, FaktoryService)
    assert not service.running
    assert not (home / "data").exists()


def test_twistd_finds_the_plugin_and_what_it_names() -> None:
    (plugin,) = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "faktory"]
    maker: Any = plugin
    assert maker.options is Options
    assert maker.makeService is makeService


def test_the_plugin_imports_nothing_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[2] / "twisted" / "plugins" / "faktory_tw_plugin.py"
    for name in [name for name in sys.modules if name.split(".")[0] in ("faktory_tw", "web")]:
        monkeypatch.delitem(sys.modules, name)
    names: dict[str, Any] = {}
    exec(compile(path.read_text("utf-8"), str(path), "exec"), names)  # noqa: S102 - as twistd does for its list
    assert names["faktory"].description
    assert not [name for name in sys.modules if name.split(".")[0] in ("faktory_tw", "web")]


@pytest.mark.parametrize(("given", "left"), [(0o000, 0o022), (0o002, 0o022), (0o077, 0o077), (0o027, 0o027)])
def test_nobody_else_may_write_to_what_the_process_makes(given: int, left: int) -> None:
    before = os.umask(given)
    try:
        process.restrict_umask()
    finally:
        found = os.umask(before)
    assert found == left
