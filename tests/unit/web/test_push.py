"""Pushing a job by form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.house import EPOCH
from tests.unit.web.browsing import Answer, Browser, ask
from tests.unit.web.stock import Stock


def push(browser: Browser, path: str = "/push", **fields: object) -> Answer:
    """Fill in the form and send it."""
    return browser.submit(browser.get(path).page.form("/push"), "Push the job", **fields)


def fetched(stock: Stock, queue: str = "default") -> dict[str, Any]:
    """The next job of a queue, as a worker gets it."""
    job: dict[str, Any] = json.loads(stock.say(b"FETCH " + queue.encode()).split(b"\r\n", 1)[1])
    return job


def test_a_job_is_pushed_with_what_is_in_the_form(stock, browser):
    answer = push(
        browser,
        jobtype="play",
        queue="games",
        priority=7,
        args='[1, {"a": "ü"}]',
        retry=3,
        reserve_for=90,
        custom='{"x":1}',
    )
    page = browser.follow(answer).page
    assert "The job was pushed." in page.text
    assert "play" in page.headings
    job = fetched(stock, "games")
    assert job["jobtype"] == "play"
    assert job["args"] == [1, {"a": "ü"}]
    assert (job["priority"], job["retry"], job["reserve_for"], job["custom"]) == (7, 3, 90, {"x": 1})
    assert job["jid"] in page.text
    assert len(job["jid"]) >= 8


def test_the_least_that_is_needed_is_a_type(stock, browser):
    assert push(browser, jobtype="play").status == 303
    assert fetched(stock)["args"] == []


def test_numbers_and_letters_survive_unchanged(stock, browser):
    args = '[12345678901234567890123, 1.10, 1e400, "\\u0000 ü 😀 <b>", -0.0]'
    push(browser, jobtype="play", args=args)
    answer = stock.say(b"FETCH default")
    assert b"12345678901234567890123,1.10,1e400" in answer
    assert "ü 😀 <b>".encode() in answer


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2h", EPOCH + 7200),
        ("2099-01-01", 4070908800),
        ("2099-01-01 10:00", 4070944800),
        ("2099-01-01T10:00:00Z", 4070944800),
        ("2099-01-01 10:00+01:00", 4070941200),
    ],
)
def test_a_job_for_later_is_scheduled(stock, browser, said, at):
    push(browser, jobtype="play", at=said)
    [(due, _)] = stock.house.manager.walk(1, None, 10)
    assert due == pytest.approx(at, abs=60)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jobtype", ""),
        ("jobtype", "   "),
        ("queue", "a b"),
        ("queue", "<script>"),
        ("queue", "x" * 1025),
        ("priority", "10"),
        ("priority", "0"),
        ("priority", "x"),
        ("args", ""),
        ("args", "{}"),
        ("args", "1"),
        ("args", "[1"),
        ("args", '[1],"queue":"other"'),
        ("args", "[1] [2]"),
        ("args", "[NaN]"),
        ("args", '["\\ud800"]'),
        ("args", "[" * 600 + "]" * 600),
        ("args", "[" * 100_000),
        ("custom", "[]"),
        ("custom", "x"),
        ("custom", "null"),
        ("retry", "-2"),
        ("retry", "1.5"),
        ("retry", "9" * 400),
        ("reserve_for", "86401"),
        ("reserve_for", "-1"),
        ("jid", "short"),
        ("at", "yesterday"),
        ("at", "2026-02-30"),
        ("at", "9" * 50 + "h"),
    ],
)
def test_what_cannot_be_is_told_beside_its_field_and_nothing_is_lost(stock, browser, field, value):
    given = {"jobtype": "play", "args": "[12, 34]", "queue": "games", field: value}
    answer = push(browser, **given)
    assert answer.status == 400
    form = answer.page.form("/push")
    for name, text in given.items():
        if name != "priority":
            assert form.value(name) == text.strip()
    [wrong] = [attributes for name, attributes in answer.page.elements if attributes.get("aria-invalid") == "true"]
    assert wrong["name"] == field
    assert "script" not in [name for name, attributes in answer.page.elements if "src" not in attributes]
    assert stock.house.manager.queue_names() == []


def test_what_push_refuses_is_refused(stock, browser):
    stock.house.manager.refuse_pushes = "the disk is full: no jobs are taken"
    answer = push(browser, jobtype="play", args='["kept"]')
    assert answer.status == 409
    assert "the disk is full" in answer.page.text
    assert answer.page.form("/push").value("args") == '["kept"]'


def test_a_job_is_pushed_again_with_all_that_it_had_under_a_new_id(stock, browser):
    [job_id] = stock.dead(
        1,
        jobtype="play",
        queue="games",
        args=[12345678901234567890123, "<b>", "ü"],
        custom={"a": 1},
        priority=8,
        reserve_for=99,
    )
    push(browser, f"/push?job={job_id}")
    job = fetched(stock, "games")
    assert job["args"] == [12345678901234567890123, "<b>", "ü"]
    assert (job["jobtype"], job["custom"], job["priority"], job["reserve_for"], job["retry"]) == (
        "play",
        {"a": 1},
        8,
        99,
        -1,
    )
    assert job["jid"] != "jid-00001"
    assert "failure" not in job
    assert stock.sizes()["dead"] == 1


def test_a_job_that_is_too_large_for_a_form_is_not_copied(stock, browser):
    [job_id] = stock.queued(1, args=["x" * 1_000_000])
    answer = browser.get(f"/push?job={job_id}")
    assert len(answer.body) < 50_000
    assert "too large" in answer.page.text


@pytest.mark.parametrize("job", ["99", "x", "-1", "9" * 400])
def test_a_job_that_is_gone_cannot_be_pushed_again(stock, job):
    assert ask(stock.house, f"/push?job={job}").status == 404


def test_large_arguments_can_be_pushed(stock, browser):
    args = json.dumps(["x" * 3_000_000])
    assert push(browser, jobtype="play", args=args).status == 303
    assert fetched(stock)["args"] == json.loads(args)


def test_a_job_that_somebody_waits_for_is_being_worked_at_once(stock, browser):
    stock.client.say(b"FETCH default")
    assert "Reservation ends" in browser.follow(push(browser, jobtype="play")).page.text


def test_the_log_tells_who_pushed_what(stock, browser, log_events):
    push(browser, jobtype="play", jid="jid-by-hand", args='["secret"]')
    [event] = [event for event in log_events if event.get("what") == "push job"]
    assert event["jid"] == "jid-by-hand"
    assert "secret" not in str(event)


def test_who_only_looks_sees_no_form(stock):
    stock.house.server.change_passwords("writes", None, "reads")
    assert not [form for form in ask(stock.house, "/push", password="reads").page.forms if form.action == "/push"]
    assert Browser(stock.house, "reads").post("/push", {"jobtype": "x", "args": "[]"}).status == 403
