"""What a statsd receiver is told. The socket is a double; real datagrams are in tests/system/test_metrics.py."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw import statsd
from faktory_tw.statsd import MOST_BYTES, Datagrams, StatsD, look_up
from tests.unit.doubles import Client, Engine

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


# -- jobs ------------------------------------------------------------------------------------------------------------


def test_a_job_is_counted_and_timed_with_its_queue_and_type(
    engine: Engine, network: Network, begin: Callable[..., StatsD]
) -> None:
    sender = begin()
    work(engine, jobtype="SendMail", queue="mail", milliseconds=250)
    sender.tick()
    assert network.socket.take() == [
        "faktory.jobs.perform:250.000|ms|#queue:mail,jobtype:SendMail",
        "faktory.jobs.count:1|c|#queue:mail,jobtype:SendMail",
    ]


def test_a_failed_job_is_counted_twice_over(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    work(engine, fails=True, milliseconds=2)
    sender.tick()
    assert network.socket.take() == [
        "faktory.jobs.perform:2.000|ms|#queue:default,jobtype:Work",
        "faktory.jobs.count:1|c|#queue:default,jobtype:Work",
        "faktory.jobs.failed:1|c|#queue:default,jobtype:Work",
    ]


def test_counts_are_added_up_for_a_second(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    for _ in range(50):
        work(engine)
    sender.tick()
    counts = [line for line in network.socket.take() if ".count" in line]
    assert counts == ["faktory.jobs.count:50|c|#queue:default,jobtype:Work"]
    seconds(sender, engine)
    assert network.socket.take() == []


def test_a_job_that_was_taken_back_failed_and_took_no_time(
    engine: Engine, network: Network, begin: Callable[..., StatsD]
) -> None:
    sender = begin()
    engine.push(jobtype="Slow")
    engine.fetch()
    engine.pass_time(1900)
    seconds(sender, engine, 3)
    lines = [line for line in network.socket.take() if ".jobs." in line]
    assert lines == [
        "faktory.jobs.count:1|c|#queue:default,jobtype:Slow",
        "faktory.jobs.failed:1|c|#queue:default,jobtype:Slow",
    ]


def test_a_job_given_back_is_no_job_done(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    Client(engine, "default", there=False)
    engine.push()
    sender.tick()
    assert network.socket.take() == []
    assert sender._working == {}


def test_a_job_fetched_before_has_no_type_and_no_time(
    engine: Engine, network: Network, begin: Callable[..., StatsD]
) -> None:
    jid = engine.push(jobtype="Early")
    engine.fetch()
    sender = begin()
    engine.manager.ack(jid, "")
    sender.tick()
    assert network.socket.take() == ["faktory.jobs.count:1|c|#queue:default,jobtype:unknown"]


def test_nothing_is_kept_of_jobs_that_are_gone(engine: Engine, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    work(engine)
    engine.push()
    engine.fetch()
    assert len(sender._working) == 1
    engine.manager.flush()
    assert sender._working == {}


def test_the_tags_of_the_settings_are_on_everything(
    engine: Engine, network: Network, begin: Callable[..., StatsD]
) -> None:
    sender = begin(tags=("env:production", "a|b,c\nd"), namespace="jobs")
    work(engine)
    engine.clock.advance(30)
    sender.tick()
    seconds(sender, engine, 3)
    lines = network.socket.take()
    assert all(line.startswith("jobs.") for line in lines)
    assert all(line.endswith("env:production,a_b_c_d") for line in lines)
    assert "jobs.queue.size:0|g|#queue:default,env:production,a_b_c_d" in lines
    assert "jobs.processed:1|g|#env:production,a_b_c_d" in lines


@pytest.mark.parametrize(
    ("jobtype", "tag"),
    [
        ("Mail::Sender", "Mail::Sender"),
        ("a|c|#x:1", "a_c__x:1"),
        ("two\nlines", "two_lines"),
        ("comma,separated values", "comma_separated_values"),
        ("émission", "émission"),
        ("x" * 5000, "x" * 100),
        ("\U0001f4a3", "_"),
    ],
)
def test_a_hostile_job_type_stays_one_tag(
    engine: Engine, network: Network, begin: Callable[..., StatsD], jobtype: str, tag: str
) -> None:
    sender = begin()
    work(engine, jobtype=jobtype)
    sender.tick()
    lines = network.socket.take()
    assert lines[1] == f"faktory.jobs.count:1|c|#queue:default,jobtype:{tag}"
    assert len(lines) == 2


@given(st.text(min_size=1))
def test_no_job_type_breaks_out_of_its_tag(jobtype: str) -> None:
    tag = statsd._tag(jobtype)
    assert tag
    assert not set(tag) & set("|,#\n\r @")


def test_the_remembered_tags_are_bounded(
    engine: Engine, begin: Callable[..., StatsD], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statsd, "_MOST_TAGS", 5)
    sender = begin()
    for number in range(12):
        work(engine, jobtype=f"Type{number}")
    assert len(sender._tags) <= 5


# -- gauges ----------------------------------------------------------------------------------------------------------


def test_gauges_are_sent_every_thirty_seconds(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin(queue_latency=("mail", "unknown"))
    work(engine, fails=True)
    engine.push(queue="mail")
    engine.push(at="2033-05-18T03:33:20Z")
    sender.tick()
    network.socket.take()
    seconds(sender, engine, 27)
    assert network.socket.take() == []
    seconds(sender, engine, 4)
    assert network.socket.take() == [
        "faktory.processed:1|g",
        "faktory.failures:1|g",
        "faktory.scheduled:1|g",
        "faktory.retries:1|g",
        "faktory.dead:0|g",
        "faktory.enqueued:1|g",
        "faktory.enqueued.default:0|g",
        "faktory.queue.size:0|g|#queue:default",
        "faktory.enqueued.mail:1|g",
        "faktory.queue.size:1|g|#queue:mail",
        "faktory.latency.mail:30.0|g",
        "faktory.queue.latency:30.0|g|#queue:mail",
        "faktory.latency.unknown:0|g",
        "faktory.queue.latency:0|g|#queue:unknown",
    ]


def test_thousands_of_queues_are_told_in_slices(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    for number in range(1000):
        engine.push(queue=f"q{number}")
    engine.clock.advance(30)
    told = []
    for _ in range(5):
        sender.tick()
        told.append(len(network.socket.take()))
    assert told == [6, 500, 500, 500, 500]
    seconds(sender, engine, 5)
    assert network.socket.take() == []


def test_a_hostile_queue_name_stays_one_name(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin(queue_latency=("a:b|c\nd", "x" * 5000))
    engine.clock.advance(30)
    seconds(sender, engine, 3)
    lines = network.socket.take()
    assert "faktory.latency.a_b_c_d:0|g" in lines
    assert max(map(len, lines)) < 200


# -- datagrams -------------------------------------------------------------------------------------------------------


def datagrams(network: Network, most_lines: int = 15) -> Datagrams:
    made = Datagrams("receiver:8125", most_lines, network.in_thread, network.warn)
    made.look_up()
    network.run()
    return made


def test_what_is_counted_waits_for_the_address(
    engine: Engine, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statsd, "_MOST_TAGS", 3)
    sender = StatsD(engine.manager, engine.clock, network.in_thread, network.warn)
    sender.configure(settings())
    work(engine)
    sender.tick()
    work(engine)
    network.run()
    seconds(sender, engine)
    lines = network.socket.take()
    assert "faktory.processed:2|g" in lines
    assert "faktory.jobs.count:2|c|#queue:default,jobtype:Work" in lines
    sender.close()


def test_what_waits_for_an_address_that_never_comes_is_bounded(
    engine: Engine, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statsd, "_MOST_TAGS", 3)
    network.answer = "no such host"
    sender = StatsD(engine.manager, engine.clock, network.in_thread, network.warn)
    sender.configure(settings())
    for number in range(20):
        work(engine, jobtype=f"Type{number}")
        seconds(sender, engine)
        network.run()
    assert len(sender._counts) <= 4
    assert len(network.warnings) == 1
    sender.close()


def test_several_lines_share_a_datagram(network: Network) -> None:
    made = datagrams(network, most_lines=3)
    for number in range(7):
        made.add(f"line{number}")
    made.send()
    made.send()
    assert network.socket.sent == [b"line0\nline1\nline2", b"line3\nline4\nline5", b"line6"]
    assert not network.socket.blocking


@given(st.lists(st.integers(1, 600)), st.integers(1, 40))
def test_no_datagram_is_too_long_and_no_line_is_lost(lengths: list[int], most_lines: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        network = Network(patch)
        made = datagrams(network, most_lines)
        for length in lengths:
            made.add("x" * length)
        made.send()
        assert all(len(sent) <= MOST_BYTES and sent.count(b"\n") < most_lines for sent in network.socket.sent)
        assert [len(line) for line in network.socket.take()] == lengths


def test_datagrams_are_filled(network: Network) -> None:
    made = datagrams(network, most_lines=1000)
    for _ in range(100):
        made.add("x" * 99)
    made.send()
    assert [len(sent) for sent in network.socket.sent] == [14 * 100 - 1] * 7 + [199]


def test_a_missing_receiver_is_warned_of_once_and_tried_again(network: Network) -> None:
    made = datagrams(network)
    for number in range(3):
        network.socket.refuses = [ConnectionRefusedError(111, "Connection refused")]
        made.add(f"line{number}")
        made.send()
    assert network.socket.take() == ["line0", "line1", "line2"]
    assert len(network.warnings) == 1
    assert "receiver:8125" in network.warnings[0]
    assert "Connection refused" in network.warnings[0]


@pytest.mark.parametrize("error", [BlockingIOError(11, "again"), OSError(90, "Message too long")])
def test_what_the_system_does_not_take_is_dropped(network: Network, error: OSError) -> None:
    made = datagrams(network)
    network.socket.refuses = [error]
    made.add("lost")
    made.add("lost, too")
    made.send()
    made.add("kept")
    made.send()
    assert network.socket.take() == ["kept"]
    assert made.dropped == 2


def test_a_receiver_without_an_address_is_warned_of_once(network: Network) -> None:
    network.answer = "Name or service not known"
    made = datagrams(network)
    made.add("lost")
    made.send()
    made.look_up()
    network.run()
    assert len(network.warnings) == 1
    assert made.dropped == 1
    network.answer = HERE
    made.look_up()
    network.run()
    made.add("kept")
    made.send()
    assert network.socket.take() == ["kept"]


def test_a_receiver_that_moves_is_followed(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    first = network.socket
    seconds(sender, engine, 61)
    network.run()
    assert network.sockets == [first]
    network.answer = (socket.AF_INET6, ("::1", 8125, 0, 0))
    seconds(sender, engine, 61)
    network.run()
    assert first.closed
    assert network.socket.family == socket.AF_INET6
    assert network.asked == ["localhost:8125"] * 3


def test_an_address_that_comes_too_late_is_not_used(network: Network) -> None:
    made = Datagrams("receiver:8125", 15, network.in_thread, network.warn)
    made.look_up()
    made.close()
    network.run()
    assert network.sockets == []


def test_an_address_that_cannot_be_reached_is_warned_of(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(self: Socket, address: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(Socket, "connect", unreachable)
    datagrams(network)
    assert network.socket.closed
    assert "Network is unreachable" in network.warnings[0]


def test_addresses_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_up("127.0.0.1:8125") == HERE
    found = look_up("[::1]:8125")
    assert not isinstance(found, str)
    assert (found[0], found[1][:2]) == (socket.AF_INET6, ("::1", 8125))
    assert look_up(":8125") == HERE
    assert isinstance(look_up("localhost:no-number"), str)

    both = [
        (socket.AF_INET6, socket.SOCK_DGRAM, 0, "", ("::1", 8125, 0, 0)),
        (HERE[0], socket.SOCK_DGRAM, 0, "", HERE[1]),
    ]
    monkeypatch.setattr("faktory_tw.statsd.socket.getaddrinfo", lambda *_, **__: both)
    assert look_up("localhost:8125") == HERE

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("faktory_tw.statsd.socket.getaddrinfo", unknown)
    assert "Name or service not known" in str(look_up("nowhere.invalid:8125"))


# -- settings --------------------------------------------------------------------------------------------------------


def test_without_a_location_nothing_is_observed_and_nothing_sent(engine: Engine, network: Network) -> None:
    sender = StatsD(engine.manager, engine.clock, network.in_thread, network.warn)
    sender.configure(settings(None))
    work(engine)
    seconds(sender, engine, 40)
    assert engine.manager._observer is None
    assert network.asked == []
    assert network.sockets == []


def test_it_can_be_switched_off_and_on_again(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    work(engine)
    sender.configure(settings(None))
    assert network.socket.closed
    assert any("jobs.count:1" in line for line in network.socket.take())
    assert engine.manager._observer is None
    sender.configure(settings("elsewhere:1"))
    sender.tick()
    network.run()
    work(engine)
    sender.tick()
    assert network.asked[-1] == "elsewhere:1"
    assert any("jobs.count:1" in line for line in network.socket.take())


def test_the_same_settings_again_change_nothing(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    sender.configure(settings())
    assert not network.socket.closed
    assert len(network.sockets) == 1


def test_closing_sends_what_was_counted(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    work(engine)
    sender.close()
    sender.close()
    assert [line for line in network.socket.take() if "count" in line]
    assert network.socket.closed
    sender.tick()
