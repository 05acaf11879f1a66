"""Operations on all jobs of a place, or all that a filter finds: counted, confirmed, carried out, stopped."""

from __future__ import annotations

import json

import pytest

from faktory_tw.features.changes import Change
from faktory_tw.features.search import Search
from faktory_tw.wire import CommandError
from tests.unit.web.browsing import Answer, Browser, Exchange, site_of
from tests.unit.web.stock import Stock
from web.content import bulk
from web.content.criteria import Criteria


def begin(browser: Browser, path: str, button: str) -> Answer:
    """Press a button of a list that means all jobs; returns the page that asks."""
    answer = browser.submit(browser.get(path).page.form("/bulk"), button)
    return browser.follow(answer)


def confirm(browser: Browser, asking: Answer, button: str | None = None) -> Answer:
    """Say yes, or press another button that carries it out; returns the page that tells what was done."""
    forms = [form for form in asking.page.forms if form.action.endswith("/confirm")]
    chosen = forms[0] if button is None else next(form for form in forms if form.buttons[0][2] == button)
    return browser.follow(browser.submit(chosen))


def operations(stock: Stock) -> bulk.Operations:
    found: bulk.Operations = site_of(stock.house).ui.operations
    return found


@pytest.mark.parametrize(
    ("path", "button", "yes", "goes_to"),
    [
        ("/scheduled", "Add all to queue…", "Add 3 jobs to their queues", "queued"),
        ("/scheduled", "Kill all…", "Move 3 jobs to the dead", "dead"),
        ("/scheduled", "Delete all…", "Delete 3 jobs", ""),
        ("/retries", "Retry all…", "Add 3 jobs to their queues", "queued"),
        ("/retries", "Kill all…", "Move 3 jobs to the dead", "dead"),
        ("/retries", "Delete all…", "Delete 3 jobs", ""),
        ("/dead", "Retry all…", "Add 3 jobs to their queues", "queued"),
        ("/dead", "Delete all…", "Delete 3 jobs", ""),
        ("/queues/default", "Kill all…", "Move 3 jobs to the dead", "dead"),
        ("/queues/default", "Delete all…", "Delete 3 jobs", ""),
    ],
)
def test_each_action_is_done_to_all_after_the_number_was_confirmed(stock, browser, path, button, yes, goes_to):
    place = path.rsplit("/", 1)[-1]
    put = {"scheduled": stock.scheduled, "retries": stock.retries, "dead": stock.dead, "default": stock.queued}[place]
    put(3, **({} if place == "default" else {"queue": "target"}))
    name = "default" if place == "default" else "target"
    asking = begin(browser, path, button)
    assert yes in [text for form in asking.page.forms for _, _, text in form.buttons]
    before = dict(stock.sizes(), queued=stock.house.queue_length(name))
    assert sum(before.values()) == 3
    told = confirm(browser, asking)
    assert "Done" in told.page.headings
    after = dict(stock.sizes(), queued=stock.house.queue_length(name))
    assert sum(after.values()) == (3 if goes_to else 0)
    if goes_to:
        assert after[goes_to] == 3


def test_only_what_the_filter_finds_is_changed(stock, browser):
    stock.retries(4)
    stock.retries(3, jobtype="send_mail")
    asking = begin(browser, "/retries?jobtype=send*", "Delete all found…")
    assert "Delete 3 jobs?" in asking.page.headings
    assert "send*" in asking.page.text
    assert "send_mail" in asking.page.text
    assert stock.sizes()["retries"] == 7
    confirm(browser, asking)
    assert stock.sizes()["retries"] == 4
    assert "That is all: 4 jobs found." in browser.get("/retries?jobtype=work").page.text


def test_a_preview_shows_five_jobs_at_most(stock, browser):
    stock.dead(8)
    page = begin(browser, "/dead?jobtype=work", "Delete all found…").page
    assert len([row for row in page.all("tr") if "data-key" in row]) == 5


def test_deleting_offers_to_move_the_jobs_to_the_dead_instead(stock, browser):
    stock.retries(3)
    asking = begin(browser, "/retries", "Delete all…")
    assert "for ever" in asking.page.text
    confirm(browser, asking, "Move them to the dead instead")
    assert stock.sizes()["dead"] == 3


