"""The commands of ``faktory-tw`` that look and push: what they ask a server, what they make of its answers, their status."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from faktory_tw.console import push
from faktory_tw.console.errors import ConsoleError
from tests.unit.console.fake import BACKUP, INFO, QUEUES, UNKNOWN, WORKER, Fake, Run, page, refused, view, whole

# -- in general --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    "status watch push list show requeue retry kill delete flush backup restore check-config load queues workers backups "
    "queues/list queues/pause queues/resume queues/remove queues/latency workers/list workers/quiet workers/terminate "
    "cron/list cron/history cron/pause cron/resume cron/run "
    "backups/list backups/verify backups/purge".split(),
)
def test_every_command_has_help(run: Run, command: str) -> None:
    status, out, err = run(*command.split("/"), "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: faktory-tw {command.replace('/', ' ')} ")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("queues", "required: COMMAND"),
        ("list limbo", "invalid choice: 'limbo'"),
        ("list queued", "list queued needs the name of a queue"),
        ("list dead default", "the other places take none"),
        ("list dead --limit 0", "must be a whole number of 1 or more, not '0'"),
        ("kill dead x", "invalid choice: 'dead'"),
        ("delete dead", "say which jobs"),
        ("delete dead jid-0001 --all", "say which jobs"),
        ("workers quiet", "say which workers"),
        ("workers quiet w --all", "say which workers"),
        ("push", "required: JOBTYPE"),
        ("push Work bare", "argument 'bare' is no JSON"),
        ("push Work 01", "argument '01' is no JSON"),
        ("push Work NaN", "argument 'NaN' is no JSON"),
        ("push Work --custom []", "--custom must be a JSON object"),
        ("push Work --priority 10", "invalid choice: 10"),
        ("push Work --at tomorrow", "--at 'tomorrow' is not a time such as"),
        ("push Work --at +5", "nor a delay such as +90s"),
        ("push Work --queue *", "'*' is no name of a queue"),
        ("push Work --queue a/b", "'a/b' is no name of a queue"),
        ("push - 1", "with - the jobs come from standard input"),
        ("queues pause a *", "'*' is no name of a queue"),
        ("queues latency *", "name the queues"),
        ("watch --interval 0", "must be a number of seconds from 0.1 to 3600, not '0'"),
        ("flush", "Forget 10 jobs, all queues and all statistics of localhost:7419? There is no way back."),
        ("queues remove a", "Remove 1 queue with 2 jobs? There is nobody to ask here; --yes goes ahead"),
        ("delete dead --all", "Delete 1 job of the set dead? There is nobody to ask here"),
    ],
)
def test_wrong_usage_has_status_2_and_says_what_to_do(fake: Fake, run: Run, line: str, told: str) -> None:
    status, out, err = run(*line.split())
    assert (status, out) == (2, "")
    assert err.startswith("usage: faktory-tw")
    assert told in err
    assert set(fake.lines) <= {"INFO"}


@pytest.mark.parametrize("line", ["status", "list dead", "show x", "queues list", "workers list", "push Work", "flush"])
def test_what_the_server_refuses_is_told_with_status_1(fake: Fake, run: Run, line: str) -> None:
    for begin in ("INFO", "ADMIN", "PUSH"):
        fake.answer(begin, ConsoleError("the server is away"))
    assert run(*line.split()) == (1, "", "faktory-tw: the server is away\n")


def test_the_address_may_come_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKTORY_PROVIDER", "tcp://:hunter2@host")
    status, _, err = run("status")
    assert status == 2
    assert "FAKTORY_PROVIDER is not a URL" in err
    monkeypatch.setenv("FAKTORY_PROVIDER", "MY_URL")
    monkeypatch.setenv("MY_URL", "tcp://:hunter2@host:x")
    for command in ("status", "load"):
        status, _, err = run(command)
        assert status == 2
        assert "MY_URL: 'tcp://***@host:x' is no URL" in err


def test_load_measures_plain_tcp_only(run: Run) -> None:
    status, _, err = run("load", "--url", "tcp+tls://localhost")
    assert status == 2
    assert "over plain TCP" in err


# -- status ------------------------------------------------------------------------------------------------------------


def test_status_is_one_screen(fake: Fake, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole(fake)
    monkeypatch.setattr(
        "faktory_tw.console.status.time", SimpleNamespace(time=lambda: 1_763_726_460.0, monotonic=float)
    )
    status, out, err = run("status")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "faktory_tw 1.2 at localhost:7419, up 1 min 1 s",
        "10 jobs processed, 1 failed, 2 queued",
        "5 connections, 0 MiB of memory",
        "",
        "QUEUE  JOBS  LATENCY  STATE   PRIORITIES",
        "a         2    3.5 s  paused  9:1 5:1",
        "b         0      0 s",
        "",
        "scheduled 3  retries 0  dead 1  working 4",
        "",
        "WORKER  PROCESS  STATE  JOBS  HEARTBEAT   MEMORY  LABELS",
        "w1      box:7    quiet     4      1.0 s  2.0 MiB  ruby",
        "",
        "1 backup, the last 1 min 0 s ago: f.db, 1.0 KiB",
    ]


def test_status_tells_what_is_wrong(fake: Fake, run: Run) -> None:
    whole(fake)
    fake.answer("ADMIN QUEUES", {**QUEUES, "pushes_refused": "the disk is full"})
    fake.answer("ADMIN BACKUPS", {"backups": [], "running": True, "count": 0, "last_error": "no room\033[2J"})
    _, out, _ = run("status")
    assert "NEW JOBS ARE REFUSED: the disk is full" in out
    assert "0 backups, one is being made\nTHE LAST BACKUP FAILED: no room\\x1b[2J\n" in out


def test_status_shows_what_any_faktory_tells(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN", UNKNOWN)
    status, out, _ = run("status")
    assert status == 0
    assert "a         2        -" in out
    assert "workers: this server does not tell" in out


def test_status_shows_the_longest_of_many_queues(fake: Fake, run: Run) -> None:
    whole(fake)
    queues = [{**QUEUES["queues"][1], "name": f"q{number:02}", "size": number} for number in range(50)]
    fake.answer("ADMIN QUEUES", {"queues": queues, "pushes_refused": ""})
    _, out, _ = run("status")
    assert ("q49" in out, "q30" in out, "q29" in out) == (True, True, False)
    assert "and 30 queues more" in out
    assert "q29" in run("status", "--all")[1]


def test_status_as_json(fake: Fake, run: Run) -> None:
    whole(fake)
    told = json.loads(run("status", "--json")[1])
    assert told["info"] == INFO
    assert told["queues"] == QUEUES["queues"]
    assert told["workers"] == [WORKER]
    assert told["backups"]["backups"] == [BACKUP]
    assert told["pushes_refused"] == ""


def test_watch_without_a_terminal_prints_once(fake: Fake, run: Run) -> None:
    whole(fake)
    assert run("watch") == run("status")
    assert json.loads(run("watch", "--json")[1])["info"] == INFO


# -- push --------------------------------------------------------------------------------------------------------------


def pushed(fake: Fake) -> dict[str, Any]:
    [line] = fake.lines
    verb, _, text = line.partition(" ")
    assert verb == "PUSH"
    job = json.loads(text)
    assert isinstance(job, dict)
    return job


def test_a_job_is_pushed_and_its_jid_printed(fake: Fake, run: Run) -> None:
    status, out, _ = run("push", "Mail", '"ann"', '{ "big": 12345678901234567890.10 }', "null")
    assert status == 0
    assert '"args":["ann",{"big":12345678901234567890.10},null]' in fake.lines[0]
    job = pushed(fake)
    assert job["jobtype"] == "Mail"
    assert job["jid"] == out.strip()
    assert len(job["jid"]) == 24
    assert set(job) == {"jid", "jobtype", "args"}


def test_every_option_is_a_member_of_the_job(fake: Fake, run: Run) -> None:
    line = "push Mail --jid job-00001 --queue q --priority 9 --at 2030-01-01T00:00:00Z --retry -1 --reserve-for 90"
    status, out, _ = run(*line.split(), "--backtrace", "5", "--custom", '{"a":1}', "--json")
    assert (status, json.loads(out)) == (0, {"jid": "job-00001"})
    assert pushed(fake) == {
        "jid": "job-00001",
        "jobtype": "Mail",
        "args": [],
        "queue": "q",
        "priority": 9,
        "at": "2030-01-01T00:00:00Z",
        "retry": -1,
        "reserve_for": 90,
        "backtrace": 5,
        "custom": {"a": 1},
    }


def test_a_job_may_be_due_in_a_while(fake: Fake, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "time", SimpleNamespace(time=lambda: 1_763_726_400.0))
    run("push", "Mail", "--at", "+1h30m")
    assert pushed(fake)["at"] == "2025-11-21T13:30:00.000000Z"


class Input(io.BytesIO):
    """Standard input."""

    def __init__(self, *lines: bytes) -> None:
        super().__init__(b"\n".join(lines))
        self.buffer = self

    def fileno(self) -> int:
        raise AssertionError("the size is asked of the test")


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets the lines of standard input."""
    monkeypatch.setattr(push, "_input_size", lambda: None)
    return lambda *lines: monkeypatch.setattr("sys.stdin", Input(*lines))


