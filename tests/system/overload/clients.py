"""The parts with many clients: connections, a herd of them, producers that outrun the disk, workers that die."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.system.fwp import Client
from tests.system.overload.crowd import Crowd
from tests.system.overload.stand import Options, Stand, pipelined

CONNECTIONS, FETCHING = 10_000, 2000
BATCH = 5000  # jobs pushed at a time for those who fetch
PRODUCERS = 1000
WORKERS, EACH = 10_000, 5
PASSWORD = "correct-horse"


def work_through(stand: Stand, crowd: Crowd, jobs: int, name: str) -> None:
    """Push jobs for a crowd that fetches, and see each of them done, once."""
    done, twice = crowd.told.get("done", 0), crowd.told.get("done twice", 0)
    stand.fill(jobs, lambda _: "work", name)
    crowd.wait("done", done + jobs)
    stand.same("jobs done a second time", crowd.told.get("done twice", 0), twice)
    sizes = stand.sizes()
    stand.same("jobs left", sizes["queued"], 0)
    stand.eventually("nothing is worked any more", lambda: stand.sizes()["working"] == 0, 10)


def connections(options: Options) -> Stand:
    """Ten thousand connections, of which two thousand fetch from an empty queue."""
    total, fetching = options.of(CONNECTIONS, 20), options.of(FETCHING, 4)
    seconds = max(10 * options.scale, 0.5)
    stand = Stand(options)
    with stand:
        stand.push_politely()
        time.sleep(seconds / 2)
        before = stand.resident()
        with ExitStack() as crowds:
            with stand.phase("connections greeted, all that come at once", total) as phase:
                idle = crowds.enter_context(Crowd(stand.server, "idle", total - fetching))
                eager = crowds.enter_context(Crowd(stand.server, "fetching", fetching))
                served = [idle.wait("served", idle.count), eager.wait("served", eager.count)]
                phase.seconds = max(served) - phase.began
            stand.note(f"memory a connection: {(stand.resident() - before) * 1024 / total:.1f} KiB")
            with stand.phase(f"… {fetching:,} of them fetch from an empty queue", total):
                time.sleep(seconds)
            row = stand.rows[-1]
            stand.note(f"processor, {fetching:,} fetching in vain and one pushing: {row.processor / row.seconds:.1%}")
            with stand.phase("… these get jobs, and acknowledge them", options.of(10 * BATCH, 100)):
                work_through(stand, eager, options.of(10 * BATCH, 100), "a")
            for crowd in (idle, eager):
                stand.same("connections that ended", crowd.told.get("lost", 0), 0)
        with stand.phase("all of them leave", total):
            stand.eventually("the connections are forgotten", lambda: connected(stand) <= 2, pause=0.05)
        for crowd in (idle, eager):
            for wrong in crowd.wrong:
                stand.check(False, wrong)
    return stand


def silence(options: Options) -> Stand:
    """Ten thousand connections that say nothing: what the server does then."""
    total = options.of(CONNECTIONS, 20)
    stand = Stand(options)
    with stand, Crowd(stand.server, "idle", total) as idle:
        idle.wait("served", total)
        time.sleep(min(2.0, 20 * options.scale))
        with stand.phase("connections that say nothing", total):
            time.sleep(max(10 * options.scale, 0.5))
        row = stand.rows[-1]
        stand.note(f"processor, {total:,} connections that say nothing: {row.processor / row.seconds:.2%}")
    return stand


def connected(stand: Stand) -> int:
    """Return how many clients the server counts."""
    with stand.server.client(timeout=120) as client:
        return int(client.info()["server"]["connections"])


def herd(options: Options) -> Stand:
    """All clients come back at once, after `kill -9` and a restart, without a password."""
    return _herd(options, None)


def herd_with_password(options: Options) -> Stand:
    """The same with a password: thousands of hashes for each greeting."""
    return _herd(options, PASSWORD)


def _herd(options: Options, password: str | None) -> Stand:
    total, fetching = options.of(CONNECTIONS, 20), options.of(FETCHING, 4)
    stand = Stand(options, password)
    secret = "with a password" if password else "without a password"
    with (
        stand,
        Crowd(stand.server, "idle", total - fetching) as idle,
        Crowd(stand.server, "fetching", fetching) as eager,
    ):
        idle.wait("served", idle.count)
        eager.wait("served", eager.count)
        polite = stand.push_politely()
        work_through(stand, eager, options.of(BATCH, 50), "before")
        stand.server.kill()
        with stand.phase(f"all come back after kill -9, {secret}", total) as phase:
            lost = [crowd.told.get("connected", 0) for crowd in (idle, eager)]
            stand.server.start(keep_ports=True)
            phase.began = time.monotonic()
            idle.wait("connected", lost[0] + idle.count)
            eager.wait("connected", lost[1] + eager.count)
            served = [idle.wait("served", idle.count), eager.wait("served", eager.count)]
            phase.seconds = max(served) - phase.began
        with stand.phase("… and get jobs, and acknowledge them", options.of(2 * BATCH, 50)):
            work_through(stand, eager, options.of(2 * BATCH, 50), "after")
        for crowd in (idle, eager):
            stand.note(
                f"{crowd.told['lost']:,} connections lost, {crowd.told.get('refused', 0):,} times nobody listened yet, "
                f"{crowd.told.get('late', 0) + crowd.told.get('turned away', 0):,} not greeted in time"
            )
            for wrong in crowd.wrong:
                stand.check(False, wrong)
        with stand.server.client(timeout=120) as client:
            queued = client.info()["faktory"]["queues"]["polite"]
        stand.check(queued >= polite.pushed - 1, f"{polite.pushed} jobs acknowledged, {queued} there")
    return stand


def producers(options: Options) -> Stand:
    """A thousand connections that push without waiting for an answer, for a minute, and a polite client."""
    total, seconds = options.of(PRODUCERS, 10), max(60 * options.scale, 0.5)
    stand = Stand(options)
    with stand:
        stand.push_politely()
        time.sleep(min(seconds / 6, 3))
        before = stand.resident()
        with Crowd(stand.server, "pipelining", total, most=10**12 if options.scale >= 0.1 else 1500) as crowd:
            crowd.wait("served", total)
            with stand.phase(f"producers that do not wait, {seconds:.0f} seconds", total):
                time.sleep(seconds)
            acknowledged = crowd.told.get("acknowledged", 0)
            stand.note(
                f"{acknowledged / seconds:,.0f} jobs acknowledged a second;"
                f" {(stand.resident() - before) * 1024 / total:.0f} KiB more a connection"
            )
            crowd.say("now")
            with stand.phase("… until all that was sent is acknowledged", total):
                stand.eventually("all is acknowledged", lambda: crowd.told.get("acknowledged") == crowd.told["sent"])
            for wrong in crowd.wrong:
                stand.check(False, wrong)
            stand.same("jobs in the queue", stand.sizes()["queued"], crowd.told["acknowledged"])
            stand.note(
                f"{crowd.told['acknowledged']:,} acknowledged, {crowd.told['acknowledged'] // 50:,} marks in order"
            )
    return stand


def workers(options: Options) -> Stand:
    """Ten thousand workers with heartbeats that hold five jobs each, and are gone at once."""
    total, short = options.of(WORKERS, 20), options.scale < 1
    stand = Stand(options, environment={"OVERLOAD_MINUTE": "3"} if short else None)
    with stand:
        stand.push_politely()
        jobs = total * EACH
        stand.fill(jobs, lambda _: "held", "h", retry=3)
        with Crowd(stand.server, "holding", total, each=EACH, beat_seconds=1.0 if short else 15.0) as crowd:
            crowd.wait("held", jobs)
            with stand.phase("workers with heartbeats", total):
                time.sleep(1.5 if short else 20)
            stand.same("jobs worked", stand.sizes()["working"], jobs)
            stand.same("workers that know why they are gone", crowd.wrong, [])
            with stand.phase("all of them die at once", total):
                crowd.die()
                stand.eventually("the connections are forgotten", lambda: connected(stand) <= 2, pause=0.05)
            with stand.phase("… and their jobs are taken back", jobs) as phase:
                stand.eventually("the first is taken back", lambda: stand.sizes()["working"] < jobs, pause=0.05)
                began = time.monotonic()
                stand.eventually("all are taken back", lambda: stand.sizes()["working"] == 0, pause=0.02)
                phase.seconds = time.monotonic() - began
        stand.same("jobs to be retried", stand.sizes()["retries"], jobs)
    return stand


def leases(options: Options) -> Stand:
    """As many reservations that end in the same second."""
    jobs, short = options.of(WORKERS * EACH * 4, 100), options.scale < 1
    stand = Stand(options, environment={"OVERLOAD_MINUTE": "3"} if short else None)
    with stand:
        stand.push_politely()
        stand.fill(jobs, lambda _: "held", "l", retry=3, reserve_for=1)
        with stand.server.client(timeout=120) as client:
            with stand.phase("jobs reserved, one connection", jobs):
                _reserve(client, jobs)
            with stand.phase("… their reservations end together", jobs) as phase:
                stand.eventually("the first is over", lambda: stand.sizes()["retries"] > 0, pause=0.02)
                began = time.monotonic()
                stand.eventually("all are over", lambda: stand.sizes()["working"] == 0, pause=0.02)
                phase.seconds = time.monotonic() - began
        stand.same("jobs to be retried", stand.sizes()["retries"], jobs)
    return stand


def _reserve(client: Client, jobs: int) -> None:
    left = jobs
    while left:
        count = min(left, 500)
        for reply in pipelined(client, ["FETCH held"] * count):
            assert reply.type == "bulk", reply
        left -= count
