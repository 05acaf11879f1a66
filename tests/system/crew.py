"""The clients of a crash test: threads that push, fetch and settle jobs, and go on with the next process after a crash.

All of them write what they sent and what they were told into the `Ledger`. They reconnect as client libraries do: a
worker resends an ACK or FAIL that was not answered; a producer does not push again, so that every jid exists once.

Beside producers and workers each trait may have a role of its own (traits/): an owner of batches, an operator. A thread that
does not work itself has `visit` for its loop.

`Arena` is where threads meet the server: the program that kills and restarts it announces every new process with
`opened`, and the threads wait there for the next one when their connection breaks.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.system.fwp import Client, ConnectionEnded, Job, Reply, ServerError
from tests.system.ledger import Account, Fetch, Ledger
from tests.system.traits.trait import Trait, Turn

QUEUES = ("critical", "default", "mail", "reports")
PRIORITIES = (None, 1, 3, 5, 9)
RETRIES = (25, 25, 25, 3, 0, -1)
MAX_BULK = 20
MAX_HELD = 5

# One worker takes its time, much longer than a fetch is excused after a kill: a reservation that the server does not
# keep is seen only then.
SLOW_SECONDS = 3.0
SLOW_PAUSE_SECONDS = 0.05

# So many of the queues in a FETCH have a weight.
WEIGHED = 0.2
FEATURES_FIRST = 0.5

Role = Callable[[str, random.Random], None]
"""What a thread does, given its name."""

BROKEN = (ConnectionEnded, ConnectionError)
SHUTTING_DOWN = "Shutdown in progress"


class Visitor(Client):
    """A connection to one process. A process that says that it is stopping has not answered. `web_port`: of its pages."""

    def __init__(self, port: int, *, wid: str | None, web_port: int = 0) -> None:
        self.web_port = web_port
        super().__init__(port, wid=wid)

    @staticmethod
    def _value(reply: Reply) -> Any:
        if reply.type == "error" and SHUTTING_DOWN in reply.value:
            raise ConnectionEnded(reply.value)
        return Client._value(reply)


class Arena:
    """Which process runs, and whether clients are to go on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._incarnation = 0
        self._port = self._web_port = 0
        self.pushing = True
        self.working = True

    def opened(self, incarnation: int, port: int, web_port: int = 0) -> None:
        """A new process accepts commands."""
        with self._changed:
            self._incarnation, self._port, self._web_port = incarnation, port, web_port
            self._changed.notify_all()

    def finish(self) -> None:
        """Producers end now; workers settle what they hold and end."""
        with self._changed:
            self.pushing = self.working = False
            self._changed.notify_all()

    def connect(self, after: int, wid: str | None, stays: bool = True) -> tuple[int, Visitor] | None:
        """Wait for a process later than `after`; return its number and a connection to it.

        None if there is no such process yet and producers are to end, and this one does not stay to the end.
        """
        while True:
            with self._changed:
                while self._incarnation <= after:
                    if not stays and not self.pushing:
                        return None
                    self._changed.wait(0.2)
                incarnation, port, web_port = self._incarnation, self._port, self._web_port
            try:
                return incarnation, Visitor(port, wid=wid, web_port=web_port)
            except BROKEN:
                after = incarnation


def visit(arena: Arena, ledger: Ledger, wid: str | None, act: Callable[[Visitor, bool], bool]) -> None:
    """Call `act` with a connection to whatever process runs, and whether producers go on, until it returns true."""
    incarnation = 0
    while connection := arena.connect(incarnation, wid):
        incarnation, client = connection
        with client:
            try:
                while not act(client, arena.pushing):
                    pass
            except BROKEN:
                ledger.connection_broken(incarnation)
                continue
            return


