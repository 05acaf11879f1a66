"""What a person sees and does of batches, tracked jobs and locks; with JavaScript and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser import campaign, wire
from tests.browser.lifelike import worker
from tests.browser.test_live import COME_BACK
from tests.system.fwp import job
from tests.system.server import Server, eventually

if TYPE_CHECKING:
    from tests.browser.chromium import Browser


def test_from_a_list_of_batches_to_what_is_inside_and_back(person: Browser, server: Server) -> None:
    name = wire.unused("Sale")
    with server.client(wid=wire.unused("seller")) as client:
        whole = campaign.batch(client, name)
        part = campaign.batch(client, f"{name} abroad", parent=whole)
        campaign.members(client, part, 4, done=1, failed=1)
    person.open("/batches")
    person.follow(name)
    person.until_text(whole, "main")
    assert "1 batch inside" in person.text("main")
    person.follow(f"{name} abroad")
    person.until_text("1 of 4 done, 1 failed", "main")
    assert "Net::SMTPServerBusy" in person.text("main")
    person.follow("SendMail")
    person.until_text("Net::SMTPServerBusy", "main")
    person.follow(f"{name} abroad")
    person.follow(name)
    person.until_text(whole, "main")


def test_all_jobs_of_a_batch_are_found(person: Browser, server: Server) -> None:
    with server.client(wid=wire.unused("seller")) as client:
        bid = campaign.batch(client)
        campaign.members(client, bid, 3)
    person.open(f"/batches/{bid}")
    person.follow("Find its jobs")
    assert len(person.rows()) == 3


def test_a_batch_is_looked_for_by_its_id(person: Browser, server: Server) -> None:
    with server.client() as client:
        bid = campaign.batch(client)
    person.open("/batches")
    person.fill("Batch ID", bid)
    person.press("Search", person.one("main"))
    person.until(lambda: person.path == f"/batches/{bid}", "the page of the batch")


def test_the_page_of_a_batch_follows_what_happens(browser: Browser, server: Server) -> None:
    with server.client(wid=wire.unused("seller")) as client:
        bid = campaign.batch(client, wire.unused("Followed"))
        browser.open(f"/batches/{bid}")
        assert "No jobs" in browser.text("main")
        campaign.members(client, bid, 2, done=1)
        browser.until(lambda: browser.js(COME_BACK) or "1 of 2 done" in browser.text("main"), "the new numbers")
        campaign.batch(client, "Comes later", parent=bid)
        browser.until(lambda: browser.js(COME_BACK) or "Comes later" in browser.text("main"), "what is inside")
        campaign.members(client, bid, 1, failed=1)
        browser.until(lambda: browser.js(COME_BACK) or "Jobs that failed" in browser.text("main"), "what failed")


@pytest.mark.parametrize("path", ["/batches", "/tracking", "/locks"])
def test_the_first_row_appears_on_an_empty_page(browser: Browser, server: Server, path: str) -> None:
    with server.client() as client:
        client.flush()
        browser.open(path)
        assert browser.rows() == []
        campaign.batch(client)
        client.push(job("First", custom={"track": 1, "unique_for": 600}))
        browser.until(lambda: browser.js(COME_BACK) or browser.rows(), "the first row")


def test_the_progress_of_a_job_is_followed_to_its_result(browser: Browser, server: Server) -> None:
    queue = wire.unused("progress")
    (jid,) = wire.put(server, "queued", 1, "Encode", queue, custom={"track": 1})
    with worker(server, wire.unused("encoder")) as client:
        client.fetch(queue)
        client.do("TRACK SET", {"jid": jid, "percent": 10, "desc": "first pass"})
        browser.open("/tracking")
        browser.follow(jid)
        browser.until_text("first pass", "main")
        client.do("TRACK SET", {"jid": jid, "percent": 90, "desc": "second pass"})
        browser.until(lambda: browser.js(COME_BACK) or "second pass" in browser.text("main"), "what it does now")
        assert browser.js("return document.querySelector('main progress').value") == 90
        client.do("ACK", {"jid": jid, "result": {"clip": "done.mp4"}})
        browser.until(lambda: browser.js(COME_BACK) or "This job has ended" in browser.text("main"), "its end")
        assert "done.mp4" in browser.text("main")


def test_a_tracked_job_is_looked_for_by_its_id(person: Browser, server: Server) -> None:
    (jid,) = wire.put(server, "queued", 1, "Encode", wire.unused("looked"), custom={"track": 1})
    person.open("/tracking")
    person.fill("Job ID", jid)
    person.press("Search", person.one("main"))
    person.until_text("Encode", "h1")


@pytest.mark.parametrize("from_its_page", [False, True])
def test_a_job_is_asked_to_stop(person: Browser, server: Server, from_its_page: bool) -> None:
    queue = wire.unused("stopped")
    (jid,) = wire.put(server, "queued", 1, "Slow", queue)
    with worker(server, wire.unused("slow")) as client:
        client.fetch(queue)
        person.open("/busy")
        if from_its_page:
            person.follow("Slow", person.row(jid))
            person.press("Ask to stop")
        else:
            person.press("Ask to stop", person.row(jid))
        person.agree()
        person.until_text("The job was asked to stop.", "#notice")
        assert "Asked to stop" in person.text("main")
        eventually(lambda: jid in str(client.do("BEAT", {"wid": client.wid, "cancels": True})), "the worker is told")
        client.fail(jid)
    assert wire.places(server, jid) == ["dead"]


def test_a_lock_is_released(person: Browser, server: Server) -> None:
    jobtype = wire.unused("Locked")
    made = job(jobtype, 1, custom={"unique_for": 600})
    with server.client() as client:
        client.push(made)
        person.open("/locks")
        person.press("Release", person.row(jobtype))
        person.agree()
        person.until_text("The lock is released.", "#notice")
        assert jobtype not in person.text("main")
        client.push({**made, "jid": f"{made['jid']}-2"})
