"""Stores of a test, closed at its end, and the faults of their disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from faktory_tw.storage.sqlite import SQLiteStore
from tests.unit.doubles import Faults, failing_connect
from tests.unit.storage.backups import fill
from tests.unit.storage.batches import OpenStore


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[OpenStore]:
    """Opens stores, in directories of the test, and closes them at its end.

    They put everything into the tables at once, so that a test sees there what it wrote.
    """
    opened: list[SQLiteStore] = []

    def make(directory: Path | None = None, durability: str = "os", journal_seconds: float = 0.0) -> SQLiteStore:
        opened.append(SQLiteStore(directory or tmp_path / "data", durability, journal_seconds))
        return opened[-1]

    yield make
    for store in opened:
        store.finish()
        store.close()


@pytest.fixture
def store(stores: OpenStore) -> SQLiteStore:
    return stores()


@pytest.fixture
def filled(store: SQLiteStore) -> SQLiteStore:
    """A store with a hundred jobs."""
    return fill(store)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a test keeps backups; it does not exist yet."""
    return tmp_path / "backups"


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Faults of every connection that is opened from now on; use it before ``store``."""
    faults = Faults()
    monkeypatch.setattr(sqlite3, "connect", failing_connect(faults))
    return faults
