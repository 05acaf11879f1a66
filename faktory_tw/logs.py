"""The log: lines for people on a terminal, one JSON object a line everywhere else.

twistd and twist begin the log themselves, after ``makeService`` and by options of their own. So a :class:`Logs` looks at
those options (``--logfile``, ``--syslog``, ``--log-file``) and hands over an observer for the same place: to twistd as the
ILogObserver of the application, to twist as the factory of its observer. twistd's ``--logger`` is left as it is.

Twisted's own messages of level info (a reactor was started, a port is open) count as debug. No other field of an event
than its message, its traceback, FIELDS and AUDIT_FIELDS is written, so that nothing gets into the log by accident.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import syslog
import time
from collections.abc import Callable, Mapping, MutableMapping
from types import FrameType
from typing import Any, TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    PredicateResult,
    formatEvent,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import implementer

from faktory_tw.times import rfc3339

FIELDS = ("jid", "wid", "queue")
AUDIT_FIELDS = ("user", "role", "client")  # who has changed something; for people the message says it
ALWAYS = "always"  # an event with this member true is written at every level: somebody has asked for it
_LEVELS = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}
_COLOURS = {LogLevel.debug: "2", LogLevel.warn: "33", LogLevel.error: "31", LogLevel.critical: "1;31"}
_PRIORITIES = {
    LogLevel.debug: syslog.LOG_DEBUG,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.error: syslog.LOG_ERR,
    LogLevel.critical: syslog.LOG_CRIT,
}
_MOST_MESSAGE = 8192  # characters
_MOST_TRACEBACK = 32_768
_TWISTED = ("twisted.", "log_legacy", "klein.")
# What ends a line, or does something to a terminal. JSON escapes only the first 32 by itself.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Format = Callable[[LogEvent], str]
Level = Any  # one of LogLevel; the library of these constants is not typed


class LogRefused(SystemExit):
    """The log cannot be written where it should be; the text says why, and what to do."""


@implementer(ILogFilterPredicate)
class LevelFilter:
    """Lets events of a level and above through. ``level`` (``debug``, ``info``, ``warn``, ``error``) may be changed."""

    def __init__(self, level: str) -> None:
        self.level = level

    def __call__(self, event: LogEvent) -> Any:
        if event.get(ALWAYS) or level_of(event) >= _LEVELS[self.level]:
            return PredicateResult.maybe
        return PredicateResult.no


class Logs:
    """The log of one process.

    ``level`` and ``format`` are the settings ``log_level`` and ``log_format`` (``auto``, ``human`` or ``json``).
    ``launcher`` are the options of twistd or twist, None where neither has started this.
    """

    def __init__(self, level: str, format: str, launcher: MutableMapping[str, Any] | None) -> None:  # noqa: A002
        self._filter = LevelFilter(level)
        self._format = format
        self._launcher = launcher if launcher is not None else {}
        self._file: Any = None  # a LogFile, when the log goes there
        self._stream: TextIO | None = None  # standard output, when the log goes there
        self._begun = False
        if "fileLogObserverFactory" in self._launcher:
            self._take_twists_place(self._launcher)

    # -- in use --------------------------------------------------------------------------------------------------

    def logger(self, namespace: str) -> Logger:
        """A logger that keeps the level also where the observer is somebody else's."""
        return Logger(namespace, observer=FilteringLogObserver(globalLogPublisher, [self._filter]))

    @property
    def level(self) -> str:
        """The least level that is written: ``debug``, ``info``, ``warn`` or ``error``."""
        return self._filter.level

    @level.setter
    def level(self, level: str) -> None:
        self._filter.level = level

    def reopen(self) -> None:
        """Begin the log file anew, after it was renamed. Raises OSError, and goes on with the old one."""
        if self._file is not None:
            with open(self._file.path, "ab"):
                pass
            self._file.reopen()

    def refuse(self, sentence: str) -> None:
        """Say, on standard error, why the server cannot start, and in the log when that is somewhere else."""
        if self._begun:
            Logger("faktory_tw").critical("{sentence}", sentence=sentence)
        shown = self._begun and self._stream is not None and _same_file(self._stream, sys.__stderr__)
        if not shown and sys.__stderr__ is not None:
            sys.__stderr__.write(sentence + "\n")
            sys.__stderr__.flush()

    # -- where twistd and twist begin the log ----------------------------------------------------------------------

    def install(self, application: Any) -> None:
        """Give twistd its observer. To be called with the application that the service becomes a part of.

        Raises LogRefused when the log file cannot be opened.
        """
        launcher = self._launcher
        if "nodaemon" not in launcher or launcher.get("logger") or application.getComponent(ILogObserver, None):
            return
        application.setComponent(ILogObserver, self._filtered(self._observer(launcher)))
        self._begun = True

    def _take_twists_place(self, launcher: MutableMapping[str, Any]) -> None:
        if self._format == "auto":
            self._format = "human" if launcher.get("logFormat") == "text" else "json"
        if launcher.get("logLevel") is LogLevel.info:
            launcher["logLevel"] = LogLevel.debug  # twist's default; ours is behind it
        launcher["fileLogObserverFactory"] = lambda file: self._filtered(self._to_stream(file))

    def _filtered(self, observer: ILogObserver) -> ILogObserver:
        found: ILogObserver = FilteringLogObserver(observer, [self._filter])
        return found

    def _observer(self, launcher: Mapping[str, Any]) -> ILogObserver:
        """An observer for the place that twistd's options name."""
        if launcher.get("syslog"):
            return SyslogObserver(launcher.get("prefix") or "twisted", self._formatter("human", _syslog_line))
        path, foreground = launcher.get("logfile"), launcher["nodaemon"]
        if path == "-" and not foreground:
            raise LogRefused("faktory: a daemon cannot log to standard output: give --logfile a path, or add -n")
        if foreground and path in (None, "", "-"):
            self._stream = sys.stdout
            return self._to_stream(sys.stdout)
        return self._to_file(path or "twistd.log")

    def _to_file(self, path: str) -> ILogObserver:
        try:
            file = self._file = LogFile.fromFullPath(path)  # type: ignore[no-untyped-call]
        except OSError as error:
            raise LogRefused(
                f"faktory: cannot write the log file {os.path.abspath(path)}: {error.strerror}; "
                "give another one to twistd with --logfile"
            ) from None
        _rotate_at_usr1(file)
        return LineObserver(_BytesOf(file), self._formatter("json", human_line))

    def _to_stream(self, stream: Any) -> ILogObserver:
        on_terminal = _on_terminal(stream)
        human = coloured_line if on_terminal and _colours_wanted(os.environ) else human_line
        return LineObserver(_BytesOf(stream), self._formatter("human" if on_terminal else "json", human))

    def _formatter(self, default: str, human: Format) -> Format:
        return human if (default if self._format == "auto" else self._format) == "human" else json_line


