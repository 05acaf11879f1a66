"""A load generator: what ``faktory-tw load`` runs against a server.

Each connection plays a script, a generator that yields the commands to send next and is given the time they took.
Several processes share the connections, each with one selector, so that the generator is seldom the limit; still, it is
Python, and on a small machine it takes its part of the processor from the server it measures.

Jobs go to queues of their own, ``load-0`` to ``load-4``, which are removed before and after, also when the run fails or
is interrupted: then each connection ends what it has begun, first. A job whose connection cannot is never tried again,
because it has ``retry`` 0.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from faktory_tw.challenge import password_hash

QUEUES = tuple(f"load-{number}" for number in range(5))
MODES = ("cycle", "push", "drain", "mixed")
_REPORT_SECONDS = 0.2
_FETCHES = [f"FETCH {' '.join(QUEUES[first:] + QUEUES[:first])}\r\n".encode() for first in range(len(QUEUES))]
_TIMEOUT_SECONDS = 60.0
_STOP_SECONDS = 10.0

Script = Generator[tuple[str, bytes, int], list[bytes], None]


class LoadError(Exception):
    """The server refused or left; the text is for the user."""


@dataclass(frozen=True)
class Plan:
    """What is to be done. ``pipeline`` commands are in flight a connection; ``bulk`` above 1 pushes with PUSHB."""

    host: str
    port: int
    password: str | None = None
    mode: str = "cycle"
    jobs: int = 30_000
    connections: int = 10
    pipeline: int = 1
    bulk: int = 1
    size: int = 0
    processes: int = 0


@dataclass
class Result:
    """What was measured: jobs a phase, seconds a phase, and milliseconds of each round trip by command."""

    seconds: dict[str, float] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)

    def add(self, phase: str, jobs: int, seconds: float, latencies: dict[str, list[float]]) -> None:
        self.jobs[phase] = self.jobs.get(phase, 0) + jobs
        self.seconds[phase] = max(self.seconds.get(phase, 0.0), seconds)
        for command, taken in latencies.items():
            self.latencies.setdefault(command, []).extend(taken)


# -- one connection --------------------------------------------------------------------------------------------------


def connect(plan: Plan) -> socket.socket:
    """A greeted connection. Raises LoadError."""
    try:
        sock = socket.create_connection((plan.host, plan.port), timeout=_TIMEOUT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = _line(sock)
        if not greeting.startswith(b"+HI "):
            raise _refusal(plan, greeting)
        hi = json.loads(greeting[4:])
        hello: dict[str, Any] = {"v": 2, "hostname": socket.gethostname(), "pid": os.getpid(), "labels": ["load"]}
        if "s" in hi:
            hello["pwdhash"] = password_hash(plan.password or "", hi["s"], hi["i"])
        sock.sendall(b"HELLO " + json.dumps(hello).encode() + b"\r\n")
        answer = _line(sock)
    except (OSError, ValueError) as error:
        raise LoadError(f"cannot connect to {plan.host}:{plan.port}: {error}") from None
    if answer != b"+OK":
        raise _refusal(plan, answer)
    return sock


def _refusal(plan: Plan, answer: bytes) -> LoadError:
    return LoadError(f"the server at {plan.host}:{plan.port} answers {answer.decode('utf-8', 'replace')!r}")


def _line(sock: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = sock.recv(1)
        if not data:
            raise LoadError("the server closed the connection during the handshake")
        line += data
    return line.rstrip()


def command(plan: Plan, line: str) -> bytes:
    """The reply to one command on a connection of its own. Raises LoadError, also for an error reply."""
    with connect(plan) as sock:
        try:
            sock.sendall(line.encode() + b"\r\n")
            answer = _line(sock)
        except OSError as error:
            raise LoadError(f"connection lost: {error}") from None
    if answer.startswith(b"-"):
        raise _refusal(plan, answer)
    return answer


class Player:
    """A connection that plays a script; ``data`` arrives in whatever pieces."""

    def __init__(self, sock: socket.socket, script: Script, latencies: dict[str, list[float]]) -> None:
        self.sock = sock
        self._script = script
        self._latencies = latencies
        self._buffer = b""
        self._replies: list[bytes] = []
        self.done = not self._next(None)

    def _next(self, replies: list[bytes] | None) -> bool:
        try:
            self._name, data, self._expected = next(self._script) if replies is None else self._script.send(replies)
        except StopIteration:
            return False
        self._sent_at = time.perf_counter()
        self.sock.sendall(data)
        return True

    def read(self) -> None:
        """Something arrived."""
        data = self.sock.recv(262_144)
        if not data:
            raise LoadError("the server closed a connection")
        self._buffer += data
        while len(self._replies) < self._expected and (size := _reply_size(self._buffer)):
            self._replies.append(self._buffer[:size])
            self._buffer = self._buffer[size:]
        if len(self._replies) == self._expected:
            self._latencies.setdefault(self._name, []).append((time.perf_counter() - self._sent_at) * 1000)
            replies, self._replies = self._replies, []
            self.done = not self._next(replies)


def _reply_size(buffer: bytes) -> int:
    """Bytes of the first whole reply in the buffer; 0 when there is none. An error ends the run."""
    end = buffer.find(b"\n") + 1
    if not end:
        return 0
    if buffer[:1] == b"-":
        raise LoadError(f"the server answers {buffer[:end].strip().decode('utf-8', 'replace')!r}")
    if buffer[:1] != b"$" or buffer[:3] == b"$-1":
        return end
    size = end + int(buffer[1:end]) + 2
    return size if len(buffer) >= size else 0


# -- scripts ---------------------------------------------------------------------------------------------------------


class Share:
    """The part of one process: how many jobs its connections still have to push and to finish."""

    stopped = False

    def __init__(self, plan: Plan, jobs: int) -> None:
        self.plan = plan
        self.jobs = self.to_push = self.to_finish = jobs
        self.pushed = self.finished = 0
        self._numbers = count()
        self._prefix = f"{os.getpid():x}-{time.time_ns():x}"
        self._padding = "x" * plan.size

    def stop(self) -> None:
        """Begin nothing any more: what is pushed will be answered, what is fetched acknowledged, and that is all."""
        self.stopped = True

    def take_push(self, most: int) -> int:
        taken = 0 if self.stopped else min(most, self.to_push)
        self.to_push -= taken
        return taken

    def job(self) -> str:
        number = next(self._numbers)
        return (
            f'{{"jid":"{self._prefix}-{number}","jobtype":"Load","queue":"{QUEUES[number % len(QUEUES)]}",'
            f'"args":[{number},"{self._padding}"],"retry":0}}'
        )


def push_script(share: Share) -> Script:
    """Push until the share is used up."""
    plan = share.plan
    while number := share.take_push(plan.pipeline * plan.bulk):
        if plan.bulk > 1:
            lines = []
            for start in range(0, number, plan.bulk):
                members = ",".join(share.job() for _ in range(min(plan.bulk, number - start)))
                lines.append(f"PUSHB [{members}]\r\n")
        else:
            lines = [f"PUSH {share.job()}\r\n" for _ in range(number)]
        yield "push", "".join(lines).encode(), len(lines)
        share.pushed += number


def drain_script(share: Share) -> Script:
    """Fetch and acknowledge until nothing is left."""
    for turn in count():
        most = min(share.plan.pipeline, share.to_finish)
        if most <= 0 or share.stopped:
            return
        share.to_finish -= most
        last = share.plan.mode == "drain" or share.pushed == share.jobs
        replies = yield "fetch", _FETCHES[turn % len(_FETCHES)] * most, most
        jobs = [reply for reply in replies if not reply.startswith(b"$-1")]
        share.to_finish += most - len(jobs)
        if jobs:
            yield "ack", b"".join(b'ACK {"jid":"%b"}\r\n' % _jid(job) for job in jobs), len(jobs)
            share.finished += len(jobs)
        elif last:  # all was pushed before, so what is missing was taken by somebody else
            return


def cycle_script(share: Share) -> Script:
    """Push, fetch and acknowledge in turn."""
    while number := share.take_push(share.plan.pipeline * share.plan.bulk):
        yield from push_script(_Once(share, number))
        share.pushed += number
        left = number
        while left > 0 and not share.stopped:
            most = min(share.plan.pipeline, left)
            replies = yield "fetch", _FETCHES[share.pushed % len(_FETCHES)] * most, most
            jobs = [reply for reply in replies if not reply.startswith(b"$-1")]
            if jobs:
                yield "ack", b"".join(b'ACK {"jid":"%b"}\r\n' % _jid(job) for job in jobs), len(jobs)
                share.finished += len(jobs)
            left -= most


class _Once(Share):
    """One turn's part of a share: its jobs are numbered by the whole."""

    def __init__(self, whole: Share, number: int) -> None:
        self.plan = whole.plan
        self.to_push = number
        self.pushed = 0
        self.job = whole.job  # type: ignore[method-assign]


