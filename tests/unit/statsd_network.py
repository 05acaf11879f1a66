"""A network for statsd: sockets that keep what is sent, and a sender on it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from faktory_tw import statsd
from faktory_tw.statsd import StatsD
from tests.unit.doubles import Engine

HERE = (socket.AF_INET, ("127.0.0.1", 8125))


class Socket:
    """Keeps what is sent. `refuses` has the errors of the next calls of send, in order; None: it succeeds."""

    def __init__(self, family: socket.AddressFamily, kind: socket.SocketKind) -> None:
        assert kind is socket.SOCK_DGRAM
        self.family = family
        self.sent: list[bytes] = []
        self.refuses: list[OSError | None] = []
        self.address: Any = None
        self.blocking = True
        self.closed = False

    def setblocking(self, blocking: bool) -> None:
        self.blocking = blocking

    def connect(self, address: Any) -> None:
        self.address = address

    def send(self, data: bytes) -> int:
        assert not self.closed
        error = self.refuses.pop(0) if self.refuses else None
        if error is not None:
            raise error
        self.sent.append(data)
        return len(data)

    def close(self) -> None:
        self.closed = True

    def take(self) -> list[str]:
        """Return the lines that came since the last call."""
        sent, self.sent = self.sent, []
        return [line for datagram in sent for line in datagram.decode().split("\n")]


class Network:
    """Where names are looked up, and what sockets were made. What a thread is to do is kept for `run`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sockets: list[Socket] = []
        self.warnings: list[str] = []
        self.answer: Any = HERE
        self.asked: list[str] = []
        self._threads: list[tuple[Callable[[], None], Callable[[], None]]] = []
        monkeypatch.setattr("faktory_tw.statsd.socket.socket", self._socket)
        monkeypatch.setattr(statsd, "look_up", self._look_up)

    def _socket(self, family: Any, kind: Any) -> Socket:
        self.sockets.append(Socket(family, kind))
        return self.sockets[-1]

    def _look_up(self, location: str) -> Any:
        self.asked.append(location)
        return self.answer

    def in_thread(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        self._threads.append((work, done))

    def warn(self, format: str, **values: Any) -> None:  # noqa: A002 - as a Logger has it
        self.warnings.append(format.format(**values))

    def run(self) -> None:
        """Have the threads come to their end."""
        threads, self._threads = self._threads, []
        for work, done in threads:
            work()
            done()

    @property
    def socket(self) -> Socket:
        return self.sockets[-1]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network that answers."""
    return Network(monkeypatch)


def settings(location: str | None = "localhost:8125", **others: Any) -> Any:
    """What the settings say about statsd."""
    said = {"namespace": "faktory.", "tags": (), "buffer_size": 15, "queue_latency": (), **others}
    return SimpleNamespace(statsd_location=location, **{f"statsd_{name}": value for name, value in said.items()})


@pytest.fixture
def begin(engine: Engine, network: Network) -> Iterator[Callable[..., StatsD]]:
    """A function that starts sending, past the first gauges."""
    begun: list[StatsD] = []

    def begin(**said: Any) -> StatsD:
        sender = StatsD(engine.manager, engine.clock, network.in_thread, network.warn)
        begun.append(sender)
        sender.configure(settings(**said))
        sender.tick()
        network.run()
        seconds(sender, engine, 3)
        network.socket.sent.clear()
        return sender

    yield begin
    for sender in begun:
        sender.close()


def seconds(sender: StatsD, engine: Engine, count: int = 1) -> None:
    for _ in range(count):
        engine.clock.advance(1)
        sender.tick()


def work(engine: Engine, *, milliseconds: float = 0, fails: bool = False, **fields: Any) -> None:
    """One job, from its push to its end."""
    jid = engine.push(**fields)
    engine.fetch(fields.get("queue", "default"))
    engine.clock.advance(milliseconds / 1000)
    if fails:
        engine.fail(jid)
    else:
        engine.manager.ack(jid, "")
