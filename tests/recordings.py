"""Recorded conversations with Faktory 1.9.4 (tests/data/faktory-1.9.4.json), played to something that should answer alike.

`conversations` loads them, `play` sends what the recorded client sent and compares the replies. It does not know what it
talks to: a `Transport` may be a socket to a real process or a session in memory.

How replies are compared:

    simple string   exactly
    error           exactly, but the first letter after the code in either case; where the recording goes on with the
                    words of another language's JSON or time parser, only up to there; where it holds nothing but such
                    words, any `-ERR` will do
    bulk, JSON      FETCH and INFO: the recorded members must be there, and further ones may be in the job, its failure,
                    and the top two levels of INFO; everything else must be the same. Numbers keep their type. Times,
                    versions and the process's own counters are not compared, see VOLATILE
    null, closed    exactly

Every conversation expects an empty server: send FLUSH before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.system.fwp import Reply, password_hash

RECORDINGS = Path(__file__).parent / "data" / "faktory-1.9.4.json"

# Members of replies that differ between two runs of one server, wherever they stand.
VOLATILE = frozenset(
    "now server_utc_time created_at enqueued_at failed_at next_at at uptime used_memory_mb command_count connections "
    "faktory_version description wall_time_sec cycles reaped tasks".split()
)
# Objects of FETCH and INFO that may hold more than was recorded, by their path in the reply.
OPEN = frozenset(["", ".faktory", ".server", ".failure"])

# What stands in front of a foreign parser's words, and texts that are nothing else.
QUOTES_A_PARSER = re.compile(r"""(?:ERR )?(?:invalid JSON|invalid timestamp for 'at'(?:: "[^"]*")?)""")
PARSER_ONLY = re.compile(r"ERR (?:json: |invalid character |unexpected end of JSON)")

SALTED_GREETING = re.compile(r'HI \{"v":2,"i":\d{4},"s":"[0-9a-f]+"\}')
WAIT = re.compile(r"wait ([\d.]+)s")

# Long enough for the server to take in a command whose reply is read later, before the next one is sent elsewhere.
UNANSWERED_SECONDS = 0.05


class Closed(Exception):
    """The other side closed the connection."""


class Differs(AssertionError):
    """A reply was not the recorded one."""


class Transport(Protocol):
    """One connection to what is tested."""

    def send(self, data: bytes) -> None:
        """Hand over bytes, in order. On a connection that is closed already: do nothing."""

    def receive(self) -> Reply:
        """Return the next reply; raise Closed if the other side closed instead, TimeoutError if nothing comes."""

    def close(self) -> None:
        """Hang up."""


class Step(NamedTuple):
    """What happens next. `action` is "connect", "hang up", "wait" (`seconds`, on no connection) or "say" (`data`).

    Then `replies` are expected, and after them the end of the connection if `closed`.
    """

    action: str
    connection: str
    data: str
    replies: list[Reply]
    closed: bool
    seconds: float


class Conversation(NamedTuple):
    """A recorded case: what it shows (`note`), the password its server had, and what was said."""

    name: str
    note: str
    password: str | None
    steps: list[Step]

    def waiting_seconds(self) -> float:
        """Return about how long it takes: only a FETCH of nothing, and a wait, take time."""
        empty_fetches = sum(reply.type == "null" for step in self.steps for reply in step.replies)
        return 2.0 * empty_fetches + sum(step.seconds for step in self.steps)


def conversations() -> list[Conversation]:
    """Return every recorded conversation, in the order of the file."""
    cases = json.loads(RECORDINGS.read_text("utf-8"))["cases"]
    return [Conversation(c["name"], c["note"], c.get("password"), [_step(s) for s in c["steps"]]) for c in cases]


def parse(data: bytes) -> Iterator[Reply]:
    """Yield the replies in `data`, which has to end behind the last one; ValueError otherwise."""
    types = {b"+": "simple", b"-": "error", b":": "integer"}
    while data:
        line, end, data = data.partition(b"\r\n")
        kind, rest = line[:1], line[1:]
        if not end or kind not in b"+-:$":
            raise ValueError(f"not a whole reply: {line!r}")
        if kind != b"$":
            yield Reply(types[kind], rest.decode())
        elif int(rest) < 0:
            yield Reply("null", None)
        else:
            body, end, data = data[: int(rest)], data[int(rest) : int(rest) + 2], data[int(rest) + 2 :]
            if end != b"\r\n":
                raise ValueError(f"the length {int(rest)} does not count {body + end!r}")
            yield Reply("bulk", body)


def play(conversation: Conversation, connect: Callable[[], Transport], sleep: Callable[[float], None]) -> None:
    """Play `conversation` over connections made by `connect`; raise Differs at the first reply that differs.

    `sleep` is called with seconds: `time.sleep` for a real process; for a session in memory, what moves its clock. All
    connections are closed at the end, whatever happens.
    """
    player = _Player(conversation, connect, sleep)
    try:
        for number, step in enumerate(conversation.steps):
            try:
                player.take(step)
            except Differs as why:
                said = f"step {number}, {(step.data or step.action)[:100]!r}"
                raise Differs(f"{conversation.name} ({conversation.note}): {said}: {why}") from None
    finally:
        for transport in player.transports.values():
            transport.close()


def difference(expected: Reply, got: Reply, verb: str) -> str | None:
    """Return why `got` is no match for the recorded reply to `verb`, or None if it is."""
    if expected.type != got.type:
        return f"expected {expected!r}, got {got!r}"
    if expected.type == "error":
        alike = PARSER_ONLY.match(expected.value) or _text_matches(expected.value, got.value)
        return None if alike else f"expected {expected.value!r}, got {got.value!r}"
    if expected.type == "bulk" and expected.value[:1] in b"{[":
        try:
            return _json_difference(json.loads(expected.value), json.loads(got.value), "", verb in ("FETCH", "INFO"))
        except ValueError as error:
            return f"{got.value!r}: {error}"
    return None if expected == got else f"expected {expected!r}, got {got!r}"


