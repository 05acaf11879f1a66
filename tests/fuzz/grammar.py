"""What hypothesis writes for each target: mostly as it is meant, and then a little wrong.

A JSON text is made of pieces of text, not of Python's values, so that it can have members twice, numbers like 1e400, lone
surrogates and bytes that are no UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.fuzz import words
from tests.fuzz.targets import wire

Bytes = st.SearchStrategy[bytes]

_deep = st.sampled_from([b"[" * 600 + b"]" * 600, b'{"a":' * 300 + b"1" + b"}" * 300, b"[" * 100_000, b'{"":' * 5000])
_numbers = st.one_of(
    st.sampled_from([text.encode() for text in words.NUMBERS] + [b"1" + b"0" * 5000, b"0." + b"1" * 500]),
    st.integers(-(2**70), 2**70).map(lambda number: b"%d" % number),
)
_words = st.sampled_from([f'"{word}"'.encode() for word in words.WORDS] + [text.encode() for text in words.TEXTS])
_strange = st.sampled_from([b'"\xff"', b'"\xed\xa0\x80"', b'"\0"', b"\0", b'"\\ud800"', b"'a'", b"", b",", b"tru"])
_long = st.sampled_from([b'"' + b"x" * 70_000 + b'"', b'"' + b"\\u0041" * 5000 + b'"', b'"' + b"\\\\" * 5000 + b'"'])
_text = st.text(max_size=12).map(
    lambda text: b'"' + text.encode("utf-8", "replace").replace(b'"', b"").replace(b"\\", b"") + b'"'
)
_member = st.sampled_from([f'"{name}"'.encode() for name in words.MEMBERS])
_spaces = st.sampled_from([b"", b"", b"", b" ", b"\t", b"\r"])


def _array(of: Bytes) -> Bytes:
    return st.lists(of, max_size=4).map(lambda parts: b"[" + b",".join(parts) + b"]")


def _object(of: Bytes) -> Bytes:
    names = st.one_of(_member, _member, _text)
    pairs = st.tuples(_spaces, names, _spaces, of).map(lambda four: four[0] + four[1] + four[2] + b":" + four[3])
    return st.lists(pairs, max_size=5).map(lambda parts: b"{" + b",".join(parts) + b"}")


_plain: Bytes = st.one_of(_numbers, _words, _text, st.sampled_from([b"null", b"true", b"false", b"{}", b"[]"]))
_rare: Bytes = st.one_of(_plain, _plain, _plain, _plain, _plain, _plain, _strange, _long, _deep)
json_text: Bytes = st.recursive(_rare, lambda inner: st.one_of(_array(inner), _object(inner)), max_leaves=8)

_jids = st.sampled_from(b"queued-01 unique-01 failed-01 dead-0001 later-001 job-00001 job-00002 job-00003 x".split())
_queues = st.sampled_from(b"default slow late fail batch capped old * a,b unknown ..".split())
_customs = st.sampled_from(
    [
        b'{"track":1}',
        b'{"unique_for":60}',
        b'{"unique_for":60,"unique_until":"start"}',
        b'{"expires_in":30}',
        b'{"expires_at":"2026-09-22T00:00:00Z"}',
        b'{"bid":"b-1"}',
        b'{"backoff":{"type":"exponential","base":10,"cap":3600,"jitter":0.2}}',
        b'{"backoff":[1,2,3]}',
        b'{"bid":"b-2","track":true,"unique_for":5,"expires_in":100}',
    ]
)


def _member_of(name: bytes, values: Bytes) -> Bytes:
    """A member that is mostly left out, and now and then is something else."""
    told = st.one_of(values, values, values, _rare).map(lambda value: b',"%b":%b' % (name, value))
    return st.one_of(st.just(b""), told)


def _quoted(values: Bytes) -> Bytes:
    return values.map(lambda value: b'"%b"' % value)


@st.composite
def a_job(draw: Callable[[Bytes], bytes]) -> bytes:
    """A job that is mostly accepted."""
    text = b'{"jid":"%b","jobtype":"%b"' % (draw(_jids), draw(st.sampled_from([b"Mail", b"Keyed", b"Bulk", b"<b>"])))
    text += b',"args":' + draw(st.one_of(_array(_plain), _array(json_text), json_text))
    for name, values in (
        (b"queue", _quoted(_queues)),
        (b"custom", st.one_of(_customs, _customs, _object(_rare))),
        (b"priority", _numbers),
        (b"retry", st.sampled_from([b"0", b"1", b"-1", b"25"])),
        (b"reserve_for", _numbers),
        (b"at", st.sampled_from([text.encode() for text in words.TEXTS[:4]])),
        (b"failure", st.sampled_from([b'{"retry_count":3,"failed_at":"x"}', b'{"retry_count":-9223372036854775808}'])),
        (b"created_at", _words),
        (b"jid", _words),
    ):
        text += draw(_member_of(name, values))
    return text + b"}"


def _named(verb: bytes, *members: tuple[bytes, Bytes]) -> Bytes:
    """A verb and an object with some of these members, and a jid."""
    parts = st.tuples(_jids, *(_member_of(name, values) for name, values in members))
    return parts.map(lambda told: b'%b {"jid":"%b"%b}' % (verb, told[0], b"".join(told[1:])))


_place = st.sampled_from([b'"scheduled"', b'"retries"', b'"dead"', b'"queued","queue":"default"', b'"working"'])
_filter = st.one_of(
    st.sampled_from([b"{}", b'{"jids":["queued-01","dead-0001"]}', b'{"regexp":"*u*"}', b'{"jobtype":"M?[a-z]l*"}']),
    _object(st.one_of(_text, _array(_quoted(_jids)), _plain)),
)
line: Bytes = st.one_of(
    a_job().map(lambda job: b"PUSH " + job),
    a_job().map(lambda job: b"PUSH " + job),
    st.lists(a_job(), max_size=3).map(lambda jobs: b"PUSHB [" + b",".join(jobs) + b"]"),
    st.lists(_queues, max_size=3).map(lambda names: b"FETCH " + b" ".join(names)),
    st.sampled_from([b"FETCH", b"FETCH default", b"FETCH fail slow", b"FETCH a:3 default:1", b"FETCH batch:x"]),
    _named(b"ACK", (b"result", json_text)),
    _named(
        b"FAIL", (b"errtype", _words), (b"backtrace", _array(_text)), (b"retry_after", _numbers), (b"message", _long)
    ),
    st.tuples(
        st.sampled_from([b"w0", b"w1", b"w9"]), _member_of(b"current_state", _words), _member_of(b"cancels", _plain)
    ).map(lambda told: b'BEAT {"wid":"%b"%b%b}' % told),
    st.sampled_from([b"INFO", b"INFO x", b"FLUSH", b"END", b"", b" ", b"push {}", b"HELLO {}"]),
    st.tuples(st.sampled_from([b"clear", b"kill", b"discard", b"requeue"]), _place, _filter).map(
        lambda told: b'MUTATE {"cmd":"%b","target":%b,"filter":%b}' % told
    ),
    st.tuples(st.sampled_from([b"PAUSE", b"resume", b"REMOVE", b"LATENCY", b"X"]), st.lists(_queues, max_size=3)).map(
        lambda told: b"QUEUE %b %b" % (told[0], b" ".join(told[1]))
    ),
    _named(b"TRACK SET", (b"percent", _numbers), (b"desc", _words), (b"reserve_until", _words), (b"result", json_text)),
    _jids.map(lambda jid: b"TRACK GET " + jid),
    st.tuples(
        st.sampled_from([b"success", b"complete", b"death"]), a_job(), _member_of(b"parent_bid", st.just(b'"b-1"'))
    ).map(lambda told: b'BATCH NEW {"%b":%b%b}' % told),
    st.tuples(st.sampled_from([b"OPEN", b"COMMIT", b"STATUS"]), st.sampled_from([b"b-1", b"b-2", b"b-9"])).map(
        lambda told: b"BATCH %b %b" % told
    ),
    st.tuples(st.sampled_from([b"LIST", b"DELETE", b"RETRY", b"KILL", b"PRIORITY"]), _place, _filter, _plain).map(
        lambda told: b'ADMIN %b {"place":%b,"filter":%b,"priority":7,"after":%b}' % told
    ),
    st.sampled_from(
        [b"ADMIN QUEUES", b"ADMIN WORKERS {}", b"ADMIN THROTTLES", b"ADMIN BACKUPS", b'ADMIN CRON {"limit":1}']
    ),
    _named(b"ADMIN CANCEL"),
    st.tuples(st.sampled_from([*words.VERBS, *words.SUBCOMMANDS]), json_text).map(lambda told: b"%b %b" % told),
    st.binary(max_size=40),
)
_happening = st.sampled_from(
    b"!1 !10 !90 !4000 !90000 !h0 !h1 !h2 !s0 !r0 !s1 !r1 !c !c !d !d !w !t !p1PUSH !x2 !x3 0END 1END".split()
)
_said = st.tuples(st.sampled_from(b"0 0 1 1 2 3 a b".split()), line).map(
    lambda told: told[0] + told[1].replace(b"\n", b"")
)
script: Bytes = st.lists(st.one_of(_said, _said, _said, _happening), max_size=14).map(b"\n".join)


def _mistaken(valid: Bytes) -> Bytes:
    """Mostly as it is, and now and then with a piece that is cut out, put twice, or something else."""

    def change(told: tuple[bytes, int, int, bytes]) -> bytes:
        text, at, size, instead = told
        at %= len(text) + 1
        return text[:at] + instead + text[at + size :]

    pieces = st.one_of(st.just(b""), st.sampled_from(words.dictionary()), st.binary(max_size=3))
    return st.one_of(valid, st.tuples(valid, st.integers(0, 5000), st.integers(0, 5), pieces).map(change))


_greeting = _object(_plain).map(lambda text: b"HELLO " + text)
_stream = st.tuples(st.binary(max_size=4), st.lists(line, max_size=8), st.sampled_from([b"\n", b"\r\n"])).map(
    lambda told: (
        told[0].replace(b"\n", b"")
        + b"\nHELLO {}"
        + told[2]
        + b"".join(said.replace(b"\n", b"") + told[2] for said in told[1])
    )
)
_fields = st.sampled_from("* */5 0 1,2 1-5 L LW MON MON#2 59 60 0-59/7 JAN 31 , # 1-".split())
_schedules = st.tuples(
    st.lists(_fields, min_size=5, max_size=5).map(" ".join) | st.sampled_from(["@daily", "@Hourly", "@x"]),
    st.sampled_from(["Europe/Berlin", "UTC", "Nowhere/X", "../../etc/passwd", "America/Nuuk", ""]),
    st.integers(0, 4 * 10**9),
).map(lambda told: "{}\n{}\n{}".format(*told).encode())
_toml_lines = st.lists(
    st.one_of(
        st.sampled_from([word.encode() for word in words.TOML]),
        st.tuples(st.sampled_from(words.TOML), st.sampled_from(words.TOML)).map(
            lambda pair: "{} = {}".format(*pair).encode()
        ),
        st.binary(max_size=20),
    ),
    max_size=12,
).map(b"\n".join)
_moments = st.tuples(
    st.datetimes().map(lambda moment: moment.isoformat()), st.sampled_from("Z z +01:00 -23:59 +24:00".split())
)

STRATEGIES: dict[str, Bytes] = {
    "framing": _mistaken(_stream),
    "hello": _mistaken(st.one_of(_greeting, st.sampled_from(list(wire.greetings())))),
    "conversation": script,
    "command": _mistaken(line),
    "storage": script,
    "job": _mistaken(a_job()),
    "jobs": _mistaken(
        st.one_of(json_text, st.lists(a_job(), max_size=3).map(lambda jobs: b"[" + b",".join(jobs) + b"]"))
    ),
    "glob": st.tuples(st.text("ab*?[]^-\\", max_size=14), st.text("ab-]", max_size=14)).map(
        lambda told: f"{told[0]}\0{told[1]}".encode()
    ),
    "times": _mistaken(_moments.map("".join).map(str.encode)),
    "toml": _mistaken(_toml_lines),
    "value": _mistaken(
        st.tuples(
            st.sampled_from([name.decode() for name in words.dictionary() if b"." in name and name.isascii()]),
            st.text(max_size=8),
        ).map(lambda told: "=".join(told).encode("utf-8", "replace"))
    ),
    "schedule": _mistaken(_schedules),
}
"""By target. The other targets read what only a server writes: they begin with what one has written."""
