"""One client's conversation: a line in, a reply out. No socket, no disk.

:meth:`Session.execute` takes one line without its end and returns the bytes of the reply, or None when the reply comes
later through ``answer``: a FETCH that waits, or a command that is carried out in slices. A reply of type ``wire.Held``
may leave only after the open batch is on disk; holding it, and keeping replies in order, is the transport's business.

Commands live in tables, COMMANDS and SUBCOMMANDS at the end of the class: a verb and the method that carries it out.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from faktory_tw.challenge import password_hash
from faktory_tw.core.backoff import time_of_retry
from faktory_tw.core.job import DEFAULT_QUEUE, Payload, parse_folded, parse_job, parse_jobs, wire_form
from faktory_tw.core.manager import Reservation
from faktory_tw.core.retry import FailureReport
from faktory_tw.core.waiting import Waiter
from faktory_tw.core.weights import Weighted
from faktory_tw.core.workers import State, Worker
from faktory_tw.features.admin import Task
from faktory_tw.features.batches import Batches
from faktory_tw.features.cancel import Cancel
from faktory_tw.features.mutate import Mutation
from faktory_tw.features.tracking import Tracking
from faktory_tw.server import Server
from faktory_tw.wire import ACKNOWLEDGED, NULL, OK, CommandError, FatalCommandError, Held, WrongPassword, bulk, error

_BULK_SLICE = 512  # jobs of one PUSHB handled in one turn of the reactor: each may be handed to somebody who waits
_BULK_BYTES = 1024 * 1024  # of args of a PUSHB that are taken apart in one turn
_BULK_SLICE_BYTES = 16_384  # of the args of those with a custom
MOST_BEFORE_HELLO_BYTES = 65_536
_REMEMBERED_FETCHES = 1024
_LONGEST_WID = 255
_MOST_QUEUES = 1000  # named in one FETCH
_MOST_LISTED = 10_000  # there, with those that are named again
_MOST_QUEUES_CHANGED = 100_000  # named in one QUEUE
_MOST_QUOTED = 1000  # characters of a bad command quoted in its error


class _Hello(msgspec.Struct, gc=False):
    hostname: str | None = None
    wid: str | None = None
    pid: int | None = None
    labels: list[str] | None = None
    pwdhash: str | None = None
    v: Annotated[int, Meta(ge=0, le=255)] | None = None
    username: str | None = None
    rss_kb: int | None = None


class _Fail(msgspec.Struct, gc=False):
    jid: str | None = None
    errtype: str | None = None
    message: str | None = None
    backtrace: list[str] | None = None
    retry_after: msgspec.Raw = msgspec.Raw(b"")


class _Beat(msgspec.Struct, gc=False):
    wid: str | None = None
    current_state: str | None = None
    rss_kb: int | None = None
    cancels: bool | None = None


_decode_ack = msgspec.json.Decoder(dict[str, str | None]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_DECODING_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_STATE_REPLIES = {
    State.RUNNING: OK,
    State.QUIET: bulk(b'{"state":"quiet"}'),
    State.TERMINATE: bulk(b'{"state":"terminate"}'),
}


def _compact_json(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _quoted(argument: bytes) -> str:
    return argument[:_MOST_QUOTED].decode("utf-8", "replace")


class Session:
    """The conversation of one connection.

    ``answer(reply, reservation)`` is called for replies that come later; ``reservation`` is the job it carries, or
    None. It returns False when the client is gone. ``host()`` tells, at HELLO, where the client is.
    """

    __slots__ = (
        "server",
        "execute",
        "worker",
        "wid",
        "reservation",
        "_answer",
        "_host",
        "_waiter",
        "_challenge",
        "_long_verb",
    )

    def __init__(
        self, server: Server, answer: Callable[[bytes, Reservation | None], bool], host: Callable[[], str] = str
    ) -> None:
        self.server = server
        self.execute: Callable[[bytes], bytes | None] = self._hello
        self.worker: Worker | None = None
        self.wid = ""
        self.reservation: Reservation | None = None  # the job that the reply just returned carries
        self._answer = answer
        self._host = host
        self._waiter: Waiter | None = None
        self._challenge = server.challenge()
        self._long_verb = b""  # the last command that was not answered at once

    # -- handshake -----------------------------------------------------------------------------------------------

    def greeting(self) -> bytes:
        """The first line, without a space anywhere in its JSON: some clients split it."""
        if self.server.password is None:
            return b'+HI {"v":2}\r\n'
        return b'+HI {"v":2,"i":%d,"s":"%b"}\r\n' % (self._challenge.iterations, self._challenge.salt.encode())

    @property
    def greeted(self) -> bool:
        """Whether HELLO has succeeded."""
        return self.execute != self._hello

    def _hello(self, line: bytes) -> bytes | None:
        if not line.startswith(b"HELLO {") or len(line) > MOST_BEFORE_HELLO_BYTES:
            raise FatalCommandError("")
        try:
            hello = parse_folded(line[6:], _Hello)
        except ValueError:
            raise FatalCommandError("") from None
        if self.server.password is not None:
            self._check_password(self.server.password, hello)
        self.server.connections += 1
        self.server.accepted_connections += 1
        self.execute = self._command
        if hello.wid and len(hello.wid) > _LONGEST_WID:  # it is recorded with every job that is fetched
            raise FatalCommandError(f"wid longer than {_LONGEST_WID} characters")
        if hello.wid:
            self.wid = hello.wid
            self.worker = self.server.manager.connect_worker(
                hello.wid, hello.hostname or "", hello.pid or 0, hello.labels or []
            )
        return OK

    def _check_password(self, password: str, hello: _Hello) -> None:
        server, host = self.server, self._host()
        if not server.attempts.admits(host):
            server.refused_connections["throttled"] += 1
            raise FatalCommandError("too many wrong passwords from this address, try again in some seconds")
        iterated = (hello.v or 0) >= 2
        expected = self._challenge.expected if iterated else password_hash(password, self._challenge.salt, 1)
        if not hmac.compare_digest(expected.encode(), (hello.pwdhash or "").encode()):
            server.refused_connections["password"] += 1
            raise WrongPassword(server.attempts.failed(host))
        server.attempts.succeeded(host)

    def leave(self) -> None:
        """The connection is gone."""
        if self._waiter is not None:
            self.server.manager.stop_waiting(self._waiter)
            self._waiter = None
        if self.greeted:
            self.server.connections -= 1
        self.execute, self._answer, self._host = _gone, _nobody, str
        if self.worker is not None:
            worker, self.worker = self.worker, None
            self.server.manager.disconnect_worker(worker)

    @property
    def waits(self) -> bool:
        """Whether a FETCH of this connection waits for a job."""
        return self._waiter is not None

    @property
    def waiter(self) -> Waiter | None:
        """The FETCH of this connection that waits for a job."""
        return self._waiter

    # -- commands ------------------------------------------------------------------------------------------------

    def _command(self, line: bytes) -> bytes | None:
        verb, space, argument = line.partition(b" ")
        command = COMMANDS.get(verb)
        server = self.server
        if command is None:
            server.unknown_commands += 1
            raise CommandError(f"Unknown command {_quoted(verb)}")
        if server.stopping:
            raise FatalCommandError("Shutdown in progress")
        server.commands[verb] += 1
        try:
            if not space and verb in _NEEDED:
                raise CommandError(f"{verb.decode()} needs {_NEEDED[verb]}")
            reply = command(self, argument)
        except Exception:
            if verb != b"END":  # which has no other way to close the connection
                server.refused_commands[verb] += 1
            raise
        if reply is None:
            self._long_verb = verb
        return reply

    def _push(self, argument: bytes) -> bytes:
        self.server.manager.push(parse_job(argument))
        return ACKNOWLEDGED

    def _push_bulk(self, argument: bytes) -> bytes | None:
        jobs = parse_jobs(argument)
        refused: dict[str, str] = {}
        steps = self._push_steps(jobs, refused)
        return self._in_slices(steps, lambda: Held(bulk(_compact_json(refused))))

    def _push_steps(self, jobs: Iterator[Payload], refused: dict[str, str]) -> Iterator[None]:
        """Parse all jobs first, as one that is no job refuses the whole command, then push them."""
        parsed: deque[Payload] = deque()
        size = 0
        for payload in jobs:
            parsed.append(payload)
            size += memoryview(payload.args).nbytes
            if len(parsed) % _BULK_SLICE == 0 or size > _BULK_BYTES:
                size = 0
                yield
        manager, now = self.server.manager, self.server.clock.time()
        number = size = 0
        while parsed:
            payload = parsed.popleft()
            number += 1
            if payload.custom:  # its args may have to be decoded
                size += len(bytes(payload.args))
            try:
                manager.push(payload, now)
            except CommandError as refusal:
                code = "" if refusal.code == "ERR" else f"{refusal.code} "
                refused[payload.jid or ""] = f"{code}{refusal}"
            if number % _BULK_SLICE == 0 or size > _BULK_SLICE_BYTES:
                size = 0
                yield

    def _in_slices(self, steps: Iterator[None], reply: Callable[[], bytes]) -> bytes | None:
        """Carry out a command that may be long. A short one is done, and answered, at once."""
        finished = object()
        if next(steps, finished) is finished:
            return reply()

        def finish(refusal: CommandError | None) -> None:
            if refusal is not None:
                self.server.refused_commands[self._long_verb] += 1
            self._answer(error(refusal) if refusal else reply(), None)

        self.server.run_in_slices(steps, finish)
        return None

    def _fetch(self, argument: bytes) -> bytes | None:
        names = _fetches.get(argument) or _queue_names(argument)
        manager = self.server.manager
        reservation = manager.fetch(names, self.worker)
        if reservation is None:
            self._waiter = manager.wait(names, self.worker, self._fetched)
            return None
        self.reservation = reservation
        return _delivery(reservation)

    def _fetched(self, reservation: Reservation | None) -> bool:
        """A waiting FETCH got a job, or its time is over."""
        self._waiter = None
        return self._answer(NULL if reservation is None else _delivery(reservation), reservation)

    def _ack(self, argument: bytes) -> bytes:
        try:
            members = _decode_ack(argument)
            jid = members["jid"]
        except (*_DECODING_ERRORS, KeyError):
            return self._ack_with_result(argument)
        if "result" in members:
            return self._ack_with_result(argument)
        self.server.manager.ack(jid or "", self.wid)
        return ACKNOWLEDGED

    def _ack_with_result(self, argument: bytes) -> bytes:
        try:
            members = _decode_members(argument)
            result = bytes(members.pop("result"))
            jid = _decode_ack(_compact_json(members))["jid"]
        except (*_DECODING_ERRORS, KeyError):
            raise CommandError(f"invalid ACK {_quoted(argument)}") from None
        manager = self.server.manager
        manager.facts.find(Tracking).take_result(jid or "", self.wid, result)
        manager.ack(jid or "", self.wid)
        return ACKNOWLEDGED

    def _fail(self, argument: bytes) -> bytes:
        try:
            failed = parse_folded(argument, _Fail)
        except ValueError:
            raise CommandError(f"invalid FAIL {_quoted(argument)}") from None
        if not failed.jid:
            raise CommandError("missing JID")
        retry_at = time_of_retry(failed.retry_after, self.server.clock.time()) if failed.retry_after else None
        report = FailureReport(failed.errtype, failed.message, failed.backtrace, retry_at)
        self.server.manager.fail(failed.jid, self.wid, report)
        return ACKNOWLEDGED

    def _beat(self, argument: bytes) -> bytes:
        try:
            beat = parse_folded(argument, _Beat)
        except ValueError:
            raise CommandError(f"invalid BEAT {_quoted(argument)}") from None
        state = self.server.manager.beat(beat.wid or "", beat.current_state, beat.rss_kb or 0)
        if state is None:
            raise CommandError(f"Unknown worker {(beat.wid or '')[:_MOST_QUOTED]}")
        cancels = self.server.manager.facts.find(Cancel).beat_reply(beat.wid or "", state) if beat.cancels else None
        return cancels or _STATE_REPLIES[state]

    def _info(self, _argument: bytes) -> bytes | None:
        sizes: dict[str, int] = {}
        return self._in_slices(self.server.gather_sizes(sizes), lambda: bulk(_compact_json(self.server.info(sizes))))

    def _flush(self, _argument: bytes) -> bytes:
        self.server.flush()
        return ACKNOWLEDGED

    def _end(self, _argument: bytes) -> bytes:
        raise FatalCommandError("")

    def _mutate(self, argument: bytes) -> bytes | None:
        return self._in_slices(Mutation(argument).steps(self.server.manager), lambda: ACKNOWLEDGED)

    def _track(self, argument: bytes) -> bytes:
        return self.server.manager.facts.find(Tracking).execute(argument, self.wid)

    def _batch(self, argument: bytes) -> bytes:
        return self.server.manager.facts.find(Batches).execute(argument)

    def _admin(self, argument: bytes) -> bytes | None:
        task = Task(argument, self.server.manager, self.server.backups)
        if task.waits:
            return task.begin(lambda reply: self._answer(reply, None))
        return self._in_slices(task.steps(), task.reply)

    def _queue(self, argument: bytes) -> bytes | None:
        if argument.count(b" ") > _MOST_QUEUES_CHANGED:
            raise CommandError(f"more than {_MOST_QUEUES_CHANGED} queues in one command; * is all of them")
        words = argument.decode("utf-8", "replace").split(" ")
        subcommand = self.SUBCOMMANDS.get(words[0].upper())
        if subcommand is None:
            raise CommandError(f"no such QUEUE subcommand: {words[0].upper()[:_MOST_QUOTED]}")
        if len(words) == 1 and words[0].upper() != "LATENCY":
            raise CommandError(f"QUEUE {words[0].upper()} needs the names of queues, or *")
        return subcommand(self, words[1:])

    def _queue_pause(self, names: Sequence[str]) -> bytes | None:
        return self._to_queues(self.server.manager.pause, names)

    def _queue_resume(self, names: Sequence[str]) -> bytes | None:
        return self._to_queues(partial(self.server.manager.pause, paused=False), names)

    def _queue_remove(self, names: Sequence[str]) -> bytes | None:
        return self._to_queues(self.server.manager.remove_queues, names)

    def _to_queues(self, change: Callable[[Sequence[str]], None], names: Sequence[str]) -> bytes | None:
        """Change these queues, some hundred at a time."""

        def steps() -> Iterator[None]:
            for number, some in enumerate(self.server.manager.views.slices_of(names)):
                if number:
                    yield
                change(some)

        return self._in_slices(steps(), lambda: ACKNOWLEDGED)

    def _queue_latency(self, names: Sequence[str]) -> bytes:
        if names and names[0] == "*":
            raise CommandError("QUEUE LATENCY does not support wildcards")
        return bulk(_compact_json(self.server.manager.latencies(names)))

    COMMANDS: ClassVar[dict[bytes, Callable[[Session, bytes], bytes | None]]] = {
        b"PUSH": _push,
        b"PUSHB": _push_bulk,
        b"FETCH": _fetch,
        b"ACK": _ack,
        b"FAIL": _fail,
        b"BEAT": _beat,
        b"INFO": _info,
        b"FLUSH": _flush,
        b"END": _end,
        b"MUTATE": _mutate,
        b"QUEUE": _queue,
        b"TRACK": _track,
        b"BATCH": _batch,
        b"ADMIN": _admin,
    }
    SUBCOMMANDS: ClassVar[dict[str, Callable[[Session, Sequence[str]], bytes | None]]] = {
        "PAUSE": _queue_pause,
        "RESUME": _queue_resume,
        "REMOVE": _queue_remove,
        "LATENCY": _queue_latency,
    }


COMMANDS = Session.COMMANDS
_NEEDED = {
    b"PUSH": 'a job: PUSH {"jid":"…","jobtype":"…","args":[…]}',
    b"PUSHB": "an array of jobs: PUSHB [{…},{…}]",
    b"ACK": 'a jid: ACK {"jid":"…"}',
    b"FAIL": 'a jid: FAIL {"jid":"…","errtype":"…","message":"…"}',
    b"BEAT": 'a worker: BEAT {"wid":"…"}',
    b"MUTATE": 'an operation: MUTATE {"cmd":"…","target":"…"}',
    b"TRACK": 'a subcommand: TRACK SET {"jid":"…","percent":50} or TRACK GET jid',
    b"BATCH": "a subcommand: BATCH NEW {…}, or OPEN, COMMIT or STATUS and a bid",
    b"ADMIN": 'a subcommand: ADMIN LIST {"place":"retries"}',
    b"QUEUE": "a subcommand: QUEUE PAUSE, RESUME, REMOVE or LATENCY, and names of queues",
}

_fetches: dict[bytes, tuple[str, ...]] = {}


def _queue_names(argument: bytes) -> tuple[str, ...]:
    """The queues of a FETCH, in order. Workers send the same line again and again, so the last few are remembered."""
    if argument.count(b" ") > _MOST_LISTED:
        raise CommandError(f"more than {_MOST_QUEUES} queues in one command")
    text = argument.decode("utf-8", "replace") if argument else DEFAULT_QUEUE
    words = tuple(dict.fromkeys(text.split(" ")))
    if len(words) > _MOST_QUEUES:
        raise CommandError(f"more than {_MOST_QUEUES} queues in one command")
    names = Weighted.of(words) if ":" in text else words
    if len(_fetches) >= _REMEMBERED_FETCHES:
        _fetches.clear()
    if len(argument) < _MOST_QUOTED:
        _fetches[argument] = names
    return names


def _gone(_line: bytes) -> bytes | None:
    """Executes the commands of a connection that is lost: there are none."""
    raise FatalCommandError("")


def _nobody(_reply: bytes, _reservation: Reservation | None) -> bool:
    """Takes the answers for a connection that is lost."""
    return False


def _delivery(reservation: Reservation) -> bytes:
    """The reply that carries a job. Its body need not stay in memory while it is worked on."""
    job = reservation.job
    text = wire_form(job)
    job.body = b""
    return b"$%d\r\n%b\r\n" % (len(text), text)
