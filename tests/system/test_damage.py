"""A damaged database and a disk that cannot be written: the server does not start, and says what helps. That helps."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.requirements import missing, require
from tests.system.conftest import MakeServer
from tests.system.damages import damages
from tests.system.fwp import job
from tests.system.server import Server, clean_environment
from tests.system.small_log import make_small
from tests.system.torture import table

JOBS = 100  # few enough for them all to be in the log when the server is killed
FRAME = 24 + 4096
TIMES, SEED = 120, 1


class Damage(NamedTuple):
    """What is done to a data directory: `stopped` or killed, and how it is told."""

    stopped: bool
    make: Callable[[Path], object]
    told: str


def overwrite(name: str, at: int, data: bytes) -> Callable[[Path], object]:
    def make(directory: Path) -> None:
        with (directory / name).open("r+b") as file:
            file.seek(at)
            file.write(data)

    return make


DAMAGES = {
    "header": Damage(True, overwrite("faktory.db", 0, bytes(100)), "file is not a database"),
    "middle": Damage(True, overwrite("faktory.db", 4096, b"\xff" * 4096 * 20), "malformed"),
    "empty": Damage(True, lambda directory: os.truncate(directory / "faktory.db", 0), "is empty"),
    "log, middle": Damage(False, overwrite("faktory.db-wal", 32 + 12 * FRAME + 500, b"\xff"), "is damaged at byte"),
    "log, gone": Damage(False, lambda directory: (directory / "faktory.db-wal").unlink(), "is missing"),
}


def critical(server: Server) -> str:
    """Return the one line in which a server that does not start says why; there is nothing else to read."""
    assert server.wait() == 1, server.log()
    assert "Traceback" not in server.log()
    found = [json.loads(line) for line in server.log().splitlines() if '"critical"' in line]
    assert len(found) == 1, server.log()
    return str(found[0]["message"])


def stock(server: Server) -> None:
    """JOBS jobs, each in a commit of its own, and then a backup of them."""
    with server.client() as client:
        for number in range(JOBS):
            client.push(job("kept", "x" * 300, number))
        client.do("ADMIN BACKUP", {})


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_database_is_never_an_empty_one_and_the_command_that_is_named_brings_the_backup_back(
    name: str, server: Server
) -> None:
    damage = DAMAGES[name]
    stock(server)
    if damage.stopped:
        assert server.stop() == 0
    else:
        server.kill()
    damage.make(server.data_directory)
    server.spawn()
    why = critical(server)
    assert damage.told in why
    command = re.search(r"faktory-tw (restore latest -d \S+)", why)
    assert command is not None, why
    restore = [sys.executable, "-m", "faktory_tw.cli", *shlex.split(command.group(1)), "--yes"]
    subprocess.run(restore, check=True, env=clean_environment(), capture_output=True, timeout=60)
    server.start()
    with server.client() as client:
        assert client.info()["faktory"]["queues"] == {"default": JOBS}
    assert server.stop() == 0


def test_random_damage_is_refused_with_a_remedy_or_leaves_the_log_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite cannot see, in the text of a job for example, is counted by damages.py and not promised."""
    make_small(monkeypatch.setattr)
    verdict = damages(TIMES, SEED)
    print(table(verdict, 0))  # noqa: T201 - shown by pytest when the test fails, and with -s
    assert not verdict.wrong, verdict.text()
    refused = sum(count for name, count in verdict.figures.items() if name.endswith(": refused"))
    assert refused > TIMES // 4


@pytest.fixture
def file_system(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which can be mounted anew."""
    mount, umount = require("mount"), require("umount")
    path = tmp_path / "disk"
    path.mkdir()
    command = [mount, "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        missing(f"a file system cannot be mounted here: {result.stderr.strip()}")
    yield path
    subprocess.run([umount, "-l", str(path)], check=True)


def test_on_a_read_only_disk_the_server_does_not_start_and_says_why(
    file_system: Path, tmp_path: Path, make_server: MakeServer
) -> None:
    """With a database and without one; and nothing is lost when it can be written again."""
    server = make_server(file_system / "used", start=False)
    empty = make_server(file_system / "empty", start=False)
    for one in (server, empty):
        one.working_directory = tmp_path
    server.start()
    with server.client() as client:
        client.push(job("kept"))
    server.kill()
    subprocess.run([require("mount"), "-o", "remount,ro", str(file_system)], check=True)
    for one in (server, empty):
        one.spawn()
        why = critical(one)
        assert "Read-only file system" in why
        assert "make it writable for this user, or name another one with -d" in why
    subprocess.run([require("mount"), "-o", "remount,rw", str(file_system)], check=True)
    server.start()
    with server.client() as client:
        assert client.info()["faktory"]["queues"] == {"default": 1}
    assert server.stop() == 0
