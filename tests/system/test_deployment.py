"""The server as an administrator meets it: installed from a wheel, started from anywhere, configured, stopped, refused.

What is asked of every refusal: a status that is not 0, and a message that names what is wrong.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import MakeServer
from tests.system.fwp import ConnectionEnded, ServerError, job
from tests.system.installation import CHECKOUT, Installation, install
from tests.system.server import ACCEPTING, Server, clean_environment, eventually, script

PASSWORD = "correct-horse"
PRODUCTION = ["-e", "production"]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel, built and installed once for all tests of this module."""
    return install(tmp_path_factory.mktemp("installation"))


def get_json(url: str, password: str | None = None) -> Any:
    """GET a page of the web UI and parse it; urllib's HTTPError if it is refused."""
    request = urllib.request.Request(url)
    if password is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"any:{password}".encode()).decode())
    with urllib.request.urlopen(request, timeout=15) as response:
        return json.load(response)


def refusal(server: Server) -> str:
    """Start a server that is expected to refuse; return what it says. Its status must not be 0."""
    server.spawn()
    status = server.wait()
    assert status > 0, server.log()
    assert "Accepting commands" not in server.log()
    return server.log()


# -- installed -------------------------------------------------------------------------------------------------------


def test_the_wheel_has_the_plugin_and_every_file_that_is_not_python(installation: Installation) -> None:
    files = installation.files()
    assert "twisted/plugins/faktory_tw_plugin.py" in files
    assert "twisted/plugins/__init__.py" not in files
    data = [path for package in ("faktory_tw", "web") for path in (CHECKOUT / package).rglob("*") if path.is_file()]
    expected = {str(path.relative_to(CHECKOUT)) for path in data if "__pycache__" not in path.parts}
    assert expected - files == set()
    assert any(name.startswith("faktory_tw/storage/schema/") for name in files)
    assert not any(name.startswith("tests/") for name in files)


@pytest.mark.parametrize(
    "program",
    [["twistd", "-n", "--pidfile=", "faktory"], ["twist", "--log-format=text", "faktory"]],
    ids=lambda program: program[0],
)
def test_the_installed_package_works_from_an_unrelated_directory(
    installation: Installation, make_server: MakeServer, program: list[str]
) -> None:
    command = [installation.script(program[0]), *program[1:]]
    server = make_server(command=command, environment=installation.environment)
    with server.client() as client:
        jid = client.push(job("greet", "you"))
    assert server.restart() == 0
    with server.client() as client:
        fetched = client.fetch("default")
        assert fetched is not None
        assert fetched["jid"] == jid
    assert "environment" not in os.listdir(server.working_directory)
    assert server.stop() == 0


def test_the_help_shows_every_option(installation: Installation, tmp_path: Path) -> None:
    process = installation.run(installation.script("twistd"), "faktory", "--help", directory=tmp_path)
    assert process.returncode == 0, process.stdout
    for option in ("-b", "-w", "-d", "-c", "-e", "-l", "--durability", "--help", "--version"):
        assert f"{option}," in process.stdout or f"{option}=" in process.stdout or f"{option} " in process.stdout, (
            option
        )


def test_twistd_lists_the_command(installation: Installation, tmp_path: Path) -> None:
    process = installation.run(installation.script("twistd"), "--help", directory=tmp_path)
    lines = [line.split() for line in process.stdout.splitlines()]
    assert any(words[:1] == ["faktory"] and len(words) > 1 for words in lines), process.stdout


def test_an_unknown_option_is_refused_with_a_message(make_server: MakeServer) -> None:
    assert "--no-such-option" in refusal(make_server(start=False, arguments=["--no-such-option"]))


def test_an_unknown_environment_is_refused_with_a_message(make_server: MakeServer) -> None:
    assert "nowhere" in refusal(make_server(start=False, arguments=["-e", "nowhere"]))


# -- passwords -------------------------------------------------------------------------------------------------------


def test_production_without_a_password_is_refused(make_server: MakeServer) -> None:
    assert "FAKTORY_PASSWORD" in refusal(make_server(start=False, arguments=PRODUCTION))


