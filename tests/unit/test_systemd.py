"""What systemd is told, at a socket of the test."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from faktory_tw.systemd import Notifier
from tests.requirements import missing


class Clock:
    """Nanoseconds, moved by the test."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> int:
        return int(self.seconds * 1e9)


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)
        self.address = address

    def heard(self) -> list[str]:
        """Return the messages that have come."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """Listens at a path and at a name in the abstract namespace."""
    short = os.path.relpath(tmp_path / "notify")  # a path of a Unix socket has a hundred characters
    address = f"@faktory-tw-test-{os.getpid()}" if request.param == "abstract" else os.path.abspath(short)
    if len(address) > 100:
        missing(f"the path of the socket is too long for a Unix socket: {address}")
    listener = Systemd(address)
    yield listener
    listener.socket.close()


def test_ready_carries_the_status(systemd: Systemd) -> None:
    Notifier({"NOTIFY_SOCKET": systemd.address}).ready("7 jobs queued")
    assert systemd.heard() == ["READY=1\nSTATUS=7 jobs queued"]


def test_a_status_is_one_line(systemd: Systemd) -> None:
    Notifier({"NOTIFY_SOCKET": systemd.address}).ready("up\nERRNO=1")
    assert systemd.heard() == ["READY=1\nSTATUS=up ERRNO=1"]


def test_reloading_tells_the_monotonic_time_in_microseconds_and_is_followed_by_ready(
    systemd: Systemd, clock: Clock
) -> None:
    clock.seconds = 12.345678
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address}, clock)
    notifier.reloading()
    notifier.ready("up")
    assert systemd.heard() == [
        "RELOADING=1\nMONOTONIC_USEC=12345678\nSTATUS=Reloading",
        "READY=1\nSTATUS=up",
    ]


def test_stopping_and_being_alive_are_told(systemd: Systemd) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address})
    notifier.alive()
    notifier.stopping()
    assert systemd.heard() == ["WATCHDOG=1", "STOPPING=1\nSTATUS=Stopping"]


def test_the_status_is_asked_for_every_ten_seconds_and_told_when_it_changed(systemd: Systemd, clock: Clock) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address}, clock)
    notifier.ready("0 jobs")
    systemd.heard()
    statuses = iter(["0 jobs", "1 job", "2 jobs"])
    for seconds, told in ((9.0, []), (1.0, []), (9.9, []), (0.1, ["STATUS=1 job"]), (10.0, ["STATUS=2 jobs"])):
        clock.seconds += seconds
        notifier.status(lambda: next(statuses))
        assert systemd.heard() == told


@pytest.mark.parametrize("address", ["", "vsock:2:99", "relative"])
def test_nothing_is_sent_or_asked_without_a_socket(address: str, clock: Clock) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}, clock)
    notifier.ready("up")
    notifier.reloading()
    notifier.alive()
    notifier.stopping()
    clock.seconds += 100
    notifier.status(lambda: pytest.fail("nobody wants to know"))
    assert notifier.watchdog_seconds == 0


def test_a_socket_that_is_gone_is_no_error(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("up")


def test_a_service_manager_that_does_not_read_holds_nobody_up(systemd: Systemd) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address})
    for _ in range(5000):
        notifier.alive()
    assert 0 < len(systemd.heard()) < 5000


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "0"}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "me"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_fed_at_half_its_time_by_the_process_it_watches(
    environ: dict[str, str], seconds: float
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/systemd/notify", **environ}).watchdog_seconds == seconds
