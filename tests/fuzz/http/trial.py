"""Everything that can be sent over HTTP to a real process, and how long others wait meanwhile.

    python -m tests.fuzz.http [--seconds 20] [--connections 2000] [--seed 1] [KIND...]

For each kind of crowd (tests/fuzz/http/crowds.py) a server is started that has a password, one for those who only look, and
something in each place. The crowd comes from a process of its own, while one client here pushes jobs and takes the time of
each, and another asks for /health on a connection of its own each time. Answers are held against the rules of
tests/fuzz/http/rules.py, and what was acknowledged must be there in the end. The first table has the kinds, the second the
routes with the statuses that came; what did not hold is told below, and makes the exit status 1. Thousands of connections
need as many file handles at both ends: raise `ulimit -n` where that is less.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import logging
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.http import contents
from tests.fuzz.http.crowds import FEWER, KINDS, OPERATOR, PASSWORD, READ_ONLY, WebCrowd, told_things
from tests.fuzz.http.requests import Things, made
from tests.system.fwp import ServerError, job
from tests.system.hostile import resident_mib
from tests.system.server import Server, clean_environment

PAUSE_SECONDS = 0.002  # between two PUSHes
HEALTH_PAUSE_SECONDS = 0.1
FILL_SECONDS = 2.0  # what the crowd has taken away is put there again
TIMEOUT_SECONDS = 30.0


class Noticed(NamedTuple):
    """What came of one kind. ``pushes`` and ``healths`` are milliseconds; ``told`` is what the crowd says."""

    kind: str
    connections: int
    pushes: list[float]
    healths: list[float]
    refused_healths: int
    resident_mib: float
    told: dict[str, Any]
    failures: list[str]

    def row(self) -> str:
        """A row of the table."""
        requests = sum(sum(statuses.values()) for statuses in self.told["statuses"].values())
        return (
            f"{self.kind:<11}{self.connections:>8,}{self.told['opened']:>9,}{requests:>10,}{len(self.pushes):>9,}"
            f"{_times(self.pushes)}{len(self.healths):>9,}{self.refused_healths:>8,}{_times(self.healths)}"
            f"{self.resident_mib:>7.0f}{len(self.failures):>10,}"
        )


_OF_TIMES = f"{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}"
HEAD = (
    f"{'kind':<11}{'clients':>8}{'opened':>9}{'requests':>10}{'PUSHes':>9}{_OF_TIMES}{'/health':>9}{'refused':>8}"
    f"{_OF_TIMES}{'MiB':>7}{'failures':>10}"
)


def _times(milliseconds: list[float]) -> str:
    ordered = sorted(milliseconds) or [0.0]
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    return f"{statistics.median(ordered):>8.1f}{p99:>8.1f}{ordered[-1]:>8.0f}"


def say(text: str) -> None:
    """Tell how it goes."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


# -- the server ------------------------------------------------------------------------------------------------------------


def make_server(directory: Path) -> Server:
    """A server with passwords, cron and throttles, running."""
    server = Server(
        directory,
        password=PASSWORD,
        environment={"FAKTORY_WEB_READ_ONLY_PASSWORD": READ_ONLY, "FAKTORY_BACKUP_EVERY": "0"},
    )
    settings = server.config_directory / "conf.d" / "fuzz.toml"
    settings.parent.mkdir()
    settings.write_text(contents.TOML)
    return server.start()


def fill_places(server: Server, number: int = 0) -> None:
    """Put something into each place."""
    with server.client() as client:
        client.command("QUEUE RESUME *")

        def command(line: bytes) -> bytes:
            reply = client.command(line)
            assert reply.type in ("simple", "bulk"), (line, reply)
            return reply.value if isinstance(reply.value, bytes) else str(reply.value).encode()

        contents.fill(command, number)


def fill(server: Server) -> dict[str, str]:
    """Put something into each place, and return what it is called."""
    fill_places(server)
    things = contents.names(lambda method, path, _: json.loads(ask(server, method, path)[1]))
    page = ask(server, "GET", "/busy/jobs")[1].decode()
    things["since"] = found(r'name="since" value="([^"]*)"', page)
    headers, page_bytes = ask(server, "GET", "/queues")
    things["cookie"] = found(r"faktory_token=([^;]*)", str(headers))
    things["token"] = found(r'name="token" value="([^"]*)"', page_bytes.decode())
    begun = ask(server, "POST", "/bulk", bytes(made("POST /bulk", things, OPERATOR)))
    things["operation"] = found(r"Location: \S*/bulk/(\S+)", str(begun[0]))
    return things


def found(pattern: str, text: str) -> str:
    """The first group, which must be there."""
    match = re.search(pattern, text)
    assert match is not None, f"no {pattern} in {text[:2000]}"
    return match[1]


