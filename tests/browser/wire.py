"""What the server itself says of what was clicked, over its protocol."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.system.fwp import job
from tests.system.server import Server

SETS = ("scheduled", "retries", "dead")
_numbers = itertools.count(1)


def unused(name: str) -> str:
    """A name that no other test has: of a queue or a type."""
    return f"{name}-{next(_numbers)}"


def in_an_hour() -> str:
    """When a job is due that shall not become due in a test."""
    return (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()


def put(server: Server, place: str, count: int, jobtype: str, queue: str = "default", **fields: Any) -> list[str]:
    """Put so many jobs into a place; return their jids."""
    jobs = [job(jobtype, number, queue=queue, **fields) for number in range(count)]
    jids = [made["jid"] for made in jobs]
    if place != "queued":
        jobs = [{**made, "at": in_an_hour()} for made in jobs]
    with server.client(wid=unused("putter")) as client:
        assert client.pushb(jobs) == {}
        if place == "dead":
            client.mutate("kill", "scheduled", jids=jids)
        elif place == "retries":
            client.mutate("requeue", "scheduled", jids=jids)
            for _ in jobs:
                fetched = client.fetch(queue)
                assert fetched is not None
                client.fail(fetched["jid"], "Oops", "it broke", backtrace=["a.rb:1", "b.rb:2"], retry_after=3600)
    return jids


def listed(server: Server, place: str, queue: str = "", **wanted: Any) -> list[dict[str, Any]]:
    """The jobs of a place that a filter of ADMIN finds, in their order."""
    question: dict[str, Any] = {"place": place, "filter": wanted, "limit": 1000}
    if queue:
        question["queue"] = queue
    with server.client() as client:
        return [found["job"] for found in client.do("ADMIN LIST", question)["jobs"]]


def places(server: Server, jid: str) -> list[str]:
    """Where a job is: a set, "working", or "queued"; empty when it is nowhere."""
    with server.client() as client:
        return [found["place"] for found in client.do("ADMIN SHOW", {"jid": jid})["jobs"]]


def sizes(server: Server) -> dict[str, int]:
    """How many jobs are in each queue, and in each set."""
    with server.client() as client:
        told = client.info()["faktory"]
    return {**told["queues"], **told["sets"]}


def queues(server: Server) -> dict[str, dict[str, Any]]:
    """What ADMIN tells of the queues, by name."""
    with server.client() as client:
        return {queue["name"]: queue for queue in client.do("ADMIN QUEUES")["queues"]}
