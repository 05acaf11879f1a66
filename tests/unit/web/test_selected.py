"""What is done to jobs that are checked in a list."""

from __future__ import annotations

import pytest

from faktory_tw.features.changes import find_job
from faktory_tw.features.search import place_name
from tests.unit.web.browsing import Browser
from tests.unit.web.stock import Stock


def where(stock: Stock, job_id: int) -> str:
    """The place of a job, empty when it is gone."""
    row = find_job(stock.house.manager, job_id)
    return "" if row is None else place_name(row.place)


def send(browser: Browser, path: str, button: str, ids: list[int], **fields: object):
    """Check jobs in a list, press a button, and say yes if somebody asks; follow to the list again."""
    answer = browser.submit(browser.get(path).page.form("/jobs/change"), button, id=ids, **fields)
    if answer.status == 200:
        asking = answer.page.form("/jobs/change")
        answer = browser.submit(asking, next(text for _, _, text in asking.buttons))
    return browser.follow(answer)


def put(stock: Stock, place: str) -> list[int]:
    return {
        "/scheduled": stock.scheduled,
        "/retries": stock.retries,
        "/dead": stock.dead,
        "/queues/default": stock.queued,
    }[place](3)


@pytest.mark.parametrize(
    ("path", "button", "becomes"),
    [
        ("/scheduled", "Add to queue now", "queued"),
        ("/scheduled", "Kill", "dead"),
        ("/scheduled", "Delete", ""),
        ("/retries", "Retry now", "queued"),
        ("/retries", "Kill", "dead"),
        ("/retries", "Delete", ""),
        ("/dead", "Retry now", "queued"),
        ("/dead", "Delete", ""),
        ("/queues/default", "Kill", "dead"),
        ("/queues/default", "Delete", ""),
    ],
)
def test_each_action_is_done_to_the_checked_jobs_and_to_no_other(stock, browser, path, button, becomes):
    first, second, third = put(stock, path)
    before = where(stock, third)
    answer = send(browser, path, button, [first, second])
    assert answer.status == 200
    assert "2 jobs" in answer.page.text
    assert [where(stock, job_id) for job_id in (first, second)] == [becomes, becomes]
    assert where(stock, third) == before


def test_a_queued_job_gets_another_priority_and_is_fetched_first(stock, browser):
    ids = stock.queued(3)
    answer = send(browser, "/queues/default", "Set priority", [ids[2]], priority=9)
    assert "1 job has a new priority." in answer.page.text
    assert [row[2] for row in answer.page.rows[1:]] == ["9", "5", "5"]
    assert b"jid-00003" in stock.say(b"FETCH default")


@pytest.mark.parametrize("priority", ["0", "10", "-1", "x", "99999999999999999999999", "1.5"])
def test_a_priority_that_is_none_is_refused(stock, browser, priority):
    ids = stock.queued(1)
    answer = browser.post(
        "/jobs/change",
        {"place": "queued", "queue_name": "default", "action": "priority", "priority": priority, "id": ids},
    )
    assert answer.status == 400
    assert where(stock, ids[0]) == "queued"


def test_nothing_is_deleted_before_somebody_says_yes(stock, browser):
    ids = stock.retries(2)
    answer = browser.submit(browser.get("/retries").page.form("/jobs/change"), "Delete", id=ids)
    assert "Delete 2 jobs?" in answer.page.text
    assert "for ever" in answer.page.text
    assert [where(stock, job_id) for job_id in ids] == ["retries", "retries"]


def test_a_browser_that_has_asked_by_itself_is_not_asked_again(stock, browser):
    ids = stock.retries(2)
    answer = browser.submit(browser.get("/retries").page.form("/jobs/change"), "Delete", id=ids, confirmed="1")
    assert answer.status == 303
    assert [where(stock, job_id) for job_id in ids] == ["", ""]


def test_nothing_checked_is_told(stock, browser):
    stock.retries(1)
    assert "No job was checked" in send(browser, "/retries", "Retry now", []).page.text


