"""What a server has while it is fuzzed: a job in each place, a batch, a track, a lock, a worker; texts of clients are marked.

A connection that says HELLO is its worker; ``fill(say)`` puts the rest there, with the commands of another one; ``names(ask)`` asks the API what it is called by now.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.fuzz.http.values import MARK

QUEUE = "fuzz.queue"
WORKER = "fuzz/worker-1"
TRACKED = "jid-tracked"
CRON = "beat"
HELLO = {"v": 2, "wid": WORKER, "hostname": MARK, "pid": 7, "labels": [MARK, "%s", "\u202e"]}

Say = Callable[[bytes], bytes]  # a command of a connection that is no worker's; returns the reply
Ask = Callable[[str, str, Any], Any]  # method, path, JSON to send; returns the JSON that comes back

TOML = f"""
[[cron]]
name = "{CRON}"
schedule = "7 3 * * *"
[cron.job]
type = "Beat"
queue = "{QUEUE}"

[throttles]
bulk = {{ concurrency = 3, timeout = 60 }}
tenants = {{ key = "0.tenant_id", concurrency = 1 }}
"""


def fill(say: Say, number: int = 0) -> None:
    """Put something into each place; ``number`` is another one each time."""

    def push(kind: str, **fields: Any) -> str:
        jid = fields.pop("jid", f"jid-{kind}-{number}")
        job = {"jid": jid, "jobtype": f"work {MARK}", "args": [number, MARK], "queue": f"fuzz.{kind}", **fields}
        say(b"PUSH " + json.dumps(job).encode())
        return jid

    def fail(kind: str, **fields: Any) -> None:
        push(kind, **fields)
        fetched = json.loads(say(f"FETCH fuzz.{kind}".encode()))
        report = {"jid": fetched["jid"], "errtype": f"Boom {MARK}", "message": MARK, "backtrace": [MARK, "%s"]}
        say(b"FAIL " + json.dumps(report).encode())

    push("queue", priority=7)
    push("queue", jid=f"jid-locked-{number}", args=["locked", number], custom={"unique_for": 3600, MARK: MARK})
    push("scheduled", at="2101-01-01T00:00:00Z")
    fail("retry")
    fail("dead", retry=-1)
    push("working", custom={"track": 1}, jid=TRACKED)
    say(b"FETCH fuzz.working")
    say(b"TRACK SET " + json.dumps({"jid": TRACKED, "percent": 40, "desc": MARK, "result": {MARK: [MARK]}}).encode())
    callback = {"jobtype": MARK, "args": [MARK], "queue": "fuzz.queue"}
    new = {"description": MARK, "success": callback, "complete": callback}
    bid = say(b"BATCH NEW " + json.dumps(new).encode()).decode()
    push("batch", custom={"bid": bid})
    say(b"BATCH COMMIT " + bid.encode())


def names(ask: Ask) -> dict[str, str]:
    """What stands for the names of samples."""

    def newest(path: str, list_name: str, member: str) -> str:
        return str(ask("GET", path, None)[list_name][-1][member])

    return {
        "queue": QUEUE,
        "worker": WORKER,
        "tracked": TRACKED,
        "cron": CRON,
        "queued": newest(f"/api/queues/{QUEUE}/jobs", "jobs", "id"),
        "scheduled": newest("/api/scheduled", "jobs", "id"),
        "retry": newest("/api/retries", "jobs", "id"),
        "dead": newest("/api/dead", "jobs", "id"),
        "working": newest("/api/working", "jobs", "id"),
        "locked": newest("/api/locks", "locks", "job_id"),
        "batch": newest("/api/batches", "batches", "bid"),
    }
