"""What the frame does around a page: errors, people who leave, a server that stops, and what is loaded when."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import LogEvent

from faktory_tw.wire import CommandError, FatalCommandError
from tests.unit.house import House, broken_disk, job
from tests.unit.web.browsing import Browser, Exchange, ask, site_of
from tests.unit.web.conftest import PASSWORD
from web.answers import Answer, Json, NotThere, Page, Redirect, Refusal
from web.routes import command, form, page, question
from web.visit import Visit

JSON = {"Accept": "application/json"}


# -- errors ----------------------------------------------------------------------------------------------------------


def raising(error: Exception) -> Any:
    async def respond(visit: Visit) -> Answer:
        raise error

    return respond


ERRORS = [
    (Refusal(418, "Tea only."), 418, "Tea only."),
    (NotThere("There is no such queue."), 404, "There is no such queue."),
    (CommandError("it is not paused"), 409, "it is not paused"),
    (FatalCommandError("Shutdown in progress"), 503, "Shutdown in progress"),
    (ZeroDivisionError("inside"), 500, "Something went wrong. The server's log has more."),
    (UnicodeEncodeError("ascii", "x", 0, 1, "inside"), 500, "Something went wrong. The server's log has more."),
]


@pytest.mark.parametrize(("error", "status", "sentence"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_is_a_page_for_people_and_json_for_programs(
    house: House, failures: list[str], error: Exception, status: int, sentence: str
) -> None:
    site_of(house, (page("/page", raising(error)), question("/api/question", raising(error))))
    shown = ask(house, "/page")
    assert shown.status == status
    assert sentence in shown.page.text
    assert len(shown.page.headings) >= 1
    assert "/" in shown.page.links, "there is a way back"
    assert ask(house, "/page", Accept="text/html,*/*;q=0.8").page.text == shown.page.text
    for told in (
        ask(house, "/page", **JSON),
        ask(house, "/api/question"),
        ask(house, "/api/question", Accept="text/html"),
    ):
        assert told.status == status
        assert told.json() == {"error": sentence}
    for answer in (shown, told):
        assert b"inside" not in answer.body
        assert b"Traceback" not in answer.body
    assert len(failures) == (5 if status == 500 else 0)
    failures.clear()


def test_a_page_that_cannot_be_shown_is_an_error(house: House, failures: list[str]) -> None:
    async def respond(visit: Visit) -> Answer:
        return Page("nowhere.html")

    site_of(house, (page("/page", respond),))
    answer = ask(house, "/page")
    assert answer.status == 500
    assert "Something went wrong" in answer.page.text
    assert "TemplateNotFound" in failures.pop()


def test_an_error_whose_page_fails_still_is_one(
    house: House, failures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site_of(house, (page("/page", raising(Refusal(418, "<Tea> only."))),))
    monkeypatch.setattr(site_of(house).ui, "summary", raising(ZeroDivisionError()))
    answer = ask(house, "/page")
    assert answer.status == 418
    assert answer.page.text == "418 I'm a Teapot <Tea> only."
    assert len(failures) == 1
    failures.clear()


def test_a_hostile_sentence_is_only_text(house: House) -> None:
    site_of(house, (page("/page", raising(Refusal(400, "<script>alert(1)</script>"))),))
    answer = ask(house, "/page")
    assert b"<script>alert" not in answer.body
    assert "<script>alert(1)</script>" in answer.page.text


@pytest.mark.parametrize("path", ["/nowhere", "/queues/x/y/z", "/api/nowhere"])
def test_what_there_is_not_says_so(house: House, path: str) -> None:
    answer = ask(house, path, **JSON)
    assert answer.status == 404
    assert answer.json() == {"error": "There is no such page."}


def test_what_there_is_not_is_a_page_for_people(house: House) -> None:
    answer = ask(house, "/nowhere", Accept="text/html")
    assert answer.status == 404
    assert "There is no such page." in answer.page.text


def test_a_page_for_people_is_told_in_their_language_and_may_not_be_kept(house: House) -> None:
    answer = ask(house, "/nowhere", Accept_Language="de")
    assert answer.headers["Content-Language"] == "de"
    assert answer.headers["Vary"] == "Accept-Language, Cookie"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.page.all("html", lang="de")


def test_https_is_asked_for_only_where_there_is_some(house: House) -> None:
    assert ask(house, "/health").headers["Strict-Transport-Security"] is None
    assert ask(house, "/health", X_Forwarded_Proto="https").headers["Strict-Transport-Security"] is None, "localhost"
    secure = ask(house, "/health", X_Forwarded_Proto="https", Host="jobs.example")
    assert secure.headers["Strict-Transport-Security"] == "max-age=2592000"
    assert ask(house, "/health", Host="jobs.example").headers["Strict-Transport-Security"] is None


def test_head_is_answered_with_a_length_and_nothing_of_it(house: House) -> None:
    site_of(house, (page("/page", raising(NotThere("No."))), question("/question", tell)))
    for path in ("/page", "/question", "/nowhere"):
        head, get = ask(house, path, "HEAD"), ask(house, path)
        assert head.status == get.status
        assert head.body == b""
        assert int(head.headers["Content-Length"]) > 0
        assert int(get.headers["Content-Length"]) == len(get.body)


async def tell(visit: Visit) -> Answer:
    return Json({"told": True})


def test_an_address_without_its_slash_leads_to_the_one_with_it(house: House) -> None:
    site_of(house, (question("/api/", tell),))
    assert ask(house, "/api").location == "/api/"
    assert Browser(house, prefix="/faktory").get("/faktory/api").location == "/faktory/api/"
    assert ask(house, "/api", Host="evil.example").location == "/api/"


# -- work in slices --------------------------------------------------------------------------------------------------


def test_two_hundred_requests_take_turns_with_everything_else(house: House) -> None:
    steps: list[int] = []

    async def work(visit: Visit) -> Answer:
        def slices() -> Iterator[None]:
            for _ in range(5):
                steps.append(house.turn)  # type: ignore[attr-defined]
                yield

        await visit.run(slices())
        return Json({})

    site_of(house, (question("/work", work),))
    house.turn = 0  # type: ignore[attr-defined]
    exchanges = [Exchange(house) for _ in range(200)]
    for exchange in exchanges:
        exchange.send(b"GET /work HTTP/1.1\r\nHost: x\r\n\r\n")
    while not all(exchange.raw for exchange in exchanges):
        house.turn += 1  # type: ignore[attr-defined]
        house.reactor.turn()
        assert steps.count(house.turn) <= 1, "one slice a turn, of all requests together"  # type: ignore[attr-defined]
    assert len(steps) == 1000
    for exchange in exchanges:
        exchange.leave()


def test_nobody_works_for_a_client_that_has_left(house: House, failures: list[str]) -> None:
    steps: list[int] = []

    async def work(visit: Visit) -> Answer:
        await visit.run(map(steps.append, range(1000)))
        return Json({})

    site_of(house, (question("/work", work),))
    exchange = Exchange(house)
    exchange.send(b"GET /work HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(10):
        house.reactor.turn()
    exchange.leave()
    done = len(steps)
    assert 5 <= done <= 11
    exchange.wait()
    assert len(steps) <= done + 1
    assert exchange.raw == b""


def changing(house: House) -> list[str]:
    """A house with a change of three slices; returns what happens."""
    happened: list[str] = []
    for number in range(3):
        house.talk().say(b"PUSH " + job(number, queue=f'"q{number}"'))
    house.commit()
    house.store.writes.clear()

    async def change(visit: Visit) -> Answer:
        def steps() -> Iterator[None]:
            for number in range(3):
                visit.manager.pause([f"q{number}"])
                happened.append(f"step {number}")
                yield

        await visit.change(steps(), "pause queues", count=3)
        happened.append("answered")
        return Redirect("/", "Done")

    site_of(house, (form("/change", change), command("/api/change", change)))
    return happened


POST = b"POST /api/change HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"


def told(events: list[LogEvent]) -> list[str]:
    return [event["what"] for event in events if "what" in event]


def test_a_change_is_answered_when_it_is_on_disk(house: House, log_events: list[LogEvent]) -> None:
    happened = changing(house)
    exchange = Exchange(house)
    exchange.send(POST)
    assert house.begin_commit()
    assert happened == ["step 0", "step 1", "step 2"]
    assert exchange.raw == b""
    assert told(log_events) == []
    house.land()
    house.commit()
    assert happened[-1] == "answered"
    assert told(log_events) == ["pause queues"]
    assert exchange.raw.startswith(b"HTTP/1.1 303 ")
    exchange.leave()


@pytest.mark.parametrize("turns", range(5))
def test_a_change_is_carried_out_and_told_also_when_its_client_leaves(
    house: House, log_events: list[LogEvent], turns: int
) -> None:
    happened = changing(house)
    exchange = Exchange(house)
    exchange.send(POST)
    for _ in range(turns):
        house.reactor.turn()
    exchange.leave()
    exchange.wait()
    assert happened == ["step 0", "step 1", "step 2"]
    assert told(log_events) == ["pause queues"]
    assert exchange.raw == b""
    assert len(house.store.writes) == 1


def test_a_change_that_fails_when_its_client_has_left_is_in_the_log(house: House, failures: list[str]) -> None:
    async def change(visit: Visit) -> Answer:
        def steps() -> Iterator[None]:
            yield
            raise ZeroDivisionError("inside")

        await visit.change(steps(), "divide")
        return Json({})

    def run_in_slices(steps: Iterator[None], finish: Any) -> None:
        try:
            for _ in steps:
                pass
        except ZeroDivisionError as error:
            house.reactor.callLater(0, finish, error)

    house.server.run_in_slices = run_in_slices
    site_of(house, (command("/api/change", change),))
    exchange = Exchange(house)
    exchange.send(POST)
    exchange.leave()
    exchange.wait()
    assert len(failures) == 1
    assert "inside" in failures.pop()


def test_a_request_that_waits_when_the_store_fails_is_never_answered(
    house: House, log_events: list[LogEvent], failures: list[str]
) -> None:
    happened = changing(house)
    house.store.broken = broken_disk()
    exchange = Exchange(house)
    exchange.send(POST)
    house.commit()
    house.reactor.advance(60)
    assert len(house.failures) == 1, "the service would end the process"
    assert happened == ["step 0", "step 1", "step 2"]
    assert exchange.raw == b""
    assert told(log_events) == [], "what may not be on disk is not said to be"
    exchange.leave()
    later = Exchange(house)
    later.send(POST)
    later.wait()
    assert later.raw == b""
    later.leave()
    house.store.broken = None


def test_a_change_in_a_server_that_stops_is_refused(house: House) -> None:
    changing(house)

    def refuse(steps: Iterator[None], finish: Any) -> None:
        finish(FatalCommandError("Shutdown in progress"))

    house.server.run_in_slices = refuse
    answer = ask(house, "/api/change", json={})
    assert answer.status == 503
    assert answer.json() == {"error": "Shutdown in progress"}


def test_who_leaves_before_the_page_is_there_leaves_nothing_in_the_log(house: House, failures: list[str]) -> None:
    for turns in range(6):
        for path in (b"/", b"/nowhere", b"//x", b"/api/nowhere"):
            exchange = Exchange(house)
            exchange.send(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            for _ in range(turns):
                house.reactor.turn()
            exchange.leave()
            exchange.wait()
    assert failures == []


# -- what is loaded --------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from tests.unit.house import House
from tests.unit.web import browsing
assert "jinja2" not in sys.modules and "babel" not in sys.modules, "by importing"
house = House(password="secret")
house.server.metrics = None
for path in ("/health", "/ready", "/stats", "/metrics", "/favicon.ico", "/static/x/y", "/", "/nowhere", "//x", "/api/queues"):
    browsing.ask(house, path)
    browsing.ask(house, path, password="wrong")
for path in ("/health", "/ready", "/stats", "/metrics", "/api/nowhere"):
    browsing.ask(house, path, password="secret")
browsing.ask(house, "/nowhere", password="secret", Accept="application/json")
loaded = [name for name in ("jinja2", "babel", "web.look.rendering", "web.look.localized") if name in sys.modules]
assert not loaded, loaded
assert browsing.ask(house, "/nowhere", password="secret").status == 404
assert "jinja2" in sys.modules and "babel" in sys.modules, "by a page"
house.close()
print("well")
"""


def test_programs_and_strangers_have_nothing_loaded_that_only_pages_need() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.stdout.strip(), ran.returncode) == ("well", 0), ran.stderr


def test_pages_that_are_asked_for_at_once_load_the_renderer_once(
    guarded_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(guarded_house, PASSWORD)
    assert browser.get("/nowhere").status == 404
    ui = site_of(guarded_house).ui
    renderer = ui._renderer
    assert renderer is not None
    assert browser.get("/nowhere").status == 404
    assert ui._renderer is renderer
