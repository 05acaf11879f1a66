"""What a person does to queues, workers and backups; with JavaScript and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser import wire
from tests.browser.lifelike import worker
from tests.system.server import Server, eventually

if TYPE_CHECKING:
    from tests.browser.chromium import Browser


def test_a_queue_is_paused_and_resumed(person: Browser, server: Server) -> None:
    queue = wire.unused("paused")
    wire.put(server, "queued", 2, "Paused", queue)
    person.open("/queues")
    person.press("Pause", person.row(queue))
    person.until(lambda: person.button("Resume", person.row(queue)), "a button to resume")
    assert wire.queues(server)[queue]["paused"] is True
    person.press("Resume", person.row(queue))
    person.until(lambda: person.button("Pause", person.row(queue)), "a button to pause")
    assert wire.queues(server)[queue]["paused"] is False


def test_a_queue_is_cleared(person: Browser, server: Server) -> None:
    queue = wire.unused("cleared")
    wire.put(server, "queued", 5, "Cleared", queue)
    person.open("/queues")
    person.press("Clear", person.row(queue))
    person.agree()
    eventually(lambda: wire.sizes(server)[queue] == 0, "an empty queue")
    assert queue in person.text("main")


def test_a_queue_is_removed(person: Browser, server: Server) -> None:
    queue = wire.unused("removed")
    wire.put(server, "queued", 5, "Removed", queue)
    person.open("/queues")
    person.press("Remove", person.row(queue))
    person.agree()
    eventually(lambda: queue not in wire.sizes(server), "no such queue")


def test_who_says_no_keeps_the_queue(browser: Browser, server: Server) -> None:
    queue = wire.unused("kept")
    wire.put(server, "queued", 5, "Kept", queue)
    browser.open("/queues")
    browser.press("Remove", browser.row(queue))
    browser.one("dialog[open]")
    browser.keys("Escape")
    browser.until(lambda: not browser.all("dialog[open]"), "no dialog")
    assert wire.sizes(server)[queue] == 5


def test_a_worker_is_quieted_and_stopped(person: Browser, server: Server) -> None:
    name = wire.unused("host")
    with worker(server, name) as client:
        person.open("/busy")
        person.press("Quiet", person.row(name))
        eventually(lambda: client.beat() == "quiet", "the worker is told")
        person.open("/busy")
        person.press("Stop", person.row(name))
        person.agree()
        eventually(lambda: client.beat() == "terminate", "the worker is told")


def test_a_job_that_is_worked_is_shown_with_its_worker(person: Browser, server: Server) -> None:
    name, queue = wire.unused("busy"), wire.unused("busy")
    (jid,) = wire.put(server, "queued", 1, "Busy", queue)
    with worker(server, name) as client:
        client.fetch(queue)
        person.open("/busy")
        assert client.wid is not None
        assert client.wid in person.row(jid).text or name in person.row(jid).text
        client.ack(jid)


def test_all_workers_are_quieted_and_stopped(person: Browser, server: Server) -> None:
    with worker(server, wire.unused("one")) as one, worker(server, wire.unused("two")) as two:
        person.open("/busy")
        person.press("Quiet all")
        if person.all("dialog[open], input[name=confirmed]"):
            person.agree()
        eventually(lambda: one.beat() == two.beat() == "quiet", "the workers are told")
        person.open("/busy")
        person.press("Stop all")
        person.agree()
        eventually(lambda: one.beat() == two.beat() == "terminate", "the workers are told")


def test_a_backup_is_made_now(person: Browser, server: Server) -> None:
    def taken() -> int:
        with server.client() as client:
            return len(client.do("ADMIN BACKUPS")["backups"])

    before = taken()
    person.open("/backups")
    person.press("Back up now")
    eventually(lambda: taken() > before, "another backup")
    person.open("/backups")
    assert len(person.rows()) >= 1
