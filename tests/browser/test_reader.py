"""Somebody with the read-only password sees everything and can change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser import wire
from tests.browser.conftest import MakeServer
from tests.browser.lifelike import Shop
from tests.browser.pages import EMPTY, job_page
from tests.system.server import Server

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

PASSWORD, READ_ONLY = "operate-it", "look-at-it"
SENT = {
    "/queues": {"action": "remove", "queue": "mailers"},
    "/busy": {"action": "terminate", "wid": "*"},
    "/busy/stop": {"id": "1", "since": "0.0", "confirmed": "1"},
    "/locks/release": {"id": "1", "confirmed": "1"},
    "/jobs/change": {"place": "retries", "action": "delete", "id": "1"},
    "/bulk": {"place": "retries", "action": "delete"},
    "/push": {"jobtype": "Pushed", "queue": "default", "args": "[]"},
    "/backups": {"action": "begin"},
}
CONTROLS = """
return [...document.querySelectorAll('main form')].filter((f) => f.method === 'post').flatMap((f) => [...f.elements])
  .filter((e) => e.type !== 'hidden').map((e) => e.outerHTML);
"""
POST = """
const [path, fields, done] = arguments;
const token = document.querySelector('input[name=token]').value;
fetch(path, {method: 'POST', body: new URLSearchParams({...fields, token}), redirect: 'manual'})
  .then((answer) => done(answer.status), (error) => done(String(error)));
"""


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Iterator[Server]:
    server = make_server(password=PASSWORD, environment={"FAKTORY_WEB_READ_ONLY_PASSWORD": READ_ONLY})
    with Shop(server).open():
        yield server


@pytest.fixture
def reader(browser: Browser, server: Server) -> Browser:
    """A browser that has given the read-only password."""
    browser.begin(server.web_url.replace("127.0.0.1", "localhost"), READ_ONLY)
    return browser


def changing(browser: Browser) -> list[str]:
    """What the page offers that would change something on the server: what there is to press or to fill in of its forms."""
    controls: list[str] = browser.js(CONTROLS)
    return controls


@pytest.mark.parametrize("name", EMPTY)
def test_a_reader_sees_each_page_without_anything_to_press(reader: Browser, name: str) -> None:
    reader.open(EMPTY[name])
    assert reader.text("h1")
    assert changing(reader) == []


def test_a_reader_sees_a_queue_and_a_job_without_anything_to_press(reader: Browser) -> None:
    reader.open("/queues/mailers")
    assert len(reader.rows()) > 5
    assert changing(reader) == []
    reader.open(job_page(reader, "/retries"))
    assert "Backtrace" in reader.text("main")
    assert changing(reader) == []


def test_what_a_reader_sends_is_refused(reader: Browser, server: Server) -> None:
    reader.expect("status of 403")
    before = wire.sizes(server)
    reader.open("/queues")
    for path, fields in SENT.items():
        status = reader.driver.execute_async_script(POST, path, {**fields, "confirmed": "1"})
        assert status == 403, path
    assert wire.sizes(server) == before


def test_an_operator_has_the_buttons(browser: Browser, server: Server) -> None:
    browser.open("/queues")
    assert changing(browser)


def test_a_page_refreshes_though_the_password_stands_in_its_address(browser: Browser, server: Server) -> None:
    browser.driver.get(server.web_url.replace("//", f"//:{PASSWORD}@") + "/queues")
    browser.js("localStorage.setItem('faktory.interval', '2')")
    browser.reload()
    before = browser.js("return document.querySelector('#summary').dataset.now")
    browser.until(lambda: browser.js("return document.querySelector('#summary').dataset.now") != before, "a refresh")
    assert not browser.one("#content").find_element("css selector", "#connection").is_displayed()
