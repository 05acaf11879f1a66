"""What a running service tells of wrong passwords: lines in the log, with the address and without the password."""

from __future__ import annotations

from twisted.logger import LogLevel

from faktory_tw.attempts import LOG_SECONDS
from tests.unit.house import Client
from tests.unit.stage import Stage


def test_wrong_passwords_are_logged_once_and_then_counted(stage: Stage) -> None:
    stage.started(password="foobar")
    for _ in range(8):
        client = Client(stage.commands.factory, hello=None)
        client.say(b'HELLO {"v":2,"pwdhash":"what-somebody-tried"}')
        stage.reactor.advance(0.5)
    stage.reactor.advance(LOG_SECONDS)
    stage.reactor.advance(1)
    assert stage.lines(LogLevel.warn) == [
        "Wrong password at the command port from 192.0.2.1",
        "7 more wrong passwords at the command port from 192.0.2.1",
    ]
    told = [event for event in stage.logged if event["log_level"] is LogLevel.warn]
    assert {event["client"] for event in told} == {"192.0.2.1"}
    assert "what-somebody-tried" not in str(stage.logged)


def test_the_web_ui_has_lines_of_its_own(stage: Stage) -> None:
    service = stage.started(password="foobar")
    service.server.web_attempts.failed("2001:db8::1")
    service.server.web_attempts.failed("2001:db8::2")
    stage.reactor.advance(LOG_SECONDS + 1)
    stage.reactor.advance(1)
    assert stage.lines(LogLevel.warn) == [
        "Wrong password at the web UI from 2001:db8::/64",
        "1 more wrong password at the web UI from 2001:db8::/64",
    ]
