"""Backups of a real server under load: what was acknowledged before one is in it, and a start on it goes on from there."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from faktory_tw.storage.backup import Backup, BackupError, create, find, restore, verify
from tests.system.conftest import MakeServer
from tests.system.fwp import job
from tests.system.server import Server

PRODUCERS = 4
BACKUPS = 5


class Load:
    """Producers that number their jobs, which nobody fetches, and workers on a queue of their own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self.sent = [0] * PRODUCERS
        self.acknowledged = [0] * PRODUCERS
        self.finished: list[str] = []
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(PRODUCERS)]
        self._threads.append(threading.Thread(target=self._work))

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join(60)
        assert self.failures == []

    def _run(self, number: int) -> None:
        try:
            with self._server.client() as client:
                while not self._ended.is_set():
                    self.sent[number] += 1
                    client.push(
                        job("kept", self.sent[number], queue=f"kept-{number}", jid=f"kept-{self.sent[number]:06}")
                    )
                    self.acknowledged[number] += 1
        except Exception as failure:  # noqa: BLE001 - shown by `running`
            self.failures.append(failure)

    def _work(self) -> None:
        try:
            with self._server.client(wid="worker-1") as client:
                while not self._ended.is_set():
                    jid = client.push(job("quick", queue="quick"))
                    assert client.fetch("quick") is not None
                    client.ack(jid)
                    self.finished.append(jid)
        except Exception as failure:  # noqa: BLE001 - shown by `running`
            self.failures.append(failure)


def database_of(server: Server) -> Path:
    return server.data_directory / "faktory.db"


def backup_now(server: Server) -> Backup:
    return create(database_of(server), server.data_directory / "backups", time.time())


def check_contents(taken: Backup, least: list[int], most: list[int], finished: set[str]) -> None:
    """Every producer's jobs up to one that it pushed while the backup was taken; none that was finished before it."""
    with closing(sqlite3.connect(taken.path)) as connection:
        rows = [(queue, json.loads(body)["jid"]) for queue, body in connection.execute("SELECT queue, body FROM jobs")]
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (0,)
    for number in range(PRODUCERS):
        jids = [jid for queue, jid in rows if queue == f"kept-{number}"]
        assert jids == [f"kept-{sequence:06}" for sequence in range(1, len(jids) + 1)]
        assert least[number] <= len(jids) <= most[number]
    assert finished.isdisjoint(jid for queue, jid in rows if queue == "quick")
    assert taken.jobs == len(rows)


def test_a_backup_under_load_is_restored_after_the_database_is_gone(server: Server) -> None:
    load = Load(server)
    with load.running():
        for _ in range(BACKUPS):
            least, finished = list(load.acknowledged), set(load.finished)
            taken = backup_now(server)
            check_contents(taken, least, list(load.sent), finished)
    assert min(load.acknowledged) > 0
    assert len(load.finished) > 0
    server.kill()
    for file in server.data_directory.glob("faktory.db*"):
        file.unlink()
    latest = find(server.data_directory / "backups", "latest")
    assert verify(latest.path) == latest == taken
    restored = restore(server.data_directory, latest.path, time.time())
    assert restored.jobs == taken.jobs
    assert not restored.kept_aside.exists()
    server.start()
    with server.client(wid="worker-1") as client:
        faktory = client.info()["faktory"]
        assert sum(faktory["queues"].values()) + faktory["sets"]["working"] == taken.jobs
        count = faktory["queues"]["kept-0"]
        got = [client.fetch("kept-0") for _ in range(min(count, 100))]
        assert [one["args"] for one in got if one] == [[number + 1] for number in range(min(count, 100))]
        client.push(job("new"))
    assert server.stop() == 0


def test_nothing_is_restored_while_the_server_runs_and_what_is_replaced_is_kept(make_server: MakeServer) -> None:
    server = make_server()
    with server.client() as client:
        client.push(job("before"))
        taken = backup_now(server)
        client.push(job("after"))
    assert server.process is not None
    with pytest.raises(BackupError, match=rf"in use by another server \(process {server.process.pid}\); stop that one"):
        restore(server.data_directory, taken.path, time.time())
    server.kill()  # what it wrote last is in its log
    kept = restore(server.data_directory, taken.path, time.time()).kept_aside
    for expected, path in ((1, None), (2, kept / "faktory.db")):
        if path is not None:
            server.stop()
            assert restore(server.data_directory, path, time.time()).jobs == expected
        server.start()
        with server.client() as client:
            assert client.info()["faktory"]["queues"] == {"default": expected}


def test_a_damaged_backup_leaves_the_data_as_it_is(server: Server) -> None:
    with server.client() as client:
        client.push(job("kept"))
    taken = backup_now(server)
    server.stop()
    with open(taken.path, "r+b") as file:
        file.seek(taken.size_bytes // 2)
        file.write(bytes(range(256)) * 8)
    with pytest.raises(BackupError, match="use another backup"):
        restore(server.data_directory, taken.path, time.time())
    server.start()
    with server.client() as client:
        assert client.info()["faktory"]["queues"] == {"default": 1}
