"""What every client library has to live through, told once; the test modules say with which library.

A story takes a running server and starts processes of its own. Where Faktory would wait (15 seconds and more before a
retry), the story moves the job with MUTATE instead of sleeping.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.system.fwp import Client
from tests.system.libraries import Library, LibraryError, Worker
from tests.system.server import Server, eventually

TRICKY = ["text with spaces", "ünïcödé ☃ 🏭", {"nested": [1, 2.5, None, True]}, 'quotes " and \\ \n newline']


def record(*args: Any, **fields: Any) -> dict[str, Any]:
    """Return a job that prints its arguments."""
    return {"jobtype": "record", "args": list(args), **fields}


def seconds_from_now(seconds: float) -> str:
    """Return a time for `at`, as RFC 3339 in UTC."""
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def wait_for_totals(client: Client, *, processed: int, failures: int = 0) -> None:
    """Wait until the server has counted this, then assert that nothing is queued, reserved or waiting."""

    def counted() -> bool:
        info = client.info()["faktory"]
        return bool(info["total_processed"] >= processed and info["sets"]["working"] == 0)

    eventually(counted, f"{processed} jobs counted: {client.info()['faktory']}")
    state = client.info()["faktory"]
    assert (state["total_processed"], state["total_failures"]) == (processed, failures)
    assert not any(state["queues"].values()), state["queues"]


def quits_cleanly(worker: Worker, client: Client) -> None:
    """Stop the worker; its status has to be the library's usual one, and the server has to know that it is gone.

    The server counts an ACK before its reply leaves, and one library never ends when the signal meets it while it waits
    for that reply: so let all replies leave first, and give the library the time to read them.
    """
    client.ack("a-jid-of-nobody")
    time.sleep(0.5)
    assert worker.stop() == worker.client_library.exit_status, worker.output()
    eventually(lambda: client.info()["faktory"]["tasks"]["Workers"]["size"] == 0, "the worker is not listed any more")
    assert client.info()["faktory"]["sets"]["working"] == 0


def jobs_are_done(server: Server, producer: Library, worker_library: Library) -> None:
    """Jobs pushed by one library are done by a worker of another (or the same), arguments intact."""
    with server.client() as client, worker_library.working(server) as worker:
        jids = producer.push(server, record(*TRICKY), record(1), record("elsewhere", queue="other"))
        assert len(set(jids)) == 3
        worker.wait_until_done(TRICKY, [1], ["elsewhere"])
        wait_for_totals(client, processed=3)
        quits_cleanly(worker, client)


def jobs_that_fail_are_retried(server: Server, library: Library, directory: Path) -> None:
    """A failed job waits in the retries with its failure, and is done when it is sent again."""
    with server.client() as client, library.working(server) as worker:
        marker = directory / "failed once"
        library.push(server, {"jobtype": "fail_first", "args": [str(marker), "second time"], "retry": 3})
        eventually(lambda: client.info()["faktory"]["sets"]["retries"] == 1, f"one retry\n{worker.output()}")
        assert marker.exists()
        assert worker.done() == []
        client.mutate("requeue", "retries")
        worker.wait_until_done(["second time"])
        wait_for_totals(client, processed=2, failures=1)
        quits_cleanly(worker, client)


def failures_are_told(server: Server, library: Library) -> None:
    """What the library says about a failure is in the job that is fetched again."""
    with server.client() as client:
        with library.working(server) as worker:
            [jid] = library.push(server, {"jobtype": "always_fails", "args": ["no such luck"], "retry": 2})
            eventually(lambda: client.info()["faktory"]["sets"]["retries"] == 1, f"one retry\n{worker.output()}")
            quits_cleanly(worker, client)
        client.mutate("requeue", "retries", jids=[jid])
        job = client.fetch("default")
        assert job is not None
        assert job["jid"] == jid
        failure = job["failure"]
        assert (failure["errtype"], failure["message"]) == ("ValueError", "no such luck")
        assert (failure["retry_count"], failure["remaining"]) == (0, 2)
        client.ack(jid)


def scheduled_jobs_wait(server: Server, library: Library) -> None:
    """A job for later is kept until then, and done without anybody asking for it."""
    with server.client() as client, library.working(server) as worker:
        library.push(server, record("far away", at=seconds_from_now(3600)), record("soon", at=seconds_from_now(2)))
        worker.wait_until_done(["soon"])
        wait_for_totals(client, processed=1)
        assert client.info()["faktory"]["sets"]["scheduled"] == 1
        quits_cleanly(worker, client)


def bulk_pushes_arrive(server: Server, library: Library) -> None:
    """Many jobs in one PUSHB: a long line, all of it accepted, all of it done once."""
    with server.client() as client, library.working(server) as worker:
        count = 120
        jids = library.push(server, *[record(number, "x" * 100) for number in range(count)], bulk=True)
        assert len(set(jids)) == count
        worker.wait_until_done(*([number, "x" * 100] for number in range(count)))
        wait_for_totals(client, processed=count)
        quits_cleanly(worker, client)


def wrong_passwords_are_refused(server: Server, library: Library, expected: str) -> None:
    """The library reports a refusal in its own words (`expected`, a regular expression), and nothing is pushed."""
    with pytest.raises(LibraryError, match=expected):
        library.push(server, record(1), url=f"tcp://:wrong@127.0.0.1:{server.port}")
    with server.client() as client:
        assert json.dumps(client.info()["faktory"]["queues"]) in ("{}", '{"default": 0}')