class _Player:
    """The state of one conversation: its connections by name, the salts to answer for, and what waits for replies."""

    def __init__(
        self, conversation: Conversation, connect: Callable[[], Transport], sleep: Callable[[float], None]
    ) -> None:
        self.password = conversation.password
        self.connect = connect
        self.sleep = sleep
        self.transports: dict[str, Transport] = {}
        self.verbs: dict[str, list[str]] = {}
        self.salts: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def take(self, step: Step) -> None:
        """Do what `step` says and compare the replies; raise Differs."""
        if step.action == "wait":
            self.sleep(step.seconds)
        elif step.action == "hang up":
            self.transports.pop(step.connection).close()
        else:
            if step.action == "connect":
                self.transports[step.connection] = self.connect()
            if step.data:
                self.verbs[step.connection] = [line.split(" ")[0].strip() for line in step.data.splitlines()]
                self.transports[step.connection].send(self._salted(step).encode())
            self._listen(step)

    def _listen(self, step: Step) -> None:
        if not step.replies and not step.closed:
            self.sleep(UNANSWERED_SECONDS)
            return
        transport = self.transports[step.connection]
        try:
            for expected in step.replies:
                self._compare(step.connection, expected, transport.receive())
            if step.closed:
                raise Differs(f"the connection stayed open and said {transport.receive()!r}")
        except Closed:
            if not step.closed:
                raise Differs("the server closed the connection") from None
        except TimeoutError:
            raise Differs("no reply, and the connection stayed open") from None

    def _compare(self, connection: str, expected: Reply, got: Reply) -> None:
        if expected.type == "simple" and SALTED_GREETING.fullmatch(expected.value):
            if got.type != "simple" or not SALTED_GREETING.fullmatch(got.value):
                raise Differs(f"{got!r} is no greeting with a salt")
            self.salts[connection] = json.loads(expected.value[3:]), json.loads(got.value[3:])
        else:
            verbs = self.verbs.get(connection)
            if why := difference(expected, got, verbs.pop(0) if verbs else ""):
                raise Differs(why)

    def _salted(self, step: Step) -> str:
        """Return what `step` says with the recorded password hash, if it holds one, made anew for today's salt."""
        line = step.data
        if step.connection in self.salts and self.password is not None:
            then, now = self.salts[step.connection]
            for iterations_then, iterations_now in ((then["i"], now["i"]), (1, 1)):
                old = password_hash(self.password, then["s"], iterations_then)
                new = password_hash(self.password, now["s"], iterations_now)
                line = line.replace(old, new).replace(old.upper(), new.upper())
        return line


def _step(recorded: dict[str, Any]) -> Step:
    what, closed = recorded.get("what") or "", bool(recorded.get("closed"))
    wait = WAIT.match(what)
    action = "say"
    if recorded["conn"] is None:
        if wait is None:
            raise ValueError(f"a step of no connection that is no wait: {recorded!r}")
        action = "wait"
    elif what == "connect":
        action = "connect"
    elif what == "client closes the connection":
        action = "hang up"
    replies = list(parse((recorded["recv"] or "").encode()))
    seconds = float(wait[1]) if wait and action == "wait" else 0.0
    # "*0002*" means the end of a jid, but may meet the microseconds of a time, too
    said = (recorded["send"] or "").replace('"*0002*"', r'"*0002\"*"')
    return Step(action, recorded["conn"] or "", said, replies, closed, seconds)


def _text_matches(expected: str, got: str) -> bool:
    if quoting := QUOTES_A_PARSER.match(expected):
        expected, got = quoting[0], got[: len(quoting[0])]
    start = len("ERR ") if expected.startswith("ERR ") else 0
    return _uncapitalised(expected, start) == _uncapitalised(got, start)


def _uncapitalised(text: str, start: int) -> str:
    return text[:start] + text[start : start + 1].lower() + text[start + 1 :]


def _json_difference(expected: Any, got: Any, path: str, may_hold_more: bool) -> str | None:
    """Return the first place where `got` is not as recorded. `may_hold_more`: further members in OPEN are fine."""
    here = path or "the reply"
    if type(expected) is not type(got):
        return f"{here}: expected {expected!r}, got {got!r}"
    if isinstance(expected, dict):
        wanted, further = expected.keys() - VOLATILE, got.keys() - expected.keys() - VOLATILE
        if further and not (may_hold_more and path in OPEN):
            return f"{here}: {sorted(further)} was not recorded"
        if absent := wanted - got.keys():
            return f"{here}: {sorted(absent)} is missing"
        pairs = [(f"{path}.{key}", expected[key], got[key]) for key in sorted(wanted)]
    elif isinstance(expected, list):
        if len(expected) != len(got):
            return f"{here}: expected {expected!r}, got {got!r}"
        pairs = [(f"{path}[{i}]", *pair) for i, pair in enumerate(zip(expected, got, strict=True))]
    elif isinstance(expected, str):
        same = _text_matches(expected, got) if QUOTES_A_PARSER.match(expected) else expected == got
        return None if same else f"{here}: expected {expected!r}, got {got!r}"
    else:
        return None if expected == got else f"{here}: expected {expected!r}, got {got!r}"
    return next((why for pair in pairs if (why := _json_difference(pair[1], pair[2], pair[0], may_hold_more))), None)
