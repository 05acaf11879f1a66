"""All settings in one table: what each is called in the files, the environment and on the command line, what it must be.

Validation, the options of ``twistd faktory``, ``faktory-tw check-config`` and the table of the README are made from it,
so that none of them can forget a setting.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
ENVIRONMENTS = ("development", "staging", "production")
LEVELS = ("debug", "info", "warn", "error")
LOG_FORMATS = ("auto", "human", "json")
DURABILITIES = ("commit", "second", "os")
MASK = "********"

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_HOST_PORT = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]/]+):(?P<port>\d{1,5})")
_LISTENING = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]/]*):\d{1,5}")


@dataclass(frozen=True)
class Kind:
    """What a value must be.

    ``read`` takes the value of a TOML file and returns that of ``Settings``; ValueError says "must be …, not …".
    ``of_text`` makes the former from the text of an option or an environment variable.
    """

    read: Callable[[Any], Any]
    of_text: Callable[[str], Any] = str


def shown(value: object) -> str:
    """A value in a message: quoted as far as it is text, and not endless."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _must_be(what: str, value: object) -> ValueError:
    return ValueError(f"must be {what}, not {shown(value)}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _must_be("text in quotes", value)
    return value


def _secret(value: Any) -> str:
    """Text; what it is instead is not told, because it is a secret all the same."""
    if not isinstance(value, str):
        raise ValueError("must be text in quotes")
    if not value.strip():
        raise ValueError("must not be empty; leave it out to go without")
    return value


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value.startswith(("/", "~/")):
        raise _must_be('a path in quotes that begins with "/" or "~/"', value)
    return Path(value).expanduser()


def _secret_path(value: Any) -> Path:
    """As above; but somebody may have written the password itself here, so it is not repeated."""
    if not isinstance(value, str) or not value.startswith(("/", "~/")):
        raise ValueError('must be a path in quotes that begins with "/" or "~/"')
    return Path(value).expanduser()


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _must_be("true or false", value)
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise _must_be('a list of texts such as ["a", "b"]', value)
    return tuple(value)


def _address(value: Any) -> str | None:
    """One address; None when there is to be none."""
    if not isinstance(value, str):
        raise _must_be("an address in quotes", value)
    return None if value in ("", ":0") else value


def _addresses(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(isinstance(address, str) for address in listed):
        raise _must_be("an address in quotes or a list of them", value)
    return tuple(listed)


def _tls_address(value: Any) -> str | None:
    """One address for TLS; None when there is to be none. Twisted's descriptions bring a certificate of their own."""
    address = _address(value)
    if address is not None and not _LISTENING.fullmatch(address):
        raise _must_be("host:port, or :port for all interfaces", value)
    return address


def _tls_addresses(value: Any) -> tuple[str, ...]:
    return tuple(address for address in map(_tls_address, _addresses(value)) if address is not None)


def _host_port(value: Any) -> str:
    found = _HOST_PORT.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 0 < int(found["port"]) < 65_536:
        raise _must_be('an address such as "localhost:8125"', value)
    return str(value)


def duration_seconds(value: Any) -> float:
    """The seconds of a Go duration such as "1h30m"; "0" is one, too. ValueError for anything else."""
    text = value.strip() if isinstance(value, str) else ""
    digits = text.lstrip("+-") if len(text) - len(text.lstrip("+-")) < 2 else ""
    parts = _DURATION.findall(digits)
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    if (not parts and digits != "0") or "".join(number + unit for number, unit in parts) not in (digits, ""):
        raise _must_be('a duration such as "1h", "30m" or "1h30m"', value)
    if not math.isfinite(seconds):
        raise _must_be("a duration of less than a lifetime", value)
    return -seconds if text.startswith("-") else seconds


def whole_number(least: int) -> Kind:
    """A whole number of at least ``least``."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _must_be("a whole number", value)
        if value < least:
            raise _must_be(f"{least} or more", value)
        return value

    def of_text(text: str) -> Any:
        try:
            return int(text)
        except ValueError:
            return text

    return Kind(read, of_text)


def one_of(choices: tuple[str, ...]) -> Kind:
    """One of several words."""

    def read(value: Any) -> str:
        if value not in choices:
            raise _must_be(f"one of {', '.join(choices)}", value)
        return str(value)

    return Kind(read)


TEXT, FLAG, TEXTS = Kind(_text), Kind(_flag), Kind(_texts)
SECRET, PATH, SECRET_PATH = Kind(_secret), Kind(_path), Kind(_secret_path)
TLS_ADDRESS, TLS_ADDRESSES = Kind(_tls_address), Kind(_tls_addresses)
ADDRESS, ADDRESSES, HOST_PORT, DURATION = Kind(_address), Kind(_addresses), Kind(_host_port), Kind(duration_seconds)


@dataclass(frozen=True)
class Setting:
    """One setting.

    ``key`` is "section.name" in the files, and "" where it cannot be there; ``field`` its name in ``Settings``.
    ``option`` is the long option without its dashes. ``default`` is told instead of the value in ``Settings`` where that
    would say too little. ``reloads``: SIGHUP changes it.
    """

    key: str
    field: str
    kind: Kind
    meaning: str
    default: str = ""
    option: str = ""
    letter: str | None = None
    variable: str = ""
    reloads: bool = False
    secret: bool = False

    @property
    def name(self) -> str:
        """What it is called where a key is wanted: its key, or else its field."""
        return self.key or self.field


_ADDRESS_FORMS = "host:port, :port for all interfaces, or a Twisted endpoint description"

SETTINGS = (
    Setting(
        "",
        "environment",
        one_of(ENVIRONMENTS),
        "development, staging or production. It decides where files are looked for.",
        default="development",
        option="environment",
        letter="e",
        variable="FAKTORY_ENV",
    ),
    Setting(
        "",
        "config_directory",
        PATH,
        "Configuration directory; in staging and production /etc/faktory.",
        default="~/.faktory",
        option="config",
        letter="c",
    ),
    Setting(
        "faktory.binding",
        "bindings",
        ADDRESSES,
        f"Where to accept commands: {_ADDRESS_FORMS}; or a list of them.",
        option="bind",
        letter="b",
    ),
    Setting(
        "faktory.tls_binding",
        "tls_bindings",
        TLS_ADDRESSES,
        "Where to accept commands over TLS: host:port or :port, or a list. In development only.",
        default="none",
    ),
    Setting(
        "faktory.password",
        "password",
        SECRET,
        "The password of clients, and of HTTP unless [web] has its own. One that begins with / names a file.",
        default="none",
        variable="FAKTORY_PASSWORD",
        reloads=True,
        secret=True,
    ),
    Setting(
        "faktory.password_file",
        "password",
        SECRET_PATH,
        "The file that holds the password, instead of faktory.password.",
        default="password in the configuration directory",
        reloads=True,
    ),
    Setting(
        "faktory.description",
        "description",
        TEXT,
        "The server's name in INFO; some clients look for Faktory.",
        option="description",
        reloads=True,
    ),
    Setting(
        "faktory.max_connections",
        "max_connections",
        whole_number(1),
        "Connections accepted at a time. Further ones are refused with an -ERR before the greeting.",
        option="max-connections",
        reloads=True,
    ),
    Setting(
        "faktory.max_line_bytes",
        "max_line_bytes",
        whole_number(65_536),
        "Longest command accepted, at least 64 KiB.",
        default="67108864 (64 MiB)",
        option="max-line-bytes",
        reloads=True,
    ),
    Setting(
        "faktory.log_level",
        "log_level",
        one_of(LEVELS),
        "debug, info, warn or error.",
        option="log-level",
        letter="l",
        reloads=True,
    ),
    Setting(
        "faktory.log_format",
        "log_format",
        one_of(LOG_FORMATS),
        "human: lines for people; json: one JSON object a line; auto: human on a terminal, json otherwise.",
    ),
    Setting(
        "faktory.reclaim_dead_workers",
        "reclaim_dead_workers",
        FLAG,
        "Take the jobs of vanished workers back after a minute; false leaves them to their reservations.",
        option="keep-dead-workers-jobs",
        reloads=True,
    ),
    Setting(
        "web.binding",
        "web_binding",
        ADDRESS,
        "Where to serve HTTP, in the forms of faktory.binding; an empty one or :0 is no web UI.",
        option="web",
        letter="w",
    ),
    Setting(
        "web.tls_binding",
        "web_tls_binding",
        TLS_ADDRESS,
        "Where to serve HTTPS. In development only.",
        default="none",
    ),
    Setting(
        "web.password",
        "web_password",
        SECRET,
        "The password of HTTP. One that begins with / names a file.",
        default="that of clients",
        variable="FAKTORY_WEB_PASSWORD",
        reloads=True,
        secret=True,
    ),
    Setting(
        "web.password_file",
        "web_password",
        SECRET_PATH,
        "The file that holds the password of HTTP, instead of web.password.",
        default="none",
        reloads=True,
    ),
    Setting(
        "web.read_only_password",
        "web_read_only_password",
        SECRET,
        "A second password of HTTP, for people who see everything and change nothing. One that begins with / names a file.",
        default="none",
        variable="FAKTORY_WEB_READ_ONLY_PASSWORD",
        reloads=True,
        secret=True,
    ),
    Setting(
        "web.read_only_password_file",
        "web_read_only_password",
        SECRET_PATH,
        "The file that holds it, instead of web.read_only_password.",
        default="none",
        reloads=True,
    ),
    Setting(
        "queues.max_size",
        "max_queue_size",
        whole_number(0),
        "Jobs a queue may hold before PUSH is refused; 0 is no limit.",
        option="max-queue-size",
        reloads=True,
    ),
    Setting(
        "backup.frequency",
        "backup_seconds",
        DURATION,
        'The time between two automatic backups: "1h", "1h30m"; at least five minutes; "0" is never.',
        default="1h; in development 0",
        variable="FAKTORY_BACKUP_FREQUENCY",
        reloads=True,
    ),
    Setting("backup.keep", "backup_keep", whole_number(1), "How many backups to keep, the newest.", reloads=True),
    Setting(
        "backup.directory",
        "backup_directory",
        PATH,
        "Where to put backups.",
        default="backups in the data directory",
        reloads=True,
    ),
    Setting(
        "storage.directory",
        "directory",
        PATH,
        "Data directory; in staging and production /var/lib/faktory/db.",
        default="~/.faktory/db",
        option="directory",
        letter="d",
    ),
    Setting(
        "storage.durability",
        "durability",
        one_of(DURABILITIES),
        "commit: sync before every acknowledgement; second: sync once a second; os: leave it to the system.",
        option="durability",
    ),
    Setting(
        "storage.min_free_disk",
        "min_free_disk_bytes",
        whole_number(0),
        "Bytes of free disk below which PUSH is refused.",
        default="67108864 (64 MiB)",
        option="min-free-disk",
        reloads=True,
    ),
    Setting(
        "tracking.kept_for",
        "track_seconds",
        DURATION,
        "How long a track is kept after its last update, once the job has ended.",
        default="30m",
        reloads=True,
    ),
    Setting(
        "tracking.result_kept_for",
        "result_seconds",
        DURATION,
        "How long it is kept when the job left a result.",
        default="24h",
        reloads=True,
    ),
    Setting(
        "tracking.max_result_bytes",
        "max_result_bytes",
        whole_number(0),
        "Longest result of a job; 0 refuses results.",
        default="65536 (64 KiB)",
        reloads=True,
    ),
    Setting(
        "batches.open_for",
        "batch_open_seconds",
        DURATION,
        "How long a batch may stay uncommitted without a PUSH to it or a BATCH OPEN.",
        default="30m",
        reloads=True,
    ),
    Setting(
        "batches.kept_for",
        "batch_kept_seconds",
        DURATION,
        "How long a batch is kept after its end, for BATCH STATUS and the web UI.",
        default="24h",
        reloads=True,
    ),
    Setting(
        "statsd.location",
        "statsd_location",
        HOST_PORT,
        "Where to send metrics by UDP, as host:port. The variable has the form udp://host:port.",
        default="none: they are not sent",
        variable="DD_DOGSTATSD_URL",
        reloads=True,
    ),
    Setting("statsd.namespace", "statsd_namespace", TEXT, "What the names of all metrics begin with.", reloads=True),
    Setting("statsd.tags", "statsd_tags", TEXTS, 'Tags of all metrics: ["env:production"].', "none", reloads=True),
    Setting(
        "statsd.bufferSize",
        "statsd_buffer_size",
        whole_number(1),
        "Metrics sent in one datagram at most.",
        reloads=True,
    ),
    Setting(
        "statsd.queueLatency",
        "statsd_queue_latency",
        TEXTS,
        'Queues whose latency is sent: ["default"].',
        default="none",
        reloads=True,
    ),
)

BY_KEY = {setting.key: setting for setting in SETTINGS if setting.key}
BY_FIELD = {setting.field: setting for setting in SETTINGS if not setting.key.endswith("password_file")}
BY_OPTION = {setting.option: setting for setting in SETTINGS if setting.option}
SECTIONS: dict[str, tuple[str, ...]] = {
    section: tuple(key.split(".")[1] for key in BY_KEY if key.startswith(section + "."))
    for section in dict.fromkeys(key.split(".")[0] for key in BY_KEY)
}


def default_text(setting: Setting, defaults: Mapping[str, object]) -> str:
    """The default of a setting for people; ``defaults`` has the values of ``Settings`` by field."""
    if setting.default:
        return setting.default
    value = defaults[setting.field]
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def settings_table(defaults: Mapping[str, object]) -> str:
    """All settings as a reStructuredText table, 120 columns wide; ``defaults`` as for `default_text`."""
    widths = (32, 19, 60, 6)
    rule = " ".join("=" * width for width in widths)
    lines = [rule, _row(("Key in the files", "Default", "Meaning", "SIGHUP"), widths)[0], rule]
    for setting in SETTINGS:
        ways = [f"-{setting.letter}"] if setting.letter else []
        ways += [f"--{setting.option}"] if setting.option else []
        named = " Option " + ", ".join(f"``{way}``" for way in ways) + "." if ways else ""
        named += f" Variable ``{setting.variable}``." if setting.variable else ""
        cells = (
            f"``{setting.key}``" if setting.key else "(not in files)",
            default_text(setting, defaults),
            _literal(setting.meaning) + named,
            "yes" if setting.reloads else "no",
        )
        lines += _row(cells, widths)
    return "\n".join([*lines, rule]) + "\n"


def _row(cells: tuple[str, ...], widths: tuple[int, ...]) -> list[str]:
    columns = [
        textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]
        for cell, width in zip(cells, widths, strict=True)
    ]
    height = max(len(column) for column in columns)
    return [
        " ".join(
            (column[line] if line < len(column) else "").ljust(width)
            for column, width in zip(columns, widths, strict=True)
        ).rstrip()
        for line in range(height)
    ]


def _literal(text: str) -> str:
    """What is typed as it stands gets the marks of a literal: keys, paths and what is in double quotes."""
    return re.sub(
        r'(?<!\S)((?:\["[^"]*"\]|"[^"]*"|/\w[\w/]*|udp://[\w:]+|[a-z]+\.[a-z_]+))(?=[\s,.;)]|$)', r"``\1``", text
    )