# -- observers -------------------------------------------------------------------------------------------------------


class _BytesOf:
    """The writing end of a text or byte stream, which takes UTF-8 whatever the locale is."""

    def __init__(self, stream: Any) -> None:
        self._stream = getattr(stream, "buffer", stream)

    def write(self, line: str) -> None:
        self._stream.write(line.encode("utf-8", "replace"))
        self._stream.flush()


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as what ``format`` makes of it."""

    def __init__(self, file: Any, format: Format) -> None:  # noqa: A002
        self._file = file
        self._format = format

    def __call__(self, event: LogEvent) -> None:
        self._file.write(self._format(event) + "\n")


@implementer(ILogObserver)
class SyslogObserver:
    """Sends each event to the system's log, with its priority; a traceback is several messages."""

    def __init__(self, prefix: str, format: Format) -> None:  # noqa: A002
        self._format = format
        syslog.openlog(prefix, syslog.LOG_PID, syslog.LOG_DAEMON)

    def __call__(self, event: LogEvent) -> None:
        priority = _PRIORITIES.get(level_of(event), syslog.LOG_INFO)
        for line in self._format(event).splitlines():
            syslog.syslog(priority, line)


# -- lines -----------------------------------------------------------------------------------------------------------


def level_of(event: LogEvent) -> Level:
    """The level of an event. What Twisted says of itself at info is debug here, and what has no level is info."""
    level: Level = event.get("log_level") or LogLevel.info
    if level is LogLevel.info and str(event.get("log_namespace", "")).startswith(_TWISTED):
        return LogLevel.debug
    return level


