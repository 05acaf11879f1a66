"""``watch``: a live view of a server, until ``q`` or Ctrl-C."""

from __future__ import annotations

import argparse
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from faktory_tw.console import options as common
from faktory_tw.console import status
from faktory_tw.console.connection import Connection
from faktory_tw.console.errors import ConsoleError
from faktory_tw.console.terminal import cut

_ENTER = "\033[?1049h\033[?25l"  # another screen, no cursor
_LEAVE = "\033[?25h\033[?1049l"
_HOME = "\033[H"
_END_OF_LINE = "\033[K"
_END_OF_SCREEN = "\033[J"


def add(commands: Any) -> None:
    """The command ``watch``."""
    parser = common.command(
        commands,
        "watch",
        run,
        "show a server live",
        description="Show queues, sets and workers, and how fast jobs are done, until q or Ctrl-C. Where there is no "
        "terminal, or with --json, everything is printed once.",
    )
    parser.add_argument("--interval", type=_interval, default=1.0, metavar="SECONDS", help="between two looks [1]")


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0.1 to 3600, not {text!r}")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Watch, or print once."""
    if options.json or not (sys.stdout.isatty() and sys.stdin.isatty()):
        options.all = False
        return status.run(options)
    viewer = Viewer(options)
    with _terminal():
        try:
            while not _pressed_q(viewer.draw()):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            viewer.close()
    return 0


class Viewer:
    """Draws the server again and again, and connects again when it was away."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._connection: Connection | None = common.connect(options)
        self._before: status.State | None = None
        self._said = ""

    def draw(self) -> float:
        """Draw once; returns how many seconds to wait before the next time."""
        began = time.monotonic()
        lines = self._lines()
        height = shutil.get_terminal_size().lines
        if len(lines) > height:
            lines = [*lines[: height - 1], "… (the terminal is too small for the rest)"]
        text = "\r\n".join(line + _END_OF_LINE for line in cut(lines))
        sys.stdout.write(_HOME + text + _END_OF_SCREEN)
        sys.stdout.flush()
        return max(float(self._options.interval) - (time.monotonic() - began), 0.0)

    def _lines(self) -> list[str]:
        clock = time.strftime("%H:%M:%S")
        try:
            if self._connection is None:
                self._connection = common.connect(self._options)
            state = status.look(self._connection)
        except ConsoleError as error:
            self.close()
            self._before = None
            return [f"{clock}  {error}", "", "Trying again. q ends."]
        lines = status.screen(state, max((shutil.get_terminal_size().lines - 14) // 2, 3), self._before)
        self._before = state
        return [f"{clock}  every {self._options.interval:g} s, q ends", "", *lines]

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _pressed_q(seconds: float) -> bool:
    """Wait; whether q was pressed, or the terminal has gone."""
    deadline = time.monotonic() + seconds
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], max(deadline - time.monotonic(), 0.0))
        if not ready:
            return False
        key = sys.stdin.read(1)
        if key in ("q", "Q", ""):
            return True


@contextmanager
def _terminal() -> Iterator[None]:
    """Another screen, and keys as they are pressed; everything as it was afterwards, also after SIGTERM."""
    before = termios.tcgetattr(sys.stdin)
    old_handler = signal.signal(signal.SIGTERM, _terminate)
    try:
        tty.setcbreak(sys.stdin)
        sys.stdout.write(_ENTER)
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, old_handler)


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
