"""A server whose clock is set, under load, and what is true of it whatever the clock says. See clock_steps.py.

Beside the crew, whose jobs the ledger accounts for, a worker sends heartbeats and holds jobs from beginning to end: nobody
may take them back. After each step of the clock `Town.look` asks INFO and /metrics what must be so at any time.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.system.crew import BROKEN, Arena, Crew
from tests.system.fwp import Client, Job, ServerError, job
from tests.system.ledger import Ledger, Verdict
from tests.system.server import Server
from tests.system.wall import DAY, Wall

PATIENCE_SECONDS = 20.0
QUIET_SECONDS = 1.4  # more than the second after which the server looks again what is due
FARTHEST_SECONDS = 40 * DAY  # from the present: jobs that are dead for 180 days are dropped
HELD = 20
HOLD = "held"
BACKUPS_KEPT = 3

SETTINGS = f"""
[backup]
frequency = "1h"
keep = {BACKUPS_KEPT}

[throttles]
rated = {{ rate = {{ limit = 2, period = 1, burst = 2 }} }}

[[cron]]
name = "skip"
schedule = "* * * * *"
catch_up = "skip"
job = {{ type = "Tick", queue = "cron-skip" }}

[[cron]]
name = "last"
schedule = "*/5 * * * *"
catch_up = "last"
job = {{ type = "Tick", queue = "cron-last" }}

