"""What a PUSH costs while somebody clicks through the web UI of a server with a million jobs, and how fast its pages are.

    python -m tests.bench.webui [--jobs 1000000] [--rate 200] [--seconds 20] [--rounds 5] [--pause 0.1]

One server has so many scheduled jobs and as many in a queue. A client pushes at a fixed rate. In every other round
somebody (a process of its own) opens every page, searches, looks at jobs, changes them, and begins operations on all of them,
with so short a pause between two requests that it is more than a person does; `--pause 0` is without any.

PUSH is the median over the rounds of each round's median and 99th percentile, with the lowest and the highest. A page is
the time to the first byte of its answer. All of them share the machine's cores.
"""

from __future__ import annotations

import argparse
import base64
import multiprocessing
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from tests.bench.latency import Probe, fill, started
from tests.bench.million import resident_mib
from tests.system.server import Server

QUEUE = "deep"
PAGES = {
    "dashboard": "/",
    "queues": "/queues",
    "queue, first page": f"/queues/{QUEUE}",
    "queue, page 20,000": f"/queues/{QUEUE}?page=20000",
    "queue, search": f"/queues/{QUEUE}?match=777777",
    "scheduled, first page": "/scheduled",
    "scheduled, 100 a page": "/scheduled?per=100",
    "scheduled, page 20,000": "/scheduled?page=20000",
    "scheduled, last page": "/scheduled?page=9999999",
    "scheduled, search by type": "/scheduled?jobtype=Nothing",
    "scheduled, search by text": "/scheduled?match=no+such+text",
    "search everywhere": "/search?q=Nothing",
    "retries": "/retries",
    "dead": "/dead",
    "busy": "/busy",
    "backups": "/backups",
    "debug": "/debug",
    "push": "/push",
    "api": "/api/",
    "/stats": "/stats",
}
_TOKEN = re.compile(r'name="token" value="([^"]*)"')
_JOB = re.compile(r'href="(/jobs/\d+)"')
Times = dict[str, list[float]]


class Visitor:
    """Somebody with a browser: one connection, a cookie, and forms sent with the token of the page they are on."""

    def __init__(self, port: int, password: str | None = None) -> None:
        self._headers: dict[str, str] = {}
        if password is not None:
            self._headers["Authorization"] = "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()
        self._connection = HTTPConnection("127.0.0.1", port, timeout=120)
        self._origin = f"http://127.0.0.1:{port}"
        self._cookies: dict[str, str] = {}
        self.milliseconds: Times = {}

    def ask(self, what: str, path: str, fields: dict[str, str] | None = None) -> str:
        """Send a request and note when its answer begins; return the text, and follow where it leads."""
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {**self._headers, "Cookie": cookies}
        if fields is not None:
            headers.update({"Origin": self._origin, "Content-Type": "application/x-www-form-urlencoded"})
        began = time.perf_counter()
        body = None if fields is None else urlencode(fields)
        self._connection.request("GET" if fields is None else "POST", path, body, headers)
        answer = self._connection.getresponse()
        self.milliseconds.setdefault(what, []).append((time.perf_counter() - began) * 1000)
        text = answer.read().decode()
        for header in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = header.partition(";")[0].partition("=")
            self._cookies[name] = value
        if answer.status >= 400:
            raise RuntimeError(f"{path} was answered with {answer.status}: {text[:500]}")
        if answer.status == 303:
            location = (answer.getheader("Location") or "/").removeprefix(self._origin)
            return self.ask(f"{what}, and then", location)
        return text

    def send(self, what: str, page: str, path: str, fields: dict[str, str]) -> str:
        """Send a form that stands on `page`, which was asked for before."""
        token = _TOKEN.search(page)
        if token is None:
            raise RuntimeError(f"no form on the page from which {what} is sent")
        return self.ask(what, path, {**fields, "token": token[1]})

    def look(self) -> Iterator[None]:
        """Open every page."""
        for what, path in PAGES.items():
            self.ask(what, path)
            yield

    def act(self) -> Iterator[None]:
        """Change some jobs and a queue, and begin an operation on all jobs that is counted and given up."""
        page = self.ask("scheduled, first page", "/scheduled")
        job = _JOB.findall(page)[0]
        yield
        detail = self.ask("a job", job)
        yield
        selected = {"place": "scheduled", "id": job.rpartition("/")[2], "action": "retry"}
        self.send("add a job to its queue", detail, "/jobs/change", selected)
        yield
        page = self.ask("queue, first page", f"/queues/{QUEUE}")
        job = _JOB.findall(page)[-1]
        changed = {"place": "queued", "queue_name": QUEUE, "id": job.rpartition("/")[2], "action": "priority"}
        self.send("change a priority", page, "/jobs/change", {**changed, "priority": "6"})
        yield
        for action in ("pause", "resume"):
            page = self.ask("queues", "/queues")
            self.send(f"{action} a queue", page, "/queues", {"action": action, "queue": QUEUE})
            yield
        page = self.ask("scheduled, first page", "/scheduled")
        shown = self.send("begin to delete all", page, "/bulk", {"place": "scheduled", "action": "delete"})
        yield
        found = re.search(r'action="(/bulk/[^"/]+)/stop"', shown)
        if found:
            self.send("give it up", shown, f"{found[1]}/stop", {})
        yield


