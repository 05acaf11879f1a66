"""A disk that fills up: producers are refused first, workers can finish what they hold, and all is well with space again.

On a small file system of its own, made in memory and mounted for the test; where that is not allowed, the tests are
skipped.
"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.requirements import missing, require
from tests.system.conftest import MakeServer
from tests.system.fwp import Client, ServerError, job
from tests.system.server import Server, eventually

MIB = 1 << 20
DISK_BYTES = 96 * MIB
MIN_FREE_BYTES = 32 * MIB

ABOUT_SPACE = r"(?i)disk|space"


class SmallDisk:
    """A mounted file system of DISK_BYTES."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def free_bytes(self) -> int:
        """Return how much is free."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self, leave_bytes: int) -> None:
        """Fill it up but for `leave_bytes`; the server may be writing meanwhile."""
        with self._filler.open("ab") as file:
            while (size := self.free_bytes() - leave_bytes) > 0:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small file system, unmounted at the end."""
    mount, umount = require("mount"), require("umount")
    path = tmp_path / "disk"
    path.mkdir()
    command = [mount, "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        missing(f"a file system cannot be mounted here: {result.stderr.strip()}")
    yield SmallDisk(path)
    # Lazily: a server that a failed test left behind may still hold files in it for a moment.
    subprocess.run([umount, "-l", str(path)], check=True)


def start(disk: SmallDisk, make_server: MakeServer) -> Server:
    """Start a server on the small disk."""
    return make_server(disk.path, arguments=["--min-free-disk", str(MIN_FREE_BYTES)])


def hold(client: Client, count: int) -> list[str]:
    """Push and fetch `count` jobs; return the jids of the reservations."""
    client.pushb(job("held", number, queue="held") for number in range(count))
    fetched = [client.fetch("held") for _ in range(count)]
    return [held["jid"] for held in fetched if held is not None]


def refusal(client: Client) -> str:
    """Return why PUSH is refused, or an empty string if it is not."""
    try:
        client.push(job("refused", queue="producers"))
    except ServerError as error:
        return str(error)
    return ""


def test_below_the_low_water_mark_push_is_refused_while_ack_and_fail_go_on(
    disk: SmallDisk, make_server: MakeServer
) -> None:
    """Then, with space again, PUSH is taken again, without a restart."""
    server = start(disk, make_server)
    with server.client(wid="worker-1") as client:
        held = hold(client, 20)
        client.push(job("waiting", queue="waiting"))
        disk.fill(MIN_FREE_BYTES // 2)
        why = eventually(lambda: refusal(client), "PUSH is refused")
        assert why.startswith("ERR ")
        with pytest.raises(ServerError, match=ABOUT_SPACE):
            client.push(job("refused"))
        with pytest.raises(ServerError, match=ABOUT_SPACE):
            client.push(job("refused", at=(datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()))
        assert client.fetch("waiting") is not None
        for jid in held[:10]:
            client.ack(jid)
        for jid in held[10:]:
            client.fail(jid)
        sets = client.info()["faktory"]["sets"]
        assert (sets["working"], sets["retries"]) == (1, 10)
        disk.free()
        eventually(lambda: not refusal(client), "PUSH is taken again")
    assert server.stop() == 0


def test_pushb_below_the_low_water_mark_says_why_nothing_was_taken(disk: SmallDisk, make_server: MakeServer) -> None:
    """Either as an error, or for every job; never an empty object, which would mean success."""
    server = start(disk, make_server)
    with server.client() as client:
        disk.fill(MIN_FREE_BYTES // 2)
        eventually(lambda: refusal(client), "PUSH is refused")
        before = client.info()["faktory"]["queues"].get("bulk", 0)
        jobs = [job("bulk", number, queue="bulk") for number in range(3)]
        reply = client.command(f"PUSHB {json.dumps(jobs)}")
        assert re.search(ABOUT_SPACE, str(reply.value))
        if reply.type == "bulk":
            assert set(json.loads(reply.value)) == {pushed["jid"] for pushed in jobs}
        else:
            assert reply.type == "error"
        assert client.info()["faktory"]["queues"].get("bulk", 0) == before


def test_a_job_that_comes_due_on_a_nearly_full_disk_waits_in_its_set(disk: SmallDisk, make_server: MakeServer) -> None:
    """It is enqueued when there is space again, and not lost."""
    server = start(disk, make_server)
    with server.client(wid="worker-1") as client:
        at = (datetime.now(timezone.utc) + timedelta(seconds=3)).isoformat()
        jid = client.push(job("due", at=at, queue="due"))
        disk.fill(MIN_FREE_BYTES // 2)
        eventually(lambda: refusal(client), "PUSH is refused")
        for _ in range(2):
            assert client.fetch("due") is None
        assert client.info()["faktory"]["sets"]["scheduled"] == 1
        disk.free()
        eventually(lambda: not refusal(client), "PUSH is taken again")
        fetched = eventually(lambda: client.fetch("due"), "the due job") or {}
        assert fetched["jid"] == jid


def test_on_a_disk_without_a_free_byte_workers_still_finish_and_it_is_on_disk(
    disk: SmallDisk, make_server: MakeServer
) -> None:
    """A reserve is given up for them. What they were told survives a kill."""
    server = start(disk, make_server)
    with server.client(wid="worker-1") as client:
        held = hold(client, 60)
        disk.fill(0)
        eventually(lambda: refusal(client), "PUSH is refused")
        for jid in held[:30]:
            client.ack(jid)
        for jid in held[30:]:
            client.fail(jid)
        server.close()  # with SIGKILL
    disk.free()
    server.start()
    with server.client() as client:
        sets = client.info()["faktory"]["sets"]
        assert (sets["working"], sets["retries"]) == (0, 30)
        eventually(lambda: not refusal(client), "PUSH is taken again")
    assert server.stop() == 0
