"""What a statsd receiver is told, with the names that Faktory Enterprise gave them and DogStatsD's tags.

Every 30 seconds gauges: ``processed``, ``failures``, ``scheduled``, ``retries``, ``dead``, ``enqueued``, by queue
``enqueued.<queue>`` and ``queue.size``, and for the queues named in the settings ``latency.<queue>`` and
``queue.latency`` in seconds. For each job that a worker ends ``jobs.count``, ``jobs.failed`` when it failed, and
``jobs.perform``, the milliseconds since it was fetched; all with the tags ``queue`` and ``jobtype``. A job that was
taken back counts as failed and has no time. With the same tags ``jobs.expired`` for each job that was dropped because its
time was over, ``uniq.lock`` for each unique job that was accepted, and ``uniq.denied`` for each that was refused.

The type of a job is looked for when it is fetched, and only while metrics are sent: without them jobs cost nothing
here. Counts are added up for a second; times are sent one by one, as many in a datagram as fit.
"""

from __future__ import annotations

import re
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import msgspec

from faktory_tw.config import Settings
from faktory_tw.core.hooks import Observer
from faktory_tw.core.job import Job, Payload
from faktory_tw.core.manager import Clock, JobManager, Reservation

GAUGE_SECONDS = 30.0
LOOK_UP_SECONDS = 60.0  # the receiver may get another address while we run
MOST_BYTES = 1432  # of a datagram, so that no network on the way has to cut it
_QUEUES = 250  # whose gauges are made in one turn of the reactor
_LATENCIES = 20  # each may have to read a job from disk
_MOST_TAGS = 10_000  # remembered pairs of queue and job type
_MOST_CHARACTERS = 100  # of a queue's or job type's name
_UNKNOWN = "unknown"

Address = tuple[socket.AddressFamily, Any]
RunInThread = Callable[[Callable[[], None], Callable[[], None]], None]

_NO_NAME = re.compile(r"[^a-zA-Z0-9._-]")
_NO_TAG = re.compile(r"[^\w.:/-]")
_NO_SETTING = re.compile(r"[|,#\s]")


class _Type(msgspec.Struct, gc=False):
    jobtype: str | None = None


_decode_type = msgspec.json.Decoder(_Type).decode


def look_up(location: str) -> Address | str:
    """The address of ``host:port``, IPv4 before IPv6, or why there is none. May wait for a name server."""
    host, _, port = location.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]") or "localhost", int(port), type=socket.SOCK_DGRAM)
    except (OSError, ValueError) as error:
        return str(error)
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, address