def bulks(fake: Fake) -> list[list[dict[str, Any]]]:
    return [json.loads(line[6:]) for line in fake.lines if line.startswith("PUSHB ")]


def test_jobs_from_standard_input_are_pushed_in_bulk(fake: Fake, run: Run, give: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(push, "_BULK_JOBS", 2)
    fake.answer("PUSHB", {})
    give(b'{"jobtype":"A","jid":"jid-00001","queue":"own"}', b"", b'{"jobtype":"B","args":[1.10]}', b'{"jobtype":"C"}')
    assert run("push", "-", "--queue", "bulk") == (0, "3 jobs pushed, 0 refused\n", "")
    assert '"args":[1.10]' in fake.lines[0]
    [[first, second], [third]] = bulks(fake)
    assert first == {"jobtype": "A", "jid": "jid-00001", "queue": "own", "args": []}
    assert (second["queue"], third["queue"]) == ("bulk", "bulk")
    assert second["jid"] != third["jid"]


def test_lines_that_are_no_jobs_are_told_and_the_others_pushed(fake: Fake, run: Run, give: Any) -> None:
    fake.answer("PUSHB", {"jid-00003": "jobs must have a jobtype parameter"})
    give(b"nonsense", b'{"jobtype":"A"}', b'{"jid":"jid-00003"}', b"[1]", b"\xff")
    status, out, err = run("push", "-")
    assert (status, out) == (1, "1 job pushed, 4 refused\n")
    assert [line.partition(":")[0] for line in err.splitlines()] == ["line 1", "line 3", "line 4", "line 5"]
    assert "line 3: jobs must have a jobtype parameter" in err
    give(b"nonsense")
    told = json.loads(run("push", "-", "--json")[1])
    assert told["pushed"] == 0
    assert told["refused"][0]["line"] == 1


def test_when_a_bulk_push_is_refused_whole_each_job_is_pushed_alone(fake: Fake, run: Run, give: Any) -> None:
    fake.answer("PUSHB", refused("-ERR invalid JSON: Expected `int | null`, got `str`"))
    fake.answer("PUSH ", "OK", refused("-ERR invalid JSON: Expected `int | null`, got `str`"), "OK")
    give(b'{"jobtype":"A"}', b'{"jobtype":"A","retry":"many"}', b'{"jobtype":"A"}')
    status, out, err = run("push", "-")
    assert (status, out) == (1, "2 jobs pushed, 1 refused\n")
    assert err == "line 2: invalid JSON: Expected `int | null`, got `str`\n"


def test_a_lost_connection_tells_what_had_been_accepted(fake: Fake, run: Run, give: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(push, "_BULK_JOBS", 2)
    fake.answer("PUSHB", {}, ConsoleError("the connection was lost"))
    give(*[b'{"jobtype":"A"}'] * 5)
    status, out, err = run("push", "-")
    assert (status, out) == (1, "")
    assert err.startswith(
        "faktory-tw: the connection was lost; 2 jobs had been accepted. Of up to 2 more it is not known"
    )


# -- list and show -----------------------------------------------------------------------------------------------------


def test_filters_are_sent_and_pages_gathered(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN LIST", page(view("jid-1"), view("jid-2"), after="x"), page(view("jid-3"), after="y"))
    filters = "--jid jid-1 --jid jid-2 --jobtype W* --queue a --match text --error E".split()
    status, out, err = run("list", "retries", *filters, "--limit", "3", "--after", "w")
    assert (status, err) == (0, "There may be more: --after y\n")
    assert [line.split()[0] for line in out.splitlines()] == ["JID", "jid-1", "jid-2", "jid-3"]
    wanted = {"jids": ["jid-1", "jid-2"], "jobtype": "W*", "queue": "a", "match": "text", "error": "E"}
    first, second = (argument for _, argument in fake.asked)
    assert first == {"place": "retries", "filter": wanted, "after": "w", "limit": 3}
    assert second == {"place": "retries", "filter": wanted, "after": "x", "limit": 1}


@pytest.mark.parametrize(
    ("place", "head", "row"),
    [
        ("queued", "JID PRIORITY TYPE", "jid-1"),
        ("scheduled", "DUE", "2025-11-21T12:00:00Z"),
        ("retries", "ERROR", "KeyError: no\\nway"),
        ("dead", "FAILED", "2025-11-20T00:00:00Z"),
        ("working", "WORKER", "w1"),
    ],
)
def test_each_place_has_its_columns(fake: Fake, run: Run, place: str, head: str, row: str) -> None:
    failure = {"errtype": "KeyError", "message": "no\nway", "failed_at": "2025-11-20T00:00:00.5Z", "retry_count": 2}
    each = {**view("jid-1", place, failure=failure), "wid": "w1", "reserved_at": None, "expires_at": None}
    fake.answer("ADMIN LIST", page(each))
    status, out, _ = run("list", place, *(["q"] if place == "queued" else []))
    assert status == 0
    first, second = out.splitlines()
    assert all(word in first.split() for word in head.split())
    assert row in second
    assert '[1, "x"]' in second


def test_nothing_found_is_no_error(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN LIST", page())
    assert run("list", "dead") == (0, "no jobs\n", "")
    assert run("list", "dead", "--json") == (0, '{"jobs": [], "next": null}\n', "")


def test_jobs_can_be_counted(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN LIST", page(matched=7, after="x"), page(matched=5))
    assert run("list", "dead", "--count") == (0, "12\n", "")
    assert fake.asked[0][1]["limit"] == 0
    assert run("list", "dead", "--count", "--json") == (0, '{"count": 5}\n', "")


def test_a_job_is_shown_with_its_backtrace(fake: Fake, run: Run) -> None:
    failure = {"errtype": "E", "message": "m", "backtrace": ["line 1", "line\t2"]}
    fake.answer("ADMIN SHOW", page(view("jid-1", failure=failure, custom={"a": [1]})))
    status, out, _ = run("show", "jid-1")
    assert status == 0
    assert "place:        retries\n" in out
    assert 'custom:       {"a": [1]}\n' in out
    assert out.endswith("failure:\n  errtype:    E\n  message:    m\n    line 1\n    line\\t2\n")
    assert json.loads(run("show", "jid-1", "--json")[1])["jobs"][0]["job"]["jid"] == "jid-1"


def test_a_job_that_is_nowhere_is_an_error(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN SHOW", page())
    told = "faktory-tw: there is no job with the jid jid-1: it is done, or was never pushed\n"
    assert run("show", "jid-1") == (1, "", told)
