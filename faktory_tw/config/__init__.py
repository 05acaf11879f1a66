"""The settings of one server: where they come from, what they must be, and what they are when nobody says.

Options of the command line win over environment variables, these over the files ``conf.d/*.toml`` of the configuration
directory, these over the defaults. `SETTINGS` (faktory_tw/config/keys.py) lists them all. What is wrong is collected, so
that an administrator hears of everything at once; what is only unwise becomes a warning.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from faktory_tw.config import files, secrets
from faktory_tw.config.cron import CheckJob, CronEntry, read_entries
from faktory_tw.config.files import Tree, is_array_of_tables
from faktory_tw.config.keys import BY_FIELD, BY_KEY, BY_OPTION, ENVIRONMENTS, MASK, MIB, Setting
from faktory_tw.config.kinds import duration_seconds
from faktory_tw.config.policies import Policies, read_policies, shown_name
from faktory_tw.config.sections import check_sections
from faktory_tw.config.throttles import Throttle, read_throttles

DEFAULT_BINDING = "localhost:7419"
DEFAULT_WEB_BINDING = "localhost:7420"
BACKUP_SECONDS = 3600  # outside development, unless set
FEWEST_BACKUP_SECONDS = 300

# The key of each in the files, by its field; with "_file" after it, that of the file which holds it.
_PASSWORDS = {
    "password": "faktory.password",
    "web_password": "web.password",
    "web_read_only_password": "web.read_only_password",
}

CheckAddress = Callable[[str], object]


def _any_address(_address: str) -> None:
    """Find nothing wrong with an address."""


def _any_job(_job: bytes) -> None:
    """Find nothing wrong with a job."""


_NOTHING: Mapping[str, Any] = MappingProxyType({})

_TLS_REFUSED = """\
TLS belongs in a front end in {environment}: remove {where} and let one of these programs accept TLS at \
a public address and pass it on to localhost:7419 (README.rst, section "TLS", has complete examples):
  haproxy:       listen faktory
                   mode tcp
                   bind PUBLIC-ADDRESS:7419 ssl crt /etc/ssl/faktory.pem
                   server faktory 127.0.0.1:7419
  nginx stream:  server {{ listen PUBLIC-ADDRESS:7419 ssl; proxy_pass 127.0.0.1:7419;
                          ssl_certificate /etc/ssl/faktory.pem; ssl_certificate_key /etc/ssl/faktory.key; }}
  stunnel:       [faktory]
                 accept = PUBLIC-ADDRESS:7419
                 connect = 127.0.0.1:7419
                 cert = /etc/ssl/faktory.pem"""


class ConfigError(Exception):
    """Settings that cannot be used. Each of ``problems`` says which one, and what to do."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        listed = "\n".join(textwrap.indent(problem, "  ") for problem in self.problems)
        return f"there are {len(self.problems)} mistakes in the configuration:\n{listed}"


