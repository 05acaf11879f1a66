"""Fixtures of the tests of features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.features.crontab import Tower
from tests.unit.features.floor import Floor
from tests.unit.features.mill import MakeMill, Mill


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    """A server, and conversations with it."""
    floor = Floor(tmp_path / "data")
    yield floor
    floor.engine.stop()


@pytest.fixture
def tower(tmp_path: Path) -> Iterator[Tower]:
    """A manager with cron. It is noon."""
    tower = Tower(tmp_path / "data")
    yield tower
    tower.engine.stop()


@pytest.fixture
def make_mill(tmp_path: Path) -> Iterator[MakeMill]:
    """A function that returns a manager with the throttles that a text, TOML, says."""
    made: list[Mill] = []

    def make(text: str) -> Mill:
        made.append(Mill(tmp_path / str(len(made)), text))
        return made[-1]

    yield make
    for mill in made:
        mill.engine.stop()
