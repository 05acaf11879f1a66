"""The page of the locks, their API, and what the page of a job says of its own."""

from __future__ import annotations

import pytest

from faktory_tw.features.unique import Unique
from tests.unit.web.browsing import Browser, ask, turned
from tests.unit.web.stock import Stock
from tests.unit.web.test_sets import HOSTILE, OVERRIDE


def locked(stock: Stock, count: int = 1, seconds: float = 3600, **fields: object) -> list[int]:
    """Unique jobs whose locks end one after the other."""
    ids = []
    for number in range(count):
        ids += stock.queued(1, custom={"unique_for": seconds + number}, **fields)
    return ids


def unique(stock: Stock) -> Unique:
    return stock.house.manager.facts.find(Unique)


def test_without_locks_it_says_what_makes_one(stock):
    text = ask(stock.house, "/locks").page.text
    assert "No locks" in text
    assert "unique_for" in text


def test_a_lock_is_listed_with_its_job_and_when_it_ends(stock):
    [job_id] = locked(stock, jobtype="Import", queue="mail")
    stock.client.say(
        b'PUSH {"jid":"another-jid","jobtype":"Import","queue":"mail","args":[1],"custom":{"unique_for":9}}'
    )
    stock.house.commit()
    assert b"NOTUNIQUE" in stock.client.heard()
    page = ask(stock.house, "/locks").page
    for said in ("Import", "jid-00001", "mail", "1 job was refused", "in 1 hour"):
        assert said in page.text, said
    assert f"/jobs/{job_id}" in page.links


def test_many_locks_are_paged_and_none_is_left_out(stock):
    ids = locked(stock, 120)
    assert turned(stock.house, "/locks") == [str(job_id) for job_id in ids]


def test_a_page_whose_locks_have_ended_leads_back(stock):
    locked(stock)
    text = ask(stock.house, "/locks?after=9e9_1").page.text
    assert "No more locks" in text
    assert "Back to the beginning" in text


@pytest.mark.parametrize("after", ["x", "nan_1", "inf_1", "1_", "1_x", "_", "1", "1_" + "9" * 400, "1_-1", "1_٣"])
def test_a_cursor_that_is_none_is_refused(stock, after):
    locked(stock)
    answer = ask(stock.house, f"/locks?after={after.replace('٣', '%D9%A3')}")
    assert answer.status == 400
    assert "no place in the list" in answer.page.text


def test_a_lock_is_released_when_that_was_confirmed(stock, log_events):
    browser = Browser(stock.house)
    [job_id] = locked(stock, jobtype="Import")
    form = next(form for form in browser.get("/locks").page.forms if form.action == "/locks/release")
    asking = browser.submit(form)
    assert "Release the lock of the job jid-00001?" in asking.page.text
    assert len(unique(stock)) == 1
    answer = browser.submit(asking.page.form("/locks/release"))
    assert answer.location.startswith("/locks?notice=")
    assert "The lock is released." in browser.follow(answer).page.text
    assert len(unique(stock)) == 0
    assert any(event.get("what") == "release lock" and event.get("jid") == "jid-00001" for event in log_events)
    assert browser.get(f"/jobs/{job_id}").status == 200
    assert stock.say(b'PUSH {"jid":"jid-00002","jobtype":"Import","args":[1],"custom":{"unique_for":9}}') == b"+OK\r\n"


def test_a_form_that_is_old_releases_no_later_lock(stock):
    browser = Browser(stock.house)
    [first] = locked(stock, jobtype="Import", args=[1])
    unique(stock).release(first)
    locked(stock, jobtype="Import", args=[1])
    answer = browser.post("/locks/release", {"id": first, "confirmed": 1})
    assert answer.status == 404
    assert "no lock any more" in answer.page.text
    assert len(unique(stock)) == 1


def test_a_lock_whose_queue_was_removed_is_listed_without_its_job(stock):
    [job_id] = locked(stock, queue="gone", args=["secret"])
    stock.house.manager.remove_queues(["gone"])
    page = ask(stock.house, "/locks").page
    assert len(unique(stock)) == 1
    assert "Its job is gone with its queue" in page.text
    assert "secret" not in page.text
    assert f"/jobs/{job_id}" not in page.links


def test_the_page_of_a_job_tells_of_its_lock_and_when_it_expires(stock):
    browser = Browser(stock.house)
    [job_id] = stock.queued(1, custom={"unique_for": 3600, "expires_in": 60})
    page = browser.get(f"/jobs/{job_id}").page
    assert "Unique until" in page.text
    assert "Expires" in page.text
    form = page.form("/locks/release")
    asking = browser.submit(form)
    assert f"/jobs/{job_id}" in asking.page.links
    answer = browser.submit(asking.page.form("/locks/release"))
    assert answer.location.startswith(f"/jobs/{job_id}?notice=")
    assert "Unique until" not in browser.follow(answer).page.text


def test_a_plain_job_has_neither(stock):
    [job_id] = stock.queued(1)
    text = ask(stock.house, f"/jobs/{job_id}").page.text
    assert "Unique until" not in text
    assert "Expires" not in text


def test_hostile_texts_are_only_texts(stock):
    locked(stock, jobtype=HOSTILE + OVERRIDE, jid="12345678" + HOSTILE, args=[HOSTILE])
    answer = ask(stock.house, "/locks")
    assert "<script>alert" not in answer.page.source
    assert not set("\u202e\u2028\u0000") & set(answer.page.source)


def test_who_only_looks_sees_locks_and_no_buttons(stock):
    [job_id] = locked(stock)
    stock.house.server.change_passwords("writes", None, "reads")
    for path in ("/locks", f"/jobs/{job_id}"):
        page = ask(stock.house, path, password="reads").page
        assert "jid-00001" in page.text
        assert not [form for form in page.forms if form.action == "/locks/release"]


# -- the API ---------------------------------------------------------------------------------------------------------


def test_the_api_lists_locks_page_by_page(stock):
    ids = locked(stock, 5, jobtype="Import")
    told = ask(stock.house, "/api/locks?limit=3").json()
    assert [lock["job_id"] for lock in told["locks"]] == ids[:3]
    assert told["size"] == 5
    assert told["locks"][0].items() >= {"jid": "jid-00001", "jobtype": "Import", "queue": "default"}.items()
    rest = ask(stock.house, f"/api/locks?limit=3&after={told['next']}").json()
    assert [lock["job_id"] for lock in rest["locks"]] == ids[3:]
    assert rest["next"] is None


def test_the_api_releases_a_lock(stock):
    [job_id] = locked(stock)
    assert ask(stock.house, f"/api/locks/{job_id}").json()["jid"] == "jid-00001"
    assert ask(stock.house, f"/api/locks/{job_id}", "DELETE").json() == {"action": "release", "job_id": job_id}
    for method in ("GET", "DELETE"):
        answer = ask(stock.house, f"/api/locks/{job_id}", method)
        assert answer.status == 404
        assert "has no lock" in answer.json()["error"]