def _jid(reply: bytes) -> bytes:
    start = reply.index(b'"jid":"') + 7
    return reply[start : reply.index(b'"', start)]


_SCRIPTS = {
    "push": (push_script,),
    "drain": (drain_script,),
    "cycle": (cycle_script,),
    "mixed": (push_script, drain_script),
}

# -- processes -------------------------------------------------------------------------------------------------------


def _play(plan: Plan, phase: str, jobs: int, connections: int, report: Pipe) -> None:
    """One process: play its share, and report (jobs done) now and then, and (jobs, seconds, latencies) at the end."""
    try:
        share = Share(plan, jobs)
        latencies: dict[str, list[float]] = {}
        scripts = _SCRIPTS[phase]
        socks = [connect(plan) for _ in range(connections)]
        report.send("ready")
        report.recv()
        signal.signal(signal.SIGTERM, lambda *_: share.stop())
        began = time.perf_counter()
        for _ in _turns(
            [Player(sock, scripts[number % len(scripts)](share), latencies) for number, sock in enumerate(socks)]
        ):
            report.send(share.pushed if phase == "push" else share.finished)
        done = share.pushed if phase == "push" else share.finished
        if not share.stopped:
            report.send((done, time.perf_counter() - began, latencies))
    except LoadError as error:
        report.send(error)
    except OSError as error:
        report.send(LoadError(f"connection lost: {error}"))
    finally:
        report.close()


