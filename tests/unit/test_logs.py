"""The log: what a line looks like, what is left out, and where it goes for each way of starting."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
import syslog
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Application
from twisted.logger import ILogObserver, Logger, LogLevel, globalLogPublisher, jsonFileLogObserver, textFileLogObserver
from twisted.python import log as legacy
from twisted.python.failure import Failure

from faktory_tw.logs import ALWAYS, LevelFilter, LogRefused, Logs, coloured_line, human_line, json_line, level_of

MOMENT = 1_790_000_000.25  # 2026-09-21T14:13:20.25Z
TWISTD = {"nodaemon": 1, "logfile": None, "syslog": 0, "prefix": "twisted", "logger": None}


class Output(io.BytesIO):
    """Standard output, or a log file; what was written is in `text`."""

    @property
    def text(self) -> str:
        return self.getvalue().decode("utf-8")


class Terminal(Output):
    def isatty(self) -> bool:
        return True


def event(message: str = "Hello", level: Any = LogLevel.info, **fields: Any) -> dict[str, Any]:
    told = {"log_format": "{text}", "text": message, "log_time": MOMENT, "log_namespace": "faktory_tw"}
    return {**told, "log_level": level, **fields}


def failure(message: str = "no\nway") -> Failure:
    try:
        raise ValueError(message)
    except ValueError:
        return Failure()


def legacy_event(emit: Callable[[], None]) -> dict[str, Any]:
    """Return what an observer gets when somebody uses Twisted's old way of logging."""
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    try:
        emit()
    finally:
        globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
    found: dict[str, Any] = events[0]
    return found


# -- JSON --------------------------------------------------------------------------------------------------------------


def test_a_json_line_has_time_level_message_and_logger() -> None:
    assert json_line(event()) == (
        '{"time":"2026-09-21T14:13:20.250000Z","level":"info","message":"Hello","logger":"faktory_tw"}'
    )


def test_a_json_line_has_jid_wid_and_queue_where_they_apply_and_no_other_field() -> None:
    told = json.loads(json_line(event(jid="j1", wid=7, queue=None, password="s3cret", args=["secret"])))
    assert told.keys() == {"time", "level", "message", "logger", "jid", "wid"}
    assert (told["jid"], told["wid"]) == ("j1", "7")


@pytest.mark.parametrize("control", ["\n", "\r", "\x1e", "\x1b[2J", "\x00", "\x7f", "\x85", "\u2028", "\u2029"])
def test_a_json_line_is_one_line_whatever_is_in_it(control: str) -> None:
    line = json_line(event(f"before{control}after", jid=control))
    assert len(line.splitlines()) == 1
    assert control not in line
    told = json.loads(line)
    assert (told["message"], told["jid"]) == (f"before{control}after", control)


def test_text_of_all_languages_stays_readable_and_half_a_character_does_no_harm() -> None:
    line = json_line(event("Grüße, 世界 \udcff"))
    assert "Grüße, 世界 ?" in line
    line.encode("utf-8")


def test_a_traceback_is_a_field_and_the_message_says_what_it_was() -> None:
    told = json.loads(json_line(event("unexpected failure", LogLevel.critical, log_failure=failure())))
    assert told["message"] == "unexpected failure: ValueError: no\nway"
    assert told["level"] == "critical"
    assert "raise ValueError(message)" in told["traceback"]


def test_an_error_of_the_old_kind_has_its_traceback_once() -> None:
    told = json.loads(json_line(legacy_event(lambda: legacy.err(failure("oops"), "While stirring"))))
    assert told["message"] == "While stirring: ValueError: oops"
    assert told["level"] == "critical"
    assert told["traceback"].count("Traceback") == 1


def test_a_very_long_message_is_cut_and_says_how_long_it_was() -> None:
    told = json.loads(json_line(event("x" * 1_000_000, jid="y" * 1_000_000)))
    assert len(told["message"]) < 10_000
    assert told["message"].endswith("… (1000000 characters)")
    assert len(told["jid"]) < 10_000


def test_an_event_that_cannot_be_formatted_is_still_a_line() -> None:
    told = json.loads(json_line({"log_format": "{missing.attribute", "log_time": MOMENT}))
    assert told["level"] == "info"
    assert "Unable to format" in told["message"]


# -- for people --------------------------------------------------------------------------------------------------------


def test_a_line_for_people_has_local_time_level_and_message() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.250 info  Hello", human_line(event()))
    assert human_line(event(level=LogLevel.critical)).endswith(" critical Hello")


def test_a_line_for_people_names_the_job_unless_the_message_does() -> None:
    assert human_line(event("job j1 failed", jid="j1", queue="mail")).endswith("job j1 failed queue=mail")


