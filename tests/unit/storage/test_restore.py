"""Restoring: the server must not run, what is replaced is kept, and a crash leaves the old database or the new one."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from faktory_tw.storage import snapshot
from faktory_tw.storage.backup import Backup, BackupError, Restored, restore
from faktory_tw.storage.journal import JOURNAL_SECONDS
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import StoreError
from tests.unit.doubles import FULL, NOON, FakeClock, Faults
from tests.unit.storage.backups import Crashes, fill, ids_in, overwrite, take
from tests.unit.storage.batches import add, commit, ids_on_disk

OLD = [*range(1, 101)]
NEW = [*OLD, 500]
ASIDE = "replaced-20251121T120000Z"


def ids_after_start(data: Path) -> list[int]:
    """What a server that starts on this directory has."""
    store = SQLiteStore(data, "os")
    try:
        return sorted([job_id for _, _, run in store.queued() for job_id in run])
    finally:
        store.finish()
        store.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def backup(data: Path, directory: Path) -> Backup:
    """A backup with the OLD jobs of a server that is stopped; it has the NEW ones."""
    store = fill(SQLiteStore(data, "os", 0.0))
    taken = take(store, directory)
    add(store, 500)
    commit(store)
    store.finish()
    store.close()
    return taken


@pytest.fixture
def stopped_with_log(tmp_path: Path) -> Callable[[Path], None]:
    """Puts a directory into the state in which a killed server leaves it: job 501 is in its log only."""

    def kill(data: Path) -> None:
        store = SQLiteStore(data, "os", 0.0)
        add(store, 501)
        commit(store)
        left = tmp_path / "left"
        shutil.copytree(data, left)
        store.finish()
        store.close()
        shutil.rmtree(data)
        left.rename(data)

    return kill


def names(data: Path) -> list[str]:
    return sorted(path.name for path in data.iterdir())


# -- what it does --------------------------------------------------------------------------------------------------


def test_the_backup_takes_the_place_of_the_database_which_is_kept(data: Path, backup: Backup) -> None:
    restored = restore(data, backup.path, NOON)
    assert restored == Restored(data / ASIDE, 100)
    assert ids_after_start(data) == OLD
    assert ids_in(restored.kept_aside / "faktory.db") == NEW
    assert names(data) == ["faktory.db", "lock", ASIDE, "reserve"]


def test_nobody_else_may_read_what_is_restored_and_what_is_kept(data: Path, backup: Backup) -> None:
    mask = os.umask(0)
    try:
        kept = restore(data, backup.path, NOON).kept_aside
    finally:
        os.umask(mask)
    assert (data / "faktory.db").stat().st_mode & 0o777 == 0o600
    assert kept.stat().st_mode & 0o777 == 0o700


def test_the_log_of_the_old_database_does_not_get_to_the_new_one(
    data: Path, backup: Backup, stopped_with_log: Callable[[Path], None]
) -> None:
    stopped_with_log(data)
    assert (data / "faktory.db-wal").stat().st_size > 0
    kept = restore(data, backup.path, NOON).kept_aside
    assert not (data / "faktory.db-wal").exists()
    assert ids_after_start(data) == OLD
    assert ids_after_start(kept) == [*NEW, 501]


def test_what_was_replaced_can_be_restored_again_with_its_log(
    data: Path, backup: Backup, stopped_with_log: Callable[[Path], None]
) -> None:
    stopped_with_log(data)
    kept = restore(data, backup.path, NOON).kept_aside
    again = restore(data, kept / "faktory.db", NOON)
    assert again == Restored(data / f"{ASIDE}-2", 102)
    assert ids_after_start(data) == [*NEW, 501]


def test_the_journal_in_a_copied_file_is_restored_too(tmp_path: Path, data: Path, clock: FakeClock) -> None:
    store = SQLiteStore(data, "os", JOURNAL_SECONDS, clock.monotonic)
    fill(store)
    shutil.copytree(data, tmp_path / "copy")
    store.finish()
    store.close()
    assert restore(tmp_path / "new", tmp_path / "copy" / "faktory.db", NOON).jobs == 100
    assert ids_after_start(tmp_path / "new") == OLD


@pytest.mark.parametrize(("user", "given"), [(0, {"lock", "faktory.db.restoring", ASIDE}), (1000, set())])
def test_what_root_restores_belongs_to_whom_the_directory_belongs(
    user: int, given: set[str], data: Path, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the server, which is not root, could not open it."""
    owner = (data.stat().st_uid, data.stat().st_gid)
    seen: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: seen.__setitem__(Path(path).name, (uid, gid)))
    restore(data, backup.path, NOON)
    assert seen == dict.fromkeys(given, owner)


@pytest.mark.parametrize("left", ["", "faktory.db-wal", "reserve"])
def test_a_database_that_is_gone_is_restored(left: str, data: Path, backup: Backup) -> None:
    shutil.rmtree(data)
    if left:
        data.mkdir()
        (data / left).write_bytes(b"left")
    restored = restore(data, backup.path, NOON)
    assert restored.jobs == 100
    assert restored.kept_aside.exists() == (left == "faktory.db-wal")
    assert ids_after_start(data) == OLD


