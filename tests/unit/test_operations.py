"""What a server does for its operator: signals, what the service manager is told, backups, metrics, and threads."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Application
from twisted.logger import LogLevel, globalLogPublisher

from faktory_tw import backups as backups_module
from faktory_tw import operations, statsd, tap
from faktory_tw.backups import Backups
from faktory_tw.config import ConfigError, Settings
from faktory_tw.logs import ALWAYS, Logs
from faktory_tw.operations import Operations
from faktory_tw.service import FaktoryService
from faktory_tw.storage.backup import Backup, BackupError
from tests.unit.house import HELLO, Client, job
from tests.unit.stage import Stage

MIB = 1024 * 1024
WORKER = b'HELLO {"v":2,"wid":"w1"}'
PERIOD = 300  # seconds between two backups


class Manager:
    """A service manager: what it is told is among the events of the stage."""

    def __init__(self, events: list[str], watchdog_seconds: float = 0.0) -> None:
        self._events = events
        self.watchdog_seconds = watchdog_seconds

    def ready(self, status: str) -> None:
        self._events.append(f"ready: {status}")

    def reloading(self) -> None:
        self._events.append("reloading")

    def stopping(self) -> None:
        self._events.append("stopping")

    def alive(self) -> None:
        self._events.append("alive")

    def status(self, make: Any) -> None:
        self._events.append(f"status: {make()}")


class Taken:
    """Stands in for ``storage.backup``: the backups that were asked for, as (directory, number of those kept)."""

    def __init__(self) -> None:
        self.asked: list[tuple[Path, int | None]] = []
        self.abandoned: Any = None

    def create(self, _database: Path, directory: Path, now: float, _least: int, abandoned: Any) -> Backup:
        self.abandoned = abandoned
        self.asked.append((directory, None))
        return Backup("faktory.db", directory / "faktory.db", now, MIB, 7, True, len(self.asked))

    def purge(self, directory: Path, keep: int) -> list[Backup]:
        self.asked[-1] = directory, keep
        return []

    def list_backups(self, _directory: Path) -> list[Backup]:
        return []


class Operator:
    """Somebody who runs a server, changes its settings, and sends it signals.

    ``mistake`` is what is wrong with the settings when they are read; ``receivers`` are the addresses of statsd that
    were looked up.
    """

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stage = stage
        self.mistake: str | None = None
        self.watchdog_seconds = 0.0
        self.taken = Taken()
        self.receivers: list[str] = []
        self.log_file = stage.directory / "faktory.log"
        launcher = {"nodaemon": 0, "logfile": str(self.log_file), "syslog": 0, "prefix": "", "logger": None}
        self.logs = Logs("info", "json", launcher)
        self._changes: dict[str, Any] = {}
        monkeypatch.setattr(operations, "time", stage.reactor)
        monkeypatch.setattr(operations, "Notifier", lambda: Manager(stage.events, self.watchdog_seconds))
        monkeypatch.setattr(operations, "Backups", partial(Backups, clock=stage.reactor))
        monkeypatch.setattr(backups_module, "backup", self.taken)
        monkeypatch.setattr(statsd, "look_up", self._look_up)

    def _look_up(self, location: str) -> str:
        self.receivers.append(location)
        return "no such host"

    def start(self, **settings: Any) -> FaktoryService:
        """Start a server that can read its settings again."""
        self.logs.install(Application("faktory"))
        self.service = self.stage.started(logs=self.logs, read_settings=self._read, **settings)
        self._settings: Settings = self.service._settings
        return self.service

    def _read(self) -> Settings:
        self.stage.events.append("read")
        if self.mistake is not None:
            raise ConfigError(self.mistake)
        return replace(self._settings, **self._changes)

    def change(self, **settings: Any) -> None:
        """Write other settings, and have them read."""
        self._changes = settings
        self.stage.hang_up()

    def pass_time(self, seconds: int) -> None:
        """Let seconds pass, with all that threads have to say meanwhile."""
        for _ in range(seconds):
            self.stage.reactor.advance(1.0)
            self.stage.run_reports()

    def sample(self, name: str) -> float | None:
        """Return a figure that a Prometheus server would be told."""
        return self.service._operations.metrics.registry.get_sample_value(name)

    def close(self) -> None:
        if self.logs._file is not None:
            self.logs._file.close()


@pytest.fixture
def operator(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    """Somebody whose server is not started yet."""
    operator = Operator(stage, monkeypatch)
    yield operator
    stage.clear()
    stage.services.clear()
    operator.close()


def pushed(stage: Stage, client: Client, number: int) -> bytes:
    """Return the answer to a PUSH."""
    client.say(b"PUSH " + job(number))
    stage.commit()
    return client.heard()


# -- SIGHUP: what changes ----------------------------------------------------------------------------------------------


def test_the_limit_of_queues_changes(stage: Stage, operator: Operator) -> None:
    operator.start()
    client = stage.connect()
    assert pushed(stage, client, 1) == b"+OK\r\n"
    operator.change(max_queue_size=1)
    assert pushed(stage, client, 2) == b"-ERR default is too large, currently 1, max size is 1\r\n"
    operator.change(max_queue_size=0)
    assert pushed(stage, client, 3) == b"+OK\r\n"


@pytest.mark.parametrize("reclaim", [True, False])
def test_whether_jobs_of_vanished_workers_are_taken_back_changes(
    stage: Stage, operator: Operator, reclaim: bool
) -> None:
    service = operator.start(reclaim_dead_workers=not reclaim)
    client = Client(stage.commands.factory, WORKER)
    client.say(b"PUSH " + job(1), b"FETCH default", b'BEAT {"wid":"w1"}')
    stage.commit()
    client.hang_up()
    operator.change(reclaim_dead_workers=reclaim)
    operator.pass_time(62)
    assert service.manager.set_sizes()["working"] == (0 if reclaim else 1)


def test_the_password_changes_for_connections_that_come(stage: Stage, operator: Operator) -> None:
    operator.start()
    there = stage.connect()
    operator.change(password="271828")
    newcomer = Client(stage.commands.factory, None)
    assert b'"s":' in newcomer.greeting
    assert newcomer.ask(HELLO) == b"-ERR Invalid password\r\n"
    assert pushed(stage, there, 1) == b"+OK\r\n"
    assert not any("271828" in line for line in stage.lines())


def test_the_password_of_the_web_ui_changes(operator: Operator) -> None:
    service = operator.start(web_password="314159")
    operator.change(web_password="271828")
    assert service.server.web_role(b"271828") == "operator"
    assert service.server.web_role(b"314159") is None


def test_the_read_only_password_of_the_web_ui_changes(operator: Operator) -> None:
    service = operator.start(web_password="314159", web_read_only_password="161803")
    assert service.server.web_role(b"161803") == "reader"
    operator.change(web_read_only_password="141421")
    assert service.server.web_role(b"161803") is None
    assert service.server.web_role(b"141421") == "reader"
    operator.change(web_read_only_password=None)
    assert service.server.web_role(b"141421") is None
    assert service.server.web_role(b"314159") == "operator"


def test_the_description_changes(stage: Stage, operator: Operator) -> None:
    operator.start()
    client = stage.connect()
    operator.change(description="Jobs of the shop")
    assert b'"description":"Jobs of the shop"' in client.ask(b"INFO")


def test_the_limit_of_connections_changes_and_those_there_stay(stage: Stage, operator: Operator) -> None:
    operator.start()
    there = [stage.connect(), stage.connect()]
    operator.change(max_connections=1)
    assert Client(stage.commands.factory, None).greeting == b"-ERR too many connections: 2\r\n"
    assert not any(client.wire.closed for client in there)
    operator.change(max_connections=3)
    stage.connect()


def test_the_limit_of_lines_changes(stage: Stage, operator: Operator) -> None:
    operator.start()
    client = stage.connect()
    operator.change(max_line_bytes=70_000)
    client.feed(b"x" * 70_001)
    assert client.heard() == b"-ERR line longer than 70000 bytes, see max_line_bytes\r\n"


def test_the_room_that_is_to_stay_on_the_disk_changes(stage: Stage, operator: Operator) -> None:
    operator.start()
    client = stage.connect()
    stage.free_bytes = 100 * MIB
    operator.change(min_free_disk_bytes=200 * MIB)
    operator.pass_time(1)
    assert pushed(stage, client, 1).startswith(b"-ERR the disk is nearly full, 100 MiB free")


def test_the_level_of_the_log_changes(operator: Operator) -> None:
    operator.start()
    operator.change(log_level="debug")
    assert operator.logs.level == "debug"


def test_backups_change(operator: Operator) -> None:
    operator.start()
    elsewhere = Path("/elsewhere")
    operator.change(backup_seconds=PERIOD, backup_keep=3, backup_directory=elsewhere)
    operator.pass_time(PERIOD)
    assert operator.taken.asked == [(elsewhere, 3)]


def test_the_receiver_of_metrics_changes(stage: Stage, operator: Operator) -> None:
    operator.start(statsd_location="one:8125")
    operator.pass_time(1)
    operator.change(statsd_location="two:8125")
    operator.pass_time(1)
    assert operator.receivers == ["one:8125", "two:8125"]
    operator.change(statsd_location=None)
    operator.pass_time(70)
    assert operator.receivers == ["one:8125", "two:8125"]
    assert [line.partition(" (")[0] for line in stage.lines(LogLevel.warn)] == [
        "statsd: one:8125 takes no metrics",
        "statsd: two:8125 takes no metrics",
    ]


def test_a_second_hangup_is_compared_with_what_the_first_one_left(stage: Stage, operator: Operator) -> None:
    operator.start()
    operator.change(max_queue_size=1)
    stage.logged.clear()
    operator.change(max_queue_size=1)
    assert stage.lines() == ["SIGHUP: No setting has changed"]


# -- SIGHUP: what is said ----------------------------------------------------------------------------------------------


def test_settings_that_cannot_be_read_change_nothing_and_it_is_an_error(stage: Stage, operator: Operator) -> None:
    service = operator.start(max_queue_size=1, description="Jobs")
    client = stage.connect()
    pushed(stage, client, 1)
    operator.mistake = "a.toml:2: queues.max_size must be 0 or more, not -1"
    operator.change(max_queue_size=0, description="Other jobs", log_level="debug", web_password="271828")
    assert stage.lines(LogLevel.error) == [f"SIGHUP: The settings stay as they are: {operator.mistake}"]
    assert pushed(stage, client, 2).startswith(b"-ERR default is too large")
    assert (service.server.description, service.server.web_password, operator.logs.level) == ("Jobs", None, "info")


def test_what_waits_for_a_restart_is_named_and_the_rest_is_done(stage: Stage, operator: Operator) -> None:
    service = operator.start()
    stage.logged.clear()
    operator.change(durability="os", bindings=(":1",), description="Jobs")
    assert stage.lines() == [
        "SIGHUP: Changed: faktory.description",
        "SIGHUP: faktory.binding: restart the server to change it",
        "SIGHUP: storage.durability: restart the server to change it",
    ]
    assert service.server.description == "Jobs"


def test_what_is_unwise_is_logged_again_when_it_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAKTORY_PASSWORD", "FAKTORY_ENV", "FAKTORY_BACKUP_FREQUENCY", "DD_DOGSTATSD_URL"):
        monkeypatch.delenv(name, raising=False)
    options = tap.Options()
    options.parseOptions(["-d", str(tmp_path / "data"), "-c", str(tmp_path), "-w", ":0"])
    service: Any = tap.makeService(options)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/a.toml").write_text("[[cron]]\n")
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    try:
        service._read_settings()
    finally:
        globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
    assert [event["warning"] for event in events if event["log_level"] is LogLevel.warn] == [
        f'{tmp_path}/conf.d/a.toml:1: it needs a schedule, such as schedule = "*/5 * * * *"; this [[cron]] is left out'
    ]


# -- SIGHUP: the log file ----------------------------------------------------------------------------------------------


def test_the_log_file_is_begun_anew(stage: Stage, operator: Operator) -> None:
    operator.start()
    operator.log_file.rename(stage.directory / "old.log")
    stage.hang_up()
    assert operator.log_file.exists()


def test_a_log_file_that_cannot_be_begun_anew_is_an_error_and_the_settings_are_read(
    stage: Stage, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise PermissionError(13, "Permission denied", "/var/log/faktory.log")

    service = operator.start()
    monkeypatch.setattr(operator.logs, "reopen", fail)
    operator.change(description="Jobs")
    (line,) = stage.lines(LogLevel.error)
    assert "goes on as it was" in line
    assert "Permission denied: '/var/log/faktory.log'" in line
    assert service.server.description == "Jobs"


# -- the service manager -----------------------------------------------------------------------------------------------


def test_the_server_is_ready_when_it_listens(stage: Stage, operator: Operator) -> None:
    stage.service().startService()
    ready = stage.events.index("ready: 0 jobs queued, 0 worked, 0 connections")
    assert stage.events.index("listen to commands") < ready


@pytest.mark.parametrize("mistake", [None, "a.toml:1: wrong"])
def test_it_is_reloading_until_the_settings_are_read_whatever_is_in_them(
    stage: Stage, operator: Operator, mistake: str | None
) -> None:
    operator.start()
    operator.mistake = mistake
    stage.hang_up()
    assert stage.events == ["reloading", "read", "ready: 0 jobs queued, 0 worked, 0 connections"]


def test_it_is_ready_again_when_no_setting_can_change(stage: Stage, operator: Operator) -> None:
    operator.start()
    operator.service._operations._read_settings = None
    stage.hang_up()
    assert stage.events == ["reloading", "ready: 0 jobs queued, 0 worked, 0 connections"]


def test_it_is_ready_again_whatever_goes_wrong(stage: Stage, operator: Operator) -> None:
    def fail() -> Settings:
        raise ZeroDivisionError("oops")

    operator.start()
    operator.service._operations._read_settings = fail
    stage.hang_up()
    assert stage.events == ["reloading", "ready: 0 jobs queued, 0 worked, 0 connections"]
    assert any("unexpected failure while the settings were read" in line for line in stage.lines())


def test_a_hangup_amid_the_stop_is_too_late(stage: Stage, operator: Operator) -> None:
    service = operator.start()
    service.server.stopping = True
    stage.hang_up()
    assert stage.events == []


def test_it_is_stopping_before_the_last_write(stage: Stage, operator: Operator) -> None:
    service = operator.start()
    stage.stop(service)
    assert stage.events == ["stop listening to commands", "stopping", "finish", "close"]


def test_the_status_is_told_every_second(stage: Stage, operator: Operator) -> None:
    operator.start()
    client = stage.connect()
    client.say(b"PUSH " + job(1), b"PUSH " + job(2), b"PUSH " + job(3), b"FETCH default")
    stage.commit()
    stage.events.clear()
    stage.reactor.pump([1.0, 1.0])
    assert stage.events == ["status: 2 jobs queued, 1 worked, 1 connections"] * 2


def test_the_watchdog_is_fed_at_its_times(stage: Stage, operator: Operator) -> None:
    operator.watchdog_seconds = 7.0
    operator.start()
    operator.pass_time(21)
    assert stage.events.count("alive") == 3


# -- backups and metrics -----------------------------------------------------------------------------------------------


def test_backups_are_taken_at_their_times_and_the_store_hears_when_one_is_done(
    stage: Stage, operator: Operator
) -> None:
    service = operator.start(backup_seconds=PERIOD)
    operator.pass_time(2 * PERIOD)
    assert operator.taken.asked == [(Path("nowhere/backups"), 24)] * 2
    assert stage.events.count("checkpoint soon") == 2
    assert service.server.backups.count == 2


def test_a_server_that_stops_abandons_a_backup_and_takes_no_other(stage: Stage, operator: Operator) -> None:
    service = operator.start(backup_seconds=PERIOD)
    operator.pass_time(PERIOD)
    assert not operator.taken.abandoned()
    stage.stop(service)
    assert operator.taken.abandoned()
    with pytest.raises(BackupError, match="the server stops"):
        service.server.backups.begin()


def test_a_server_that_stops_sends_no_more_metrics(stage: Stage, operator: Operator) -> None:
    service = operator.start(statsd_location="one:8125")
    assert service.manager.observer is not None
    stage.stop(service)
    assert service.manager.observer is None


def test_a_pulse_that_is_late_is_measured(stage: Stage, operator: Operator) -> None:
    operator.start()
    stage.reactor.pump([0.05] * 10)
    before = operator.sample("faktory_event_loop_lag_seconds_count")
    assert operator.sample("faktory_event_loop_lag_seconds_sum") == pytest.approx(0.0, abs=1e-9)
    stage.reactor.advance(0.35)
    assert operator.sample("faktory_event_loop_lag_seconds_sum") == pytest.approx(0.3)
    assert before is not None
    assert operator.sample("faktory_event_loop_lag_seconds_count") == before + 1


def test_a_batch_that_is_written_is_measured(stage: Stage, operator: Operator) -> None:
    service = operator.start()
    pushed(stage, stage.connect(), 1)
    assert operator.sample("faktory_commit_seconds_count") == 1
    assert service.server.metrics is service._operations.metrics


# -- SIGTTIN and threads -----------------------------------------------------------------------------------------------


def test_what_everything_is_doing_is_logged_at_every_level(stage: Stage, operator: Operator) -> None:
    operator.start(log_level="error")
    stage.connect().say(b"FETCH default")
    stage.logged.clear()
    stage.handlers[signal.SIGTTIN](signal.SIGTTIN, sys._getframe())
    assert stage.lines() == [], "not in the signal handler"
    stage.run_reports()
    told = "\n".join(stage.lines())
    for part in ("jobs: 0 in 0 queues", "waits in FETCH default", "committer: idle", "timers: ", "thread MainThread"):
        assert part in told
    assert "test_what_everything_is_doing_is_logged_at_every_level" in told
    assert all(event[ALWAYS] for event in stage.logged)


def test_what_a_thread_raises_is_logged_and_its_end_is_told(stage: Stage, operator: Operator) -> None:
    def work() -> None:
        raise ValueError("nobody thought of this")

    service = operator.start()
    ended: list[str] = []
    service._operations._run_in_thread(work, lambda: ended.append("done"))
    assert ended == [], "not in the thread"
    stage.run_reports()
    assert ended == ["done"]
    (event,) = [event for event in stage.logged if event.get("log_failure")]
    assert event["log_failure"].check(ValueError)


def test_what_never_started_can_be_stopped(stage: Stage, operator: Operator) -> None:
    service = operator.start()
    other = Operations(stage.reactor, service._settings, service.server, service._disk, service._log, None, None)
    other.stop()
    assert stage.events == ["stopping"]
