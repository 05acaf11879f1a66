"""The pages there are, for the tests and for the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

# The tabs, which an empty server has, too
EMPTY = {
    "dashboard": "/",
    "queues": "/queues",
    "scheduled": "/scheduled",
    "retries": "/retries",
    "dead": "/dead",
    "busy": "/busy",
    "backups": "/backups",
    "debug": "/debug",
}
PAGES = {
    **EMPTY,
    "push": "/push",
    "api": "/api/",
    "queue": "/queues/mailers",
    "found": "/scheduled?jobtype=News*&queue=mailers",
    "found-nothing": "/retries?jobtype=NoSuchType",
    "search": "/search?q=ImageResize",
}


def job_page(browser: Browser, place: str) -> str:
    """The address of the page of the first job in a list."""
    browser.open(place)
    link = browser.one("main tbody a[href*='/jobs/']")
    href: str = browser.js("return new URL(arguments[0].href).pathname", link)
    return href
