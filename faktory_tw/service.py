"""The running server: start and stop in the right order, timers, the exit status.

Start: open the store, load the jobs, then listen. Stop: stop listening, answer waiting FETCHes, write what is left,
close the connections. A store that fails stops the process with status 1; twistd by itself would exit with 0, and after
a SIGTERM it would send itself the signal again, so both are seen to here.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from faktory_tw import process
from faktory_tw.committer import LAZY_SECONDS, Committer
from faktory_tw.config import Settings
from faktory_tw.core.manager import JobManager
from faktory_tw.core.tasks import MOST_RECORDS
from faktory_tw.disk import DiskWatch
from faktory_tw.fairness import Turns
from faktory_tw.features.standard import standard_features
from faktory_tw.logs import Logs
from faktory_tw.operations import Operations, limits_of
from faktory_tw.poller import ReactorTurns, turns_of
from faktory_tw.protocol import FaktoryFactory
from faktory_tw.server import Server
from faktory_tw.storage.store import Store, StoreError
from faktory_tw.wire import CommandError, FatalCommandError

_DISK_SECONDS = 0.002  # long work waits so long when the disk does not keep up
_GARBAGE_SECONDS = 600.0
_STILL_SECONDS = 5.0  # without the duties of each second: nobody was served
_HEARD_SECONDS = 1.0  # for what came meanwhile
_END = object()
_FAREWELL_SECONDS = 0.1  # for the last replies to leave
_DURABILITY = {
    "commit": "every acknowledged change is synced to disk first",
    "second": "the disk is synced once a second: a power cut may lose the last second",
    "os": "the operating system syncs when it likes: a power cut may lose the last minute",
}

WebSite = Callable[[Server], Any]


class Addresses(NamedTuple):
    """Where a server listens: commands and the web UI, plain and over TLS. ``make_site`` makes the site of both."""

    commands: Sequence[IStreamServerEndpoint]
    web: IStreamServerEndpoint | None = None
    secure_commands: Sequence[IStreamServerEndpoint] = ()
    secure_web: IStreamServerEndpoint | None = None
    make_site: WebSite | None = None


class StartRefused(SystemExit, Exception):
    """The server cannot start; the process ends with status 1 and this one sentence.

    A SystemExit alone would not do: twistd in the background reports only an Exception to the process that waits. The
    status is a number: Python would print a text to what twistd has made the log.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.code = 1


