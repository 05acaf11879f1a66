"""The page of one job."""

from __future__ import annotations

import json

import pytest

from tests.unit.web.browsing import ask
from tests.unit.web.test_sets import HOSTILE, OVERRIDE


def test_everything_about_a_retry_is_shown(stock):
    [job_id] = stock.retries(
        1,
        {"errtype": "OutOfLuck", "message": "no luck", "backtrace": ["at dice.py:1", "at table.py:2"]},
        jobtype="play",
        queue="games",
        args=[{"stake": 12345678901234567890123, "odds": 1.10}],
        custom={"customer": "Änne"},
        priority=7,
        reserve_for=600,
        backtrace=10,
    )
    text = ask(stock.house, f"/jobs/{job_id}").page.text
    for part in (
        "play",
        "games",
        "12345678901234567890123",
        "Änne",
        "OutOfLuck",
        "no luck",
        "at dice.py:1",
        "at table.py:2",
    ):
        assert part in text
    assert "Retries" in text
    assert "Next retry" in text


def test_numbers_are_shown_as_they_were_written(stock):
    client = stock.client
    client.say(b'PUSH {"jid":"jid-numbers","jobtype":"work","args":[1.10,1e400,-0.0,12345678901234567890123456789]}')
    stock.house.commit()
    client.heard()
    job_id = stock.house.manager.views.newest()
    text = ask(stock.house, f"/jobs/{job_id}").page.text
    assert "1.10," in text
    assert "1e400," in text
    assert "12345678901234567890123456789" in text
    assert ask(stock.house, f"/jobs/{job_id}/args.json").body == b"[1.10,1e400,-0.0,12345678901234567890123456789]"


def test_a_job_is_found_under_the_same_address_wherever_it_goes(stock, browser):
    [job_id] = stock.scheduled(1)
    assert "Scheduled" in browser.get(f"/jobs/{job_id}").page.text
    form = next(form for form in browser.get(f"/jobs/{job_id}").page.forms if form.value("action") == "retry")
    answer = browser.submit(form)
    assert answer.location.startswith(f"/jobs/{job_id}?notice=")
    assert "In its queue" in browser.follow(answer).page.text
    stock.say(b"FETCH default")
    page = browser.get(f"/jobs/{job_id}").page
    assert "Reservation ends" in page.text
    assert "/busy" in page.links
    assert not [form for form in page.forms if form.action == "/jobs/change"]
    stock.say(b'ACK {"jid":"jid-00001"}')
    answer = browser.get(f"/jobs/{job_id}")
    assert answer.status == 404
    assert "finished" in answer.page.text


def test_a_job_with_another_priority_is_shown_under_its_new_address(stock, browser):
    [job_id] = stock.queued(1)
    form = next(form for form in browser.get(f"/jobs/{job_id}").page.forms if form.value("priority"))
    answer = browser.submit(form, "Set priority", priority=9)
    assert answer.location != f"/jobs/{job_id}"
    assert "jid-00001" in browser.follow(answer).page.text
    assert browser.get(f"/jobs/{job_id}").status == 404


def test_a_deleted_job_leads_back_to_its_list(stock, browser):
    [job_id] = stock.dead(1)
    form = next(form for form in browser.get(f"/jobs/{job_id}").page.forms if form.value("action") == "delete")
    asking = browser.submit(form)
    assert "Delete 1 job?" in asking.page.text
    assert f"/jobs/{job_id}" in asking.page.links
    answer = browser.submit(asking.page.form("/jobs/change"))
    assert answer.location.startswith("/dead?notice=")


def test_two_jobs_with_one_jid_are_two(stock):
    first, second = stock.queued(1, jid="same-same", args=["one"]) + stock.queued(1, jid="same-same", args=["two"])
    assert ask(stock.house, f"/jobs/{first}/args.json").json() == ["one"]
    assert ask(stock.house, f"/jobs/{second}/args.json").json() == ["two"]
    stock.say(b"FETCH default")
    stock.say(b'ACK {"jid":"same-same"}')
    assert ask(stock.house, f"/jobs/{first}").status == 404
    assert ask(stock.house, f"/jobs/{second}/args.json").json() == ["two"]


