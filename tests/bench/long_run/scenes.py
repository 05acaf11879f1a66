"""What else happens at the command port: operators, batches, queues that come and go, and clients that are a nuisance.

A scene is complete in itself: after it nothing is left but jobs that workers do.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Sequence

from tests.bench.long_run.books import DIE, DONE, FAIL, PARK, REST
from tests.bench.long_run.crowd import QUEUES, THROTTLED, WORKERS, Crowd
from tests.bench.long_run.producers import SOON, in_seconds
from tests.system.fwp import Client, ServerError, job

MEMBERS = 6
TEMPORARY = 30  # jobs of a queue that is removed
STRANGERS = [f"127.0.3.{number}" for number in range(1, 31)]
_PLACES = {DIE: "dead", PARK: "retries", REST: "scheduled"}
_NONSENSE = (b"", b"NOSUCH {}", b"PUSH", b"PUSH {", b"PUSH []", b'PUSH {"jid":1}', b"ACK x", b"FAIL {}", b"MUTATE {}")
_DEEP = b'PUSH {"jid":"deep-deep","jobtype":"Work","args":' + b"[" * 10_000

Scene = Callable[[Crowd, random.Random, Client], None]


# -- operators -----------------------------------------------------------------------------------------------------------


def decide(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Requeue, kill or discard jobs that rest until somebody does."""
    for fate, target in _PLACES.items():
        jids = crowd.books.take_resting(fate)
        half = len(jids) // 2
        _requeue(crowd, client, target, jids[:half])
        others = jids[half:]
        if not others:
            continue
        if target != "dead" and rng.random() < 0.3:
            client.mutate("kill", target, jids=others)
            crowd.books.moved(others, DIE)
        elif rng.random() < 0.5:
            client.mutate("discard", target, jids=others)
            crowd.books.removed(others)
        else:
            told = client.do("ADMIN DELETE", {"place": target, "filter": {"jids": others}})
            if told["matched"] != len(others):
                crowd.books.find(f"of {len(others)} {target} jobs {told['matched']} were found to be deleted")
            crowd.books.removed(others)


def _requeue(crowd: Crowd, client: Client, target: str, jids: list[str]) -> None:
    if jids:
        crowd.books.pardon(jids)
        client.mutate("requeue", target, jids=jids)
        crowd.books.count("requeued", len(jids))


