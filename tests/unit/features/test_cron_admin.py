"""ADMIN CRON: what is told of the entries, and what is done with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from faktory_tw.features.admin import Task
from faktory_tw.features.cron.requests import MOST_CRON
from faktory_tw.wire import CommandError, Held
from tests.unit.doubles import Engine
from tests.unit.features.crontab import Tower, entry
from tests.unit.features.test_admin import carry_out


@pytest.fixture
def tower(tower: Tower) -> Tower:
    """One with two entries."""
    tower.use(entry(), entry("report", "@hourly", "Europe/Berlin", job={"queue": "low"}, paused=True))
    return tower


def test_the_entries_are_listed(tower: Tower) -> None:
    tower.live(61)
    beat, report = carry_out(tower.engine, "CRON")["entries"]
    assert beat == {
        "name": "beat",
        "schedule": "* * * * *",
        "timezone": "UTC",
        "job": {"jobtype": "Beat", "args": ["beat"]},
        "catch_up": "skip",
        "paused": False,
        "next_at": "2025-11-21T12:02:00.000000Z",
        "runs": [
            {
                "tick": "2025-11-21T12:01:00.000000Z",
                "at": "2025-11-21T12:01:00.000000Z",
                "jid": "cron-000001",
                "reason": "",
            }
        ],
    }
    assert (report["paused"], report["next_at"], report["runs"]) == (True, None, [])
    assert carry_out(tower.engine, "CRON", action="show", name="beat") == beat


def test_thousands_of_entries_are_listed_page_by_page(tower: Tower) -> None:
    tower.use(*(entry(f"e{number:04}") for number in range(1200)))
    tower.engine.upkeep()
    names, after, pages = [], None, 0
    while True:
        page = carry_out(tower.engine, "CRON", after=after)
        names += [each["name"] for each in page["entries"]]
        pages, after = pages + 1, page["next"]
        if after is None:
            break
    assert names == [f"e{number:04}" for number in range(1200)]
    assert pages == 3
    assert len(carry_out(tower.engine, "CRON", limit=7)["entries"]) == 7
    tower.use()
    tower.engine.upkeep()
    assert carry_out(tower.engine, "CRON") == {"entries": [], "next": None}
    assert carry_out(tower.engine, "CRON", after="1000") == {"entries": [], "next": None}


def test_an_entry_is_paused_resumed_and_run(tower: Tower) -> None:
    assert carry_out(tower.engine, "CRON", action="pause", name="beat") == {"name": "beat", "paused": True}
    assert tower.cron.entry("beat").paused
    assert carry_out(tower.engine, "CRON", action="resume", name="beat") == {"name": "beat", "paused": False}
    assert not tower.cron.entry("beat").paused
    assert carry_out(tower.engine, "CRON", action="run", name="beat") == {"name": "beat", "jid": "cron-000001"}
    assert [job["jid"] for job in tower.jobs()] == ["cron-000001"]


@pytest.mark.parametrize(("action", "held"), [("show", False), ("pause", True), ("run", True)])
def test_the_reply_to_a_change_waits_for_the_disk(tower: Tower, action: str, held: bool) -> None:
    task = Task(b'CRON {"action":"%b","name":"beat"}' % action.encode(), tower.engine.manager, None)
    assert isinstance(task.reply(), Held) == held


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (
            {"action": "stop", "name": "beat"},
            "there is no action stop of cron; there are list, show, pause, resume, run",
        ),
        ({"action": "x" * 10_000}, "there is no action xxx"),
        ({"action": "run"}, 'which entry? {"action":"run","name":"…"}'),
        ({"action": "run", "name": "x"}, 'there is no cron entry "x"'),
        ({"limit": 0}, f"limit must be a whole number from 1 to {MOST_CRON}"),
        ({"limit": MOST_CRON + 1}, "limit must be"),
        ({"after": "x"}, "after must be what an earlier reply had as next"),
        ({"after": "-1"}, "after must be"),
        ({"after": "9" * 5000}, "after must be"),
        ({"after": "9" * 30}, "after must be"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_say(tower: Tower, request_: dict[str, Any], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        carry_out(tower.engine, "CRON", **request_)
    assert str(refused.value).startswith(said)
    assert len(str(refused.value)) < 300


def test_a_server_without_cron_says_so(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "other", features=tuple)
    with pytest.raises(CommandError, match=r"^this server has no cron$"):
        carry_out(engine, "CRON")
    engine.stop()