def test_what_could_confuse_a_terminal_is_escaped() -> None:
    line = human_line(event("a\nb\x1b[31m\x9b\u2028c", wid="w\r"))
    assert line.endswith("a\\nb\\x1b[31m\\x9b\\u2028c wid=w\\r")


def test_a_traceback_for_people_follows_indented() -> None:
    first, *rest = human_line(event("it broke", log_failure=failure("\x1b[31m"))).split("\n")
    assert first.endswith("it broke: ValueError: \\x1b[31m")
    assert len(rest) > 2
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in "".join(rest)


def test_a_level_has_a_colour_and_info_has_none() -> None:
    assert "\x1b[33mwarn \x1b[0m Hello" in coloured_line(event(level=LogLevel.warn))
    assert "\x1b" not in coloured_line(event())


# -- levels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", ["twisted.internet.tcp", "log_legacy"])
def test_what_twisted_says_of_itself_is_debug_but_its_warnings_are_warnings(namespace: str) -> None:
    assert level_of(event(log_namespace=namespace)) is LogLevel.debug
    assert level_of(event(log_namespace=namespace, level=LogLevel.warn)) is LogLevel.warn


def test_a_level_lets_itself_and_what_is_above_it_through() -> None:
    events: list[Any] = []
    logs = Logs("warn", "auto", None)
    logger = logs.logger("faktory_tw")
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    try:
        logger.info("not this")
        logger.error("this")
        logger.info("{text}", text="asked for", **{ALWAYS: True})
        logs.level = "debug"
        logger.debug("now this")
        logs.level = "error"
        logger.info("no more")
    finally:
        globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
    assert [found["log_format"] for found in events] == ["this", "{text}", "now this"]
    assert logs.level == "error"


def test_an_event_without_a_level_counts_as_info() -> None:
    assert LevelFilter("info")({"log_namespace": "x"}).name == "maybe"
    assert LevelFilter("warn")({"log_namespace": "x"}).name == "no"


# -- twistd ------------------------------------------------------------------------------------------------------------


def installed(logs: Logs) -> Any:
    """Return the observer that twistd will find."""
    application = Application("faktory")
    logs.install(application)
    return application.getComponent(ILogObserver, None)


@pytest.mark.parametrize(
    ("stream", "wanted", "expected"),
    [
        (Output, "auto", "json"),
        (Output, "human", "human"),
        (Output, "json", "json"),
        (Terminal, "auto", "human"),
        (Terminal, "json", "json"),
    ],
)
def test_in_the_foreground_the_log_suits_standard_output_unless_a_format_is_set(
    monkeypatch: pytest.MonkeyPatch, stream: type[Output], wanted: str, expected: str
) -> None:
    output = stream()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setenv("NO_COLOR", "1")
    installed(Logs("info", wanted, dict(TWISTD)))(event())
    assert (json_line if expected == "json" else human_line)(event()) + "\n" == output.text


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal, {"TERM": "xterm"}, True),
        (Terminal, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
        (Output, {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, stream: type[Output], environ: dict[str, str], colour: bool
) -> None:
    output = stream()
    monkeypatch.setattr(sys, "stdout", output)
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    installed(Logs("info", "human", dict(TWISTD)))(event(level=LogLevel.error))
    assert ("\x1b" in output.text) is colour


def test_text_leaves_as_utf8_whatever_the_locale_is(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, "ascii"))
    installed(Logs("info", "json", dict(TWISTD)))(event("Grüße"))
    assert json.loads(output.getvalue().decode("utf-8"))["message"] == "Grüße"


def test_half_a_character_keeps_no_line_from_people(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output()
    monkeypatch.setattr(sys, "stdout", output)
    installed(Logs("info", "human", dict(TWISTD)))(event("a file named \udcff"))
    assert output.text.endswith("a file named ?\n")


def test_a_log_file_takes_json_lines_and_can_be_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    path = tmp_path / "faktory.log"
    logs = Logs("info", "auto", {**TWISTD, "nodaemon": 0, "logfile": str(path)})
    observer = installed(logs)
    observer(event("one"))
    path.rename(tmp_path / "old.log")
    logs.reopen()
    observer(event("two"))
    logs._file.close()
    assert [json.loads(line)["message"] for line in path.read_text().splitlines()] == ["two"]
    assert "one" in (tmp_path / "old.log").read_text()
    assert signal.SIGUSR1 in handlers


def test_a_log_file_that_cannot_be_begun_anew_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "faktory.log"
    path.parent.mkdir()
    logs = Logs("info", "auto", {**TWISTD, "logfile": str(path)})
    observer = installed(logs)
    path.parent.rename(tmp_path / "moved")
    with pytest.raises(OSError, match="No such file"):
        logs.reopen()
    observer(event("still here"))
    logs._file.close()
    assert "still here" in (tmp_path / "moved" / "faktory.log").read_text()


def test_a_log_file_that_cannot_be_written_is_refused_with_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "no" / "such" / "directory.log"
    with pytest.raises(LogRefused, match=rf"^faktory: cannot write the log file {path}: .*--logfile$"):
        installed(Logs("info", "auto", {**TWISTD, "logfile": str(path)}))


def test_a_daemon_cannot_log_to_standard_output() -> None:
    with pytest.raises(LogRefused, match="daemon"):
        installed(Logs("info", "auto", {**TWISTD, "nodaemon": 0, "logfile": "-"}))


def test_the_system_log_gets_priorities_and_no_time_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, str]] = []
    opened: list[str] = []
    monkeypatch.setattr(syslog, "openlog", lambda prefix, *_: opened.append(prefix))
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: sent.append((priority, line)))
    observer = installed(Logs("debug", "auto", {**TWISTD, "syslog": 1, "prefix": "jobs"}))
    observer(event("fine"))
    observer(event("bad", LogLevel.critical, log_failure=failure("no")))
    assert opened == ["jobs"]
    assert sent[0] == (syslog.LOG_INFO, "fine")
    assert sent[1] == (syslog.LOG_CRIT, "bad: ValueError: no")
    assert len(sent) > 3
    assert {priority for priority, _ in sent[1:]} == {syslog.LOG_CRIT}