@pytest.mark.parametrize(
    "name", ["0", "999", "-1", "x", "1.0", "%D9%A3", "9" * 400, "9223372036854775808", "1%00", "%20"]
)
def test_what_is_no_job_is_not_there(stock, name):
    stock.queued(1)
    for path in (f"/jobs/{name}", f"/jobs/{name}/args.json", f"/jobs/{name}/job.json"):
        assert ask(stock.house, path).status == 404


def test_hostile_texts_are_only_texts(stock):
    [job_id] = stock.retries(
        1,
        {"errtype": HOSTILE, "message": HOSTILE + OVERRIDE, "backtrace": [HOSTILE, OVERRIDE, "</li></ol><script>"]},
        jid="12345678" + HOSTILE,
        jobtype=HOSTILE + OVERRIDE,
        args=[HOSTILE, OVERRIDE, {"</code></pre>": "\u0000\u2028"}],
        custom={HOSTILE: OVERRIDE},
        created_at=HOSTILE,
    )
    answer = ask(stock.house, f"/jobs/{job_id}")
    assert answer.status == 200
    assert "<script>alert" not in answer.page.source
    assert not answer.page.all("img")
    assert not set("\u202e\u2028\u0000") & set(answer.page.source)
    assert "\\u202egpj.exe" in answer.page.text


def test_large_arguments_are_cut_and_whole_one_click_away(stock):
    args = ["x" * 1_000_000] * 3
    [job_id] = stock.queued(1, args=args)
    answer = ask(stock.house, f"/jobs/{job_id}")
    assert len(answer.body) < 200_000
    assert "Only the beginning is shown." in answer.page.text
    whole = ask(stock.house, next(link for link in answer.page.links if link.endswith("args.json")))
    assert whole.json() == args


def test_arguments_that_are_deep_do_not_grow_without_bound(stock):
    deep = "[" * 500 + ",".join(["1"] * 30_000) + "]" * 500
    stock.client.say(b'PUSH {"jid":"jid-0deep","jobtype":"work","args":%b}' % deep.encode())
    stock.house.commit()
    stock.client.heard()
    job_id = stock.house.manager.views.newest()
    answer = ask(stock.house, f"/jobs/{job_id}")
    assert answer.status == 200
    assert len(answer.body) < 600_000


def test_the_job_can_be_had_as_a_worker_gets_it(stock):
    [job_id] = stock.retries(1)
    told = ask(stock.house, f"/jobs/{job_id}/job.json").json()
    assert told["jid"] == "jid-00001"
    assert told["failure"]["errtype"] == "Boom"
    assert "enqueued_at" in told


def test_letters_that_were_written_as_escapes_are_shown_as_letters(stock):
    stock.client.say(
        rb'PUSH {"jid":"jid-letters","jobtype":"work","args":["gr\u00fc\u00dfe \ud83d\ude00 \u202e \u0022 \\u0041"]}'
    )
    stock.house.commit()
    stock.client.heard()
    text = ask(stock.house, f"/jobs/{stock.house.manager.views.newest()}").page.text
    assert r"grüße 😀 \u202e \u0022 \\u0041" in text


def test_who_only_looks_sees_the_job_and_no_buttons(stock):
    [job_id] = stock.dead(1)
    stock.house.server.change_passwords("writes", None, "reads")
    page = ask(stock.house, f"/jobs/{job_id}", password="reads").page
    assert "jid-00001" in page.text
    assert not [form for form in page.forms if form.action == "/jobs/change"]
    assert json.loads(ask(stock.house, f"/jobs/{job_id}/args.json", password="reads").body) == [1]