def test_a_damaged_database_is_replaced(data: Path, backup: Backup) -> None:
    overwrite(data / "faktory.db", 0, b"\xff" * 8192)
    with pytest.raises(StoreError):
        SQLiteStore(data, "os")
    restore(data, backup.path, NOON)
    assert ids_after_start(data) == OLD


# -- what it refuses -----------------------------------------------------------------------------------------------


def test_nothing_is_restored_while_a_server_runs(data: Path, backup: Backup) -> None:
    store = SQLiteStore(data, "os", 0.0)
    told = rf"^cannot restore: the data directory .*data is in use by another server \(process {os.getpid()}\); stop"
    with pytest.raises(BackupError, match=told):
        restore(data, backup.path, NOON)
    assert ids_on_disk(store, "copy") == NEW
    store.finish()
    store.close()


def test_no_server_starts_while_a_backup_is_restored(data: Path, backup: Backup) -> None:
    seen = []

    def start(*_: int) -> None:
        with pytest.raises(StoreError, match="in use"):
            SQLiteStore(data, "os")
        seen.append(True)

    restore(data, backup.path, NOON, start)
    assert seen


def test_a_damaged_backup_is_refused_before_anything_is_touched(data: Path, backup: Backup) -> None:
    before = (data / "faktory.db").read_bytes()
    overwrite(backup.path, 4 * 4096, b"\xff" * 4096)
    with pytest.raises(BackupError, match="use another backup"):
        restore(data, backup.path, NOON)
    assert (data / "faktory.db").read_bytes() == before
    assert names(data) == ["faktory.db", "lock", "reserve"]


def test_a_backup_that_is_not_there_makes_no_directory(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"^there is no file .*/nowhere\.db; look for the name again$"):
        restore(tmp_path / "data", tmp_path / "nowhere.db", NOON)
    assert names(tmp_path) == []


def test_there_must_be_room_for_the_copy(data: Path, backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "free_bytes", lambda _: 1000)
    with pytest.raises(BackupError, match=r"^not enough room: .* has 0\.0 MiB; make room"):
        restore(data, backup.path, NOON)
    assert ids_after_start(data) == NEW


def test_a_disk_that_is_full_after_all_leaves_the_old_database(faults: Faults, data: Path, backup: Backup) -> None:
    faults.fail("VACUUM INTO", FULL)
    with pytest.raises(BackupError, match="full; make room"):
        restore(data, backup.path, NOON)
    faults.heal()
    assert names(data) == ["faktory.db", "lock", "reserve"]
    assert ids_after_start(data) == NEW


# -- crashes -------------------------------------------------------------------------------------------------------


def test_a_crash_at_any_step_leaves_the_old_database_or_the_new_one(
    data: Path,
    tmp_path: Path,
    backup: Backup,
    stopped_with_log: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped_with_log(data)
    with monkeypatch.context() as watched:
        crashes = Crashes(data, tmp_path / "crashes", watched)
        restore(data, backup.path, NOON)
    assert len(crashes.trees) > 6
    outcomes = []
    for tree in crashes.trees:
        outcomes.append(ids_after_start(tree))
        left = {"faktory.db", "lock", "reserve", ASIDE, "faktory.db.restoring"}
        assert {name for name in names(tree) if "-" not in name or name == ASIDE} <= left
        if outcomes[-1] == OLD:
            assert ids_after_start(tree / ASIDE) == [*NEW, 501]
    old = outcomes.index(OLD)
    assert 0 < old < len(outcomes) - 2
    assert outcomes == [[*NEW, 501]] * old + [OLD] * (len(outcomes) - old)


def test_after_a_crash_at_any_step_another_backup_can_be_restored(
    data: Path, tmp_path: Path, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the clock was set back meanwhile."""
    other = tmp_path / "other.db"
    shutil.copyfile(data / "faktory.db", other)
    with monkeypatch.context() as watched:
        crashes = Crashes(data, tmp_path / "crashes", watched)
        restore(data, backup.path, NOON)
    for tree in crashes.trees:
        assert restore(tree, other, NOON - 60).jobs == 101
        assert [name for name in names(tree) if name.startswith("faktory.db.")] == []
        assert NEW in [ids_in(path) for path in tree.glob("replaced-*/faktory.db")]
        assert ids_after_start(tree) == NEW


def test_a_replacement_that_cannot_be_finished_is_told_at_the_start(
    data: Path, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    shutil.copyfile(backup.path, data / "faktory.db.restored-20251121T120000Z")
    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", fail)
        with pytest.raises(StoreError, match=r"^cannot finish the restore .*: Permission denied; make it writable"):
            SQLiteStore(data, "os")
    assert ids_after_start(data) == OLD
