"""``twistd faktory`` and ``twist faktory``: the options, and the only place where the parts are joined."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python import usage

import web
from faktory_tw import __version__, config, process
from faktory_tw.config import ConfigError, Settings
from faktory_tw.config.keys import BY_OPTION
from faktory_tw.config.table import default_text
from faktory_tw.features.cron import check_job
from faktory_tw.logs import Logs
from faktory_tw.server import SPOKEN_VERSION
from faktory_tw.service import Addresses, FaktoryService
from faktory_tw.storage.sqlite import SQLiteStore

_BACKLOG = 4096  # connections that wait to be accepted: all workers come back at once after a restart
_DESCRIPTION = re.compile(r"(tcp|tcp6|unix|systemd|fd|stdio|haproxy):")
_HOST_PORT = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})")


def _parameter(option: str) -> list[Any]:
    setting = BY_OPTION[option]
    default = default_text(setting, config.defaults())
    # None and not the default, so that it is known whether the option was given: it wins over the files then.
    return [option, setting.letter, None, f"{setting.meaning} [default: {default}]"]


class Options(usage.Options):
    """The command line. The letters are those of the Faktory server.

    ``settings`` are those of options, environment and files together; ``warnings`` are for the log.
    """

    synopsis = "[options]"
    longdesc = (
        "A background job server that speaks the Faktory work protocol: worker libraries of every language connect "
        "to it unchanged. What is not given here is read from FAKTORY_... variables and from the files conf.d/*.toml of "
        "the configuration directory; see README.rst. Passwords come from FAKTORY_PASSWORD, these files, or the file "
        "`password` of the configuration directory."
    )
    optParameters: ClassVar = [
        _parameter(option) for option in BY_OPTION if option not in ("bind", "keep-dead-workers-jobs")
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
        self._given = {option: self[option] for option in BY_OPTION if option != "bind" and self[option] is not None}
        self._given["bind"] = self["bindings"]
        if not self["keep-dead-workers-jobs"]:
            del self._given["keep-dead-workers-jobs"]
        try:
            self.settings = self.read()
        except ConfigError as error:
            # Not a UsageError: sixty lines of help would hide the one that says what is wrong in which file.
            raise SystemExit(f"faktory: {error}") from None  # said on stderr; the status is 1
        # What is relative is so to the directory of the start; twistd may leave it.
        self._given["directory"] = str(self.settings.directory) if self["directory"] else None
        self._given["config"] = str(self.settings.config_directory) if self["config"] else None

    def read(self) -> Settings:
        """Read options, environment and files, at start and at SIGHUP. Raises ConfigError; sets ``warnings``."""
        loaded = config.load(self._given, os.environ, check_address, check_job)
        self.warnings = loaded.warnings
        return loaded.settings


def check_address(address: str) -> None:
    """Raise ConfigError for what cannot be listened on."""
    _endpoint(None, address)


def endpoint_description(address: str) -> str:
    """The Twisted endpoint description of ``host:port``; a description stays as it is. Raises ConfigError."""
    if address.startswith(("ssl:", "tls:")):
        raise ConfigError(
            f"{address!r}: in development set faktory.tls_binding or web.tls_binding in conf.d; in production TLS is left "
            "to a front end"
        )
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
    launcher: Any = options.parent
    process.refuse_unwritable_pidfile(launcher or {})
    process.restrict_umask()
    logs = Logs(settings.log_level, settings.log_format, launcher)
    log = logs.logger("faktory_tw")

    def read_settings() -> Settings:
        fresh = options.read()
        _warn(log, options.warnings)
        return fresh

    _warn(log, options.warnings)
    addresses = Addresses(
        [_endpoint(reactor, address) for address in settings.bindings],
        _endpoint(reactor, settings.web_binding) if settings.web_binding else None,
        make_site=web.make_site,
    )
    if settings.tls_bindings or settings.web_tls_binding:
        addresses = _with_tls(addresses, reactor, settings, log)
    return FaktoryService(
        reactor,
        settings,
        lambda: SQLiteStore(settings.directory, settings.durability),
        addresses,
        log,
        logs,
        read_settings,
    )


def _warn(log: Logger, warnings: Sequence[str]) -> None:
    for warning in warnings:
        log.warn("{warning}", warning=warning)  # noqa: G010 - Twisted's loggers have no other name


def _with_tls(addresses: Addresses, reactor: Any, settings: Settings, log: Logger) -> Addresses:
    """Add the endpoints with TLS, for development, with a certificate that is made now if there is none."""
    try:
        from faktory_tw import tls  # noqa: PLC0415 - OpenSSL costs twelve MiB

        secure = tls.endpoints(reactor, settings, socket.gethostname(), datetime.now(timezone.utc))
    except ImportError:
        raise SystemExit("faktory: TLS needs packages that are not installed: pip install 'faktory_tw[tls]'") from None
    except ConfigError as error:
        raise SystemExit(f"faktory: {error}") from None
    log.info("{notice}", notice=secure.notice)
    return addresses._replace(secure_commands=secure.commands, secure_web=secure.web)
