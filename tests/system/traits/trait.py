"""What a trait of a crash test is: a part of the jobs that ask something of one feature, and what has to be true of them.

The parts of the torture call a trait in this order: `configure` before each start, `mark` for each job that is pushed,
`role` as a thread of its own, `adopt`, `working` and `fields` when a worker gets a job, `rest` when no more work is to come,
`finished` just before the last stop of the load, `check_rows` on the database, `drained` when everything was worked, and
`judge` at the end. All do nothing unless a trait says what.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.system.crew import Visitor
    from tests.system.fwp import Client, Job
    from tests.system.ledger import Account, Fetch, Ledger, Verdict
    from tests.system.server import Server

DEAD, WORKING = 3, 4  # places, as the database numbers them

MARKED = """
    SELECT jobs.id, json_extract(body, '$.jid') FROM jobs LEFT JOIN places USING (id)
    WHERE json_extract(body, '$.custom.{}') IS NOT NULL AND coalesce(place, 0) <> {}
"""


@dataclass
class Turn:
    """A role's turn: a connection, the account of everything, and whether the load still goes on."""

    client: Visitor
    ledger: Ledger
    rng: random.Random
    going_on: bool


class Trait:
    """See the module's docstring. `queues`: which further queues it uses, and how many of their jobs go at once."""

    queues: Mapping[str, int] = {}

    def configure(self, server: Server, rng: random.Random, last: bool) -> None:
        """Before a start, and before SIGHUP: write what it needs into `conf.d`; `last`: before everything is drained."""

    def mark(self, account: Account, rng: random.Random) -> None:
        """Before the push: make this job one of those, or not."""

    def may_be_refused(self, account: Account) -> bool:
        """Whether what the push was refused with is a right answer to such a job."""
        return False

    def adopt(self, jid: str, custom: dict[str, Any]) -> Account | None:
        """The account of a job that the server pushed by itself; None when it is not one of those."""
        return None

    @property
    def role(self) -> bool:
        """Whether `act` is wanted."""
        return type(self).act is not Trait.act

    def act(self, turn: Turn) -> bool:
        """Do something with a connection of its own; return whether it is done, once the load does not go on."""
        return True

    def working(self, client: Client, account: Account, job: Job, ledger: Ledger, rng: random.Random) -> None:
        """A worker has this job and is about to settle it."""

    def fields(self, account: Account, fetch: Fetch, rng: random.Random) -> dict[str, Any]:
        """What the ACK or FAIL is to have beside the jid; see `fetch.outcome`, which may be changed."""
        return {}

    def rest(self, client: Client) -> None:
        """The load has ended: the server is not to begin anything by itself any more."""

    def finished(self, client: Client, ledger: Ledger) -> None:
        """Ask what is to be compared with the rows of the database."""

    def drained(self, client: Client, ledger: Ledger) -> None:
        """Everything was worked off: ask what is left."""

    def judge(self, ledger: Ledger) -> None:
        """Look at all that was said, and add figures."""

    def check_rows(self, connection: sqlite3.Connection, verdict: Verdict) -> None:
        """Look at what the feature keeps in the database, whatever was said."""


def compare_entries(
    kind: str, entries: Mapping[int, int], marked: dict[int, str], all_ids: set[int], v: Verdict
) -> None:
    """`entries`: how many there are for which id; `marked`: the jobs that must have one."""
    for job_id in set(entries) - all_ids:
        v.find(f"{kind}: kept for a job that is gone", str(job_id))
    for job_id in set(marked) - set(entries):
        v.find(f"{kind}: lost", f"{marked[job_id]}, row {job_id}")
    for job_id, count in entries.items():
        if count > 1:
            v.find(f"{kind}: kept twice", str(job_id))


def jobs_of(connection: sqlite3.Connection, custom: str, without: int = DEAD) -> tuple[dict[int, str], set[int]]:
    """Return the jobs that ask for this and are not in the place `without`, and the ids of all."""
    marked = dict(connection.execute(MARKED.format(custom, without)).fetchall())
    return marked, {job_id for (job_id,) in connection.execute("SELECT id FROM jobs")}


def entries_of(connection: sqlite3.Connection, kind: str) -> list[tuple[bytes, bytes]]:
    """What the feature of this kind keeps: keys and values."""
    return connection.execute("SELECT key, value FROM entries WHERE kind = ?", (kind,)).fetchall()


def counted(connection: sqlite3.Connection, custom: str) -> Counter[str]:
    """How many jobs there are for each value of this in `custom`."""
    rows = connection.execute(f"SELECT json_extract(body, '$.custom.{custom}') FROM jobs")
    return Counter(str(value) for (value,) in rows if value is not None)


def write_settings(server: Server, name: str, text: str) -> None:
    """Write a file of `conf.d`."""
    path = server.config_directory / "conf.d" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def toml(value: Any) -> str:
    """A value as TOML has it, in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)
