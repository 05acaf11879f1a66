"""Configuration files as an administrator meets them: real servers that start with them, or say on stderr why not."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import MakeServer
from tests.system.fwp import ServerError, job
from tests.system.server import STOP_SECONDS, Server, clean_environment, eventually, script

PASSWORD = "correct-horse"
PRODUCTION = ["-e", "production"]


def write(server: Server, text: str, name: str = "a.toml", mode: int = 0o600) -> Path:
    """Write a file into conf.d of a server; return its path."""
    path = server.config_directory / "conf.d" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def refusal(server: Server, *arguments: str, program: str = "twistd") -> str:
    """Start a server that is expected to refuse; return what it says on stderr. Nothing else is to be said."""
    command = [script(program), *(["-n", "--pidfile="] if program == "twistd" else []), "faktory"]
    addresses = ["-b", "127.0.0.1:0", "-w", "127.0.0.1:0"]
    directories = ["-d", str(server.data_directory), "-c", str(server.config_directory)]
    ended = subprocess.run(
        [*command, *addresses, *directories, *arguments],
        cwd=server.working_directory,
        env=clean_environment(server.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STOP_SECONDS,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.startswith("faktory: ")
    assert "Traceback" not in ended.stderr
    return ended.stderr.removeprefix("faktory: ").removesuffix("\n")


@pytest.fixture
def idle(make_server: MakeServer) -> Callable[..., Server]:
    """A function that returns a server that has not been started."""
    return lambda **options: make_server(start=False, **options)


Idle = Callable[..., Server]


# -- a server that starts ----------------------------------------------------------------------------------------------


def test_a_server_does_what_its_files_say(idle: Idle) -> None:
    server = idle(arguments=PRODUCTION)
    write(server, f'[faktory]\npassword = "{PASSWORD}"\ndescription = "Jobs of the shop"\n')
    write(server, "[queues]\nmax_size = 1\n", "b.toml")
    server.start()
    with server.client(password=PASSWORD) as client:
        assert client.info()["server"]["description"] == "Jobs of the shop"
        client.push(job("greet"))
        with pytest.raises(ServerError, match="too large"):
            client.push(job("greet"))
    with pytest.raises(ServerError, match="Invalid password"):
        server.client(password="wrong")
    assert PASSWORD not in server.log()
    assert server.stop() == 0


def test_an_option_wins_over_the_files(idle: Idle) -> None:
    server = idle(arguments=["--max-queue-size=0", "--description=Option"])
    write(server, '[queues]\nmax_size = 1\n[faktory]\ndescription = "File"\nbinding = "192.0.2.1:1"')
    server.start()
    with server.client() as client:
        client.push(job("greet"))
        client.push(job("greet"))
        assert client.info()["server"]["description"] == "Option"


def test_a_password_file_that_everybody_can_read_is_pointed_out_in_the_log(idle: Idle) -> None:
    server = idle(arguments=PRODUCTION)
    path = server.config_directory / "password"
    path.write_text(PASSWORD)
    path.chmod(0o644)
    server.start()
    server.wait_for_log(f"chmod 600 {path}")
    assert PASSWORD not in server.log()
    path.chmod(0o600)
    server.restart()
    assert "chmod" not in server.log()


# -- a server that refuses ---------------------------------------------------------------------------------------------


def test_a_mistyped_key_is_refused_with_its_line_and_the_right_one(idle: Idle) -> None:
    server = idle()
    path = write(server, "[faktory]\n\nmax_conections = 5\n")
    assert refusal(server) == f"{path}:3: unknown key max_conections in [faktory]; did you mean max_connections?"


@pytest.mark.parametrize("program", ["twistd", "twist"])
def test_a_table_in_two_files_is_refused_with_both_places(idle: Idle, program: str) -> None:
    server = idle()
    first = write(server, "[queues]\nmax_size = 5\n")
    second = write(server, "\n[queues]\n", "b.toml")
    said = f"{second}:2: the table [queues] is in {first}:1, too; write it once"
    assert refusal(server, program=program) == said


def test_tls_in_production_is_refused_with_the_way_to_have_it(idle: Idle) -> None:
    server = idle(password=PASSWORD)
    path = write(server, '[faktory]\ntls_binding = ":7421"\n')
    said = refusal(server, *PRODUCTION)
    assert said.startswith(f"TLS belongs in a front end in production: remove faktory.tls_binding ({path}:2)")
    assert all(program in said for program in ("haproxy", "nginx", "stunnel"))


def test_production_without_a_password_is_refused(idle: Idle) -> None:
    server = idle()
    write(server, '[web]\npassword = "of the web"\n')
    assert refusal(server, *PRODUCTION).startswith("a password is required in production: set FAKTORY_PASSWORD")


def test_all_mistakes_are_told_at_once(idle: Idle) -> None:
    server = idle()
    first = write(server, '[faktory]\nmax_connections = "many"\n')
    second = write(server, "[queues\n", "b.toml")
    lines = refusal(server, "--durability=maybe").splitlines()
    assert lines[0] == "there are 3 mistakes in the configuration:"
    assert lines[1].startswith(f"  {second}:1:8: not TOML")
    assert lines[2] == f"  {first}:2: faktory.max_connections must be a whole number, not 'many'"
    assert lines[3] == "  --durability must be one of commit, second, os, not 'maybe'"


# -- SIGHUP ------------------------------------------------------------------------------------------------------------


def test_a_hangup_changes_what_can_change_and_names_the_rest(idle: Idle) -> None:
    server = idle()
    server.start()
    with server.client() as client:
        client.push(job("greet"))
        client.push(job("greet"))
        write(server, '[queues]\nmax_size = 1\n[storage]\ndurability = "os"\n')
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Changed: queues.max_size")
        server.wait_for_log("storage.durability: restart the server to change it")
        with pytest.raises(ServerError, match="too large"):
            client.push(job("greet"))


def test_a_hangup_with_a_mistake_leaves_everything_as_it_is(idle: Idle) -> None:
    server = idle()
    path = write(server, "[queues]\nmax_size = 1\n")
    server.start()
    write(server, "[queues]\nmax_size = -1\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(f"The settings stay as they are: {path}:2: queues.max_size must be 0 or more, not -1")
    with server.client() as client:
        client.push(job("greet"))
        with pytest.raises(ServerError, match="too large"):
            client.push(job("greet"))


def test_a_hangup_changes_the_password_for_those_who_come(idle: Idle) -> None:
    server = idle(arguments=PRODUCTION)
    write(server, f'[faktory]\npassword = "{PASSWORD}"\n')
    server.start()
    with server.client(password=PASSWORD) as client:
        write(server, '[faktory]\npassword = "another"\n')
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("Changed: faktory.password")
        client.push(job("greet"))

    def admitted() -> bool:
        # Connections of one second share a challenge, so the old password may live that long.
        try:
            server.client(password="another").close()
        except ServerError:
            return False
        return True

    eventually(admitted, "the new password is accepted")
    with pytest.raises(ServerError, match="Invalid password"):
        server.client(password=PASSWORD)
    assert "another" not in server.log()
