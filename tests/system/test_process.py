"""The server as a process: what it tells systemd, what it does at each signal, and how it says that it cannot start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.system.conftest import MakeServer
from tests.system.faults import Faults
from tests.system.fwp import Client, job
from tests.system.server import ACCEPTING, Server, clean_environment, eventually, script

START = [script("twistd"), "-n", "--pidfile=", "faktory"]
NOWHERE = "/proc/nowhere"  # a directory that nobody can make, not even root


class Systemd:
    """The other end of NOTIFY_SOCKET. `environment` is for the server, `heard` has every message so far."""

    def __init__(self) -> None:
        name = f"faktory-tw-test-{os.getpid()}-{time.monotonic_ns()}"
        self.environment = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "400000"}
        self.heard: list[str] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{name}")
        self.socket.setblocking(False)

    def has_heard(self, start: str, times: int = 1) -> bool:
        """Whether so many messages that begin so have come."""
        try:
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return sum(message.startswith(start) for message in self.heard) >= times

    def wait_for(self, start: str, times: int = 1) -> None:
        """Wait for the message."""
        eventually(lambda: self.has_heard(start, times), f"systemd is told {start}, {times} times: {self.heard}")


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    listener = Systemd()
    yield listener
    listener.socket.close()


# -- systemd -----------------------------------------------------------------------------------------------------------


def test_systemd_is_told_of_every_turn_of_the_servers_life(make_server: MakeServer, systemd: Systemd) -> None:
    server = make_server(environment=systemd.environment)
    systemd.wait_for("READY=1\nSTATUS=0 jobs queued")
    systemd.wait_for("WATCHDOG=1", 3)
    server.send_signal(signal.SIGHUP)
    systemd.wait_for("READY=1", 2)
    server.send_signal(signal.SIGTERM)
    systemd.wait_for("STOPPING=1")
    assert server.wait() == 0, server.log()
    turns = [message for message in systemd.heard if not message.startswith(("WATCHDOG", "STATUS"))]
    assert [turn.partition("=")[0] for turn in turns] == ["READY", "RELOADING", "READY", "STOPPING"]
    assert re.match(r"RELOADING=1\nMONOTONIC_USEC=\d+\n", turns[1])


def test_a_server_that_cannot_start_is_not_ready(make_server: MakeServer, systemd: Systemd) -> None:
    server = make_server(start=False, environment=systemd.environment, data_option=NOWHERE)
    server.spawn()
    assert server.wait() == 1
    assert not systemd.has_heard("READY")


def test_a_service_manager_that_is_gone_does_no_harm(make_server: MakeServer, systemd: Systemd) -> None:
    server = make_server(environment=systemd.environment)
    systemd.wait_for("READY=1")
    systemd.socket.close()
    with server.client() as client:
        client.push(job("greet"))
    assert server.stop() == 0, server.log()


@pytest.mark.parametrize("which", ["index=0", "name=jobs"])
def test_an_address_that_systemd_has_opened_is_served(make_server: MakeServer, which: str) -> None:
    """Connections of clients that came before the server wait for it. LISTEN_PID is the server's: nothing forks."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        early = socket.create_connection(("127.0.0.1", port))
        inherit = f'exec 3<&{number}; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=jobs; exec "$@"'
        server = make_server(
            start=False,
            command=["bash", "-c", inherit, "bash", *START],
            arguments=["-b", f"systemd:domain=INET:{which}"],
        )
        server.inherited = (number,)
        server.start()
    with early:
        early.settimeout(15)
        assert early.recv(100).startswith(b"+HI ")
    assert f"Accepting commands at 127.0.0.1:{port}" in server.log()
    with Client(port, wid="w1") as client, server.client() as other:
        jid = client.push(job("greet"))
        fetched = client.fetch("default")
        assert fetched is not None
        assert fetched["jid"] == jid
        other.ack(jid)
    assert server.stop() == 0, server.log()


# -- signals -----------------------------------------------------------------------------------------------------------


def test_at_ttin_the_log_tells_what_everybody_waits_for(server: Server) -> None:
    with server.client(wid="worker-1") as worker, server.client() as other:
        jid = other.push(job("greet"))
        assert (worker.fetch("default") or {})["jid"] == jid
        worker.send("FETCH critical default")
        for _ in range(2):
            other.info()  # by then the FETCH has been read
        server.send_signal(signal.SIGTTIN)
        server.wait_for_log(r"thread MainThread \(\d+\):")
        server.wait_for_log(r"thread committer \(\d+\):")
        assert worker.receive().type == "null"
    server.wait_for_log(r"connection 127\.0\.0\.1:\d+ wid worker-1: waits in FETCH critical default for \d\.\d+ s")
    server.wait_for_log(r"worker worker-1: running, 1 connections, 1 jobs reserved")
    server.wait_for_log(r"connections: 2, 1 .*, 1 ")
    server.wait_for_log(r"timer \S*FaktoryService\._tick: in ")
    assert server.stop() == 0, server.log()


def test_ttin_is_answered_at_every_log_level(make_server: MakeServer) -> None:
    server = make_server(start=False, arguments=["-l", "error"])
    port = start_silently(server)
    assert server.log() == ""
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log(r"thread MainThread")
    with Client(port) as client:
        client.info()


