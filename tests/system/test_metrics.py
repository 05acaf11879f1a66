"""A running server as a monitoring system sees it: /metrics, /health and /ready over HTTP, statsd over UDP."""

from __future__ import annotations

import base64
import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.system.conftest import MakeServer
from tests.system.fwp import job
from tests.system.server import Server, eventually

PASSWORD = "correct-horse"
Samples = dict[tuple[str, tuple[str, ...]], float]


def get(server: Server, path: str, password: str | None = None) -> tuple[int, str]:
    """GET a page; return its status and its text."""
    request = urllib.request.Request(server.web_url + path)
    if password is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"any:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=15) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def scrape(server: Server, password: str | None = None) -> Samples:
    """Return value by name and label values, in the order of the labels' names."""
    status, text = get(server, "/metrics", password)
    assert status == 200, text
    families = text_string_to_metric_families(text)
    return {(one.name, tuple(one.labels.values())): one.value for family in families for one in family.samples}


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    """A statsd receiver on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(15)
        yield bound


def configure_statsd(server: Server, port: int) -> None:
    directory = server.config_directory / "conf.d"
    directory.mkdir(exist_ok=True)
    (directory / "statsd.toml").write_text(
        f'[statsd]\nlocation = "127.0.0.1:{port}"\ntags = ["env:test"]\nqueueLatency = ["mail"]\n', encoding="utf-8"
    )


def lines_until(receiver: socket.socket, wanted: set[str]) -> set[str]:
    """Receive lines until those wanted were among them; return all, or fail with what came."""
    received: set[str] = set()
    while not wanted <= received:
        try:
            datagram = receiver.recv(65_536)
        except TimeoutError:
            raise AssertionError(f"still missing {wanted - received}; received {received}") from None
        assert len(datagram) <= 1432
        received |= set(datagram.decode().split("\n"))
    return received


def test_metrics_tell_what_happened(server: Server) -> None:
    with server.client(wid="worker-1") as client:
        for number in range(5):
            client.push(job("work", number, queue="mail"))
        fetched = [client.fetch("mail") for _ in range(3)]
        assert fetched[0] is not None
        assert fetched[1] is not None
        client.ack(fetched[0]["jid"])
        client.fail(fetched[1]["jid"])
        told = scrape(server)
    assert told["faktory_jobs_pushed_total", ()] == 5
    assert told["faktory_jobs_fetched_total", ()] == 3
    assert told["faktory_jobs_processed_total", ()] == 2
    assert told["faktory_jobs_failed_total", ()] == 1
    assert told["faktory_commands_total", ("ok", "PUSH")] == 5
    assert told["faktory_queue_size", ("mail",)] == 2
    assert told["faktory_queue_busy", ("mail",)] == 1
    assert told["faktory_set_size", ("retries",)] == 1
    assert told["faktory_workers", ("running",)] == 1
    assert told["faktory_connections", ()] == 1
    assert told["faktory_ready", ()] == 1
    assert told["faktory_commit_seconds_count", ()] > 0
    assert told["faktory_disk_free_bytes", ()] > 0
    assert told["faktory_store_bytes", ("faktory.db",)] > 0


def test_the_lag_of_the_event_loop_is_measured_all_the_time(server: Server) -> None:
    eventually(
        lambda: scrape(server)["faktory_event_loop_lag_seconds_count", ()] >= 5, "five measurements of the event loop"
    )


def test_the_database_grows_where_metrics_look_for_it(server: Server) -> None:
    names = {labels[0] for name, labels in scrape(server) if name == "faktory_store_bytes"}
    assert {"faktory.db", "faktory.db-wal"} == names
    assert all((server.data_directory / name).exists() for name in names)


def test_metrics_of_thousands_of_queues_come_whole_while_jobs_are_pushed(server: Server) -> None:
    with server.client() as client:
        client.pushb([job("work", queue=f"queue-{number}") for number in range(3000)])
        told = scrape(server)
        client.push(job("work"))
    for name in ("size", "latency_seconds", "busy", "paused"):
        assert sum(one == f"faktory_queue_{name}" for one, _ in told) == 3000, name


def test_metrics_need_the_password_and_health_does_not(make_server: MakeServer) -> None:
    server = make_server(password=PASSWORD)
    assert get(server, "/metrics")[0] == 401
    assert get(server, "/metrics", "wrong")[0] == 401
    assert scrape(server, PASSWORD)["faktory_ready", ()] == 1
    assert get(server, "/health")[0] == 200
    status, text = get(server, "/ready")
    assert status == 200
    assert json.loads(text) == {"ready": True, "reasons": []}


def test_a_server_without_room_is_alive_and_not_ready(make_server: MakeServer) -> None:
    server = make_server(arguments=["--min-free-disk", str(2**62)])
    status, text = get(server, "/ready")
    assert status == 503
    assert "disk is nearly full" in json.loads(text)["reasons"][0]
    assert get(server, "/health")[0] == 200
    assert scrape(server)["faktory_pushes_refused", ()] == 1


def test_statsd_gets_gauges_and_jobs(make_server: MakeServer, receiver: socket.socket) -> None:
    server = make_server(start=False)
    configure_statsd(server, receiver.getsockname()[1])
    server.start()
    lines_until(receiver, {"faktory.processed:0|g|#env:test", "faktory.latency.mail:0|g|#env:test"})
    with server.client() as client:
        client.push(job("Mail::Send", queue="mail"))
        client.push(job("Mail::Fail", queue="mail"))
        for end in (client.ack, client.fail):
            fetched = client.fetch("mail")
            assert fetched is not None
            end(fetched["jid"])
    sent, failed = ("queue:mail,jobtype:Mail::Send,env:test", "queue:mail,jobtype:Mail::Fail,env:test")
    received = lines_until(
        receiver,
        {
            f"faktory.jobs.count:1|c|#{sent}",
            f"faktory.jobs.count:1|c|#{failed}",
            f"faktory.jobs.failed:1|c|#{failed}",
        },
    )
    for tags in (sent, failed):
        assert any(re.fullmatch(rf"faktory\.jobs\.perform:[\d.]+\|ms\|#{tags}", line) for line in received), received
    assert server.stop() == 0


def test_a_statsd_receiver_that_is_missing_or_comes_late_stops_nothing(
    make_server: MakeServer, receiver: socket.socket
) -> None:
    port = receiver.getsockname()[1]
    receiver.close()
    server = make_server(start=False)
    configure_statsd(server, port)
    server.start()
    with server.client() as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        client.push(job("Before", queue="mail"))
        assert client.fetch("mail") is not None
        server.wait_for_log("takes no metrics")
        late.bind(("127.0.0.1", port))
        late.settimeout(15)
        jid = client.push(job("After", queue="mail"))
        assert client.fetch("mail") is not None
        client.ack(jid)
        lines_until(late, {"faktory.jobs.count:1|c|#queue:mail,jobtype:After,env:test"})
    assert server.log().count("takes no metrics") == 1
    assert server.stop() == 0
