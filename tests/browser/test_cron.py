"""What a person does with the entries of cron; with JavaScript and without."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.lifelike import CRON
from tests.system.server import Server, eventually

if TYPE_CHECKING:
    from tests.browser.chromium import Browser


@pytest.fixture(scope="module", autouse=True)
def _entries(server: Server) -> None:
    path = server.config_directory / "conf.d" / "cron.toml"
    path.parent.mkdir()
    path.write_text(CRON, encoding="utf-8")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("SIGHUP: Changed: cron")


def entry(server: Server, name: str) -> dict[str, Any]:
    """What the server says of an entry."""
    with server.client() as client:
        told: dict[str, Any] = client.do("ADMIN CRON", {"action": "show", "name": name})
        return told


def test_an_entry_is_paused_and_resumed(person: Browser, server: Server) -> None:
    person.open("/cron")
    person.press("Pause", person.row("abandoned-carts"))
    person.until(lambda: person.button("Resume", person.row("abandoned-carts")), "a button to resume")
    assert entry(server, "abandoned-carts")["paused"]
    person.press("Resume", person.row("abandoned-carts"))
    person.until(lambda: person.button("Pause", person.row("abandoned-carts")), "a button to pause")
    assert not entry(server, "abandoned-carts")["paused"]


def test_an_entry_is_run_now_and_its_job_is_found(person: Browser, server: Server) -> None:
    person.open("/cron/clean-sessions")
    before = len(entry(server, "clean-sessions")["runs"])
    person.press("Run now")
    eventually(lambda: len(entry(server, "clean-sessions")["runs"]) == before + 1, "another run")
    jid = entry(server, "clean-sessions")["runs"][0]["jid"]
    person.until(lambda: jid in person.text("main"), "the run in the history")
    person.open(f"/search?q={jid}")
    assert "SessionCleanup" in person.text("main")


def test_what_is_paused_is_told(person: Browser) -> None:
    person.open("/cron")
    assert "Paused" in person.row("clean-sessions").text
    person.open("/cron/clean-sessions")
    assert "This entry is paused." in person.text("main")
    assert json.loads(person.one("main pre").text) == {"jobtype": "SessionCleanup", "args": []}
