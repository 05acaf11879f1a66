"""The log of a real process: for each way of starting it, one JSON object a line, or lines for people on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import MakeServer
from tests.system.fwp import Client, ServerError, job
from tests.system.server import ACCEPTING, Server, clean_environment, eventually, script

PASSWORD = "correct-horse-battery"
KEYS = {"time", "level", "message", "logger"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TWIST = [script("twist"), "faktory"]


def events(text: str) -> list[dict[str, Any]]:
    """Parse a log; every line of it has to be an object with at least KEYS."""
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        assert event.keys() >= KEYS, event
        assert TIME.fullmatch(event["time"]), event
    return found


@pytest.mark.parametrize("command", [None, TWIST], ids=["twistd", "twist"])
def test_into_a_pipe_goes_one_json_object_a_line(make_server: MakeServer, command: list[str] | None) -> None:
    server = make_server(command=command)
    with server.client() as client:
        client.push(job("greet"))
    assert server.stop() == 0, server.log()
    found = events(server.log())
    assert {event["level"] for event in found} == {"info"}
    assert {event["logger"] for event in found} == {"faktory_tw"}
    assert found[-1]["message"] == "Goodbye"


def test_jobs_and_connections_leave_no_trace_at_level_info(server: Server) -> None:
    before = len(events(server.log()))
    for number in range(20):
        with server.client(wid=f"w{number}") as client:
            jid = client.push(job("greet"))
            client.fetch("default")
            client.ack(jid)
            client.beat()
    assert server.stop() == 0
    assert [event["message"] for event in events(server.log())[before:]] == ["Goodbye"]


def test_twisteds_own_messages_are_debug(make_server: MakeServer) -> None:
    server = make_server(arguments=["-l", "debug"])
    assert server.stop() == 0
    own = [event for event in events(server.log()) if event["logger"].startswith(("twisted", "log_legacy"))]
    assert own
    assert {event["level"] for event in own} == {"debug"}


def test_on_a_terminal_the_log_is_for_people(make_server: MakeServer) -> None:
    """`script` in one process: the server's output is a pseudo-terminal of the test."""
    server = make_server(start=False)
    output, terminal = pty.openpty()
    command = [*server.command, "-b", "127.0.0.1:0", "-w", "127.0.0.1:0", "-l", "debug"]
    environment = {"TERM": "xterm", "NO_COLOR": ""}
    process = subprocess.Popen(
        [*command, "-d", server.data_option, "-c", str(server.config_directory)],
        env=clean_environment(environment),
        cwd=server.working_directory,
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    try:
        os.close(terminal)
        text = ""
        while not re.search(r"Web UI at", text):
            text += os.read(output, 4096).decode()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        os.close(output)
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} info  Accepting commands at 127", text, re.MULTILINE)
    assert "\x1b[2mdebug\x1b[0m" in text


def test_in_the_background_the_log_file_has_json(tmp_path: Path) -> None:
    log, pidfile = tmp_path / "twistd.log", tmp_path / "twistd.pid"
    subprocess.run(
        [script("twistd"), "faktory", "-b", "127.0.0.1:0", "-w", "127.0.0.1:0", "-d", "data", "-c", "config"],
        cwd=tmp_path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    try:
        eventually(lambda: ACCEPTING.search(log.read_text()), "the daemon accepts commands")
    finally:
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
    eventually(lambda: not pidfile.exists(), "the pid file is removed")
    assert any(event["message"] == "Goodbye" for event in events(log.read_text()))


def test_the_system_log_can_take_it(make_server: MakeServer) -> None:
    """Nothing comes out of the process; it serves, with or without somebody who listens to /dev/log."""
    command = [script("twistd"), "-n", "--pidfile=", "--syslog", "faktory"]
    server = make_server(start=False, command=command)
    notified = server.data_directory / "faktory.db"
    server.spawn()
    eventually(lambda: notified.exists() or not server.running(), "the server has opened its data directory")
    assert server.running(), server.log()
    server.kill()
    assert server.log() == ""


def test_no_password_gets_into_the_log(make_server: MakeServer) -> None:
    server = make_server(password=PASSWORD, arguments=["-l", "debug"])
    with pytest.raises(ServerError, match="Invalid password"):
        server.client(password="wrong-" + PASSWORD)
    with Client(server.port, greet=False) as client:
        client.receive()
        client.send('HELLO {"v":2,"password":"' + PASSWORD + '"}')
        client.receive()
    for address in (f"{server.web_url}/stats?password={PASSWORD}", f"{server.web_url}/stats"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(address, timeout=15)
        refused.value.close()
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log("thread MainThread")
    assert server.stop() == 0
    assert PASSWORD not in server.log()


def test_what_clients_send_cannot_forge_lines(server: Server) -> None:
    """A wid with line breaks, shown by TTIN."""
    with server.client(wid='w\n{"level":"critical"}\x1b[2J\u2028'):
        server.send_signal(signal.SIGTTIN)
        server.wait_for_log("thread MainThread")
    assert server.stop() == 0
    assert {event["level"] for event in events(server.log())} == {"info"}
