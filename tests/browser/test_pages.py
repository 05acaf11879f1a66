"""Each page: in both themes, in a language that is written from right to left, on a phone, and for those who cannot see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.accessibility import ACCESSIBILITY
from tests.browser.conftest import MakeServer
from tests.browser.lifelike import Shop
from tests.browser.pages import OTHERS, PAGES, job_page
from tests.system.server import Server

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

JOBS = {"job-queued": "/queues/default", "job-retry": "/retries", "job-scheduled": "/scheduled", "job-dead": "/dead"}
EVERY_PAGE = [*PAGES, *JOBS, *OTHERS]
WIDE, PHONE, SMALLEST = (1280, 900), (390, 844), (320, 640)

# What sticks out of the window, unless something around it scrolls by itself.
STICKING_OUT = """
const scrolls = (e) => e && e !== document.documentElement && e !== document.body
  && (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
const wide = document.documentElement.scrollWidth;
return wide <= arguments[0] ? [] : [`${wide} pixels`, ...[...document.querySelectorAll('body *')].filter((e) => {
  const box = e.getBoundingClientRect();
  return (box.right > arguments[0] + 1 || box.left < -1) && box.width && !scrolls(e.parentElement);
}).map((e) => e.outerHTML.slice(0, 120)).slice(0, 5)];
"""
# What one would have to scroll sideways for: cells and buttons of tables that their frame cuts off.
CUT_OFF = """
return [...document.querySelectorAll('.table-scroll')].filter((frame) => frame.scrollWidth > frame.clientWidth + 1)
  .map((frame) => `${frame.id}: ${frame.scrollWidth} of ${frame.clientWidth} pixels`);
"""
LIGHTNESS = """
const ground = (e) => getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number);
const [body, page] = [document.body, document.documentElement].map(ground);
return body[3] === 0 ? page[0] : body[0];
"""


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Iterator[Server]:
    server = make_server()
    with Shop(server).open():
        yield server


def look_at(browser: Browser, name: str) -> None:
    """Open a page by its name."""
    if name in OTHERS:
        browser.open(OTHERS[name](browser))
    else:
        browser.open(PAGES[name] if name in PAGES else job_page(browser, JOBS[name]))


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_a_page_is_readable_in_both_themes(browser: Browser, name: str) -> None:
    browser.prefer("light")
    look_at(browser, name)
    assert browser.js(LIGHTNESS) > 200
    assert browser.js(ACCESSIBILITY) == []
    browser.prefer("dark")
    assert browser.js(LIGHTNESS) < 60
    assert browser.js(ACCESSIBILITY) == []


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_a_page_reads_from_right_to_left_in_arabic(browser: Browser, name: str) -> None:
    browser.cookie("faktory_locale", "ar")
    browser.size(*WIDE)
    look_at(browser, name)
    assert browser.js("return [document.documentElement.lang, document.documentElement.dir]") == ["ar", "rtl"]
    assert browser.js("return /[\u0600-\u06ff]/.test(document.querySelector('h1').innerText)") or name in (
        "queue",
        "cron",
        "cron-entry",
        "api",
        *JOBS,
        *OTHERS,
    )
    assert browser.js(STICKING_OUT, WIDE[0]) == []
    assert browser.js(ACCESSIBILITY) == []


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_a_page_fits_a_phone(browser: Browser, name: str) -> None:
    browser.size(*PHONE)
    look_at(browser, name)
    assert browser.js(STICKING_OUT, PHONE[0]) == []
    assert browser.js(CUT_OFF) == []
    browser.size(*SMALLEST)
    assert browser.js(STICKING_OUT, SMALLEST[0]) == []
    assert browser.js(CUT_OFF) == []


@pytest.mark.parametrize("width", [*range(800, 1300, 60), 1201])
@pytest.mark.parametrize(
    "name", ["queues", "scheduled", "retries", "busy", "search", "batches", "tracking", "locks", "batch"]
)
def test_a_table_fits_windows_of_any_width(browser: Browser, name: str, width: int) -> None:
    browser.size(width, 900)
    look_at(browser, name)
    assert browser.js(CUT_OFF) == []


def test_a_phone_shows_the_error_of_a_retry_and_what_can_be_done_to_a_queue(browser: Browser) -> None:
    browser.size(*PHONE)
    browser.open("/retries")
    browser.until(lambda: "Net::ReadTimeout" in browser.text("main tbody"), "the error of a retry")
    browser.open("/queues")
    button = browser.button("Pause", browser.row("webhooks"))
    assert button is not None
    assert button.rect["x"] + button.rect["width"] < PHONE[0]


def test_a_theme_can_be_chosen_and_stays(browser: Browser) -> None:
    browser.prefer("light")
    browser.open("/")
    browser.fill("Theme", "Dark")
    browser.until(lambda: browser.js(LIGHTNESS) < 60, "a dark page")
    browser.open("/queues")
    assert browser.js(LIGHTNESS) < 60


def test_a_language_can_be_chosen_and_stays(browser: Browser) -> None:
    browser.open("/")
    browser.fill("Language", "Deutsch")
    browser.until(lambda: browser.js("return document.documentElement.lang") == "de", "a German page")
    browser.open("/queues")
    assert browser.js("return document.documentElement.lang") == "de"
