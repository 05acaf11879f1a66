"""Programs that terminate TLS before a server: haproxy, nginx and stunnel, with the configurations of contrib/tls.

A front end runs as an ordinary process on free ports of loopback. Of the example only the ports, the paths and what
needs root is replaced; each replacement has to be found, so that the tests are about what the examples say.

    with FrontEnd(HAPROXY, server, certificate, tmp_path) as front:
        with front.client() as client: ...
        front.kill()                    # the machine of the front end loses its power
        front.start()                   # on the same ports
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from faktory_tw import certificates
from tests.requirements import missing, require
from tests.system.fwp import Client
from tests.system.server import Server, eventually

EXAMPLES = Path(__file__).parent.parent.parent / "contrib" / "tls"
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
NOBODY_SECONDS = 10.0


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost as files: of its authority, its own with the key, and both alone."""

    authority: Path
    combined: Path
    certificate: Path
    key: Path

    def trusting(self) -> ssl.SSLContext:
        """Return what a client needs to trust it, and nobody else."""
        return ssl.create_default_context(cafile=str(self.authority))


def make_certificate(directory: Path) -> Certificate:
    """Make a certificate in `directory` as the server in development does."""
    material = certificates.material(directory, certificates.hosts([], "localhost"), datetime.now(timezone.utc))
    assert material.authority is not None
    combined = directory / "combined.pem"
    key = material.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    combined.write_bytes(material.chain[0].public_bytes(Encoding.PEM) + key)
    return Certificate(material.authority, combined, directory / "server.pem", directory / "server-key.pem")


@dataclass(frozen=True)
class Ports:
    """Where the front end listens, and where the server does."""

    tls: int
    https: int
    commands: int
    web: int


@dataclass(frozen=True)
class Program:
    """A front end. `changes` are the replacements in the example; `command` is run with its path at the end."""

    name: str
    example: str
    command: Callable[[], list[str]]
    changes: Callable[[Ports, Certificate, Path], Mapping[str, str]]
    has_web: bool


def _haproxy_changes(ports: Ports, certificate: Certificate, _directory: Path) -> Mapping[str, str]:
    return {
        "bind :7443 ": f"bind 127.0.0.1:{ports.tls} ",
        "bind :443 ": f"bind 127.0.0.1:{ports.https} ",
        "crt /etc/haproxy/faktory.pem": f"crt {certificate.combined}",
        "127.0.0.1:7419 ": f"127.0.0.1:{ports.commands} ",
        "check port 7420 ": f"check port {ports.web} ",
        "127.0.0.1:7420 ": f"127.0.0.1:{ports.web} ",
        "maxconn 20000": "maxconn 100",
        "maxconn 10000": "maxconn 50",
        # Shorter than a FETCH waits: it must not count once both ends have spoken.
        "timeout client 1m": "timeout client 1s",
        "timeout server 1m": "timeout server 1s",
    }


def _nginx_changes(ports: Ports, certificate: Certificate, directory: Path) -> Mapping[str, str]:
    paths = "".join(
        f"    {kind}_temp_path {directory / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return {
        "include /etc/nginx/modules-enabled/*.conf;": _load_stream_module(),
        "pid /run/nginx.pid;": f"pid {directory / 'nginx.pid'};\ndaemon off;",
        "error_log /var/log/nginx/error.log;": "error_log stderr;",
        "worker_processes auto;": "worker_processes 1;",
        "worker_rlimit_nofile 65536;": "",
        "worker_connections 20480;": "worker_connections 100;",
        "listen 7443 ": f"listen 127.0.0.1:{ports.tls} ",
        "listen 443 ": f"listen 127.0.0.1:{ports.https} ",
        "http {\n": "http {\n" + paths,
        "/etc/nginx/faktory.pem": str(certificate.certificate),
        "/etc/nginx/faktory-key.pem": str(certificate.key),
        "127.0.0.1:7419;": f"127.0.0.1:{ports.commands};",
        "http://127.0.0.1:7420;": f"http://127.0.0.1:{ports.web};",
    }


def _load_stream_module() -> str:
    """Say where the module is; elsewhere than on Debian it may be part of the program."""
    if STREAM_MODULE.exists():
        return f"load_module {STREAM_MODULE};"
    built = subprocess.run([require("nginx"), "-V"], capture_output=True, text=True, check=True).stderr
    if "--with-stream " not in built + " ":
        missing("the stream module of nginx is not installed")
    return ""


