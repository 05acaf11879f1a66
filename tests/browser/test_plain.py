"""Without JavaScript every page is whole, and every form on it has a button."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.accessibility import ACCESSIBILITY
from tests.browser.conftest import MakeServer
from tests.browser.lifelike import Shop
from tests.browser.pages import PAGES, job_page
from tests.system.server import Server

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

WITHOUT_A_BUTTON = """
const seen = (f) => [...f.elements].filter((e) => e.checkVisibility());
return [...document.querySelectorAll('form')].filter((f) => seen(f).length
  && !seen(f).some((e) => e.type === 'submit' || e.type === 'search')).map((f) => f.outerHTML.slice(0, 200));
"""


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Iterator[Server]:
    server = make_server()
    with Shop(server).open():
        yield server


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole(plain_browser: Browser, name: str) -> None:
    plain_browser.open(PAGES[name])
    assert plain_browser.text("h1")
    assert plain_browser.js(WITHOUT_A_BUTTON) == []
    assert plain_browser.js(ACCESSIBILITY) == []


@pytest.mark.parametrize("path", ["/", "/queues", "/scheduled", "/retries", "/dead", "/busy", "/queues/mailers"])
def test_a_page_shows_what_there_is(plain_browser: Browser, path: str) -> None:
    plain_browser.open(path)
    assert len(plain_browser.rows()) >= 3


def test_the_page_of_a_job_is_whole(plain_browser: Browser) -> None:
    plain_browser.open(job_page(plain_browser, "/retries"))
    assert "Backtrace" in plain_browser.text("main")


def test_theme_and_language_are_chosen_with_a_button(plain_browser: Browser) -> None:
    plain_browser.open("/queues")
    plain_browser.fill("Theme", "Dark")
    plain_browser.fill("Language", "Deutsch")
    plain_browser.press("Apply")
    shown = "return [document.documentElement.dataset.theme, document.documentElement.lang]"
    plain_browser.until(lambda: plain_browser.js(shown) == ["dark", "de"], "a dark German page")
    assert plain_browser.path.startswith("/queues")
