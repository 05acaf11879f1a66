"""The page of the backups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from faktory_tw.config import Settings
from faktory_tw.storage.backup import Backup
from tests.unit.house import EPOCH, House
from tests.unit.web.browsing import Browser, ask


class Backups:
    """Backups that are taken when the test says so."""

    def __init__(self, *found: Backup, last_error: str = "", list_error: str = "") -> None:
        self.found = list(found)
        self.last = found[0] if found else None
        self.last_error = last_error
        self.list_error = list_error
        self.count = 0
        self.running = False
        self.begun = 0
        self.directory = Path("/srv/backups")

    def begin(self) -> None:
        self.begun += 1
        self.running = True

    def list_soon(self, done: Any) -> None:
        done([] if self.list_error else self.found, self.list_error)


def made(number: int, **others: Any) -> Backup:
    name = f"faktory-2026092{number}T000000Z.db"
    facts = {"taken_at": EPOCH - 3600 * number, "size_bytes": 5 << 20, "jobs": 1234, "verified": True, **others}
    return Backup(name, Path("/srv/backups") / name, **facts)


def settings(**others: Any) -> Settings:
    return Settings("production", Path("/var/lib/faktory/db"), Path("/etc/faktory"), "s3cret", **others)


def text(house: House) -> str:
    return ask(house, "/backups").page.text.replace("\xa0", " ")


def test_a_server_without_backups_says_so(house):
    assert "This server makes no backups" in text(house)


def test_backups_are_listed_with_time_size_and_jobs(house):
    house.server.backups = Backups(made(1), made(2, verified=False, jobs=-1))
    house.server.settings = settings(backup_seconds=3600)
    told = text(house)
    for said in ("2 backups", "faktory-20260921T000000Z.db", "1,234", "5 MiB", "1 hour ago", "Not checked", "10 MiB"):
        assert said in told
    assert "/srv/backups" in told


def test_the_next_automatic_backup_is_told(house):
    house.server.backups = Backups(made(1))
    house.server.settings = settings(backup_seconds=3600, backup_keep=48)
    told = text(house)
    assert "in 46 minutes" in told
    assert "every 1 hr, the newest 48 are kept" in told


def test_development_explains_that_there_are_no_automatic_ones(house):
    house.server.backups = Backups()
    house.server.settings = Settings("development", Path("/d"), Path("/c"), None)
    told = text(house)
    assert "There are no automatic backups in development." in told
    assert "No backups yet" in told
    assert "Back up now" in told


def test_a_failure_is_told_with_its_reason(house):
    house.server.backups = Backups(made(1), last_error="no room in <b>/srv</b>")
    answer = ask(house, "/backups")
    assert "The latest backup failed. no room in <b>/srv</b>" in answer.page.text
    house.server.backups = Backups(list_error="cannot read /srv/backups")
    assert "cannot read /srv/backups" in text(house)


def test_how_to_restore_is_told_with_the_directories_in_use_and_no_secret(house):
    house.server.backups = Backups(made(1))
    house.server.settings = settings(backup_directory=Path("/back ups"))
    answer = ask(house, "/backups")
    command = "faktory-tw restore latest -e production -d /var/lib/faktory/db --backup-directory '/back ups'"
    assert command in answer.page.text
    assert b"s3cret" not in answer.body


def test_a_backup_is_begun_once_and_the_page_shows_that_it_runs(house):
    backups = house.server.backups = Backups()
    browser = Browser(house)
    form = browser.get("/backups").page.form("/backups")
    done = browser.submit(form)
    page = browser.follow(done).page
    assert backups.begun == 1
    assert page.all("progress")
    again = browser.submit(form)
    assert again.status == 409
    assert "under way already" in again.page.text
    assert backups.begun == 1


def test_a_server_that_stops_begins_no_backup(house):
    backups = house.server.backups = Backups()
    house.server.stopping = True
    assert Browser(house).post("/backups").status in (409, 503)
    assert backups.begun == 0


def test_no_backup_is_begun_where_there_are_none(house):
    assert Browser(house).post("/backups").status == 404


def test_of_very_many_backups_the_newest_are_listed(house):
    house.server.backups = Backups(*[made(1)] * 300)
    page = ask(house, "/backups").page
    assert len([row for row in page.rows if row]) == 201
    assert "The newest 200 of 300 are listed." in page.text


@pytest.mark.parametrize("password", ["only lööking"])
def test_a_reader_sees_the_backups_and_can_take_none(guarded_house, password):
    backups = guarded_house.server.backups = Backups(made(1))
    browser = Browser(guarded_house, password)
    page = browser.get("/backups").page
    assert "1,234" in page.text
    assert not [form for form in page.forms if form.action == "/backups"]
    assert browser.post("/backups").status == 403
    assert backups.begun == 0
