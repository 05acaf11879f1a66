"""What throttles cost: FETCH from queues that have them beside FETCH from queues that have none.

    python -m tests.bench.throttles [--rounds 7] [--queues 100] [--jobs 10000] [--directory DIR]

In one process, from the bytes that came in to the reply that goes out, but without the system's part, with the real store. Each round measures all
servers one after the other, so that what the machine does meanwhile meets all alike; told are medians of the rounds, in
microseconds of processor time for one FETCH, and for an ACK. Reading a backlog from the disk is part of it.

``one queue``: each FETCH names one queue. ``all queues``: it names them all, and gets the job of the first. ``the last
one``: it names them all, and all but the last have nothing to give: throttled ones because they are full, others because
they are paused.
"""

from __future__ import annotations

import argparse
import gc
import re
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from msgspec import Raw

from faktory_tw.config import Settings
from faktory_tw.config.throttles import Rate, Throttle
from faktory_tw.core.job import Payload
from faktory_tw.storage.sqlite import SQLiteStore
from tests.unit.house import House, Talk

FETCHES = 1000  # in one measurement
AT_ONCE = 100  # jobs held before they are acknowledged
KINDS = {
    "none": {},
    "concurrency": {"concurrency": 1000},
    "with timeout": {"concurrency": 1000, "timeout": 60.0},
    "per worker": {"worker": 1000},
    "rate": {"rate": Rate(1e6, 1.0, 1_000_000)},
    "key": {"key": ("0",), "concurrency": 1000},
}


class Contender:
    """A server with queues full of jobs."""

    def __init__(self, directory: Path, kind: str, queues: int, jobs: int) -> None:
        self.names = [f"queue{number:03}" for number in range(queues)]
        self.kind = kind
        self.house = House(SQLiteStore(directory, "os"))
        manager = self.house.manager
        limits = KINDS[kind]
        if limits:
            throttles = tuple(Throttle(name, queue=name, **limits) for name in self.names)  # type: ignore[arg-type]
            manager.facts.configure(Settings("development", directory, directory, None, throttles=throttles))
        for number in range(queues * jobs):
            name = self.names[number % queues]
            payload = Payload(jid=f"jid-{number:08}", queue=name, jobtype="Work", args=Raw(b"[%d]" % (number % 7)))
            manager.push(payload)
            if number % 10_000 == 0:
                self._commit()
        while manager.upkeep():
            pass
        self._commit()
        hello = b'HELLO {"v":2,"wid":"worker-1"}'
        self.talk = Talk(self.house.server, hello)
        self.client = self.house.connect(hello)

    def _commit(self) -> None:
        self.house.store.write(self.house.manager.seal())
        self.house.store.written()

    def measure(self, lines: list[bytes]) -> tuple[float, float]:
        """Seconds for one FETCH and for one ACK."""
        execute, receive = self.talk.session.execute, self.client.protocol.dataReceived
        fetching = acknowledging = 0.0
        for first in range(0, FETCHES, AT_ONCE):
            began = time.thread_time()
            for number in range(first, first + AT_ONCE):
                receive(lines[number % len(lines)])
            fetching += time.thread_time() - began
            acks = [b'ACK {"jid":"%b"}' % jid for jid in re.findall(rb'"jid":"([^"]+)"', self.client.heard())]
            assert len(acks) == AT_ONCE
            began = time.thread_time()
            for ack in acks:
                execute(ack)
            acknowledging += time.thread_time() - began
            self._commit()
        return fetching / FETCHES, acknowledging / FETCHES

    def scenes(self) -> dict[str, tuple[float, float]]:
        """All measurements of a round, by name."""
        everything = b"FETCH %b\r\n" % " ".join(self.names).encode()
        found = {
            "one queue": self.measure([b"FETCH %b\r\n" % name.encode() for name in self.names]),
            "all queues": self.measure([everything]),
        }
        manager = self.house.manager
        if self.kind in ("none", "key"):
            manager.pause(self.names[:-1])
            found["the last one"] = self.measure([everything])
            manager.pause(self.names[:-1], paused=False)
        elif self.kind == "concurrency":
            found["the last one"] = self._measure_full(everything)
        return found

    def _measure_full(self, line: bytes) -> tuple[float, float]:
        gates = [self.house.manager.queues()[name].gate for name in self.names[:-1]]
        for gate in gates:
            for lane in gate.whole:  # type: ignore[union-attr]
                lane.taken += 1000
                lane.refresh(0.0)
        found = self.measure([line])
        for gate in gates:
            for lane in gate.whole:  # type: ignore[union-attr]
                lane.taken -= 1000
                lane.refresh(0.0)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--queues", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=10_000, help="in each queue")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--directory", help="where the data is kept meanwhile")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faktory-bench-", dir=arguments.directory) as directory:
        contenders = [
            Contender(Path(directory, str(number)), kind, arguments.queues, arguments.jobs)
            for number, kind in enumerate(arguments.kinds)
        ]
        gc.collect()
        gc.freeze()
        measured: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for _ in range(arguments.rounds):
            for contender in contenders:
                for scene, figures in contender.scenes().items():
                    measured[scene, contender.kind].append(figures)
        for scene, kind in sorted(measured):
            fetch, ack = (statistics.median(each) * 1e6 for each in zip(*measured[scene, kind], strict=True))
            print(f"{scene:14} {kind:14} FETCH {fetch:6.1f} µs   ACK {ack:6.1f} µs")


if __name__ == "__main__":
    main()
