"""The pages of the sets, of a queue and of a search: what they show, in which order, and which page of it."""

from __future__ import annotations

import json

import pytest

from tests.unit.web.browsing import Browser, ask
from web.content import listing

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
OVERRIDE = "\u202egpj.exe"


def keys(answer) -> list[int]:
    """The ids of the rows of a list."""
    return [int(row["data-key"]) for row in answer.page.all("tr") if "data-key" in row]


@pytest.mark.parametrize("path", ["/scheduled", "/retries", "/dead"])
def test_an_empty_set_says_what_it_is_for(stored_house, path):
    answer = ask(stored_house, path)
    assert answer.status == 200
    assert answer.page.all("div", class_="empty")
    assert not answer.page.all("table")


def test_scheduled_jobs_are_shown_soonest_first(stock):
    ids = stock.scheduled(3)
    assert keys(ask(stock.house, "/scheduled")) == ids


def test_the_job_that_died_last_is_shown_first(stock):
    ids = []
    for _ in range(3):
        ids += stock.dead()
        stock.house.reactor.advance(10)
    assert keys(ask(stock.house, "/dead")) == ids[::-1]


def test_a_queue_is_shown_in_the_order_in_which_it_will_be_fetched(stock):
    low = stock.queued(2, priority=2)
    high = stock.queued(2, priority=8)
    answer = ask(stock.house, "/queues/default")
    assert keys(answer) == high + low
    assert [row[2] for row in answer.page.rows[1:]] == ["8", "8", "2", "2"]


def test_the_morgue_is_the_dead(stored_house):
    assert ask(stored_house, "/morgue").location == "/dead"


def test_a_retry_is_shown_with_its_error_and_how_often_it_failed(stock):
    stock.retries(failure={"errtype": "OutOfLuck", "message": "no luck today"})
    text = ask(stock.house, "/retries").page.text
    assert "OutOfLuck" in text
    assert "no luck today" in text


def test_pages_are_numbered_and_hold_as_many_jobs_as_was_chosen(stock):
    ids = stock.queued(120)
    assert keys(ask(stock.house, "/queues/default")) == ids[:25]
    assert keys(ask(stock.house, "/queues/default?page=2")) == ids[25:50]
    assert keys(ask(stock.house, "/queues/default?per=100&page=2")) == ids[100:]
    assert "/queues/default?page=2&per=100" in ask(stock.house, "/queues/default?per=100").page.links


def test_a_page_behind_the_end_is_the_last_one(stock):
    ids = stock.scheduled(30)
    assert keys(ask(stock.house, "/scheduled?page=1000000")) == ids[25:]


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=x", "page=1e9", "page=9" + "9" * 400, "per=-5", "per=0", "per=1000000", "page=%D9%A3"],
)
def test_nonsense_for_a_page_is_refused_with_a_sentence(stock, query):
    stock.scheduled(2)
    answer = ask(stock.house, f"/scheduled?{query}")
    assert answer.status == 400
    assert "per" in answer.page.text or "page" in answer.page.text


def test_jobs_that_come_and_go_between_two_pages_disturb_only_the_numbers(stock):
    ids = stock.queued(60)
    assert keys(ask(stock.house, "/queues/default")) == ids[:25]
    stock.say(b"FETCH default")
    more = stock.queued(1)
    assert keys(ask(stock.house, "/queues/default?page=2")) == ids[26:51]
    assert keys(ask(stock.house, "/queues/default?page=3")) == ids[51:] + more


def test_a_filter_finds_by_each_of_its_fields(stock):
    plain = stock.retries(2)
    [odd] = stock.retries(
        1, {"errtype": "OutOfLuck"}, jobtype="send_mail", queue="mails", jid="needle-in-hay", args=["grüße"]
    )
    for query in ("jobtype=send*", "queue=mails", "jid=needle-in-hay", "error=OutOf*", "match=gr%C3%BC%C3%9Fe"):
        assert keys(ask(stock.house, f"/retries?{query}")) == [odd], query
    assert keys(ask(stock.house, "/retries?jobtype=work")) == plain
    assert keys(ask(stock.house, "/retries?jobtype=work&queue=mails")) == []