@pytest.mark.parametrize("launcher", [None, {}, {**TWISTD, "logger": "my.observer"}])
def test_an_observer_of_somebody_else_is_left_alone(launcher: dict[str, Any] | None) -> None:
    assert installed(Logs("info", "auto", launcher)) is None


def test_an_observer_that_the_application_has_is_kept() -> None:
    application: Any = Application("faktory")
    mine = textFileLogObserver(Output())
    application.setComponent(ILogObserver, mine)
    Logs("info", "auto", dict(TWISTD)).install(application)
    assert application.getComponent(ILogObserver) is mine


# -- twist -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "log_format", "expected"),
    [("auto", "json", "json"), ("auto", "text", "human"), ("human", "json", "human"), ("json", "text", "json")],
)
def test_twist_gets_an_observer_of_ours_for_its_file(wanted: str, log_format: str, expected: str) -> None:
    theirs = {"json": jsonFileLogObserver, "text": textFileLogObserver}[log_format]
    launcher = {"fileLogObserverFactory": theirs, "logFormat": log_format, "logLevel": LogLevel.info}
    Logs("debug", wanted, launcher)
    file = Output()
    launcher["fileLogObserverFactory"](file)(event())
    assert file.text == (json_line if expected == "json" else human_line)(event()) + "\n"
    assert launcher["logLevel"] is LogLevel.debug


def test_a_level_given_to_twist_stays() -> None:
    launcher = {"fileLogObserverFactory": None, "logFormat": "text", "logLevel": LogLevel.error}
    Logs("debug", "auto", launcher)
    assert launcher["logLevel"] is LogLevel.error


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", [None, TWISTD])
def test_a_refusal_to_start_is_one_sentence_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, launcher: dict[str, Any] | None
) -> None:
    output, errors = Output(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "__stderr__", errors)
    logs = Logs("info", "auto", launcher)
    observer = installed(logs)
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    try:
        logs.refuse("faktory: the port is taken")
    finally:
        globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
    assert errors.getvalue() == "faktory: the port is taken\n"
    assert len(events) == (1 if observer else 0)


def test_a_refusal_is_not_said_twice_in_one_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "both").open("w") as both:
        monkeypatch.setattr(sys, "stdout", both)
        monkeypatch.setattr(sys, "__stderr__", both)
        logs = Logs("info", "auto", dict(TWISTD))
        observer = installed(logs)
        globalLogPublisher.addObserver(observer)
        try:
            logs.refuse("faktory: the port is taken")
        finally:
            globalLogPublisher.removeObserver(observer)
    assert (tmp_path / "both").read_text().count("the port is taken") == 1


def test_the_logger_of_a_module_reaches_the_observer_with_its_name() -> None:
    file = Output()
    launcher: dict[str, Any] = {"fileLogObserverFactory": None, "logFormat": "json", "logLevel": LogLevel.info}
    Logs("info", "auto", launcher)
    Logger("faktory_tw.poller", observer=launcher["fileLogObserverFactory"](file)).warn("a {what}", what="word")
    told = json.loads(file.text)
    assert (told["logger"], told["message"], told["level"]) == ("faktory_tw.poller", "a word", "warn")
