"""The first page: its numbers are those of the server."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faktory_tw.metrics import Metrics
from faktory_tw.storage.store import DayRecord
from tests.unit.house import EPOCH, House, job
from tests.unit.web.browsing import ask
from tests.unit.web.html import Document
from web.pages.dashboard import storage


def _facts(page: Document) -> dict[str, str]:
    texts = page.texts
    return {term: texts[texts.index(term) + 1] for term in ("Success rate", "Workers", "Connections", "Durability")}


def _summary(page: Document) -> dict[str, int]:
    return {
        attributes["data-summary"]: int(attributes["data-value"])
        for _, attributes in page.elements
        if "data-summary" in attributes
    }


def _push(house: House, *numbers: int, **members: str) -> None:
    client = house.talk()
    for number in numbers:
        client.say(b"PUSH " + job(number, **{name: json.dumps(value) for name, value in members.items()}))


def test_a_new_server_says_what_to_do_first(stored_house: House) -> None:
    page = ask(stored_house, "/").page
    assert "No jobs yet" in page.text
    assert "/push" in page.links


def test_the_numbers_are_those_of_the_server(stored_house: House) -> None:
    stored_house.manager.history.load([DayRecord("total", 1000, 25)])
    _push(stored_house, 1, 2)
    _push(stored_house, 3, at="2030-01-01T00:00:00Z")
    page = ask(stored_house, "/").page
    assert "No jobs yet" not in page.text
    assert _summary(page) == {
        "processed": 1000, "failed": 25, "busy": 0, "enqueued": 2, "retries": 0, "scheduled": 1, "dead": 0,
    }  # fmt: skip
    facts = _facts(page)
    assert facts["Success rate"] == "97.5%"
    assert facts["Connections"] == "2"


def test_without_any_finished_job_there_is_no_rate(stored_house: House) -> None:
    assert _facts(ask(stored_house, "/").page)["Success rate"] == "–"


def test_the_queues_with_the_most_jobs_and_the_longest_wait_are_named(stored_house: House) -> None:
    _push(stored_house, 0, queue="old")
    stored_house.reactor.advance(100)
    for size in range(1, 7):
        _push(stored_house, *range(size * 10, size * 10 + size + 1), queue=f"q{size}")
    stored_house.reactor.advance(1)
    page = ask(stored_house, "/").page
    rows = [row[:2] for row in page.rows if row and (row[0].startswith("q") or row[0] == "old")]
    assert rows[:5] == [["q6", "7"], ["q5", "6"], ["q4", "5"], ["q3", "4"], ["q2", "3"]]
    assert rows[5] == ["old", "1"]
    assert "7 queues" in page.text


def test_one_list_is_enough_where_the_same_queues_are_in_both(stored_house: House) -> None:
    _push(stored_house, 1, queue="q1")
    stored_house.reactor.advance(1)
    assert [row[0] for row in ask(stored_house, "/").page.rows].count("q1") == 1


def test_a_paused_queue_is_marked(stored_house: House) -> None:
    _push(stored_house, 1, queue="emails")
    stored_house.manager.pause(["emails"])
    assert "emails Paused" in [row[0] for row in ask(stored_house, "/").page.rows]


@pytest.mark.parametrize(
    ("asked", "shown"), [("", 30), ("7", 7), ("30", 30), ("90", 90), ("180", 180), ("8", 7), ("3000", 180)]
)
def test_the_history_has_the_period_that_is_asked_for(stored_house: House, asked: str, shown: int) -> None:
    page = ask(stored_house, f"/?days={asked}").page
    assert len(page.all("g", class_="bar")) == shown


@pytest.mark.parametrize("asked", ["0", "-1", "x", "9" * 30, "1e3", "٣"])
def test_a_period_that_makes_no_sense_is_refused(stored_house: House, asked: str) -> None:
    assert ask(stored_house, f"/?days={asked}").status == 400


def test_the_history_can_be_read_as_a_table(stored_house: House) -> None:
    stored_house.manager.history.load([DayRecord("total", 1100, 7), DayRecord("2026-09-20", 1100, 7)])
    rows = ask(stored_house, "/").page.rows
    assert ["20 Sept 2026", "1,100", "7"] in rows


def test_what_stops_the_server_is_said(stored_house: House) -> None:
    stored_house.manager.refuse_pushes = "the disk is nearly full"
    page = ask(stored_house, "/").page
    assert "takes no jobs" in page.text
    assert "the disk is nearly full" in page.text


def test_a_queue_is_a_link_to_its_page(stored_house: House) -> None:
    _push(stored_house, 1, queue="q.2-x_y")
    assert "/queues/q.2-x_y" in ask(stored_house, "/").page.links


# -- how safely jobs are kept -----------------------------------------------------------------------------------------


def _settings(backup_seconds: int) -> Any:
    return SimpleNamespace(backup_seconds=backup_seconds, bindings=(), environment="production")


def _backups(age: float | None, error: str = "") -> Any:
    last = None if age is None else SimpleNamespace(taken_at=EPOCH - age, size_bytes=1, jobs=1)
    return SimpleNamespace(last=last, last_error=error, count=1, running=False)


def test_commits_of_the_last_minute_are_told(stored_house: House, tmp_path: Path) -> None:
    metrics = Metrics(stored_house.server, tmp_path, SimpleNamespace(free=10_000, least=1000))
    stored_house.server.metrics = metrics
    for _ in range(99):
        metrics.committed(0.001)
    metrics.committed(1.0)
    found = storage(stored_house.server)
    assert found.commit_median == pytest.approx(0.001, rel=0.11)
    assert found.commit_p99 == pytest.approx(0.001, rel=0.11)
    metrics.committed(1.0)
    assert storage(stored_house.server).commit_p99 == pytest.approx(1.0, rel=0.11)
    assert "Typically" in ask(stored_house, "/").page.text


def test_little_room_is_a_warning_before_jobs_are_refused(stored_house: House, tmp_path: Path) -> None:
    room = SimpleNamespace(free=10_000, least=1000)
    stored_house.server.metrics = Metrics(stored_house.server, tmp_path, room)
    assert "getting full" not in ask(stored_house, "/").page.text
    room.free = 3000
    assert "getting full" in ask(stored_house, "/").page.text


@pytest.mark.parametrize(("age", "late"), [(None, False), (3600.0, False), (3600 * 2.4, False), (3600 * 2.6, True)])
def test_a_backup_that_is_long_ago_is_late(stored_house: House, age: float | None, late: bool) -> None:
    stored_house.server.settings = _settings(3600)
    stored_house.server.backups = _backups(age)
    assert storage(stored_house.server).backup_late is late
    stored_house.server.settings = _settings(0)
    assert storage(stored_house.server).backup_late is False


def test_a_backup_that_failed_is_told(stored_house: House) -> None:
    stored_house.server.backups = _backups(60, "no <b>room</b>")
    page = ask(stored_house, "/").page
    assert "The latest backup failed. no <b>room</b>" in page.text


def test_what_the_features_keep_is_told_when_there_is_any(stock):
    text = ask(stock.house, "/").page.text
    for title in ("Tracked jobs", "Unique locks", "Expired jobs since the start"):
        assert title not in text
    stock.queued(2, custom={"track": 1, "unique_for": 60, "expires_in": 30})
    stock.say(b'BATCH NEW {"success":{"jobtype":"Done","args":[]}}')
    page = ask(stock.house, "/").page
    for path in ("/batches", "/tracking", "/locks"):
        assert page.links.count(path) == (1 if path == "/locks" else 2), "beside the tab"
    stock.house.reactor.advance(31)
    stock.house.manager.upkeep()
    text = ask(stock.house, "/").page.text
    assert "Expired jobs since the start 2" in text
