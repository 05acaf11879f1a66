"""Those who work: FETCH, some time, ACK or FAIL, a heartbeat now and then; after a while they end, or vanish."""

from __future__ import annotations

import random
import time

from tests.bench.long_run.books import DIE, DONE, DROP, EXPIRE, FAIL, PARK
from tests.bench.long_run.crowd import QUEUES, THROTTLED, WORKERS, Crowd
from tests.system.fwp import Client, Job

TOMORROW = 86_400
CRON = "cron"
_BEAT_SECONDS = 5.0
_LIFE_SECONDS = (5.0, 90.0)
_MOST_WORK_SECONDS = 0.01
_BACKTRACE = [f"work.py:{line} in step {line}" for line in range(20)]


class Worker:
    """A place where one worker after the other works. ``vanishes``: some leave with a job in their hands."""

    def __init__(self, number: int, vanishes: bool) -> None:
        self._number = number
        self._vanishes = vanishes

    def __call__(self, crowd: Crowd, rng: random.Random) -> None:
        life = 0
        while crowd.working:
            life += 1
            with crowd.client(wid=f"{WORKERS}{self._number}-{life}", timeout=30) as client:
                vanishes = self._vanishes and life % 10 == self._number % 10
                if live(crowd, client, rng, vanishes) and not vanishes:
                    client.end()


def live(crowd: Crowd, client: Client, rng: random.Random, vanishes: bool = False) -> bool:
    """Work as one worker until its life is over, or the server says so. False: it is gone already."""
    end, beat = time.monotonic() + rng.uniform(*_LIFE_SECONDS), 0.0
    while crowd.working and (time.monotonic() < end or vanishes):
        if time.monotonic() > beat:
            beat = time.monotonic() + _BEAT_SECONDS
            if client.beat(rss_kb=50_000):
                return True
        job = client.fetch(*_queues(rng))
        if job is None:
            continue
        fate = DONE if job["queue"] == CRON else crowd.books.fetched(job["jid"])
        if vanishes and time.monotonic() > end and crowd.pushing and _comes_back(job, fate):
            crowd.books.count("left with a job")
            return False
        time.sleep(rng.uniform(0, _MOST_WORK_SECONDS) if crowd.pushing else 0)
        settle(crowd, client, job, fate)
    return True


def _comes_back(job: Job, fate: str) -> bool:
    """Whether the job has tries left and will not expire. Else the end of its worker may be its own, too."""
    return fate == DONE and job["queue"] != CRON and not job.get("failure")


def _queues(rng: random.Random) -> list[str]:
    names = [*QUEUES, *THROTTLED, CRON]
    if rng.random() < 0.5:
        rng.shuffle(names)
        return names
    return [f"{name}:{weight}" for weight, name in enumerate(names, 1)]


def settle(crowd: Crowd, client: Client, job: Job, fate: str) -> None:
    """Do with a job what is to become of it."""
    jid = job["jid"]
    failures = job["failure"]["retry_count"] + 1 if job.get("failure") else 0
    if fate in (DONE, EXPIRE) or (fate == FAIL and failures >= job["args"][0]):
        acknowledge(client, job)
        crowd.books.over(jid, "done")
        if job["queue"] == CRON:
            crowd.books.count("cron jobs done")
        return
    asked = {"retry_after": TOMORROW} if fate == PARK else {}
    client.fail(jid, "LongRun", "as the producer wanted", backtrace=_BACKTRACE, **asked)
    crowd.books.count("failed")
    if fate == DROP:
        crowd.books.over(jid, "dropped")
    elif fate == PARK:
        crowd.books.rests(jid, PARK)
    elif fate == DIE and failures >= job["retry"]:
        crowd.books.rests(jid, DIE)


def acknowledge(client: Client, job: Job) -> None:
    """ACK, with a result if the job is tracked."""
    if job["jobtype"] != "Tracked":
        client.ack(job["jid"])
        return
    client.do("TRACK SET", {"jid": job["jid"], "percent": 50, "desc": f"half of {job['jid']}"})
    client.do("ACK", {"jid": job["jid"], "result": {"jid": job["jid"], "rows": list(range(20))}})
