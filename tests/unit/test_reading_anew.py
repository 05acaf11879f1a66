"""SIGHUP: the settings are read in a thread, so that thousands of entries do not hold the reactor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from faktory_tw.config import Settings
from tests.unit.stage import Stage


class Thread:
    """One whose work is done when it is told to go on."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[bool, Any], None], Callable[[], Any]]] = []

    def callInThreadWithCallback(self, tell: Callable[[bool, Any], None], work: Callable[[], Any]) -> None:  # noqa: N802
        self._waiting.append((tell, work))

    def go_on(self) -> int:
        """How much it has done."""
        some, self._waiting = self._waiting, []
        for tell, work in some:
            tell(True, work())
        return len(some)


@pytest.fixture
def thread(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Thread:
    thread = Thread()
    monkeypatch.setattr(stage.reactor, "getThreadPool", lambda: thread)
    return thread


def started(stage: Stage, descriptions: list[str]) -> Any:
    """A server that reads one description after the other."""

    def read() -> Settings:
        return replace(service._settings, description=descriptions.pop(0))

    service: Any = stage.service(read_settings=read)
    service.startService()
    return service


def test_settings_are_read_in_a_thread(stage: Stage, thread: Thread) -> None:
    service = started(stage, ["new"])
    stage.hang_up()
    assert service.server.description == "Faktory"
    assert thread.go_on() == 1
    stage.run_reports()
    assert service.server.description == "new"


def test_who_hangs_up_while_they_are_read_has_them_read_once_more(stage: Stage, thread: Thread) -> None:
    service = started(stage, ["first", "second"])
    for _ in range(3):
        stage.hang_up()
    assert thread.go_on() == 1
    stage.run_reports()
    assert service.server.description == "first"
    assert thread.go_on() == 1
    stage.run_reports()
    assert service.server.description == "second"
    assert thread.go_on() == 0


def test_a_server_that_stops_meanwhile_changes_nothing_more(stage: Stage, thread: Thread) -> None:
    service = started(stage, ["new"])
    stage.hang_up()
    service.server.stopping = True
    thread.go_on()
    stage.run_reports()
    assert service.server.description == "Faktory"


def test_the_status_that_is_told_then_needs_no_order_of_a_hundred_thousand_queues(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = started(stage, [])
    monkeypatch.delattr(type(service.manager), "queue_sizes")  # to go through them by name takes ten times as long
    assert service._operations._status() == "0 jobs queued, 0 worked, 0 connections"
