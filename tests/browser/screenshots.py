"""Take a picture of every page, to be looked at.

    python -m tests.browser.screenshots DIR [--only NAME]... [--graph-seconds 40]

It starts a server of its own with the jobs of a shop and half a year of history, and leaves in DIR a file for each page
in the light and the dark theme (NAME-light.png, NAME-dark.png), in Arabic (NAME-ar.png) and on a phone
(NAME-phone.png); of an empty server, too (empty-NAME-light.png).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.browser.chromium import PHONE, WIDE, Browser
from tests.browser.lifelike import Shop, grow_old
from tests.browser.pages import EMPTY, OTHERS, PAGES, job_page
from tests.system.fwp import job
from tests.system.server import Server

LOCALE_COOKIE = "faktory_locale"


def tell(text: str) -> None:
    """Say how far it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


class Traffic:
    """Jobs that are pushed and done while somebody looks, some of which fail."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        with self._server.client(wid="batch-1") as client:
            while not self._ended.wait(0.02 + 0.03 * abs((time.monotonic() % 20) - 10) / 10):
                client.push(job("SearchReindex", "products", number, queue="critical", priority=9, retry=0))
                fetched = client.fetch("critical")
                number += 1
                if fetched is not None and number % 23 == 0:
                    client.fail(fetched["jid"], "Search::Unavailable", "503 from search.shop.example")
                elif fetched is not None:
                    client.ack(fetched["jid"])


class Pictures:
    """Takes them, and says which."""

    def __init__(self, browser: Browser, directory: Path) -> None:
        self._browser = browser
        self._directory = directory
        self.count = 0

    def take(self, name: str) -> None:
        """Take one of the page that is shown."""
        self._browser.picture(self._directory / f"{name}.png")
        self.count += 1
        tell(f"\r{self.count:>4} {name:<40}")

    def both_themes(self, name: str) -> None:
        """Take one in each theme."""
        for scheme in ("light", "dark"):
            self._browser.prefer(scheme)
            self.take(f"{name}-{scheme}")
            self._browser.size(*WIDE)
        self._browser.prefer("light")

    def page(self, name: str, path: str, *, variants: bool = True) -> None:
        """Take all pictures of one page."""
        browser = self._browser
        browser.size(*WIDE)
        browser.open(path)
        self.both_themes(name)
        if variants:
            self.variants(name, path)

    def variants(self, name: str, path: str) -> None:
        """Take one in Arabic, and one on a phone."""
        browser = self._browser
        browser.size(*WIDE)
        browser.cookie(LOCALE_COOKIE, "ar")
        browser.open(path)
        self.take(f"{name}-ar")
        browser.cookie(LOCALE_COOKIE, "en")
        browser.size(*PHONE)
        browser.open(path)
        self.take(f"{name}-phone")


def filled(directory: Path) -> tuple[Server, Shop]:
    """A server with the jobs of an afternoon, and the workers that are connected to it."""
    server = Server(directory).start()
    shop = Shop(server, 3)
    shop.push()
    server.stop()
    grow_old(server.data_directory)
    server.start()
    shop.start_workers()
    return server, shop


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", action="append", default=[], help="a page; may be given several times")
    parser.add_argument("--graph-seconds", type=float, default=40.0, help="how long the graph of the dashboard grows")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        tell("chromium and chromedriver are needed\n")
        return 1

    def wanted(name: str) -> bool:
        return not options.only or name in options.only

    browser = Browser(*map(str, programs))
    browser.hide_scrollbars()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            pictures = Pictures(browser, options.directory)
            _of_an_empty_server(Path(temporary) / "empty", browser, pictures, wanted)
            _of_a_shop(Path(temporary) / "shop", browser, pictures, wanted, options.graph_seconds)
    finally:
        browser.quit()
    tell("\n")
    return 0


def _of_an_empty_server(directory: Path, browser: Browser, pictures: Pictures, wanted: Callable[[str], bool]) -> None:
    server = Server(directory).start()
    try:
        browser.begin(server.web_url)
        for name in filter(wanted, EMPTY):
            pictures.page(f"empty-{name}", PAGES[name], variants=False)
    finally:
        server.close()


def _of_a_shop(
    directory: Path, browser: Browser, pictures: Pictures, wanted: Callable[[str], bool], graph_seconds: float
) -> None:
    server, shop = filled(directory)
    try:
        with shop:
            browser.begin(server.web_url)
            if wanted("dashboard"):
                _dashboard(server, browser, pictures, graph_seconds)
            for name, path in PAGES.items():
                if wanted(name) and name != "dashboard":
                    pictures.page(name, path)
            for place in ("retries", "scheduled", "dead", "queues/default"):
                name = f"job-of-{place.replace('/', '-')}"
                if wanted(name):
                    pictures.page(name, job_page(browser, f"/{place}"))
            for name, address in OTHERS.items():
                if wanted(name):
                    pictures.page(name, address(browser))
            for name, step in STEPS.items():
                if wanted(name):
                    browser.size(*WIDE)
                    step(browser)
                    pictures.both_themes(name)
    finally:
        server.close()


def _question(browser: Browser) -> None:
    browser.open("/queues")
    browser.press("Remove", browser.row("webhooks"))
    browser.one("dialog[open]")


def _keys(browser: Browser) -> None:
    browser.open("/")
    browser.keys("?")
    browser.one("dialog[open]")


def _checked(browser: Browser) -> None:
    browser.open("/retries")
    browser.keys("j", "x", "j", "j", "x")


def _bulk(browser: Browser) -> None:
    browser.open("/scheduled?jobtype=News*")
    browser.press("Delete all found")
    browser.until(lambda: any(name.startswith("Delete ") for name in browser.buttons()), "what was counted")


def _bulk_done(browser: Browser) -> None:
    browser.open("/dead?jobtype=CustomerExport")
    browser.press("Retry all found")
    browser.until(lambda: any(name.startswith("Add ") for name in browser.buttons()), "what was counted")
    browser.press("Add ")
    browser.until_text("added to", "main")


def _wrong(browser: Browser) -> None:
    browser.open("/push")
    browser.fill("Job type", "Newsletter")
    browser.fill("Arguments", '["Ann"')
    browser.fill("When", "tomorrow")
    browser.press("Push the job")
    browser.one(".field-error")


def _missing(browser: Browser) -> None:
    browser.open("/jobs/999999")


def _backed_up(browser: Browser) -> None:
    browser.open("/backups")
    browser.press("Back up now")
    browser.until(browser.rows, "a backup")


STEPS = {
    "question": _question,
    "keys": _keys,
    "checked": _checked,
    "bulk": _bulk,
    "bulk-done": _bulk_done,
    "push-wrong": _wrong,
    "missing": _missing,
    "backups-some": _backed_up,
}


def _dashboard(server: Server, browser: Browser, pictures: Pictures, graph_seconds: float) -> None:
    """The graph has to grow first: nothing happens to a page that is not looked at."""
    traffic = Traffic(server)
    browser.size(*WIDE)
    browser.open("/")
    time.sleep(graph_seconds)
    pictures.both_themes("dashboard")
    pictures.variants("dashboard", "/")
    traffic.stop()


if __name__ == "__main__":
    sys.exit(main())
