"""Start, stop and failure of the whole server, in a reactor that stands still."""

from __future__ import annotations

import os

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError
from twisted.logger import LogLevel

from faktory_tw.server import Server
from faktory_tw.storage.store import StoreError
from tests.unit.house import Disk, broken_disk, job
from tests.unit.stage import Endpoint, Stage

OK = b"+OK\r\n"


# -- start -------------------------------------------------------------------------------------------------------------


def test_nothing_happens_before_the_start(stage: Stage) -> None:
    stage.service()
    assert stage.events == []


def test_addresses_are_bound_when_all_jobs_are_there(stage: Stage) -> None:
    web = Endpoint("web", stage.events)
    more = Endpoint("more commands", stage.events)
    sites: list[Server] = []

    def make_site(server: Server) -> str:
        sites.append(server)
        return "site"

    service = stage.service(web=(web, make_site), endpoints=[stage.commands, more])
    service.startService()
    assert stage.events == [
        "use_monotonic_clock",
        "raise_file_limit",
        "tune_interpreter",
        "open",
        "freeze_garbage",
        "listen to commands",
        "listen to more commands",
        "listen to web",
    ]
    assert sites == [service.server]
    assert web.factory == "site"
    assert stage.commands.factory is more.factory


def test_the_log_says_what_was_started_and_not_the_password(stage: Stage) -> None:
    hosts = [IPv4Address("TCP", "10.0.0.1", 7419), IPv6Address("TCP", "::1", 7420), UNIXAddress(b"/run/f.sock")]
    endpoints = [Endpoint("commands", stage.events, host) for host in hosts]
    stage.service(endpoints=endpoints, password="very secret", environment="production").startService()
    stage.reactor.advance(0)
    text = "\n".join(stage.lines())
    for said in (str(stage.directory), "commit", "0 jobs queued", "10.0.0.1:7419", "[::1]:7420", "/run/f.sock"):
        assert said in text
    assert "very secret" not in text + repr(stage.logged)


def test_a_store_that_cannot_be_opened_ends_the_start_with_one_sentence(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Disk:
        raise StoreError("the data directory is in use")

    monkeypatch.setattr(stage, "_open_store", refuse)
    with pytest.raises(SystemExit, match=r"^faktory: the data directory is in use$"):
        stage.service().startService()
    assert "listen to commands" not in stage.events


@pytest.mark.parametrize("which", ["commands", "web"])
def test_an_address_that_is_taken_ends_the_start_with_one_sentence(stage: Stage, which: str) -> None:
    taken = Endpoint(which, stage.events, error=CannotListenError("127.0.0.1", 7419, OSError("in use")))
    free = Endpoint("free", stage.events)
    service = (
        stage.service(endpoints=[free, taken])
        if which == "commands"
        else stage.service(endpoints=[free], web=(taken, lambda server: "site"))
    )
    with pytest.raises(SystemExit, match=r"^faktory: .*127\.0\.0\.1:7419.*in use"):
        service.startService()


# -- stop --------------------------------------------------------------------------------------------------------------


def test_a_stop_closes_the_door_then_writes_then_closes(stage: Stage) -> None:
    service = stage.started()
    producer, worker = stage.connect(), stage.connect()
    worker.say(b"FETCH other")
    producer.say(b"PUSH " + job(1))
    stopped = service.stopService()
    assert stopped is not None
    assert stage.events[0] == "stop listening to commands"
    assert worker.heard() == b"$-1\r\n"
    assert producer.heard() == b""
    stage.reactor.run_report()
    assert producer.heard() == OK
    assert [event for event in stage.events if event != "write at once"] == [
        "stop listening to commands",
        "write",
        "finish",
        "close",
    ]
    assert producer.wire.closed
    assert worker.wire.closed
    assert not stopped.called
    stage.reactor.advance(1.0)
    assert stopped.called


def test_what_nobody_waits_for_is_written_at_the_stop(stage: Stage) -> None:
    service = stage.started()
    client = stage.connect()
    client.say(b"PUSH " + job(1))
    stage.commit()
    client.say(b"FETCH default")
    stage.stop(service)
    assert len(stage.disk.writes) == 2


def test_a_command_that_comes_while_the_server_stops_is_refused(stage: Stage) -> None:
    service = stage.started()
    client, other = stage.connect(), stage.connect()
    client.say(b"PUSH " + job(1))
    stopped = service.stopService()
    assert other.ask(b"PUSH " + job(2)) == b"-ERR Shutdown in progress\r\n"
    assert other.wire.closed
    stage.reactor.run_report()
    stage.reactor.advance(1.0)
    assert stopped is not None
    assert stopped.called
    assert len(stage.disk.writes[0].jobs) == 1


def test_stopping_twice_is_stopping_once(stage: Stage) -> None:
    service = stage.started()
    stage.stop(service)
    events = list(stage.events)
    assert service.stopService() is None
    assert stage.events == events


def test_a_stopped_service_leaves_no_timer(stage: Stage) -> None:
    stage.stop(stage.started())
    assert stage.reactor.getDelayedCalls() == []


# -- failure -----------------------------------------------------------------------------------------------------------


def test_a_failed_disk_ends_the_process_with_status_1_and_no_reply(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = stage.started()
    client = stage.connect()
    client.say(b"PUSH " + job(1))
    stage.disk.broken = broken_disk()
    stage.commit_failing()
    assert client.heard() == b""
    assert client.wire.aborted
    client.hang_up()
    assert any("the disk is broken" in line for line in stage.lines(LogLevel.critical))
    assert stage.reactor.hasStopped
    stage.stop(service)
    assert stage.disk.events[-1] == "close"
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    for leave in stage.at_exit:
        leave()
    assert set(statuses) == {1}


def test_a_disk_that_fails_while_the_server_stops_ends_it_with_status_1(stage: Stage) -> None:
    service = stage.started()
    client = stage.connect()
    client.say(b"PUSH " + job(1))
    stage.disk.broken = broken_disk()
    stage.stop(service)
    assert client.heard() == b""
    assert len(stage.at_exit) == 1


def test_an_orderly_end_has_status_0(stage: Stage) -> None:
    stage.stop(stage.started())
    assert stage.at_exit == []


def test_a_duty_that_fails_is_reported_and_tried_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    service = stage.started()
    tries: list[int] = []

    def fail_once() -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise ZeroDivisionError("oops")
        return False

    monkeypatch.setattr(service.manager, "upkeep", fail_once)
    stage.reactor.advance(1.0)
    assert any(event.get("log_failure") for event in stage.logged)
    stage.reactor.advance(1.0)
    assert len(tries) == 2
    assert not stage.reactor.hasStopped


def test_a_store_that_cannot_be_read_stops_the_server(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    service = stage.started()

    def cannot_be_read() -> bool:
        raise broken_disk()

    monkeypatch.setattr(service.manager, "upkeep", cannot_be_read)
    client = stage.connect()
    stage.reactor.pump([1.0, 0.0])
    assert client.wire.aborted
    assert stage.reactor.hasStopped
    client.hang_up()
