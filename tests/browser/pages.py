"""The pages there are, for the tests and for the pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

# The tabs, and what is one click from them, which an empty server has, too
EMPTY = {
    "dashboard": "/",
    "queues": "/queues",
    "scheduled": "/scheduled",
    "retries": "/retries",
    "dead": "/dead",
    "busy": "/busy",
    "batches": "/batches",
    "tracking": "/tracking",
    "locks": "/locks",
    "cron": "/cron",
    "throttles": "/throttles",
    "backups": "/backups",
    "debug": "/debug",
}
PAGES = {
    **EMPTY,
    "push": "/push",
    "api": "/api/",
    "queue": "/queues/mailers",
    "cron-entry": "/cron/nightly-report",
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


def batch_page(browser: Browser, title: str) -> str:
    """The address of the page of the batch with this description."""
    browser.open("/batches")
    link = browser.link(title)
    assert link is not None
    href: str = browser.js("return new URL(arguments[0].href).pathname", link)
    return href


def held_page(browser: Browser) -> str:
    """The address of the page of a tracked job that is being worked."""
    browser.open("/busy/jobs?jobtype=VideoEncode")
    link = browser.one("main tbody a[href*='/jobs/']")
    href: str = browser.js("return new URL(arguments[0].href).pathname", link)
    return href


def ended_page(browser: Browser) -> str:
    """The address of the page of a tracked job that is done."""
    browser.open("/tracking")
    link = browser.one("main tbody a[href*='/tracking?jid=']")
    href: str = browser.js("const url = new URL(arguments[0].href); return url.pathname + url.search", link)
    return href


# Pages whose addresses have to be found first
OTHERS: dict[str, Callable[[Browser], str]] = {
    "batch": lambda browser: batch_page(browser, "Summer sale"),
    "batch-over": lambda browser: batch_page(browser, "Spring sale"),
    "job-tracked": held_page,
    "job-ended": ended_page,
}
