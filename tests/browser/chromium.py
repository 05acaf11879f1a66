"""Debian's Chromium, driven as a person drives it: by what stands on the buttons, and by the keyboard.

    browser = Browser()
    browser.begin(server.web_url)
    browser.open("/queues")
    browser.press("Pause", within=browser.row("default"))
    assert browser.complaints() == []

What the browser itself complains of is kept: errors in the console, violations of the content security policy, and
requests that left the server's own origin. `complaints` tells, and the fixture of the tests asserts that there are none.

Every wait is for a condition and ends at a deadline with an error that shows the page, because "timed out" alone helps
nobody. Keys that are no letters are those of WebDriver, see `KEYS`.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    JavascriptException,
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webelement import WebElement

from tests.browser.finding import FINDING

T = TypeVar("T")

WIDE = (1280, 900)
PHONE = (390, 844)
DEADLINE_SECONDS = 20.0
POLL_SECONDS = 0.02
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "Space": " ", "Shift": "\ue008", "Down": "\ue015"}
_MOVING = (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    JavascriptException,
    NoSuchElementException,
    StaleElementReferenceException,
)

# What a page cannot do by itself: a violation that the console does not show, and a script that came with a job.
_WATCH = """
addEventListener('securitypolicyviolation', (e) => console.error('violates the policy: ' + e.violatedDirective
  + ' ' + e.blockedURI));
