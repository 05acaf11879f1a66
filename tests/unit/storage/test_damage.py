"""Files that SQLite would take for no jobs, or for fewer: they are refused, and what a power cut leaves is not.

`left` is what a killed server leaves: a database of one page, for nothing was copied into it yet, and everything in
its log, twenty commits of one job each.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from struct import pack, unpack_from

import pytest

from faktory_tw.storage.backup import create, restore
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import Place, StoreError
from tests.unit.doubles import NOON, copy_directory
from tests.unit.storage.batches import OpenStore, add, commit, move

JOBS = 20
HEADER, FRAME = 32, 24 + 4096


@pytest.fixture
def left(stores: OpenStore, tmp_path: Path) -> Path:
    store = stores(durability="commit")
    for job_id in range(1, JOBS + 1):
        add(store, job_id)
        commit(store)
    directory = copy_directory(store.directory, tmp_path / "left")
    (directory / "reserve").touch()
    create(store.path, directory / "backups", NOON, 0)
    return directory


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def commits(log: Path) -> list[int]:
    """The frames that end a commit, by number."""
    data = log.read_bytes()
    heads = [unpack_from(">6I", data, at) for at in range(HEADER, len(data) - FRAME + 1, FRAME)]
    return [number for number, head in enumerate(heads) if head[1] and head[2:4] == unpack_from(">2I", data, 16)]


def damage_log(directory: Path, at: int, data: bytes = b"\xff" * 8) -> None:
    overwrite(directory / "faktory.db-wal", at, data)


def break_commit(directory: Path, from_the_end: int) -> int:
    """Damage the page before the end of a commit; return where that frame begins."""
    frame = commits(directory / "faktory.db-wal")[-from_the_end]
    damage_log(directory, HEADER + frame * FRAME + 2000)
    return HEADER + frame * FRAME


def jobs(directory: Path, durability: str = "commit") -> int:
    """Open it and count."""
    store = SQLiteStore(directory, durability)
    count = sum(len(ids) for _, _, ids in store.queued())
    store.finish()
    store.close()
    return count


def refusal(directory: Path) -> str:
    with pytest.raises(StoreError) as refused:
        SQLiteStore(directory, "commit")
    assert f"put a backup of it in its place: faktory-tw restore latest -d {directory}" in str(refused.value)
    return str(refused.value)


def truncate(directory: Path) -> None:
    os.truncate(directory / "faktory.db", 0)


def delete(directory: Path) -> None:
    (directory / "faktory.db").unlink()


def zero_log(directory: Path) -> None:
    damage_log(directory, 0, bytes(HEADER))


def spoil_log(directory: Path) -> None:
    damage_log(directory, 8, b"\x01")


def empty_log(directory: Path) -> None:
    os.truncate(directory / "faktory.db-wal", 0)


def lose_log(directory: Path) -> None:
    (directory / "faktory.db-wal").unlink()


def lose_log_but_not_its_index(directory: Path) -> None:
    lose_log(directory)
    (directory / "faktory.db-shm").touch()


REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "the database is empty": (truncate, "is empty, but its log is there: bring it back"),
    "the database is missing": (delete, "is missing, but its log is there: bring it back"),
    "the log begins with zeros": (zero_log, "holds nothing, nor does its log"),
    "the log begins with something else": (spoil_log, "damaged at byte 0"),
    "the log is empty": (empty_log, "holds nothing, nor does its log"),
    "the log is missing": (lose_log, "holds nothing, nor does its log"),
    "the log is missing, its index is not": (lose_log_but_not_its_index, "-wal is missing, and what was written last"),
    "the middle of the log is damaged": (lambda directory: break_commit(directory, 10), r"damaged at byte \d+"),
}


def test_what_is_whole_is_opened(left: Path) -> None:
    assert jobs(left) == JOBS
    assert jobs(left) == JOBS  # now without a log


@pytest.mark.parametrize("name", REFUSALS)
def test_damage_that_looks_like_fewer_jobs_is_refused_and_the_command_that_is_named_helps(
    name: str, left: Path
) -> None:
    damage, told = REFUSALS[name]
    damage(left)
    before = {file.name: file.read_bytes() for file in left.glob("faktory.db*") if not file.name.endswith("-shm")}
    for _ in range(2):  # to look at it changes nothing
        assert re.search(told, refusal(left))
    assert before == {name: (left / name).read_bytes() for name in before}
    restore(left, next(left.glob("backups/*.db")), NOON)
    assert jobs(left) == JOBS


def test_an_empty_database_of_a_server_that_was_stopped_is_refused_until_it_is_deleted(left: Path) -> None:
    jobs(left)
    truncate(left)
    for evidence in (left / "reserve", left / "backups"):
        assert "is empty: put" in refusal(left)
        assert "to begin without any jobs, delete that file" in refusal(left)
        if evidence.is_dir():
            shutil.rmtree(evidence)
        else:
            evidence.unlink()
    assert jobs(left) == 0  # a first start that was interrupted leaves nothing else


def test_a_directory_whose_database_was_deleted_is_an_empty_one(left: Path) -> None:
    jobs(left)
    delete(left)
    assert jobs(left) == 0


def test_a_power_cut_may_leave_two_commits_that_cannot_be_read_and_no_third(left: Path) -> None:
    """One of them is from an earlier power cut."""
    whole = left.with_name("whole")
    shutil.copytree(left, whole)
    for broken in (1, 2):
        shutil.rmtree(left)
        shutil.copytree(whole, left)
        break_commit(left, broken)
        assert jobs(left) == JOBS - broken
    shutil.rmtree(left)
    shutil.copytree(whole, left)
    at = break_commit(left, 3)
    told = refusal(left)
    assert f"cut the log there: truncate -s {at} {left}/faktory.db-wal" in told
    os.truncate(left / "faktory.db-wal", at)
    assert jobs(left) == JOBS - 3


def test_without_a_sync_a_commit_the_end_of_the_log_says_nothing(left: Path) -> None:
    break_commit(left, 10)
    assert jobs(left, "os") == JOBS - 10


def test_what_an_earlier_round_of_the_log_left_behind_its_end_is_no_damage(stores: OpenStore, tmp_path: Path) -> None:
    store = stores(durability="commit")
    add(store, *range(1, 400), text="x" * 200)
    commit(store)
    store.checkpoint_soon()
    store.upkeep()
    add(store, 400)
    commit(store)
    assert len(commits(store.path.with_name("faktory.db-wal"))) == 1
    directory = copy_directory(store.directory, tmp_path / "left")
    assert jobs(directory) == 400
    for size in (HEADER, 2 * FRAME, 1 << 20):
        directory = copy_directory(store.directory, tmp_path / f"zeros{size}")
        log = directory / "faktory.db-wal"
        os.truncate(log, max(log.stat().st_size, (1 << 20) + 2))
        overwrite(log, (1 << 20) + 1, b"x")
        overwrite(log, 0, bytes(size))
        assert "damaged at byte 0" in refusal(directory)


def test_the_log_of_a_database_that_another_program_reads_is_looked_at_too(left: Path) -> None:
    at = break_commit(left, 10)
    with closing(sqlite3.connect(f"file:{left / 'faktory.db'}?mode=ro", uri=True)) as reader:
        assert reader.execute("SELECT count(*) FROM jobs").fetchone() == (JOBS - 10,)
        assert f"byte {at}," in refusal(left)
        assert reader.execute("SELECT count(*) FROM jobs").fetchone() == (JOBS - 10,)


def test_a_page_of_jobs_that_makes_no_sense_is_refused_at_the_start(left: Path) -> None:
    jobs(left)
    path = left / "faktory.db"
    with closing(sqlite3.connect(path)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'").fetchone()[0]
    overwrite(path, (root - 1) * 4096, b"\xff" * 4096)
    store = SQLiteStore(left, "commit")
    try:
        with pytest.raises(
            StoreError, match=r"cannot read .* malformed; if it is damaged, put a backup .*restore latest"
        ):
            list(store.queued())
        with pytest.raises(StoreError, match="restore latest"):
            store.contents()
        with pytest.raises(StoreError, match="restore latest"):
            store.read([1])
    finally:
        store.finish()
        store.close()


def test_damage_that_is_found_by_a_write_is_told_with_its_remedy(stores: OpenStore) -> None:
    store = stores()
    add(store, 1)
    commit(store)
    writer = store._writer
    root = writer.execute("SELECT rootpage FROM sqlite_master WHERE name = 'places'").fetchone()[0]
    store.checkpoint_soon()
    store.upkeep()
    overwrite(store.path, (root - 1) * 4096, b"\xff" * 4096)
    writer.execute("PRAGMA shrink_memory")
    writer.execute("PRAGMA cache_size = 1")
    move(store, 1, Place.DEAD)
    with pytest.raises(
        StoreError, match=r"cannot write .* malformed; put a backup of it in its place: .*restore latest"
    ):
        commit(store)


def test_files_that_cannot_be_read_are_an_error_that_says_so(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "pread", forbidden)
    with pytest.raises(StoreError, match=r"cannot read .*Permission denied; make its files and their directory access"):
        SQLiteStore(left, "commit")


def test_the_checksum_of_either_byte_order_is_understood(left: Path) -> None:
    """A database comes along to a machine of the other kind."""
    log = left / "faktory.db-wal"
    head = list(unpack_from(">8I", log.read_bytes()))
    order = ">" if head[0] & 1 == 0 else "<"  # the other one
    head[0] ^= 1
    one = two = 0
    words = unpack_from(f"{order}6I", pack(">6I", *head[:6]))
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) % 2**32
        two = (two + second + one) % 2**32
    overwrite(log, 0, pack(">8I", *head[:6], one, two))
    assert "damaged at byte 32" in refusal(left)  # not at 0; its frames are of this order
