"""The settings of one server: where they come from, what they must be, and what they are when nobody says.

Options of the command line win over environment variables, these over the files of the configuration directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENTS = ("development", "staging", "production")
LEVELS = ("debug", "info", "warn", "error")
DEFAULT_BINDING = "localhost:7419"
DEFAULT_WEB_BINDING = "localhost:7420"
MIB = 1024 * 1024


class ConfigError(Exception):
    """A setting that cannot be used. The text says which, and what to do."""


@dataclass(frozen=True)
class Settings:
    """Everything a server is started with; sizes in bytes. ``password`` None: clients need none."""

    environment: str
    directory: Path
    config_directory: Path
    password: str | None
    bindings: tuple[str, ...] = (DEFAULT_BINDING,)
    web_binding: str | None = DEFAULT_WEB_BINDING
    log_level: str = "info"
    durability: str = "commit"
    description: str = "Faktory"
    max_line_bytes: int = 64 * MIB
    max_connections: int = 10_000
    max_queue_size: int = 0
    min_free_disk_bytes: int = 64 * MIB
    reclaim_dead_workers: bool = True
    web_password: str | None = None  # None: the same as of clients
    backup_seconds: int = 0  # between two automatic backups; 0: none
    backup_keep: int = 24
    backup_directory: Path | None = None  # None: `backups` in the data directory
    log_format: str = "auto"  # auto: lines for people on a terminal, JSON otherwise
    statsd_location: str | None = None  # host:port
    statsd_namespace: str = "faktory."
    statsd_tags: tuple[str, ...] = ()
    statsd_queue_latency: tuple[str, ...] = ()
    tls_bindings: tuple[str, ...] = ()  # development only
    web_tls_binding: str | None = None  # development only


def environment(option: str | None, environ: Mapping[str, str]) -> str:
    """The environment by its name: ``-e``, else FAKTORY_ENV, else development."""
    name = option or environ.get("FAKTORY_ENV") or "development"
    if name not in ENVIRONMENTS:
        raise ConfigError(f'invalid environment "{name}": legal values are development, staging or production')
    return name


def directories(
    environment: str, data: str | None, config: str | None, environ: Mapping[str, str]
) -> tuple[Path, Path]:
    """The data and the configuration directory, as absolute paths: twistd may change the working directory."""
    home = Path(environ.get("HOME") or "~").expanduser()
    if environment == "development":
        default_data, default_config = home / ".faktory" / "db", home / ".faktory"
    else:
        default_data, default_config = Path("/var/lib/faktory/db"), Path("/etc/faktory")
    return (
        Path(data).expanduser().absolute() if data else default_data,
        Path(config).expanduser().absolute() if config else default_config,
    )


def password(environment: str, config_directory: Path, environ: Mapping[str, str]) -> str | None:
    """The password of clients and web UI: FAKTORY_PASSWORD, else the file ``password`` of the configuration directory.

    A FAKTORY_PASSWORD that begins with ``/`` names a file. Outside development there must be one, unless
    FAKTORY_SKIP_PASSWORD says otherwise.
    """
    found = environ.get("FAKTORY_PASSWORD", "")
    if found.startswith("/"):
        found = _read_password(Path(found), "FAKTORY_PASSWORD")
    if not found:
        file = config_directory / "password"
        if file.exists():
            found = _read_password(file, "the configuration directory")
    if found:
        return found
    if environment != "development" and environ.get("FAKTORY_SKIP_PASSWORD", "").lower() not in ("1", "true", "yes"):
        raise ConfigError(
            f"a password is required in {environment}: set FAKTORY_PASSWORD to it (or to the path of a file that holds "
            f"it), or write it to {config_directory / 'password'}; FAKTORY_SKIP_PASSWORD=1 goes without"
        )
    return None


def _read_password(path: Path, origin: str) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read the password file {path} named by {origin}: {reason}") from None
    if not text:
        raise ConfigError(f"the password file {path} named by {origin} is empty")
    return text


def whole_number(name: str, text: str, least: int) -> int:
    """``text`` as a whole number of at least ``least``."""
    try:
        number = int(text)
    except ValueError:
        raise ConfigError(f"--{name} must be a whole number, not {text!r}") from None
    if number < least:
        raise ConfigError(f"--{name} must be {least} or more, not {number}")
    return number


def one_of(name: str, text: str, choices: tuple[str, ...]) -> str:
    """``text``, when it is one of the choices."""
    if text not in choices:
        raise ConfigError(f"--{name} must be one of {', '.join(choices)}, not {text!r}")
    return text
