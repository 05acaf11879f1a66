"""What a statsd receiver is told. The socket is a double; real datagrams are in tests/system/test_metrics.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw import statsd
from faktory_tw.statsd import StatsD
from faktory_tw.wire import CommandError
from tests.unit.doubles import Client, Engine
from tests.unit.statsd_network import Network, seconds, settings, work

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


# -- settings --------------------------------------------------------------------------------------------------------


def test_without_a_location_nothing_is_observed_and_nothing_sent(engine: Engine, network: Network) -> None:
    sender = StatsD(engine.manager, engine.clock, network.in_thread, network.warn)
    sender.configure(settings(None))
    work(engine)
    seconds(sender, engine, 40)
    assert engine.manager.observer is None
    assert network.asked == []
    assert network.sockets == []


def test_it_can_be_switched_off_and_on_again(engine: Engine, network: Network, begin: Callable[..., StatsD]) -> None:
    sender = begin()
    work(engine)
    sender.configure(settings(None))
    assert network.socket.closed
    assert any("jobs.count:1" in line for line in network.socket.take())
    assert engine.manager.observer is None
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


# -- jobs that are kept out or dropped -------------------------------------------------------------------------------


def test_a_unique_job_is_counted_when_it_is_accepted_and_each_one_that_is_refused(
    engine: Engine, network: Network, begin: Callable[..., StatsD]
) -> None:
    sender = begin()
    engine.push(jobtype="Import", queue="mail", custom={"unique_for": 60})
    for _ in range(2):
        with pytest.raises(CommandError):
            engine.push(jobtype="Import", queue="mail", custom={"unique_for": 60})
    sender.tick()
    assert network.socket.take() == [
        "faktory.uniq.lock:1|c|#queue:mail,jobtype:Import",
        "faktory.uniq.denied:2|c|#queue:mail,jobtype:Import",
    ]


def test_a_job_that_expired_is_counted_wherever_it_was(
    engine: Engine, network: Network, begin: Callable[..., StatsD]
) -> None:
    sender = begin()
    worked = engine.push(jobtype="Worked", custom={"expires_in": 60})
    engine.fetch()
    engine.push(jobtype="Waits", custom={"expires_in": 60})
    engine.clock.advance(61)
    engine.manager.upkeep()
    sender.tick()
    assert "faktory.jobs.expired:1|c|#queue:default,jobtype:Waits" in network.socket.take()
    engine.fail(worked)
    engine.clock.advance(3600)
    engine.manager.upkeep()
    sender.tick()
    assert "faktory.jobs.expired:1|c|#queue:default,jobtype:Worked" in network.socket.take()


def test_names_that_are_long_are_cut_and_few_are_remembered(
    engine: Engine, network: Network, begin: Callable[..., StatsD]
) -> None:
    sender = begin()
    engine.push(jobtype="J" * 100_000, custom={"unique_for": 60})
    sender.tick()
    assert network.socket.take() == [f"faktory.uniq.lock:1|c|#queue:default,jobtype:{'J' * 100}"]


def test_nothing_is_counted_of_jobs_while_no_metrics_are_sent(engine: Engine) -> None:
    engine.push(custom={"unique_for": 60, "expires_in": 60})
    engine.clock.advance(61)
    engine.manager.upkeep()
    assert engine.manager.tasks["Expired"].reaped == 1