def _stunnel_changes(ports: Ports, certificate: Certificate, directory: Path) -> Mapping[str, str]:
    return {
        "pid = /run/stunnel4/faktory.pid": f"pid = {directory / 'stunnel.pid'}\nforeground = yes",
        "setuid = stunnel4\n": "",
        "setgid = stunnel4\n": "",
        "accept = 7443": f"accept = 127.0.0.1:{ports.tls}",
        "connect = 127.0.0.1:7419": f"connect = 127.0.0.1:{ports.commands}",
        "cert = /etc/stunnel/faktory.pem": f"cert = {certificate.certificate}",
        "key = /etc/stunnel/faktory-key.pem": f"key = {certificate.key}",
    }


HAPROXY = Program("haproxy", "haproxy.cfg", lambda: [require("haproxy"), "-db", "-f"], _haproxy_changes, has_web=True)
NGINX = Program("nginx", "nginx.conf", lambda: [require("nginx"), "-c"], _nginx_changes, has_web=True)
STUNNEL = Program(
    "stunnel", "stunnel.conf", lambda: [shutil.which("stunnel4") or require("stunnel")], _stunnel_changes, has_web=False
)


class FrontEnd:
    """A running front end on free ports: `port` for commands over TLS, `web_port` for HTTPS.

    `web_upstream` is the port of something else than the server's web UI to which HTTPS is to lead.
    """

    def __init__(
        self,
        program: Program,
        server: Server,
        certificate: Certificate,
        directory: Path,
        *,
        web_upstream: int | None = None,
    ) -> None:
        self._command = program.command()  # before anything is opened, because this may skip the test
        self.certificate = certificate
        self._server = server
        self.port, self.web_port = _free_ports(2)
        ports = Ports(self.port, self.web_port, server.port, web_upstream or server.web_port)
        text = (EXAMPLES / program.example).read_text(encoding="utf-8")
        for old, new in program.changes(ports, certificate, directory).items():
            assert old in text, f"{program.example} does not say {old!r}"
            text = text.replace(old, new)
        self._configuration = directory / program.example
        self._configuration.write_text(text, encoding="utf-8")
        self._output = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - it is open for as long as the process runs
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> FrontEnd:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the process and wait until it leads to the server."""
        self._process = subprocess.Popen(
            [*self._command, str(self._configuration)],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            # A group of its own: nginx has children, and they have to end with it.
            start_new_session=True,
        )
        eventually(self._leads_to_the_server, "a greeting through the front end")

    def kill(self) -> None:
        """End the process and its children at once: their connections are cut."""
        assert self._process is not None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(NOBODY_SECONDS)

    def close(self) -> None:
        """Kill what is left, and free everything."""
        if self._process is not None:
            self.kill()
        self._output.close()

    @property
    def url(self) -> str:
        """The FAKTORY_URL for client libraries."""
        return f"tcp+tls://:{self._server.password}@localhost:{self.port}"

    def client(self, **options: Any) -> Client:
        """Return a new identified connection through the front end; `options` as for `fwp.Client`."""
        options.setdefault("password", self._server.password)
        options.setdefault("tls", self.certificate.trusting())
        return Client(self.port, host="localhost", **options)

    def output(self) -> str:
        """Everything the process has printed so far."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode("utf-8", "replace")

    def _leads_to_the_server(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the front end ended by itself:\n{self.output()}"
        try:
            self.client().close()
        except (OSError, EOFError):
            return False
        return True


def _free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


class FrontedServer(Server):
    """A server as its clients see it: `url` and `client` lead through `front`, when there is one."""

    front: FrontEnd | None = None

    @property
    def url(self) -> str:
        """The address of the front end, with the password."""
        return super().url if self.front is None else self.front.url

    def client(self, **options: Any) -> Client:
        """Return a new identified connection through the front end."""
        return super().client(**options) if self.front is None else self.front.client(**options)


def assert_plain_text_is_refused(port: int) -> None:
    """Nothing that looks like a server is heard, and the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=15.0) as plain:
        plain.sendall(b'HELLO {"v":2}\r\nINFO\r\n' + b"PUSH {}\r\n" * 100)
        heard = b""
        try:
            while more := plain.recv(4096):
                heard += more
        except ConnectionError:
            pass
    assert b"HI" not in heard
    assert b"+OK" not in heard
