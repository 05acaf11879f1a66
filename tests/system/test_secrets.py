"""Secrets stay where they are: not in logs, replies, pages, names or arguments, and no file is open to other users.

A real process gets passwords that nothing else looks like. Then everything is asked of it that can be asked, rightly and
wrongly, and everything that came out is searched.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from faktory_tw.features.admin import Task
from faktory_tw.session import COMMANDS, Session
from tests.requirements import require_module
from tests.system.conftest import MakeServer
from tests.system.fwp import Client, ServerError, job
from tests.system.server import Server, clean_environment, eventually, script
from web.app import ROUTES

CLIENTS, WEB, READERS, TYPO = "kingfisher-1071", "nightingale-2072", "woodpecker-3073", "oystercatcher-4074"
PASSWORDS = (CLIENTS, WEB, READERS, TYPO)
SETTINGS = f"""\
[faktory]
password = "{CLIENTS}"
tls_binding = "127.0.0.1:0"
[web]
password = "{WEB}"
read_only_password = "{READERS}"
tls_binding = "127.0.0.1:0"
"""
MISTAKES = (
    f'[faktory]\npasword = "{TYPO}"\n',
    f'[faktory]\npassword = ["{TYPO}"]\n',
    f'[faktory]\npassword = "{TYPO}\n',
    f'[faktory]\npassword_file = "{TYPO}"\n',
    f'[web]\npassword = "{TYPO}"\npassword = "{TYPO}"\n',
    f'[web]\nread_only_password = "{WEB}"\n',
    f"[web]\npassword = {TYPO}\n",
)
WRONG_ARGUMENTS = ("", "{", "[]", "null", "{}", '{"jid":7}', "x" * 2000, '{"place":"dead"}', '{"name":"w1"}', "*")
WITH_UMASK_0 = ["/bin/sh", "-c", 'umask 000; exec "$@"', "sh", script("twistd"), "-n", "faktory"]


class Overheard:
    """Everything that came out of a server, and where it came from."""

    def __init__(self) -> None:
        self._texts: list[tuple[str, bytes]] = []

    def add(self, where: str, text: str | bytes) -> None:
        self._texts.append((where, text.encode("utf-8", "replace") if isinstance(text, str) else text))

    def search(self, secrets: list[bytes]) -> list[tuple[str, bytes]]:
        """Return where which secret was found."""
        return [(where, secret) for where, text in self._texts for secret in secrets if secret in text]


@pytest.fixture
def overheard() -> Overheard:
    return Overheard()


@pytest.fixture
def guarded(make_server: MakeServer) -> Server:
    """A server that has all kinds of secrets, and tells its log all that it can."""
    require_module("OpenSSL")
    server = make_server(start=False, arguments=["-l", "debug"], command=WITH_UMASK_0)
    server.data_option = str(server.data_directory / "new" / "data")
    configure(server, SETTINGS)
    return server.start()


def configure(server: Server, text: str) -> None:
    path = server.config_directory / "conf.d" / "a.toml"
    path.parent.mkdir(exist_ok=True)
    path.touch(0o600)
    path.write_text(text)


def keys(directory: Path) -> list[bytes]:
    """Return what identifies the private keys below a directory: a line of each."""
    texts = [path.read_text() for path in directory.rglob("*.pem")]
    return [text.splitlines()[2].encode() for text in texts if "PRIVATE KEY" in text]


def ask_all(server: Server, overheard: Overheard) -> None:
    """Send every command, rightly and wrongly."""
    verbs = [verb.decode() for verb in COMMANDS if verb not in (b"END", b"FLUSH")]
    verbs += [f"ADMIN {name}" for name in Task.SUBCOMMANDS] + [f"QUEUE {name}" for name in Session.SUBCOMMANDS]
    with server.client(password=CLIENTS, wid="w1") as client:
        for number in range(5):
            client.push(job("greet", number, retry=0))
        first = client.fetch("default")
        assert first is not None
        client.fail(first["jid"])
        client.beat()
        for verb in [*verbs, "NOTHING", "HELLO"]:
            for argument in WRONG_ARGUMENTS[:1] if verb == "FETCH" else WRONG_ARGUMENTS:
                overheard.add(f"reply to {verb}", repr(client.command(f"{verb} {argument}".strip())))
        overheard.add("reply to FLUSH", repr(client.command("FLUSH")))


def knock(server: Server, overheard: Overheard) -> None:
    """Say HELLO wrongly, with the right password in all the wrong places."""
    hellos = [{"password": CLIENTS}, {"pwdhash": CLIENTS}, {"username": CLIENTS}, {"wid": [CLIENTS]}, {}]
    for hello in hellos:
        with Client(server.port, greet=False) as client:
            overheard.add("greeting", repr(client.receive()))
            client.send("HELLO " + json.dumps(hello))
            overheard.add("reply to HELLO", client.socket.recv(10_000))
    with pytest.raises(ServerError) as refused:
        server.client(password=CLIENTS + "x")
    overheard.add("reply to HELLO", str(refused.value))


def browse(server: Server, overheard: Overheard) -> None:
    """Look at every page, send every form and command, with each password and with none; and some with a wrong one."""
    for password in (WEB, READERS, None, WEB + "x"):
        for route in ROUTES[:3] if password == WEB + "x" else ROUTES:
            path = re.sub(r"<[^>]*>", "x", route.path)
            for method in route.methods:
                overheard.add(f"{method} {path}", request(server.web_port, method, path, password, route.api))
    overheard.add("nonsense", talk(server.web_port, b"NONSENSE\r\n\r\n"))
    overheard.add(
        "no base64", talk(server.web_port, b"GET / HTTP/1.0\r\nAuthorization: Basic " + WEB.encode() + b"\r\n\r\n")
    )
    overheard.add(
        "Bearer", talk(server.web_port, b"GET / HTTP/1.0\r\nAuthorization: Bearer " + WEB.encode() + b"\r\n\r\n")
    )


def request(port: int, method: str, path: str, password: str | None, api: bool) -> bytes:
    headers = {"Content-Type": "application/json" if api else "application/x-www-form-urlencoded"}
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, "{}" if method not in ("GET", "HEAD") else None, headers)
        answer = connection.getresponse()
        return str(answer.headers).encode() + answer.read()
    finally:
        connection.close()


def talk(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(65_536), b""))


def signal_all(server: Server) -> None:
    """Have the server tell what it does, and read settings with mistakes."""
    server.send_signal(signal.SIGTTIN)
    server.wait_for_log("thread MainThread")
    for number, mistake in enumerate(MISTAKES, 1):
        configure(server, mistake)
        server.send_signal(signal.SIGHUP)
        eventually(partial(has_complained, server, number), f"the log has mistake {number}")
    configure(server, SETTINGS)
    server.send_signal(signal.SIGHUP)


def has_complained(server: Server, times: int) -> bool:
    return server.log().count("SIGHUP: ") >= times


def run_console(server: Server, overheard: Overheard) -> None:
    """Run the console as somebody who has the password in the environment, and with wrong ones."""
    base = [sys.executable, "-m", "faktory_tw.cli"]
    right = f"tcp://:{CLIENTS}@127.0.0.1:{server.port}"
    runs = [
        (["info"], right),
        (["info", "--json"], right),
        (["info"], right.replace(CLIENTS, TYPO)),
        (["info"], f"tcp://:{CLIENTS}@127.0.0.1:1"),
        (["info"], f"http://:{CLIENTS}@127.0.0.1"),
        (["check-config", "-c", str(server.config_directory)], right),
        (["check-config", "-c", str(server.config_directory), "--json"], right),
    ]
    for arguments, url in runs:
        ended = subprocess.run(
            [*base, *arguments],
            env=clean_environment({"FAKTORY_URL": url}),
            capture_output=True,
            check=False,
            timeout=60,
        )
        overheard.add(f"faktory-tw {arguments[0]}", ended.stdout + ended.stderr)
    for mistake in MISTAKES:
        configure(server, mistake)
        command = [*base, "check-config", "-c", str(server.config_directory)]
        ended = subprocess.run(command, env=clean_environment(), capture_output=True, check=False, timeout=60)
        assert ended.returncode == 1, mistake
        overheard.add("faktory-tw check-config", ended.stdout + ended.stderr)
    configure(server, SETTINGS)


def look_at_process(server: Server, overheard: Overheard) -> None:
    assert server.process is not None
    process = Path("/proc") / str(server.process.pid)
    for name in ("cmdline", "comm", "status"):
        overheard.add(f"/proc/PID/{name}", (process / name).read_bytes())


def look_at_data(server: Server, overheard: Overheard) -> None:
    """The files are readable by the server only, and have no secrets all the same."""
    for path in Path(server.data_option).rglob("*"):
        overheard.add("the name of a file", str(path.name))
        if path.is_file():
            overheard.add(str(path), path.read_bytes())


def test_no_secret_comes_out_of_a_server(guarded: Server, overheard: Overheard) -> None:
    authority = keys(guarded.config_directory)
    assert authority, "there are keys to be found"
    ask_all(guarded, overheard)
    knock(guarded, overheard)
    browse(guarded, overheard)
    signal_all(guarded)
    run_console(guarded, overheard)
    look_at_process(guarded, overheard)
    look_at_data(guarded, overheard)
    assert guarded.stop() == 0
    look_at_data(guarded, overheard)
    overheard.add("log", guarded.log())
    secrets = [secret.encode() for password in PASSWORDS for secret in (password, quote(password, safe=""))]
    secrets += [base64.b64encode(f"alice:{password}".encode()) for password in PASSWORDS]
    assert overheard.search([*secrets, *authority]) == []


def test_a_server_that_cannot_start_says_no_secret(make_server: MakeServer) -> None:
    for number, mistake in enumerate(MISTAKES):
        server = make_server(start=False, arguments=["-e", "production"])
        configure(server, mistake)
        server.spawn()
        assert server.wait() != 0, mistake
        assert "faktory: " in server.log(), number
        assert not [password for password in PASSWORDS if password in server.log()], server.log()


def test_whatever_a_server_makes_is_closed_to_other_users(guarded: Server) -> None:
    with guarded.client(password=CLIENTS) as client:
        client.push(job("greet"))
        assert client.command("ADMIN BACKUP").type == "bulk"
        made = modes(guarded)
    assert any("backup" in name for name in made)
    assert any(name.endswith(".pem") for name in made)
    for name in ("work/twistd.pid", "data/new"):
        assert not made.pop(name) & 0o022, f"nobody else may change {name}"
    wrong = {name: oct(mode) for name, mode in made.items() if mode not in (0o600, 0o700)}
    assert wrong == {}
    assert guarded.stop() == 0
    made = modes(guarded)
    del made["data/new"]
    assert {name: oct(mode) for name, mode in made.items() if mode not in (0o600, 0o700)} == {}


def modes(server: Server) -> dict[str, int]:
    """Return the modes of all that a server has made, by its name."""
    base = server.data_directory.parent
    roots = [server.data_directory / "new", server.config_directory / "tls", server.working_directory]
    found = [path for root in roots for path in [root, *root.rglob("*")] if path != server.working_directory]
    return {str(path.relative_to(base)): stat.S_IMODE(os.lstat(path).st_mode) for path in found}