def test_a_filter_finds_by_time(stock):
    first = stock.dead()
    stock.house.reactor.advance(7200)
    second = stock.dead()
    assert keys(ask(stock.house, "/dead?since=1h")) == second
    assert keys(ask(stock.house, "/dead?until=1h")) == first
    assert keys(ask(stock.house, "/dead?since=2026-01-01")) == second + first
    assert keys(ask(stock.house, "/dead?since=2098-01-01T10:00%2B01:00")) == []


def test_a_time_that_is_none_is_refused_with_a_sentence_that_says_how_to_write_it(stock):
    answer = ask(stock.house, "/dead?since=yesterday%3Cb%3E")
    assert answer.status == 400
    assert "2026-11-21 18:17" in answer.page.text


def test_the_form_above_the_list_keeps_what_is_looked_for(stock):
    stock.retries(1)
    page = ask(stock.house, "/retries?jobtype=wo*&error=Bo%3F%3F&since=2h").page
    form = next(form for form in page.forms if "filter-fields" in form.attributes.get("class", ""))
    assert form.method == "get"
    assert form.value("jobtype") == "wo*"
    assert form.value("error") == "Bo??"
    assert (form.value("since") or "").endswith(":13")


def test_a_filter_that_finds_nothing_says_so(stock):
    stock.retries(2)
    page = ask(stock.house, "/retries?jobtype=none").page
    assert "Nothing found" in page.text


def test_a_search_stops_after_some_jobs_and_goes_on_where_it_stopped(stock, monkeypatch):
    monkeypatch.setattr(listing, "_MOST_EXAMINED", 10)
    ids = stock.scheduled(450)
    [needle] = stock.scheduled(1, jobtype="needle")
    page, found, requests = ask(stock.house, "/scheduled?jobtype=needle").page, [], 1
    while True:
        found += [int(row["data-key"]) for row in page.all("tr") if "data-key" in row]
        onwards = page.all("a", rel="next")
        if not onwards:
            break
        assert f"of {len(ids) + 1} jobs" in page.text
        page = ask(stock.house, onwards[0]["href"]).page
        requests += 1
    assert found == [needle]
    assert requests > 1
    assert "That is all: 1 job found." in page.text


def test_a_page_of_what_was_found_leads_to_the_next(stock):
    ids = stock.scheduled(60)
    first = ask(stock.house, "/scheduled?jobtype=work")
    assert keys(first) == ids[:25]
    second = ask(stock.house, first.page.all("a", rel="next")[0]["href"])
    assert keys(second) == ids[25:50]


@pytest.mark.parametrize("after", ["nonsense", "scheduled//x/1", "queued/default/0/1", "a/b/c/d/e", "%00", "x" * 5000])
def test_a_place_to_go_on_that_is_none_is_refused(stock, after):
    stock.scheduled(1)
    assert ask(stock.house, f"/scheduled?jobtype=work&after={after}").status == 400


def test_jobs_are_found_wherever_they_are(stock):
    ids = stock.queued(1) + stock.scheduled(1) + stock.retries(1) + stock.dead(1) + stock.working(1, queue="busy")
    answer = ask(stock.house, "/jobs?jobtype=work")
    assert sorted(keys(answer)) == sorted(ids)
    for word in ("Scheduled", "Retries", "Dead", "Busy", "Queue"):
        assert word in answer.page.text


def test_the_search_box_finds_an_id_and_a_type(stock):
    stock.queued(2)
    [needle] = stock.dead(1, jid="needle-in-hay", jobtype="send_mail")
    browser = Browser(stock.house)
    assert keys(browser.follow(browser.get("/search?q=needle-in-hay"))) == [needle]
    assert keys(browser.follow(browser.get("/search?q=send_mail"))) == [needle]
    assert keys(browser.follow(browser.get("/search?q=send*"))) == [needle]
    assert browser.follow(browser.get("/search?q=")).status == 200


