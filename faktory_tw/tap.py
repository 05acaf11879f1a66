"""``twistd faktory`` and ``twist faktory``: the options, and the only place where the parts are joined."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import FilteringLogObserver, Logger, LogLevel, LogLevelFilterPredicate, globalLogPublisher
from twisted.python import usage

import web
from faktory_tw import __version__, config
from faktory_tw.config import MIB, ConfigError, Settings
from faktory_tw.server import SPOKEN_VERSION
from faktory_tw.service import FaktoryService
from faktory_tw.storage.sqlite import DURABILITIES, SQLiteStore

_BACKLOG = 1024  # connections that wait to be accepted: all workers come back at once after a restart
_DESCRIPTION = re.compile(r"(tcp|tcp6|unix|ssl|tls|systemd|fd|stdio|haproxy):")
_HOST_PORT = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})")
_LEVELS = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}


class Options(usage.Options):
    """The command line. The letters are those of the Faktory server."""

    synopsis = "[options]"
    longdesc = (
        "A background job server that speaks the Faktory work protocol: worker libraries of every language connect "
        "to it unchanged. Passwords come from FAKTORY_PASSWORD or the file `password` of the configuration directory."
    )
    optParameters: ClassVar = [
        ["web", "w", config.DEFAULT_WEB_BINDING, "Address of the web UI, as with -b; an empty one or :0 is no web UI"],
        ["environment", "e", None, "development, staging or production [default: FAKTORY_ENV or development]"],
        ["directory", "d", None, "Data directory [default: ~/.faktory/db, in production /var/lib/faktory/db]"],
        ["config", "c", None, "Configuration directory [default: ~/.faktory, in production /etc/faktory]"],
        ["log-level", "l", "info", "debug, info, warn or error"],
        [
            "durability",
            None,
            "commit",
            "commit: sync before every acknowledgement; second: sync once a second; os: leave it to the system",
        ],
        ["max-connections", None, 10_000, "Connections accepted at a time"],
        ["max-line-bytes", None, 64 * MIB, "Longest command accepted"],
        ["max-queue-size", None, 0, "Jobs a queue may hold before PUSH is refused; 0 is no limit"],
        ["min-free-disk", None, 64 * MIB, "Bytes of free disk below which PUSH is refused"],
        ["description", None, "Faktory", "The server's name in INFO; some clients look for Faktory"],
    ]
    optFlags: ClassVar = [["keep-dead-workers-jobs", None, "Leave the jobs of vanished workers to their reservations"]]
    compData = usage.Completions(optActions={"directory": usage.CompleteDirs(), "config": usage.CompleteDirs()})

    def __init__(self) -> None:
        super().__init__()
        self["bindings"] = []

    def opt_bind(self, address: str) -> None:
        """Address for commands: host:port, :port for all interfaces, or an endpoint; repeatable [localhost:7419]."""
        self["bindings"].append(address)

    opt_b = opt_bind

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"faktory_tw {__version__}, speaks the protocol of Faktory {SPOKEN_VERSION}\n")
        raise SystemExit(0)

    opt_v = opt_version

    def postOptions(self) -> None:
        try:
            self.settings = self._settings()
            for address in (*self.settings.bindings, self.settings.web_binding):
                if address:
                    _endpoint(None, address)
        except ConfigError as error:
            raise usage.UsageError(str(error)) from None

    def _settings(self) -> Settings:
        environment = config.environment(self["environment"], os.environ)
        directory, config_directory = config.directories(environment, self["directory"], self["config"], os.environ)
        web_binding = self["web"]
        return Settings(
            environment=environment,
            directory=directory,
            config_directory=config_directory,
            password=config.password(environment, config_directory, os.environ),
            bindings=tuple(self["bindings"]) or (config.DEFAULT_BINDING,),
            web_binding=None if web_binding in ("", ":0") else web_binding,
            log_level=config.one_of("log-level", self["log-level"], config.LEVELS),
            durability=config.one_of("durability", self["durability"], DURABILITIES),
            description=self["description"],
            max_line_bytes=config.whole_number("max-line-bytes", self["max-line-bytes"], 65_536),
            max_connections=config.whole_number("max-connections", self["max-connections"], 1),
            max_queue_size=config.whole_number("max-queue-size", self["max-queue-size"], 0),
            min_free_disk_bytes=config.whole_number("min-free-disk", self["min-free-disk"], 0),
            reclaim_dead_workers=not self["keep-dead-workers-jobs"],
        )


def endpoint_description(address: str) -> str:
    """The Twisted endpoint description of ``host:port``; a description stays as it is. Raises ConfigError."""
    if _DESCRIPTION.match(address):
        return address
    parts = _HOST_PORT.fullmatch(address)
    if parts is None or int(parts["port"]) > 65_535:
        raise ConfigError(
            f"{address!r} is no address: give host:port, :port for all interfaces, or a Twisted endpoint description"
        )
    if parts["six"]:
        return f"tcp6:{parts['port']}:interface={parts['six'].replace(':', chr(92) + ':')}:backlog={_BACKLOG}"
    host = "127.0.0.1" if parts["host"] == "localhost" else parts["host"]
    return f"tcp:{parts['port']}:interface={host}:backlog={_BACKLOG}"


def _endpoint(reactor: Any, address: str) -> IStreamServerEndpoint:
    try:
        return serverFromString(reactor, endpoint_description(address))
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - endpoint plugins raise whatever they like
        raise ConfigError(f"{address!r} is no address: {error}") from None


def makeService(options: Options) -> IService:
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it

    settings = options.settings
    log = Logger(
        "faktory_tw",
        observer=FilteringLogObserver(globalLogPublisher, [LogLevelFilterPredicate(_LEVELS[settings.log_level])]),
    )
    return FaktoryService(
        reactor,
        settings,
        lambda: SQLiteStore(settings.directory, settings.durability),
        [_endpoint(reactor, address) for address in settings.bindings],
        (_endpoint(reactor, settings.web_binding), web.make_site) if settings.web_binding else None,
        log,
    )
