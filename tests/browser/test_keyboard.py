"""Everything can be done without a mouse, and one sees where one is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser import wire
from tests.browser.accessibility import FOCUS, REACHABLE
from tests.browser.conftest import MakeServer
from tests.browser.lifelike import Shop
from tests.browser.pages import job_page
from tests.system.server import Server

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

MOST_STEPS = 600


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Iterator[Server]:
    server = make_server()
    with Shop(server).open():
        yield server


def all_reached(browser: Browser) -> None:
    """Go from one thing to the next with the tab key: nothing is left out, and the focus can be seen everywhere."""
    left = browser.js(REACHABLE)
    assert len(left) > 10
    unseen = []
    for _ in range(MOST_STEPS):
        browser.keys("Tab")
        element, seen, html = browser.js(FOCUS)
        if not seen:
            unseen.append(html)
        if element in left:
            left.remove(element)
        if not left:
            break
    assert [element.get_attribute("outerHTML") for element in left] == []
    assert unseen == []


@pytest.mark.parametrize("path", ["/", "/queues", "/retries", "/busy", "/push"])
def test_the_tab_key_reaches_everything_on_a_page(browser: Browser, path: str) -> None:
    browser.open(path)
    browser.fill("Refresh", "Off")
    browser.reload()
    all_reached(browser)


def test_the_tab_key_reaches_everything_on_the_page_of_a_job(browser: Browser) -> None:
    browser.open(job_page(browser, "/retries"))
    all_reached(browser)


def test_the_first_stop_leads_past_the_menu(browser: Browser) -> None:
    browser.open("/queues")
    browser.keys("Tab")
    assert browser.js("return document.activeElement.getAttribute('href')") == "#content"
    assert browser.js("return document.activeElement.getBoundingClientRect().height") > 10
    browser.keys("Enter")
    browser.keys("Tab")
    assert browser.js("return document.activeElement.closest('main') !== null")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("q", "/queues"),
        ("s", "/scheduled"),
        ("r", "/retries"),
        ("x", "/dead"),
        ("b", "/busy"),
        ("a", "/batches"),
        ("t", "/tracking"),
    ],
)
def test_g_and_a_letter_go_to_a_page(browser: Browser, key: str, path: str) -> None:
    browser.open("/")
    browser.keys("g", key)
    browser.until(lambda: browser.path == path, path)
    browser.keys("g", "d")
    browser.until(lambda: browser.path == "/", "the dashboard")


def test_letters_that_are_written_into_a_field_go_nowhere(browser: Browser) -> None:
    browser.open("/retries")
    browser.keys("/")
    browser.keys(*"gqx?jk/")
    assert browser.js("return document.activeElement.value") == "gqx?jk/"
    assert browser.path == "/retries"
    assert browser.all("dialog[open]") == []


def test_a_slash_leads_to_the_search_where_there_is_no_filter(browser: Browser) -> None:
    browser.open("/debug")
    browser.keys("/")
    assert browser.js("return document.activeElement.name") == "q"


def test_a_question_mark_shows_the_keys(browser: Browser) -> None:
    browser.open("/")
    browser.keys("?")
    assert "g" in browser.one("dialog#shortcuts").text
    browser.keys("Escape")
    browser.until(lambda: not browser.all("dialog[open]"), "no dialog")


def test_rows_are_walked_checked_and_opened_by_keys(browser: Browser) -> None:
    browser.open("/retries")
    browser.keys("j", "j", "x")
    assert [box.is_selected() for box in browser.all("input[data-select]")][:3] == [False, True, False]
    browser.keys("k", "x")
    assert [box.is_selected() for box in browser.all("input[data-select]")][:3] == [True, True, False]
    browser.keys("o")
    browser.until(lambda: browser.path.startswith("/jobs/"), "the page of a job")


def test_the_bar_with_the_buttons_does_not_cover_the_row_one_walks_to(browser: Browser) -> None:
    browser.size(1280, 500)
    browser.open("/scheduled")
    browser.keys("j", "x", *"j" * 20, *"k" * 12)
    bar, row = browser.js(
        "return ['[data-bulk]', '[data-here]'].map((css) => document.querySelector(css).getBoundingClientRect())"
    )
    assert bar["top"] < 20
    assert row["top"] >= bar["bottom"]


def test_a_job_is_deleted_without_a_mouse(browser: Browser, server: Server) -> None:
    (jid,) = wire.put(server, "dead", 1, wire.unused("Keys"))
    browser.open(f"/dead?jid={jid}")
    browser.keys("j", "x")
    button = browser.button("Delete", browser.one("[data-bulk]"))
    for _ in range(MOST_STEPS):
        if browser.js("return document.activeElement") == button:
            break
        browser.keys("Shift+Tab")
    browser.keys("Enter")
    browser.one("dialog[open]")
    assert browser.js("return document.activeElement.textContent") == "Cancel"
    browser.keys("Tab", "Enter")
    browser.one("#notice")
    assert wire.places(server, jid) == []


def test_who_cancels_a_question_is_back_at_the_button(browser: Browser) -> None:
    browser.open("/queues")
    browser.press("Remove", browser.row("webhooks"))
    browser.one("dialog[open]")
    browser.keys("Enter")
    browser.until(lambda: not browser.all("dialog[open]"), "no dialog")
    assert "Remove" in browser.js("return document.activeElement.textContent")


def test_many_rows_are_checked_with_the_shift_key_and_all_with_one_box(browser: Browser) -> None:
    browser.open("/scheduled")
    boxes = browser.all("input[data-select]")
    boxes[1].click()
    browser.shift_click(boxes[4])
    assert [index for index, box in enumerate(boxes) if box.is_selected()] == [1, 2, 3, 4]
    browser.click("input[data-select-all]")
    assert all(box.is_selected() for box in boxes)
    browser.click("input[data-select-all]")
    assert not any(box.is_selected() for box in boxes)
    assert not browser.one("button[data-needs-selection]").is_enabled()