@pytest.mark.parametrize("name", ["..", ".", "retries", "scheduled", "a.b", "-", "...", "change"])
def test_every_name_of_a_queue_has_a_link_that_a_browser_leaves_as_it_is(stock, name):
    [job_id] = stock.queued(1, queue=name)
    page = ask(stock.house, f"/jobs/{job_id}").page
    links = [link for link in page.links if link.startswith(("/queues/", "/queue?"))]
    assert links
    for link in links:
        assert "/." not in link.replace("/...", "")
        assert keys(ask(stock.house, link)) == [job_id]


def test_the_pages_of_a_queue_whose_name_is_a_field_keep_the_name(stock):
    ids = stock.queued(60, queue="..")
    page = ask(stock.house, "/queue?name=..").page
    assert keys(ask(stock.house, next(link for link in page.links if "page=3" in link))) == ids[50:]
    form = next(form for form in page.forms if "filter-fields" in form.attributes.get("class", ""))
    assert form.value("name") == ".."


def test_an_unknown_queue_is_not_there_and_is_not_made(stored_house):
    answer = ask(stored_house, "/queues/nobody")
    assert answer.status == 404
    assert "nobody" in answer.page.text
    assert stored_house.manager.queue_names() == []


@pytest.mark.parametrize(
    "path", ["/queues/%2e%2e%2f", "/queues/a%00b", "/queues/" + "x" * 3000, "/queue?name=%3Cscript%3E"]
)
def test_a_name_that_no_queue_can_have_is_not_there(stored_house, path):
    assert ask(stored_house, path).status in (404, 414)


def test_hostile_texts_in_every_field_are_only_texts(stock):
    fields = {"jobtype": HOSTILE, "args": [HOSTILE, OVERRIDE], "custom": {HOSTILE: HOSTILE}}
    failure = {"errtype": HOSTILE, "message": HOSTILE + OVERRIDE, "backtrace": [HOSTILE, OVERRIDE]}
    stock.queued(1, jid="12345678" + HOSTILE, **fields)
    stock.scheduled(1, jid="12345679" + OVERRIDE, **fields)
    stock.retries(1, failure, **fields)
    stock.dead(1, failure, **fields)
    for path in ("/queues/default", "/scheduled", "/retries", "/dead", "/jobs?match=script", "/retries?match=script"):
        answer = ask(stock.house, path)
        assert answer.status == 200
        assert "<script>alert" not in answer.page.source
        assert not answer.page.all("img")
        assert "\u202e" not in answer.page.source
        assert "<script>alert(1)</script>" in answer.page.text


def test_a_page_of_large_jobs_shows_the_beginning_of_each(stock):
    text = "x" * (3 * 1024 * 1024)
    stock.queued(5, args=[text])
    answer = ask(stock.house, "/queues/default")
    assert len(keys(answer)) == 5
    assert len(answer.body) < 60_000


def test_deeply_nested_arguments_are_shown_as_they_are(stock):
    deep = json.loads("[" * 500 + "]" * 500)
    stock.queued(1, args=deep)
    assert "[[[[[" in ask(stock.house, "/queues/default").page.text


def test_who_only_looks_sees_no_buttons(guarded_house):
    page = ask(guarded_house, "/scheduled", password="only lööking").page
    assert [form for form in page.forms if form.method == "post" and "/preferences" not in form.action] == []


def test_what_can_be_done_is_offered_where_it_is_possible(stock):
    for put in (stock.queued, stock.scheduled, stock.retries, stock.dead):
        put()

    def offered(path: str) -> set[str]:
        form = ask(stock.house, path).page.form("/jobs/change")
        return {value for name, value, _ in form.buttons if name == "action"}

    assert offered("/queues/default") == {"delete", "kill", "priority"}
    assert offered("/scheduled") == {"retry", "kill", "delete"}
    assert offered("/retries") == {"retry", "kill", "delete"}
    assert offered("/dead") == {"retry", "delete"}
