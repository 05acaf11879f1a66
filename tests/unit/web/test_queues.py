"""The page of all queues: what it shows, in which order, and pausing, clearing and removing queues."""

from __future__ import annotations

import pytest

from faktory_tw.core.job import parse_job
from tests.unit.house import job
from tests.unit.web.browsing import Browser, ask
from web.content.queue_changes import QueueChange
from web.content.queue_lists import QueueList


def names(answer) -> list[str]:
    """The names of the queues in the list."""
    return [row["data-key"] for row in answer.page.all("tr") if "data-key" in row]


def row(answer, name: str) -> str:
    """What the row of a queue says."""
    return next(" ".join(cells) for cells in answer.page.rows if any(cell.split()[:1] == [name] for cell in cells))


def test_a_server_without_queues_says_what_to_do_first(stock):
    page = ask(stock.house, "/queues").page
    assert "No queues yet" in page.text
    assert "/push" in page.links
    assert not page.all("table")


def test_a_queue_is_listed_with_its_size_and_how_long_its_next_job_has_waited(stock):
    stock.queued(1)
    stock.house.reactor.advance(65)
    stock.queued(1199)
    answer = ask(stock.house, "/queues")
    assert names(answer) == ["default"]
    assert "1,200" in row(answer, "default")
    assert "1 min 5 sec" in row(answer, "default").replace("\xa0", " ")
    assert "/queues/default" in answer.page.links


def test_the_jobs_of_each_priority_are_counted(stock):
    stock.queued(3, priority=9)
    stock.queued(1)
    answer = ask(stock.house, "/queues")
    assert "9 3 5 1" in row(answer, "default")
    lanes = answer.page.all("rect", class_="lane")
    assert [(lane["class"], lane["x"], lane["width"]) for lane in lanes] == [
        ("lane lane-9", "0.0", "75.0"),
        ("lane lane-5", "75.0", "25.0"),
    ]


def test_queues_are_in_the_order_of_their_names_or_sizes_or_latencies(stock):
    stock.queued(1, queue="b")
    stock.house.reactor.advance(5)
    stock.queued(2, queue="a")
    stock.queued(3, queue="c")
    assert names(ask(stock.house, "/queues")) == ["a", "b", "c"]
    assert names(ask(stock.house, "/queues?order=size")) == ["c", "a", "b"]
    assert names(ask(stock.house, "/queues?order=latency")) == ["b", "a", "c"]
    assert ask(stock.house, "/queues?order=colour").status == 400


def test_queues_are_found_by_a_part_of_their_name_in_any_case(stock):
    for name in ("Mail.out", "mail.in", "reports"):
        stock.queued(1, queue=name)
    assert names(ask(stock.house, "/queues?match=mAIL")) == ["Mail.out", "mail.in"]
    assert "No queue has that in its name" in ask(stock.house, "/queues?match=nothing").page.text


def test_many_queues_come_in_pages_and_a_page_beyond_the_end_is_the_last(stock):
    for number in range(120):
        stock.queued(1, queue=f"q{number:03}")
    second = names(ask(stock.house, "/queues?page=2"))
    assert (second[0], second[-1], len(second)) == ("q050", "q099", 50)
    assert names(ask(stock.house, "/queues?page=999999999")) == [f"q{number}" for number in range(100, 120)]
    answer = ask(stock.house, "/queues?page=3")
    assert "101–120 of 120" in answer.page.text


@pytest.mark.parametrize("page", ["-1", "0", "1e9", "9" * 30, "x"])
def test_a_page_that_is_no_number_is_refused(stock, page):
    assert ask(stock.house, f"/queues?page={page}").status == 400


@pytest.mark.parametrize("name", ["..", ".", "retries", "pause", "x" * 1024])
def test_a_queue_with_an_unusual_name_is_linked_and_changed(stock, name):
    stock.queued(2, queue=name)
    browser = Browser(stock.house)
    answer = browser.get("/queues")
    [link] = [link for link in answer.page.links if link.startswith(("/queues/", "/queue?"))]
    assert "/.." not in link
    assert browser.get(link).status == 200
    assert browser.post("/queues", {"only": f"pause/{name}"}).status == 303
    assert stock.house.manager.views.queue(name).paused
    assert browser.post("/queues", {"only": f"remove/{name}", "confirmed": "1"}).status == 303
    assert stock.house.manager.views.queue(name) is None


def test_a_queue_is_paused_and_resumed_by_the_buttons_of_its_row(stock):
    stock.queued(1)
    stock.queued(1, queue="other")
    browser = Browser(stock.house)
    form = next(form for form in browser.get("/queues").page.forms if "queue" in form.inputs)
    done = browser.submit(form, only="pause/default")
    page = browser.follow(done).page
    assert "1 queue paused." in page.text
    assert "Paused" in row(browser.get("/queues"), "default")
    assert "Paused" not in row(browser.get("/queues"), "other")
    browser.post("/queues", {"only": "resume/default"})
    assert "Paused" not in row(browser.get("/queues"), "default")


