"""The server is killed at random moments under load; every job is accounted for. See torture.py and ledger.py.

`Server.close` is what kills here: SIGKILL, and then everything of the dead process is freed.
"""

from __future__ import annotations

from tests.system.conftest import MakeServer
from tests.system.fwp import job
from tests.system.torture import table, torture

KILLS = 15
SEED = 20


def test_no_acknowledged_job_is_lost_and_no_finished_one_returns_over_many_kills(make_server: MakeServer) -> None:
    """`kill -9` at any instant: what was acknowledged is there, once; what was finished is not."""
    verdict = torture(make_server(start=False), kills=KILLS, seed=SEED)
    print(table(verdict, 0))  # noqa: T201 - shown by pytest when the test fails, and with -s
    assert not verdict.wrong, verdict.text()
    assert verdict.figures["pushes acknowledged"] > 500
    assert verdict.figures["ACK answered +OK"] > 200
    assert verdict.figures["... held over a kill, not excused"] > 0
    for part in (
        "batches",
        "... TRACK SET acknowledged",
        "... deliveries",
        "ticks of cron",
        "orders of operators",
        "pauses of a queue",
    ):
        assert verdict.figures[part] > 0, part


def test_a_job_pushed_just_before_a_kill_is_there_after_it(make_server: MakeServer) -> None:
    """The simplest form of the promise: one push, one answer, one kill."""
    server = make_server()
    for number in range(3):
        with server.client() as client:
            jid = client.push(job("after", number))
            server.close()
        server.start()
        with server.client(wid="worker-1") as client:
            fetched = client.fetch("default")
            assert fetched is not None
            assert fetched["jid"] == jid
            client.ack(jid)
            server.close()
        server.start()
    with server.client() as client:
        faktory = client.info()["faktory"]
        assert faktory["queues"]["default"] == 0
        assert faktory["sets"]["working"] == 0


def test_a_job_whose_fetch_is_on_disk_is_still_reserved_after_a_kill(make_server: MakeServer) -> None:
    """The worker may go on and acknowledge it to the next process."""
    server = make_server()
    with server.client(wid="worker-1") as client:
        jid = client.push(job("held"))
        assert client.fetch("default") is not None
        # The answer to a later change leaves after its commit, and batches are written in order.
        client.push(job("later"))
        server.close()
    server.start()
    with server.client(wid="worker-1") as client:
        faktory = client.info()["faktory"]
        assert faktory["sets"]["working"] == 1
        assert faktory["queues"]["default"] == 1
        client.ack(jid)
        assert client.info()["faktory"]["sets"]["working"] == 0