addEventListener('unhandledrejection', (e) => console.error('unhandled: ' + e.reason));
"""
_NO_TRAFFIC_OF_ITS_OWN = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-features=Translate,OptimizationHints,MediaRouter,InterestFeedContentSuggestions,AutofillServerCommunication",
    "--no-first-run",
    "--no-default-browser-check",
)


class Browser:
    """One Chromium. `begin` makes it forget everything and says where the pages are."""

    def __init__(self, chromium: str, chromedriver: str, *, scripts: bool = True) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", *_NO_TRAFFIC_OF_ITS_OWN):
            options.add_argument(argument)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        options.add_experimental_option("perfLoggingPrefs", {"enablePage": False})
        preferences: dict[str, Any] = {"intl.accept_languages": "en", "credentials_enable_service": False}
        if not scripts:
            preferences["profile.managed_default_content_settings.javascript"] = 2
        options.add_experimental_option("prefs", preferences)
        self.scripts = scripts
        self.driver = webdriver.Chrome(options=options, service=Service(executable_path=chromedriver))
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        self.base = ""
        self._expected: list[str] = []

    def quit(self) -> None:
        """End it and its driver."""
        self.driver.quit()

    # -- settings ------------------------------------------------------------------------------------------------------

    def begin(self, base: str, password: str | None = None) -> None:
        """Forget what was before; from now on addresses are those of the server at `base`."""
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": base, "storageTypes": "local_storage"})
        self.prefer("light")
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self._read_logs()
        self._expected = []
        self.base = base
        if password is not None:
            self.sign_in(password)

    def sign_in(self, password: str) -> None:
        """Give the password once, in the address; the browser sends it with all later requests."""
        parts = urlsplit(self.base)
        self.driver.get(urlunsplit(parts._replace(netloc=f"anybody:{password}@{parts.netloc}", path="/")))
        self.driver.get("about:blank")
        self._read_logs()

    def prefer(self, scheme: str) -> None:
        """Say what the system's setting is: "light" or "dark". Nothing moves: there is nothing to wait for then."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def size(self, width: int, height: int) -> None:
        """Show the pages in a window of this size; narrow ones are phones."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def hide_scrollbars(self) -> None:
        """For pictures, whose window grows with the page."""
        self.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})

    def cookie(self, name: str, value: str) -> None:
        """Have a cookie of this server."""
        self.driver.execute_cdp_cmd("Network.setCookie", {"name": name, "value": value, "url": f"{self.base}/"})

    # -- going somewhere -----------------------------------------------------------------------------------------------

    def open(self, path: str) -> None:
        """Go to a page, as if the address had been typed."""
        self.driver.get(self.base + path)

    @property
    def path(self) -> str:
        """Where the browser is: the path, with the query."""
        parts = urlsplit(self.driver.current_url)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def reload(self) -> None:
        """Load the page anew."""
        self.driver.refresh()

    # -- finding -------------------------------------------------------------------------------------------------------

    def js(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and return what it returns. This works with scripts switched off, too."""
        return self.driver.execute_script(script, *arguments)

    def _found(self, function: str, *arguments: Any) -> Any:
        return self.js(f"{FINDING}\nreturn {function}(...arguments)", *arguments)

    def all(self, css: str, within: WebElement | None = None) -> list[WebElement]:
        """All elements that match, also none."""
        return (within or self.driver).find_elements("css selector", css)

    def one(self, css: str, within: WebElement | None = None) -> WebElement:
        """The first element that matches and can be seen; waits for it."""
        return self.until(lambda: self._found("seen", css, within), f"{css} can be seen")

    def button(self, name: str, within: WebElement | None = None) -> WebElement | None:
        """The button, of those that can be seen, with this name, or None."""
        found: WebElement | None = self._found("button", name, within)
        return found

    def link(self, name: str, within: WebElement | None = None) -> WebElement | None:
        """The link, of those that can be seen, with this name, or None."""
        found: WebElement | None = self._found("link", name, within)
        return found

    def row(self, text: str) -> WebElement:
        """The row of a table in which this text stands in a cell of its own, or else anywhere; waits for it."""
        return self.until(lambda: self._found("row", text), f"a row with {text!r}")

    def rows(self, css: str = "main tbody tr") -> list[str]:
        """The texts of the rows of the page's tables."""
        texts: list[str] = self._found("texts", css)
        return texts

    def buttons(self) -> list[str]:
        """The names of all buttons of the page's content that can be seen."""
        names: list[str] = self._found("buttons")
        return names

    def text(self, css: str = "body") -> str:
        """The text that can be seen."""
        text: str = self.js("return document.querySelector(arguments[0])?.innerText ?? ''", css)
        return text

    # -- acting --------------------------------------------------------------------------------------------------------

    def press(self, name: str, within: WebElement | None = None) -> None:
        """Press the button with this name, and wait for the next page if it leads to one."""
        self._act(lambda: self.button(name, within), f"the button {name!r}")

    def follow(self, name: str, within: WebElement | None = None) -> None:
        """Follow the link with this name."""
        self._act(lambda: self.link(name, within), f"the link {name!r}")

    def click(self, css: str) -> None:
        """Click the first element that matches."""
        self._act(lambda: self._found("seen", css, None), css)

    def check(self, text: str) -> None:
        """Check the box in the row in which this text stands."""
        self._act(lambda: self._found("seen", "input[type=checkbox]", self.row(text)), f"the box of {text!r}")

    def _act(self, find: Callable[[], WebElement | None], what: str) -> None:
        """Click what is found, again when it moved away meanwhile: pages refresh themselves."""

        def clicked() -> bool:
            element = find()
            if element is None:
                return False
            self.js("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
            element.click()
            return True

        self.until(clicked, f"{what} can be pressed")

    def fill(self, label: str, text: str, within: WebElement | None = None) -> None:
        """Write `text` into the field with this label, or choose it there."""

        def filled() -> bool:
            field: WebElement | None = self._found("field", label, within)
            if field is None:
                return False
            if field.tag_name == "select":
                self._found("choose", field, text)
            else:
                field.clear()
                field.send_keys(text)
            return True

        self.until(filled, f"a field {label!r}")

    def field(self, label: str, within: WebElement | None = None) -> WebElement:
        """The field with this label."""
        return self.until(lambda: self._found("field", label, within), f"a field {label!r}")

    def keys(self, *keys: str) -> None:
        """Strike keys, where the focus is: letters, or names of `KEYS`, or "Shift+Tab"."""
        actions = ActionChains(self.driver, duration=0)
        for name in keys:
            shift, _, key = name.rpartition("+") if len(name) > 1 else ("", "", name)
            if shift:
                actions.key_down(KEYS["Shift"])
            actions.send_keys(KEYS.get(key, key))
            if shift:
                actions.key_up(KEYS["Shift"])
        actions.perform()

    def shift_click(self, element: WebElement) -> None:
        """Click while the shift key is held."""
        ActionChains(self.driver, duration=0).key_down(KEYS["Shift"]).click(element).key_up(KEYS["Shift"]).perform()

    def agree(self) -> None:
        """Say yes to what a button asked for: in its dialog or, without scripts, on a page."""
        self.until(lambda: self._found("asking", self.scripts), "the question whether to go ahead")
        self.click(".button-sure")

    # -- waiting -------------------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], T | None], what: str, deadline_seconds: float = DEADLINE_SECONDS) -> T:
        """Wait until `condition` returns something true, and return that. The page may change meanwhile."""
        deadline = time.monotonic() + deadline_seconds
        while True:
            trouble: Exception | None = None
            try:
                if found := condition():
                    return found
            except _MOVING as error:
                trouble = error
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {deadline_seconds:.0f} s: {what}{self._situation(trouble)}")
            time.sleep(POLL_SECONDS)

    def until_text(self, text: str, css: str = "body") -> None:
        """Wait until `text` can be seen."""
        self.until(lambda: text in self.text(css), f"the text {text!r}")

    def _situation(self, trouble: Exception | None) -> str:
        lines = [f"\nat {self.driver.current_url}"]
        if trouble is not None:
            lines.append(f"{type(trouble).__name__}: {str(trouble).splitlines()[0]}")
        return "\n".join([*lines, *self.text().splitlines()[:80]])

    # -- evidence ------------------------------------------------------------------------------------------------------

    def expect(self, *patterns: str) -> None:
        """What the browser will rightly complain of in this test, as regular expressions."""
        self._expected += patterns

    def complaints(self) -> list[str]:
        """What the browser has complained of since the last call, and requests that went elsewhere."""
        console, requests = self._read_logs()
        told = [line for line in console if not any(re.search(pattern, line) for pattern in self._expected)]
        return told + [f"a request went to {url}" for url in requests if not self._own(url)]

    def requests(self) -> list[str]:
        """The addresses asked for since the last look at the logs."""
        return self._read_logs()[1]

    def _own(self, url: str) -> bool:
        # An image in the address itself can only be one of Chromium's own, such as the calendar of a field for dates: the
        # policy of the pages forbids theirs, and that would be another complaint.
        parts, own = urlsplit(url), urlsplit(self.base)
        return url.startswith(("about:", "data:image/")) or (parts.scheme, parts.hostname, parts.port) == (
            own.scheme,
            own.hostname,
            own.port,
        )

    def _read_logs(self) -> tuple[list[str], list[str]]:
        console = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]
        requests = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                parameters = message["params"]
                requests.append(parameters.get("request", parameters)["url"])
        return console, requests

    def picture(self, file: Path) -> None:
        """Take a picture of the whole page, not only of what the window shows."""
        height = self.js("return Math.ceil(document.documentElement.scrollHeight)")
        width = self.js("return document.documentElement.clientWidth")
        self.size(width, max(height, 400))
        self.driver.save_screenshot(str(file))
