"""What surrounds a service: a reactor that stands still, addresses that nobody can connect to, and a log.

Nothing of the process is changed by a service that is started here: signal handlers, limits, the garbage collector and
the exit status are only noted.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactor
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.python.failure import Failure

from faktory_tw import process
from faktory_tw import service as module
from faktory_tw.config import Settings
from faktory_tw.logs import Logs
from faktory_tw.poller import ReactorTurns
from faktory_tw.service import Addresses, FaktoryService
from tests.unit.house import Client, Disk, Reactor


class Threads:
    """Threads whose work is done at once; what came of it is what the reactor's thread is told."""

    def callInThreadWithCallback(self, tell: Callable[[bool, Any], None], work: Callable[[], Any]) -> None:  # noqa: N802 - Twisted's name
        try:
            result = work()
        except Exception:  # noqa: BLE001 - as a thread of Twisted does
            tell(False, Failure())
        else:
            tell(True, result)


class ServiceReactor(MemoryReactor, Reactor):
    """A reactor with everything that a service asks for."""

    def __init__(self) -> None:
        MemoryReactor.__init__(self)
        Reactor.__init__(self)
        self._threads = Threads()

    def getThreadPool(self) -> Threads:  # noqa: N802 - Twisted's name
        return self._threads


class Port:
    """An address that is listened on."""

    def __init__(self, name: str, events: list[str], host: Any) -> None:
        self._name = name
        self._events = events
        self._host = host

    def getHost(self) -> Any:  # noqa: N802 - Twisted's name
        return self._host

    def stopListening(self) -> None:  # noqa: N802 - Twisted's name
        self._events.append(f"stop listening to {self._name}")


class Endpoint:
    """An address that can be listened on, or not."""

    def __init__(self, name: str, events: list[str], host: Any = None, error: Exception | None = None) -> None:
        self.factory: Any = None
        self._name = name
        self._events = events
        self._host = host or IPv4Address("TCP", "127.0.0.1", 7419)
        self._error = error

    def listen(self, factory: Any) -> Deferred[Port]:
        if self._error is not None:
            return fail(self._error)
        self.factory = factory
        self._events.append(f"listen to {self._name}")
        return succeed(Port(self._name, self._events, self._host))


class Stage:
    """A service that can be started, and everything around it. `events` has what it did to the world, in order."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.reactor = ServiceReactor()
        self.disk = Disk()
        self.disk.let_through(100_000)
        self.disk.writes_at_once = False
        self.events = self.disk.events
        self.logged: list[Any] = []
        self.handlers: dict[int, Callable[..., None]] = {}
        self.at_exit: list[Callable[[], None]] = []
        self.free_bytes = 10**12
        self.commands = Endpoint("commands", self.events)
        self.services: list[FaktoryService] = []
        self._keep_the_process_as_it_is(monkeypatch)

    def _keep_the_process_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("use_monotonic_clock", "raise_file_limit", "tune_interpreter", "freeze_garbage"):
            monkeypatch.setattr(process, name, lambda *_, name=name: self.events.append(name))
        monkeypatch.setattr(module, "time", self.reactor)
        monkeypatch.setattr(module, "turns_of", ReactorTurns)
        monkeypatch.setattr(signal, "signal", self.handlers.__setitem__)
        monkeypatch.setattr(atexit, "register", self.at_exit.append)
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=self.free_bytes, f_frsize=1))

    def service(
        self,
        web: Any = None,
        endpoints: list[Endpoint] | None = None,
        logs: Logs | None = None,
        read_settings: Callable[[], Settings] | None = None,
        **settings: Any,
    ) -> FaktoryService:
        """Make a service that is not started."""
        wanted = {"environment": "development", "password": None, **settings}
        observer: Any = self.logged.append
        service = FaktoryService(
            self.reactor,
            Settings(directory=self.directory, config_directory=self.directory, **wanted),
            self._open_store,
            Addresses(
                [self.commands] if endpoints is None else endpoints,  # type: ignore[arg-type,list-item]
                web[0] if web is not None else None,
                make_site=web[1] if web is not None else None,
            ),
            Logger("test", observer=observer),
            logs,
            read_settings,
        )
        self.services.append(service)
        return service

    def _open_store(self) -> Disk:
        self.events.append("open")
        return self.disk

    def started(self, **settings: Any) -> FaktoryService:
        """Start a service, and forget what it did meanwhile."""
        service = self.service(**settings)
        service.startService()
        self.reactor.advance(0)
        self.events.clear()
        return service

    def connect(self) -> Client:
        return Client(self.commands.factory)

    def commit(self) -> None:
        """Have everything that waits for the disk reach it."""
        self.reactor.turn()
        while self.disk.sealed is not None:
            self.reactor.run_report()
            self.reactor.turn()

    def hang_up(self) -> None:
        """Send SIGHUP, and have it served."""
        self.handlers[signal.SIGHUP](signal.SIGHUP, None)
        self.run_reports()

    def run_reports(self) -> None:
        """Carry out what other threads and signals have left to the reactor's thread."""
        while not self.reactor.reports.empty():
            self.reactor.run_report()

    def commit_failing(self) -> None:
        """Have the next write fail, and the service draw its conclusions."""
        self.reactor.turn()
        self.reactor.run_report()
        self.reactor.turn()

    def stop(self, service: FaktoryService) -> None:
        """Stop a service to its end."""
        stopped = service.stopService()
        ended: list[None] = []
        if stopped is not None:
            stopped.addCallback(ended.append)
            while not ended:
                self.run_reports()
                self.reactor.advance(0.05)

    def lines(self, level: LogLevel | None = None) -> list[str]:
        """Return what was logged, as text."""
        return [str(formatEvent(event)) for event in self.logged if level is None or event["log_level"] is level]

    def clear(self) -> None:
        """Stop everything."""
        for service in self.services:
            if hasattr(service, "server"):
                self.stop(service)
