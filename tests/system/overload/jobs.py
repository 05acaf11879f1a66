"""The parts with many jobs: due at once, a deep queue, bulk pushes, many queues."""

from __future__ import annotations

import json
import statistics
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime, timezone

from tests.system.fwp import Client
from tests.system.overload.crowd import Crowd
from tests.system.overload.stand import Options, Stand, pipelined

DUE, RETRIED = 1_000_000, 100_000
BULK_JOBS, BULK_CONNECTIONS = 100_000, 20
QUEUES = 60_000
ROUNDS = 3000  # PUSHes and FETCHes of which the median is taken
PAGES = ("/", "/queues", "/queues?order=latency", "/busy", "/metrics", "/stats", "/api/")
_TRIAL = 20_000  # jobs pushed to learn how far ahead the common time has to lie


def at(seconds: float) -> str:
    """Return a time as jobs have it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def due(options: Options) -> Stand:
    """A million scheduled jobs, and a hundred thousand retries, that become due in the same second."""
    scheduled, retried = options.of(DUE), options.of(RETRIED)
    stand = Stand(options)
    with stand:
        began = time.monotonic()
        stand.fill(options.of(_TRIAL, 100), lambda _: "trial", "trial")
        each = (time.monotonic() - began) / options.of(_TRIAL, 100)
        moment = int(time.time() + 3 + 2 * (scheduled + 4 * retried) * each)
        stand.fill(scheduled, lambda _: "due", "s", at=at(moment))
        stand.fill(retried, lambda _: "due", "r")
        with stand.server.client(timeout=120) as client:
            _fail_all(client, retried, at(moment))
        sizes = stand.sizes()
        stand.same("scheduled and retried before", (sizes["scheduled"], sizes["retries"]), (scheduled, retried))
        stand.push_politely()
        if moment > time.time() + 0.5:
            with stand.phase("before they are due", scheduled + retried):
                time.sleep(min(moment - time.time() - 0.2, 5.0))
        while time.time() < moment - 0.1:
            time.sleep(0.05)
        with stand.phase("a million become due, and the retries", scheduled + retried) as phase:
            while time.time() < moment:
                time.sleep(0.001)
            began = time.monotonic()
            stand.eventually("all are due", lambda: _timed(stand) == 0, pause=0.1)
            phase.seconds = time.monotonic() - began
        stand.same("jobs queued", stand.sizes()["queued"], scheduled + retried + options.of(_TRIAL, 100))
    return stand


def _timed(stand: Stand) -> int:
    sizes = stand.sizes()
    return sizes["scheduled"] + sizes["retries"]


def _fail_all(client: Client, jobs: int, retry_at: str) -> None:
    left = jobs
    while left:
        count = min(left, 500)
        fetched = [json.loads(reply.value)["jid"] for reply in pipelined(client, ["FETCH due"] * count)]
        lines = [
            "FAIL " + json.dumps({"jid": jid, "errtype": "E", "message": "m", "retry_after": retry_at})
            for jid in fetched
        ]
        for reply in pipelined(client, lines):
            assert reply == ("simple", "OK"), reply
        left -= count


def deep(options: Options) -> Stand:
    """A deep queue: what commands cost, and what operators do to it."""
    jobs = options.of(options.deep, 1000)
    timed = options.of(min(options.deep, 1_000_000), 1000)
    stand = Stand(options)
    with stand:
        stand.fill(1000, lambda _: "deep", "first")
        shallow = _costs(stand, "shallow")
        stand.push_politely()
        with stand.phase("pushed, 5000 a line", jobs):
            stand.fill(jobs, lambda _: "deep", "d")
        stand.fill(timed, lambda _: "later", "t", at=at(time.time() + 86_400))
        costs = _costs(stand, "deep")
        for what in shallow:
            stand.note(f"{what}: median {shallow[what]:.3f} ms with 1000 jobs, {costs[what]:.3f} ms with {jobs:,}")
        stand.same("jobs", stand.sizes()["queued"], jobs + 1000)
        began = time.monotonic()
        stand.server.kill()
        stand.server.start(keep_ports=True)
        stand.note(
            f"start with {jobs:,} queued and {timed:,} scheduled after kill -9: {time.monotonic() - began:.1f} s"
        )
        _look(stand, ("/queues/deep", f"/queues/deep?page={jobs // 60}", "/queues/deep?match=no-such", "/scheduled"))
        _operate(stand, jobs, timed)
    return stand


def _costs(stand: Stand, name: str) -> dict[str, float]:
    """Return the median of PUSH and of FETCH, in milliseconds; the queue stays as long as it is."""
    pushes, fetches = [], []
    with stand.server.client(wid="taker", timeout=120) as client:
        for number in range(stand.options.of(ROUNDS, 50)):
            began = time.perf_counter()
            client.command(f'PUSH {{"jid":"{name}-{number:07d}","jobtype":"O","queue":"deep","args":[]}}')
            pushes.append(time.perf_counter() - began)
            began = time.perf_counter()
            fetched = client.fetch("deep")
            fetches.append(time.perf_counter() - began)
            assert fetched is not None
            client.ack(fetched["jid"])
    return {"PUSH": statistics.median(pushes) * 1000, "FETCH": statistics.median(fetches) * 1000}


def _operate(stand: Stand, jobs: int, timed: int) -> None:
    """What an operator does to many jobs, one after the other."""
    with stand.server.client(timeout=600) as client:
        with stand.phase("a backup", jobs + timed):
            client.do("ADMIN BACKUP", {})
        with stand.phase("MUTATE discard scheduled, of a type that none has", timed):
            client.mutate("discard", "scheduled", jobtype="Nothing")
        with stand.phase("MUTATE kill scheduled, of their type", timed):
            client.mutate("kill", "scheduled", jobtype="O")
        stand.same("dead", stand.sizes()["dead"], timed)
        with stand.phase("MUTATE requeue dead", timed):
            client.mutate("requeue", "dead")
        stand.same("requeued", client.info()["faktory"]["queues"]["later"], timed)
        with stand.phase("the queue is cleared, and its rows swept", jobs):
            client.do("ADMIN DELETE", {"place": "queued", "queue": "deep"})
            _swept(stand, client, "deep", 0)
        with stand.phase("QUEUE REMOVE, and its rows swept", timed):
            client.queue("REMOVE", "later")
            _swept(stand, client, "later", None)
    stand.fill(jobs, lambda _: "deep", "e")
    stand.fill(timed, lambda _: "later", "u", at=at(time.time() + 86_400))
    with stand.server.client(timeout=600) as client, stand.phase("FLUSH", jobs + timed):
        client.flush()
        time.sleep(max(5 * stand.options.scale, 0.3))
        stand.check(stand.sizes()["queued"] + stand.sizes()["scheduled"] == 0, "something is left after FLUSH")


def _swept(stand: Stand, client: Client, name: str, left: int | None) -> None:
    """Wait until the rows of a queue are gone from the disk."""
    stand.same(f"jobs in {name}", client.info()["faktory"]["queues"].get(name), left)
    path = stand.server.data_directory / "faktory.db"

    def none_left() -> bool:
        return count_rows(path, name) == 0

    stand.eventually(f"the rows of {name} are deleted", none_left, pause=0.5)


def count_rows(path: object, queue: str) -> int:
    """Return how many jobs of a queue a database has, or 1 at most if they are many: nobody waits for the count."""
    import sqlite3  # noqa: PLC0415

    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return len(connection.execute("SELECT 1 FROM jobs WHERE queue = ? LIMIT 1", (queue,)).fetchall())
    finally:
        connection.close()


def _look(stand: Stand, more: tuple[str, ...] = ()) -> None:
    """INFO and the pages, again and again."""
    rounds = stand.options.of(20)
    with stand.server.client(timeout=120) as client, stand.phase("INFO", rounds):
        for _ in range(rounds):
            client.info()
            time.sleep(0.02)
    rounds = stand.options.of(3)
    for path in (*PAGES, *more):
        with stand.phase(f"GET {path}", rounds):
            for _ in range(rounds):
                with urllib.request.urlopen(stand.server.web_url + path, timeout=300) as answer:
                    answer.read()


def bulk(options: Options) -> Stand:
    """PUSHB of a hundred thousand jobs in one line; then on twenty connections at once."""
    jobs, many = options.of(BULK_JOBS, 2000), BULK_CONNECTIONS
    stand = Stand(options)
    with stand:
        stand.push_politely()
        time.sleep(max(2 * options.scale, 0.2))
        before = stand.resident()
        for count in (1, many):
            with Crowd(stand.server, "bulk", count, jobs=jobs) as crowd:
                crowd.wait("prepared", count)
                with stand.phase(f"PUSHB of {jobs:,} in one line, connections:", count) as phase:
                    crowd.say("now")
                    phase.seconds = crowd.wait("bulks", count) - phase.began
                for wrong in crowd.wrong:
                    stand.check(False, wrong)
        stand.same("jobs", stand.sizes()["queued"], jobs * (1 + many))
        time.sleep(max(5 * options.scale, 0.3))
        stand.note(
            f"memory: {before:,.0f} MiB before, {stand.resident():,.0f} with {jobs * (1 + many):,} jobs"
            f" (8 bytes each: {jobs * (1 + many) * 8 / 2**20:,.0f})"
        )
    return stand


def queues(options: Options) -> Stand:
    """Sixty thousand queues with jobs."""
    count = options.of(QUEUES, 200)
    stand = Stand(options)
    with stand:
        stand.push_politely()
        with stand.phase("queues made by PUSHB", count):
            stand.fill(count * 2, lambda number: f"queue-{number % count:06d}", "q")
        stand.same("queues", stand.sizes()["queues"], count + 1)
        stand.server.kill()
        stand.server.start(keep_ports=True)
        time.sleep(max(2 * options.scale, 0.3))
        _look(stand, ("/queues?order=size", "/queues?q=123"))
        names = [f"queue-{number:06d}" for number in range(count)]
        with stand.server.client(timeout=120, wid="taker") as client:

            def each(what: str, rounds: int, action: Callable[[int], object]) -> None:
                with stand.phase(what, rounds):
                    for number in range(rounds):
                        action(number)

            each("FETCH that names a hundred queues", options.of(100), lambda _: _take(stand, client, names[:100]))
            each(
                "QUEUE LATENCY of a thousand",
                options.of(20),
                lambda n: client.queue("LATENCY", *names[n * 1000 % count :][:1000]),
            )
            each("QUEUE PAUSE *", 1, lambda _: client.queue("PAUSE", "*"))
            each("QUEUE RESUME *", 1, lambda _: client.queue("RESUME", "*"))
            stand.check(_take(stand, client, names[-100:]), "nothing was fetched after RESUME")
            each("QUEUE REMOVE of all but a hundred, by name", 1, lambda _: client.queue("REMOVE", *names[100:]))
            stand.eventually("they are gone", lambda: stand.sizes()["queues"] <= 101)
            stand.fill(count, lambda number: names[number % count], "again")
            each("QUEUE REMOVE *", 1, lambda _: client.queue("REMOVE", "*"))
            time.sleep(max(2 * options.scale, 0.2))
            stand.same("jobs left", stand.sizes()["queued"], 0)
            stand.fill(count, lambda number: names[number % count], "flushed")
            each("FLUSH", 1, lambda _: client.flush())
            with stand.phase("… and after it", count):
                time.sleep(max(3 * options.scale, 0.2))
    return stand


def _take(stand: Stand, client: Client, names: list[str]) -> bool:
    fetched = client.fetch(*names)
    if fetched is not None:
        client.ack(fetched["jid"])
    stand.check(fetched is not None, "a FETCH that names a hundred queues got nothing")
    return fetched is not None