def ask(server: Server, method: str, path: str, raw: bytes = b"") -> tuple[Any, bytes]:
    """Headers and body of a good answer; ``raw``: the whole request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.web_port, timeout=TIMEOUT_SECONDS)
    try:
        if raw:
            connection.connect()
            connection.sock.sendall(raw)
            answer = http.client.HTTPResponse(connection.sock, method=method)
            answer.begin()
        else:
            connection.request(method, path, headers={"Authorization": OPERATOR.decode()})
            answer = connection.getresponse()
        assert answer.status < 400, (path, answer.status, answer.read())
        return answer.headers, answer.read()
    finally:
        connection.close()


# -- others ----------------------------------------------------------------------------------------------------------------


class Again(threading.Thread):
    """Does something again and again until the end, and takes the time. It may be refused, and is then done again."""

    def __init__(self, work: Callable[[], object], pause_seconds: float) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._pause_seconds = pause_seconds
        self._over = threading.Event()
        self.milliseconds: list[float] = []
        self.refused = 0

    def run(self) -> None:
        while not self._over.wait(self._pause_seconds):
            began = time.perf_counter()
            try:
                self._work()
            except (AssertionError, OSError, ValueError, EOFError, ServerError, http.client.HTTPException):
                self.refused += 1
            else:
                self.milliseconds.append((time.perf_counter() - began) * 1000)

    def end(self) -> None:
        self._over.set()
        self.join()


def notice(server: Server, kind: str, connections: int, seconds: float, seed: int) -> Noticed:
    """Have a crowd at a server, push jobs and ask for its health as long as it is there."""
    worker = server.client(wid=contents.WORKER, hello=contents.HELLO)
    things = fill(server)
    filling = Again(lambda: fill_places(server, int(time.monotonic() * 1000)), FILL_SECONDS)
    pushes: list[float] = []
    resident = 0.0
    assert server.process is not None
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.http",
        "--be",
        kind,
        "--port",
        str(server.web_port),
        "--seed",
        str(seed),
    ]
    command += ["--connections", str(connections), "--seconds", str(seconds), "--things", json.dumps(things)]
    health = Again(lambda: ask(server, "GET", "/health"), HEALTH_PAUSE_SECONDS)
    with (
        server.client(timeout=60) as client,
        subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as crowd,
    ):
        health.start()
        filling.start()
        while crowd.poll() is None:
            began = time.perf_counter()
            client.push(job("polite", queue="polite"))
            pushes.append((time.perf_counter() - began) * 1000)
            if len(pushes) % 20 == 0:
                resident = max(resident, resident_mib(server.process.pid))
            time.sleep(PAUSE_SECONDS)
        assert crowd.stdout is not None
        told = json.loads(crowd.stdout.read())
    health.end()
    filling.end()
    worker.close()
    failures = [*told["failures"], *_harm(server, len(pushes))]
    return Noticed(kind, connections, pushes, health.milliseconds, health.refused, resident, told, failures)


def _harm(server: Server, pushed: int) -> list[str]:
    """What is wrong with the server after the crowd has gone."""
    if not server.running():
        return [f"the server ended: {server.log()[-2000:]}"]
    failures = []
    with server.client() as client:
        there = client.info()["faktory"]["queues"].get("polite", 0)
    if there != pushed:
        failures.append(f"{pushed} jobs were acknowledged, {there} are there")
    status = server.stop()
    if status != 0:
        failures.append(f"the server ended with status {status}")
    for line in server.log().splitlines():
        if not line.startswith("{"):
            failures.append(f"log: {line[:300]}")
        elif json.loads(line)["level"] in ("error", "critical"):
            failures.append(f"log: {line[:2000]}")
    failures += [f"the log tells {secret}" for secret in (PASSWORD, READ_ONLY) if secret in server.log()]
    return failures[:50]


# -- the crowd -------------------------------------------------------------------------------------------------------------


def be(kind: str, port: int, connections: int, seconds: float, seed: int, things: Things) -> None:
    """Be a crowd, and tell at the end what became of it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    crowd = WebCrowd(port, time.monotonic() + seconds, things, seed)
    asyncio.run(crowd.run(KINDS[kind], connections))
    sys.stdout.write(json.dumps(crowd.told()))


def routes(all_noticed: Iterable[Noticed]) -> list[str]:
    """The rows of the second table."""
    statuses: dict[str, Counter[str]] = {}
    failed: Counter[str] = Counter()
    for noticed in all_noticed:
        failed.update(noticed.told["failed"])
        for route, found_statuses in noticed.told["statuses"].items():
            statuses.setdefault(route, Counter()).update(found_statuses)
    rows = [f"{'route':<46}{'requests':>9}{'failures':>9}  statuses"] if statuses else []
    for route, counted in statuses.items():
        told = " ".join(f"{status}:{count}" for status, count in sorted(counted.items()))
        rows.append(f"{route:<46}{sum(counted.values()):>9,}{failed[route]:>9}  {told}")
    total = sum(sum(counted.values()) for counted in statuses.values())
    return [*rows, f"{'all':<46}{total:>9,}{sum(failed.values()):>9}"] if rows else []


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all kinds, or those that are named, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.http", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of: {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--be", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--things", default="{}", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.be:
        things = told_things(options.things)
        be(options.be, options.port, options.connections, options.seconds, options.seed, things)
        return 0
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    all_noticed = []
    for kind in options.kinds or KINDS:
        say(f"{kind}, for {options.seconds:.0f} s")
        with tempfile.TemporaryDirectory() as directory:
            server = make_server(Path(directory))
            try:
                count = min(options.connections, FEWER.get(kind, options.connections))
                all_noticed.append(notice(server, kind, count, options.seconds, options.seed))
            finally:
                server.close()
    failures = [f"{noticed.kind}: {failure}" for noticed in all_noticed for failure in noticed.failures]
    sys.stdout.write("\n".join([HEAD, *(noticed.row() for noticed in all_noticed), "", *routes(all_noticed)]) + "\n")
    sys.stdout.write("".join(f"FAILED {failure}\n" for failure in failures))
    return 1 if failures else 0
