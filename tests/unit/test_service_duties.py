"""What a running server does by itself: timers, the watch over the disk, long commands, signals, the clock."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from faktory_tw import process
from faktory_tw import service as module
from faktory_tw.process import raise_file_limit, use_monotonic_clock
from faktory_tw.service import FaktoryService
from faktory_tw.times import rfc3339
from tests.unit.house import EPOCH, jid, job, named
from tests.unit.stage import Stage

OK = b"+OK\r\n"
FULL = b"-ERR the disk is nearly full, 63 MiB free: no new jobs until there is more room\r\n"
MIB = 1024 * 1024


def queued(service: FaktoryService) -> int:
    return service.manager.queue_sizes().get("default", 0)


def later(seconds: float) -> str:
    """Return the JSON of a time so many seconds after the start."""
    return f'"{rfc3339(EPOCH + seconds)}"'


# -- timers ------------------------------------------------------------------------------------------------------------


def test_a_waiting_fetch_is_answered_in_time(stage: Stage) -> None:
    stage.started()
    client = stage.connect()
    client.say(b"FETCH default")
    stage.reactor.pump([0.05] * 39)
    assert client.heard() == b""
    stage.reactor.pump([0.05] * 3)
    assert client.heard() == b"$-1\r\n"


def test_a_change_that_nobody_waits_for_is_written_soon(stage: Stage) -> None:
    stage.started()
    client = stage.connect()
    client.say(b"PUSH " + job(1))
    stage.commit()
    client.say(b"FETCH default")
    stage.reactor.advance(0.05)
    assert stage.disk.sealed is not None
    stage.reactor.run_report()
    assert len(stage.disk.writes) == 2


def test_a_job_that_is_due_is_enqueued_within_a_second(stage: Stage) -> None:
    service = stage.started()
    client = stage.connect()
    client.say(b"PUSH " + job(1, at=later(10.5)))
    stage.reactor.advance(10.0)
    assert queued(service) == 0
    stage.reactor.advance(1.0)
    assert queued(service) == 1


@pytest.mark.parametrize("seconds", [0, 40])
def test_what_came_while_the_process_was_stopped_is_heard_before_a_job_is_taken_back(
    stage: Stage, seconds: int
) -> None:
    service = stage.started()
    client = stage.connect()
    client.say(b"PUSH " + job(1, reserve_for="60"))
    client.say(b"FETCH default")
    stage.reactor.pump([1.0] * seconds)
    stage.reactor.advance(65.0)
    assert service.manager.set_sizes()["working"] == 1
    client.say(b'ACK {"jid":"%b"}' % jid(1).encode())
    stage.reactor.pump([1.0] * 3)
    assert service.manager.history.failures == 0
    assert service.manager.history.processed == 1


def test_a_job_is_taken_back_though_the_process_is_stopped_again_and_again(stage: Stage) -> None:
    service = stage.started()
    client = stage.connect()
    client.say(b"PUSH " + job(1, reserve_for="60"))
    client.say(b"FETCH default")
    for _ in range(20):
        stage.reactor.advance(7.0)
    assert service.manager.history.failures == 1


def test_many_jobs_that_are_due_are_enqueued_turn_by_turn(stage: Stage) -> None:
    service = stage.started()
    client = stage.connect()
    for number in range(1300):
        client.say(b"PUSH " + job(number, at=later(10.5)))
    stage.commit()
    stage.reactor.advance(10.0)
    for call in [call for call in stage.reactor.getDelayedCalls() if call.getTime() <= 11.0]:
        call.reset(1.0)
    stage.reactor.rightNow += 1.0
    lengths = []
    while queued(service) < 1300:
        stage.reactor.turn()
        lengths.append(queued(service))
        assert len(lengths) < 20
    assert len(lengths) >= 3, "all in one turn: nobody else was let in between"


# -- the watch over the disk -------------------------------------------------------------------------------------------


@pytest.fixture
def nearly_full(stage: Stage) -> FaktoryService:
    """A server with a job in it that finds its disk nearly full."""
    service = stage.started()
    client = stage.connect()
    client.say(b"PUSH " + job(1))
    stage.commit()
    stage.free_bytes = 64 * MIB - 1
    stage.reactor.advance(1.0)
    return service


def test_a_disk_that_is_nearly_full_takes_no_new_jobs(stage: Stage, nearly_full: FaktoryService) -> None:
    assert stage.connect().ask(b"PUSH " + job(2)) == FULL


def test_on_a_disk_that_is_nearly_full_jobs_can_be_finished(stage: Stage, nearly_full: FaktoryService) -> None:
    client = stage.connect()
    assert jid(1).encode() in client.ask(b"FETCH default")
    client.say(b"ACK " + named(1))
    stage.commit()
    assert client.heard() == OK


def test_on_a_disk_that_is_nearly_full_jobs_that_are_due_stay_where_they_are(stage: Stage) -> None:
    service = stage.started()
    client = stage.connect()
    client.say(b"PUSH " + job(1, at=later(1.5)))
    stage.free_bytes = 0
    stage.reactor.pump([1.0] * 5)
    assert service.manager.set_sizes()["scheduled"] == 1
    stage.free_bytes = 64 * MIB
    stage.reactor.advance(1.0)
    assert queued(service) == 1


def test_when_there_is_room_again_jobs_are_taken(stage: Stage, nearly_full: FaktoryService) -> None:
    stage.free_bytes = 64 * MIB
    stage.reactor.advance(1.0)
    client = stage.connect()
    client.say(b"PUSH " + job(2))
    stage.commit()
    assert client.heard() == OK


def test_the_log_tells_of_a_full_disk_once_and_of_its_end(stage: Stage, nearly_full: FaktoryService) -> None:
    stage.reactor.pump([1.0] * 10)
    stage.free_bytes = 65 * MIB
    stage.reactor.pump([1.0] * 10)
    (full,) = stage.lines(LogLevel.error)
    assert "fewer than --min-free-disk 67108864" in full
    assert str(stage.directory) in full
    assert [line for line in stage.lines() if line.startswith("Accepting new jobs again")] == [
        f"Accepting new jobs again: {65 * MIB} bytes free"
    ]


def test_a_disk_that_is_full_at_the_start_takes_no_jobs_from_the_first_on(stage: Stage) -> None:
    stage.free_bytes = 64 * MIB - 1
    stage.started()
    assert stage.connect().ask(b"PUSH " + job(1)) == FULL


def test_the_watch_can_be_switched_off(stage: Stage) -> None:
    stage.free_bytes = 0
    service = stage.started(min_free_disk_bytes=0)
    stage.connect().say(b"PUSH " + job(1))
    assert queued(service) == 1


# -- long commands -----------------------------------------------------------------------------------------------------


def bulk_of(count: int) -> bytes:
    return b"PUSHB [" + b",".join(job(number) for number in range(count)) + b"]"


def test_a_long_command_lets_others_in_between(stage: Stage) -> None:
    service = stage.started()
    busy, other = stage.connect(), stage.connect()
    busy.say(bulk_of(5000))
    while busy.heard() == b"":
        stage.reactor.turn()
        assert other.ask(b"QUEUE LATENCY a") == b'$7\r\n{"a":0}\r\n'
        stage.commit()
    assert queued(service) == 5000
    assert len(stage.disk.writes) > 2, "one batch for all"


def test_a_long_command_waits_for_a_disk_that_falls_behind(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RECORDS", 2000)
    service = stage.started()
    client = stage.connect()
    client.say(bulk_of(10_000))
    stage.reactor.pump([0.001] * 100)
    behind = queued(service)
    assert behind <= 2000 + 2 * 1024 + 1024
    while client.heard() == b"":
        stage.commit()
        stage.reactor.advance(0.01)
    assert queued(service) == 10_000


def test_an_internal_failure_amid_a_long_command_is_answered(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    service = stage.started()
    client = stage.connect()
    client.say(bulk_of(5000), b"QUEUE LATENCY a")
    push, pushed = service.manager.push, []

    def fail_in_the_end(*arguments: object) -> None:
        pushed.append(arguments)
        if len(pushed) > 3000:
            raise ZeroDivisionError("oops")
        push(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(service.manager, "push", fail_in_the_end)
    while not (heard := client.heard()):
        stage.reactor.turn()
        stage.commit()
    stage.reactor.turn()
    assert heard + client.heard() == b'-ERR internal error\r\n$7\r\n{"a":0}\r\n'
    assert any(event.get("log_failure") for event in stage.logged)


def test_a_long_command_ends_when_the_server_stops(stage: Stage) -> None:
    """A MUTATE of a million jobs must not keep the process from its end."""
    service = stage.started()
    client = stage.connect()
    client.say(bulk_of(10_000))
    stage.reactor.turn()
    service.server.stopping = True
    stage.reactor.turn()
    assert client.heard().startswith(b"-ERR Shutdown in progress")
    assert queued(service) < 10_000


def test_duties_that_take_longer_than_a_second_are_not_begun_a_second_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = stage.started()
    monkeypatch.setattr(module, "MOST_RECORDS", -1)  # so that they wait between the slices, and time goes on
    monkeypatch.setattr(service.manager, "upkeep", lambda: True)
    for _ in range(5):
        stage.reactor.advance(1.0)
        pending = [
            call for call in stage.reactor.getDelayedCalls() if getattr(call, "func", None) == service._upkeep_again
        ]
        assert len(pending) == 1


def test_flush_is_in_the_log(stage: Stage) -> None:
    stage.started(environment="production", password=None)
    stage.connect().say(b"FLUSH")
    assert stage.lines(LogLevel.warn) == ["Flushing dataset"]


# -- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_and_a_second_one_ends_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    stage.started()
    stage.handlers[number](number, None)
    stage.reactor.run_report()
    assert stage.reactor.hasStopped
    assert ended == []
    stage.handlers[number](number, None)
    assert ended == [128 + number]


def test_a_hangup_changes_nothing_and_says_so(stage: Stage) -> None:
    stage.started()
    stage.handlers[signal.SIGHUP](signal.SIGHUP, None)
    stage.reactor.run_report()
    assert "restart it" in stage.lines(LogLevel.warn)[0]
    assert not stage.reactor.hasStopped


def test_signal_handlers_are_ours_when_those_of_twisted_are_in_place(stage: Stage) -> None:
    stage.service().startService()
    handlers: dict[Any, Any] = stage.handlers
    assert handlers.keys() == {signal.SIGHUP, signal.SIGTTIN}
    assert signal.SIG_IGN not in handlers.values()
    stage.reactor.advance(0)
    assert stage.handlers.keys() == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTTIN}


# -- the process -------------------------------------------------------------------------------------------------------


def test_timers_go_on_when_the_reactor_gets_another_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def monotonic() -> float:
        return 1000.0

    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=monotonic))
    clock = Clock()
    clock.advance(5_000_000.0)
    called: list[float] = []
    pending = clock.callLater(5.0, called.append, 1.0)
    use_monotonic_clock(clock)
    use_monotonic_clock(clock)
    assert clock.seconds is monotonic
    assert pending.getTime() == 1005.0
    pending.delay(1.0)
    assert pending.getTime() == 1006.0
    assert clock.callLater(2.0, called.append, 2.0).getTime() == 1002.0


@pytest.mark.parametrize(("limits", "asked"), [((1024, 4096), [(4096, 4096)]), ((4096, 4096), [])])
def test_as_many_files_may_be_open_as_the_system_grants(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], asked: list[tuple[int, int]]
) -> None:
    got: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: got.append(wanted))
    raise_file_limit()
    assert got == asked


def test_of_many_long_commands_a_turn_has_only_some_steps(stage: Stage) -> None:
    """Twenty bulk pushes at once: a step of each in every turn would hold up everybody else."""
    service = stage.started()
    steps: list[int] = []
    ended: list[int] = []

    def long_command(number: int) -> Iterator[None]:
        for _ in range(3):
            stage.reactor.rightNow += 0.01  # the clock: so long takes a step
            steps.append(number)
            yield

    def finish(_refusal: object) -> None:
        ended.append(len(ended))

    for number in range(20):
        service._run_in_slices(long_command(number), finish)
    while len(ended) < 20:
        before = len(steps)
        stage.reactor.turn()
        assert len(steps) - before <= 3
    assert sorted(steps[:20]) == list(range(20))
