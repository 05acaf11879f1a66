"""Clients that mean harm, see tests/system/hostile.py: others are served, what was acknowledged is there, nothing stays behind.

Run as a program it takes thousands of connections and prints how long others had to wait; here are few, and no times.
"""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.request
from pathlib import Path

import pytest

from faktory_tw.attempts import FREE, MOST_WAITING
from tests.system.conftest import MakeServer
from tests.system.fwp import Client, ServerError
from tests.system.hostile import KINDS, PASSWORD, notice
from tests.system.server import ACCEPTING, Server, eventually

CONNECTIONS = 60
SECONDS = 4.0  # twice the time that a handshake may take


@pytest.fixture
def locked(make_server: MakeServer) -> Server:
    return make_server(password=PASSWORD)


def sockets(server: Server) -> int:
    """Return how many sockets the process has open."""
    assert server.process is not None
    found = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            found += os.readlink(link).startswith("socket:")
        except FileNotFoundError:
            pass
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_others_are_served_and_nothing_stays_behind(locked: Server, kind: str) -> None:
    before = sockets(locked)
    noticed = notice(locked, kind, CONNECTIONS, SECONDS)
    assert noticed.opened >= CONNECTIONS
    if kind in ("silent", "halting"):
        assert noticed.ended, "a handshake has its time"
    with locked.client() as client:
        queued = client.info()["faktory"]["queues"]["default"]
    assert queued == len(noticed.milliseconds) + len(noticed.quiet)
    assert noticed.grown_mib <= noticed.most_mib
    eventually(lambda: sockets(locked) == before, "all connections are closed")
    assert locked.stop() == 0
    events = [json.loads(line) for line in locked.log().splitlines()]
    assert [event for event in events if event["level"] in ("error", "critical")] == []


def test_who_guesses_from_one_address_locks_nobody_out_at_another(locked: Server) -> None:
    """All from one address are slowed down and turned away; the next address is not, whatever it asks first."""
    assert notice(locked, "guessing", CONNECTIONS, SECONDS).ended > 0
    locked.wait_for_log("Wrong password at the command port from 127.0.0.2")
    with locked.client() as client:
        client.info()


def test_a_password_is_tried_a_few_times_a_second_and_no_more(locked: Server) -> None:
    """What is looked at, told by the server; the rest was turned away, or left before it had said anything."""
    notice(locked, "guessing", CONNECTIONS, SECONDS)
    asked = urllib.request.Request(f"{locked.web_url}/metrics")
    asked.add_header("Authorization", "Basic " + base64.b64encode(f":{PASSWORD}".encode()).decode())
    with urllib.request.urlopen(asked, timeout=15) as answer:
        told = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")
    looked_at = float(told['faktory_connections_refused_total{reason="password"}'])
    assert FREE < looked_at <= FREE + 3 * MOST_WAITING
    assert float(told['faktory_connections_refused_total{reason="throttled"}']) > looked_at


def test_after_some_wrong_passwords_the_right_one_is_still_right(locked: Server) -> None:
    for _ in range(5):
        with pytest.raises(ServerError, match="Invalid password"):
            Client(locked.port, password="wrong")
    with locked.client() as client:
        client.info()


def test_behind_a_proxy_that_tells_who_comes_each_address_counts_for_itself(make_server: MakeServer) -> None:
    server = make_server(password=PASSWORD, arguments=["-b", "haproxy:tcp:0:interface=127.0.0.1"])
    ports = eventually(
        lambda: set(map(int, re.findall(ACCEPTING, server.log()))) - {server.port}, "it has another port"
    )
    replies = {}
    for host, password in [("192.0.2.1", "wrong")] * (FREE + 1) + [("192.0.2.2", PASSWORD)]:
        with Client(min(ports), password=password, greet=False) as client:
            client.send(f"PROXY TCP4 {host} 127.0.0.1 50000 7419")
            try:
                client.hello()
                replies[host] = "OK"
            except ServerError as refused:
                replies[host] = str(refused)
    assert replies == {"192.0.2.1": "ERR Invalid password", "192.0.2.2": "OK"}
    server.wait_for_log("Wrong password at the command port from 192.0.2.1")
