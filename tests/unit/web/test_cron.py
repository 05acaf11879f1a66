"""The pages and the API of cron: what is shown of the entries, and pausing and running them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from faktory_tw.features.cron import Cron
from tests.unit.features.crontab import SETTINGS, entry
from tests.unit.house import House
from tests.unit.web.browsing import Browser, ask
from tests.unit.web.conftest import PASSWORD, READ_ONLY_PASSWORD
from tests.unit.web.stock import Stock

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def house(stock: Stock) -> House:
    """A server on a real store."""
    return stock.house


def use(house: House, *entries: Any) -> Cron:
    """Give the server these entries."""
    house.manager.facts.configure(replace(SETTINGS, cron=entries))
    return house.manager.facts.find(Cron)


def pass_time(house: House, seconds: float) -> None:
    house.reactor.advance(seconds)
    while house.manager.upkeep():
        pass


def jobs(house: House) -> int:
    return sum(house.manager.queue_sizes().values())


def test_a_server_without_entries_says_how_to_write_one(house: House) -> None:
    page = ask(house, "/cron").page
    assert "Nothing is pushed by a schedule" in page.text
    assert "[[cron]]" in page.text


def test_the_entries_are_listed_with_their_next_and_last_run(house: House) -> None:
    use(house, entry("beat", queue="low"), entry("report", "@hourly", "Europe/Berlin", paused=True))
    pass_time(house, 60)
    page = ask(house, "/cron").page
    assert "2 entries" in page.text
    beat, report = page.rows[-2:]
    assert {"beat", "* * * * *", "UTC", "Beat", "low"} <= set(_words(beat))
    assert "Paused" in " ".join(report)
    assert "Europe/Berlin" in " ".join(report)
    assert {"/cron/beat", "/cron/report", "/queues/low"} <= set(page.links)
    assert any(link.startswith("/search?q=") for link in page.links)


def _words(row: Any) -> list[str]:
    text = " ".join(row)
    return [each for each in ("beat", "* * * * *", "UTC", "Beat", "low") if each in text]


def test_an_entry_has_a_page_with_its_job_and_its_runs(house: House) -> None:
    made = entry("beat", job={"custom": {"unique_for": 3600}})
    cron = use(house, made)
    pass_time(house, 60)
    pass_time(house, 60)
    cron.pause("beat")
    pass_time(house, 600)
    cron.pause("beat", paused=False)
    pass_time(house, 600)
    page = ask(house, "/cron/beat").page
    first, *others = [run for run in cron.entry("beat").runs if run.jid]
    assert not others
    assert f"/search?q={first.jid}" in page.links
    assert "Refused" in page.text
    assert "Job not unique" in page.text
    assert '"unique_for"' in page.text
    cron.pause("beat")
    assert "This entry is paused." in ask(house, "/cron/beat").page.text


def test_what_was_missed_and_what_was_run_by_hand_is_told(house: House) -> None:
    cron = use(house, entry("beat", "0 * * * *"))
    assert "It was not due yet." in ask(house, "/cron/beat").page.text
    house.reactor.epoch += 7200 + 1800
    pass_time(house, 1)
    cron.run_now("beat")
    text = ask(house, "/cron/beat").page.text
    assert "Missed" in text
    assert "by hand" in text


@pytest.mark.parametrize(
    ("catch_up", "told"),
    [("skip", "is not made up for"), ("last", "is made up for once"), ("all", "is all made up for")],
)
def test_what_becomes_of_missed_times_is_told(house: House, catch_up: str, told: str) -> None:
    use(house, entry("beat", catch_up=catch_up))
    assert told in ask(house, "/cron/beat").page.text


def _form(browser: Browser, button: str) -> Any:
    forms = browser.get("/cron").page.forms
    return next(form for form in forms if any(text == button for *_, text in form.buttons))


def test_an_entry_is_paused_resumed_and_run_from_the_list(house: House) -> None:
    cron = use(house, entry("beat"))
    browser = Browser(house)
    for button, notice, paused in (("Pause", "beat is paused.", True), ("Resume", "beat goes on.", False)):
        answer = browser.follow(browser.submit(_form(browser, button)))
        assert notice in answer.page.text
        assert cron.entry("beat").paused == paused
    answer = browser.follow(browser.submit(_form(browser, "Run now")))
    (run,) = cron.entry("beat").runs
    assert f"beat was run: the job {run.jid} was pushed." in answer.page.text
    assert jobs(house) == 1


def test_who_came_from_the_page_of_an_entry_is_there_again(house: House) -> None:
    use(house, entry("beat"))
    answer = ask(house, "/cron", form={"name": "beat", "action": "pause", "from": "entry"})
    assert answer.location.partition("?")[0] == "/cron/beat"


def test_hundreds_of_entries_are_shown_page_by_page(house: House) -> None:
    use(house, *(entry(f"e{number:03}") for number in range(250)))
    pass_time(house, 0)
    page = ask(house, "/cron?page=3").page
    assert "/cron/e249" in page.links
    assert "/cron/e199" not in page.links
    assert "/cron/e249" in ask(house, "/cron?page=99").page.links
    answer = ask(house, "/cron", form={"name": "e210", "action": "pause", "page": "3"})
    assert answer.location.startswith("/cron?page=3&")


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"name": "beat", "action": "explode"}, 400),
        ({"name": "beat"}, 400),
        ({"name": "other", "action": "pause"}, 404),
        ({"action": "pause"}, 404),
        ({"name": "x" * 100_000, "action": "pause"}, 400),
    ],
)
def test_what_makes_no_sense_is_refused(house: House, form: dict[str, str], status: int) -> None:
    use(house, entry("beat"))
    assert ask(house, "/cron", form=form).status == status


def test_there_is_no_page_of_an_entry_that_is_gone(house: House) -> None:
    use(house)
    assert ask(house, "/cron/beat").status == 404


def test_a_run_that_is_refused_is_told(house: House) -> None:
    use(house, entry("beat", job={"custom": {"unique_for": 3600}}))
    ask(house, "/cron", form={"name": "beat", "action": "run"})
    answer = ask(house, "/cron", form={"name": "beat", "action": "run"})
    assert answer.status == 409
    assert "Job not unique" in answer.page.text


def test_who_only_looks_sees_no_buttons_and_changes_nothing(guarded_house: House) -> None:
    cron = use(guarded_house, entry("beat"))
    reader = Browser(guarded_house, READ_ONLY_PASSWORD)
    for path in ("/cron", "/cron/beat"):
        text = reader.get(path).page.text
        assert "beat" in text
        assert "Run now" not in text
    assert reader.post("/cron", {"name": "beat", "action": "run"}).status == 403
    assert reader.post("/cron", {"name": "beat", "action": "pause"}).status == 403
    assert not cron.entry("beat").paused
    assert jobs(guarded_house) == 0
    operator = Browser(guarded_house, PASSWORD)
    assert "Run now" in operator.get("/cron").page.text


def test_changes_are_in_the_log(house: House, log_events: list[Any]) -> None:
    use(house, entry("beat"))
    for action in ("pause", "resume", "run"):
        ask(house, "/cron", form={"name": "beat", "action": action})
    logged = json.dumps([str(each) for each in log_events])
    for told in ("pause cron entry", "resume cron entry", "run cron entry"):
        assert told in logged


def test_what_is_in_the_settings_stays_text(house: House) -> None:
    use(house, entry("beat", job={"jobtype": HOSTILE, "args": [HOSTILE], "queue": "low"}))
    for path in ("/cron", "/cron/beat"):
        body = ask(house, path).body
        assert b"<img" not in body
        assert b"&lt;img" in body


# -- API -----------------------------------------------------------------------------------------------------------


def test_programs_list_pause_resume_and_run(house: House) -> None:
    cron = use(house, entry("a"), entry("b"))
    told = ask(house, "/api/cron?limit=1").json()
    assert ([each["name"] for each in told["entries"]], told["next"]) == (["a"], "1")
    told = ask(house, "/api/cron?limit=1&after=1").json()
    assert ([each["name"] for each in told["entries"]], told["next"]) == (["b"], None)
    assert ask(house, "/api/cron/a/pause", json={}).json() == {"name": "a", "paused": True}
    assert cron.entry("a").paused
    assert ask(house, "/api/cron/a/resume", json={}).json() == {"name": "a", "paused": False}
    jid = ask(house, "/api/cron/a/run", json={}).json()["jid"]
    assert ask(house, "/api/cron/a").json()["runs"][0]["jid"] == jid
    assert len(ask(house, "/api/cron?limit=1000").json()["entries"]) == 2
    assert ask(house, "/api/cron?after=x").status == 400
