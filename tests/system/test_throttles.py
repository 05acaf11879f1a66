"""Throttles of a running server: workers that share slots, a server that is killed in between, limits that change."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from typing import Any

from tests.system.conftest import MakeServer
from tests.system.fwp import Client, ConnectionEnded, job
from tests.system.server import Server

LIMITS = """
[throttles]
bulk = { concurrency = 3, timeout = 600 }
mail = { worker = 1 }
slow = { rate = { limit = 1, period = 3600, burst = 2 } }
tenants = { queue = "api", key = "0.tenant_id", concurrency = 1 }
"""


def configured(make_server: MakeServer) -> Server:
    server = make_server(start=False)
    write(server, LIMITS)
    return server.start()


def write(server: Server, text: str) -> None:
    directory = server.config_directory / "conf.d"
    directory.mkdir(exist_ok=True)
    (directory / "throttles.toml").write_text(text)


def throttles(client: Client) -> dict[str, Any]:
    """What ADMIN THROTTLES tells, by name."""
    told = client.do("ADMIN THROTTLES", {})
    return {throttle["name"]: throttle for throttle in told["throttles"]}


def taken(client: Client, queue: str) -> list[str]:
    """The jids that FETCH gives until it gives nothing."""
    jids = []
    while (found := client.fetch(queue)) is not None:
        jids.append(found["jid"])
    return jids


def test_slots_and_tokens_are_kept_to_over_a_kill(make_server: MakeServer) -> None:
    server = configured(make_server)
    with server.client(wid="w1") as one, server.client(wid="w2") as two:
        for queue in ("bulk", "mail", "slow"):
            one.pushb([job("Work", number, queue=queue) for number in range(10)])
        one.pushb([job("Work", {"tenant_id": "big"}, queue="api") for _ in range(1000)])
        small = one.push(job("Work", {"tenant_id": "small"}, queue="api"))
        held = {queue: taken(one, queue) for queue in ("bulk", "mail", "slow", "api")}
        assert {queue: len(jids) for queue, jids in held.items()} == {"bulk": 3, "mail": 1, "slow": 2, "api": 2}
        assert held["api"][1] == small
        assert [len(taken(two, queue)) for queue in ("bulk", "mail", "slow", "api")] == [0, 1, 0, 0]
        one.push(job("Last", queue="default"))  # its acknowledgement says that all before it is on disk
        assert server.kill() != 0
    server.start()
    with server.client(wid="w1") as one, server.client(wid="w3") as three:
        assert [len(taken(one, queue)) for queue in ("bulk", "mail", "slow", "api")] == [0, 0, 0, 0]
        assert len(taken(three, "mail")) == 1
        one.ack(held["bulk"][0])
        one.ack(held["api"][0])
        one.ack(held["slow"][0])
        assert [len(taken(one, queue)) for queue in ("bulk", "api", "slow")] == [1, 1, 0]
        told = throttles(one)
        assert (told["bulk"]["taken"], told["bulk"]["free"], told["bulk"]["size"]) == (3, 0, 6)
        assert (told["tenants"]["taken"], told["tenants"]["waiting"]) == (2, 998)


def test_many_workers_never_hold_more_than_the_limit_together_and_all_jobs_are_done(make_server: MakeServer) -> None:
    server = configured(make_server)
    jobs = 60
    with server.client() as client:
        client.pushb([job("Work", number, queue="bulk") for number in range(jobs)])
    lock, done, most, holds = threading.Lock(), Counter[str](), [0], [0]

    def work(number: int) -> None:
        with server.client(wid=f"w{number}") as client:
            while sum(done.values()) < jobs:
                found = client.fetch("bulk")
                if found is None:
                    continue
                with lock:
                    holds[0] += 1
                    most[0] = max(most[0], holds[0])
                with lock:
                    holds[0] -= 1  # before the server knows: then others may have the slot
                    done[found["jid"]] += 1
                client.ack(found["jid"])

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers)
    assert most[0] <= 3
    assert (len(done), max(done.values())) == (jobs, 1)


def test_a_fetch_that_waits_is_woken_by_a_limit_that_is_raised_and_a_bad_entry_changes_nothing(
    make_server: MakeServer,
) -> None:
    server = configured(make_server)
    with server.client(wid="w1") as one, server.client(wid="w2") as two:
        one.pushb([job("Work", number, queue="bulk") for number in range(10)])
        assert len(taken(one, "bulk")) == 3
        write(server, LIMITS.replace("concurrency = 3", "concurrency = 0"))
        server.send_signal(signal.SIGHUP)
        server.wait_for_log(r"throttles\.toml:3: throttles\.bulk\.concurrency must be a whole number from 1")
        assert taken(two, "bulk") == []
        write(server, LIMITS.replace("concurrency = 3", "concurrency = 5"))
        two.send("FETCH bulk")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log(r"Changed: throttles")
        two.receive()
        assert throttles(one)["bulk"]["taken"] >= 3
        assert len(taken(one, "bulk")) + throttles(one)["bulk"]["free"] <= 2
        assert throttles(one)["bulk"]["taken"] == 5


def test_the_slots_of_a_connection_that_is_lost_while_it_waits_are_not_taken(make_server: MakeServer) -> None:
    server = configured(make_server)
    with server.client(wid="w1") as one:
        lost = [server.client(wid=f"lost{number}") for number in range(5)]
        for client in lost:
            client.send("FETCH bulk")
        for client in lost:
            try:
                client.close()
            except ConnectionEnded:
                pass
        one.pushb([job("Work", number, queue="bulk") for number in range(10)])
        assert len(taken(one, "bulk")) + throttles(one)["bulk"]["free"] <= 3
        assert throttles(one)["bulk"]["taken"] <= 3
