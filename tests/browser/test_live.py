"""Pages stay fresh by themselves, leave alone what somebody is doing, and say so when the server is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser import wire
from tests.browser.conftest import MakeServer
from tests.browser.lifelike import worker
from tests.system.server import Server

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

POINTS = """
return Math.max(0, ...[...document.querySelectorAll('main svg path, main svg polyline')]
  .map((p) => (p.getAttribute('d') ?? p.getAttribute('points') ?? '').split(/[ML ]/).length));
"""
# Who comes back to a tab that was hidden sees it refreshed at once.
COME_BACK = "document.dispatchEvent(new Event('visibilitychange'))"
GONE = "ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE"


def often(browser: Browser) -> None:
    """Have the page refresh itself as often as it can."""
    browser.js("localStorage.setItem('faktory.interval', '2')")
    browser.reload()


def summary(browser: Browser, name: str) -> int:
    """A number of those above each page."""
    return int(browser.js("return document.querySelector(`[data-summary=${arguments[0]}]`).dataset.value", name))


def test_numbers_follow_what_happens(browser: Browser, server: Server) -> None:
    browser.open("/")
    often(browser)
    before = summary(browser, "dead")
    wire.put(server, "dead", 3, wire.unused("Counted"))
    browser.until(lambda: summary(browser, "dead") == before + 3, "three more dead jobs")


@pytest.mark.parametrize("path", ["/queues", "/busy", "/scheduled", "/retries", "/dead", "/backups"])
def test_the_first_row_appears_on_an_empty_page(browser: Browser, make_server: MakeServer, path: str) -> None:
    server = make_server()
    browser.begin(server.web_url)
    browser.open(path)
    assert browser.rows() == []
    with worker(server, "first") as client:
        if path == "/queues":
            wire.put(server, "queued", 1, "First", "first")
        elif path == "/backups":
            client.do("ADMIN BACKUP", {})
        elif path != "/busy":
            wire.put(server, path[1:], 1, "First", "first")
        browser.until(lambda: browser.js(COME_BACK) or browser.rows(), "the first row")


def test_an_interval_is_chosen_in_the_foot_and_kept(browser: Browser) -> None:
    browser.open("/queues")
    browser.fill("Refresh", "2")
    assert browser.js("return localStorage.getItem('faktory.interval')") == "2"
    browser.fill("Refresh", "Off")
    browser.reload()
    assert browser.field("Refresh").get_attribute("value") == "0"


def test_a_page_that_is_not_to_refresh_does_not(browser: Browser, server: Server) -> None:
    browser.open("/dead")
    browser.fill("Refresh", "Off")
    browser.js("window.asked = 0; const real = fetch; window.fetch = (...a) => { window.asked++; return real(...a); }")
    browser.js(COME_BACK)
    assert browser.js("return window.asked") == 0


def test_what_is_checked_focused_opened_and_scrolled_to_stays(browser: Browser, server: Server) -> None:
    jobtype = wire.unused("Checked")
    jids = wire.put(server, "dead", 60, jobtype)
    browser.open("/dead?per=100")
    often(browser)
    for jid in (jids[7], jids[30]):
        browser.check(jid)
    browser.fill("Text", "half a wo")
    browser.js("scrollTo(0, 500)")
    scrolled = browser.js("return scrollY")
    assert scrolled > 300
    (another,) = wire.put(server, "dead", 1, jobtype)
    browser.until(lambda: any(another in row for row in browser.rows()), "another row")
    checked = [box.get_attribute("value") for box in browser.all("input[data-select]:checked")]
    assert len(checked) == 2
    assert all(browser.row(jid).find_element("css selector", "input").is_selected() for jid in (jids[7], jids[30]))
    assert browser.js("return document.activeElement.value") == "half a wo"
    row_height = browser.js("return document.querySelector('main tbody tr').offsetHeight")
    assert abs(browser.js("return scrollY") - scrolled) <= row_height + 1
    assert "2" in browser.text("[data-selected-count]")


def test_an_action_concerns_what_was_checked_though_rows_came_and_went(browser: Browser, server: Server) -> None:
    jobtype = wire.unused("Shifting")
    jids = wire.put(server, "dead", 5, jobtype)
    browser.open("/dead?per=100")
    often(browser)
    browser.check(jids[2])
    (another,) = wire.put(server, "dead", 1, jobtype)
    browser.until(lambda: any(another in row for row in browser.rows()), "another row")
    browser.press("Delete")
    browser.agree()
    browser.until(lambda: browser.all("#notice"), "a notice")
    assert wire.places(server, jids[2]) == []
    assert all(wire.places(server, jid) == ["dead"] for jid in (*jids[:2], *jids[3:], another))


def test_a_question_stays_open_while_the_page_would_refresh(browser: Browser, server: Server) -> None:
    queue = wire.unused("asked")
    wire.put(server, "queued", 2, "Asked", queue)
    browser.open("/queues")
    often(browser)
    browser.press("Remove", browser.row(queue))
    dialog = browser.one("dialog[open]")
    before = browser.js("return document.querySelector('#summary').dataset.now")
    browser.js("window.turns = 0; setInterval(() => window.turns++, 500)")
    browser.until(lambda: browser.js("return window.turns") >= 6, "longer than the interval")
    assert dialog.is_displayed()
    assert browser.js("return document.querySelector('#summary').dataset.now") == before


def test_the_graph_of_the_dashboard_grows(browser: Browser, server: Server) -> None:
    browser.open("/")
    often(browser)
    before = browser.js(POINTS)
    wire.put(server, "queued", 3, "Graph", "graph")
    browser.until(lambda: browser.js(POINTS) > before, "another point")


def test_a_server_that_is_gone_is_told_and_its_return_is_noticed(browser: Browser, make_server: MakeServer) -> None:
    server = make_server()
    wire.put(server, "dead", 2, "Before")
    browser.begin(server.web_url)
    browser.expect(GONE)
    browser.open("/dead")
    often(browser)
    server.stop()
    browser.one("#connection")
    assert "has not answered" in browser.text("#connection")
    assert len(browser.rows()) == 2
    server.start(keep_ports=True)
    wire.put(server, "dead", 1, "After")
    browser.until(lambda: len(browser.rows()) == 3, "what happened meanwhile")
    browser.until(lambda: "has not answered" not in browser.text("#connection"), "no complaint any more")


def test_a_page_works_after_a_restart_of_the_server(browser: Browser, make_server: MakeServer) -> None:
    server = make_server()
    (jid,) = wire.put(server, "dead", 1, "Kept")
    browser.begin(server.web_url)
    browser.expect(GONE, "status of 403")
    browser.open("/dead")
    server.restart(keep_ports=True)
    browser.check(jid)
    browser.press("Retry now")
    browser.until(lambda: browser.path != "/dead" or browser.all("#notice, [role=alert]"), "an answer")
    if wire.places(server, jid) == [
        "dead"
    ]:  # the form was one of a process that is gone: it says so, and loses nothing
        assert "again" in browser.text("main")
        browser.open("/dead")
        browser.check(jid)
        browser.press("Retry now")
        browser.one("#notice")
    assert wire.places(server, jid) == ["queued"]