def start_silently(server: Server) -> int:
    """Start a server that does not log where it listens, and wait until it does; return the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.port = taken.getsockname()[1]
    server.spawn(keep_ports=True)
    eventually(lambda: connects(server.port) or not server.running(), "the server accepts connections")
    assert server.running(), server.log()
    return server.port


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def test_a_second_sigterm_ends_a_stop_that_takes_long(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(start=False)
    faults = Faults.build(tmp_path, server.data_directory)
    server.environment.update(faults.environment, FAULT_SYNC_DELAY_MS="1500")
    server.start()
    with server.client() as client:
        client.send("PUSH " + '{"jid":"a-slow-disk","jobtype":"greet","args":[]}')
        for _ in range(2):
            with server.client() as other:
                other.info()
        server.send_signal(signal.SIGTERM)
        eventually(lambda: not connects(server.port), "the server has begun to stop")
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 128 + signal.SIGTERM, server.log()
    server.environment.pop("FAULT_SYNC_DELAY_MS")
    assert server.start().stop() == 0


# -- in the background -------------------------------------------------------------------------------------------------


class Daemon:
    """A server started without `-n`. Its data directory is given relative to the directory it is started in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pidfile = directory / "twistd.pid"
        self.logfile = directory / "twistd.log"

    def start(self, *options: str) -> subprocess.CompletedProcess[str]:
        addresses = ["-b", "127.0.0.1:0", "-w", "127.0.0.1:0"]
        return subprocess.run(
            [script("twistd"), "faktory", *addresses, "-d", "data", "-c", "config", *options],
            cwd=self.directory,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def signal(self, number: int) -> None:
        """Send a signal to the process of the pid file."""
        os.kill(int(self.pidfile.read_text()), number)

    def log(self) -> str:
        return self.logfile.read_text() if self.logfile.exists() else ""

    def close(self) -> None:
        """End what may still run."""
        if self.pidfile.exists():
            try:
                self.signal(signal.SIGKILL)
            except ProcessLookupError:
                pass


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    found = Daemon(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_daemon_goes_on_at_sighup_with_a_new_log_file_and_ends_when_told_to(
    daemon: Daemon, number: signal.Signals
) -> None:
    started = daemon.start()
    assert started.returncode == 0, started.stderr
    eventually(lambda: ACCEPTING.search(daemon.log()), "the daemon accepts commands")
    assert (daemon.directory / "data" / "faktory.db").exists()
    daemon.logfile.rename(daemon.directory / "yesterday.log")
    daemon.signal(signal.SIGHUP)
    eventually(daemon.logfile.exists, "the log file is begun anew")
    daemon.signal(number)
    eventually(lambda: "Goodbye" in daemon.log(), "the daemon says goodbye in the new file")
    eventually(lambda: not daemon.pidfile.exists(), "the pid file is removed")


def test_a_daemon_that_cannot_start_says_so_where_it_was_started_and_in_its_log(daemon: Daemon) -> None:
    (daemon.directory / "data").write_text("a file, not a directory")
    refused = daemon.start()
    assert refused.returncode == 1
    assert "faktory: cannot use the data directory" in refused.stderr
    assert f"cannot use the data directory {daemon.directory / 'data'}" in daemon.log()
    assert "Traceback" not in refused.stderr + daemon.log()


# -- refusals ----------------------------------------------------------------------------------------------------------


def refused(command: Sequence[str], directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to refuse, in `directory`; its status must be 1 and standard error one sentence."""
    process = subprocess.run(
        command,
        cwd=directory,
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 1, process.stdout + process.stderr
    assert re.fullmatch(r"faktory: [^\n]+\n", process.stderr), process.stderr
    assert "Traceback" not in process.stdout
    return process


@pytest.mark.parametrize("program", [START, [script("twist"), "faktory"]], ids=["twistd", "twist"])
def test_a_data_directory_that_cannot_be_made_is_one_sentence_on_standard_error(
    tmp_path: Path, program: list[str]
) -> None:
    command = [*program, "-b", "127.0.0.1:0", "-w", "127.0.0.1:0", "-c", "config", "-d", NOWHERE]
    assert f"cannot use the data directory {NOWHERE}" in refused(command, tmp_path).stderr


@pytest.mark.parametrize("program", [START, [script("twist"), "faktory"]], ids=["twistd", "twist"])
def test_a_port_that_is_taken_is_one_sentence_on_standard_error(tmp_path: Path, program: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [*program, "-b", address, "-w", "127.0.0.1:0", "-c", "config", "-d", "data"]
        assert address in refused(command, tmp_path).stderr


def test_a_log_file_that_cannot_be_written_is_one_sentence_on_standard_error(tmp_path: Path) -> None:
    command = [*START[:-1], f"--logfile={NOWHERE}/f.log", "faktory", "-b", "127.0.0.1:0", "-d", "data", "-c", "config"]
    assert f"{NOWHERE}/f.log" in refused(command, tmp_path).stderr


def test_a_pid_file_that_cannot_be_written_is_one_sentence_on_standard_error(tmp_path: Path) -> None:
    """It is written into the directory that twistd is started in, unless it is told otherwise."""
    command = [script("twistd"), "-n", "faktory", "-b", "127.0.0.1:0", "-w", "127.0.0.1:0"]
    directories = ["-d", str(tmp_path / "data"), "-c", str(tmp_path / "config")]
    assert "/proc/sys/twistd.pid" in refused([*command, *directories], Path("/proc/sys")).stderr
