"""The rules that each page is held to are themselves held to a page that breaks every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.browser.accessibility import ACCESSIBILITY, FOCUS

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

START = (
    '<!doctype html><html lang="en" dir="ltr"><head><title>T</title><meta name="viewport" content="width=device-width">'
    "<style>body{color:#000;background:#fff} .faint{color:#999} button,input{min-width:30px;min-height:30px}"
    ".tiny{min-width:0;min-height:0;width:9px;height:9px;padding:0} .bare:focus{outline:none}</style></head><body>"
)
GOOD = (
    f"{START}<main><h1>One</h1><h2>Two</h2><label>Name <input></label><button>Go</button><a href='/'>Home</a>"
    "<table><caption>Jobs</caption><thead><tr><th scope='col'>Job</th></tr></thead><tbody><tr><td>1</td></tr></tbody>"
    "</table><svg aria-hidden='true'></svg><ul><li>x</li></ul></main>"
)
BROKEN = {
    "the document has no language": GOOD.replace(' lang="en"', ""),
    "the document has no direction": GOOD.replace(' dir="ltr"', ""),
    "the document has no title": GOOD.replace("<title>T</title>", ""),
    "the document says nothing of the width": GOOD.replace("viewport", "other"),
    "0 elements main": GOOD.replace("main>", "div>"),
    "2 elements h1": GOOD.replace("h2>", "h1>"),
    "a heading of level 3 after one of level 1": GOOD.replace("h2>", "h3>"),
    "an empty heading": GOOD.replace("Two", ""),
    "a field without a label": GOOD.replace("label>", "p>"),
    "no name": GOOD.replace("Go<", "<"),
    "a picture without alt": f"{GOOD}<img>",
    "a drawing that is neither named nor hidden": GOOD.replace(" aria-hidden='true'", ""),
    "a progress bar without a name": f"{GOOD}<progress></progress>",
    "a dialog without a name": f"{GOOD}<dialog open>?</dialog>",
    "a table without a caption": GOOD.replace("<caption>Jobs</caption>", ""),
    "a table without headers": GOOD.replace("<th scope='col'>Job</th>", "<td>Job</td>"),
    "an empty header": GOOD.replace(">Job<", "><"),
    "a header without a scope": GOOD.replace(" scope='col'", ""),
    "the id x stands there twice": f"{GOOD}<p id='x'></p><p id='x'></p>",
    "aria-describedby names y": f"{GOOD}<p aria-describedby='y'></p>",
    "a place in the tab order of its own": f"{GOOD}<p tabindex='3'></p>",
    "one control in another": f"{GOOD}<a href='/'>x <button>y</button></a>",
    "a style of its own": f"{GOOD}<p style='color:red'></p>",
    "hidden, but reachable": f"{GOOD}<p aria-hidden='true'><button>x</button></p>",
    "no item of its list": GOOD.replace("<li>", "<p>"),
    "contrast 2.85": f"{GOOD}<p class='faint'>faint</p>",
    "only 9 by 9 pixels": f"{GOOD}<button class='tiny'>x</button>",
}


def test_a_good_page_breaks_no_rule(browser: Browser) -> None:
    browser.driver.get(f"data:text/html,{quote(GOOD)}")
    assert browser.js(ACCESSIBILITY) == []
    browser.requests()


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_page_is_told(browser: Browser, rule: str) -> None:
    browser.driver.get(f"data:text/html,{quote(BROKEN[rule])}")
    assert [told for told in browser.js(ACCESSIBILITY) if told.startswith(rule)]
    browser.requests()


def test_it_is_told_whether_the_focus_can_be_seen(browser: Browser) -> None:
    browser.driver.get(f"data:text/html,{quote(GOOD + '<button class=bare>x</button>')}")
    browser.keys("Tab")
    assert browser.js(FOCUS)[1]
    browser.js("document.querySelector('.bare').focus()")
    assert not browser.js(FOCUS)[1]
    browser.requests()
