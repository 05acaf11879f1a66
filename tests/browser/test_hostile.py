"""What comes from clients is shown as text and never carried out: scripts in every field of a job, a worker, an address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.browser.conftest import MakeServer
from tests.browser.pages import EMPTY, job_page
from tests.system.fwp import Client
from tests.system.server import Server

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

SCRIPTS = (
    "</title></textarea></script><script>window.pwned=1</script>"
    "\"'><img src=x onerror=window.pwned=1><svg/onload=window.pwned=1>"
    "<a href=javascript:window.pwned=1>click</a>{{7*7}}${7*7}%(num)s\u202e&lt;b&gt;"
)
ADDRESSES = (
    "/scheduled?jobtype={}",
    "/retries?match={}&error={}",
    "/search?q={}",
    "/queues?search={}",
    "/?notice={}",
    "/jobs?jid={}",
    "/{}",
    "/queues/{}",
    "/push?jobtype={}&queue={}&args={}",
)


def hostile_job(jid: str, **fields: object) -> dict[str, object]:
    return {
        "jid": f"{jid}{SCRIPTS}",
        "jobtype": f"Hostile{SCRIPTS}",
        "args": [SCRIPTS, {SCRIPTS: [SCRIPTS]}],
        "custom": {SCRIPTS: SCRIPTS},
        "queue": "hostile",
        "unknown_member": SCRIPTS,
        **fields,
    }


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Iterator[Server]:
    server = make_server(start=False, arguments=["--description", f"Shop{SCRIPTS}"])
    _configure(server)
    server.start()
    with server.client(wid=f"w{SCRIPTS}", hello={"hostname": f"host{SCRIPTS}", "labels": [SCRIPTS, "ok"]}) as client:
        _fill(client)
        client.beat(rss_kb=1000)
        yield server


def _fill(client: Client) -> None:
    for number in range(2):
        client.push(hostile_job(f"retry{number}"))
        fetched = client.fetch("hostile")
        assert fetched is not None
        client.fail(
            fetched["jid"], f"Type{SCRIPTS}", f"message{SCRIPTS}", backtrace=[SCRIPTS, SCRIPTS], retry_after=3600
        )
    (first, _) = client.do("ADMIN LIST", {"place": "retries"})["jobs"]
    client.mutate("kill", "retries", jids=[first["job"]["jid"]])
    client.push(hostile_job("later", at="2126-01-01T00:00:00Z"))
    client.push(hostile_job("worked"))
    client.fetch("hostile")
    client.push(hostile_job("queued"))
    _ask_features(client)


def _ask_features(client: Client) -> None:
    callback = {"jobtype": f"Callback{SCRIPTS}", "args": [SCRIPTS]}
    new = {"description": f"Batch{SCRIPTS}", "complete": callback, "success": callback}
    bid = client.command(f"BATCH NEW {json.dumps(new)}").value.decode()
    asks = {"bid": bid, "track": 1, "unique_for": 3600, SCRIPTS: SCRIPTS}
    client.push(hostile_job("asking", custom=asks))
    jid = f"asking{SCRIPTS}"
    client.command("TRACK SET " + json.dumps({"jid": jid, "desc": SCRIPTS, "percent": 5, "result": {SCRIPTS: SCRIPTS}}))


def _configure(server: Server) -> None:
    """A schedule and a throttle whose names and jobs are as hostile as settings can be."""
    text = json.dumps(SCRIPTS.replace("\u202e", ""), ensure_ascii=False)
    path = server.config_directory / "conf.d" / "hostile.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f'[[cron]]\nname = "hostile"\nschedule = "0 0 1 1 *"\n[cron.job]\ntype = {text}\nargs = [{text}]\n'
        f"[throttles.{text}]\njobtype = {text}\nconcurrency = 1\n",
        encoding="utf-8",
    )


def nothing_happened(browser: Browser) -> None:
    """No script of a job has run, and none of its elements are on the page."""
    assert browser.js("return window.pwned") is None
    assert browser.all("img[onerror], svg[onload], a[href^='javascript:']") == []


@pytest.mark.parametrize("path", [*EMPTY.values(), "/queues/hostile", "/push"])
def test_a_page_shows_scripts_as_text(browser: Browser, path: str) -> None:
    browser.open(path)
    nothing_happened(browser)
    if path not in ("/", "/queues", "/backups", "/debug", "/push"):
        assert "onerror=window.pwned=1" in browser.js("return document.querySelector('main').innerText")


@pytest.mark.parametrize("place", ["/retries", "/dead", "/scheduled", "/queues/hostile", "/busy"])
def test_the_page_of_a_job_shows_scripts_as_text(browser: Browser, place: str) -> None:
    browser.open(job_page(browser, place))
    nothing_happened(browser)
    assert "window.pwned=1" in browser.text("main")
    assert "window.pwned=1" in browser.driver.title or "Job" in browser.driver.title


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_with_a_script_in_it_does_nothing(browser: Browser, address: str) -> None:
    browser.expect("status of 4")
    browser.open(address.replace("{}", quote(SCRIPTS, safe="")))
    nothing_happened(browser)


def test_a_question_about_hostile_jobs_shows_them_as_text(browser: Browser) -> None:
    browser.open("/dead")
    browser.check("Hostile")
    browser.press("Delete")
    browser.one("dialog[open]")
    nothing_happened(browser)
    browser.keys("Escape")
    browser.press("Delete all")
    browser.until(lambda: "Hostile" in browser.text("main"), "a sample of what would be deleted")
    nothing_happened(browser)


def test_a_refresh_puts_no_script_into_the_page(browser: Browser, server: Server) -> None:
    browser.open("/dead")
    with server.client() as client:
        client.push(hostile_job("another", at="2126-01-01T00:00:00Z"))
        client.mutate("kill", "scheduled")
    browser.until(lambda: any("another" in row for row in browser.rows()), "a refreshed list")
    nothing_happened(browser)


def test_the_arguments_are_readable(browser: Browser) -> None:
    browser.open(job_page(browser, "/retries"))
    assert any("{{7*7}}" in shown.text for shown in browser.all("pre"))
