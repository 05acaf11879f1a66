"""Telling systemd how the server is: started, reloading, stopping, alive, and a line for ``systemctl status``.

The protocol is one datagram a message to the Unix socket that NOTIFY_SOCKET names (sd_notify(3)); a library would be a
dependency for thirty lines. Without NOTIFY_SOCKET nothing is sent. What cannot be sent is dropped: a service manager that
is gone is no reason to stop serving.

The watchdog is fed from the reactor, so that a reactor that is stuck gets the process restarted.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

_PATIENCE_SECONDS = 1.0  # for a message that changes the state of the unit; others are not waited for
_STATUS_SECONDS = 10.0


class Notifier:
    """One process's line to its service manager.

    ``environ`` has NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, where there are any. ``monotonic_ns`` is the clock of
    CLOCK_MONOTONIC, which systemd compares with its own. Make it in the process that serves, after any fork.
    """

    def __init__(
        self, environ: Mapping[str, str] = os.environ, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._monotonic_ns = monotonic_ns
        self._status = ""
        self._status_due_ns = 0
        self.watchdog_seconds = _watchdog_seconds(environ) if self._address else 0.0

    def ready(self, status: str) -> None:
        """The server accepts connections, or has finished reloading."""
        self._remember(status)
        self._send(f"READY=1\nSTATUS={self._status}", _PATIENCE_SECONDS)

    def reloading(self) -> None:
        """The configuration is read again; :meth:`ready` has to follow."""
        microseconds = self._monotonic_ns() // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=Reloading", _PATIENCE_SECONDS)

    def stopping(self) -> None:
        """The server has begun to stop."""
        self._send("STOPPING=1\nSTATUS=Stopping", _PATIENCE_SECONDS)

    def alive(self) -> None:
        """To be called every ``watchdog_seconds`` (half of what the unit allows; 0: the unit has no watchdog)."""
        self._send("WATCHDOG=1", 0)

    def status(self, make: Callable[[], str]) -> None:
        """Say how things are. May be called every second: ``make`` is asked, and a change sent, every ten."""
        now = self._monotonic_ns()
        if not self._address or now < self._status_due_ns:
            return
        before = self._status
        self._remember(make())
        if self._status != before:
            self._send(f"STATUS={self._status}", 0)

    def _remember(self, status: str) -> None:
        self._status = " ".join(status.split())  # a line break would begin another assignment
        self._status_due_ns = self._monotonic_ns() + int(_STATUS_SECONDS * 1e9)

    def _send(self, message: str, patience_seconds: float) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(patience_seconds)
                channel.sendto(message.encode(), self._address)
        except OSError:
            pass


def _address(text: str) -> str:
    """A path as it is; ``@name`` is a name in the abstract namespace. Others (vsock of virtual machines) are not served."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Half of the time after which systemd takes the process for stuck; 0 when it does not watch this process."""
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
        watched = int(environ.get("WATCHDOG_PID") or os.getpid())
    except ValueError:
        return 0.0
    return microseconds / 2e6 if microseconds > 0 and watched == os.getpid() else 0.0
