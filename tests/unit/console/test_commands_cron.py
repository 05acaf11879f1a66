"""The commands of cron: what they ask of a server, and what they print."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.console.fake import Fake, Run, refused

RUN = {"tick": "2025-11-21T12:01:00.0Z", "at": "2025-11-21T12:01:00.5Z", "jid": "cron-000001", "reason": ""}
MISSED = {"tick": "2025-11-21T12:02:00.0Z", "at": "2025-11-21T12:09:00.5Z", "jid": "", "reason": "missed"}
BY_HAND = {"tick": None, "at": "2025-11-21T12:01:30.0Z", "jid": "cron-000002", "reason": ""}


def entry(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "schedule": "* * * * *",
        "timezone": "UTC",
        "job": {"jobtype": "Beat", "args": []},
        "catch_up": "skip",
        "paused": False,
        "next_at": "2025-11-21T12:10:00.0Z",
        "runs": [],
        **fields,
    }


def test_the_entries_are_listed_all_pages_of_them(run: Run, fake: Fake) -> None:
    paused = entry("b", paused=True, next_at=None, runs=[MISSED], job={"jobtype": "Work", "queue": "low"})
    pages = [{"entries": [entry("a", runs=[RUN])], "next": "1"}, {"entries": [paused], "next": None}]
    fake.answer("ADMIN CRON", *json.loads(json.dumps(pages)))
    status, out, err = run("cron", "list")
    assert (status, err) == (0, "")
    head, first, second = out.splitlines()
    assert head.split() == ["NAME", "SCHEDULE", "TIME", "ZONE", "JOB", "QUEUE", "NEXT", "LAST"]
    assert first.split("  ")[0] == "a"
    assert "2025-11-21 12:10:00Z" in first
    assert first.endswith("2025-11-21 12:01:00Z cron-000001")
    assert "low" in second
    assert "paused" in second
    assert second.endswith("2025-11-21 12:09:00Z missed")
    assert fake.asked == [("ADMIN CRON", {}), ("ADMIN CRON", {"after": "1"})]
    fake.answer("ADMIN CRON", {"entries": [paused], "next": None})
    assert json.loads(run("cron", "list", "--json")[1]) == {"entries": [paused]}


def test_a_server_without_entries_says_what_to_do(run: Run, fake: Fake) -> None:
    fake.answer("ADMIN CRON", {"entries": [], "next": None})
    assert "write [[cron]] into a file of conf.d" in run("cron", "list")[1]


def test_the_history_of_an_entry_is_listed(run: Run, fake: Fake) -> None:
    fake.answer("ADMIN CRON", entry("a", runs=[MISSED, BY_HAND, RUN]))
    status, out, _ = run("cron", "history", "a")
    assert status == 0
    _, missed, by_hand, run_ = out.splitlines()
    assert missed.split() == ["2025-11-21", "12:02:00Z", "2025-11-21", "12:09:00Z", "-", "missed"]
    assert by_hand.split() == ["-", "2025-11-21", "12:01:30Z", "cron-000002"]
    assert run_.split()[-1] == "cron-000001"
    assert fake.asked == [("ADMIN CRON", {"action": "show", "name": "a"})]
    assert json.loads(run("cron", "history", "a", "--json")[1])["name"] == "a"
    fake.answer("ADMIN CRON", entry("a"))
    assert run("cron", "history", "a")[1] == "it was not due yet\n"


def test_entries_are_paused_resumed_and_run(run: Run, fake: Fake) -> None:
    fake.answer("ADMIN CRON", {"name": "a", "paused": True}, {"name": "b", "paused": True})
    assert run("cron", "pause", "a", "b") == (0, "a paused\nb paused\n", "")
    assert fake.asked == [("ADMIN CRON", {"action": "pause", "name": name}) for name in "ab"]
    fake.answer("ADMIN CRON", {"name": "a", "paused": False})
    assert run("cron", "resume", "a")[1] == "a resumed\n"
    fake.answer("ADMIN CRON", {"name": "a", "jid": "cron-000003"})
    assert run("cron", "run", "a")[1] == "a: job cron-000003 pushed\n"
    assert json.loads(run("cron", "run", "a", "--json")[1]) == {"entries": [{"name": "a", "jid": "cron-000003"}]}


def test_what_the_server_refuses_is_told(run: Run, fake: Fake) -> None:
    fake.answer("ADMIN CRON", refused('-ERR there is no cron entry "x"'))
    status, _, err = run("cron", "run", "x")
    assert status == 1
    assert 'there is no cron entry "x"' in err
