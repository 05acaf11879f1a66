"""Batches of a real server: with an unmodified client library, and while the server is killed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.system.batch_torture import torture
from tests.system.conftest import MakeServer
from tests.system.fwp import ServerError, job
from tests.system.server import Server

pyfaktory = pytest.importorskip("pyfaktory")


def bid_of(reply: str) -> str:
    """The library returns the reply as it came."""
    bid = reply.split("\r\n")[1]
    assert bid.startswith("b-")
    return bid


def test_pyfaktory_makes_a_batch_and_works_it(server: Server) -> None:
    ran: list[Any] = []
    with pyfaktory.Client(faktory_url=server.url, role="both") as client:
        producer = pyfaktory.Producer(client=client)
        target = {"jobtype": "done", "queue": "default", "args": ["all"]}
        asked = pyfaktory.Batch(parent_bid=None, description="import", success=target, complete=target)
        bid = bid_of(producer.batch_new(asked))
        for number in range(3):
            producer.push(pyfaktory.Job(jobtype="part", args=[number], queue="default", custom={"bid": bid}))
        assert producer.batch_open(bid)
        assert producer.batch_commit(bid)
        assert f'"bid":"{bid}","description":"import"' in client._batch_status(bid)
        for _ in range(5):
            (fetched,) = [client._fetch(["default"])]
            ran.append((fetched["jobtype"], fetched["args"]))
            client._ack(fetched["jid"])
        status = client._batch_status(bid)
    assert ran == [("part", [0]), ("part", [1]), ("part", [2]), ("done", ["all"]), ("done", ["all"])]
    assert '"total":3,"pending":0,"failed":0,"complete_st":"2","success_st":"2"' in status


def test_a_batch_outlives_a_killed_server(make_server: MakeServer) -> None:
    server = make_server()
    callback = {"jobtype": "Done", "queue": "done"}
    with server.client(wid="worker-1") as client:
        reply = client.command('BATCH NEW {"success":{"jobtype":"Done","queue":"done"},"complete":null}')
        bid = reply.value.decode()
        client.push(job("Part", custom={"bid": bid}))
        with pytest.raises(ServerError, match=r"^ERR No such batch b-none$"):
            client.push(job("Part", custom={"bid": "b-none"}))
        client.do(f"BATCH COMMIT {bid}")
        server.kill()
    server.start()
    with server.client(wid="worker-1") as client:
        fetched = client.fetch("default")
        assert fetched is not None
        client.ack(fetched["jid"])
        server.kill()
    server.start()
    with server.client(wid="worker-1") as client:
        fetched = client.fetch("done")
        assert fetched is not None
        assert (fetched["jobtype"], fetched["custom"]) == (callback["jobtype"], {"_bid": bid, "_cb": "success"})
        client.ack(fetched["jid"])
        assert client.do(f"BATCH STATUS {bid}")["success_st"] == "2"


def test_every_callback_is_fired_once_though_the_server_is_killed(make_server: MakeServer) -> None:
    wrong, figures = torture(make_server(start=False), jobs=2000, kills=3, width=4)
    assert not wrong, (wrong, figures)
    assert figures["callbacks"] == 2 * 21