def look(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Ask for everything that ADMIN and INFO tell."""
    client.info()
    client.queue("LATENCY", *QUEUES)
    for place in ("working", "scheduled", "retries", "dead"):
        client.do("ADMIN LIST", {"place": place, "limit": 20})
    client.do("ADMIN LIST", {"filter": {"jobtype": "Tracked"}, "limit": 5})
    for what in ("QUEUES", "WORKERS", "CRON", "THROTTLES", "BACKUPS"):
        client.do(f"ADMIN {what}", {})
    client.do("ADMIN CRON", {"action": rng.choice(("pause", "resume", "resume")), "name": "daily"})


def pause(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Pause a queue for a while."""
    name = rng.choice((*QUEUES, *THROTTLED))
    client.queue("PAUSE", name)
    time.sleep(rng.uniform(0.1, 1.0))
    client.queue("RESUME", name)


def quiet(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Have a worker end; another takes its place."""
    wids = [worker["wid"] for worker in client.do("ADMIN WORKERS", {})["workers"]]
    workers = [wid for wid in wids if wid.startswith(WORKERS)]
    if workers:
        state = rng.choice(("quiet", "terminate"))
        try:
            client.do("ADMIN WORKER", {"wid": rng.choice(workers), "state": state})
        except ServerError:
            pass  # it has ended by itself


# -- queues and batches that come and go ---------------------------------------------------------------------------------


def temporary_queue(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Fill a queue of a new name, take some jobs out, remove it with the rest."""
    name = crowd.jid("queue")
    jids = [crowd.jid("temporary") for _ in range(TEMPORARY)]
    for jid in jids:
        crowd.books.pushing(jid)
    client.pushb([job("Temporary", jid=jid, queue=name, priority=rng.randrange(1, 10)) for jid in jids])
    crowd.books.pushed(jids)
    taken = set()
    for _ in range(TEMPORARY // 3):
        found = client.fetch(name)
        if found is None:
            crowd.books.find(f"a job of {name} is missing")
            break
        crowd.books.fetched(found["jid"])
        client.ack(found["jid"])
        crowd.books.over(found["jid"], "done")
        taken.add(found["jid"])
    client.do("ADMIN PRIORITY", {"place": "queued", "queue": name, "filter": {"jids": jids}, "priority": 9})
    client.queue("REMOVE", name)
    crowd.books.removed(jid for jid in jids if jid not in taken)


def stopped_job(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Ask a worker to stop what it does, and have it look."""
    name, jid = crowd.jid("stop"), crowd.jid("stopped")
    crowd.books.pushing(jid)
    client.push(job("Stopped", jid=jid, queue=name))
    crowd.books.pushed([jid])
    with crowd.client(wid=name) as worker:
        worker.beat()
        worker.fetch(name)
        crowd.books.fetched(jid)
        client.do("ADMIN CANCEL", {"jid": jid})
        said = worker.do("BEAT", {"wid": name, "cancels": True})
        if said == "OK" or jid not in said.get("cancel", []):
            crowd.books.find(f"{name} was not told to stop {jid}: {said}")
        worker.ack(jid)
        crowd.books.over(jid, "done")
        worker.end()
    client.queue("REMOVE", name)


def batch(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """A batch with callbacks, some with another one in it, some opened again."""
    outer = _new_batch(crowd, client, {})
    inner = _new_batch(crowd, client, {"parent_bid": outer}) if rng.random() < 0.3 else None
    _add(crowd, rng, client, outer)
    if inner is not None:
        _add(crowd, rng, client, inner)
        client.do(f"BATCH COMMIT {inner}")
    client.do(f"BATCH COMMIT {outer}")
    client.do(f"BATCH STATUS {outer}")


def _new_batch(crowd: Crowd, client: Client, more: dict[str, str]) -> str:
    callbacks = {}
    jids = [crowd.jid(what) for what in ("complete", "success")]
    for jid in jids:
        what = jid.partition("-")[0]
        crowd.books.pushing(jid)
        callbacks[what] = job("Callback", jid=jid, queue="mail")
    asked = json.dumps({"description": "of the long run", **callbacks, **more})
    bid = str(client.command(f"BATCH NEW {asked}").value.decode())
    crowd.books.pushed(jids, "callbacks")
    return bid


def _add(crowd: Crowd, rng: random.Random, client: Client, bid: str) -> None:
    members = []
    for _ in range(rng.randrange(1, MEMBERS)):
        fate = FAIL if rng.random() < 0.1 else DONE
        jid = crowd.jid("member")
        crowd.books.pushing(jid, fate)
        custom = {"bid": bid, **(SOON if fate == FAIL else {})}
        members.append(job("Member", 1, jid=jid, queue=rng.choice(QUEUES), custom=custom))
    refused = client.pushb(members)
    if refused:
        crowd.books.find(f"members of {bid} were refused: {refused}")
    crowd.books.pushed(member["jid"] for member in members)


def rest_and_expire(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Unique jobs for tomorrow that are discarded: their locks go with them."""
    jids = [crowd.jid("locked") for _ in range(5)]
    for number, jid in enumerate(jids):
        crowd.books.pushing(jid)
        custom = {"unique_for": 3600, "track": 1}
        client.push(job("Locked", jid, number, jid=jid, at=in_seconds(86_400), custom=custom))
    crowd.books.pushed(jids)
    client.mutate("discard", "scheduled", jids=jids)
    crowd.books.removed(jids)


# -- a nuisance ----------------------------------------------------------------------------------------------------------


def nonsense(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Say what no client would."""
    with crowd.client() as other:
        for line in rng.sample(_NONSENSE, 5):
            reply = other.command(line)
            if reply.type != "error":
                crowd.books.find(f"{line!r} was answered with {reply}")
        if other.command(_DEEP).type != "error":
            crowd.books.find("10 000 brackets were taken for a job")
        other.send_bytes(b'PUSH {"jid":"half-of-a-line')


def wrong_password(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Guess a password, from an address of its own."""
    try:
        Client(crowd.port, password="guessed", source=rng.choice(STRANGERS), timeout=1).close()
        crowd.books.find("a wrong password was taken")
    except (ServerError, OSError, EOFError):
        crowd.books.count("wrong passwords")


def half_open(crowd: Crowd, rng: random.Random, client: Client) -> None:
    """Connections that say nothing, or half of HELLO, and go away, or wait until they are sent away."""
    socks = [socket.create_connection(("127.0.0.1", crowd.port), timeout=10) for _ in range(10)]
    for sock in socks[::2]:
        sock.sendall(b'HELLO {"v":2,"hostname":"')
    time.sleep(rng.choice((0.0, 0.5, 3.0)))
    for sock in socks:
        sock.close()
    crowd.books.count("half-open connections", len(socks))


SCENES: Sequence[tuple[Scene, float]] = (
    (batch, 0.5),
    (temporary_queue, 2.0),
    (stopped_job, 3.0),
    (decide, 3.0),
    (rest_and_expire, 4.0),
    (pause, 5.0),
    (look, 5.0),
    (quiet, 7.0),
    (nonsense, 4.0),
    (wrong_password, 4.0),
    (half_open, 4.0),
)
_LIFE = 50  # times that a scene is played on one connection


class Play:
    """Plays one scene again and again, every so many seconds."""

    def __init__(self, scene: Scene, seconds: float) -> None:
        self._scene = scene
        self._seconds = seconds

    def __call__(self, crowd: Crowd, rng: random.Random) -> None:
        client = crowd.client()
        for number in crowd.every(self._seconds):
            if number % _LIFE == _LIFE - 1:
                client.end()
                client = crowd.client()
            self._scene(crowd, rng, client)
            crowd.books.count(f"scene: {self._scene.__name__.replace('_', ' ')}")
        client.close()


def clear_up(crowd: Crowd, client: Client) -> None:
    """At the end: whatever rests, or has a time that has not come, goes into its queue."""
    for fate, target in _PLACES.items():
        while jids := crowd.books.take_resting(fate):
            _requeue(crowd, client, target, jids)
    client.mutate("requeue", "scheduled")