def test_a_job_that_has_moved_meanwhile_is_left_alone_and_that_is_told(stock, browser):
    first, second = stock.scheduled(2)
    form = browser.get("/scheduled").page.form("/jobs/change")
    browser.post("/jobs/change", {"place": "scheduled", "action": "retry", "id": first})
    assert where(stock, first) == "queued"
    answer = browser.follow(browser.submit(form, "Delete", id=[first, second], confirmed="1"))
    assert "1 job was deleted." in answer.page.text
    assert "1 job was left alone" in answer.page.text
    assert where(stock, first) == "queued"
    assert where(stock, second) == ""


def test_a_job_that_is_being_worked_meanwhile_is_left_alone(stock, browser):
    [job_id] = stock.queued(1)
    form = browser.get("/queues/default").page.form("/jobs/change")
    stock.say(b"FETCH default")
    answer = browser.follow(browser.submit(form, "Kill", id=job_id, confirmed="1"))
    assert "left alone" in answer.page.text
    assert where(stock, job_id) == "working"


def test_a_job_of_another_queue_is_left_alone(stock, browser):
    [other] = stock.queued(1, queue="other")
    stock.queued(1)
    form = {"place": "queued", "queue_name": "default", "action": "delete", "id": other, "confirmed": "1"}
    assert "left alone" in browser.follow(browser.post("/jobs/change", form)).page.text
    assert where(stock, other) == "queued"


@pytest.mark.parametrize("job_id", ["x", "-1", "1.5", "1e3", "٣", "9" * 400, "1;drop table", "0x10", ""])
def test_an_id_that_is_none_is_refused(stock, browser, job_id):
    ids = stock.retries(1)
    answer = browser.post("/jobs/change", {"place": "retries", "action": "delete", "id": [job_id], "confirmed": "1"})
    assert answer.status == 400
    assert where(stock, ids[0]) == "retries"


def test_an_id_that_nobody_has_changes_nothing(stock, browser):
    stock.retries(1)
    form = {"place": "retries", "action": "delete", "id": "9223372036854775807", "confirmed": "1"}
    assert "left alone" in browser.follow(browser.post("/jobs/change", form)).page.text


@pytest.mark.parametrize(
    ("place", "action"),
    [("dead", "kill"), ("retries", "priority"), ("dead", "explode"), ("dead", ""), ("queued", "retry")],
)
def test_an_action_that_is_not_possible_there_is_refused(stock, browser, place, action):
    stock.queued(1)
    form = {"place": place, "queue_name": "default", "action": action, "id": 1, "confirmed": "1"}
    assert browser.post("/jobs/change", form).status == 400


@pytest.mark.parametrize("place", ["working", "", "nowhere", "../dead", "<script>"])
def test_a_place_that_is_none_is_refused(browser, place):
    assert browser.post("/jobs/change", {"place": place, "action": "delete", "id": 1, "confirmed": "1"}).status == 400


def test_the_list_that_follows_is_the_one_that_was_left(stock, browser):
    ids = stock.retries(30)
    answer = browser.submit(browser.get("/retries?per=25&page=2").page.form("/jobs/change"), "Retry now", id=ids[-1])
    assert answer.location.startswith("/retries?page=2&notice=")
    answer = browser.submit(browser.get("/retries?jobtype=wo*").page.form("/jobs/change"), "Retry now", id=ids[0])
    assert answer.location.startswith("/retries?jobtype=wo%2A&notice=")


def test_the_log_tells_who_changed_what(stock, browser, log_events):
    ids = stock.retries(2)
    send(browser, "/retries", "Retry now", ids)
    [event] = [event for event in log_events if event.get("what") == "retry jobs"]
    assert "count 2" in event["told"]
    assert "retries" in event["told"]


def test_what_was_changed_is_on_disk_when_it_is_told(stock, browser):
    ids = stock.retries(1)
    browser.submit(browser.get("/retries").page.form("/jobs/change"), "Retry now", id=ids)
    assert not stock.house.store.batch
