"""What the server is doing right now, as lines for the log: connections, workers, the committer, timers, threads.

For the day on which something stands still and nobody knows why. Everything is read in one turn of the reactor, so the
lines fit together; their number is bounded, whatever the number of connections. No job, argument or password is shown.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import FrameType
from typing import Any

from faktory_tw import committer, protocol
from faktory_tw.core.manager import JobManager
from faktory_tw.core.waiting import WAIT_SECONDS
from faktory_tw.server import resident_kib

_CONNECTIONS = 200
_WORKERS = 200
_QUEUES = 100
_TIMERS = 50
_FRAMES = 30  # the innermost of each thread
_NAMES = 10  # queues of one FETCH that are named
_MOST_NAME = 200  # characters

Stacks = Mapping[str, list[str]]
"""Frames by the name of their thread, the outermost first."""


def thread_stacks(interrupted: FrameType | None = None) -> dict[str, list[str]]:
    """Where each thread is. ``interrupted`` is what a signal handler is given: where the thread that calls this was."""
    frames = dict(sys._current_frames())  # noqa: SLF001 - the documented way to them
    if interrupted is not None:
        frames[threading.get_ident()] = interrupted
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {f"{names.get(ident, 'unknown')} ({ident})": _frames(frame) for ident, frame in frames.items()}


def _frames(frame: FrameType) -> list[str]:
    stack = traceback.extract_stack(frame)[-_FRAMES:]
    return [f"{entry.filename}:{entry.lineno} {entry.name}" for entry in stack]


class Dump:
    """Tells what the parts of one server are doing.

    ``connections`` is the factory's set of them, ``delayed_calls`` the reactor's getDelayedCalls, ``monotonic`` the
    clock of both.
    """

    def __init__(
        self,
        manager: JobManager,
        connections: Iterable[protocol.FaktoryProtocol],
        condition: Callable[[], committer.Condition],
        delayed_calls: Callable[[], Iterable[Any]],
        monotonic: Callable[[], float],
    ) -> None:
        self._manager = manager
        self._connections = connections
        self._condition = condition
        self._delayed_calls = delayed_calls
        self._monotonic = monotonic

    def lines(self, stacks: Stacks) -> Iterator[str]:
        """Everything, a line each; ``stacks`` are those of :func:`thread_stacks`."""
        yield _memory()
        yield from self._queue_lines()
        yield from self._connection_lines()
        yield from self._worker_lines()
        yield self._committer_line()
        yield from self._timer_lines()
        for name, frames in stacks.items():
            yield f"thread {name}:"
            yield from (f"  {frame}" for frame in frames)

    def _queue_lines(self) -> Iterator[str]:
        sets = ", ".join(f"{count} {name}" for name, count in self._manager.set_sizes().items())
        sizes, queues = self._manager.queue_sizes(), self._manager.queues()
        yield f"jobs: {sum(sizes.values())} in {len(sizes)} queues; {sets}"
        for name, size in islice(sizes.items(), _QUEUES):
            yield f"queue {name}: {size} jobs{', paused' if queues[name].paused else ''}"
        yield from _rest(len(sizes), _QUEUES, "queues")

    def _connection_lines(self) -> Iterator[str]:
        now = self._monotonic()
        conditions = [connection.condition() for connection in self._connections]
        kinds = Counter(_kind(condition) for condition in conditions)
        yield f"connections: {len(conditions)}{''.join(f', {count} {kind}' for kind, count in kinds.most_common())}"
        for condition in conditions[:_CONNECTIONS]:
            yield _connection(condition, now)
        yield from _rest(len(conditions), _CONNECTIONS, "connections")

    def _worker_lines(self) -> Iterator[str]:
        workers = {worker.wid: worker for worker in self._manager.workers}
        held = Counter(reservation.wid for reservation in self._manager.reservations())
        wids = [*workers, *(wid for wid in held if wid not in workers)]
        yield f"workers: {len(workers)} connected, {sum(held.values())} jobs reserved"
        for wid in wids[:_WORKERS]:
            worker = workers.get(wid)
            state = (
                "not connected" if worker is None else f"{worker.state.name.lower()}, {worker.connections} connections"
            )
            yield f"worker {_named(wid)}: {state}, {held[wid]} jobs reserved"
        yield from _rest(len(wids), _WORKERS, "workers")

    def _committer_line(self) -> str:
        now = self._condition()
        state = "broken" if now.broken else "busy" if now.busy else "idle"
        return (
            f"committer: {state}, {now.flying} connections wait for the batch being written, {now.waiting} with "
            f"{now.held} replies for the open batch of {now.records} records"
        )

    def _timer_lines(self) -> Iterator[str]:
        """Timers by what they will do: ten thousand handshakes are one line."""
        now = self._monotonic()
        due: dict[str, list[float]] = defaultdict(list)
        for call in self._delayed_calls():
            due[_function(call.func)].append(call.getTime() - now)
        yield f"timers: {sum(map(len, due.values()))}"
        for name, times in islice(sorted(due.items(), key=lambda item: min(item[1])), _TIMERS):
            many = f"{len(times)} times, the first " if len(times) > 1 else ""
            yield f"timer {name}: {many}in {min(times):.3f} s"
        yield from _rest(len(due), _TIMERS, "kinds of timers")


def _memory() -> str:
    return (
        f"process {os.getpid()}: {resident_kib() // 1024} MiB resident, {_open_files()} open files, "
        f"{threading.active_count()} threads, garbage collector at {gc.get_count()} of {gc.get_threshold()}"
    )


def _open_files() -> int | str:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return "unknown"


def _kind(condition: protocol.Condition) -> str:
    if condition.closing:
        return "closing"
    if not condition.greeted:
        return "in the handshake"
    if condition.waiter is not None:
        return "waiting in FETCH"
    return "with a command in slices" if condition.pending else "idle"


def _connection(condition: protocol.Condition, now: float) -> str:
    told = [_kind(condition)]
    waiter = condition.waiter
    if waiter is not None:
        names = " ".join(_named(name) for name in waiter.queues[:_NAMES])
        more = f" and {len(waiter.queues) - _NAMES} more" if len(waiter.queues) > _NAMES else ""
        waited = WAIT_SECONDS - (waiter.deadline - now)
        told = [f"waits in FETCH {names}{more} for {waited:.3f} s"]
    counts = (
        (condition.held, "replies wait for the disk"),
        (condition.put_by_bytes, "bytes put by"),
        (condition.unfinished_bytes, "bytes of an unfinished line"),
    )
    told += [f"{count} {what}" for count, what in counts if count]
    if condition.stalled:
        told.append("the client does not read")
    if condition.paused:
        told.append("not read from")
    return f"connection {condition.peer} wid {_named(condition.wid) or '-'}: {', '.join(told)}"


def _function(call: Any) -> str:
    """The name of what a timer calls; of a LoopingCall, of what that calls."""
    inner = getattr(call, "f", call)
    inner = getattr(inner, "__wrapped__", inner)
    return str(getattr(inner, "__qualname__", None) or type(inner).__qualname__)


def _named(name: str) -> str:
    return name if len(name) <= _MOST_NAME else name[:_MOST_NAME] + "…"


def _rest(count: int, shown: int, what: str) -> Iterator[str]:
    if count > shown:
        yield f"… and {count - shown} more {what}"
