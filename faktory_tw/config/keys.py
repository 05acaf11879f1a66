"""All settings in one table: what each is called in the files, the environment and on the command line, what it must be.

Validation, the options of ``twistd faktory``, ``faktory-tw check-config`` and the table of the README are made from it,
so that none of them can forget a setting.
"""

from __future__ import annotations

from dataclasses import dataclass

from faktory_tw.config.kinds import (
    ADDRESS,
    ADDRESSES,
    DURATION,
    FLAG,
    HOST_PORT,
    PATH,
    SECRET,
    SECRET_PATH,
    TEXT,
    TEXTS,
    TLS_ADDRESS,
    TLS_ADDRESSES,
    Kind,
    one_of,
    whole_number,
)

MIB = 1024 * 1024
ENVIRONMENTS = ("development", "staging", "production")
LEVELS = ("debug", "info", "warn", "error")
LOG_FORMATS = ("auto", "human", "json")
DURABILITIES = ("commit", "second", "os")
MASK = "********"


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

# The fields of `Settings` that hold what the operator gives names to, by the section it is in; SIGHUP changes all of it.
TABLES = {"queue_policies": "queues", "cron": "cron", "throttles": "throttles"}

BY_KEY = {setting.key: setting for setting in SETTINGS if setting.key}
BY_FIELD = {setting.field: setting for setting in SETTINGS if not setting.key.endswith("password_file")}
BY_OPTION = {setting.option: setting for setting in SETTINGS if setting.option}
SECTIONS: dict[str, tuple[str, ...]] = {
    section: tuple(key.split(".")[1] for key in BY_KEY if key.startswith(section + "."))
    for section in dict.fromkeys(key.split(".")[0] for key in BY_KEY)
}
