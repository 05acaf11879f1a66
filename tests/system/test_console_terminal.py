"""``faktory-tw`` on a terminal: the live view, questions, and a terminal that is as it was afterwards."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system.fwp import job
from tests.system.server import Server, clean_environment, eventually
from tests.system.test_console import COMMAND, fill, sizes


class Screen:
    """A terminal of 100 by 40 and the command in it."""

    def __init__(self, server: Server, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.text = ""
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=clean_environment({"FAKTORY_URL": server.url, "TERM": "xterm"}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,  # noqa: PLW1509 - Ctrl-C needs it
        )

    def read(self) -> None:
        while select.select([self._ours], [], [], 0.05)[0]:
            self.text += os.read(self._ours, 65_536).decode("utf-8", "replace")

    def shows(self, pattern: str) -> bool:
        self.read()
        return re.search(pattern, self.text, re.DOTALL) is not None

    def wait_for(self, pattern: str) -> None:
        eventually(lambda: self.shows(pattern), f"the screen shows {pattern}: {self.text!r}")

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def end(self) -> int:
        """Wait for the end; the terminal must be as it was before."""
        eventually(lambda: self.shows("") and self.process.poll() is not None, "the command has ended")
        self.read()
        assert termios.tcgetattr(self._theirs) == self.before
        status = self.process.returncode
        assert status is not None
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@contextmanager
def screen(server: Server, *arguments: str) -> Iterator[Screen]:
    shown = Screen(server, *arguments)
    try:
        yield shown
    finally:
        shown.close()


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "ctrl-c"])
def test_watch_shows_what_happens_until_somebody_ends_it(server: Server, key: bytes) -> None:
    with screen(server, "watch", "--interval", "0.2") as shown:
        shown.wait_for(r"no queues")
        with server.client() as client:
            client.push(job("greet", queue="watched"))
            shown.wait_for(r"watched +1 ")
            client.ack(client.fetch("watched")["jid"])  # type: ignore[index]
        shown.wait_for(r"1 job processed, 0 failed \(")
        shown.type(key)
        assert shown.end() == 0
        assert shown.text.startswith("\033[?1049h\033[?25l")
        assert shown.text.rstrip("^C").endswith("\033[?25h\033[?1049l")


def test_watch_survives_a_restart_of_the_server_and_leaves_a_tidy_terminal_when_it_is_ended(server: Server) -> None:
    with screen(server, "watch", "--interval", "0.2") as shown:
        shown.wait_for(r"no queues")
        server.stop()
        shown.wait_for(r"Trying again")
        server.start(keep_ports=True)
        shown.text = ""
        shown.wait_for(r"no queues")
        shown.process.send_signal(signal.SIGTERM)
        assert shown.end() == 128 + signal.SIGTERM
        assert shown.text.endswith("\033[?25h\033[?1049l")


def test_people_are_asked_on_a_terminal(server: Server) -> None:
    fill(server)
    with screen(server, "delete", "dead", "--all") as shown:
        shown.wait_for(r"Delete 1 job of the set dead\? \[y/N\] ")
        shown.type(b"n\n")
        assert shown.end() == 1
    assert sizes(server)["dead"] == 1
    with screen(server, "flush") as shown:
        shown.wait_for(r"Type flush to go ahead: ")
        shown.type(b"flush\n")
        assert shown.end() == 0
        assert "8 jobs forgotten" in shown.text
    assert sizes(server) == {}