def test_the_dead_can_only_be_deleted(stock, browser):
    stock.dead(1)
    asking = begin(browser, "/dead", "Delete all…")
    assert "instead" not in asking.page.text
    action = next(form.action for form in asking.page.forms if form.action.endswith("/confirm"))
    assert browser.post(action, {"action": "kill"}).status == 400
    assert browser.post(action, {"action": "retry"}).status == 400
    assert stock.sizes()["dead"] == 1


def test_a_priority_is_set_for_all_that_a_filter_finds(stock, browser):
    stock.queued(2)
    stock.queued(2, jobtype="urgent")
    form = {"place": "queued", "queue_name": "default", "action": "priority", "priority": 9, "jobtype": "urgent"}
    confirm(browser, browser.follow(browser.post("/bulk", form)))
    view = stock.house.manager.views.queue("default")
    assert view is not None
    assert view.priorities == {9: 2, 5: 2}


def test_cancelling_changes_nothing(stock, browser):
    stock.retries(3)
    asking = begin(browser, "/retries?jobtype=work", "Delete all found…")
    stop = next(form for form in asking.page.forms if form.action.endswith("/stop"))
    answer = browser.submit(stop)
    assert answer.location.startswith("/retries?jobtype=work&notice=")
    assert "Nothing was changed." in browser.follow(answer).page.text
    assert stock.sizes()["retries"] == 3
    action = stop.action.replace("/stop", "/confirm")
    browser.post(action, {"action": "delete"})
    assert stock.sizes()["retries"] == 3


@pytest.mark.parametrize("query", ["", "?jobtype=work"])
def test_jobs_that_were_pushed_after_the_count_are_left_alone(stock, browser, query):
    stock.queued(3)
    asking = begin(browser, f"/queues/default{query}", "Delete all found…" if query else "Delete all…")
    stock.queued(2)
    assert "3 jobs were deleted." in confirm(browser, asking).page.text
    assert stock.house.queue_length() == 2


def fail_queued(stock, count):
    """Fetch jobs of the queue "failing", pushed long ago, and report their failure."""
    for _ in range(count):
        jid = json.loads(stock.say(b"FETCH failing").split(b"\r\n", 1)[1])["jid"]
        stock.say(b'FAIL {"jid":"%b","errtype":"Boom"}' % jid.encode())


@pytest.mark.parametrize("query", ["", "?error=Boom"])
@pytest.mark.parametrize(("place", "retry"), [("retries", 25), ("dead", -1)])
def test_jobs_that_failed_after_the_count_are_left_alone_however_old_they_are(stock, browser, place, retry, query):
    stock.queued(103, queue="failing", retry=retry)
    fail_queued(stock, 3)
    asking = begin(browser, f"/{place}{query}", "Delete all found…" if query else "Delete all…")
    assert "Delete 3 jobs?" in asking.page.headings
    fail_queued(stock, 100)
    assert "3 jobs were deleted." in confirm(browser, asking).page.text
    assert stock.sizes()[place] == 100


@pytest.mark.parametrize("query", ["", "?jobtype=work"])
@pytest.mark.parametrize(
    ("action", "told"), [("Delete", "2 jobs were deleted."), ("Kill", "2 jobs were moved to the dead.")]
)
def test_scheduled_jobs_that_became_due_after_the_count_are_left_alone(stock, browser, action, told, query):
    stock.scheduled(50)
    stock.queued(2)
    asking = begin(browser, f"/queues/default{query}", f"{action} all found…" if query else f"{action} all…")
    stock.say(b'MUTATE {"cmd":"requeue","target":"scheduled"}')
    assert stock.house.queue_length() == 52
    assert told in confirm(browser, asking).page.text
    assert stock.house.queue_length() == 50


def test_jobs_that_failed_while_it_counts_are_not_counted(stock, browser):
    stock.queued(5, queue="failing")
    stock.retries(3)
    form = {"place": "retries", "action": "delete", "error": "Boom"}
    browser.post("/bulk", form)
    [first] = operations(stock).all()
    again = bulk.Operation(stock.house.manager, first.spot, first.criteria, "delete")
    everything = bulk.Operation(stock.house.manager, first.spot, Criteria(), "delete")
    fail_queued(stock, 5)
    for operation in (again, everything):
        list(operation.count())
        assert (operation.matched, len(operation.sample)) == (3, 3)


