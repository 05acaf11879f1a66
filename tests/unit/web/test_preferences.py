"""Theme, time zone and language: what is chosen is kept, and leads to nowhere else."""

from __future__ import annotations

import pytest

from tests.unit.house import House
from tests.unit.web.browsing import Browser, ask
from tests.unit.web.conftest import READ_ONLY_PASSWORD
from web.look.preferences import own_path


def _root(answer: object) -> dict[str, str]:
    page = answer.page  # type: ignore[attr-defined]
    attributes: dict[str, str] = page.all("html")[0]
    return attributes


def test_a_new_visitor_sees_the_theme_of_the_system_and_utc(stored_house: House) -> None:
    root = _root(ask(stored_house, "/"))
    assert (root["data-theme"], root["data-zone"], root["lang"]) == ("auto", "utc", "en")


def test_what_is_chosen_is_kept_and_leads_back(stored_house: House) -> None:
    browser = Browser(stored_house)
    form = browser.get("/?days=7").page.form("/preferences")
    answer = browser.submit(form, theme="dark", zone="local", language="de")
    assert answer.status == 303
    assert answer.location == "/?days=7"
    page = browser.follow(answer)
    root = _root(page)
    assert (root["data-theme"], root["data-zone"], root["lang"]) == ("dark", "local", "de")
    assert page.page.form("/preferences").value("theme") == "dark"


def test_a_reader_may_choose_too(guarded_house: House) -> None:
    browser = Browser(guarded_house, READ_ONLY_PASSWORD)
    assert browser.post("/preferences", {"theme": "dark"}).status == 303
    assert browser.cookies["faktory_theme"] == "dark"


@pytest.mark.parametrize("field", ["theme", "zone", "language"])
def test_what_there_is_not_cannot_be_chosen(stored_house: House, field: str) -> None:
    browser = Browser(stored_house)
    answer = browser.post("/preferences", {"theme": "light", field: "<script>"})
    assert answer.status == 400
    assert f"faktory_{field}" not in browser.cookies


def test_cookies_with_nonsense_are_passed_over(stored_house: House) -> None:
    browser = Browser(stored_house)
    browser.cookies.update(faktory_theme='"><script>', faktory_zone="../", faktory_locale="xx")
    root = _root(browser.get("/"))
    assert (root["data-theme"], root["data-zone"], root["lang"]) == ("auto", "utc", "en")


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/x\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "",
        "x",
        "/ä",
    ],
)
def test_nobody_is_sent_elsewhere(stored_house: House, elsewhere: str) -> None:
    assert own_path(elsewhere) == "/"
    assert Browser(stored_house).post("/preferences", {"theme": "dark", "back": elsewhere}).location == "/"


def test_a_notice_is_not_come_back_to(stored_house: House) -> None:
    page = ask(stored_house, "/?days=7&notice=abc").page
    assert page.form("/preferences").value("back") == "/?days=7"
