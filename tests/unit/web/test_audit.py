"""Each change is in the log: what it was, what it touched, who made it and from where."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.logger import LogEvent, formatEvent

from faktory_tw.logs import human_line, json_line
from faktory_tw.wire import CommandError
from tests.unit.house import House
from tests.unit.web.browsing import Browser, site_of
from tests.unit.web.conftest import PASSWORD
from web.answers import Answer, Json
from web.routes import command, form
from web.visit import Visit


@pytest.fixture
def audited(guarded_house: House) -> House:
    async def pause(visit: Visit) -> Answer:
        visit.manager.pause([visit.text("queue")])
        await visit.changed("pause queue", queue=visit.text("queue"), count=3, nothing=None)
        return Json({})

    async def fail(visit: Visit) -> Answer:
        def steps() -> Any:
            yield
            raise CommandError("the queue is gone")

        await visit.change(steps(), "clear queue", queue="q")
        return Json({})

    site_of(guarded_house, (form("/pause", pause), command("/api/fail", fail)))
    return guarded_house


def audit(events: list[LogEvent]) -> list[LogEvent]:
    return [event for event in events if str(event.get("log_format", "")).startswith("Web UI: ")]


def test_a_change_is_told_with_what_it_touched_and_who_made_it(audited: House, log_events: list[LogEvent]) -> None:
    assert Browser(audited, PASSWORD, "alice").post("/pause", {"queue": "default"}).status == 200
    [event] = audit(log_events)
    assert formatEvent(event) == "Web UI: pause queue, queue 'default', count 3, by 'alice' (operator) at 192.0.2.1"
    assert PASSWORD not in json_line(event)


def test_it_has_fields_in_json_and_one_line_for_people(audited: House, log_events: list[LogEvent]) -> None:
    Browser(audited, PASSWORD, "alice").post("/pause", {"queue": "default"})
    [event] = audit(log_events)
    told = json.loads(json_line(event))
    assert told["queue"] == "default"
    assert told["user"] == "alice"
    assert (told["client"], told["role"]) == ("192.0.2.1", "operator")
    assert told["level"] == "info"
    assert told["logger"] == "faktory_tw.web"
    assert human_line(event).endswith("pause queue, queue 'default', count 3, by 'alice' (operator) at 192.0.2.1")


def test_it_is_told_when_it_is_on_disk_and_not_before(audited: House, log_events: list[LogEvent]) -> None:
    written: list[bool] = []
    when_written = audited.server.when_written

    def watched(done: Any) -> None:
        written.append(bool(audit(log_events)))
        when_written(done)

    audited.server.when_written = watched
    Browser(audited, PASSWORD).post("/pause", {"queue": "default"})
    assert written == [False]
    assert len(audit(log_events)) == 1


def test_a_change_that_could_not_be_completed_is_told_with_the_reason(
    audited: House, log_events: list[LogEvent]
) -> None:
    answer = Browser(audited, PASSWORD).ask("/api/fail", json={})
    assert answer.status == 409
    assert answer.json() == {"error": "the queue is gone"}
    [event] = audit(log_events)
    assert formatEvent(event).startswith(
        "Web UI: could not complete: clear queue, queue 'q', reason 'the queue is gone', by 'somebody'"
    )


@pytest.mark.parametrize(
    "user", ["a\nWeb UI, pause", "x' (operator) at 1.2.3.4", "\x1b[31m", "\u202eevil", "u" * 5000, "{x}"]
)
def test_a_name_cannot_pretend_to_be_more_than_a_name(audited: House, log_events: list[LogEvent], user: str) -> None:
    Browser(audited, PASSWORD, user).post("/pause", {"queue": "default"})
    [event] = audit(log_events)
    line = human_line(event)
    assert "\n" not in line
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert len(line) < 800
    assert line.endswith("(operator) at 192.0.2.1")
    assert repr(user[:200])[:-1] in line


def test_without_a_name_there_is_a_dash(audited: House, log_events: list[LogEvent]) -> None:
    Browser(audited, PASSWORD, "").post("/pause", {"queue": "default"})
    assert formatEvent(audit(log_events)[0]).endswith("by - (operator) at 192.0.2.1")


def test_what_a_proxy_tells_is_told_as_such(audited: House, log_events: list[LogEvent]) -> None:
    browser = Browser(audited, PASSWORD)
    browser.post("/pause", {"queue": "default"}, X_Forwarded_For="203.0.113.9, 10.0.0.1")
    browser.post("/pause", {"queue": "default"}, X_Forwarded_For="x" * 5000)
    one, other = map(formatEvent, audit(log_events))
    assert one.endswith("at 192.0.2.1, forwarded for '203.0.113.9, 10.0.0.1'")
    assert other.endswith("xxx…'")
    assert len(other) < 400


@pytest.mark.parametrize(
    ("address", "told"),
    [(IPv6Address("TCP", "2001:db8::1", 1), "2001:db8::1"), (UNIXAddress(b"/run/x"), "-"), (UNIXAddress(None), "-")],
)
def test_an_address_of_any_kind_is_told(audited: House, log_events: list[LogEvent], address: Any, told: str) -> None:
    Browser(audited, PASSWORD, address=address).post("/pause", {"queue": "default"})
    assert formatEvent(audit(log_events)[0]).endswith(f"(operator) at {told}")