def json_line(event: LogEvent) -> str:
    """An event as one JSON object: ``time``, ``level``, ``message``, ``logger``, and FIELDS, AUDIT_FIELDS, ``traceback`` if any."""
    told = {
        "time": rfc3339(_time_of(event)),
        "level": level_of(event).name,
        "message": _message(event),
        "logger": str(event.get("log_namespace", "")),
    }
    for name in (*FIELDS, *AUDIT_FIELDS):
        if event.get(name) is not None:
            told[name] = _shortened(str(event[name]), _MOST_MESSAGE)
    if traceback := _traceback(event):
        told["traceback"] = traceback
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def human_line(event: LogEvent) -> str:
    """An event for people: local time, level, message; a traceback follows, indented."""
    return _human_line(event, "", "")


def coloured_line(event: LogEvent) -> str:
    """The same for a terminal: the level in colour."""
    colour = _COLOURS.get(level_of(event))
    return _human_line(event, f"\x1b[{colour}m", "\x1b[0m") if colour else human_line(event)


def _human_line(event: LogEvent, on: str, off: str) -> str:
    seconds = _time_of(event)
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    level = f"{level_of(event).name:<5}"
    return f"{moment}.{int(seconds % 1 * 1000):03} {on}{level}{off} {_told(event)}"


def _syslog_line(event: LogEvent) -> str:
    """The system's log has time and priority of its own."""
    return _told(event)


def _told(event: LogEvent) -> str:
    message = _message(event)
    named = [
        f"{name}={event[name]}" for name in FIELDS if event.get(name) is not None and str(event[name]) not in message
    ]
    lines = [" ".join([message, *named])]
    lines += [f"    {line}" for line in _traceback(event).split("\n") if line]
    return "\n".join(_printable(line) for line in lines)


def _printable(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _time_of(event: LogEvent) -> float:
    return float(event.get("log_time") or time.time())


def _message(event: LogEvent) -> str:
    failure = _failure(event)
    legacy = failure is not None and "log_failure" not in event  # its text has the traceback in it
    message = str(event.get("why") or "Unhandled error") if legacy else formatEvent(event)
    if failure is not None and failure.getErrorMessage() not in message:
        message = ": ".join(part for part in (message, f"{_name(failure)}: {failure.getErrorMessage()}") if part)
    return _shortened(message.rstrip(), _MOST_MESSAGE)


def _failure(event: LogEvent) -> Failure | None:
    """What went wrong; Twisted's older way of logging has another name for it."""
    failure = event.get("log_failure") or event.get("failure")
    return failure if isinstance(failure, Failure) else None


def _name(failure: Failure) -> str:
    return getattr(failure.type, "__name__", "error")


def _traceback(event: LogEvent) -> str:
    """The traceback of an event, its end when it is long."""
    failure = _failure(event)
    if failure is None:
        return ""
    text = failure.getTraceback().strip()
    return text if len(text) <= _MOST_TRACEBACK else "…" + text[-_MOST_TRACEBACK:]


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


# -- the process -----------------------------------------------------------------------------------------------------


def _on_terminal(stream: Any) -> bool:
    return bool(getattr(stream, "isatty", lambda: False)())


def _colours_wanted(environ: Mapping[str, str]) -> bool:
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _same_file(one: Any, other: Any) -> bool:
    """Whether two streams end in the same place: a terminal, a pipe, a file."""
    try:
        return os.path.samestat(os.fstat(one.fileno()), os.fstat(other.fileno()))
    except (OSError, ValueError, AttributeError):
        return False


def _rotate_at_usr1(file: LogFile) -> None:
    """As twistd does with a log file of its own."""
    if signal.getsignal(signal.SIGUSR1) not in (None, signal.SIG_DFL):
        return

    def rotate(_number: int, _frame: FrameType | None) -> None:
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it

        reactor.callFromThread(file.rotate)  # type: ignore[attr-defined]

    signal.signal(signal.SIGUSR1, rotate)