def test_the_checked_queues_are_changed_and_no_others(stock):
    for name in "abc":
        stock.queued(2, queue=name)
    Browser(stock.house).post("/queues", {"action": "pause", "queue": ["a", "c"]})
    assert [stock.house.manager.views.queue(name).paused for name in "abc"] == [True, False, True]


def test_all_queues_are_paused_and_resumed_at_once(stock):
    for name in "abc":
        stock.queued(1, queue=name)
    browser = Browser(stock.house)
    browser.post("/queues", {"action": "pause", "all": "1"})
    assert all(stock.house.manager.views.queue(name).paused for name in "abc")
    browser.post("/queues", {"action": "resume", "all": "1"})
    assert not any(stock.house.manager.views.queue(name).paused for name in "abc")


def test_clearing_asks_first_with_the_number_of_jobs_and_keeps_the_queue_and_its_pause(stock):
    stock.queued(1234)
    browser = Browser(stock.house)
    browser.post("/queues", {"only": "pause/default"})
    question = browser.post("/queues", {"only": "clear/default"})
    assert question.status == 200
    assert "Delete 1,234 jobs in the queue default? The queue stays." in question.page.text
    assert stock.house.queue_length() == 1234
    done = browser.submit(question.page.form("/queues"))
    assert "1,234 jobs deleted." in browser.follow(done).page.text
    view = stock.house.manager.views.queue("default")
    assert (view.size, view.paused) == (0, True)


def test_removing_asks_first_and_takes_queue_and_jobs(stock):
    stock.queued(3, queue="a")
    stock.queued(4, queue="b")
    browser = Browser(stock.house)
    question = browser.post("/queues", {"action": "remove", "queue": ["a", "b"]})
    assert "Remove 2 queues and 7 jobs in them?" in question.page.text
    assert "/queues" in question.page.links
    done = browser.submit(question.page.form("/queues"))
    assert "2 queues removed; jobs deleted: 7." in browser.follow(done).page.text
    assert stock.house.manager.queue_names() == []


def size(stock, name="default"):
    return stock.house.queue_length(name)


@pytest.mark.parametrize("two_priorities", [False, True])
def test_clearing_deletes_the_jobs_there_were_when_it_was_asked_and_tells_how_many_came_since(stock, two_priorities):
    if two_priorities:
        stock.queued(2, priority=1)
    stock.scheduled(4)
    stock.queued(5)
    browser = Browser(stock.house)
    question = browser.post("/queues", {"only": "clear/default", "newest": "0"})
    stock.queued(3)
    stock.say(b'MUTATE {"cmd":"requeue","target":"scheduled"}')
    done = browser.submit(question.page.form("/queues"))
    text = browser.follow(done).page.text
    assert f"{5 + 2 * two_priorities} jobs deleted. 7 jobs came after you were asked, and stay." in text
    assert size(stock) == 7


def test_a_yes_in_the_dialog_is_for_the_jobs_that_the_page_has_shown(stock):
    stock.queued(5)
    stock.queued(2, queue="other")
    browser = Browser(stock.house)
    form = next(form for form in browser.get("/queues").page.forms if "queue" in form.inputs)
    stock.queued(3)
    told = browser.follow(browser.submit(form, only="clear/default", confirmed="1")).page.text
    assert "5 jobs deleted. 3 jobs came after you were asked, and stay." in told
    told = browser.follow(browser.submit(form, only="clear/other", confirmed="1")).page.text
    assert "2 jobs deleted." in told
    assert "after you were asked" not in told
    assert (size(stock), size(stock, "other")) == (3, 0)


def test_a_queue_to_which_jobs_came_after_the_question_is_not_removed_but_asked_about_again(stock):
    stock.queued(3, queue="a")
    stock.queued(4, queue="b")
    browser = Browser(stock.house)
    question = browser.post("/queues", {"action": "remove", "queue": ["a", "b"], "match": "", "order": "size"})
    stock.queued(2, queue="b")
    again = browser.submit(question.page.form("/queues"))
    assert again.status == 200
    assert "Remove the queue b and 6 jobs in it?" in again.page.text
    assert "1 queue removed; jobs deleted: 3." in again.page.text
    assert "Jobs came after you were asked, so 1 queue was not removed yet." in again.page.text
    assert stock.house.manager.queue_names() == ["b"]
    done = browser.submit(again.page.form("/queues"))
    assert done.location.startswith("/queues?order=size&notice=")
    assert "1 queue removed; jobs deleted: 6." in browser.follow(done).page.text
    assert stock.house.manager.queue_names() == []


def test_who_says_yes_without_having_been_asked_means_all_jobs_there_are(stock):
    stock.queued(3)
    browser = Browser(stock.house)
    assert browser.post("/queues", {"only": "clear/default", "confirmed": "1"}).status == 303
    assert size(stock) == 0


