"""What a person does to jobs: on lists, on the page of one job, and by pushing one; with JavaScript and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser import wire
from tests.system.server import Server, eventually

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

# (where, the button, where the job is afterwards)
ON_SETS = [
    ("scheduled", "Add to queue now", ["queued"]),
    ("scheduled", "Kill", ["dead"]),
    ("scheduled", "Delete", []),
    ("retries", "Retry now", ["queued"]),
    ("retries", "Kill", ["dead"]),
    ("retries", "Delete", []),
    ("dead", "Retry now", ["queued"]),
    ("dead", "Delete", []),
]
ASKED_AGAIN = ("Kill", "Delete")


def act(person: Browser, action: str) -> None:
    """Press the button and say yes."""
    person.press(action)
    if action in ASKED_AGAIN:
        person.agree()


@pytest.mark.parametrize(("place", "action", "expected"), ON_SETS)
def test_an_action_on_a_checked_job(
    person: Browser, server: Server, place: str, action: str, expected: list[str]
) -> None:
    jobtype, queue = wire.unused("Checked"), wire.unused("checked")
    first, second, third = wire.put(server, place, 3, jobtype, queue)
    person.open(f"/{place}?jobtype={jobtype}")
    person.check(second)
    act(person, action)
    person.one("#notice")
    assert wire.places(server, second) == expected
    assert wire.places(server, first) == wire.places(server, third) == [place]
    assert jobtype in person.text("main")


@pytest.mark.parametrize(("place", "action", "expected"), ON_SETS)
def test_an_action_on_the_page_of_a_job(
    person: Browser, server: Server, place: str, action: str, expected: list[str]
) -> None:
    jobtype, queue = wire.unused("Page"), wire.unused("page")
    (jid,) = wire.put(server, place, 1, jobtype, queue)
    person.open(f"/{place}?jobtype={jobtype}")
    person.follow(jobtype, person.row(jid))
    person.until_text(jid, "main")
    act(person, action)
    person.one("#notice")
    assert wire.places(server, jid) == expected


@pytest.mark.parametrize(("action", "expected"), [("Kill", ["dead"]), ("Delete", [])])
def test_an_action_on_a_checked_job_of_a_queue(
    person: Browser, server: Server, action: str, expected: list[str]
) -> None:
    queue = wire.unused("picked")
    first, second, third = wire.put(server, "queued", 3, "Picked", queue)
    person.open(f"/queues/{queue}")
    person.check(second)
    act(person, action)
    person.one("#notice")
    assert wire.places(server, second) == expected
    assert [found["jid"] for found in wire.listed(server, "queued", queue)] == [first, third]


def test_a_queue_lists_its_jobs_in_the_order_in_which_they_are_fetched(person: Browser, server: Server) -> None:
    queue = wire.unused("ordered")
    low = wire.put(server, "queued", 2, "Low", queue, priority=2)
    high = wire.put(server, "queued", 2, "High", queue, priority=9)
    person.open(f"/queues/{queue}")
    rows = person.rows()
    assert len(rows) == 4
    assert all(jid in row for jid, row in zip([*high, *low], rows, strict=True))


def test_a_queued_job_gets_another_priority_and_is_fetched_first(person: Browser, server: Server) -> None:
    queue = wire.unused("urgent")
    first, second = wire.put(server, "queued", 2, "Urgent", queue)
    person.open(f"/queues/{queue}")
    person.check(second)
    person.fill("Priority", "9", person.one("[data-bulk]"))
    person.press("Set priority")
    person.one("#notice")
    with server.client(wid="urgent-1") as client:
        fetched = [client.fetch(queue) for _ in range(2)]
    assert [found["jid"] for found in fetched if found] == [second, first]


def test_all_jobs_of_a_queue_get_another_priority(person: Browser, server: Server) -> None:
    queue = wire.unused("lifted")
    wire.put(server, "queued", 3, "Lifted", queue)
    person.open(f"/queues/{queue}")
    person.fill("Priority", "8", person.one("#place-head"))
    person.press("Set priority of all", person.one("#place-head"))
    person.press("Change the priority of 3 jobs")
    person.until_text("3 jobs have a new priority.", "main")
    assert [found["priority"] for found in wire.listed(server, "queued", queue)] == [8, 8, 8]


def test_a_job_is_pushed_by_form(person: Browser, server: Server) -> None:
    queue = wire.unused("pushed")
    person.open("/push")
    person.fill("Job type", "Greet")
    person.fill("Queue", queue)
    person.fill("Priority", "8")
    person.fill("Arguments", '["Ann", 12345678901234567890123, {"ü": 1.10}]')
    person.press("Push")
    eventually(lambda: wire.sizes(server).get(queue), "a job")
    (found,) = wire.listed(server, "queued", queue)
    assert found["jobtype"] == "Greet"
    assert found["args"] == ["Ann", 12345678901234567890123, {"ü": 1.10}]
    assert found["priority"] == 8


def test_a_wrong_push_says_what_is_wrong_and_keeps_what_was_written(person: Browser, server: Server) -> None:
    person.expect("status of 4")
    person.open("/push")
    person.fill("Job type", "Greet")
    person.fill("Queue", "kept-queue")
    person.fill("Arguments", '["Ann"')
    person.press("Push")
    error = person.one(".field-error")
    assert error.text
    assert person.field("Queue").get_attribute("value") == "kept-queue"
    assert person.field("Arguments").get_attribute("value") == '["Ann"'
    assert "kept-queue" not in wire.sizes(server)


def test_a_job_that_is_gone_says_so(person: Browser, server: Server) -> None:
    person.expect("status of 4")
    jobtype = wire.unused("Gone")
    (jid,) = wire.put(server, "dead", 1, jobtype)
    person.open(f"/dead?jobtype={jobtype}")
    person.follow(jobtype, person.row(jid))
    with server.client() as client:
        client.mutate("discard", "dead", jids=[jid])
    person.press("Retry now")
    person.until(lambda: "meanwhile" in person.text("main") or "gone" in person.text("main"), "that it is gone")
    assert wire.places(server, jid) == []


def test_a_job_is_found_by_its_id_wherever_it_is(person: Browser, server: Server) -> None:
    (jid,) = wire.put(server, "dead", 1, wire.unused("Found"))
    person.open("/")
    person.field("Search for a job").send_keys(jid + "\n")
    person.until_text(jid, "main")
    assert "Found" in person.text("main")
