"""Everything that somebody wants to know who looks for a defect: on the page, and as a text."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faktory_tw import __version__
from faktory_tw.config import Settings
from faktory_tw.config.keys import MASK
from faktory_tw.metrics import Metrics
from tests.unit.house import House, job
from tests.unit.web.browsing import ask
from tests.unit.web.stock import Stock
from web.content import diagnosis

PASSWORDS = ("s3cret-of-clients", "s3cret-of-web", "s3cret-of-readers")


@pytest.fixture
def told_house(stock: Stock, tmp_path: Path) -> House:
    """A server that knows its settings and measures."""
    house = stock.house
    secrets: Any = dict(zip(("password", "web_password", "web_read_only_password"), PASSWORDS, strict=True))
    house.server.settings = Settings("production", tmp_path / "data", tmp_path / "config", **secrets)
    house.server.store_facts = house.store.facts
    house.server.metrics = Metrics(house.server, tmp_path, SimpleNamespace(free=1, least=0))
    house.server.durability = "commit"
    return house


def test_it_tells_the_versions_settings_disk_memory_and_store(told_house, tmp_path):
    told_house.talk().say(b"PUSH " + job(1))
    text = ask(told_house, "/debug").page.text.replace("\xa0", " ")
    for said in (
        __version__,
        "SQLite 3.",
        "Twisted",
        "Command line",
        "Resident memory",
        str(tmp_path / "data"),
        "faktory.db-wal",
        "Event loop lag",
        "PUSH",
        "backup.keep",
        "storage.directory",
        "English (en)",
        "the default",
    ):
        assert said in text, said


@pytest.mark.parametrize("path", ["/debug", "/debug.txt"])
def test_no_password_is_told(told_house, path):
    answer = ask(told_house, path)
    assert answer.status == 200
    assert MASK.encode() in answer.body
    for password in PASSWORDS:
        assert password.encode() not in answer.body


def test_no_job_is_told(told_house):
    told_house.talk().say(b"PUSH " + job(1, custom='{"card":"4111-1111"}', queue='"customer-7"'))
    for path in ("/debug", "/debug.txt"):
        body = ask(told_house, path).body
        assert b"4111-1111" not in body
        assert b"customer-7" not in body


def test_the_text_is_a_file_to_keep(told_house):
    answer = ask(told_house, "/debug.txt", Accept_Language="de")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="faktory_tw-debug.txt"'
    lines = answer.body.decode().splitlines()
    assert lines[0] == "faktory_tw, 2026-09-21T14:13:20.000000Z"
    assert "Versions" in lines
    assert any(line.startswith("Resident memory: ") and line.endswith(" bytes") for line in lines)


def test_commits_are_told_with_how_long_they_took(told_house):
    for _ in range(99):
        told_house.server.metrics.committed(0.0004)
    told_house.server.metrics.committed(0.2)
    sections = {section.title: section for section in diagnosis.sections(told_house.server, measured(told_house))}
    [commits] = [fact.value for fact in sections["Store"].facts if fact.term == "Commits"]
    assert commits == "100 ×, 50% ≤ 0.0005 s, 99% ≤ 0.0005 s"


def measured(house: House) -> diagnosis.Measures:
    assert house.server.settings is not None
    directory = house.server.settings.directory
    return diagnosis.measure(directory, directory / "backups")


def test_the_disk_is_measured(told_house):
    (told_house.server.settings.directory / "backups").mkdir()
    (told_house.server.settings.directory / "backups" / "faktory-20260921T000000Z.db").write_bytes(b"x" * 1000)
    found = measured(told_house)
    assert found.disk_total > found.disk_free > 0
    assert found.files["faktory.db"] > 0
    assert (found.backups, found.backup_bytes) == (1, 1000)


def test_what_is_not_there_is_nothing(tmp_path):
    found = diagnosis.measure(tmp_path / "gone", tmp_path / "gone" / "backups")
    assert (found.disk_total, found.disk_free, found.backup_bytes) == (0, 0, 0)
    assert set(found.files.values()) == {0}


def test_a_server_that_knows_nothing_of_itself_has_the_page_all_the_same(house):
    assert ask(house, "/debug").status == 200
    assert ask(house, "/debug.txt").status == 200


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["twistd", "-n", "faktory", "-b", ":7419"], "twistd -n faktory -b :7419"),
        (["x", "--password=s3cret"], f"x '--password={MASK}'"),
        (["x", "--web-password", "s3cret", "-n"], f"x --web-password '{MASK}' -n"),
        (["x", "tcp://:s3cret@host:7419"], f"x 'tcp://:{MASK}@host:7419'"),
        (["x", "http://me:s3cret@host/"], f"x 'http://me:{MASK}@host/'"),
    ],
)
def test_the_command_line_is_told_without_secrets(words, told):
    assert diagnosis.command_line(words) == told


def test_the_command_line_is_that_of_the_process(told_house, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["twistd", "<script>alert(1)</script>"])
    answer = ask(told_house, "/debug")
    assert "<script>alert(1)</script>" in answer.page.text
    assert b"<script>alert" not in answer.body


def test_the_language_and_how_it_was_chosen_are_told(told_house):
    assert "asked for by the browser" in ask(told_house, "/debug", Accept_Language="en").page.text
