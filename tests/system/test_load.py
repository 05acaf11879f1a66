"""``faktory-tw load`` as a user runs it: a process against the real server, which ends it and then looks what is left.

How fast anything was is of no interest here; that the numbers are there is.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.system.conftest import MakeServer
from tests.system.fwp import job
from tests.system.server import Server, clean_environment, eventually

PASSWORD = "correct-horse"
COMMAND = [sys.executable, "-m", "faktory_tw.cli"]
ENDLESS = ["--jobs", "10000000", "--connections", "8", "--processes", "2"]
LONGEST_SECONDS = 60


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LONGEST_SECONDS,
        check=False,
    )


def load(server: Server, *arguments: str) -> str:
    """Measure a server; return what is printed. Nothing may go wrong and nothing may be left behind."""
    process = run("load", "--url", server.url, *arguments)
    assert (process.returncode, process.stderr) == (0, ""), process.stderr
    assert left_behind(server) == {}
    return process.stdout


def refusal(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """What is said when a run fails, in one line; the status is 1."""
    process = run("load", *arguments, environment=environment)
    assert (process.returncode, process.stdout) == (1, ""), process.stderr
    (line,) = process.stderr.splitlines()
    assert line.startswith("faktory-tw: ")
    return line.removeprefix("faktory-tw: ")


def state(server: Server) -> dict[str, Any]:
    """INFO of the server."""
    with server.client() as client:
        return client.info()


def left_behind(server: Server) -> dict[str, int]:
    """Queues of the load generator, and jobs that are neither waiting nor done."""
    faktory = state(server)["faktory"]
    queues = {name: size for name, size in faktory["queues"].items() if name.startswith("load-")}
    return queues | {name: size for name, size in faktory["sets"].items() if size}


@contextmanager
def loading(server: Server, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs, in a process group of its own; nothing of the group outlives the block."""
    process = subprocess.Popen(
        [*COMMAND, "load", "--url", server.url, *arguments],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if group_exists(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def group_exists(group: int) -> bool:
    """Whether any process of a group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# -- what is measured --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "phases", "commands"),
    [
        ("cycle", ["cycle"], {"push", "fetch", "ack"}),
        ("push", ["push"], {"push"}),
        ("drain", ["push", "drain"], {"push", "fetch", "ack"}),
        ("mixed", ["mixed"], {"push", "fetch", "ack"}),
    ],
)
@pytest.mark.parametrize(
    "options", [[], ["--pipeline", "5", "--bulk", "4", "--size", "50"]], ids=["one by one", "many at a time"]
)
def test_every_job_is_pushed_and_done(
    server: Server, mode: str, phases: list[str], commands: set[str], options: list[str]
) -> None:
    before = state(server)["server"]["command_count"]
    measured = json.loads(
        load(server, "--mode", mode, "--jobs", "61", "--connections", "5", "--processes", "2", "--json", *options)
    )
    assert list(measured["jobs_per_second"]) == phases
    assert all(rate > 0 for rate in measured["jobs_per_second"].values())
    assert set(measured["milliseconds"]) == commands
    for marks in measured["milliseconds"].values():
        assert 0 < marks["p50"] <= marks["p95"] <= marks["p99"] <= marks["p999"] <= marks["max"]
    after = state(server)
    assert after["faktory"]["total_processed"] == (0 if mode == "push" else 61)
    assert after["faktory"]["total_failures"] == 0
    assert after["server"]["command_count"] - before >= (13 if options else 61)


def test_people_read_a_table_and_a_histogram(server: Server) -> None:
    lines = load(server, "--jobs", "40", "--connections", "2", "--processes", "1").splitlines()
    assert lines[0] == "cycle: 40 jobs over 2 connections, pipeline 1"
    assert lines[2].split()[::2] == ["cycle", "jobs/s"]
    starts = [index for index, line in enumerate(lines) if line.endswith("how many round trips took how long")]
    assert [lines[start].partition(":")[0] for start in starts] == ["push", "fetch", "ack"]
    for start, end in zip(starts, [*starts[1:], len(lines) + 1], strict=True):
        buckets = [line.split() for line in lines[start + 1 : end - 1]]
        assert sum(int(bucket[4]) for bucket in buckets) == 40


def test_one_job_is_enough_for_many_connections(server: Server) -> None:
    for mode in ("cycle", "drain", "mixed"):
        load(server, "--mode", mode, "--jobs", "1", "--connections", "6", "--processes", "3", "--json")
    assert state(server)["faktory"]["total_processed"] == 3


def test_other_queues_are_not_touched_and_old_jobs_are_not_counted(server: Server) -> None:
    with server.client() as client:
        mine = client.push(job("greet", "you"))
        client.push(job("Load", queue="load-3"))
        load(server, "--jobs", "10", "--json")
        assert client.info()["faktory"]["queues"] == {"default": 1}
        assert client.info()["faktory"]["total_processed"] == 10
        fetched = client.fetch("default")
        assert fetched is not None
        assert fetched["jid"] == mine


# -- passwords and addresses -------------------------------------------------------------------------------------------


def test_the_password_is_in_the_url_or_in_the_environment(make_server: MakeServer) -> None:
    server = make_server(password=PASSWORD)
    assert json.loads(load(server, "--jobs", "10", "--json"))["jobs_per_second"]
    assert run("load", "--jobs", "10", environment={"FAKTORY_URL": server.url}).returncode == 0
    assert state(server)["faktory"]["total_processed"] == 20


@pytest.mark.parametrize("password", ["", ":battery-staple@"])
def test_a_wrong_password_is_refused(make_server: MakeServer, password: str) -> None:
    server = make_server(password=PASSWORD)
    said = refusal("--url", f"tcp://{password}127.0.0.1:{server.port}")
    assert said == f"the server at 127.0.0.1:{server.port} answers '-ERR Invalid password'"


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert refusal("--url", f"tcp://127.0.0.1:{port}").startswith(f"cannot connect to 127.0.0.1:{port}: ")


def test_wrong_usage_has_status_2() -> None:
    for arguments in (
        [],
        ["load", "--url", "tcp://[", "--jobs", "1"],
        ["load", "--mode", "mixed", "--connections", "1"],
    ):
        process = run(*arguments)
        assert (process.returncode, process.stdout) == (2, "")
        assert process.stderr.startswith("usage: faktory-tw")


@contextmanager
def answering(*conversations: Sequence[bytes]) -> Iterator[str]:
    """A server with one conversation a connection: a greeting, an answer for each line, the end. Yields its URL."""

    def serve() -> None:
        for greeting, *answers in conversations:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                connection.sendall(greeting)
                for answer in answers:
                    lines.readline()
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LONGEST_SECONDS)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(LONGEST_SECONDS)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([b"-ERR too many connections: 5\r\n"], "answers '-ERR too many connections: 5'"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "answers 'SSH-2.0-OpenSSH_9.2'"),
        ([b"+HI {\r\n"], "cannot connect"),
        ([b"+HI "], "the server closed the connection during the handshake"),
        ([b'+HI {"v":2}\r\n', b"+OK\r\n", b"-ERR unknown command QUEUE\r\n"], "answers '-ERR unknown command QUEUE'"),
    ],
)
def test_a_server_that_does_not_play_along_is_quoted(answers: Sequence[bytes], said: str) -> None:
    with answering(answers) as url:
        assert said in refusal("--url", url)


def test_the_first_error_is_told_whoever_meets_it() -> None:
    """Here it is met by the connection that is to push; then the queues cannot be removed, either."""
    removing = [b'+HI {"v":2}\r\n', b"+OK\r\n", b"+OK\r\n"]
    with answering(removing, [b"-ERR too many connections: 1\r\n"], [b"-ERR still too many\r\n"]) as url:
        said = refusal("--url", url, "--connections", "1")
    assert said.endswith(" answers '-ERR too many connections: 1'")


# -- in the middle -----------------------------------------------------------------------------------------------------


def pushing(server: Server) -> bool:
    return "load-0" in state(server)["faktory"]["queues"]


def acknowledging(server: Server) -> bool:
    return bool(state(server)["faktory"]["total_processed"])


@pytest.mark.parametrize(
    ("arguments", "begun"),
    [
        ([*ENDLESS, "--mode", "push"], pushing),
        ([*ENDLESS, "--mode", "push", "--connections", "4", "--pipeline", "20", "--bulk", "500"], pushing),
        ([*ENDLESS, "--mode", "cycle", "--pipeline", "500"], acknowledging),
        ([*ENDLESS, "--mode", "mixed"], acknowledging),
        ("--mode drain --jobs 50000 --bulk 1000 --connections 2 --processes 2".split(), acknowledging),
    ],
    ids=["push", "bulk", "cycle", "mixed", "drain"],
)
def test_ctrl_c_leaves_nothing_behind(server: Server, arguments: list[str], begun: Callable[[Server], bool]) -> None:
    """As a terminal does it: the signal goes to every process of the group."""
    with loading(server, *arguments) as process:
        eventually(lambda: begun(server), "work has begun")
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=LONGEST_SECONDS) == ("", "")
        assert process.returncode == 130
        assert left_behind(server) == {}
        assert state(server)["faktory"]["total_failures"] == 0
        eventually(lambda: not group_exists(process.pid), "all its processes have ended")


def test_a_server_that_dies_ends_the_run(server: Server) -> None:
    with loading(server, *ENDLESS) as process:
        eventually(lambda: acknowledging(server), "work has begun")
        server.kill()
        out, said = process.communicate(timeout=LONGEST_SECONDS)
        assert (out, process.returncode) == ("", 1)
        assert said.startswith(("faktory-tw: the server closed", "faktory-tw: connection lost")), said
        assert said.count("\n") == 1
        eventually(lambda: not group_exists(process.pid), "all its processes have ended")
