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
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.requirements import missing, require
from tests.system.conftest import MakeServer
from tests.system.fwp import Client, ServerError, job
from tests.system.ledger import Verdict
from tests.system.server import Server, eventually
from tests.system.torture import read_rows

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

    def fill_once(self) -> None:
        """Take what is free now, and nothing that the server gives up meanwhile."""
        with self._filler.open("ab") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, max(self.free_bytes(), 1))

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


class Trade:
    """Producers that go on when they are refused, and workers, each with a queue of its own, until told to stop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ending = threading.Event()
        self.pushed: set[str] = set()
        self.settling: set[str] = set()  # ACK or FAIL was sent
        self.done: list[str] = []
        self.failed: list[str] = []
        self.refusals = 0
        self._pool = ThreadPoolExecutor(8)
        roles = (self._produce, self._produce, self._produce, self._work, self._work)
        self._runs = [self._pool.submit(role, number) for number, role in enumerate(roles)]

    def check(self) -> bool:
        """True; raises what went wrong in one that has ended."""
        for run in self._runs:
            if run.done():
                run.result()
        return True

    def stop(self) -> None:
        """Raise what went wrong in any of them."""
        self._ending.set()
        for run in self._runs:
            run.result(60)
        self._pool.shutdown()

    def _produce(self, number: int) -> None:
        with self._server.client(timeout=60.0) as client:
            while not self._ending.is_set():
                pushed = job("trade", "x" * 4000, queue=f"trade{number % 2}")
                try:
                    self.pushed.add(client.push(pushed))
                except ServerError as error:
                    assert re.search(ABOUT_SPACE, str(error))  # noqa: PT017 - any number of times
                    self.refusals += 1
                    time.sleep(0.05)

    def _work(self, number: int) -> None:
        with self._server.client(wid=f"worker-{number}", timeout=60.0) as client:
            while not self._ending.is_set():
                fetched = client.fetch(f"trade{number % 2}")
                if fetched is None:
                    continue
                jid = fetched["jid"]
                self.settling.add(jid)
                if len(self.settling) % 5:
                    client.ack(jid)
                    self.done.append(jid)
                else:
                    client.fail(jid)
                    self.failed.append(jid)


def test_under_load_a_disk_that_fills_up_and_is_freed_again_costs_no_job_and_no_answer(
    disk: SmallDisk, make_server: MakeServer
) -> None:
    """Without a free byte producers are refused and workers go on; with room the producers are served, unasked."""
    server = start(disk, make_server)
    trade = Trade(server)
    eventually(lambda: len(trade.done) > 50, "work is done")
    disk.fill(MIN_FREE_BYTES // 2)
    eventually(lambda: trade.check() and trade.refusals, "producers are refused")
    disk.fill_once()
    before = len(trade.done), len(trade.failed)
    eventually(
        lambda: trade.check() and len(trade.done) > before[0] + 50 and len(trade.failed) > before[1] + 10,
        "workers go on, ACK and FAIL",
    )
    disk.free()
    accepted = len(trade.pushed)
    eventually(lambda: trade.check() and len(trade.pushed) > accepted + 20, "producers are served again")
    trade.stop()
    server.close()  # with SIGKILL
    server.start()
    assert server.stop() == 0, server.log()
    verdict = Verdict()
    rows = {row.jid: row for row in read_rows(server.data_directory / "faktory.db", verdict)}
    assert verdict.wrong == {}
    assert trade.pushed - trade.settling - set(rows) == set()
    assert set(trade.done) & set(rows) == set()
    assert [jid for jid in trade.failed if jid not in rows or rows[jid].failures != 1] == []


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
