"""Locks of unique jobs outlive a killed server, and end with their jobs on both sides of the kill."""

from __future__ import annotations

import pytest

from tests.system.conftest import MakeServer
from tests.system.fwp import Client, ServerError, job

UNIQUE = {"unique_for": 3600}


def refused(client: Client, number: int) -> bool:
    """Whether a job equal to this one is refused as not unique."""
    try:
        client.push(job("Once", number, custom=UNIQUE))
    except ServerError as error:
        assert str(error) == "NOTUNIQUE Job not unique"  # noqa: PT017 - that there is one is the caller's business
        return True
    return False


def test_a_lock_whose_push_was_acknowledged_is_there_after_a_kill_and_one_that_ended_is_not(
    make_server: MakeServer,
) -> None:
    server = make_server()
    with server.client(wid="worker-1") as client:
        done = client.push(job("Once", 1, custom=UNIQUE))
        assert client.fetch("default") is not None
        held = client.push(job("Once", 2, custom=UNIQUE))
        assert client.fetch("default") is not None
        client.push(job("Once", 3, custom=UNIQUE))
        assert client.pushb([job("Once", 4, custom=UNIQUE), job("Once", 4, custom=UNIQUE)]) != {}
        client.ack(done)
        server.close()
    for _ in range(2):
        server.start()
        with server.client(wid="worker-1") as client:
            assert [refused(client, number) for number in (2, 3, 4)] == [True] * 3
            server.close()
    server.start()
    with server.client(wid="worker-1") as client:
        assert not refused(client, 1)
        client.ack(held)
        assert not refused(client, 2)
        client.queue("remove", "default")
        assert not refused(client, 3)


def test_a_time_that_is_none_is_refused_with_what_to_give(make_server: MakeServer) -> None:
    with (
        make_server().client() as client,
        pytest.raises(ServerError, match=r"custom.unique_for must be a number of seconds"),
    ):
        client.push(job("Once", custom={"unique_for": -1}))