class Datagrams:
    """Lines for one receiver, ``most_lines`` of them in a datagram at most. It never waits.

    While the receiver has no address, and when the system takes no more, lines are dropped. ``run_in_thread(work,
    done)`` calls ``work`` in another thread and, when it has returned, ``done`` in this one. ``warn`` (a format and its
    values) is called once a receiver: that nobody listens there is no error.
    """

    def __init__(self, location: str, most_lines: int, run_in_thread: RunInThread, warn: Callable[..., None]) -> None:
        self._location = location
        self._most_lines = most_lines
        self._run_in_thread = run_in_thread
        self._warn = warn
        self._address: Address | None = None
        self._socket: socket.socket | None = None
        self._lines: list[bytes] = []
        self._bytes = 0
        self._warned = False
        self._closed = False
        self.dropped = 0  # lines

    def look_up(self) -> None:
        """Ask for the address, which is used as soon as it is known."""
        found: list[Address | str] = []
        location = self._location
        self._run_in_thread(lambda: found.append(look_up(location)), lambda: self._found(found[0]))

    @property
    def ready(self) -> bool:
        """Whether the receiver has an address."""
        return self._socket is not None

    def _found(self, found: Address | str) -> None:
        if self._closed or found == self._address:
            return
        if isinstance(found, str):
            self._warn_once(found)
            return
        family, address = found
        fresh = socket.socket(family, socket.SOCK_DGRAM)
        try:
            fresh.setblocking(False)
            fresh.connect(address)
        except OSError as error:
            fresh.close()
            self._warn_once(str(error))
            return
        if self._socket is not None:
            self._socket.close()
        self._socket, self._address = fresh, found

    def add(self, line: str) -> None:
        """Send a line, now or with others."""
        data = line.encode("utf-8", "replace")
        if self._lines and (self._bytes + len(data) > MOST_BYTES or len(self._lines) >= self._most_lines):
            self.send()
        self._lines.append(data)
        self._bytes += len(data) + 1

    def send(self) -> None:
        """Send what was added and is not sent yet."""
        lines, self._lines, self._bytes = self._lines, [], 0
        if lines and not self._sent(b"\n".join(lines)):
            self.dropped += len(lines)

    def _sent(self, datagram: bytes) -> bool:
        if self._socket is None:
            return False
        try:
            try:
                self._socket.send(datagram)
            except ConnectionRefusedError as error:  # said of an earlier datagram; this one was not sent
                self._warn_once(str(error))
                self._socket.send(datagram)
        except BlockingIOError:
            return False
        except OSError as error:
            self._warn_once(str(error))
            return False
        return True

    def _warn_once(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(
                "statsd: {location} takes no metrics ({reason}); it is tried again and again without a further warning",
                location=self._location,
                reason=reason,
            )

    def close(self) -> None:
        """Send what is left, and send no more."""
        self.send()
        self._closed = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class StatsD(Observer):
    """Sends the metrics of one manager, when and where the settings say; :meth:`tick` is called once a second."""

    def __init__(
        self, manager: JobManager, clock: Clock, run_in_thread: RunInThread, warn: Callable[..., None]
    ) -> None:
        self._manager = manager
        self._clock = clock
        self._run_in_thread = run_in_thread
        self._warn = warn
        self._datagrams: Datagrams | None = None
        self._wanted: tuple[Any, ...] = ()
        self._prefix = self._common = ""
        self._latency_queues: tuple[str, ...] = ()
        self._report: Iterator[list[str]] = iter(())
        self._report_at = self._look_up_at = 0.0
        self._forget()

    def _forget(self) -> None:
        self._working: dict[int, tuple[str, float]] = {}  # by job id: tags, monotonic time of the FETCH
        self._tags: dict[tuple[str, str], str] = {}
        self._counts: defaultdict[str, int] = defaultdict(int)  # by name and tags

    def configure(self, settings: Settings) -> None:
        """Begin, go on elsewhere, or end, as the settings say."""
        wanted = (
            settings.statsd_location,
            settings.statsd_namespace,
            settings.statsd_tags,
            settings.statsd_buffer_size,
            settings.statsd_queue_latency,
        )
        if wanted == self._wanted:
            return
        self.close()
        self._wanted = wanted
        if settings.statsd_location is None:
            return
        namespace = settings.statsd_namespace
        self._prefix = namespace if namespace.endswith(".") or not namespace else f"{namespace}."
        self._common = ",".join(_NO_SETTING.sub("_", tag) for tag in settings.statsd_tags)
        self._latency_queues = settings.statsd_queue_latency
        self._datagrams = Datagrams(
            settings.statsd_location, settings.statsd_buffer_size, self._run_in_thread, self._warn
        )
        self._report_at = self._look_up_at = self._clock.monotonic()
        self._manager.observe(self)

    def close(self) -> None:
        """Send what is left, and send no more."""
        datagrams, self._datagrams = self._datagrams, None
        if datagrams is not None:
            self._manager.ignore(self)
            self._send_counts(datagrams)
            datagrams.close()
        self._forget()
        self._report = iter(())
        self._wanted = ()

    def tick(self) -> None:
        """One slice of the gauges, if they are due, and what was counted since the last second."""
        datagrams, now = self._datagrams, self._clock.monotonic()
        if datagrams is None:
            return
        if now >= self._look_up_at:
            self._look_up_at = now + LOOK_UP_SECONDS
            datagrams.look_up()
        if not datagrams.ready:
            self._bound_counts()
            return
        lines = next(self._report, None)
        if lines is None and now >= self._report_at:
            self._report_at = now + GAUGE_SECONDS
            self._report = self._gauges()
            lines = next(self._report)
        for line in lines or ():
            datagrams.add(line)
        self._send_counts(datagrams)
        datagrams.send()

    # -- gauges --------------------------------------------------------------------------------------------------

    def _gauges(self) -> Iterator[list[str]]:
        manager = self._manager
        sets, sizes = manager.set_sizes(), {name: len(queue) for name, queue in manager.queues().items()}
        totals = {
            "processed": manager.history.processed,
            "failures": manager.history.failures,
            **{name: sets[name] for name in ("scheduled", "retries", "dead")},
            "enqueued": sum(sizes.values()),
        }
        yield [self._gauge(name, value) for name, value in totals.items()]
        queues = iter(sizes.items())
        while some := list(islice(queues, _QUEUES)):
            yield [line for name, size in some for line in self._of_queue(name, "enqueued", "queue.size", size)]
        watched = iter(self._latency_queues)
        while names := list(islice(watched, _LATENCIES)):
            latencies = manager.latencies(names)
            yield [
                line
                for name, latency in latencies.items()
                for line in self._of_queue(name, "latency", "queue.latency", round(latency, 3))
            ]

    def _of_queue(self, queue: str, name: str, tagged: str, value: float) -> Iterator[str]:
        yield self._gauge(f"{name}.{_NO_NAME.sub('_', queue[:_MOST_CHARACTERS])}", value)
        yield self._gauge(tagged, value, f"queue:{_tag(queue)}")

    def _gauge(self, name: str, value: float, tags: str = "") -> str:
        tags = f"{tags},{self._common}" if tags and self._common else tags or self._common
        return f"{self._prefix}{name}:{value}|g{'|#' if tags else ''}{tags}"

    # -- jobs ----------------------------------------------------------------------------------------------------

    def fetched(self, reservation: Reservation) -> None:
        job = reservation.job
        jobtype = _decode_type(job.body).jobtype or ""
        self._working[job.id] = self._tags_of(job.queue, jobtype), self._clock.monotonic()

    def acked(self, reservation: Reservation) -> None:
        self._ended(reservation, timed=True)

    def failed(self, reservation: Reservation) -> None:
        self._counts[f"jobs.failed\n{self._ended(reservation, timed=True)}"] += 1

    def taken_back(self, reservation: Reservation) -> None:
        self._counts[f"jobs.failed\n{self._ended(reservation, timed=False)}"] += 1

    def given_back(self, reservation: Reservation) -> None:
        self._working.pop(reservation.job.id, None)

    def flushed(self) -> None:
        self._working.clear()

    def expired(self, job: Job) -> None:
        """Where the body is not in memory, it was fetched and has failed, and its type may be known."""
        known = self._working.get(job.id)
        if known is not None:
            tags = known[0]
        else:
            tags = self._tags_of(job.queue, (_decode_type(job.body).jobtype or "") if job.body else "")
        self._counts[f"jobs.expired\n{tags}"] += 1

    def locked(self, payload: Payload) -> None:
        self._counts[f"uniq.lock\n{self._tags_of(payload.queue or '', payload.jobtype or '')}"] += 1

    def denied(self, payload: Payload) -> None:
        self._counts[f"uniq.denied\n{self._tags_of(payload.queue or '', payload.jobtype or '')}"] += 1

    def _ended(self, reservation: Reservation, timed: bool) -> str:
        """Count a job, and its time; returns its tags. One that was fetched before we were there has no type."""
        tags, since = self._working.pop(reservation.job.id, ("", None))
        if since is None:
            tags = self._tags_of(reservation.job.queue, "")
        self._counts[f"jobs.count\n{tags}"] += 1
        if timed and since is not None and self._datagrams is not None:
            milliseconds = (self._clock.monotonic() - since) * 1000
            self._datagrams.add(f"{self._prefix}jobs.perform:{milliseconds:.3f}|ms|#{tags}")
        return tags

    def _tags_of(self, queue: str, jobtype: str) -> str:
        jobtype = jobtype[:_MOST_CHARACTERS]
        tags = self._tags.get((queue, jobtype))
        if tags is None:
            if len(self._tags) >= _MOST_TAGS:
                self._tags.clear()
            tags = f"queue:{_tag(queue)},jobtype:{_tag(jobtype)}"
            if self._common:
                tags = f"{tags},{self._common}"
            self._tags[queue, jobtype] = tags
        return tags

    def _bound_counts(self) -> None:
        """They wait for an address, but not in any number."""
        if len(self._counts) > _MOST_TAGS:
            self._counts.clear()

    def _send_counts(self, datagrams: Datagrams) -> None:
        counts, self._counts = self._counts, defaultdict(int)
        for key, count in counts.items():
            name, _, tags = key.partition("\n")
            datagrams.add(f"{self._prefix}{name}:{count}|c|#{tags}")


def _tag(value: str) -> str:
    """A value that a tag may have: nothing in it ends the tag or the line."""
    return _NO_TAG.sub("_", value[:_MOST_CHARACTERS]) or _UNKNOWN
