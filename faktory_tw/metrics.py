"""What a Prometheus server is told: the text of ``/metrics``.

Nothing is counted here but times: the figures are there already, in the server, the manager and the backups, and are
read when somebody asks. What concerns the whole server is a few dozen samples, made in one go. With many queues the
rest is longer: sizes, latencies and the text are made in slices of some milliseconds, between which commands are let
in, so the queues of one scrape are not seen at one moment.

The latency of a queue needs the time at which its next job was enqueued, which may have to be read from disk, in slices
bounded in bytes. Where jobs are so large that MORE_SLICES further slices do not suffice, the other queues have no
latency in this scrape, are counted in ``faktory_queue_latency_unknown``, and have their turn in the next one, because
what was read is remembered.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from faktory_tw import __version__
from faktory_tw.core.latencies import QueueState
from faktory_tw.core.workers import State
from faktory_tw.features.batches import Batches
from faktory_tw.features.tracking import Tracking
from faktory_tw.features.unique import Unique
from faktory_tw.recent import RecentTimes
from faktory_tw.server import SPOKEN_VERSION, Room, Server, resident_kib
from faktory_tw.stalls import Stalls

MORE_SLICES = 100  # of reading, about 2 MiB each, for one scrape
_QUEUES = 250  # in one slice
_NAMES = 5000  # of queues, in one slice
_RESERVATIONS = 20_000  # in one slice
_COMMIT_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FILES = ("faktory.db", "faktory.db-wal")

Families = Iterator[Metric]
_T = TypeVar("_T")


class Metrics:
    """Of one server with its data in ``directory``.

    It is a collector of its own ``registry``, which has everything but the queues; :meth:`scrape` has these, too.
    ``committed(seconds)`` and ``lag(seconds)`` are told of each batch that was written, and of each call that came
    late. ``recent_commits`` has what the batches of the last minute took, ``room`` is the disk, ``stalls`` measures the
    turns of the event loop, where that is possible.
    """

    def __init__(self, server: Server, directory: Path, room: Room) -> None:
        self._server = server
        self._directory = directory
        self.room = room
        self._commits = Histogram(
            "faktory_commit_seconds",
            "How long a batch took to be written and synced.",
            buckets=_COMMIT_BUCKETS,
            registry=None,
        )
        self._lags = Histogram(
            "faktory_event_loop_lag_seconds",
            "How much later than wanted the event loop came to a call, twenty times a second.",
            buckets=_LAG_BUCKETS,
            registry=None,
        )
        self.recent_commits = RecentTimes(server.clock.monotonic)
        self.lag = self._lags.observe
        self.stalls: Stalls | None = None
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def committed(self, seconds: float) -> None:
        """A batch took so long to be written and synced."""
        self._commits.observe(seconds)
        self.recent_commits.observe(seconds)

    # -- the whole server ----------------------------------------------------------------------------------------

    def collect(self) -> Families:
        """All metrics but those of the queues, as the prometheus client wants them."""
        yield from self._jobs()
        yield from self._commands()
        yield from self._clients()
        yield from self._times()
        yield from self._disk()
        yield from self._backups()
        yield from self._process()

    def _jobs(self) -> Families:
        manager = self._server.manager
        history, tasks = manager.history, manager.tasks
        yield _counter("faktory_jobs_pushed", "Jobs accepted since the start.", manager.pushed)
        yield _counter("faktory_jobs_fetched", "Jobs handed to workers since the start.", manager.fetched)
        yield _counter("faktory_jobs_processed", "Jobs done or failed, of all time.", history.processed)
        yield _counter("faktory_jobs_failed", "Jobs failed, of all time.", history.failures)
        yield _counter(
            "faktory_jobs_taken_back",
            "Jobs taken back because their reservation was over or their worker gone.",
            tasks["Busy"].reaped,
        )
        yield _counters(
            "faktory_jobs_enqueued",
            "Jobs that became due, by the set they left for their queue.",
            "set",
            {"scheduled": tasks["Scheduled"].enqueued, "retries": tasks["Retries"].enqueued},
        )
        yield _counter("faktory_dead_jobs_dropped", "Dead jobs dropped after their time.", tasks["Dead"].enqueued)
        yield _counter("faktory_jobs_expired", "Jobs dropped because they expired.", tasks["Expired"].reaped)
        unique = manager.facts.find(Unique)
        yield _gauge("faktory_batches", "Batches that are kept.", len(manager.facts.find(Batches)))
        yield _gauge("faktory_tracks", "Tracks of jobs that are kept.", len(manager.facts.find(Tracking)))
        yield _gauge("faktory_unique_locks", "Locks of unique jobs.", len(unique))
        yield _counter("faktory_unique_locks_taken", "Unique jobs accepted since the start.", unique.taken)
        yield _counter(
            "faktory_unique_denied", "Jobs refused since the start because they were not unique.", unique.denied
        )
        yield _gauges("faktory_set_size", "Jobs in each set.", "set", manager.set_sizes())
        yield _gauge("faktory_queues", "Queues.", len(manager.queues()))

    def _commands(self) -> Families:
        server = self._server
        family = CounterMetricFamily("faktory_commands", "Commands by what became of them.", labels=("verb", "outcome"))
        for verb, count in sorted(server.commands.items()):
            refused = server.refused_commands.get(verb, 0)
            family.add_metric((verb.decode(), "ok"), count - refused)
            family.add_metric((verb.decode(), "error"), refused)
        family.add_metric(("unknown", "error"), server.unknown_commands)
        yield family

    def _clients(self) -> Families:
        server, manager = self._server, self._server.manager
        yield _gauge("faktory_connections", "Clients that are connected.", server.connections)
        yield _counter("faktory_connections_accepted", "Clients that said HELLO.", server.accepted_connections)
        reasons = {"password": 0, "web_password": 0, "throttled": 0, **server.refused_connections}
        yield _counters("faktory_connections_refused", "Clients that were turned away, by reason.", "reason", reasons)
        states = Counter(worker.state for worker in manager.workers)
        workers = {state.name.lower(): states[state] for state in State}
        yield _gauges("faktory_workers", "Worker processes that are connected, by state.", "state", workers)
        yield _counter("faktory_workers_gone", "Workers that vanished.", manager.tasks["Workers"].reaped)
        yield _gauge("faktory_fetches_waiting", "FETCHes that wait for a job.", manager.waits())

    def _times(self) -> Families:
        for histogram in (self._commits, self._lags):
            for family in histogram.collect():
                family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
                yield family
        if self.stalls is not None:
            longest = self.stalls.longest
            yield _gauge(
                "faktory_event_loop_longest_turn_seconds",
                "The longest time in the last minute for which the event loop looked at no connection.",
                longest.wall,
            )
            yield _gauge(
                "faktory_event_loop_longest_turn_processor_seconds",
                "The most processor time that the event loop took in one turn in the last minute.",
                longest.processor,
            )

    def _disk(self) -> Families:
        server, room = self._server, self.room
        yield _gauge("faktory_disk_free_bytes", "Free space for the data.", room.free)
        yield _gauge("faktory_disk_min_free_bytes", "Free space below which PUSH is refused.", room.least)
        yield _gauge("faktory_pushes_refused", "Whether PUSH is refused.", bool(server.manager.refuse_pushes))
        yield _gauge("faktory_ready", "Whether the server takes jobs.", not server.obstacles())
        sizes = {name: _size(self._directory / name) for name in _FILES}
        yield _gauges("faktory_store_bytes", "Size of the database and of its log.", "file", sizes)

    def _backups(self) -> Families:
        backups = self._server.backups
        if backups is None:
            return
        yield _counter("faktory_backups", "Backups that succeeded since the start.", backups.count)
        yield _gauge("faktory_backup_running", "Whether a backup is being made.", bool(backups.running))
        yield _gauge("faktory_backup_failed", "Whether the latest backup failed.", bool(backups.last_error))
        last = backups.last
        if last is None:
            return
        age = max(self._server.clock.time() - last.taken_at, 0.0)
        yield _gauge("faktory_backup_last_success_timestamp_seconds", "When the last backup was made.", last.taken_at)
        yield _gauge("faktory_backup_age_seconds", "Age of the last backup.", age)
        yield _gauge("faktory_backup_size_bytes", "Size of the last backup.", last.size_bytes)
        if last.jobs >= 0:
            yield _gauge("faktory_backup_jobs", "Jobs in the last backup.", last.jobs)

    def _process(self) -> Families:
        server = self._server
        uptime = server.clock.monotonic() - server.started_at
        yield _gauge("faktory_uptime_seconds", "Since the start of the server.", uptime)
        yield _gauge("faktory_resident_memory_bytes", "Resident memory of the process.", resident_kib() * 1024)
        build = {"version": __version__, "protocol": SPOKEN_VERSION, "python": platform.python_version()}
        yield InfoMetricFamily("faktory_build", "The versions that run.", build)

    # -- the queues, in slices -----------------------------------------------------------------------------------

    def scrape(self) -> Iterator[bytes]:
        """The text for Prometheus, in pieces that belong together; each ``next`` takes some milliseconds at most."""
        busy: Counter[str] = Counter()
        for reservations in _slices(list(self._server.manager.reservations()), _RESERVATIONS):
            busy.update(reservation.job.queue for reservation in reservations)
            if len(reservations) == _RESERVATIONS:
                yield b""
        states: list[QueueState] = []
        for some in self._states():
            if states:
                yield b""
            states += some
        yield generate_latest(self.registry) + self._unknown(states)
        for some in _slices(states, _NAMES):
            for state in some:
                busy.setdefault(state.name, 0)
            if len(some) == _NAMES:
                yield b""
        yield from _gauge_in_slices(
            "faktory_queue_size", "Jobs in the queue.", ((state.name, state.size) for state in states)
        )
        yield from _gauge_in_slices(
            "faktory_queue_latency_seconds",
            "How long the next job of the queue has waited.",
            ((state.name, state.latency) for state in states if state.latency is not None),
        )
        yield from _gauge_in_slices("faktory_queue_busy", "Jobs of the queue that are being worked.", busy.items())
        yield from _gauge_in_slices(
            "faktory_queue_paused", "Whether the queue is paused.", ((state.name, state.paused) for state in states)
        )

    def _states(self) -> Iterator[list[QueueState]]:
        """All queues, a slice at a time: those whose latency is not known at once come in the slices after it."""
        manager, more = self._server.manager, MORE_SLICES
        for names in _slices(manager.queue_names(), _QUEUES):
            states = manager.queue_states(names)
            while more > 0 and (unread := [state.name for state in states if state.latency is None]):
                more -= 1
                yield [state for state in states if state.latency is not None]
                states = manager.queue_states(unread)
            yield states

    @staticmethod
    def _unknown(states: list[QueueState]) -> bytes:
        unknown = sum(state.latency is None for state in states)
        return _text(_gauge("faktory_queue_latency_unknown", "Queues whose latency was not read this time.", unknown))


class _Families:
    """Metrics that are there, in the form in which the prometheus client wants to be given them."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _text(*families: Metric) -> bytes:
    return generate_latest(_Families(*families))


def _gauge_in_slices(name: str, text: str, values: Iterable[tuple[str, float]]) -> Iterator[bytes]:
    """One gauge of all queues. Its samples have to follow each other, so only the first piece says what it is."""
    header = True
    for some in _slices(values, _QUEUES):
        family = GaugeMetricFamily(name, text, labels=("queue",))
        for queue, value in some:
            family.add_metric((queue,), value)
        piece = _text(family)
        yield piece if header else piece.split(b"\n", 2)[2]
        header = False


def _slices(items: Iterable[_T], count: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family


def _counters(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
