"""Inputs that every parser should have seen once: sizes, depth, numbers, bytes that are no text, members twice.

They are made here, not kept: a hundred thousand brackets take no room so.
"""

from __future__ import annotations

from collections.abc import Iterator

VALUES = (
    b"1e400",
    b"-1e400",
    b"1e-400",
    b"-0",
    b"-0.0",
    b"01",
    b"1" + b"0" * 5000,
    b"NaN",
    b"-Infinity",
    b"9223372036854775808",
    b"-9223372036854775809",
    b'"\xff"',
    b'"\xc3"',
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\0"',
    b'"\t"',
    b'"\\x"',
    b"[" * 511 + b"]" * 511,
    b"[" * 513 + b"]" * 513,
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 600 + b"1" + b"}" * 600,
    b'{"a":1,"a":2}',
    b'{"' + b"k" * 70_000 + b'":1}',
    b'"' + b"x" * 100_000 + b'"',
    b'"' + b"\\\\" * 20_000 + b'"',
    b'["' + b'","' * 20_000 + b'"]',
    b"",
    b"null",
    b"{}",
    b"[],[]",
)


def jobs() -> Iterator[bytes]:
    """Each value as an arg, as a custom, in a mark, and as each other member; and as the whole job."""
    for value in VALUES:
        yield b'{"jid":"edge-0001","jobtype":"Edge","args":[%b]}' % value
        yield b'{"jid":"edge-0001","jobtype":"Edge","args":[],"custom":{"x":%b}}' % value
        yield b'{"jid":"edge-0001","jobtype":"Edge","args":[%b],"custom":{"unique_for":5,"track":1}}' % value
        yield value
    for name in (b"jid", b"jobtype", b"queue", b"priority", b"retry", b"reserve_for", b"at", b"failure", b"created_at"):
        for value in VALUES[:20]:
            yield b'{"jid":"edge-0001","jobtype":"Edge","args":[],"%b":%b}' % (name, value)
    for name in (b"unique_for", b"expires_in", b"expires_at", b"backoff", b"track", b"bid", b"_bid", b"unique_until"):
        for value in VALUES[:20]:
            yield b'{"jid":"edge-0001","jobtype":"Edge","args":[],"custom":{"%b":%b}}' % (name, value)


def lines() -> Iterator[bytes]:
    """Each value as the argument of each verb that takes JSON, and in a member of it."""
    verbs = (
        (b"PUSH", b"args"),
        (b"PUSHB", b""),
        (b"ACK", b"result"),
        (b"FAIL", b"retry_after"),
        (b"BEAT", b"current_state"),
        (b"MUTATE", b"filter"),
        (b"TRACK SET", b"result"),
        (b"TRACK SET", b"reserve_until"),
        (b"BATCH NEW", b"success"),
        (b"ADMIN LIST", b"filter"),
        (b"ADMIN DELETE", b"after"),
    )
    for verb, name in verbs:
        for value in VALUES[::2]:
            yield b'%b {"jid":"queued-05","wid":"w1","cmd":"kill","target":"dead","%b":%b}' % (verb, name, value)
    yield from (b"NO\rVERB", b'FAIL {"jid":"a\\r\\nb"}', b"TRACK\r GET x", b"BATCH STATUS a\rb")
    for value in (b"\0", b"\xff" * 10, b"x" * 250_000, b"a " * 5000, b"*", b"a:-1 b:1e9", b"a:nan"):
        for verb in (b"FETCH", b"QUEUE PAUSE", b"QUEUE LATENCY", b"QUEUE", b"BATCH STATUS", b"TRACK GET", b"INFO"):
            yield verb + b" " + value


def greetings() -> Iterator[bytes]:
    """Each value in a HELLO with the right hash."""
    for value in VALUES:
        for name in (b"wid", b"labels", b"v", b"pid"):
            yield b'HELLO {"v":2,"pwdhash":"@2","%b":%b}' % (name, value)
        yield b'HELLO {"pwdhash":%b}' % value
        yield b"HELLO " + value


def files() -> Iterator[bytes]:
    """TOML that is deep, long, or has what JSON has not."""
    for value in (
        b"[" * 10_000,
        b"{a=" * 1000,
        b"1" + b"0" * 5000,
        b"inf",
        b"-nan",
        b"1979-05-27",
        b'"\\uD800"',
        b'"""',
        b"''",
    ):
        yield b"[faktory]\nmax_connections = " + value
        yield b'[[cron]]\nschedule = "* * * * *"\n[cron.job]\ntype = "T"\nargs = [%b]' % value
        yield b"[throttles]\na = { concurrency = %b }" % value
        yield b"[queues.a]\nmax_size = " + value
    yield b"a." * 2000 + b"b = 1"
    yield b"[" + b"a." * 2000 + b"b]"
    yield b"\xef\xbb\xbf[web]\r\n"
    for variable in (
        "FAKTORY_PASSWORD",
        "FAKTORY_ENV",
        "DD_DOGSTATSD_URL",
        "FAKTORY_BACKUP_FREQUENCY",
        "FAKTORY_WEB_PASSWORD",
    ):
        for text in (
            "",
            "/",
            "/nowhere",
            "udp://[",
            "udp://a:99999",
            "1e400h",
            "-1h",
            "\x01",
            "production",
            "x" * 5000,
        ):
            yield f"#env {variable}={text}\n".encode()
