"""Progress, results and requests to stop: with a published library, over a killed server, and with a worker that looks."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.system.conftest import MakeServer
from tests.system.fwp import Client, ServerError, job
from tests.system.libraries import PYFAKTORY, python_command
from tests.system.server import Server, clean_environment, eventually

TRACK = {"track": 1}


def track(client: Client, jid: str) -> dict[str, Any]:
    """What is told of a job."""
    return dict(client.do(f"TRACK GET {jid}"))


def test_pyfaktory_reads_what_is_told_of_its_job(server: Server) -> None:
    process = subprocess.run(
        python_command("pyfaktory_tracking"),
        env=clean_environment({"FAKTORY_URL": server.url}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    before, meanwhile, after, unknown = json.loads(process.stdout)
    assert (before["state"], meanwhile["state"], after["state"]) == ("enqueued", "working", "success")
    assert "percent" not in before
    assert (after["percent"], after["desc"]) == (30, "ein Drittel, fast: ⅓")
    assert unknown == {"jid": "no-such-job", "state": "unknown", "updated_at": ""}


def test_jobs_of_an_unmodified_producer_and_worker_are_tracked(server: Server) -> None:
    (jid,) = PYFAKTORY.push(server, {"jobtype": "record", "args": [1], "custom": TRACK})
    with server.client() as client, PYFAKTORY.working(server):
        eventually(lambda: track(client, jid)["state"] == "success", "the track says success")


def test_what_was_acknowledged_is_told_after_a_kill(make_server: MakeServer) -> None:
    server = make_server()
    until = (datetime.now(timezone.utc) + timedelta(hours=3)).isoformat()
    with server.client(wid="worker-1") as client:
        done = client.push(job("Sum", 1, custom=TRACK))
        plain = client.push(job("Sum", 2))
        third = client.push(job("Sum", 3, custom=TRACK))
        for _ in range(3):
            assert client.fetch("default")
        for jid in (done, plain):
            client.do("TRACK SET", {"jid": jid, "percent": 99, "desc": "almost", "reserve_until": until})
        client.do("ACK", {"jid": done, "result": {"sum": 3}})
        server.kill()
    server.start()
    with server.client(wid="worker-1") as client:
        told = track(client, done)
        assert (told["state"], told["percent"], told["desc"]) == ("success", 99, "almost")
        assert told["result"] == {"sum": 3}
        assert (track(client, plain)["state"], track(client, plain)["percent"]) == ("working", 99)
        assert track(client, third)["state"] == "working"
        with pytest.raises(ServerError, match="result must not be longer"):
            client.do("ACK", {"jid": plain, "result": "x" * 100_000})
        client.do("ACK", {"jid": plain, "result": [2]})
        server.kill()
    server.start()
    with server.client(wid="worker-1") as client:
        assert (track(client, plain)["state"], track(client, plain)["result"]) == ("success", [2])
        assert client.info()["faktory"]["sets"]["working"] == 1
        client.ack(third)
        assert client.fetch("default") is None


def test_a_request_to_stop_is_told_after_a_kill(make_server: MakeServer) -> None:
    server = make_server()
    with server.client(wid="worker-1") as client:
        jid = client.push(job("Endless", custom=TRACK))
        assert client.fetch("default")
        cancel(server, jid)
        server.kill()
    server.start()
    with server.client(wid="worker-1") as client:
        assert client.do("BEAT", {"wid": "worker-1", "cancels": True}) == {"cancel": [jid]}
        assert client.beat() == ""
        assert track(client, jid)["cancel"] is True
        client.fail(jid)
        assert client.info()["faktory"]["sets"]["dead"] == 1


def test_a_worker_stops_when_it_is_asked_to_by_the_console(server: Server) -> None:
    with server.client() as client:
        jid = client.push(job("Endless", custom=TRACK))
        command = [*python_command("cancellable_worker"), str(server.port), "worker-2"]
        with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as worker:
            try:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "fetched\n"
                cancel(server, jid)
                assert worker.communicate(timeout=60)[0] == "stopped\n"
            finally:
                worker.kill()
        assert worker.returncode == 0
        assert track(client, jid)["state"] == "dead"
        sets = client.info()["faktory"]["sets"]
        assert (sets["dead"], sets["retries"], sets["working"]) == (1, 0, 0)
    process = run_cancel(server, jid)
    assert process.returncode == 1
    assert f"it is dead: to get rid of it, faktory-tw delete dead {jid}" in process.stderr


def run_cancel(server: Server, jid: str) -> subprocess.CompletedProcess[str]:
    """Run `faktory-tw cancel`."""
    return subprocess.run(
        [sys.executable, "-m", "faktory_tw.cli", "cancel", jid],
        env=clean_environment({"FAKTORY_URL": server.url}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def cancel(server: Server, jid: str) -> None:
    """Ask for a job to stop, as an operator does."""
    process = run_cancel(server, jid)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("1 job asked to stop.")
