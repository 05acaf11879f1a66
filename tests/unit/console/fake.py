"""In the place of a server: `Fake` remembers what the commands of ``faktory-tw`` ask and answers as a test told it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from faktory_tw.console.address import Address
from faktory_tw.console.connection import Refused

Run = Callable[..., tuple[int, str, str]]
ADDRESS = Address("localhost", 7419)
INFO = {
    "now": "2025-11-21T12:00:00Z",
    "faktory": {
        "queues": {"a": 2, "b": 0},
        "sets": {"scheduled": 3, "retries": 0, "dead": 1, "working": 4},
        "total_processed": 10,
        "total_failures": 1,
        "total_enqueued": 2,
    },
    "server": {"implementation": "faktory_tw", "implementation_version": "1.2", "uptime": 61, "connections": 5},
}


def page(*jobs: dict[str, Any], after: str | None = None, matched: int | None = None) -> dict[str, Any]:
    """A reply to ADMIN LIST."""
    matched = len(jobs) if matched is None else matched
    return {"jobs": list(jobs), "matched": matched, "examined": 10, "next": after, "size": 20}


def view(jid: str, place: str = "retries", **fields: Any) -> dict[str, Any]:
    """A job in a reply."""
    job = {"jid": jid, "queue": "a", "jobtype": "Work", "args": [1, "x"], "retry": 25, **fields}
    return {"place": place, "at": "2025-11-21T12:00:00.5Z", "job": job}


class Fake:
    """Answers in turn what `answers` has for the first words of a line; "OK" if there is nothing."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.address = ADDRESS
        self.meanwhile = 0

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def answer(self, line: str, *replies: Any) -> None:
        """What is to be answered to lines that begin so; the last one again and again."""
        self.answers[line] = list(replies)

    def ask(self, line: str, argument: Any = None, **options: Any) -> Any:
        self.asked.append((line, argument))
        for begin, replies in self.answers.items():
            if line.startswith(begin):
                reply = replies.pop(0) if len(replies) > 1 else replies[0]
                if isinstance(reply, Exception):
                    raise reply
                if "meanwhile" in options and self.meanwhile:
                    options["meanwhile"]()
                return reply
        return json.loads(json.dumps(INFO)) if line == "INFO" else "OK"

    def ask_if_known(self, line: str, argument: Any = None) -> Any:
        try:
            return self.ask(line, argument)
        except Refused:
            return None

    def command(self, line: bytes) -> bytes:
        return str(self.ask(line.decode())).encode()

    @property
    def lines(self) -> list[str]:
        return [line for line, _ in self.asked]


def refused(text: str) -> Refused:
    return Refused(ADDRESS, text)


UNKNOWN = refused("-ERR Unknown command ADMIN")

QUEUES: dict[str, Any] = {
    "queues": [
        {"name": "a", "size": 2, "paused": True, "latency": 3.5, "priorities": {"9": 1, "5": 1}},
        {"name": "b", "size": 0, "paused": False, "latency": 0.0, "priorities": {}},
    ],
    "pushes_refused": "",
}
WORKER = {
    "wid": "w1",
    "hostname": "box",
    "pid": 7,
    "labels": ["ruby"],
    "started_at": "2025-11-21T12:00:00Z",
    "state": "quiet",
    "rss_kb": 2048,
    "connections": 2,
    "busy": 4,
    "beat_age": 1.0,
}
BACKUP = {"name": "f.db", "taken_at": "2025-11-21T12:00:00Z", "size_bytes": 1024, "jobs": 5, "verified": True}


def whole(fake: Fake) -> None:
    """A server that tells everything."""
    fake.answer("ADMIN QUEUES", QUEUES)
    fake.answer("ADMIN WORKERS", {"workers": [WORKER]})
    fake.answer("ADMIN BACKUPS", {"backups": [BACKUP], "running": False, "count": 1, "last_error": ""})