def test_jobs_that_have_gone_meanwhile_are_told_as_left_alone(stock, browser):
    stock.queued(3)
    asking = begin(browser, "/queues/default", "Kill all…")
    stock.say(b"FETCH default")
    text = confirm(browser, asking).page.text
    assert "2 jobs were moved to the dead." in text
    assert "1 job was left alone" in text
    assert stock.sizes()["working"] == 1


def test_nothing_found_is_told(stock, browser):
    stock.retries(1)
    asking = begin(browser, "/retries?jobtype=none", "Delete all found…")
    assert "Nothing to do" in asking.page.headings
    assert not [form for form in asking.page.forms if form.action.endswith("/confirm")]


def test_who_confirms_twice_does_it_once(stock, browser):
    stock.retries(2)
    asking = begin(browser, "/retries", "Retry all…")
    confirm(browser, asking)
    again = confirm(browser, asking)
    assert "already" in again.page.text
    assert "2 jobs were added to their queues." in again.page.text
    assert stock.house.queue_length("failing") == 2


@pytest.mark.parametrize("what", [b"FLUSH", b"QUEUE REMOVE default"])
def test_what_is_changed_may_vanish_meanwhile(stock, browser, what):
    stock.queued(3)
    asking = begin(browser, "/queues/default", "Delete all…")
    stock.say(what)
    stock.queued(2)
    assert "Done" in confirm(browser, asking).page.headings
    assert stock.house.queue_length() == 2


def test_a_large_count_goes_on_while_nobody_waits_and_tells_how_far_it_is(stock, browser):
    stock.scheduled(450)
    asking = begin(browser, "/scheduled?jobtype=work", "Kill all found…")
    [operation] = operations(stock).all()
    again = bulk.Operation(stock.house.manager, operation.spot, operation.criteria, "kill")
    operations(stock).keep(again)
    steps = again.count()
    next(steps)
    page = browser.get(f"/bulk/{again.name}").page
    assert "Counting the jobs…" in page.headings
    assert f"Looked at {again.examined} of 450 jobs" in page.text
    assert 0 < again.examined < 450
    assert "2" in [meta["content"] for meta in page.all("meta", http_equiv="refresh")]
    assert list(steps)
    assert "Move 450 jobs to the dead?" in browser.get(f"/bulk/{again.name}").page.headings
    assert asking.page.headings[0] == "Move 450 jobs to the dead?"


def test_jobs_that_come_while_it_counts_are_not_counted(stock, browser):
    stock.queued(450)
    begin(browser, "/queues/default?jobtype=work", "Kill all found…")
    [first] = operations(stock).all()
    again = bulk.Operation(stock.house.manager, first.spot, first.criteria, "kill")
    steps = again.count()
    next(steps)
    stock.queued(5)
    list(steps)
    assert again.matched == 450


def test_the_browser_does_not_wait_for_a_large_operation(stock, browser, monkeypatch):
    monkeypatch.setattr(bulk, "_SOON", 10)
    stock.scheduled(30)
    begin(browser, "/scheduled?jobtype=work", "Kill all found…")
    [operation] = operations(stock).all()
    assert operation.state is bulk.State.COUNTING
    Exchange(stock.house).wait()
    asking = browser.get(f"/bulk/{operation.name}")
    confirm(browser, asking)
    Exchange(stock.house).wait()
    assert "Done" in browser.get(f"/bulk/{operation.name}").page.headings
    assert stock.sizes()["dead"] == 30


def test_an_operation_can_be_stopped_midway_and_tells_what_it_has_done(stock, browser):
    stock.scheduled(450)
    begin(browser, "/scheduled?jobtype=work", "Kill all found…")
    [operation] = operations(stock).all()
    operation.begin("kill")
    steps = operation.change()
    next(steps)
    assert 0 < operation.changed < 450
    page = browser.get(f"/bulk/{operation.name}").page
    assert "Moving jobs to the dead…" in page.headings
    assert "were moved to the dead." in page.text
    told = browser.follow(browser.submit(page.form(f"/bulk/{operation.name}/stop")))
    assert list(steps) == []
    assert "Stopped" in told.page.headings
    assert f"{operation.changed} jobs were moved to the dead." in told.page.text
    assert stock.sizes()["scheduled"] == 450 - operation.changed


