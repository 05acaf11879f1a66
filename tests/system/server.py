"""The server as its users run it: a process of its own, started by the `twistd` script, in a directory of its own.

    server = Server(tmp_path)
    server.start()
    with server.client() as client:
        client.push(job("greet"))
    server.kill()
    server.start()                  # the same data directory again
    assert server.stop() == 0

Inside tests use the fixtures `server` and `make_server` (tests/system/conftest.py): they end what a failing test leaves.

Every wait ends at a deadline with an error that carries the server's log, because "timed out" alone helps nobody. The
deadlines are generous: they tell a hanging server from a slow machine and measure nothing.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.system.fwp import Client

T = TypeVar("T")

START_SECONDS = 30.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.02

ACCEPTING = re.compile(r"Accepting commands at \S*?:(\d+)\b")
WEB = re.compile(r"Web UI at https?://[^/\s]*?:(\d+)/")


def script(name: str) -> str:
    """Return the path of a script installed beside the running interpreter, such as "twistd"."""
    return os.path.join(os.path.dirname(sys.executable), name)


def source_path() -> str:
    """Return the directory that holds the `faktory_tw` package this test run imports."""
    spec = importlib.util.find_spec("faktory_tw")
    assert spec is not None, "faktory_tw cannot be imported"
    assert spec.origin is not None, "faktory_tw cannot be imported"
    return str(Path(spec.origin).resolve().parent.parent)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without what would configure a server or client, and with `extra`.

    PYTHONPATH names the tested package, so that the child process runs the same code from any working directory.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FAKTORY_")}
    environment.update(PYTHONPATH=source_path(), PYTHONUNBUFFERED="1")
    environment.update(extra or {})
    return environment


def eventually(condition: Callable[[], T], what: str, deadline_seconds: float = 30.0) -> T:
    """Call `condition` until it returns something true, and return that; fail with `what` after the deadline."""
    deadline = time.monotonic() + deadline_seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {deadline_seconds:.0f} s: {what}"
        time.sleep(POLL_SECONDS)
    return result


class Server:
    """A server process. `start` it; it stays on its directory however often it is stopped, killed and started again.

    directory      an empty directory of the test; data/, config/ and the working directory work/ are made in it
    password       given to the process in FAKTORY_PASSWORD, and to `client` and `url`
    arguments      further command line arguments
    environment    further environment variables
    command        what comes before the options; the default is `twistd -n --pidfile= faktory`
    data_option    what to pass to `-d`, if it is not the absolute path of data/

    Attributes: `port`, `web_port` (of the running process), `process` (subprocess.Popen), `data_directory`,
    `config_directory`, `working_directory`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        password: str | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        data_option: str | None = None,
    ) -> None:
        self.data_directory = directory / "data"
        self.config_directory = directory / "config"
        self.working_directory = directory / "work"
        for path in (self.data_directory, self.config_directory, self.working_directory):
            path.mkdir(parents=True, exist_ok=True)
        self.password = password
        self.arguments = list(arguments)
        self.environment = dict(environment or {})
        if password is not None:
            self.environment.setdefault("FAKTORY_PASSWORD", password)
        self.command = list(command or (script("twistd"), "-n", "--pidfile=", "faktory"))
        self.data_option = data_option if data_option is not None else str(self.data_directory)
        self.inherited: tuple[int, ...] = ()  # file descriptors that the process keeps, under the same numbers
        self.process: subprocess.Popen[str] | None = None
        self.port = 0
        self.web_port = 0
        self._lines: list[str] = []
        self._reader: threading.Thread | None = None

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self, *, keep_ports: bool = False) -> Server:
        """Start the process and wait until it accepts commands; return self.

        The ports are chosen by the system, anew at every start; with `keep_ports` those of the last start are used
        again, for clients that are to reconnect. AssertionError with the log if the process ends or the deadline passes.
        """
        self.spawn(keep_ports=keep_ports)
        self.port = int(self.wait_for_log(ACCEPTING, START_SECONDS).group(1))
        self.web_port = int(self.wait_for_log(WEB, START_SECONDS).group(1))
        return self

    def spawn(self, *, keep_ports: bool = False) -> subprocess.Popen[str]:
        """Start the process and do not wait for anything, for a server that is expected to refuse. See `wait`."""
        assert not self.running(), "the server is running already"
        self.close()
        port, web_port = (self.port, self.web_port) if keep_ports else (0, 0)
        addresses = ["-b", f"127.0.0.1:{port}", "-w", f"127.0.0.1:{web_port}"]
        directories = ["-d", self.data_option, "-c", str(self.config_directory)]
        self._lines = []
        self.process = subprocess.Popen(
            [*self.command, *addresses, *directories, *self.arguments],
            cwd=self.working_directory,
            env=clean_environment(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=self.inherited,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self.process, self._lines), daemon=True)
        self._reader.start()
        return self.process

    def running(self) -> bool:
        """Whether the process exists and has not ended."""
        return self.process is not None and self.process.poll() is None

    def wait(self, deadline_seconds: float = STOP_SECONDS) -> int:
        """Wait for the process to end; return its exit status (negative: the signal that killed it)."""
        assert self.process is not None, "the server was never started"
        try:
            status = self.process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {deadline_seconds:.0f} s; its log:\n{self.log()}") from None
        self._finish_reading()
        return status

    def stop(self, deadline_seconds: float = STOP_SECONDS) -> int:
        """Ask the process to end with SIGTERM and return its exit status."""
        self.send_signal(signal.SIGTERM)
        return self.wait(deadline_seconds)

    def kill(self) -> int:
        """End the process with SIGKILL, as a crash would. What was acknowledged has to survive this."""
        self.send_signal(signal.SIGKILL)
        return self.wait()

    def restart(self, *, keep_ports: bool = False) -> int:
        """`stop` and `start` again on the same directory; return the exit status of the first process."""
        status = self.stop()
        self.start(keep_ports=keep_ports)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal to the process if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def close(self) -> None:
        """End the process if it runs and free everything; called by the fixtures, safe to call twice."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.kill()
        self._finish_reading()

    # -- looking at it -------------------------------------------------------------------------------------------------

    def client(self, **options: Any) -> Client:
        """Return a new identified connection; `options` as for `fwp.Client`. Close it, or use it with `with`."""
        options.setdefault("password", self.password)
        return Client(self.port, **options)

    @property
    def url(self) -> str:
        """The FAKTORY_URL for client libraries, with the password if there is one."""
        return f"tcp://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}"

    @property
    def web_url(self) -> str:
        """The address of the web UI, without a slash at its end."""
        return f"http://127.0.0.1:{self.web_port}"

    def log(self) -> str:
        """What the process has printed since its last start."""
        return "".join(list(self._lines))

    def wait_for_log(self, pattern: str | re.Pattern[str], deadline_seconds: float = 30.0) -> re.Match[str]:
        """Wait until the log has a match for `pattern` (a regular expression) and return the match."""
        deadline = time.monotonic() + deadline_seconds
        while True:
            ended = not self.running() and self._reader is not None and not self._reader.is_alive()
            if match := re.search(pattern, self.log()):
                return match
            text = pattern if isinstance(pattern, str) else pattern.pattern
            if ended:
                status = self.process.returncode if self.process is not None else None
                raise AssertionError(f"ended with status {status} and without logging {text!r}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} was not logged within {deadline_seconds:.0f} s:\n{self.log()}")
            time.sleep(POLL_SECONDS)

    def _finish_reading(self) -> None:
        """After the end of the process: take the rest of its output and close the pipe."""
        assert self.process is not None
        assert self.process.stdout is not None
        if self._reader is not None:
            self._reader.join(STOP_SECONDS)
        self.process.stdout.close()

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: list[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
