"""A server that can be killed, and the conversations of its workers: for features whose commands are part of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faktory_tw.features.cancel import Cancel
from faktory_tw.features.tracking import Tracking
from faktory_tw.server import Server
from faktory_tw.wire import CommandError, Held
from tests.unit.doubles import Engine, FakeClock
from tests.unit.house import Talk

OK = b"+OK\r\n"


class Floor:
    """One server with the standard features."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.engine = Engine(directory, self.clock)
        self._talks: dict[str, Talk] = {}

    # -- the features of the engine as it runs now -------------------------------------------------------------------

    @property
    def tracking(self) -> Tracking:
        return self.engine.manager.facts.find(Tracking)

    @property
    def cancel(self) -> Cancel:
        return self.engine.manager.facts.find(Cancel)

    def restart(self) -> None:
        self.engine.restart()
        self._talks.clear()

    def crash(self) -> None:
        self.engine.crash()
        self._talks.clear()

    def job_id(self, jid: str) -> int:
        """Return the internal id of a job that is being worked."""
        (found,) = (each.job.id for each in self.engine.manager.reservations() if each.job.jid == jid)
        return found

    # -- conversations -----------------------------------------------------------------------------------------------

    def talk(self, wid: str = "worker-1") -> Talk:
        """Return the conversation of a worker, which is begun when there is none."""
        if wid not in self._talks:
            hello = b'HELLO {"v":2,"wid":"%b"}' % wid.encode() if wid else b'HELLO {"v":2}'
            server = Server(self.engine.manager, self.clock, _run_at_once)
            self._talks[wid] = Talk(server, hello)
        return self._talks[wid]

    def say(self, line: str, wid: str = "worker-1") -> Any:
        """Return the JSON of a bulk reply, the text of any other."""
        talk = self.talk(wid)
        reply = talk.say(line.encode())
        if reply is None:
            reply = talk.later.pop()
        if reply.startswith(b"$"):
            head, body, end = reply.split(b"\r\n")
            assert (int(head[1:]), end) == (len(body), b"")
            return json.loads(body)
        return reply.decode().strip()

    def set(self, jid: str, wid: str = "worker-1", **said: Any) -> None:
        """TRACK SET, which has to succeed."""
        reply = self.talk(wid).say(b"TRACK SET " + json.dumps({"jid": jid, **said}).encode())
        assert reply == OK
        assert isinstance(reply, Held)

    def refused(self, line: str, wid: str = "worker-1") -> str:
        """Return why a command is refused; it must have changed nothing."""
        before = len(self.engine.store.batch)
        reply = str(self.say(line, wid))
        assert reply.startswith("-ERR ")
        assert len(self.engine.store.batch) == before
        return reply[5:]

    def fetch(self, wid: str = "worker-1") -> dict[str, Any]:
        """FETCH a job, which has to be there."""
        job = self.say("FETCH default", wid)
        assert isinstance(job, dict)
        return job

    def state(self, jid: str) -> str:
        """Return the state of the track of a job."""
        return str(self.say(f"TRACK GET {jid}", "")["state"])

    def kept(self, kind: str) -> int:
        """Return how many entries of a kind are on disk, once everything is."""
        self.engine.commit()
        return len(list(self.engine.store.entries(kind)))


def _run_at_once(steps: Iterator[None], finish: Callable[[CommandError | None], None]) -> None:
    refusal = None
    try:
        for _ in steps:
            pass
    except CommandError as error:
        refusal = error
    finish(refusal)