[[cron]]
name = "all"
schedule = "0 * * * *"
catch_up = "all"
catch_up_limit = 3
job = {{ type = "Tick", queue = "cron-all" }}
"""
CRON = ("skip", "last", "all")


class Holder(threading.Thread):
    """A worker that holds jobs for the whole time, sends heartbeats, and comes again after a crash."""

    def __init__(self, arena: Arena) -> None:
        super().__init__(daemon=True)
        self.arena = arena
        self.held: list[str] = []
        self.failure = ""
        self.over = threading.Event()

    def run(self) -> None:
        incarnation = 0
        while not self.over.is_set() and (connection := self.arena.connect(incarnation, "clock-holder")):
            incarnation, client = connection
            with client:
                try:
                    while not self.over.is_set():
                        self._hold(client)
                        client.beat()
                        self.over.wait(0.3)
                except BROKEN:
                    continue
                except ServerError as error:
                    self.failure = str(error)
                    return

    def _hold(self, client: Client) -> None:
        while len(self.held) < HELD:
            client.push(job("Hold", queue=HOLD, retry=0))
            fetched = client.fetch(HOLD)
            assert fetched is not None
            client.push(job("Written", queue="written"))  # when this is answered the FETCH before is on disk
            self.held.append(fetched["jid"])


class Listener(threading.Thread):
    """Hears statsd, or what systemd is told. `longest`: the longest silence, without what `pardon` forgives."""

    def __init__(self, bound: socket.socket, wanted: bytes = b"") -> None:
        super().__init__(daemon=True)
        self.bound = bound
        self.wanted = wanted
        self.heard = 0
        self.longest = 0.0
        self._last: float | None = None

    def pardon(self) -> None:
        """The server is down, or stopped: silence counts from the next word on."""
        self._last = None

    def run(self) -> None:
        while data := self.bound.recv(65_536):
            if self.wanted in data:
                now, last = time.monotonic(), self._last
                if last is not None:
                    self.longest = max(self.longest, now - last)
                self._last, self.heard = now, self.heard + 1


class Town:
    """The server, its clock, its load, and what was found to be wrong."""

    def __init__(
        self, server: Server, wall: Wall, *, seed: int, producers: int, workers: int, pause_seconds: float
    ) -> None:
        self.server, self.wall, self.rng = server, wall, random.Random(seed)
        self.ledger, self.arena = Ledger(), Arena()
        self.verdict: Verdict = self.ledger.verdict
        self.crew = Crew(self.arena, self.ledger, seed, producers, workers, wall.time, pause_seconds)
        self.holder = Holder(self.arena)
        self.counts: Counter[str] = Counter()
        self.ticks: dict[tuple[str, str], str] = {}  # of cron: entry and moment -> jid
        self.walls = [wall.time(), wall.time()]  # the earliest and the latest time that it showed
        self.incarnation = 0
        self.processed = 0
        self.present = time.time()
        self._listen()
        self._configure()

    def _listen(self) -> None:
        name = f"faktory-tw-clock-{id(self)}-{time.monotonic_ns()}"
        systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        systemd.bind(f"\0{name}")
        statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        statsd.bind(("127.0.0.1", 0))
        self.watchdog, self.statsd = Listener(systemd, b"WATCHDOG"), Listener(statsd)
        self._statsd_port = statsd.getsockname()[1]
        environment = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "1000000"}
        self.server.environment.update({**self.wall.environment, **environment})

    def _configure(self) -> None:
        self.settings = self.server.config_directory / "conf.d" / "clock.toml"
        self.settings.parent.mkdir(exist_ok=True)
        self.statsd_settings = f'[statsd]\nlocation = "127.0.0.1:{self._statsd_port}"\n'
        self.settings.write_text(self.statsd_settings + SETTINGS)

    # -- life ----------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start everything."""
        for thread in (self.watchdog, self.statsd, self.crew, self.holder):
            thread.start()
        self.open()

    def open(self) -> None:
        """Start the server, and let everybody come."""
        self.server.start()
        self.began = time.monotonic()
        self.incarnation += 1
        self.arena.opened(self.incarnation, self.server.port)

    def restart(self, seconds: float) -> None:
        """Kill the server, and start it when the clock was set by so much."""
        self.ledger.killed(self.incarnation)
        self.server.kill()
        self.counts["restarts"] += 1
        self.note_log()
        self.silence()
        self.set_clock(seconds)
        self.open()

    def silence(self) -> None:
        """The server cannot speak for a while."""
        self.watchdog.pardon()
        self.statsd.pardon()

    def step(self, seconds: float) -> None:
        """Set the clock of the running server, and look at what must be so."""
        self.set_clock(seconds)
        self.look()

    def set_clock(self, seconds: float) -> None:
        """Set the clock, and look at nothing."""
        self.wall.step(seconds)
        self.counts["steps"] += 1
        now = self.wall.time()
        self.walls = [min(now, self.walls[0]), max(now, self.walls[1])]

    def wander(self) -> None:
        """Step by seconds to days in any direction, and come back before the clock is too far away."""
        seconds = self.rng.choice((1.0, 30.0, 61.0, 600.0, 3600.0, 3 * 3600.0, DAY, 10 * DAY)) * self.rng.uniform(
            0.5, 1.5
        )
        away = self.wall.time() - self.present
        back = away > 0 if abs(away) > FARTHEST_SECONDS / 2 else self.rng.random() < 0.5
        seconds = -seconds if back else seconds
        if self.rng.random() < 0.1:
            self.restart(seconds)
        self.step(seconds)
        time.sleep(self.rng.uniform(0.0, 0.3))

    # -- looking -------------------------------------------------------------------------------------------------------

    def find(self, kind: str, what: str) -> None:
        """Note one thing that is wrong."""
        self.verdict.find(kind, f"{what} (the clock is {self.wall.ahead:+.0f} s from the machine's)")

    def check(self, right: bool, kind: str, what: str) -> None:
        """Note it when it is not right."""
        self.counts["checks"] += 1
        if not right:
            self.find(kind, what)

    def soon(self, condition: Callable[[], Any], kind: str, what: str) -> Any:
        """Wait until it holds, and note it when it does not in time. Returns what the condition returned."""
        self.counts["checks"] += 1
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (result := condition()):
            if time.monotonic() > deadline:
                self.find(kind, what)
                break
            time.sleep(0.02)
        return result

    def client(self, wid: str | None = "clock-episode") -> Client:
        """A connection of the episodes."""
        return self.server.client(wid=wid)

    def look(self) -> None:
        """What must be so at any time: nothing was taken back, and no duration is negative or long."""
        with self.client(None) as client:
            info = client.info()
            cron = client.do("ADMIN CRON", {})["entries"]
        tasks, server = info["faktory"]["tasks"], info["server"]
        for name in ("Busy",) if self.holder.over.is_set() else ("Busy", "Workers"):
            self.check(tasks[name]["reaped"] == 0, "taken back wrongly", f"{name} {tasks[name]}")
        uptime = time.monotonic() - self.began
        self.check(-1.0 <= server["uptime"] <= uptime + 2, "uptime", f"{server['uptime']} s, not {uptime:.0f}")
        self.check(not self.holder.failure, "the worker that holds jobs ended", self.holder.failure)
        processed = info["faktory"]["total_processed"]
        self.check(processed >= 0, "total", str(processed))
        for entry in cron:
            for run in entry["runs"]:
                if run["jid"] and run["tick"]:
                    before = self.ticks.setdefault((entry["name"], run["tick"]), run["jid"])
                    self.check(before == run["jid"], "a minute of cron twice", f"{entry['name']} {run['tick']}")
        for name, value in self.metrics().items():
            self.check(value >= 0, "negative in /metrics", f"{name} {value}")

    def metrics(self) -> dict[str, float]:
        """All samples, by name and labels."""
        families = text_string_to_metric_families(self.get("/metrics").decode())
        return {f"{one.name}{sorted(one.labels.items())}": one.value for family in families for one in family.samples}

    def get(self, path: str) -> bytes:
        """A page of the web UI, or of its API."""
        with urllib.request.urlopen(self.server.web_url + path, timeout=PATIENCE_SECONDS) as response:
            data: bytes = response.read()
            return data

    def api(self, path: str) -> Any:
        """What the API answers."""
        return json.loads(self.get(path))

    def note_log(self) -> None:
        """Look for what a log must not have. Called before it is begun anew."""
        for word in ("Traceback", "Unhandled", "unexpected", " CRITICAL "):
            self.check(word not in self.server.log(), "in the log", self.server.log()[-2000:])

    # -- jobs of the episodes ------------------------------------------------------------------------------------------

    def queued(self, client: Client, queue: str) -> int:
        """How many jobs are in a queue."""
        return int(client.info()["faktory"]["queues"].get(queue, 0))

    def delivered(self, client: Client, queue: str, jid: str | None, why: str) -> Job | None:
        """The next job of a queue, which must be there soon and be this one."""
        if not self.soon(lambda: self.queued(client, queue), "starved", f"{queue}: {why}"):
            return None
        fetched = client.fetch(queue)
        right = fetched is not None and jid in (None, fetched["jid"])
        self.check(right, "another job than expected", f"{queue}: {fetched} instead of {jid}: {why}")
        return fetched

    def stays_empty(self, client: Client, queue: str, why: str) -> None:
        """Nothing may come into a queue, though the server has looked at what is due."""
        time.sleep(QUIET_SECONDS)
        count = self.queued(client, queue)
        self.check(count == 0, "too early or twice", f"{queue} has {count}: {why}")

    def end_holding(self) -> None:
        """The jobs that were held must be reserved still: a FAIL of any other job is refused."""
        self.holder.over.set()
        self.holder.join(PATIENCE_SECONDS)
        with self.client("clock-holder") as client:
            for jid in self.holder.held:
                try:
                    client.fail(jid)
                except ServerError as error:
                    self.find("a reservation was lost", f"{jid}: {error}")
            client.queue("REMOVE", "written")
        self.check(len(self.holder.held) == HELD, "nothing was held", str(len(self.holder.held)))
        self.counts["jobs held all the time"] = len(self.holder.held)

    def without_cron(self) -> None:
        """Let cron rest, and forget its jobs, so that the database has nothing but what the ledger knows."""
        self.settings.write_text(self.statsd_settings)
        self.silence()
        self.server.restart()
        self.silence()
        with self.client() as client:
            client.queue("REMOVE", *(f"cron-{name}" for name in CRON))


def directory_of(town: Town) -> Path:
    """Where its backups are."""
    return town.server.data_directory / "backups"