def test_production_without_a_password_can_be_asked_for(make_server: MakeServer) -> None:
    server = make_server(arguments=PRODUCTION, environment={"FAKTORY_SKIP_PASSWORD": "1"})
    with server.client() as client:
        assert client.greeting == {"v": 2}


@pytest.mark.parametrize("place", ["environment", "file named by the environment", "configuration directory"])
def test_a_password_is_taken_from(make_server: MakeServer, tmp_path: Path, place: str) -> None:
    server = make_server(start=False, arguments=PRODUCTION)
    if place == "environment":
        server.environment["FAKTORY_PASSWORD"] = PASSWORD
    elif place == "configuration directory":
        (server.config_directory / "password").write_text(PASSWORD + "\n")
    else:
        (tmp_path / "secret").write_text(PASSWORD + "\n")
        server.environment["FAKTORY_PASSWORD"] = str(tmp_path / "secret")
    server.start()
    with server.client(password=PASSWORD) as client:
        assert "s" in client.greeting
        client.push(job("greet"))
    with pytest.raises(ServerError, match="Invalid password"):
        server.client(password="wrong")
    with pytest.raises(ServerError, match="Invalid password"):
        server.client(password=None)


def test_a_password_file_that_is_missing_is_refused(make_server: MakeServer, tmp_path: Path) -> None:
    path = str(tmp_path / "no such file")
    assert path in refusal(make_server(start=False, environment={"FAKTORY_PASSWORD": path}))


# -- the web ---------------------------------------------------------------------------------------------------------


def test_health_and_statistics_are_told_over_http(server: Server) -> None:
    assert isinstance(get_json(server.web_url + "/health"), dict)
    with server.client() as client:
        client.push(job("greet"))
        told, asked = get_json(server.web_url + "/stats"), client.info()
    assert told.keys() == asked.keys()
    assert told["faktory"] == asked["faktory"]
    assert told["faktory"]["queues"] == {"default": 1}


