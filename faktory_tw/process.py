"""What a server does to the process it runs in: clock, limits, garbage collection, exit status."""

from __future__ import annotations

import atexit
import gc
import os
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

MOST_COLLECTED = 200_000  # old objects that are looked at in one turn: some 20 ms


def use_monotonic_clock(reactor: Any) -> None:
    """Run the reactor's timers on the monotonic clock: on the wall clock a step back would freeze them all."""
    if reactor.seconds is time.monotonic:
        return
    shift = time.monotonic() - reactor.seconds()
    for call in reactor.getDelayedCalls():
        call.time += shift
        call.seconds = time.monotonic
    reactor.seconds = time.monotonic


def raise_file_limit() -> None:
    """Allow as many open connections as the system grants this user."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def restrict_umask() -> None:
    """Let nobody else write to files that are made: the log, the pid file of twistd, directories above the data.

    What holds jobs or keys is made with narrower modes of its own. A narrower mask that was given stays.
    """
    os.umask(os.umask(0o077) | 0o022)


def tune_interpreter() -> None:
    """The writing thread waits for the interpreter's lock as long as the reactor is busy; let it wait less."""
    sys.setswitchinterval(0.001)


def freeze_garbage() -> None:
    """Millions of loaded jobs need no garbage collection, and few cycles are made later."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 5, 4000)  # the second: fifty thousand young objects take some 10 ms


def collect_garbage() -> None:
    """Collect what became garbage after it had grown old: cycles of connections and requests that lived for minutes.

    The interpreter does it after days, as one collection takes some 10 ms for each hundred thousand objects. So it is done
    while there are not many.
    """
    if len(gc.get_objects(generation=2)) < MOST_COLLECTED:
        gc.collect()


def exit_with(status: int) -> None:
    """Make this status the one of the process, when it comes to its end in the ordinary way."""

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(leave)


def refuse_unwritable_pidfile(launcher: Mapping[str, Any]) -> None:
    """Say in one sentence what twistd, whose options these are, would say in a traceback. Raises SystemExit."""
    path = launcher.get("pidfile")
    if path and not os.access(path if os.path.exists(path) else os.path.dirname(os.path.abspath(path)), os.W_OK):
        raise SystemExit(
            f"faktory: cannot write the pid file {os.path.abspath(path)}: give twistd another one with --pidfile=PATH, "
            "or none with --pidfile="
        )