class FaktoryService(Service):
    """One server.

    ``open_store`` opens the data directory; it is called at start, after twistd has forked. ``read_settings`` reads the
    settings again; None: they cannot change.
    """

    name = "faktory"

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        open_store: Callable[[], Store],
        addresses: Addresses,
        log: Logger,
        logs: Logs | None = None,
        read_settings: Callable[[], Settings] | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._open_store = open_store
        self._addresses = addresses
        self._log = log
        self._logs = logs
        self._read_settings = read_settings
        self._ports: list[IListeningPort] = []
        self._addresses_told: list[tuple[str, str]] = []
        self._timers: list[LoopingCall] = []
        self._store: Store | None = None
        self._stopping = False
        self._upkeep_call: IDelayedCall | None = None
        self._hurried: IDelayedCall | None = None
        self._long_commands = Turns(reactor.callLater, time.monotonic)
        self._upkept_at = 0.0
        self._stood = 0  # times in a row

    # -- start ---------------------------------------------------------------------------------------------------

    def setServiceParent(self, parent: Any) -> None:
        """The one moment at which twistd can be told how to log: the application is there, and its log not begun."""
        if self._logs is not None:
            self._logs.install(parent)
        super().setServiceParent(parent)

    def startService(self) -> None:
        super().startService()
        for number in (signal.SIGHUP, signal.SIGTTIN):
            signal.signal(number, signal.SIG_IGN)  # until they are served: one would end the process, the other stop it
        process.use_monotonic_clock(self._reactor)
        process.raise_file_limit()
        process.tune_interpreter()
        try:
            self._start()
        except (StoreError, StartRefused) as error:
            sentence = str(error) if isinstance(error, StartRefused) else f"faktory: {error}"
            if self._logs is not None:
                self._logs.refuse(sentence)
            raise StartRefused(sentence) from None
        self._reactor.callLater(0, self._say_hello)

    def _start(self) -> None:
        settings = self._settings
        began = time.monotonic()
        store = self._store = self._open_store()
        self.manager = JobManager(
            store, time, random.SystemRandom().randrange, limits_of(settings), standard_features()
        )
        self.manager.facts.configure(settings)
        self.manager.hurry = self._hurry
        self.manager.load()
        process.freeze_garbage()
        sizes = self.manager.set_sizes()
        self._log.info(
            "Data in {directory}, {durability}: {why}. {queued} jobs queued, {sets}, loaded in {seconds:.2f} s",
            directory=str(settings.directory),
            durability=settings.durability,
            why=_DURABILITY[settings.durability],
            queued=sum(self.manager.queue_sizes().values()),
            sets=", ".join(f"{count} {name}" for name, count in sizes.items()),
            seconds=time.monotonic() - began,
        )
        self.server = Server(
            self.manager,
            time,
            self._run_in_slices,
            settings.password,
            settings.description,
            self._log_flush,
            settings.web_password,
        )
        self.server.read_only_password = settings.web_read_only_password
        self.server.durability = settings.durability
        self._disk = DiskWatch(settings.directory, settings.min_free_disk_bytes, self.manager, self._log)
        self._disk.look()
        self._operations = Operations(
            self._reactor, settings, self.server, self._disk, self._log, self._logs, self._read_settings
        )
        turns = turns_of(self._reactor)
        self._committer = Committer(
            turns, store, self.manager.seal, self.fail, self._one_client, self._operations.metrics.committed
        )
        self._committer.start()
        self.server.when_written = self._committer.when_written
        self._factory = FaktoryFactory(
            self._reactor,
            self.server,
            self._committer,
            self._report_failure,
            settings.max_line_bytes,
            settings.max_connections,
        )
        self._serve_signals()
        self._open_ports(turns)
        self._operations.start(store, self._factory, self._committer)
        self._upkept_at = self._reactor.seconds()
        self._every(LAZY_SECONDS, self._pulse)
        self._every(1.0, self._tick)
        self._every(_GARBAGE_SECONDS, process.collect_garbage)
        if self._operations.notifier.watchdog_seconds:
            self._every(self._operations.notifier.watchdog_seconds, self._operations.notifier.alive)

    def _one_client(self) -> bool:
        return len(self._factory.connections) <= 1

    def _open_ports(self, turns: ReactorTurns) -> None:
        """Bind all addresses first: nobody is to be served by a server that cannot start."""
        opened: list[tuple[str, IListeningPort]] = []

        def listen(message: str, endpoints: Sequence[IStreamServerEndpoint | None], factory: Factory) -> None:
            opened.extend((message, self._listen(endpoint, factory)) for endpoint in endpoints if endpoint is not None)

        addresses = self._addresses
        listen("Accepting commands at {address}", addresses.commands, self._factory)
        for _, port in opened:
            turns.adopt(port)
        listen("Accepting commands over TLS at {address}", addresses.secure_commands, self._factory)
        if addresses.make_site is not None:
            site = addresses.make_site(self.server)
            listen("Web UI at http://{address}/", [addresses.web], site)
            listen("Web UI at https://{address}/", [addresses.secure_web], site)
        self._addresses_told = [(message, _address(port)) for message, port in opened]

    def _listen(self, endpoint: IStreamServerEndpoint, factory: Factory) -> IListeningPort:
        """Bind an address. At start this is done at once or not at all."""
        ports: list[IListeningPort] = []
        failures: list[Failure] = []
        endpoint.listen(factory).addCallbacks(ports.append, failures.append)
        if not ports:
            raise StartRefused(f"faktory: {failures[0].getErrorMessage() if failures else 'cannot listen yet'}")
        self._ports += ports
        return ports[0]

    def _every(self, seconds: float, duty: Callable[[], None]) -> None:
        @functools.wraps(duty)
        def careful() -> None:
            try:
                duty()
            except Exception as error:  # noqa: BLE001 - the next turn may go better
                self._report_failure(error)

        timer = LoopingCall(careful)
        timer.clock = self._reactor
        timer.start(seconds, now=False)
        self._timers.append(timer)

    def _say_hello(self) -> None:
        """Once the reactor runs, which installs handlers of its own when it begins to."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for message, address in self._addresses_told:
            self._log.info(message, address=address)

    def _serve_signals(self) -> None:
        """Before anybody can connect: who has reached the server is answered when he sends a signal."""
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._operations.hang_up))
        signal.signal(signal.SIGTTIN, lambda _, frame: self._operations.dump_soon(frame))

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            os._exit(128 + number)  # asked a second time: at once
        self._stopping = True
        self._reactor.callFromThread(self._reactor.stop)

    # -- duties --------------------------------------------------------------------------------------------------

    def _pulse(self) -> None:
        self._operations.pulse(LAZY_SECONDS)
        self._end_waits()
        self._committer.commit_lazily()

    def _end_waits(self) -> None:
        """Answer the FETCHes that have waited long enough, letting others in when they are many."""
        if self.running and self.manager.end_waits():
            self._reactor.callLater(0, self._end_waits)

    def _tick(self) -> None:
        for duty in (self._disk.look, self._operations.tick, self._upkeep):
            try:
                duty()
            except Exception as error:  # noqa: BLE001 - what one cannot do keeps no other from its turn
                self._report_failure(error)

    def _upkeep(self) -> None:
        """One slice of the periodic duties, and the next when others were let in, until nothing is left to do."""
        if not self.running or (self._upkeep_call is not None and self._upkeep_call.active()):
            return
        if self._stood_still():
            delay = _HEARD_SECONDS if self._stood == 1 else 0
            self._upkeep_call = self._reactor.callLater(delay, self._upkeep_again)
            return
        if self.manager.upkeep():
            assert self._store is not None
            delay = _DISK_SECONDS if len(self._store.batch) > MOST_RECORDS else 0
            self._upkeep_call = self._reactor.callLater(delay, self._upkeep_again)

    def _stood_still(self) -> bool:
        """Whether the process was stopped just now: what workers said meanwhile is heard before they are judged.

        When it is stopped again before they are, it hears what there is and judges.
        """
        before, self._upkept_at = self._upkept_at, self._reactor.seconds()
        stood = self._upkept_at - before > _STILL_SECONDS and self._stood < 2
        self._stood = self._stood + 1 if stood else 0
        return stood

    def _hurry(self, seconds: float) -> None:
        """Have the periodic duties carried out in so many seconds at the latest."""
        call, at = self._hurried, self._reactor.seconds() + seconds
        if call is None or not call.active():
            self._hurried = self._reactor.callLater(seconds, self._upkeep_again)
        elif call.getTime() > at:
            call.reset(seconds)

    def _upkeep_again(self) -> None:
        try:
            self._upkeep()
        except Exception as error:  # noqa: BLE001 - the next tick tries again
            self._report_failure(error)

    def _run_in_slices(self, steps: Iterator[None], finish: Callable[[CommandError | None], None]) -> None:
        """Carry out a long command, a step at a time, waiting for the disk when it falls behind.

        Of each command it is at most one step a turn, and when there are many of them it is not a step of each.
        """
        wait = self._long_commands.wait

        def step() -> None:
            assert self._store is not None
            batch = self._store.batch
            self._committer.commit_soon()
            if self.server.stopping:
                finish(FatalCommandError("Shutdown in progress"))
                return
            if len(batch) > MOST_RECORDS:
                self._reactor.callLater(_DISK_SECONDS, wait, step)
                return
            try:
                ended = next(steps, _END) is _END
            except CommandError as refusal:
                finish(refusal)
            except Exception as error:  # noqa: BLE001 - no command may end the process
                self._report_failure(error)
                finish(CommandError("internal error"))
            else:
                if ended:
                    finish(None)
                else:
                    wait(step)

        wait(step)

    def _log_flush(self) -> None:
        level = self._log.warn if self._settings.environment == "production" else self._log.info
        level("Flushing dataset")

    # -- stop ----------------------------------------------------------------------------------------------------

    def _report_failure(self, error: Exception) -> None:
        if isinstance(error, StoreError):
            self.fail(error)
        else:
            self._log.failure("unexpected failure", Failure(error))

    def fail(self, error: Exception) -> None:
        """The store failed: no further reply, and exit status 1."""
        self._log.critical("Stopping: {error}", error=error)
        self.server.store_failed = True
        process.exit_with(1)
        self.server.stopping = True
        self._factory.abort_connections()
        if not self._stopping:
            self._stopping = True
            self._reactor.callLater(0, self._reactor.stop)

    def stopService(self) -> Deferred[None] | None:
        if not self.running:
            return None
        super().stopService()
        self._stopping = True
        stopped: Deferred[None] = Deferred()
        for timer in self._timers:
            timer.stop()
        for port in self._ports:
            port.stopListening()
        self.server.stopping = True
        self._operations.stop()
        self.manager.end_waits(everybody=True)
        self._committer.close(lambda: self._closed(stopped))
        return stopped

    def _closed(self, stopped: Deferred[None]) -> None:
        assert self._store is not None
        self._factory.close_connections()
        self._store.close()
        self._log.info("Goodbye")
        self._reactor.callLater(_FAREWELL_SECONDS, stopped.callback, None)


def _address(port: IListeningPort) -> str:
    host: Any = port.getHost()
    if hasattr(host, "port"):
        return f"[{host.host}]:{host.port}" if ":" in host.host else f"{host.host}:{host.port}"
    return str(getattr(host, "name", host))
