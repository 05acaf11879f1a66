"""The clients of a long run, in a process of their own, so that what they do does not delay what is measured."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from tests.bench.long_run import scenes, visitors
from tests.bench.long_run.crowd import QUEUES, THROTTLED, Crowd
from tests.bench.long_run.producers import Producer
from tests.bench.long_run.workers import Worker

_SETTLE_SECONDS = 5.0
_JOIN_SECONDS = 60.0


class Wanted(NamedTuple):
    """What load is wanted. ``drain_seconds``: how long workers may take at the end."""

    port: int
    web_port: int
    password: str
    rate: float
    producers: int
    workers: int
    vanishing: bool
    drain_seconds: float
    seed: int


class Load:
    """The process. ``counts`` asks what was done so far, ``finish`` ends it when all jobs are over."""

    def __init__(self, wanted: Wanted) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(wanted, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def counts(self) -> dict[str, int]:
        """What was done so far."""
        return dict(self._ask("counts", 30.0))

    def finish(self, seconds: float) -> tuple[dict[str, int], list[str]]:
        """End pushing, wait until what was pushed is over; return the counts and what was wrong."""
        counts, findings = self._ask("finish", seconds)
        self._process.join(_JOIN_SECONDS)
        return counts, findings

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()

    def _ask(self, what: str, seconds: float) -> Any:
        self._ours.send(what)
        if not self._ours.poll(seconds):
            raise RuntimeError(f"the process of the clients has not answered within {seconds:.0f} s")
        return self._ours.recv()


def _run(wanted: Wanted, asked: Connection) -> None:
    """Play all roles until the other end says that it is over."""
    crowd = Crowd(wanted.port, wanted.web_port, wanted.password, wanted.rate, wanted.seed)
    for number in range(wanted.workers):
        crowd.play(f"worker {number}", Worker(number, wanted.vanishing), works=True)
    for number in range(wanted.producers):
        crowd.play(f"producer {number}", Producer(wanted.producers))
    for scene, seconds in scenes.SCENES:
        crowd.play(f"scene {scene.__name__}", scenes.Play(scene, seconds))
    for role in (visitors.person, visitors.program, visitors.stranger):
        crowd.play(role.__name__, role)
    settled = time.monotonic()
    while True:
        if asked.poll(1.0):
            if asked.recv() == "finish":
                break
            asked.send(crowd.books.counts())
        if time.monotonic() > settled + _SETTLE_SECONDS:
            settled = time.monotonic()
            crowd.books.settle_expired()
    asked.send(drain(crowd, wanted.drain_seconds))


def drain(crowd: Crowd, seconds: float) -> tuple[dict[str, int], list[str]]:
    """Push no more, let the workers finish what was pushed; return the account."""
    crowd.end_pushing(_JOIN_SECONDS)
    with crowd.client() as client:
        client.queue("RESUME", *QUEUES, *THROTTLED)
        until = time.monotonic() + seconds
        while crowd.books.waiting() and time.monotonic() < until:
            scenes.clear_up(crowd, client)
            time.sleep(0.2)
        while not is_empty(client.info()) and time.monotonic() < until:
            time.sleep(0.2)
    crowd.end(_JOIN_SECONDS)
    return crowd.books.close()


def is_empty(info: dict[str, Any]) -> bool:
    """Whether the server has no job left."""
    told = info["faktory"]
    return not told["total_enqueued"] and not any(told["sets"].values())
