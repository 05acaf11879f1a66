"""ADMIN of queues, workers and backups, and requests that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faktory_tw.core import views
from faktory_tw.core.workers import State
from faktory_tw.features.admin import Task
from faktory_tw.storage.backup import Backup
from faktory_tw.times import rfc3339
from tests.unit.doubles import NOON, Engine
from tests.unit.features.test_admin import body, carry_out, filled
from tests.unit.house import House, Talk

# -- queues and workers ------------------------------------------------------------------------------------------------


def test_queues_are_told_with_size_pause_latency_and_priorities(engine: Engine) -> None:
    engine.push(queue="b", priority=9)
    engine.push(queue="b")
    engine.push(queue="b")
    engine.clock.advance(12.5)
    engine.push(queue="a")
    engine.manager.pause(["a"])
    assert carry_out(engine, "QUEUES")["queues"] == [
        {"name": "a", "size": 1, "paused": True, "latency": 0.0, "priorities": {"5": 1}},
        {"name": "b", "size": 3, "paused": False, "latency": 12.5, "priorities": {"9": 1, "5": 2}},
    ]


def test_ten_thousand_queues_are_gone_through_in_slices_from_disk(engine: Engine) -> None:
    for number in range(1000):
        engine.push(queue=f"q{number:04}", args=["x" * (200_000 if number < 20 else 10)])
    engine.commit()
    engine.restart()
    engine.clock.advance(7)
    task = Task(b"QUEUES", engine.manager, None)
    assert len(list(task.steps())) >= 11, "slices of a hundred queues, fewer where jobs are large"
    queues = body(task.reply())["queues"]
    assert [queue["name"] for queue in queues] == [f"q{number:04}" for number in range(1000)]
    assert {queue["latency"] for queue in queues} == {7.0}


@pytest.mark.parametrize("limit", [1, 7, 60, 61, 1000, None])
def test_queues_are_told_in_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    monkeypatch.setattr(views, "_NAMES", 9)
    for number in range(60):
        engine.push(queue=f"q{number}")
    names: list[str] = []
    page = carry_out(engine, "QUEUES", limit=limit)
    while page["next"] is not None:
        assert len(page["queues"]) == limit
        names += [queue["name"] for queue in page["queues"]]
        page = carry_out(engine, "QUEUES", limit=limit, after=page["next"])
    assert page["queues"], "no page is asked for in vain"
    names += [queue["name"] for queue in page["queues"]]
    assert names == sorted(f"q{number}" for number in range(60))


def test_one_reply_tells_a_thousand_queues_at_most_and_names_are_put_in_order_in_slices(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_NAMES", 50)
    for number in range(1100):
        engine.push(queue=f"q{number:04}")
    task = Task(b"QUEUES", engine.manager, None)
    assert len(list(task.steps())) >= 1100 // 50 - 1 + 1000 // 100 - 1
    page = body(task.reply())
    assert (len(page["queues"]), page["next"], page["pushes_refused"]) == (1000, "q0999", "")
    engine.manager.remove_queues(["q0999"])
    rest = carry_out(engine, "QUEUES", after=page["next"])
    assert [queue["name"] for queue in rest["queues"]] == [f"q{number}" for number in range(1000, 1100)]
    assert rest["next"] is None


def test_why_pushes_are_refused_is_told(engine: Engine) -> None:
    assert carry_out(engine, "QUEUES")["pushes_refused"] == ""
    engine.manager.refuse_pushes = "the disk is nearly full"
    assert carry_out(engine, "QUEUES")["pushes_refused"] == "the disk is nearly full"


def test_workers_are_told_with_what_they_hold_and_when_they_were_heard_of(engine: Engine) -> None:
    silent = engine.worker("silent", beats=False)
    busy = engine.manager.connect_worker("busy", "host", 7, ["ruby"])
    engine.manager.connect_worker("busy", "host", 7, ["ruby"])
    engine.manager.beat("busy", "quiet", 1234)
    busy.state = State.RUNNING
    for _ in range(3):
        engine.push()
        assert engine.fetch(worker=busy)
    busy.state = State.QUIET
    engine.clock.advance(3)
    assert carry_out(engine, "WORKERS")["workers"] == [
        {
            "wid": "silent",
            "hostname": "host",
            "pid": 1,
            "labels": [],
            "started_at": rfc3339(silent.started_at),
            "state": "running",
            "rss_kb": 0,
            "connections": 1,
            "busy": 0,
            "beat_age": None,
        },
        {
            "wid": "busy",
            "hostname": "host",
            "pid": 7,
            "labels": ["ruby"],
            "started_at": rfc3339(NOON),
            "state": "quiet",
            "rss_kb": 1234,
            "connections": 2,
            "busy": 3,
            "beat_age": 3.0,
        },
    ]


def test_a_worker_is_told_once_and_never_taken_back(engine: Engine) -> None:
    one, two = engine.worker("one"), engine.worker("two")
    assert carry_out(engine, "WORKER", wid="one", state="terminate") == {"told": 1}
    assert carry_out(engine, "WORKER", wid="*", state="quiet") == {"told": 2}
    assert (one.state, two.state) == (State.TERMINATE, State.QUIET)
    assert engine.manager.beat("two", None, 0) is State.QUIET


def test_all_workers_may_be_none(engine: Engine) -> None:
    assert carry_out(engine, "WORKER", wid="*", state="quiet") == {"told": 0}
    assert carry_out(engine, "WORKERS") == {"workers": []}


# -- backups -----------------------------------------------------------------------------------------------------------


class Backups:
    """Backups of the server, which a test lets succeed or fail."""

    def __init__(self) -> None:
        self.last: Any = None
        self.last_error = ""
        self.count = 0
        self.running = False
        self.at_once = False
        self.listing: list[Callable[[list[Any], str], None]] = []
        self._done: Callable[..., None] = lambda: None

    def begin(self, done: Callable[..., None]) -> None:
        self.running = True
        self._done = done
        if self.at_once:
            self.end("no room")

    def end(self, error: str = "") -> None:
        self.running = False
        self.last_error = error
        if not error:
            self.count += 1
            self.last = Backup("faktory-1.db", Path("faktory-1.db"), NOON, 10, 3, True)
        self._done()

    def list_soon(self, done: Callable[[list[Any], str], None]) -> None:
        self.listing.append(done)

    def listed(self, error: str = "") -> None:
        self.listing.pop(0)([self.last] if self.last else [], error)


VIEW = {"name": "faktory-1.db", "taken_at": rfc3339(NOON), "size_bytes": 10, "jobs": 3, "verified": True}


@pytest.fixture
def talk(house: House) -> Talk:
    """A conversation with a server that makes backups."""
    house.server.backups = Backups()
    return house.talk()


def listed(talk: Talk, error: str = "") -> dict[str, Any]:
    """The reply to ADMIN BACKUPS, which comes when another thread has looked at them."""
    assert talk.say(b"ADMIN BACKUPS {}") is None
    assert talk.later == []
    talk.session.server.backups.listed(error)
    return body(talk.later.pop())


def test_a_backup_is_answered_when_it_is_made(house: House, talk: Talk) -> None:
    backups: Backups = house.server.backups
    assert talk.say(b"ADMIN BACKUP {}") is None
    assert talk.later == []
    backups.end()
    assert body(talk.later.pop()) == VIEW
    assert listed(talk) == {"backups": [VIEW], "running": False, "count": 1, "last_error": ""}


def test_a_backup_that_fails_is_an_error_later_or_at_once(house: House, talk: Talk) -> None:
    backups: Backups = house.server.backups
    talk.say(b"ADMIN BACKUP {}")
    backups.end("the disk is full")
    assert talk.later == [b"-ERR the backup failed: the disk is full\r\n"]
    talk.later.clear()
    assert listed(talk)["last_error"] == "the disk is full"
    backups.at_once = True
    assert talk.say(b"ADMIN BACKUP {}") == b"-ERR the backup failed: no room\r\n"


def test_backups_that_cannot_be_listed_are_told_with_why_but_not_in_place_of_a_failure(
    house: House, talk: Talk
) -> None:
    backups: Backups = house.server.backups
    assert listed(talk, "no access") == {"backups": [], "running": False, "count": 0, "last_error": "no access"}
    assert backups.last_error == ""
    backups.last_error = "no room"
    assert listed(talk, "no access")["last_error"] == "no room"


def test_two_backups_at_once_are_refused(talk: Talk) -> None:
    assert talk.say(b"ADMIN BACKUP") is None
    other = talk.session.server
    assert Talk(other).say(b"ADMIN BACKUP") == b"-ERR a backup is being made already; see ADMIN BACKUPS\r\n"


def test_a_client_that_left_is_not_told_of_its_backup(house: House, talk: Talk) -> None:
    talk.say(b"ADMIN BACKUP")
    talk.leave()
    house.server.backups.end()
    assert (talk.later, talk.too_late) == ([], [])


def test_a_connection_goes_on_after_a_backup(house: House) -> None:
    house.server.backups = backups = Backups()
    client = house.connect()
    client.say(b"ADMIN BACKUP", b"ADMIN WORKERS")
    assert client.heard() == b""
    backups.end()
    house.reactor.turn()
    assert client.heard().count(b"$") == 2
    backups.at_once = True
    assert client.ask(b"ADMIN BACKUP").startswith(b"-ERR the backup failed")
    client.say(b"ADMIN BACKUPS", b"ADMIN WORKERS")
    assert client.heard() == b""
    backups.listed()
    house.reactor.turn()
    assert client.heard().count(b"$") == 2
    assert client.ask(b"ADMIN WORKERS").startswith(b"$")


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"ADMIN", "ADMIN needs a subcommand"),
        (b"ADMIN ", "no such ADMIN subcommand: ; there are BACKUP, BACKUPS, CANCEL, CRON, DELETE"),
        (b"ADMIN NOTHING {}", "no such ADMIN subcommand: NOTHING; there are"),
        (b"ADMIN LIST {", "invalid JSON for ADMIN LIST: "),
        (b"ADMIN LIST []", "invalid JSON for ADMIN LIST: "),
        (b'ADMIN LIST {"limit":"many"}', "invalid JSON for ADMIN LIST: "),
        (b'ADMIN LIST {"place":"\xff"}', "invalid JSON for ADMIN LIST: "),
        (b'ADMIN LIST {"place":"limbo"}', "no such place: limbo; there are working, queued, scheduled, retries, dead"),
        (b'ADMIN LIST {"place":"queued"}', 'the place "queued" needs the name of a queue'),
        (b'ADMIN LIST {"limit":-1}', "limit must be a whole number from 0 (only count) to 1000"),
        (b'ADMIN LIST {"limit":1001}', "limit must be a whole number from 0 (only count) to 1000"),
        (b'ADMIN LIST {"after":"xyz"}', '"after" must be the "next" of an earlier reply'),
        (b'ADMIN LIST {"after":"dead//x/1"}', '"after" must be the "next" of an earlier reply'),
        (b'ADMIN LIST {"after":"limbo//1/1"}', '"after" must be the "next" of an earlier reply'),
        (b'ADMIN LIST {"place":"dead","after":"retries//1.0/1"}', '"after" must be the "next" of an earlier reply'),
        (b"ADMIN SHOW {}", "ADMIN SHOW needs a jid"),
        (b'ADMIN QUEUES {"limit":0}', "limit must be a whole number from 1 to 1000"),
        (b'ADMIN QUEUES {"limit":1001}', "limit must be a whole number from 1 to 1000"),
        (b'ADMIN DELETE {"place":"queued"}', 'the place "queued" needs the name of a queue'),
        (b'ADMIN DELETE {"place":"working"}', "a job that is being worked cannot be changed"),
        (b'ADMIN DELETE {"place":"dead","filter":{"jobtpye":"x"}}', "invalid JSON for ADMIN DELETE: "),
        (b'ADMIN DELETE {"place":"dead","filter":{"since":"today"}}', 'since is no time: "today": not a time such as'),
        (b'ADMIN DELETE {"place":"dead","after":"retries//1.0/1"}', '"after" must be the "next" of an earlier reply'),
        (b"ADMIN RETRY {}", "ADMIN RETRY needs a place, one of scheduled, retries, dead"),
        (b'ADMIN RETRY {"place":"queued","queue":"default"}', "retry is not possible for jobs that are queued"),
        (b'ADMIN PRIORITY {"place":"dead","priority":5}', "priority is not possible for jobs that are dead; it is for"),
        (b'ADMIN PRIORITY {"place":"queued","queue":"default"}', "priority must be a whole number from 1 to 9"),
        (b'ADMIN PRIORITY {"place":"queued","queue":"a","priority":10}', "priority must be a whole number from 1 to 9"),
        (b'ADMIN KILL {"place":"dead"}', "these jobs are dead already"),
        (b"ADMIN WORKER {}", "ADMIN WORKER needs a wid"),
        (b'ADMIN WORKER {"wid":"w","state":"running"}', "ADMIN WORKER needs a wid"),
        (b'ADMIN WORKER {"wid":"w","state":"quiet"}', "Unknown worker w"),
        (b"ADMIN BACKUP {}", "this server makes no backups"),
        (b"ADMIN BACKUPS {}", "this server makes no backups"),
    ],
)
def test_a_request_that_is_none_is_refused_and_says_why(house: House, line: bytes, told: str) -> None:
    reply = house.talk().say(line)
    assert reply is not None
    assert reply.startswith(f"-ERR {told}".encode()), reply


@pytest.mark.parametrize("cursor", ["dead//1e400/1", "dead//nan/1", "queued/x/5/99999999999999999999", "queued//-9/0"])
def test_a_made_up_cursor_does_no_harm(engine: Engine, cursor: str) -> None:
    filled(engine)
    carry_out(engine, "LIST", after=cursor)


def test_subcommands_and_keys_are_taken_in_any_case(house: House) -> None:
    assert body(house.talk().say(b'ADMIN list {"Place":"dead","LIMIT":null,"unknown":1}'))["jobs"] == []


def test_nobody_may_ask_before_hello(house: House) -> None:
    talk = house.talk(hello=None)
    assert talk.say(b"ADMIN WORKERS") == b""
    assert talk.ended
