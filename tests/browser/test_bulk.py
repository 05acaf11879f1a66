"""Actions on all that a search finds among a hundred thousand jobs; with JavaScript and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser import wire
from tests.browser.conftest import MakeServer
from tests.system.fwp import job
from tests.system.server import Server

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

MOST = 100_000
BULK = 5000
# The jobs of each type; a test takes its own.
TYPES = {"Deleted": 20_000, "Killed": 5000, "Enqueued": 10_000, "Cancelled": 15_000}


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    server = make_server()
    jobs = []
    for name, count in TYPES.items():
        for scripts in (True, False):
            jobs += [job(f"{name}{scripts}", number, queue="many", at=wire.in_an_hour()) for number in range(count)]
    assert len(jobs) == MOST
    with server.client() as client:
        for first in range(0, MOST, BULK):
            assert client.pushb(jobs[first : first + BULK]) == {}
    return server


def search(person: Browser, name: str) -> str:
    """Look for the jobs of one type, as a person does; return the type."""
    jobtype = f"{name}{person.scripts}"
    person.open("/scheduled")
    person.fill("Job type", jobtype)
    person.press("Search")
    person.row(jobtype)
    assert all(jobtype in row for row in person.rows())
    return jobtype


def left(server: Server, jobtype: str) -> int:
    """How many jobs of this type are scheduled."""
    with server.client() as client:
        reply = client.do("ADMIN LIST", {"place": "scheduled", "filter": {"jobtype": jobtype}, "limit": 0})
        while reply["next"] is not None:
            question = {"place": "scheduled", "filter": {"jobtype": jobtype}, "limit": 0, "after": reply["next"]}
            more = client.do("ADMIN LIST", question)
            reply = {"matched": reply["matched"] + more["matched"], "next": more["next"]}
    return int(reply["matched"])


def until_counted(person: Browser, button: str) -> None:
    """Wait until the button names the number; a person without scripts looks again."""

    def counted() -> bool:
        if person.button(button) is not None:
            return True
        if not person.scripts:
            person.reload()
        return False

    person.until(counted, f"a button {button!r}", 60)


def until_done(person: Browser, text: str) -> None:
    """Wait until the page says that it is done."""

    def done() -> bool:
        if text in person.text("main"):
            return True
        if not person.scripts:
            person.reload()
        return False

    person.until(done, f"the text {text!r}", 60)


def test_all_that_are_found_are_deleted(person: Browser, server: Server) -> None:
    jobtype = search(person, "Deleted")
    before = wire.sizes(server)["scheduled"]
    person.press("Delete all found")
    until_counted(person, "Delete 20,000 jobs")
    assert left(server, jobtype) == 20_000
    person.press("Delete 20,000 jobs")
    until_done(person, "20,000 jobs were deleted.")
    assert left(server, jobtype) == 0
    assert wire.sizes(server)["scheduled"] == before - 20_000


def test_all_that_are_found_are_killed(person: Browser, server: Server) -> None:
    jobtype = search(person, "Killed")
    dead = wire.sizes(server)["dead"]
    person.press("Kill all found")
    until_counted(person, "Move 5,000 jobs to the dead")
    person.press("Move 5,000 jobs to the dead")
    until_done(person, "5,000 jobs were moved to the dead.")
    assert left(server, jobtype) == 0
    assert wire.sizes(server)["dead"] == dead + 5000


def test_all_that_are_found_go_to_their_queue(person: Browser, server: Server) -> None:
    jobtype = search(person, "Enqueued")
    queued = wire.sizes(server).get("many", 0)
    person.press("Add all found to queue")
    until_counted(person, "Add 10,000 jobs to their queues")
    person.press("Add 10,000 jobs to their queues")
    until_done(person, "10,000 jobs were added to their queues.")
    assert left(server, jobtype) == 0
    assert wire.sizes(server)["many"] == queued + 10_000


def test_who_cancels_changes_nothing(person: Browser, server: Server) -> None:
    jobtype = search(person, "Cancelled")
    person.press("Delete all found")
    until_counted(person, "Delete 15,000 jobs")
    person.press("Cancel")
    person.until(lambda: person.button("Delete 15,000 jobs") is None, "no button any more")
    assert left(server, jobtype) == 15_000


def test_pages_are_turned_to_the_end_and_back(person: Browser, server: Server) -> None:
    person.open("/scheduled")
    first = person.rows()
    person.follow("Last page")
    person.until(lambda: person.rows() != first, "other rows")
    assert person.rows()
    person.follow("First page")
    person.until(lambda: person.rows() == first, "the first rows again")
