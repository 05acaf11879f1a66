"""Cron in a real process: ticks that were missed, kills, SIGHUP, and the commands of an operator.

A minute is long, so these tests do not wait for a tick: they turn back, in the database of a stopped server, what is known
of the last one.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.system.conftest import MakeServer
from tests.system.fwp import Client
from tests.system.server import Server, clean_environment, eventually

HOUR = 3600.0
ENTRY = """
[[cron]]
name = "{name}"
schedule = "{schedule}"
catch_up = "{catch_up}"
catch_up_limit = 3
[cron.job]
type = "Report"
queue = "{name}"
args = ["{name}"]
"""


def write(server: Server, *entries: str) -> Path:
    """Write the file with the entries."""
    path = server.config_directory / "conf.d" / "cron.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(entries), encoding="utf-8")
    return path


def entry(name: str, schedule: str = "*/10 * * * *", catch_up: str = "skip") -> str:
    return ENTRY.format(name=name, schedule=schedule, catch_up=catch_up)


def turn_back(server: Server, seconds: float) -> None:
    """Let the entries of a stopped server be settled for so much less."""
    connection = sqlite3.connect(server.data_directory / "faktory.db")
    with connection:
        rows = connection.execute("SELECT key, value FROM entries WHERE kind = 'cron' AND instr(key, x'00') = 0")
        for key, value in rows.fetchall():
            settled, *others = json.loads(value)
            told = json.dumps([settled - seconds, *others]).encode()
            connection.execute("UPDATE entries SET value = ? WHERE kind = 'cron' AND key = ?", (told, key))
    connection.close()


def entries(server: Server) -> dict[str, Any]:
    """All of them, by name."""
    return {each["name"]: each for each in json.loads(faktory_tw(server, "list", "--json"))["entries"]}


def faktory_tw(server: Server, *arguments: str) -> str:
    """What the command ``faktory-tw cron`` prints."""
    environment = {**clean_environment(), "FAKTORY_URL": server.url}
    command = [sys.executable, "-m", "faktory_tw.cli", "cron", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def queues(server: Server) -> dict[str, int]:
    with server.client() as client:
        sizes: dict[str, int] = client.info()["faktory"]["queues"]
        return sizes


def fetched(client: Client, queue: str) -> str:
    """The jid of the next job of a queue."""
    job = client.fetch(queue)
    assert job is not None
    return str(job["jid"])


def test_ticks_that_were_missed_are_made_up_for_once_through_kills(make_server: MakeServer) -> None:
    server = make_server(start=False)
    write(server, entry("last", catch_up="last"), entry("all", catch_up="all"), entry("skip", "0 0 1 1 *"))
    server.start()
    eventually(lambda: set(entries(server)) == {"last", "all", "skip"}, "entries")
    server.stop()
    turn_back(server, 5 * HOUR)
    server.start()
    eventually(lambda: queues(server) == {"last": 1, "all": 3}, "the jobs that were missed")
    jids = {name: {run["jid"] for run in each["runs"]} for name, each in entries(server).items()}
    assert {name: len(found) for name, found in jids.items()} == {"last": 1, "all": 3, "skip": 0}
    with server.client(wid="worker-1") as client:
        assert {fetched(client, "all") for _ in range(3)} == jids["all"]
    for _ in range(2):
        server.kill()
        server.start()
        assert {name: {run["jid"] for run in each["runs"]} for name, each in entries(server).items()} == jids
        assert queues(server)["last"] == 1


def test_an_operator_pauses_runs_and_changes_entries(make_server: MakeServer) -> None:
    server = make_server(start=False)
    write(server, entry("a"), entry("b"))
    server.start()
    assert faktory_tw(server, "pause", "a") == "a paused\n"
    jid = json.loads(faktory_tw(server, "run", "a", "--json"))["entries"][0]["jid"]
    server.kill()
    path = write(server, entry("a"), entry("c"), '[[cron]]\nschedule = "* * * *"\n')
    server.start()
    server.wait_for_log(rf"{path}:22: schedule '\* \* \* \*': must have five fields.*this \[\[cron\]\] is left out")
    found = entries(server)
    assert set(found) == {"a", "c"}
    assert (found["a"]["paused"], found["a"]["next_at"], found["a"]["runs"][0]["jid"]) == (True, None, jid)
    with server.client(wid="worker-1") as client:
        assert fetched(client, "a") == jid
    write(server, entry("d"), entry("a"))
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("SIGHUP: Changed: cron")
    assert list(entries(server)) == ["d", "a"]
    assert faktory_tw(server, "resume", "a", "d") == "a resumed\nd resumed\n"
    assert "a" in faktory_tw(server, "list")
    assert jid in faktory_tw(server, "history", "a")
