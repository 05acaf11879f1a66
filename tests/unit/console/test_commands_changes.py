"""The commands of ``faktory-tw`` that change something: what they ask a server, what they make of its answers, their status."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from faktory_tw.storage.sqlite import SQLiteStore
from tests.unit.console.fake import BACKUP, QUEUES, UNKNOWN, Fake, Run, page, refused, whole
from tests.unit.storage.backups import fill, take

# -- requeue, kill, delete ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("delete dead --all", {"cmd": "clear", "target": "dead"}),
        ("retry scheduled --all", {"cmd": "requeue", "target": "scheduled"}),
        ("kill scheduled --all", {"cmd": "kill", "target": "scheduled"}),
    ],
)
def test_a_whole_set_is_changed_by_mutate(fake: Fake, run: Run, line: str, request_: dict[str, Any]) -> None:
    fake.meanwhile = 1
    status, _, err = run(*line.split(), "--yes")
    assert (status, err) == (0, "")
    assert ("MUTATE", request_) in fake.asked
    assert not any(asked.startswith("ADMIN") for asked in fake.lines)


def test_jids_are_counted_and_changed_by_mutate(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN LIST", page(matched=2))
    assert run("requeue", "dead", "jid-1", "--jid", "jid-2", "--yes") == (0, "2 jobs put into the queue.\n", "")
    assert fake.asked[-1] == (
        "MUTATE",
        {"cmd": "requeue", "target": "dead", "filter": {"jids": ["jid-2", "jid-1"]}},
    )
    fake.answer("ADMIN LIST", page())
    told = "faktory-tw: none of these jobs is in the set dead\n"
    assert run("requeue", "dead", "jid-1", "--yes") == (1, "", told)


def test_what_mutate_cannot_say_goes_through_admin(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN LIST", page(matched=12))
    fake.answer("ADMIN DELETE", page(matched=7, after="x"), page(matched=5))
    status, out, _ = run("delete", "retries", "--error", "E*", "--json", "--yes")
    assert (status, json.loads(out)) == (0, {"changed": 12})
    question = {"place": "retries", "filter": {"error": "E*"}, "after": None}
    assert fake.asked[-2:] == [("ADMIN DELETE", question), ("ADMIN DELETE", {**question, "after": "x"})]
    fake.answer("ADMIN LIST", page())
    assert run("delete", "retries", "--error", "E*") == (0, "0 jobs deleted.\n", "")


def test_jobs_of_a_queue_are_changed_by_admin(fake: Fake, run: Run) -> None:
    for line, verb, more, told in (
        ("delete queued --queue a --all", "DELETE", {}, "2 jobs deleted."),
        ("kill queued jid-1 --queue a", "KILL", {}, "2 jobs moved to the dead."),
        ("priority 9 --queue a --jobtype X", "PRIORITY", {"priority": 9}, "2 jobs moved to another priority."),
    ):
        wanted = {"jids": ["jid-1"]} if "jid" in line else {"jobtype": "X"} if "X" in line else {}
        fake.answer("ADMIN LIST", page(matched=2))
        fake.answer(f"ADMIN {verb}", page(matched=2))
        assert run(*line.split(), "--yes") == (0, f"{told}\n", "")
        question = {"place": "queued", "filter": wanted, "queue": "a", **more, "after": None}
        assert fake.asked[-1] == (f"ADMIN {verb}", question)
    assert "MUTATE" not in fake.lines
    fake.answer("ADMIN LIST", page())
    assert run("kill", "queued", "jid-1", "--queue", "a")[2] == "faktory-tw: none of these jobs is in the queue a\n"
    assert run("delete", "queued", "--queue", "nobody", "--all", "--yes") == (0, "0 jobs deleted.\n", "")


@pytest.mark.parametrize("line", ["delete queued --all", "priority 5 --all", "priority 10 --queue a --all"])
def test_a_change_of_a_queue_needs_its_name_and_a_priority_that_there_is(fake: Fake, run: Run, line: str) -> None:
    assert run(*line.split(), "--yes")[0] == 2
    assert fake.lines == []


class Asked(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_people_are_told_how_many_and_asked(fake: Fake, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.answer("ADMIN LIST", page(matched=1234))
    monkeypatch.setattr("sys.stdin", Asked("n\n"))
    status, out, err = run("kill", "retries", "--queue", "a")
    assert (status, out) == (1, "")
    assert err == "Move 1,234 jobs of the set retries to the dead? [y/N] Nothing was changed.\n"
    assert fake.lines == ["ADMIN LIST"]
    fake.answer("ADMIN KILL", page(matched=1234))
    monkeypatch.setattr("sys.stdin", Asked("y\n"))
    assert run("kill", "retries", "--queue", "a")[:2] == (0, "1,234 jobs moved to the dead.\n")


# -- queues, workers, flush --------------------------------------------------------------------------------------------


def test_queues_are_listed(fake: Fake, run: Run) -> None:
    whole(fake)
    _, out, _ = run("queues", "list")
    assert out.splitlines()[1] == "a         2    3.5 s  paused  9:1 5:1"
    assert json.loads(run("queues", "list", "--json")[1]) == {"queues": QUEUES["queues"]}


def test_all_pages_of_queues_are_asked_for(fake: Fake, run: Run) -> None:
    whole(fake)
    a, b = QUEUES["queues"]
    for line in ("queues list --json", "status --json"):
        fake.asked.clear()
        fake.answer("ADMIN QUEUES", {**QUEUES, "queues": [a], "next": "a"}, {**QUEUES, "queues": [b], "next": None})
        assert json.loads(run(*line.split())[1])["queues"] == [a, b]
        assert [argument for asked, argument in fake.asked if asked == "ADMIN QUEUES"] == [{}, {"after": "a"}]


@pytest.mark.parametrize(
    ("line", "order", "told"),
    [
        ("queues pause a b", "QUEUE PAUSE a b", "2 queues paused\n"),
        ("queues pause *", "QUEUE PAUSE a b", "2 queues paused\n"),
        ("queues resume b", "QUEUE RESUME b", "1 queue resumed\n"),
        ("queues remove a --yes", "QUEUE REMOVE a", "1 queue with 2 jobs removed\n"),
    ],
)
def test_queues_are_paused_resumed_and_removed(fake: Fake, run: Run, line: str, order: str, told: str) -> None:
    assert run(*line.split()) == (0, told, "")
    assert fake.lines == ["INFO", order]


def test_a_queue_that_does_not_exist_is_an_error_and_nothing_is_done(fake: Fake, run: Run) -> None:
    for command in ("pause", "resume", "remove", "latency"):
        assert run("queues", command, "a", "zz") == (1, "", "faktory-tw: no such queue: zz; there are a, b\n")
    assert set(fake.lines) == {"INFO"}


def test_latencies_are_told(fake: Fake, run: Run) -> None:
    fake.answer("QUEUE LATENCY a", {"a": 61})
    assert run("queues", "latency", "a") == (0, "QUEUE    LATENCY\na      1 min 1 s\n", "")
    assert run("queues", "latency", "a", "--json") == (0, '{"a": 61}\n', "")


def test_workers_are_told_what_to_do(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN WORKER", {"told": 2})
    assert run("workers", "quiet", "--all") == (0, "2 workers told to be quiet, at the next heartbeat\n", "")
    assert fake.asked[-1] == ("ADMIN WORKER", {"wid": "*", "state": "quiet"})
    fake.answer("ADMIN WORKER", {"told": 1}, refused("-ERR Unknown worker w2"))
    status, out, err = run("workers", "terminate", "w1", "w2")
    assert (status, out) == (1, "1 worker told to end, at the next heartbeat\n")
    assert err == "faktory-tw: no such worker: w2; see workers list\n"
    fake.answer("ADMIN WORKER", UNKNOWN)
    assert "cannot be asked this" in run("workers", "terminate", "w1")[2]


def test_flush_wants_the_word(fake: Fake, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Asked("y\n"))
    assert run("flush")[0] == 1
    assert fake.lines == ["INFO"]
    monkeypatch.setattr("sys.stdin", Asked("flush\n"))
    assert run("flush")[:2] == (0, "10 jobs forgotten\n")
    assert fake.lines[-1] == "FLUSH"
    assert run("flush", "--yes", "--json")[:2] == (0, '{"flushed": 10}\n')


# -- backups -----------------------------------------------------------------------------------------------------------


def test_a_backup_is_awaited_when_asked(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN BACKUP", BACKUP)
    assert run("backup", "--wait") == (0, "f.db: 5 jobs, 1.0 KiB, verified\n", "")
    assert json.loads(run("backup", "--wait", "--json")[1]) == {"begun": True, "backup": BACKUP}


def test_a_backup_that_takes_long_is_left_to_the_server(fake: Fake, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.meanwhile = 1
    fake.answer("ADMIN BACKUP", BACKUP)
    monkeypatch.setattr("faktory_tw.console.backups._AT_FIRST_SECONDS", 0.0)
    assert run("backup") == (0, "The backup has begun; backups list shows it when it is made.\n", "")
    assert json.loads(run("backup", "--json")[1]) == {"begun": True, "backup": None}


def test_a_failed_backup_is_an_error(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN BACKUP", refused("-ERR the backup failed: no room"))
    assert run("backup")[0] == 1


def test_the_backups_of_a_server_are_listed(fake: Fake, run: Run) -> None:
    whole(fake)
    _, out, _ = run("backups", "list")
    assert out.splitlines()[1].startswith("f.db ")
    assert json.loads(run("backups", "list", "--json")[1])["backups"] == [BACKUP]
    fake.answer("ADMIN BACKUPS", refused("-ERR this server makes no backups"))
    assert "--directory lists those of a data directory" in run("backups", "list")[2]


def test_a_directory_that_is_missing_is_an_error(run: Run, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for command in ("backups list", "backups verify", "backups purge", "restore latest --yes"):
        status, _, err = run(*command.split(), "-d", missing)
        assert status == 1
        assert f"there is no directory {missing}" in err


def test_latest_is_the_newest_backup_and_no_file_of_that_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(SQLiteStore(tmp_path, "os", 0.0))
    made = take(store, tmp_path / "backups")
    store.finish()
    store.close()
    (tmp_path / "latest").write_bytes(b"no backup")
    monkeypatch.chdir(tmp_path)
    status, out, err = run("backups", "verify", "latest", "-d", str(tmp_path))
    assert (status, out.split()[0]) == (0, made.name), err
    status, out, err = run("restore", "latest", "--yes", "-d", str(tmp_path))
    assert status == 0, err
    assert f"restored from {made.name}" in out
    status, _, err = run("backups", "verify", "./latest", "-d", str(tmp_path))
    assert status == 1
    assert made.name not in err


# -- check-config ------------------------------------------------------------------------------------------------------


def test_a_configuration_is_checked(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, _ = run("check-config", "-c", str(tmp_path))
    assert status == 0
    assert any(line.split()[:2] == ["faktory.binding", "localhost:7419"] for line in out.splitlines())
    monkeypatch.setenv("FAKTORY_PASSWORD", "hunter2")
    assert "hunter2" not in "".join(run("check-config", "-c", str(tmp_path))[1:])
    status, out, err = run("check-config", "-c", str(tmp_path), "--json", "-e", "moon")
    assert status == 1
    assert 'invalid environment "moon"' in json.loads(out)["problems"][0]
    assert err == "faktory-tw: 1 problem: a server would not start\n"


def test_an_entry_with_a_mistake_fails_the_check(run: Run, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    path = tmp_path / "conf.d/cron.toml"
    path.write_text('[[cron]]\nschedule = "* * * * *"\n[cron.job]\ntype = "X"\nqueue = "a b"\n')
    status, _, err = run("check-config", "-c", str(tmp_path))
    assert status == 1
    problem, end = err.splitlines()
    assert problem.startswith(f'problem: {path}:3: its job cannot be pushed: cannot get "a b" queue')
    assert end == "faktory-tw: 1 problem: a server would start without these entries"
    assert json.loads(run("check-config", "-c", str(tmp_path), "--json")[1])["left_out"] == [
        problem.removeprefix("problem: ")
    ]


# -- jobs that are worked ----------------------------------------------------------------------------------------------


def test_jobs_are_asked_to_stop(fake: Fake, run: Run) -> None:
    told = "3 jobs asked to stop. The workers that look learn it at their next heartbeat.\n"
    fake.answer("ADMIN CANCEL", {"asked": 1}, {"asked": 2})
    assert run("cancel", "job-0001", "job-0002") == (0, told, "")
    assert fake.asked == [("ADMIN CANCEL", {"jid": "job-0001"}), ("ADMIN CANCEL", {"jid": "job-0002"})]


def test_a_job_that_nobody_works_on_is_an_error_and_the_others_are_asked(fake: Fake, run: Run) -> None:
    fake.answer("ADMIN CANCEL", refused("-ERR there is no job a"), {"asked": 1})
    status, out, err = run("cancel", "a", "b", "--json")
    assert (status, json.loads(out), err) == (
        1,
        {"asked": 1, "refused": {"a": "there is no job a"}},
        "faktory-tw: there is no job a\n",
    )
    fake.answer("ADMIN CANCEL", UNKNOWN)
    assert "cannot be asked this" in run("cancel", "a")[2]
    assert run("cancel")[0] == 2