def test_two_operations_at_once_do_not_disturb_each_other(stock, browser):
    stock.retries(3)
    first = begin(browser, "/retries", "Retry all…")
    second = begin(browser, "/retries", "Delete all…")
    confirm(browser, second)
    text = confirm(browser, first).page.text
    assert "3 jobs were left alone" in text
    assert stock.sizes()["retries"] == 0
    assert stock.house.queue_length("failing") == 0


def test_the_log_tells_what_was_begun_and_what_was_done(stock, browser, log_events):
    stock.retries(2)
    confirm(browser, begin(browser, "/retries?jobtype=work", "Delete all found…"))
    told = {event["what"]: event["told"] for event in log_events if event.get("what")}
    assert "found 2" in told["begin to delete jobs"]
    assert "changed 2" in told["delete jobs"]
    assert "work" in told["delete jobs"]


def test_a_change_that_fails_midway_is_told(stock, browser, monkeypatch):
    stock.retries(2)
    asking = begin(browser, "/retries", "Delete all…")

    def broken(self):
        yield
        raise CommandError("planted")

    monkeypatch.setattr(Change, "steps", broken)
    page = confirm(browser, asking).page
    assert "Not completed" in page.headings
    assert "planted" in page.text


def test_a_count_that_fails_is_told_and_logged(stock, browser, failures, monkeypatch):
    stock.retries(2)

    def broken(self):
        yield
        raise RuntimeError("planted")

    monkeypatch.setattr(Search, "steps", broken)
    form = {"place": "retries", "action": "delete", "jobtype": "work"}
    page = browser.follow(browser.post("/bulk", form)).page
    assert "Not completed" in page.headings
    assert "log has more" in page.text
    assert any("planted" in failure for failure in failures)
    failures.clear()


@pytest.mark.parametrize("name", ["nothing", "..", "%2e%2e", "x" * 3000, "%00"])
def test_an_unknown_operation_is_not_there(browser, name):
    assert browser.get(f"/bulk/{name}").status in (404, 414)
    assert browser.post("/bulk/nothing/confirm", {"action": "delete"}).status == 404


def test_there_are_only_so_many_operations(stock, browser, monkeypatch):
    monkeypatch.setattr(bulk, "_MOST_KEPT", 3)
    stock.retries(1)
    first = begin(browser, "/retries", "Delete all…")
    for _ in range(3):
        begin(browser, "/retries", "Delete all…")
    action = next(form.action for form in first.page.forms if form.action.endswith("/confirm"))
    assert browser.post(action, {"action": "delete"}).status == 404
    assert stock.sizes()["retries"] == 1


def test_only_so_many_work_at_once(stock, browser, monkeypatch):
    monkeypatch.setattr(bulk, "_MOST_AT_WORK", 0)
    stock.retries(1)
    answer = browser.submit(browser.get("/retries").page.form("/bulk"), "Delete all…")
    assert answer.status == 429


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "explode"},
        {"action": ""},
        {"place": "working"},
        {"place": "queued"},
        {"since": "soon"},
        {"match": "x" * 999},
    ],
)
def test_an_operation_that_is_none_is_refused(stock, browser, changed):
    stock.retries(1)
    answer = browser.post("/bulk", {"place": "retries", "action": "delete", **changed})
    assert answer.status in (400, 404)


def test_who_only_looks_can_begin_nothing(stock, browser):
    stock.retries(1)
    asking = begin(browser, "/retries", "Delete all…")
    name = next(form.action for form in asking.page.forms if form.action.endswith("/confirm"))
    stock.house.server.change_passwords("writes", None, "reads")
    reader = Browser(stock.house, "reads")
    assert reader.post("/bulk", {"place": "retries", "action": "delete"}).status == 403
    assert reader.post(name, {"action": "delete"}).status == 403
    assert stock.sizes()["retries"] == 1
