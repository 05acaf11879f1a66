"""A slow disk, a failing disk and a full disk: nothing is acknowledged that is not on it.

The disk is made to fail by a library preloaded into the server (faults.c), which also logs when every sync began and
ended. So the assertion about acknowledgements is exact and depends on no threshold: between the moment a client sent a
command and the moment it had the `+OK`, a whole sync of the write-ahead log (begun after the one, ended before the
other) must have succeeded.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.system.conftest import MakeServer
from tests.system.faults import Faults
from tests.system.fwp import ConnectionEnded, ServerError, job
from tests.system.ledger import Verdict
from tests.system.server import Server, eventually
from tests.system.torture import read_rows

CONNECTIONS = 6
SLOW_SYNC_SECONDS = 0.2

FAILING_DISKS = (
    "sync EIO",
    "sync EIO once",  # the second sync would succeed, without what the first one lost
    "sync ENOSPC",
    "write EIO",
    "write EIO once",
    "write ENOSPC",
    "write SHORT",
)
# After these the disk works again; the server may have stopped, or have coped.
PASSING_FAULTS = ("write ENOSPC once", "write SHORT once")
FAILING_CHECKPOINTS = ("sync EIO path=.db", "write EIO path=.db", "write ENOSPC path=.db")


class Answer(NamedTuple):
    """A command that was answered without an error; the times are nanoseconds of the clock the syncs are logged by."""

    verb: str
    jid: str
    sent: int
    received: int


class Load:
    """Connections that push, fetch and acknowledge, each in a queue of its own, until told to stop or cut off.

    Two of three jobs are acknowledged; the others stay reserved. `ack_sent` holds also what was not answered.
    """

    def __init__(self, server: Server, padding: int = 200) -> None:
        self.server = server
        self.padding = "x" * padding
        self.stopping = threading.Event()
        self.answers: list[Answer] = []
        self.ack_sent: set[str] = set()
        self.refusals: list[str] = []
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        self._runs = [self._pool.submit(self._run, number) for number in range(CONNECTIONS)]

    def join(self) -> None:
        """Tell the connections to stop and wait for them; raise what went wrong in them."""
        self.stopping.set()
        for run in self._runs:
            run.result(60)
        self._pool.shutdown()

    def answered(self, verb: str) -> set[str]:
        """Return the jids of the acknowledged commands `verb`."""
        return {answer.jid for answer in self.answers if answer.verb == verb}

    def _run(self, number: int) -> None:
        queue, count = f"load{number}", 0
        try:
            with self.server.client(wid=f"load-worker-{number}", timeout=60.0) as client:
                while not self.stopping.is_set():
                    pushed = job("load", self.padding, queue=queue)
                    self._time("PUSH", pushed["jid"], client.push, pushed)
                    fetched = client.fetch(queue)
                    assert fetched is not None
                    assert fetched["jid"] == pushed["jid"]
                    count += 1
                    if count % 3:
                        self.ack_sent.add(pushed["jid"])
                        self._time("ACK", pushed["jid"], client.ack, pushed["jid"])
        except (ConnectionEnded, ConnectionError):
            return
        except ServerError as error:
            self.refusals.append(str(error))

    def _time(self, verb: str, jid: str, command: Callable[..., object], *arguments: object) -> None:
        sent = time.monotonic_ns()
        command(*arguments)
        self.answers.append(Answer(verb, jid, sent, time.monotonic_ns()))


@pytest.fixture
def stopped(make_server: MakeServer, tmp_path: Path) -> tuple[Server, Faults]:
    """A server that is not yet started, and the disk it will run on."""
    server = make_server(start=False)
    faults = Faults.build(tmp_path, server.data_directory)
    server.environment.update(faults.environment)
    return server, faults


def test_no_change_is_acknowledged_before_a_sync_that_began_after_it_and_fetch_waits_for_none(
    stopped: tuple[Server, Faults],
) -> None:
    """With syncs of 200 ms: PUSH and ACK wait for one of their own, FETCH of another connection is answered at once."""
    server, faults = stopped
    server.environment["FAULT_SYNC_DELAY_MS"] = str(round(SLOW_SYNC_SECONDS * 1000))
    server.start()
    with server.client(wid="reader-1") as reader:
        reader.pushb(job("stock", number, queue="stock") for number in range(200))
        load = Load(server)
        fetches = []
        for _ in range(100):
            sent = time.monotonic_ns()
            fetched = reader.fetch("stock")
            fetches.append((sent, time.monotonic_ns()))
            assert fetched is not None
            time.sleep(SLOW_SYNC_SECONDS / 5)
        load.join()
    assert load.refusals == []
    assert len(load.answers) > CONNECTIONS * 4
    assert_synced(load, faults)
    syncs = [(event.start, event.end) for event in faults.syncs()]
    waited = [fetch for fetch in fetches if any(fetch[0] < start and end < fetch[1] for start, end in syncs)]
    assert waited == []
    during = [fetch for fetch in fetches if any(start < fetch[0] and fetch[1] < end for start, end in syncs)]
    assert len(during) > 10


@pytest.mark.parametrize("fault", FAILING_DISKS)
def test_a_failing_disk_stops_the_server_and_nothing_acknowledged_is_lost(
    stopped: tuple[Server, Faults], fault: str
) -> None:
    """No `+OK` for what could not be written, the status tells the supervisor, and the next start has everything."""
    server, faults = stopped
    server.start()
    load = Load(server)
    eventually(lambda: len(load.answers) > 300 or not server.running(), "300 answers")
    faults.set(fault)
    assert server.wait() == 1, server.log()
    load.join()
    assert faults.failures(), "the fault was never met"
    assert load.refusals == []
    assert_synced(load, faults)
    assert_kept_after_restart(server, faults, load)


@pytest.mark.parametrize("fault", PASSING_FAULTS)
def test_a_disk_that_was_full_for_one_write_loses_nothing(stopped: tuple[Server, Faults], fault: str) -> None:
    """The batch is written again, or the server stops; an answer is never given for the first attempt."""
    server, faults = stopped
    server.start()
    load = Load(server)
    eventually(lambda: len(load.answers) > 300, "300 answers")
    faults.set(fault)
    survive_or_stop(server, faults, load)


@pytest.mark.parametrize("fault", FAILING_CHECKPOINTS)
def test_a_checkpoint_that_fails_loses_nothing(stopped: tuple[Server, Faults], fault: str) -> None:
    """The write-ahead log still holds what a checkpoint could not copy, so the server may go on or stop."""
    server, faults = stopped
    server.start()
    faults.set(fault)
    survive_or_stop(server, faults, Load(server, padding=200_000))


def survive_or_stop(server: Server, faults: Faults, load: Load) -> None:
    """Wait for the fault and see what the server makes of it; whatever it is, nothing acknowledged may be lost."""
    eventually(faults.failures, "the fault is met")
    time.sleep(0.5)
    load.join()
    if server.running():
        with server.client() as client:
            client.push(job("after"))
    else:
        assert server.wait() == 1, server.log()
    assert load.refusals == []
    assert_synced(load, faults)
    assert_kept_after_restart(server, faults, load)


def assert_synced(load: Load, faults: Faults) -> None:
    """Assert that for every answer a sync succeeded which began after the command and ended before the answer."""
    syncs = sorted((e.start, e.end) for e in faults.syncs() if e.path.endswith(".db-wal") and not e.error)
    starts = [start for start, _ in syncs]
    assert load.answers
    for answer in load.answers:
        later = bisect.bisect_right(starts, answer.sent)
        earliest_end = min((end for _, end in syncs[later : later + 3]), default=None)
        assert earliest_end is not None, f"{answer} was given without a sync after it was sent"
        assert earliest_end < answer.received, f"{answer} was given before the sync that ended at {earliest_end}"


def assert_kept_after_restart(server: Server, faults: Faults, load: Load) -> None:
    """Kill the server if it runs, start it on a healthy disk, stop it, compare the database with what clients know."""
    server.close()
    faults.clear()
    server.start()
    assert server.stop() == 0, server.log()
    verdict = Verdict()
    kept = {row.jid for row in read_rows(server.data_directory / "faktory.db", verdict)}
    assert verdict.wrong == {}
    assert load.answered("PUSH") - load.ack_sent - kept == set()
    assert load.answered("ACK") & kept == set()