def click(port: int, seconds: float, pause: float) -> Times:
    """Be that somebody for so long; in a process of its own."""
    visitor = Visitor(port)
    end = time.monotonic() + seconds
    while True:
        for part in (visitor.look, visitor.act):
            for _ in part():
                if time.monotonic() + pause >= end:
                    return visitor.milliseconds
                time.sleep(pause)


def push(server: Server, name: str, rate: int, while_true: Callable[[], bool]) -> list[float]:
    """Push at a fixed rate; return the milliseconds."""
    with server.client(timeout=60.0) as client:
        probe = Probe(client, name)
        due = time.monotonic()
        while while_true():
            time.sleep(max(due - time.monotonic(), 0))
            probe.push()
            due += 1 / rate
    return probe.milliseconds


def measure(options: argparse.Namespace, server: Server) -> tuple[dict[str, list[list[float]]], Times]:
    """All rounds: the pushes of each without and with somebody who clicks, and the times of all pages."""
    pushes: dict[str, list[list[float]]] = {"alone": [], "meanwhile": []}
    pages: Times = {}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(click, server.web_port, 0.0, 0.0).result()  # the first page loads the templates
        for number in range(options.rounds):
            end = time.monotonic() + options.seconds
            pushes["alone"].append(push(server, f"a{number}-", options.rate, lambda end=end: time.monotonic() < end))  # type: ignore[misc]
            clicking: Future[Times] = pool.submit(click, server.web_port, options.seconds, options.pause)
            pushes["meanwhile"].append(push(server, f"m{number}-", options.rate, lambda c=clicking: not c.done()))  # type: ignore[misc]
            for what, times in clicking.result().items():
                pages.setdefault(what, []).extend(times)
            print(f"\rround {number + 1} of {options.rounds} ", end="", flush=True)
    print()
    return pushes, pages


def percentile(milliseconds: Sequence[float], part: float) -> float:
    """Return the value below which this part of all values lies."""
    ordered = sorted(milliseconds)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def over_rounds(rounds: Sequence[Sequence[float]], part: float) -> str:
    """Return the median over the rounds, and the lowest and the highest, as text."""
    values = [percentile(milliseconds, part) for milliseconds in rounds]
    return f"{statistics.median(values):7.2f} ms  ({min(values):.2f} to {max(values):.2f})"


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=200, help="pushes a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two requests of who clicks")
    parser.add_argument("--directory", type=Path, help="an empty one on the disk to measure; default: a temporary one")
    options = parser.parse_args()
    tomorrow = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()
    with tempfile.TemporaryDirectory(dir=options.directory) as temporary, started(Path(temporary), "webui") as server:
        fill(server, options.jobs, QUEUE)
        fill(server, options.jobs, "later", tomorrow)
        pushes, pages = measure(options, server)
        assert server.process is not None
        print(f"resident memory at the end: {resident_mib(server.process.pid):,.0f} MiB")
    print(f"\nPUSH, {options.rate} a second, median of {options.rounds} rounds of {options.seconds:.0f} s")
    for name, told in (("alone", "nobody looks"), ("meanwhile", "somebody clicks")):
        for part in (0.5, 0.99, 1.0):
            print(f"  {told:<16} {f'p{part * 100:.0f}' if part < 1 else 'max':<4} {over_rounds(pushes[name], part)}")
    print(f"\n{'Time to the first byte':<44} {'median':>9} {'max':>9}  requests")
    for what, times in pages.items():
        print(f"  {what:<42} {statistics.median(times):>6.1f} ms {max(times):>6.1f} ms  {len(times)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
