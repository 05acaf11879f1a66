"""Taking backups of a test's store, looking at them, damaging them, and being killed meanwhile."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from faktory_tw.storage.backup import Backup, create
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import QueueRecord
from tests.unit.doubles import HOUR, NOON
from tests.unit.storage.batches import add, commit

NAME = "faktory-20251121T120000Z.db"  # of the one taken at noon


def fill(store: SQLiteStore) -> SQLiteStore:
    """A hundred jobs, in pages enough for one to be damaged."""
    store.batch.queues["q"] = QueueRecord("q", False, 1)
    add(store, *range(1, 101), text="x" * 500)
    commit(store)
    return store


def take(store: SQLiteStore, directory: Path, now: float = NOON, **options: Any) -> Backup:
    return create(store.path, directory, now, min_free_bytes=0, **options)


def take_some(store: SQLiteStore, directory: Path, count: int) -> list[Backup]:
    """One an hour; the newest first."""
    return [take(store, directory, NOON + number * HOUR) for number in range(count)][::-1]


def without_facts(taken: Backup) -> Path:
    """Delete what is known of a backup."""
    Path(f"{taken.path}.json").unlink()
    return taken.path


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != ".lock")


def ids_in(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [job_id for (job_id,) in connection.execute("SELECT id FROM jobs ORDER BY id")]


def count_rows(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def overwrite(path: Path, start: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(data)


class Crashes:
    """Copies a tree before every step that changes names or syncs: what a process that is killed there leaves."""

    STEPS = ("rename", "unlink", "mkdir", "fsync", "write", "chown")

    def __init__(self, tree: Path, copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trees: list[Path] = []
        self._tree, self._copies = tree, copies
        self._copying = False
        for name in self.STEPS:
            monkeypatch.setattr(os, name, self._after_copying(name, getattr(os, name)))

    def _after_copying(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def copy_and_do(*arguments: Any, **options: Any) -> Any:
            if not self._copying:
                self._copy(name)
            return step(*arguments, **options)

        return copy_and_do

    def _copy(self, name: str) -> None:
        self._copying = True
        self.trees.append(self._copies / f"{len(self.trees):02}-{name}")
        shutil.copytree(self._tree, self.trees[-1])
        self._copying = False
