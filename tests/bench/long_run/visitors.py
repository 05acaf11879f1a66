"""Who uses the web UI and the HTTP API: a person who clicks, a program that pushes, somebody without the password."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

from tests.bench.long_run.books import DIE
from tests.bench.long_run.crowd import QUEUES, Crowd
from tests.bench.long_run.producers import in_seconds
from tests.bench.webui import Visitor

PAGES = (
    "/ /queues /queues/default /queues/mail?per=100 /scheduled /retries /dead /busy /busy/jobs /search?q=Work /jobs "
    "/batches /tracking /locks /cron /cron/every-minute /throttles /push /backups /debug /api/ /stats /health /ready"
).split()
QUESTIONS = (
    "/api/summary /api/history /api/openapi.json /api/queues /api/queues/default/jobs /api/jobs?jobtype=Work&limit=5 "
    "/api/scheduled /api/retries /api/dead /api/working /api/workers /api/locks /api/tracking /api/batches /api/cron "
    "/api/throttles /api/backups"
).split()
PAGE_SECONDS = 0.25
QUESTION_SECONDS = 0.25
GUESS_SECONDS = 5.0
_LIFE = 100  # requests on one connection


def person(crowd: Crowd, rng: random.Random) -> None:
    """Open every page in turn, and send forms from some."""
    for number in crowd.every(PAGE_SECONDS):
        if number % _LIFE == 0:
            visitor = Visitor(crowd.web_port, crowd.password)
            steps = _click(crowd, rng, visitor)
        next(steps)
        crowd.books.count("pages")
        visitor.milliseconds.clear()


def _click(crowd: Crowd, rng: random.Random, visitor: Visitor) -> Iterator[None]:
    while True:
        for path in PAGES:
            page = visitor.ask("page", path)
            yield
            if path == "/push":
                jid = crowd.jid("form")
                crowd.books.pushing(jid)
                # Scheduled, so that the page of the job, which is shown next, is there.
                fields = {"jobtype": "Work", "queue": "default", "args": "[1]", "jid": jid, "at": in_seconds(5)}
                visitor.send("push", page, "/push", fields)
                crowd.books.pushed([jid])
                yield
            elif path == "/queues":
                for action in ("pause", "resume"):
                    page = visitor.send(action, page, "/queues", {"action": action, "queue": rng.choice(QUEUES)})
                page = visitor.ask("page", "/queues")
                for name in QUEUES:
                    visitor.send("resume", page, "/queues", {"action": "resume", "queue": name})
                yield
            elif path == "/cron":
                visitor.send("run", page, "/cron", {"name": "every-minute", "action": "run"})
                crowd.books.count("cron jobs run by hand")
                yield


class Program:
    """A program at the HTTP API."""

    def __init__(self, crowd: Crowd) -> None:
        login = base64.b64encode(f"program:{crowd.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self._connection = HTTPConnection("127.0.0.1", crowd.web_port, timeout=60)

    def ask(self, path: str, value: Any = None) -> Any:
        """GET, or POST of something as JSON; return what the answer holds."""
        headers, body, method = self._headers, None, "GET"
        if value is not None:
            headers, body, method = {**headers, "Content-Type": "application/json"}, json.dumps(value), "POST"
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{path} was answered with {answer.status}: {text[:500]!r}")
        return json.loads(text)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def program(crowd: Crowd, rng: random.Random) -> None:
    """Ask everything in turn, push, and delete dead jobs."""
    connection = Program(crowd)
    for number in crowd.every(QUESTION_SECONDS):
        if number % _LIFE == _LIFE - 1:
            connection.close()
            connection = Program(crowd)
        connection.ask(QUESTIONS[number % len(QUESTIONS)])
        crowd.books.count("questions to the API")
        if number % 8 == 0:
            jids = [crowd.jid("api") for _ in range(3)]
            for jid in jids:
                crowd.books.pushing(jid)
            connection.ask("/api/jobs", [{"jid": jid, "jobtype": "Work", "args": []} for jid in jids])
            crowd.books.pushed(jids)
        if number % 20 == 0 and (dead := crowd.books.take_resting(DIE, 50)):
            connection.ask("/api/dead/delete", {"filter": {"jids": dead}})
            crowd.books.removed(dead)
    connection.close()


def stranger(crowd: Crowd, rng: random.Random) -> None:
    """Ask for pages without a password, or with a wrong one."""
    for number in crowd.every(GUESS_SECONDS):
        source = (f"127.0.4.{rng.randrange(1, 31)}", 0)
        connection = HTTPConnection("127.0.0.1", crowd.web_port, timeout=10, source_address=source)
        headers = {"Authorization": "Basic " + base64.b64encode(b"eve:guessed").decode()} if number % 2 else {}
        connection.request("GET", rng.choice(PAGES[:10]), headers=headers)
        status = connection.getresponse().status
        connection.close()
        if status not in (401, 429, 503):
            crowd.books.find(f"a stranger was answered with {status}")
        crowd.books.count("strangers in the web UI")
