"""Damaged backups, and those that lost what is known of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from faktory_tw.storage import backup
from faktory_tw.storage.backup import UNKNOWN_JOBS, Backup, BackupError, find, list_backups, purge, verify
from faktory_tw.storage.sqlite import SQLiteStore
from tests.unit.doubles import NOON
from tests.unit.storage.backups import NAME, execute, overwrite, take, without_facts


def replace_with_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "header": (lambda path: overwrite(path, 0, b"\x00" * 100), "file is not a database"),
    "middle page": (lambda path: overwrite(path, 4 * 4096, b"\xff" * 4096), "malformed|damaged"),
    "truncated": (lambda path: os.truncate(path, 5 * 4096), "malformed|damaged"),
    "half a page": (lambda path: os.truncate(path, path.stat().st_size - 2000), "malformed|damaged"),
    "empty": (lambda path: os.truncate(path, 0), "is empty; use another backup"),
    "text": (lambda path: path.write_text("hello\n" * 1000), "file is not a database"),
    "newer": (lambda path: execute(path, "PRAGMA user_version = 99"), r"newer faktory_tw \(schema 99, this one knows"),
    "foreign": (lambda path: execute(path, "PRAGMA user_version = 0"), "SQLite database, but not one of faktory_tw"),
    "without a table": (lambda path: execute(path, "DROP TABLE jobs"), "no such table: jobs"),
    "deleted": (lambda path: path.unlink(), "there is no file"),
    "a directory": (replace_with_directory, "is not a file"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_backup_is_refused_with_what_is_wrong(name: str, filled: SQLiteStore, directory: Path) -> None:
    damage, told = DAMAGES[name]
    taken = take(filled, directory)
    path = without_facts(taken)
    damage(path)
    with pytest.raises(BackupError, match=told) as refused:
        verify(path)
    assert str(path) in str(refused.value)
    assert ";" in str(refused.value)  # and what to do


def test_a_bit_that_changed_in_the_text_of_a_job_is_found(filled: SQLiteStore, directory: Path) -> None:
    taken = take(filled, directory)
    data = taken.path.read_bytes()
    overwrite(taken.path, data.index(b"xxxx"), b"y")
    with pytest.raises(
        BackupError, match=r"is not what was written: .*; use another backup, or delete .*\.db\.json if"
    ):
        verify(taken.path)
    assert verify(without_facts(taken)).jobs == 100


def test_a_backup_that_was_cut_is_listed_as_not_verified(filled: SQLiteStore, directory: Path) -> None:
    taken = take(filled, directory)
    os.truncate(taken.path, 5 * 4096)
    [listed] = list_backups(directory)
    assert not listed.verified


@pytest.mark.parametrize("facts", [None, b"", b"{}", b"\xff", b'{"jobs": "many"}'])
def test_a_backup_that_lost_what_is_known_of_it_is_listed_and_can_be_used(
    facts: bytes | None, filled: SQLiteStore, directory: Path
) -> None:
    taken = take(filled, directory)
    path = without_facts(taken)
    if facts is not None:
        Path(f"{path}.json").write_bytes(facts)
    [listed] = list_backups(directory)
    assert (listed.name, listed.taken_at, listed.jobs, listed.verified) == (NAME, NOON, UNKNOWN_JOBS, False)
    assert verify(path).verified
    assert verify(path).jobs == 100
    assert find(directory, "latest") == find(directory, NAME) == replace(listed, jobs=100)
    path.write_bytes(b"nonsense")
    assert find(directory, "latest").jobs == 0


def test_no_backup_is_opened_to_be_listed(
    filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> int:
        raise AssertionError(f"{path} was opened")

    without_facts(take(filled, directory))
    monkeypatch.setattr(backup, "count_jobs", refuse)
    assert [one.name for one in list_backups(directory)] == [NAME]


def test_what_cannot_be_looked_at_or_is_no_file_is_not_listed_and_in_nobodys_way(
    filled: SQLiteStore, directory: Path
) -> None:
    first = take(filled, directory)
    (directory / "faktory-20990101T000000Z.db").symlink_to("nowhere")
    (directory / "faktory-20990102T000000Z.db").mkdir()
    assert list_backups(directory) == [first]
    second = take(filled, directory, NOON + 1)
    assert find(directory, "latest") == second
    assert purge(directory, 1) == [first]
    assert list_backups(directory) == [second]


def test_a_backup_that_goes_while_they_are_listed_is_not_listed(
    filled: SQLiteStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, stays = take(filled, directory), take(filled, directory, NOON + 1)
    look_at = backup._look_at

    def delete_first(path: Path) -> Backup:
        gone.path.unlink(missing_ok=True)
        return look_at(path)

    monkeypatch.setattr(backup, "_look_at", delete_first)
    monkeypatch.setattr(os, "listdir", lambda _: [gone.name, stays.name])
    assert list_backups(directory) == [stays]
