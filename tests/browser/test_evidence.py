"""The browser's complaints, which every other test asserts there are none of, are really heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

MISTAKES = {
    "console.error('mistake of a script')": "mistake of a script",
    "setTimeout(() => { throw new Error('nobody catches it') })": "nobody catches it",
    "Promise.reject(new Error('nobody waits for it'))": "nobody waits for it",
    "fetch('/there-is-no-such-page')": "status of 404",
    "document.body.append(Object.assign(document.createElement('script'), {text: 'window.pwned = 1'}))": (
        "violates the following Content Security Policy directive"
    ),
    "document.body.append(Object.assign(document.createElement('script'), {src: 'http://127.0.0.1:9/x.js'}))": (
        "violates the policy: script-src"
    ),
    "document.body.setAttribute('style', 'color: red')": "violates the policy: style-src",
    "location.assign('http://127.0.0.1:9/elsewhere')": "a request went to http://127.0.0.1:9/elsewhere",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_a_page_is_told(browser: Browser, mistake: str) -> None:
    browser.open("/")
    assert browser.complaints() == []
    browser.js(mistake)
    heard: list[str] = []

    def told() -> bool:
        heard.extend(browser.complaints())
        return any(MISTAKES[mistake] in line for line in heard)

    browser.until(told, f"a complaint with {MISTAKES[mistake]!r}")
    browser.expect(".")


def test_what_a_test_expects_is_no_complaint(browser: Browser) -> None:
    browser.open("/")
    browser.expect("status of 404")
    browser.open("/there-is-no-such-page")
    assert browser.complaints() == []
