"""Faults of what an operator sees: SIGHUP and SIGTTIN, settings, metrics, the log, and what systemd is told."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

OPERATIONS, RELOAD, CONFIG = "operations.py", "reload.py", "config/__init__.py"
METRICS, STATSD, LOGS, SYSTEMD = "metrics.py", "statsd.py", "logs.py", "systemd.py"

AREA = Area(
    tests=(
        "tests/unit/test_operations.py",
        "tests/unit/config/*.py",
        "tests/unit/test_dump.py",
        "tests/unit/test_logs*.py",
        "tests/unit/test_metrics.py",
        "tests/unit/test_statsd*.py",
        "tests/unit/test_systemd.py",
    ),
    faults=(
        # -- SIGHUP and SIGTTIN ----------------------------------------------------------------------------------------
        Fault(
            "SIGHUP leaves the limit of queues", OPERATIONS, "        server.manager.limit(limits_of(settings))\n", ""
        ),
        Fault(
            "SIGHUP leaves the password",
            OPERATIONS,
            "server.change_passwords(settings.password, settings.web_password, settings.web_read_only_password)",
            "server.change_passwords(server.password, settings.web_password, settings.web_read_only_password)",
        ),
        Fault("SIGHUP leaves the limit of the disk", OPERATIONS, "self._disk.least = ", "_ = "),
        Fault(
            "SIGHUP leaves the level of the log",
            OPERATIONS,
            "            self._logs.level = settings.log_level",
            "            pass",
        ),
        Fault(
            "SIGHUP leaves the backups", OPERATIONS, "            self._backups.configure(settings)", "            pass"
        ),
        Fault(
            "SIGHUP leaves the receiver of metrics",
            OPERATIONS,
            "            self._backups.configure(settings)\n        self._statsd.configure(settings)\n",
            "            self._backups.configure(settings)\n",
        ),
        Fault(
            "a second SIGHUP is compared with the settings of the start",
            OPERATIONS,
            "        self._settings = settings\n        server = self._server\n",
            "        server = self._server\n",
        ),
        Fault(
            "settings with a mistake are no error",
            OPERATIONS,
            "            say = self._log.error\n",
            "            pass\n",
        ),
        Fault(
            "settings with a mistake leave the server reloading",
            OPERATIONS,
            "        finally:\n            self.notifier.ready(self._status())",
            "        else:\n            self.notifier.ready(self._status())",
        ),
        Fault(
            "a setting that needs a restart is changed",
            RELOAD,
            "for setting in changed if setting.reloads}",
            "for setting in changed}",
        ),
        Fault("a setting that needs a restart is not named", RELOAD, "        told += [", "        str() or ["),
        Fault(
            "the log file is not begun anew", OPERATIONS, "                self._logs.reopen()", "                pass"
        ),
        Fault(
            "what everything is doing is looked for in the signal handler",
            OPERATIONS,
            "self._reactor.callFromThread(self._dump, stacks)",
            "self._dump(stacks)",
        ),
        Fault(
            "what everything is doing is told to a log of level info only",
            OPERATIONS,
            "line=line, **{ALWAYS: True})",
            "line=line)",
        ),
        # -- in the course of a server ---------------------------------------------------------------------------------
        Fault(
            "what a thread raises keeps its end from being told",
            OPERATIONS,
            ".addErrback(failed).addBoth(lambda _: done())",
            ".addCallbacks(lambda _: done(), failed)",
        ),
        Fault("a pulse that is late is not measured", OPERATIONS, "max(now - self._pulse_at - seconds, 0.0)", "0.0"),
        Fault(
            "a backup goes on when the server stops", OPERATIONS, "            self._backups.stop()", "            pass"
        ),
        Fault("metrics are sent when the server stops", OPERATIONS, "        self._statsd.close()\n", ""),
        # -- the service manager ---------------------------------------------------------------------------------------
        Fault("systemd is not told of the stop", OPERATIONS, "        self.notifier.stopping()\n", ""),
        Fault("systemd cannot tell one reload from another", SYSTEMD, "\\nMONOTONIC_USEC={microseconds}", ""),
        Fault("the watchdog is fed when it is too late", SYSTEMD, "microseconds / 2e6", "microseconds / 1e6"),
        Fault("a status may be more than its line", SYSTEMD, '" ".join(status.split())', "status"),
        # -- settings --------------------------------------------------------------------------------------------------
        Fault(
            "the files win over the options",
            CONFIG,
            "        self._take_files(tree)\n        self._take_environ()\n        self._take_options()\n",
            "        self._take_options()\n        self._take_environ()\n        self._take_files(tree)\n",
        ),
        Fault("production goes without a password", CONFIG, 'name != "development" and missing and not skip', "False"),
        Fault("a password is shown among the settings", CONFIG, "    if setting.secret:", "    if False:"),
        Fault(
            "a password that others can read is no warning",
            CONFIG,
            "if warning and warning not in self.warnings:",
            "if False:",
        ),
        Fault(
            "a backup may be taken every second",
            CONFIG,
            "if seconds != 0 and seconds < FEWEST_BACKUP_SECONDS:",
            "if False:",
        ),
        # -- metrics ---------------------------------------------------------------------------------------------------
        Fault("a command that was refused is told as one that was carried out", METRICS, "count - refused)", "count)"),
        Fault("a backup that failed is not told", METRICS, "bool(backups.last_error)", "False"),
        Fault(
            "a scrape of many queues lets nobody in", METRICS, '            if states:\n                yield b""\n', ""
        ),
        Fault(
            "a name may end the line of statsd",
            STATSD,
            '_NO_TAG.sub("_", value[:_MOST_CHARACTERS])',
            "value[:_MOST_CHARACTERS]",
        ),
        Fault("a datagram may be of any size", STATSD, "self._bytes + len(data) > MOST_BYTES or ", ""),
        Fault("a receiver that is gone is a warning each time", STATSD, "            self._warned = True\n", ""),
        Fault(
            "a job that was taken back is not told as failed",
            STATSD,
            'self._counts[f"jobs.failed\\n{self._ended(reservation, timed=False)}"] += 1',
            "self._ended(reservation, timed=False)",
        ),
        # -- the log ---------------------------------------------------------------------------------------------------
        Fault(
            "a name may end the line of the log",
            LOGS,
            '    return _CONTROL.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)',
            "    return text",
        ),
        Fault(
            "whatever an event has gets into the log",
            LOGS,
            "    for name in (*FIELDS, *AUDIT_FIELDS):\n",
            '    for name in set(event) - {"log_format", "log_time", "log_level", "log_namespace", "log_failure"}:\n',
        ),
        Fault("the level of the log is not kept to", LOGS, "level_of(event) >= _LEVELS[self.level]", "True"),
        Fault("what Twisted says of itself is told as ours", LOGS, ".startswith(_TWISTED)", ".startswith(())"),
    ),
)