class Crew:
    """The threads of one test. `start` them, and `join` them after `Arena.finish`.

    `wall` tells what time it is for the server; producers rest for `pause_seconds` between two pushes.
    """

    def __init__(
        self,
        arena: Arena,
        ledger: Ledger,
        seed: int,
        producers: int,
        workers: int,
        wall: Callable[[], float] = time.time,
        pause_seconds: float = 0.0,
    ) -> None:
        self.arena = arena
        self.ledger = ledger
        self._wall = wall
        self._pause_seconds = pause_seconds
        self.failures: list[str] = []
        kinds: list[tuple[Role, str, int]] = [(self._produce, "producer", producers), (self._work, "worker", workers)]
        roles = [(role, f"{name}{n}") for role, name, count in kinds for n in range(count)]
        roles += [(self._role(trait), type(trait).__name__.lower()) for trait in ledger.traits if trait.role]
        self._queues = [*QUEUES, *(queue for trait in ledger.traits for queue in trait.queues)]
        self._threads = [
            threading.Thread(target=self._watch, args=(role, name, random.Random(f"{seed} {name}")), daemon=True)
            for role, name in roles
        ]

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def join(self, deadline_seconds: float = 60.0) -> None:
        """Wait for every thread to end."""
        for thread in self._threads:
            thread.join(deadline_seconds)
            if thread.is_alive():
                self.failures.append(f"{thread.name} did not end within {deadline_seconds:.0f} s")

    def _watch(self, role: Callable[[str, random.Random], None], name: str, rng: random.Random) -> None:
        try:
            role(name, rng)
        except Exception as error:  # noqa: BLE001 - whatever ends a thread early is a finding, reported by the test
            self.failures.append(f"{name}: {error!r}")

    def _role(self, trait: Trait) -> Role:
        def play(_name: str, rng: random.Random) -> None:
            visit(self.arena, self.ledger, None, lambda client, on: trait.act(Turn(client, self.ledger, rng, on)))

        return play

    def _produce(self, name: str, rng: random.Random) -> None:
        sequence = incarnation = 0
        while connection := self.arena.connect(incarnation, None, stays=False):
            incarnation, client = connection
            with client:
                try:
                    while self.arena.pushing:
                        count = rng.choice((1, 1, 1, rng.randint(1, MAX_BULK)))
                        accounts = [make_account(name, sequence + n, rng, self.ledger.traits) for n in range(count)]
                        sequence += count
                        push(client, self.ledger, accounts, rng, self._wall())
                        if self._pause_seconds:
                            time.sleep(self._pause_seconds)
                except BROKEN:
                    self.ledger.connection_broken(incarnation)
                    continue
                return

    def _work(self, name: str, rng: random.Random) -> None:
        incarnation = 0
        held: list[Fetch] = []
        jobs: dict[str, Job] = {}
        slow = name.endswith("0")
        wid = f"torture-{name}"
        while connection := self.arena.connect(incarnation, wid):
            incarnation, client = connection
            with client:
                try:
                    while held or self.arena.working:
                        fetch = self._next_to_settle(held, slow, rng)
                        if fetch is not None:
                            self._work_on(client, fetch, jobs, rng)
                            settle(client, fetch, incarnation, rng)
                            held.remove(fetch)
                        elif job := client.fetch(*self._wanted(rng)):
                            jobs[job["jid"]] = job
                            held.append(self.ledger.delivered(job, incarnation, wid))
                            time.sleep(SLOW_PAUSE_SECONDS if slow else 0)
                except BROKEN:
                    self.ledger.connection_broken(incarnation)
                    continue
                return

    def _wanted(self, rng: random.Random) -> list[str]:
        """The queues of a FETCH in any order, or those of the traits first; some have weights."""
        wanted = rng.sample(self._queues, len(self._queues))
        if rng.random() < FEATURES_FIRST:
            wanted.sort(key=QUEUES.__contains__)
        return [f"{queue}:{rng.randint(1, 5)}" if rng.random() < WEIGHED else queue for queue in wanted]

    def _work_on(self, client: Client, fetch: Fetch, jobs: dict[str, Job], rng: random.Random) -> None:
        """What comes before ACK or FAIL is said for the first time; what these say stays the same then."""
        account, job = self.ledger.accounts.get(fetch.jid), jobs.get(fetch.jid)
        if fetch.times_sent or account is None or job is None:
            return
        for trait in self.ledger.traits:
            trait.working(client, account, job, self.ledger, rng)
        fetch.outcome = rng.choice(("ACK", "ACK", "ACK", "FAIL"))
        for trait in self.ledger.traits:
            fetch.fields |= trait.fields(account, fetch, rng)
        del jobs[fetch.jid]

    def _next_to_settle(self, held: list[Fetch], slow: bool, rng: random.Random) -> Fetch | None:
        """Return what a worker settles next, None if it rather fetches; first what was sent and not answered."""
        for fetch in held:
            if fetch.times_sent or not self.arena.working:
                return fetch
        if slow:
            return held[0] if held and time.monotonic() - held[0].received_at > SLOW_SECONDS else None
        return held[rng.randrange(len(held))] if len(held) > rng.randrange(MAX_HELD) else None


def push(client: Client, ledger: Ledger, accounts: list[Account], rng: random.Random, now: float | None = None) -> None:
    """PUSH a job, or PUSHB several. `now` is what time it is for the server, if that is not ours."""
    jobs = [make_job(account, rng, time.time() if now is None else now) for account in accounts]
    ledger.pushing(accounts)
    refused: dict[str, str] = {}
    try:
        if len(jobs) == 1:
            client.push(jobs[0])
        else:
            refused = client.pushb(jobs)
    except ServerError as error:
        refused = dict.fromkeys((account.jid for account in accounts), str(error))
    ledger.pushed(accounts, refused)


def make_account(producer: str, sequence: int, rng: random.Random, traits: Sequence[Trait] = ()) -> Account:
    """Return the account of a job that is about to be pushed."""
    account = Account(
        jid=f"{producer}-{sequence:08d}",
        producer=producer,
        sequence=sequence,
        queue=rng.choice(QUEUES),
        priority=rng.choice(PRIORITIES) or 5,
        retry=rng.choice(RETRIES),
        scheduled=rng.random() < 0.15,
    )
    for trait in traits:
        trait.mark(account, rng)
    return account


def make_job(account: Account, rng: random.Random, now: float) -> Job:
    """Return the job as it is pushed; scheduled ones are due in a few seconds, or tomorrow."""
    job: Job = {
        "jid": account.jid,
        "jobtype": account.jobtype,
        "queue": account.queue,
        "args": account.args or [account.sequence, "x" * rng.randrange(200)],
        "retry": account.retry,
    }
    if account.custom:
        job["custom"] = account.custom
    if account.priority != 5 or rng.random() < 0.5:
        job["priority"] = account.priority
    if account.scheduled:
        delay = timedelta(seconds=account.delay or rng.choice((1.0, 2.5, 86400.0)))
        job["at"] = (datetime.fromtimestamp(now, timezone.utc) + delay).isoformat()
    return job


def settle(client: Client, fetch: Fetch, incarnation: int, rng: random.Random) -> None:
    """Send ACK or FAIL for `fetch`, the same again if it was sent before, and note the answer."""
    fetch.settling(fetch.outcome or rng.choice(("ACK", "ACK", "ACK", "FAIL")))
    try:
        if fetch.outcome == "ACK":
            client.do("ACK", {"jid": fetch.jid, **fetch.fields})
        else:
            client.fail(fetch.jid, **fetch.fields)
    except ServerError as error:
        fetch.settled(str(error), incarnation)
    else:
        fetch.settled("OK", incarnation)
