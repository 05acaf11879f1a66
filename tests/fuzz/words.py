"""What a fuzzer cannot guess: verbs, names of members, and values that are at the edge of something."""

from __future__ import annotations

from pathlib import Path

import msgspec

from faktory_tw.config.keys import SETTINGS
from faktory_tw.core.job import Payload
from faktory_tw.core.marks import Marks
from faktory_tw.features.admin import Task
from faktory_tw.session import COMMANDS, Session

VERBS = sorted(COMMANDS)
SUBCOMMANDS = [
    *(b"ADMIN " + name.encode() for name in Task.SUBCOMMANDS),
    *(b"QUEUE " + name.encode() for name in Session.SUBCOMMANDS),
    *(b"TRACK GET", b"TRACK SET", b"BATCH NEW", b"BATCH OPEN", b"BATCH COMMIT", b"BATCH STATUS"),
]
MEMBERS = sorted(
    {field.encode_name for kind in (Payload, Marks) for field in msgspec.structs.fields(kind)}
    | set("wid hostname pid labels pwdhash v username rss_kb current_state cancels errtype message errType".split())
    | set("result percent desc reserve_until retry_after cmd target filter jids regexp match error since until".split())
    | set(
        "place after limit state action name type base cap jitter parent_bid description success complete death".split()
    )
    | set("failed_at next_at retry_count remaining taken_at size_bytes jobs sha256 number".split())
)
WORDS = (
    "clear kill discard requeue scheduled retries dead queued working quiet terminate list show pause resume run "
    "success start exponential linear constant default slow batch fail late capped old Mail Bulk Keyed b-1 b-2 "
    "queued-01 unique-01 failed-01 dead-0001 member-01 expires-1 null true false * w0 w1"
).split()
NUMBERS = (
    "0 -0 -1 1 9 10 60 86400 86401 1e400 -1e400 1e-400 1.5 1E5 NaN Infinity 9223372036854775807 9223372036854775808 "
    "-9223372036854775809 18446744073709551616 1000000000000000000000000000000"
).split()
TEXTS = (
    '"2026-11-22T08:00:00Z"',
    '"2030-01-01T00:00:00.123456789+01:00"',
    '"0000-01-01T00:00:00Z"',
    '"9999-12-31T23:59:59-23:59"',
    r'"\ud800"',
    r'"\u0000"',
    r'"\ud83d\ude00"',
    '"\u00e9"',
    '""',
    "[]",
    "{}",
    "[[[[[[[[",
    '{"a":{"a":{"a":',
)
TOML = (
    "[faktory]", "[web]", "[queues]", "[queues.a]", "[throttles]", "[throttles.a]", "[[cron]]", "[cron.job]", "[statsd]",
    'schedule = "*/5 * * * *"', 'timezone = "Europe/Berlin"', 'type = "T"', "concurrency = 1", "timeout = 60",
    "rate = { limit = 1, period = 60 }", 'key = "0.a"', 'catch_up = "all"', "#env ", "#opt ", "\n#file\n", "1h30m", "64 MiB",
    "inf", "nan", "1979-05-27T07:32:00Z", "'''", '"""', "@hourly", "1-5", "*/2", "MON#2", "LW", "FAKTORY_ENV=production",
    "FAKTORY_PASSWORD=", "DD_DOGSTATSD_URL=udp://a:1", "FAKTORY_BACKUP_FREQUENCY=1h",
)  # fmt: skip


def dictionary() -> list[bytes]:
    """All of them, as bytes."""
    words = [*VERBS, *SUBCOMMANDS, *(f'"{name}":'.encode() for name in MEMBERS)]
    words += [f'"{word}"'.encode() for word in WORDS]
    words += [word.encode() for word in (*WORDS, *NUMBERS, *TEXTS, *TOML)]
    words += [setting.key.encode() for setting in SETTINGS] + [
        b"!90",
        b"!4000",
        b"!h1",
        b"!c",
        b"!d",
        b"!w",
        b"!t",
        b"!s1",
        b"!r1",
    ]
    words += [b"\xff", b"\xed\xa0\x80", b"\xc3", b"\0", b"\r", b"\r\n", b"\n0", b"\n1", b"\na", b"@2", b"@1"]
    return sorted({word for word in words if word})


def write_dictionary(path: Path) -> None:
    """Write them in the form that libFuzzer reads."""
    lines = ("".join(f"\\x{byte:02x}" for byte in word) for word in dictionary())
    path.write_text("".join(f'"{line}"\n' for line in lines), encoding="ascii")
