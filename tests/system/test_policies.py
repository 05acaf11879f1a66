"""What an operator says of single queues, changed while the server runs; and workers that say when to try again."""

from __future__ import annotations

import re
import signal

import pytest

from tests.system.conftest import MakeServer
from tests.system.fwp import ServerError, job
from tests.system.server import Server, eventually


def write(server: Server, text: str) -> str:
    path = server.config_directory / "conf.d" / "queues.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def hang_up(server: Server, text: str, said: str) -> None:
    """Other settings, and SIGHUP; ``said`` is what the log says of it."""
    write(server, text)
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(re.escape(said))


def test_a_hangup_changes_the_policy_of_a_queue_and_a_mistake_changes_nothing(make_server: MakeServer) -> None:
    server = make_server()
    text = '[queues.bulk]\nmax_size = 1\n[queues."mail.eu"]\nretry = 2\n'
    path = write(server, text)
    hang_up(server, text, "Changed: queues.bulk, queues.mail.eu")
    with server.client() as client:
        client.push(job("First", queue="bulk"))
        with pytest.raises(ServerError, match=r"^ERR bulk is too large, currently 1, max size is 1$"):
            client.push(job("Second", queue="bulk"))
        client.push(job("Mail", queue="mail.eu"))
        assert (client.fetch("mail.eu") or {})["retry"] == 2
        hang_up(
            server,
            '[queues.bulk]\nretry = 7\nreserve_for = 90\naging = 1\n[queues."mail.eu"]\nretry = 2\n[queues.new]\nretry = 1',
            "Changed: queues.bulk, queues.new",
        )
        client.push(job("Second", queue="bulk", priority=9))
        assert [client.fetch("bulk") for _ in range(2)] != [None, None]
        client.push(job("Third", queue="bulk"))
        third = client.fetch("bulk") or {}
        assert (third["retry"], third["reserve_for"]) == (7, 90)
        hang_up(
            server, "[queues.bulk]\nretries = 8", f"{path}:2: unknown key retries in [queues.bulk]; did you mean retry?"
        )
        client.push(job("Fourth", queue="bulk"))
        assert (client.fetch("bulk") or {})["retry"] == 7


def test_aging_orders_what_waited_before_a_restart(make_server: MakeServer) -> None:
    server = make_server()
    write(server, "[queues.default]\naging = 1\n")
    server.kill()
    server.start()
    with server.client() as client:
        low = client.push(job("Low", priority=1))
        high = client.push(job("High", priority=9))
    server.kill()
    server.start()
    with server.client() as client:
        assert [(client.fetch("default") or {})["jid"] for _ in range(2)] == [high, low]


def test_weights_and_wishes_for_another_try(make_server: MakeServer) -> None:
    server = make_server()
    with server.client(wid="worker-1") as client:
        for name in ("a", "b"):
            for _ in range(20):
                client.push(job("Work", queue=name, custom={"backoff": [3600]}))
        fetched = [client.fetch("a:999", "b:1") or {} for _ in range(10)]
        assert {each["queue"] for each in fetched} >= {"a"}
        with pytest.raises(ServerError, match="must be the name of a queue, a colon and a weight from 1 to 1000"):
            client.fetch("a:0")
        first, second = fetched[0]["jid"], fetched[1]["jid"]
        with pytest.raises(ServerError, match="retry_after must be a number of seconds"):
            client.fail(first, retry_after=-1)
        client.fail(first, retry_after=0)
        client.fail(second)
        client.queue("remove", "b")
        client.queue("pause", "a")
        eventually(lambda: client.info()["faktory"]["sets"]["retries"] == 1, "the job is due at once")
    server.kill()
    server.start()
    with server.client(wid="worker-1") as client:
        client.mutate("requeue", "retries", jids=[second])
        client.queue("resume", "a")
        jobs = []
        while (got := client.fetch("a")) is not None:
            jobs.append(got)
        failed = {got["jid"]: got["failure"] for got in jobs if "failure" in got}
        assert failed.keys() == {first, second}
        assert {record["remaining"] for record in failed.values()} == {25}
