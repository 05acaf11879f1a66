"""Asking for a job that is being worked to stop."""

from __future__ import annotations

import pytest

from faktory_tw.features.cancel import Cancel
from tests.unit.web.browsing import Browser, ask
from tests.unit.web.stock import Stock

STOP = "/busy/stop"


def asked(stock: Stock, job_id: int) -> bool:
    return stock.house.manager.facts.find(Cancel).asked_at(job_id) is not None


def stop_form(page, job_id: int):
    return next(form for form in page.forms if form.action == STOP and form.value("id") == str(job_id))


@pytest.mark.parametrize("path", ["/busy", "/busy/jobs?queue=default", "/jobs/{}"])
def test_a_job_is_asked_to_stop_when_that_was_confirmed(stock, log_events, path):
    browser = Browser(stock.house)
    first, second = stock.working(2)
    path = path.format(first)
    asking = browser.submit(stop_form(browser.get(path).page, first))
    assert "Ask for the job jid-00001 to stop?" in asking.page.text
    assert not asked(stock, first)
    answer = browser.submit(asking.page.form(STOP))
    assert answer.location.startswith(path.partition("?")[0])
    page = browser.follow(answer).page
    assert "The job was asked to stop." in page.text
    assert "Asked to stop" in page.text
    assert not [form for form in page.forms if form.action == STOP and form.value("id") == str(first)]
    assert asked(stock, first)
    assert not asked(stock, second)
    assert any(event.get("what") == "ask job to stop" and event.get("jid") == "jid-00001" for event in log_events)


def test_who_is_asked_leads_back_to_the_list_as_it_was(stock):
    browser = Browser(stock.house)
    [job_id] = stock.working(1, jobtype="Sl0w")
    form = stop_form(browser.get("/busy/jobs?jobtype=Sl*&queue=default").page, job_id)
    answer = browser.submit(form, confirmed="1")
    assert "jobtype=Sl%2A" in answer.location
    assert "queue=default" in answer.location


def test_a_job_that_another_worker_has_now_is_not_meant(stock):
    browser = Browser(stock.house)
    [job_id] = stock.working(1)
    form = stop_form(browser.get("/busy").page, job_id)
    stock.say(b'FAIL {"jid":"jid-00001"}')
    assert browser.submit(form, confirmed="1").status == 404
    stock.house.reactor.advance(100)
    retry = next(form for form in browser.get(f"/jobs/{job_id}").page.forms if form.value("action") == "retry")
    browser.submit(retry)
    stock.say(b"FETCH default")
    answer = browser.submit(form, confirmed="1")
    assert answer.status == 404
    assert "Nothing was changed" in answer.page.text
    assert not asked(stock, job_id)


def test_only_a_job_that_is_worked_has_the_button(stock):
    for [job_id] in (stock.queued(1), stock.dead(1), stock.retries(1), stock.scheduled(1)):
        page = ask(stock.house, f"/jobs/{job_id}").page
        assert not [form for form in page.forms if form.action == STOP]


@pytest.mark.parametrize("fields", [{}, {"id": "x"}, {"id": "-1"}, {"id": 9**40}, {"id": 1, "since": "0"}])
def test_what_is_no_job_stops_nothing(stock, fields):
    [job_id] = stock.working(1)
    assert ask(stock.house, STOP, form={**fields, "confirmed": 1}).status in (400, 404)
    assert not asked(stock, job_id)


def test_who_only_looks_sees_no_buttons(stock):
    [job_id] = stock.working(1)
    stock.house.server.change_passwords("writes", None, "reads")
    for path in ("/busy", "/busy/jobs", f"/jobs/{job_id}"):
        page = ask(stock.house, path, password="reads").page
        assert "jid-00001" in page.text
        assert not [form for form in page.forms if form.action == STOP]


def test_the_api_asks_a_job_to_stop(stock):
    [job_id] = stock.working(1)
    told = ask(stock.house, f"/api/jobs/{job_id}/cancel", json={}).json()
    assert told["jid"] == "jid-00001"
    assert asked(stock, job_id)
    assert ask(stock.house, f"/api/jobs/{job_id}/cancel", json={}).json() == told


def test_the_api_says_where_a_job_is_that_nobody_works(stock):
    [job_id] = stock.dead(1)
    answer = ask(stock.house, f"/api/jobs/{job_id}/cancel", json={})
    assert answer.status == 409
    assert "it is dead" in answer.json()["error"]
    assert ask(stock.house, f"/api/jobs/{9**25}/cancel", json={}).status == 404
