"""Pages are shown in the language that their visitor reads, every page in every language."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.house import House
from tests.unit.web.browsing import ask
from tests.unit.web.stock import Stock, stocked
from web.app import ROUTES
from web.look.languages import COOKIE, NAMES

WITHOUT_PARTS = sorted(
    {
        route.path
        for route in ROUTES
        if "GET" in route.methods and not route.api and "<" not in route.path and route.path != "/queue"
    }
)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    """A server with jobs in every place."""
    with stocked(tmp_path_factory.mktemp("languages")) as full:
        full.queued(3)
        full.scheduled(2)
        full.retries(2)
        full.dead()
        full.working()
        yield full


def test_a_page_is_in_the_language_of_the_cookie(house: House) -> None:
    answer = ask(house, "/", Cookie=f"{COOKIE}=ar", Accept_Language="de")
    root = answer.page.all("html")[0]
    assert (root["lang"], root["dir"]) == ("ar", "rtl")
    assert answer.headers["Content-Language"] == "ar"


def test_a_page_is_in_the_language_that_the_browser_asks_for(house: House) -> None:
    answer = ask(house, "/queues", Accept_Language="xx, zh-HK;q=0.8, de;q=0.7")
    root = answer.page.all("html")[0]
    assert (root["lang"], root["dir"]) == ("zh-TW", "ltr")
    assert answer.headers["Content-Language"] == "zh-TW"
    assert "佇列" in answer.body.decode()


def test_a_page_says_that_it_depends_on_the_browser(house: House) -> None:
    assert ask(house, "/").headers["Vary"] == "Accept-Language, Cookie"


def test_what_is_not_there_is_told_in_the_language_too(house: House) -> None:
    answer = ask(house, "/nowhere", Cookie=f"{COOKIE}=de", Accept="text/html")
    assert (answer.status, answer.headers["Content-Language"]) == (404, "de")
    assert "Diese Seite gibt es nicht." in answer.body.decode()


def test_programs_are_answered_in_english(house: House) -> None:
    answer = ask(house, "/api/jobs/1", Accept_Language="de", Cookie=f"{COOKIE}=de")
    assert answer.status == 404
    assert "Content-Language" not in answer.headers
    assert "gibt es nicht" not in answer.json()["error"]


def test_who_has_shown_no_password_makes_the_server_load_no_language(locked_house: House) -> None:
    answer = ask(locked_house, "/", Accept="text/html", Accept_Language="ta")
    assert answer.status == 401
    assert answer.headers["Content-Language"] != "ta"


@pytest.mark.parametrize("code", NAMES)
def test_every_page_can_be_shown_in_the_language(stock: Stock, code: str) -> None:
    for path in [*WITHOUT_PARTS, "/queue?name=default", *(f"/jobs/{job_id}" for job_id in (1, 4, 6, 10, 12))]:
        answer = ask(stock.house, path, Cookie=f"{COOKIE}={code}")
        assert answer.status in (200, 303), (path, answer)
        if answer.status == 200 and answer.headers["Content-Type"].startswith("text/html"):
            assert answer.headers["Content-Language"].lower() == code
            assert "%(" not in answer.body.decode(), path