def _turns(players: list[Player]) -> Iterator[None]:
    """Let the players play to the end; yields when it is time to report."""
    selector = selectors.DefaultSelector()
    active = 0
    for player in players:
        if not player.done:
            selector.register(player.sock, selectors.EVENT_READ, player)
            active += 1
    next_report = time.perf_counter() + _REPORT_SECONDS
    while active:
        events = selector.select(_TIMEOUT_SECONDS)
        if not events:
            raise LoadError(f"the server has not answered for {_TIMEOUT_SECONDS:.0f} s")
        for key, _ in events:
            key.data.read()
            if key.data.done:
                selector.unregister(key.fileobj)
                active -= 1
        if time.perf_counter() >= next_report:
            next_report = time.perf_counter() + _REPORT_SECONDS
            yield


def run(plan: Plan, progress: Callable[[str, int, float], None]) -> Result:
    """Carry out a plan; ``progress(phase, jobs done, seconds)`` is called several times a second. Raises LoadError."""
    result = Result()
    _remove_queues(plan)
    try:
        if plan.mode == "drain":
            _run_phase(plan, "push", result, progress)
        _run_phase(plan, plan.mode, result, progress)
    except BaseException:
        try:
            _remove_queues(plan)
        except LoadError:
            pass  # the first error is the one to tell
        raise
    _remove_queues(plan)
    return result


def _remove_queues(plan: Plan) -> None:
    command(plan, f"QUEUE REMOVE {' '.join(QUEUES)}")


def _run_phase(plan: Plan, phase: str, result: Result, progress: Callable[[str, int, float], None]) -> None:
    processes: list[BaseProcess] = []
    pipes: list[Pipe] = []
    try:
        _start(plan, phase, processes, pipes)
        _collect(pipes, phase, result, progress)
    finally:
        _end(processes)


def _start(plan: Plan, phase: str, processes: list[BaseProcess], pipes: list[Pipe]) -> None:
    """Start the processes of a phase, and add each, and the pipe to it, to the lists.

    They inherit that SIGINT is blocked: Ctrl-C reaches all of them, and it is for the first process to end the others.
    """
    number = min(plan.processes or max((os.cpu_count() or 2) // 2, 1), plan.connections)
    context = multiprocessing.get_context("spawn")
    resource_tracker.ensure_running()  # before, because in Python 3.11 its start unblocks SIGINT
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for jobs, connections in zip(_shares(plan.jobs, number), _shares(plan.connections, number), strict=True):
            ours, theirs = context.Pipe()
            process = context.Process(target=_play, args=(plan, phase, jobs, connections, theirs), daemon=True)
            process.start()
            processes.append(process)
            pipes.append(ours)
            theirs.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _shares(whole: int, number: int) -> list[int]:
    """Equal parts; the first are one larger when it does not divide evenly."""
    return [whole // number + (index < whole % number) for index in range(number)]


def _end(processes: list[BaseProcess]) -> None:
    """Let processes end what they have begun, for some seconds."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    try:
        for process in processes:
            process.join(max(deadline - time.monotonic(), 0.0))
    finally:  # also at a second Ctrl-C
        for process in processes:
            process.kill()
            process.join()


def _collect(pipes: list[Pipe], phase: str, result: Result, progress: Callable[[str, int, float], None]) -> None:
    """Start all processes together, show what they report, and gather what they measured."""
    for pipe in pipes:
        _receive(pipe)
    for pipe in pipes:
        pipe.send("go")
    began = time.perf_counter()
    done = dict.fromkeys(pipes, 0)
    waiting = set(pipes)
    while waiting:
        ready: list[Any] = wait(list(waiting))
        for pipe in ready:
            message = _receive(pipe)
            if isinstance(message, int):
                done[pipe] = message
            else:
                jobs, seconds, latencies = message
                done[pipe] = jobs
                result.add(phase, jobs, seconds, latencies)
                waiting.discard(pipe)
        progress(phase, sum(done.values()), time.perf_counter() - began)


def _receive(pipe: Pipe) -> Any:
    try:
        message = pipe.recv()
    except EOFError:
        raise LoadError("a process of the load generator ended early") from None
    if isinstance(message, LoadError):
        raise message
    return message