@dataclass(frozen=True)
class Settings:
    """Everything a server is started with; sizes in bytes. ``password`` None: clients need none."""

    environment: str
    directory: Path
    config_directory: Path
    password: str | None = field(repr=False)
    bindings: tuple[str, ...] = (DEFAULT_BINDING,)
    web_binding: str | None = DEFAULT_WEB_BINDING
    log_level: str = "info"
    durability: str = "commit"
    description: str = "Faktory"
    max_line_bytes: int = 64 * MIB
    max_connections: int = 10_000
    max_queue_size: int = 0
    queue_policies: Policies = field(default_factory=dict)  # by queue
    min_free_disk_bytes: int = 64 * MIB
    reclaim_dead_workers: bool = True
    web_password: str | None = field(default=None, repr=False)  # None: the same as of clients
    web_read_only_password: str | None = field(default=None, repr=False)  # None: nobody only looks
    backup_seconds: int = 0  # between two automatic backups; 0: none
    backup_keep: int = 24
    backup_directory: Path | None = None  # None: `backups` in the data directory
    log_format: str = "auto"  # auto: lines for people on a terminal, JSON otherwise
    track_seconds: int = 1800  # that a track is kept after the job has ended, or after the last update
    result_seconds: int = 86_400  # that a track with a result is
    max_result_bytes: int = 65_536
    batch_open_seconds: int = 1800  # without a push or OPEN, after which a batch that was never committed is dropped
    batch_kept_seconds: int = 86_400  # that a batch is kept after it has ended
    statsd_location: str | None = None  # host:port
    statsd_namespace: str = "faktory."
    statsd_tags: tuple[str, ...] = ()
    statsd_buffer_size: int = 15  # metrics in one datagram at most
    statsd_queue_latency: tuple[str, ...] = ()
    tls_bindings: tuple[str, ...] = ()  # development only
    web_tls_binding: str | None = None  # development only
    cron: tuple[CronEntry, ...] = ()
    throttles: tuple[Throttle, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """Settings, what is to be said about them in the log, and where each came from, by its field."""

    settings: Settings
    warnings: tuple[str, ...]
    origins: Mapping[str, str]


class Row(NamedTuple):
    """One setting as it is in effect; ``value`` for people, a secret masked."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True)
class Checked:
    """What `check` found. Without ``problems`` a server starts with these settings; with some it does not.

    ``left_out``: entries with a mistake, without which it starts.
    """

    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()


def load(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    check_address: CheckAddress = _any_address,
    check_job: CheckJob = _any_job,
) -> Loaded:
    """Read all settings. Raises ConfigError with everything that is wrong, but for entries that can be left out.

    ``options`` has the long options that were given, by name without the dashes: text, numbers, a list for ``bind``.
    ``check_address`` raises ConfigError for an address that cannot be listened on, ``check_job`` ValueError for a job
    that no push would accept.
    """
    reading = _Reading(options, environ, check_address, check_job)
    loaded = reading.run()
    if loaded is None or reading.problems:
        raise ConfigError(*reading.problems)
    return loaded


def check(
    config_directory: str | None,
    environ: Mapping[str, str],
    options: Mapping[str, Any] = _NOTHING,
    check_address: CheckAddress = _any_address,
    check_job: CheckJob = _any_job,
) -> Checked:
    """Read all settings as `load` does and tell what is wrong and what is in effect, without raising.

    ``config_directory`` None: that of the environment (option ``environment``, FAKTORY_ENV). What cannot be used is in
    ``rows`` with the value that it would have if nobody had set it. When not even the environment is known there are
    no rows.
    """
    named = {**options, "config": config_directory} if config_directory else options
    reading = _Reading(named, environ, check_address, check_job)
    loaded = reading.run()
    rows = () if loaded is None else _rows(loaded)
    return Checked(tuple(reading.problems), tuple(reading.warnings), rows, tuple(reading.left_out))


def defaults() -> dict[str, object]:
    """The values that settings have when nobody says, by field, for the fields that have one everywhere."""
    path = Path()
    settings = Settings("development", path, path, None)
    return {each.name: getattr(settings, each.name) for each in fields(settings)}


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


class _Reading:
    """One look at files, environment and options. ``values`` and ``origins`` are by field of `Settings`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        environ: Mapping[str, str],
        check_address: CheckAddress,
        check_job: CheckJob,
    ) -> None:
        self.problems: list[str] = []
        self.left_out: list[str] = []
        self.warnings: list[str] = []
        self._options = {name: value for name, value in options.items() if value is not None}
        self._environ = environ
        self._check_address = check_address
        self._check_job = check_job
        self._values: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        self._refused: set[str] = set()  # fields with a value that cannot be used, which has been complained about
        self._secrets: dict[str, tuple[Any, str]] = {}  # of the files, by key: the value and its place

    def run(self) -> Loaded | None:
        """Read everything; None when it is not even clear which files to read."""
        try:
            name = environment(self._options.get("environment"), self._environ)
        except ConfigError as error:
            self.problems += error.problems
            return None
        data, config = directories(name, self._options.get("directory"), self._options.get("config"), self._environ)
        self._origins.update(environment=self._origin_of_environment(), config_directory=self._origin_of("config"))
        self.warnings += files.misplaced(config, must_exist="config" in self._options)
        tree = files.read(config, self.problems)
        self._take_files(tree)
        self._take_environ()
        self._take_options()
        if self._options.get("directory"):
            self._values["directory"], self._origins["directory"] = data, "-d"
        self._values.setdefault("directory", data)
        self._values.setdefault("backup_seconds", 0 if name == "development" else BACKUP_SECONDS)
        self._take_passwords(name, config, tree)
        self._refuse_open_reading()
        settings = replace(Settings(name, data, config, None), **self._values)
        self._refuse_tls(settings)
        return Loaded(settings, (*self.warnings, *self.left_out), self._origins)

    def _origin_of_environment(self) -> str:
        if self._options.get("environment"):
            return "-e"
        return "FAKTORY_ENV" if self._environ.get("FAKTORY_ENV") else "default"

    def _origin_of(self, option: str) -> str:
        return f"-{BY_OPTION[option].letter}" if self._options.get(option) else "default"

    # -- the three sources -----------------------------------------------------------------------------------------

    def _take_files(self, tree: Tree) -> None:
        for setting, value, place in check_sections(tree, self.problems):
            self._take(setting, value, f"{place}: {setting.key}", place)
        self._values["queue_policies"], places = read_policies(tree, self.problems)
        self._origins.update(places)
        if is_array_of_tables(tree.values.get("cron")):
            self._values["cron"] = read_entries(tree, self._check_job, self.left_out)
        if "throttles" in tree.values:
            read = read_throttles(tree, tree.values["throttles"], self.problems)
            self._keep("throttles", read, tree.place("throttles"))

    def _take_environ(self) -> None:
        text = self._environ.get("FAKTORY_BACKUP_FREQUENCY")
        if text:
            try:
                seconds = duration_seconds(text)
            except ValueError as error:
                self.warnings.append(f"FAKTORY_BACKUP_FREQUENCY {error}: a backup is taken every hour")
                seconds = BACKUP_SECONDS
            origin = "FAKTORY_BACKUP_FREQUENCY"
            self._keep("backup_seconds", self._at_least_five_minutes(seconds, origin, text), origin)
        url = self._environ.get("DD_DOGSTATSD_URL")
        if url:
            self._take_dogstatsd(url)

    def _take_dogstatsd(self, url: str) -> None:
        """Other programs read this variable, too, so one that cannot be used here is no reason not to start."""
        try:
            parts = urlsplit(url)
            if parts.scheme != "udp":
                raise ValueError
            location = parts.netloc if ":" in parts.netloc.rpartition("]")[2] else f"{parts.netloc}:8125"
            self._keep("statsd_location", BY_KEY["statsd.location"].kind.read(location), "DD_DOGSTATSD_URL")
        except ValueError:
            self.warnings.append(
                f"DD_DOGSTATSD_URL must have the form udp://host:port, not {url!r}: it is not used for metrics"
            )

    def _take_options(self) -> None:
        for option, given in self._options.items():
            setting = BY_OPTION[option]
            value = setting.kind.of_text(given) if isinstance(given, str) else given
            if setting.field == "reclaim_dead_workers":
                value = not given  # the option says it the other way round
            if setting.field not in ("environment", "config_directory", "directory") and value != []:
                self._take(setting, value, f"--{option}", f"--{option}")

    def _take(self, setting: Setting, value: Any, name: str, origin: str) -> None:
        """Check a value and keep it. ``name`` is what a complaint calls it."""
        try:
            read = setting.kind.read(value)
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            self._refused.add(setting.field)
            return
        if setting.field in ("bindings", "web_binding", "tls_bindings", "web_tls_binding"):
            self._check_addresses((read,) if isinstance(read, str) else read or (), "" if name == origin else origin)
        if setting.field == "backup_seconds":
            read = self._at_least_five_minutes(read, name, value)
        if setting.field in _PASSWORDS:
            self._secrets[setting.key] = (read, origin)
        else:
            self._keep(setting.field, read, origin)

    def _keep(self, name: str, value: Any, origin: str) -> None:
        self._values[name] = value
        self._origins[name] = origin

    def _check_addresses(self, addresses: tuple[str, ...], place: str) -> None:
        for address in addresses:
            try:
                self._check_address(address)
            except ConfigError as error:
                self.problems += [f"{place}: {problem}" if place else problem for problem in error.problems]

    def _at_least_five_minutes(self, seconds: float, name: str, text: str) -> int:
        if seconds != 0 and seconds < FEWEST_BACKUP_SECONDS:
            self.warnings.append(
                f"{name} is {text!r}, but no more than one backup is taken in 5 minutes, which is what it is now; "
                '"0" is for none'
            )
            return FEWEST_BACKUP_SECONDS
        return int(seconds)

    # -- secrets and TLS -------------------------------------------------------------------------------------------

    def _take_passwords(self, name: str, config: Path, tree: Tree) -> None:
        for field_name, key in _PASSWORDS.items():
            found = self._password(field_name, config / "password" if field_name == "password" else None)
            if found is not None:
                self._keep(field_name, *found)
            written, _ = self._secrets.get(key, ("/", ""))
            if not written.startswith("/"):
                self._warn_of(tree.file(*key.split(".")))
        skip = self._environ.get("FAKTORY_SKIP_PASSWORD", "").lower() in ("1", "true", "yes")
        missing = "password" not in self._values and "password" not in self._refused
        if name != "development" and missing and not skip:
            self.problems.append(
                f"a password is required in {name}: set FAKTORY_PASSWORD to it (or to the path of a file that holds "
                f"it), or write it to {config / 'password'}; FAKTORY_SKIP_PASSWORD=1 goes without"
            )

    def _refuse_open_reading(self) -> None:
        """A password that only lets people look is worth nothing where everybody may do more."""
        reading, key = self._values.get("web_read_only_password"), _PASSWORDS["web_read_only_password"]
        if reading is None or self._refused & {"password", "web_password"}:
            return
        origin = self._origins["web_read_only_password"]
        if self._values.get("web_password", self._values.get("password")) is None:
            self.problems.append(
                f"{key} ({origin}) is set, but no password for those who may change something: set web.password or "
                "faktory.password, too, or everybody could; or leave it out"
            )
        for field_name in ("password", "web_password"):
            if reading == self._values.get(field_name):
                self.problems.append(
                    f"{key} ({origin}) is the same as {_PASSWORDS[field_name]} ({self._origins[field_name]}): choose another "
                    "one, which you can give to people who may only look"
                )

    def _password(self, field_name: str, fallback: Path | None) -> tuple[str, str] | None:
        """A password, and where it is from; a variable wins over the files, ``fallback`` is the last."""
        key = _PASSWORDS[field_name]
        file_key = f"{key}_file"
        variable = BY_KEY[key].variable
        if key in self._secrets and file_key in self._secrets:
            self.problems.append(
                f"{self._secrets[file_key][1]}: {file_key} and {key} ({self._secrets[key][1]}) are both given; keep one"
            )
        secret, origin = self._environ.get(variable, ""), variable
        if not secret:
            secret, origin = self._secrets.get(key) or self._secrets.get(file_key) or ("", "")
        try:
            if not secret:
                return self._read_password(fallback) if fallback and secrets.is_there(fallback) else None
            if not str(secret).startswith("/"):
                if any("\udc80" <= character <= "\udcff" for character in secret):
                    raise ValueError(f"{origin} is not UTF-8 text; no client could send it")
                return secret, origin
            return self._read_password(Path(secret), origin)
        except ValueError as error:
            self.problems.append(str(error))
            self._refused.add(field_name)
            return None

    def _read_password(self, path: Path, origin: str = "the configuration directory") -> tuple[str, str]:
        password = secrets.read_password(path, origin)
        self._warn_of(path)
        return password, f"{path} (named by {origin})"

    def _warn_of(self, secret_file: Path) -> None:
        warning = secrets.exposure(secret_file)
        if warning and warning not in self.warnings:
            self.warnings.append(warning)

    def _refuse_tls(self, settings: Settings) -> None:
        if settings.environment == "development":
            return
        named = [f"faktory.tls_binding ({self._origins['tls_bindings']})"] if settings.tls_bindings else []
        named += [f"web.tls_binding ({self._origins['web_tls_binding']})"] if settings.web_tls_binding else []
        for address in (*settings.bindings, settings.web_binding or ""):
            named += [f"the address {address!r}"] if address.startswith(("ssl:", "tls:")) else []
        if named:
            where = " and ".join(named)
            self.problems.append(_TLS_REFUSED.format(environment=settings.environment, where=where))


def _rows(loaded: Loaded) -> tuple[Row, ...]:
    return tuple(
        Row(setting.name, _told(setting, getattr(loaded.settings, name)), loaded.origins.get(name, "default"))
        for name, setting in BY_FIELD.items()
    ) + tuple(
        Row(
            f"queues.{shown_name(name)}.{key}", value, loaded.origins.get(f"queues.{shown_name(name)}.{key}", "default")
        )
        for name, policy in loaded.settings.queue_policies.items()
        for key, value in policy.told().items()
    )


def _told(setting: Setting, value: object) -> str:
    if value is None or value == ():
        return setting.default or "none"
    if setting.secret:
        return MASK
    if setting.field == "backup_seconds":
        return f"{value}s"
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
