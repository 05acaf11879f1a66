"""Houses whose pages are asked for, see :mod:`tests.unit.web.browsing`; and no test may leave a failure in the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from faktory_tw.storage.sqlite import SQLiteStore
from tests.unit.house import House
from tests.unit.web.browsing import Browser
from tests.unit.web.stock import Stock, stocked

PASSWORD = "sécret"
READ_ONLY_PASSWORD = "only lööking"


@pytest.fixture
def locked_house() -> Iterator[House]:
    """A server with a password, in memory."""
    house = House(password=PASSWORD)
    yield house
    house.close()


@pytest.fixture
def guarded_house() -> Iterator[House]:
    """A server with a password, and with one for those who only look, in memory."""
    house = House(password=PASSWORD)
    house.server.change_passwords(PASSWORD, None, READ_ONLY_PASSWORD)
    yield house
    house.close()


@pytest.fixture
def stored_house(tmp_path: Path) -> Iterator[House]:
    """A server on a real SQLite store, for pages that read the rows of jobs. It needs no password."""
    house = House(SQLiteStore(tmp_path / "data", "os"))
    yield house
    house.close()
    house.store.close()


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Stock]:
    """A server on a real SQLite store that can be stocked with jobs."""
    with stocked(tmp_path) as stock:
        yield stock


@pytest.fixture
def browser(stock: Stock) -> Browser:
    """Somebody at the pages of that server."""
    return Browser(stock.house)


@pytest.fixture
def log_events() -> Iterator[list[LogEvent]]:
    """What is logged while the test runs."""
    events: list[LogEvent] = []
    note: Any = events.append
    globalLogPublisher.addObserver(note)
    yield events
    globalLogPublisher.removeObserver(note)


@pytest.fixture(autouse=True)
def failures(log_events: list[LogEvent]) -> Iterator[list[str]]:
    """Failures in the log end a test; one that provokes some asks for this and clears it when it has looked."""
    found: list[str] = []

    def note(event: dict[str, Any]) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical) or event.get("isError"):
            found.append(str(event.get("log_failure") or event.get("log_format") or event))

    observer: Any = note
    globalLogPublisher.addObserver(observer)
    yield found
    globalLogPublisher.removeObserver(observer)
    assert not found
