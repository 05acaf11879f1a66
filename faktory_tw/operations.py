"""What a server does for its operator: backups, metrics, statsd, the service manager, SIGHUP and SIGTTIN.

Each of these is a module that knows nothing of the others; here they are made, called at their times, and told of new
settings. Nothing of it is in a command's way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from faktory_tw.backups import Backups
from faktory_tw.committer import Committer
from faktory_tw.config import Settings
from faktory_tw.core.tasks import Limits
from faktory_tw.disk import DiskWatch
from faktory_tw.dump import Dump, Stacks, thread_stacks
from faktory_tw.logs import ALWAYS, Logs
from faktory_tw.metrics import Metrics
from faktory_tw.protocol import FaktoryFactory
from faktory_tw.reload import Reloaded, reload
from faktory_tw.server import Server
from faktory_tw.stalls import Stalls, watch
from faktory_tw.statsd import StatsD
from faktory_tw.storage.store import Store
from faktory_tw.systemd import Notifier


def limits_of(settings: Settings) -> Limits:
    """The part of the settings that the job manager keeps to."""
    return Limits(
        max_queue_size=settings.max_queue_size,
        reclaim_dead_workers=settings.reclaim_dead_workers,
        policies=settings.queue_policies,
    )


class Operations:
    """The operator's side of one server.

    ``read_settings`` reads them anew, for SIGHUP; None: they cannot change. ``metrics`` is there from the beginning,
    the rest begins with :meth:`start`.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        server: Server,
        disk: DiskWatch,
        log: Logger,
        logs: Logs | None,
        read_settings: Callable[[], Settings] | None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._server = server
        self._disk = disk
        self._log = log
        self._logs = logs
        self._read_settings = read_settings
        self._reading = self._reads_again = False
        self._pulse_at: float | None = None
        self._backups: Backups | None = None
        self._stalls: Stalls | None = None
        self.notifier = Notifier()
        self.metrics = Metrics(server, settings.directory, disk)
        self._statsd = StatsD(server.manager, time, self._run_in_thread, log.warn)
        server.attempts.tell = server.web_attempts.tell = self._warn_of

    def start(self, store: Store, factory: FaktoryFactory, committer: Committer) -> None:
        """The server listens: from now on there are backups and metrics."""
        self._factory = factory
        self._committer = committer
        settings, server = self._settings, self._server
        self._stalls = self.metrics.stalls = watch(self._reactor)
        server.metrics = self.metrics
        server.settings = settings
        server.store_facts = store.facts
        self._backups = server.backups = Backups(
            store.path, settings, self._log, self._run_in_thread, store.checkpoint_soon
        )
        self._statsd.configure(settings)
        self.notifier.ready(self._status())

    def stop(self) -> None:
        """The server begins to stop."""
        self.notifier.stopping()
        if self._backups is not None:
            self._backups.stop()
        self._statsd.close()

    def _run_in_thread(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        def failed(failure: Failure) -> None:
            self._log.failure("unexpected failure in a thread", failure)

        pool = self._reactor.getThreadPool()
        deferToThreadPool(self._reactor, pool, work).addErrback(failed).addBoth(lambda _: done()).addErrback(failed)

    # -- duties --------------------------------------------------------------------------------------------------

    def pulse(self, seconds: float) -> None:
        """To be called every ``seconds``: how late the reactor comes to it is how busy it is."""
        now = time.monotonic()
        if self._pulse_at is not None:
            self.metrics.lag(max(now - self._pulse_at - seconds, 0.0))
        self._pulse_at = now

    def tick(self) -> None:
        """Called every second."""
        if self._backups is not None:
            self._backups.tick()
        self._statsd.tick()
        if self._stalls is not None:
            self._stalls.tick()
        self._server.attempts.tick()
        self._server.web_attempts.tick()
        self.notifier.status(self._status)

    def _warn_of(self, sentence: str, address: str | None) -> None:
        self._log.warn("{sentence}", sentence=sentence, client=address)

    def _status(self) -> str:
        manager = self._server.manager
        queued, working = sum(map(len, manager.queues().values())), manager.set_sizes()["working"]
        return f"{queued} jobs queued, {working} worked, {len(self._factory.connections)} connections"

    # -- signals -------------------------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """SIGHUP: read the settings again, and begin the log file anew.

        Ten thousand entries take seconds to be read, so that is done in a thread. A SIGHUP that comes meanwhile has them read
        once more: the files may have been changed after they were read.
        """
        if self._server.stopping:
            return
        if self._reading:
            self._reads_again = True
            return
        self.notifier.reloading()
        self._reopen_log()
        read = self._read_settings
        if read is None:
            self._log.warn("SIGHUP: no setting can be changed while the server runs; restart it")
            self.notifier.ready(self._status())
            return
        self._reading = True
        found: list[Reloaded | Exception] = []

        def work() -> None:
            try:
                found.append(reload(self._settings, read))
            except Exception as error:  # noqa: BLE001 - it is told the reactor's thread
                found.append(error)

        self._run_in_thread(work, lambda: self._have_read(found))

    def _have_read(self, found: list[Reloaded | Exception]) -> None:
        """The thread has come to its end."""
        self._reading = False
        if self._server.stopping:
            return
        try:
            for each in found:
                if isinstance(each, Exception):
                    raise each
                self._go_by(each)
        except Exception:  # noqa: BLE001 - whatever it is, the server goes on with what it had
            self._log.failure("unexpected failure while the settings were read")
        finally:
            self.notifier.ready(self._status())
        if self._reads_again:
            self._reads_again = False
            self.hang_up()

    def _reopen_log(self) -> None:
        if self._logs is not None:
            try:
                self._logs.reopen()
            except OSError as error:
                self._log.error("The log goes on as it was: it cannot be opened anew: {error}", error=error)

    def _go_by(self, reloaded: Reloaded) -> None:
        self._apply(reloaded.settings)
        say = self._log.info
        if reloaded.error is not None:
            say = self._log.error
        elif reloaded.needs_restart:
            say = self._log.warn
        for sentence in reloaded.sentences():
            say("SIGHUP: {sentence}", sentence=sentence)

    def _apply(self, settings: Settings) -> None:
        self._settings = settings
        server = self._server
        server.settings = settings
        server.manager.limit(limits_of(settings))
        server.manager.facts.configure(settings)
        server.change_passwords(settings.password, settings.web_password, settings.web_read_only_password)
        server.description = settings.description
        self._factory.max_connections = settings.max_connections
        self._factory.max_line_bytes = settings.max_line_bytes
        self._disk.least = settings.min_free_disk_bytes
        if self._logs is not None:
            self._logs.level = settings.log_level
        if self._backups is not None:
            self._backups.configure(settings)
        self._statsd.configure(settings)

    def dump_soon(self, frame: FrameType | None) -> None:
        """SIGTTIN, in the signal handler: what everything is doing goes into the log."""
        stacks = thread_stacks(frame)
        self._reactor.callFromThread(self._dump, stacks)

    def _dump(self, stacks: Stacks) -> None:
        dump = Dump(
            self._server.manager,
            self._factory.connections,
            self._committer.condition,
            self._reactor.getDelayedCalls,
            time.monotonic,
        )
        for line in dump.lines(stacks):
            self._log.info("{line}", line=line, **{ALWAYS: True})
