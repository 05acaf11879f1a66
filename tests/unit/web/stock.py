"""Jobs in each place of a house, put there by the commands of producers and workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.times import rfc3339
from tests.unit.house import Client, House

FAR = 4_000_000_000  # when jobs are scheduled, in seconds since the epoch


class Stock:
    """Puts jobs into the places of a house. Each method returns the internal ids of its jobs."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.client: Client = house.connect()
        self._count = 0

    def queued(self, count: int = 1, **fields: Any) -> list[int]:
        """Jobs in a queue."""
        return self._push(count, **fields)

    def scheduled(self, count: int = 1, **fields: Any) -> list[int]:
        """Jobs that wait for their time, each a second later than the one before."""
        ids = []
        for _ in range(count):
            ids += self._push(1, **{"at": rfc3339(FAR + self._count), **fields})
        return ids

    def working(self, count: int = 1, **fields: Any) -> list[int]:
        """Jobs that are being worked."""
        ids = self._push(count, **fields)
        for _ in range(count):
            self.say(b"FETCH " + fields.get("queue", "default").encode())
        return ids

    def retries(self, count: int = 1, failure: dict[str, Any] | None = None, **fields: Any) -> list[int]:
        """Jobs that have failed once."""
        report = {"errtype": "Boom", "message": "it broke", "backtrace": ["line 1", "line 2"], **(failure or {})}
        ids = []
        for _ in range(count):
            [job_id] = self._push(1, **{"queue": "failing", **fields})
            answer = self.say(b"FETCH " + str(fields.get("queue", "failing")).encode())
            jid = json.loads(answer.split(b"\r\n", 1)[1])["jid"]
            self.say(b"FAIL " + json.dumps({"jid": jid, **report}).encode())
            ids.append(job_id)
        return ids

    def dead(self, count: int = 1, failure: dict[str, Any] | None = None, **fields: Any) -> list[int]:
        """Jobs that have failed and are not tried again."""
        return self.retries(count, failure, **{"retry": -1, **fields})

    def sizes(self) -> dict[str, int]:
        """How many jobs are in which set."""
        return self.house.manager.set_sizes()

    def _push(self, count: int, **fields: Any) -> list[int]:
        ids = []
        for _ in range(count):
            self._count += 1
            job = {"jid": f"jid-{self._count:05}", "jobtype": "work", "args": [self._count], **fields}
            self.say(b"PUSH " + json.dumps(job).encode())
            ids.append(self.house.manager.views.newest())
        return ids

    def say(self, line: bytes) -> bytes:
        """Send a command and return its reply, when that has come from the disk."""
        self.client.say(line)
        self.house.commit()
        answer = self.client.heard()
        assert answer[:1] in b"+$", answer
        return answer


@contextmanager
def stocked(directory: Path) -> Iterator[Stock]:
    """A house on a real store, to be filled."""
    house = House(SQLiteStore(directory / "data", "second"))
    yield Stock(house)
    house.close()
    house.store.close()