@pytest.mark.parametrize("newest", ["-1", "x", "9" * 30])
def test_a_moment_that_is_none_is_refused_and_nothing_is_deleted(stock, newest):
    stock.queued(3)
    form = {"only": "clear/default", "confirmed": "1", "newest": newest}
    assert Browser(stock.house).post("/queues", form).status == 400
    assert size(stock) == 3


def test_the_log_tells_how_many_jobs_stayed(stock, log_events):
    stock.queued(3)
    browser = Browser(stock.house)
    newest = stock.house.manager.views.newest()
    stock.queued(2)
    browser.post("/queues", {"only": "remove/default", "confirmed": "1", "newest": newest})
    browser.post("/queues", {"only": "clear/default", "confirmed": "1", "newest": newest})
    told = {event["what"]: event["told"] for event in log_events if event.get("what")}
    assert "1 queues kept for jobs that came later" in told["remove queues"]
    assert "3 jobs gone, 2 jobs came later" in told["clear queues"]


@pytest.mark.parametrize("action", ["clear", "remove"])
def test_all_queues_cannot_be_cleared_by_one_click(stock, action):
    stock.queued(1)
    answer = Browser(stock.house).post("/queues", {"action": action, "all": "1", "confirmed": "1"})
    assert answer.status == 400
    assert stock.house.queue_length() == 1


@pytest.mark.parametrize(
    "fields",
    [{}, {"action": "pause"}, {"action": "explode", "queue": "default"}, {"only": "default"}, {"only": "pause/"}],
)
def test_a_form_that_says_nothing_useful_changes_nothing(stock, fields):
    stock.queued(1)
    assert Browser(stock.house).post("/queues", fields).status == 400
    assert not stock.house.manager.views.queue("default").paused


@pytest.mark.parametrize("name", ["gone", "*", "a b", "<script>alert(1)</script>", "../retries"])
def test_a_queue_that_is_not_there_is_told_and_nothing_else_is_changed(stock, name):
    stock.queued(1)
    answer = Browser(stock.house).post("/queues", {"action": "remove", "queue": [name, "default"], "confirmed": "1"})
    assert answer.status == 404
    assert b"<script>alert" not in answer.body
    assert stock.house.queue_length() == 1


def test_after_a_change_one_is_where_one_was(stock):
    for number in range(60):
        stock.queued(1, queue=f"mail{number}")
    browser = Browser(stock.house)
    form = next(
        form for form in browser.get("/queues?match=mail&order=size&page=2").page.forms if "queue" in form.inputs
    )
    done = browser.submit(form, only="pause/mail7")
    assert done.location.startswith("/queues?match=mail&order=size&page=2&notice=")
    back = browser.post("/queues", {"only": "pause/mail7", "from": "queue"})
    assert back.location.startswith("/queues/mail7?notice=")


def test_a_reader_sees_the_queues_and_no_buttons(guarded_house):
    guarded_house.manager.push(parse_job(job(1)))
    page = ask(guarded_house, "/queues", password="only lööking").page
    assert "default" in page.text
    assert not [form for form in page.forms if form.method == "post" and form.action == "/queues"]
    assert not page.all("input", type="checkbox")


def test_a_change_of_many_queues_lets_others_in(house):
    for number in range(1000):
        house.talk().say(b'PUSH {"jid":"jid-%05d","jobtype":"x","args":[],"queue":"q%d"}' % (number, number))
    change = QueueChange(house.manager, "pause", None)
    assert sum(1 for _ in change.steps()) > 4
    assert change.queues == 1000


def test_a_queue_that_goes_while_others_are_changed_is_passed_over(stock):
    stock.queued(1, queue="a")
    stock.queued(1, queue="b")
    change = QueueChange(stock.house.manager, "clear", ["a", "b", "gone"])
    stock.house.manager.remove_queues(["a"])
    for _ in change.steps():
        pass
    assert (change.queues, change.jobs, change.unknown) == (1, 1, ["a", "gone"])


@pytest.mark.parametrize("order", ["name", "size", "latency"])
def test_queues_that_go_while_they_are_listed_are_left_out(house, order):
    for number in range(2500):
        house.talk().say(b'PUSH {"jid":"jid-%05d","jobtype":"x","args":[],"queue":"q%d"}' % (number, number))
    shown = QueueList(house.manager, "", order, 10**6, 50)
    for count, _ in enumerate(shown.steps()):
        assert count < 1000
        if count == 1:
            house.manager.remove_queues(house.manager.queue_names()[10:])
    assert len(shown.views) <= 10


@pytest.mark.parametrize("order", ["name", "size", "latency"])
def test_a_page_of_many_queues_is_gathered_in_slices(house, order):
    for number in range(3000):
        house.talk().say(b'PUSH {"jid":"jid-%05d","jobtype":"x","args":[],"queue":"q%d"}' % (number, number))
    shown = QueueList(house.manager, "", order, 55, 50)
    assert sum(1 for _ in shown.steps()) > 5
    assert (shown.matched, shown.pages, len(shown.views)) == (3000, 60, 50)