def test_statistics_need_the_password_and_health_does_not(make_server: MakeServer) -> None:
    server = make_server(password=PASSWORD)
    assert isinstance(get_json(server.web_url + "/health"), dict)
    for password in (None, "wrong"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get_json(server.web_url + "/stats", password)
        assert refused.value.code == 401
        refused.value.close()
    assert get_json(server.web_url + "/stats", PASSWORD)["faktory"]["total_processed"] == 0


# -- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_server_told_to_stop_ends_with_status_0(server: Server, number: signal.Signals) -> None:
    server.send_signal(number)
    assert server.wait() == 0, server.log()


def test_a_waiting_fetch_does_not_keep_the_server_from_stopping(server: Server) -> None:
    with server.client(wid="waiting-worker") as client:
        client.send("FETCH default")
        assert server.stop() == 0, server.log()
        try:
            reply = client.receive()
        except (ConnectionEnded, ConnectionResetError):
            return
        assert reply.type in ("null", "error"), reply
        assert client.at_end()


def test_jobs_survive_a_stop_and_a_kill(server: Server) -> None:
    with server.client() as client:
        jids = [client.push(job("count", number)) for number in range(20)]
        client.push(job("later", at="2100-01-01T00:00:00Z"))
    assert server.restart() == 0
    with server.client() as client:
        for jid in jids[:10]:
            fetched = client.fetch("default")
            assert fetched is not None
            assert fetched["jid"] == jid
            client.ack(jid)
    assert server.kill() == -signal.SIGKILL
    server.start()
    with server.client() as client:
        info = client.info()["faktory"]
        assert info["queues"] == {"default": 10}
        assert info["sets"]["scheduled"] == 1
        assert [(client.fetch("default") or {}).get("jid") for _ in range(10)] == jids[10:]


def test_a_store_that_cannot_be_written_ends_the_process_with_status_1(make_server: MakeServer) -> None:
    """The limit on the size of files, 32 MiB, stands for a failing disk: every write beyond it is an error."""
    limited = f'ulimit -f 32768; exec {shlex.quote(script("twistd"))} "$@"'
    server = make_server(command=["bash", "-c", limited, "bash", "-n", "--pidfile=", "faktory"])
    with server.client() as client:
        acknowledged = []
        with pytest.raises((ConnectionEnded, ConnectionResetError, BrokenPipeError)):
            for _ in range(200):
                acknowledged.append(client.push(job("big", "x" * 1_000_000)))
    assert server.wait() == 1, server.log()
    assert acknowledged
    server.command = [script("twistd"), "-n", "--pidfile=", "faktory"]
    server.start()
    with server.client() as client:
        assert client.info()["faktory"]["queues"]["default"] >= len(acknowledged)


# -- directories and ports -------------------------------------------------------------------------------------------


def test_a_second_server_on_the_same_directory_is_refused(server: Server, make_server: MakeServer) -> None:
    second = make_server(start=False, data_option=str(server.data_directory))
    assert str(server.data_directory) in refusal(second)
    with server.client() as client:
        client.push(job("greet"))


def test_a_directory_is_free_again_after_a_kill(server: Server) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("which", ["commands", "web"])
def test_a_port_that_is_taken_is_refused(server: Server, make_server: MakeServer, which: str) -> None:
    second = make_server(start=False)
    second.port, second.web_port = (server.port, 0) if which == "commands" else (0, server.web_port)
    second.spawn(keep_ports=True)
    assert second.wait() > 0, second.log()
    assert str(server.port if which == "commands" else server.web_port) in second.log()


def test_a_relative_data_directory_is_below_the_working_directory(make_server: MakeServer) -> None:
    server = make_server(data_option="some/where")
    assert (server.working_directory / "some" / "where" / "faktory.db").exists()
    with server.client() as client:
        client.push(job("greet"))
    assert server.restart() == 0
    with server.client() as client:
        assert client.info()["faktory"]["queues"] == {"default": 1}


def test_a_data_directory_that_is_a_file_is_refused(make_server: MakeServer, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert str(path) in refusal(make_server(start=False, data_option=str(path)))


@pytest.mark.parametrize("durability", ["commit", "second", "os"])
def test_every_durability_keeps_jobs_over_a_stop(make_server: MakeServer, durability: str) -> None:
    server = make_server(arguments=["--durability", durability])
    with server.client() as client:
        jid = client.push(job("greet"))
    assert server.restart() == 0
    with server.client() as client:
        assert (client.fetch("default") or {})["jid"] == jid


def test_twistd_runs_it_in_the_background_with_a_pidfile(make_server: MakeServer, tmp_path: Path) -> None:
    """Without `-n`, as init scripts do it. The log goes to a file then, and the process is ours to end by its pidfile."""
    started = start_in_background(make_server(start=False), tmp_path)
    assert started.returncode == 0, started.stdout + started.stderr
    follow(tmp_path / "twistd.pid", tmp_path / "twistd.log")


def test_twistd_reports_a_refusal_of_the_process_in_the_background(server: Server, tmp_path: Path) -> None:
    refused = start_in_background(server, tmp_path)
    assert refused.returncode > 0, refused.stdout + refused.stderr
    assert "in use" in (tmp_path / "twistd.log").read_text()
    assert not (tmp_path / "twistd.pid").exists()


def start_in_background(server: Server, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run twistd as a daemon on the server's directories; return the foreground process, which ends once it has started."""
    options = [f"--pidfile={directory / 'twistd.pid'}", f"--logfile={directory / 'twistd.log'}", "faktory"]
    addresses = ["-b", "127.0.0.1:0", "-w", "127.0.0.1:0"]
    directories = ["-d", str(server.data_directory), "-c", str(server.config_directory)]
    return subprocess.run(
        [script("twistd"), *options, *addresses, *directories],
        cwd=server.working_directory,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def follow(pidfile: Path, logfile: Path) -> None:
    """Wait until the daemon of `pidfile` accepts commands, end it with SIGTERM and wait until it has removed the file."""
    eventually(pidfile.exists, "the pidfile")
    process = int(eventually(pidfile.read_text, "the process id"))
    try:
        eventually(lambda: logfile.exists() and ACCEPTING.search(logfile.read_text()), "the log says it accepts")
    finally:
        os.kill(process, signal.SIGTERM)
    eventually(lambda: not pidfile.exists(), "the pidfile is removed")
