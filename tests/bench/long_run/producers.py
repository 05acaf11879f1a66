"""Those who push: jobs of every kind, at a steady rate, over connections that come and go."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from tests.bench.long_run.books import DIE, DONE, DROP, EXPIRE, FAIL, PARK, REST
from tests.bench.long_run.crowd import NOBODY, QUEUES, THROTTLED, Crowd
from tests.system.fwp import Client, Job, ServerError

PRIORITIES = (None, None, 1, 3, 5, 9)
SOON = {"backoff": [1]}  # seconds between the tries of a job
UNIQUE_KEYS = 200
TENANTS = 200
LARGE = 200_000  # bytes
BULK = 20
_MOST_ON_A_CONNECTION = 400  # jobs
_MOST_EXPIRING_SECONDS = 4.0

Fields = tuple[Job, str, float]  # the job's members, what is to become of it, and when it expires


def in_seconds(seconds: float) -> str:
    """Return that moment as the wire has it."""
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def _plain(rng: random.Random) -> Fields:
    return {"args": [rng.randrange(1000), "x" * rng.randrange(200)]}, DONE, 0


def _scheduled(rng: random.Random) -> Fields:
    return {"at": in_seconds(rng.uniform(1, 15))}, DONE, 0


def _failing(rng: random.Random) -> Fields:
    return {"args": [rng.choice((1, 1, 2))], "custom": SOON}, FAIL, 0


def _dropped(rng: random.Random) -> Fields:
    return {"retry": 0}, DROP, 0


def _dying(rng: random.Random) -> Fields:
    return {"retry": rng.choice((-1, 1)), "custom": SOON}, DIE, 0


def _parked(rng: random.Random) -> Fields:
    return {}, PARK, 0


def _resting(rng: random.Random) -> Fields:
    return {"at": in_seconds(86_400)}, REST, 0


def _unique(rng: random.Random) -> Fields:
    until = rng.choice(("success", "start"))
    custom = {"unique_for": rng.choice((0.5, 10, 30)), "unique_until": until}
    later = {"at": in_seconds(rng.uniform(1, 10))} if rng.random() < 0.5 else {}
    return (
        {"jobtype": "Unique", "queue": "default", "args": [rng.randrange(UNIQUE_KEYS)], "custom": custom, **later},
        DONE,
        0,
    )


def _expiring(rng: random.Random) -> Fields:
    seconds = rng.uniform(0.5, _MOST_EXPIRING_SECONDS)
    custom = {"expires_in": seconds}
    return {"queue": rng.choice((NOBODY, "default")), "custom": custom}, EXPIRE, seconds


def _tracked(rng: random.Random) -> Fields:
    return {"jobtype": "Tracked", "custom": {"track": 1}}, DONE, 0


def _throttled(rng: random.Random) -> Fields:
    return {"queue": rng.choice(THROTTLED), "args": [{"tenant_id": rng.randrange(TENANTS)}]}, DONE, 0


def _large(rng: random.Random) -> Fields:
    return {"args": ["x" * LARGE]}, DONE, 0


# What is pushed, and how often.
KINDS: dict[Callable[[random.Random], Fields], float] = {
    _plain: 55,
    _scheduled: 10,
    _throttled: 8,
    _failing: 5,
    _unique: 6,
    _expiring: 5,
    _tracked: 5,
    _dropped: 2,
    _dying: 2,
    _parked: 1,
    _resting: 0.9,
    _large: 0.1,
}


class Producer:
    """One of ``share`` producers that have the rate together."""

    def __init__(self, share: int) -> None:
        self._share = share

    def __call__(self, crowd: Crowd, rng: random.Random) -> None:
        due = time.monotonic()
        while crowd.pushing:
            with crowd.client() as client:
                for _ in range(rng.randrange(1, _MOST_ON_A_CONNECTION)):
                    count = BULK if rng.random() < 1 / BULK / 2 else 1
                    due = max(due + count * self._share / crowd.rate, time.monotonic() - 1.0)
                    while (left := due - time.monotonic()) > 0:
                        time.sleep(min(left, 0.5))
                    if not crowd.pushing:
                        break
                    push(crowd, client, rng, count)
                if rng.random() < 0.5:
                    client.end()


def push(crowd: Crowd, client: Client, rng: random.Random, count: int = 1) -> None:
    """Push some jobs of any kind."""
    jobs = [make_job(crowd, rng) for _ in range(count)]
    jids = [str(job["jid"]) for job in jobs]
    refused: dict[str, str] = {}
    try:
        if count == 1:
            client.push(jobs[0])
        else:
            refused = client.pushb(jobs)
    except ServerError as error:
        refused = dict.fromkeys(jids, str(error))
    for jid, why in refused.items():
        crowd.books.refused(jid)
        if "NOTUNIQUE" not in why:
            crowd.books.find(f"{jid} was refused: {why}")
    taken = [jid for jid in jids if jid not in refused]
    crowd.books.pushed(taken)
    if jobs[-1]["jobtype"] == "Tracked" and taken:
        client.do(f"TRACK GET {taken[-1]}")


def make_job(crowd: Crowd, rng: random.Random) -> Job:
    """Return a job of any kind, written into the books."""
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    fields, fate, seconds = kind(rng)
    jid = crowd.jid(fate)
    crowd.books.pushing(jid, fate, seconds)
    job = {"jid": jid, "jobtype": "Work", "args": [], "queue": rng.choice(QUEUES), **fields}
    priority = rng.choice(PRIORITIES)
    if priority is not None:
        job["priority"] = priority
    return job
