"""Fixtures of the unit tests: nothing here opens a socket, sleeps, or asks the machine for the time.

What hypothesis tries is the same in every run, so that a run means something. ``FAKTORY_TW_EXAMPLES=5000`` tries as many
examples of each property instead, others every time; a failure prints what repeats it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from faktory_tw.config import Loaded, load
from faktory_tw.storage import database
from tests.unit.doubles import Engine, FakeClock, MakeEngine
from tests.unit.house import House
from tests.unit.office import connection, office
from tests.unit.stage import Stage
from tests.unit.statsd_network import begin, network

__all__ = ["begin", "connection", "network", "office"]  # fixtures of several files

_EXAMPLES = int(os.environ.get("FAKTORY_TW_EXAMPLES", "0"))
_SLOW_IS_NO_DEFECT = [HealthCheck.too_slow, HealthCheck.data_too_large]
if _EXAMPLES:
    settings.register_profile(
        "unit", deadline=None, max_examples=_EXAMPLES, print_blob=True, suppress_health_check=_SLOW_IS_NO_DEFECT
    )
else:
    settings.register_profile("unit", deadline=None, derandomize=True, suppress_health_check=_SLOW_IS_NO_DEFECT)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reserve and a log of 64 KiB instead of 16 and 20 MiB: pytest keeps the directories of hundreds of tests."""
    monkeypatch.setattr(database, "RESERVE_BYTES", 65_536)
    monkeypatch.setattr(database, "LOG_PAGES", 16)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that shows noon, UTC, and stands still."""
    return FakeClock()


@pytest.fixture
def make_engine(tmp_path: Path, clock: FakeClock) -> Iterator[MakeEngine]:
    """A function that returns a running engine; it takes the limits of the manager as keywords."""
    engines: list[Engine] = []

    def make(**limits: Any) -> Engine:
        engines.append(Engine(tmp_path / f"data{len(engines)}", clock, **limits))
        return engines[-1]

    yield make
    for engine in engines:
        engine.stop()


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    """A job manager on an empty store."""
    return make_engine()


@pytest.fixture(autouse=True)
def nothing_left_in_the_reactor() -> Iterator[None]:
    """Fail a test that leaves a delayed call in the real reactor: it would run into some later test."""
    from twisted.internet import reactor  # noqa: PLC0415 - importing it chooses one

    clock: Any = reactor
    before = clock.getDelayedCalls()
    yield
    left = [call for call in clock.getDelayedCalls() if call not in before]
    for call in left:
        call.cancel()
    assert not left, "left in the reactor"


@pytest.fixture
def house() -> Iterator[House]:
    """A server in memory whose disk writes when it is told to."""
    house = House()
    yield house
    house.close()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """What a service needs; those that were made on it are stopped after the test."""
    stage = Stage(tmp_path, monkeypatch)
    yield stage
    stage.clear()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a file of the configuration directory, readable by its owner only."""

    def write(text: str, name: str = "conf.d/a.toml", mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Loaded]:
    """A function that loads the settings of the configuration directory of `write`."""

    def loaded(environ: Mapping[str, str] | None = None, **options: Any) -> Loaded:
        named = {name.replace("_", "-"): value for name, value in options.items()}
        return load({"config": str(tmp_path), **named}, environ or {})

    return loaded
