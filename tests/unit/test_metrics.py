"""What Prometheus is told, read with the parser of Prometheus' own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from faktory_tw import __version__, metrics
from faktory_tw.metrics import Metrics
from tests.unit.house import EPOCH, HELLO, House, job, named

Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def measured(house: House, tmp_path: Path) -> Metrics:
    """The metrics of `house`."""
    return Metrics(house.server, tmp_path, SimpleNamespace(free=5_000_000, least=1_000_000))


def samples(measured: Metrics) -> Samples:
    """Return value by name and label values, in the order of the labels' names; fail when a sample is there twice or a metric comes in two parts."""
    text = b"".join(measured.scrape()).decode()
    headers = [line for line in text.splitlines() if line.startswith("#")]
    assert len(headers) == len(set(headers)), "a metric in two parts"
    found: Samples = {}
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation and family.type != "unknown" for family in families)
    for family in families:
        for sample in family.samples:
            key = sample.name, tuple(sample.labels.values())
            assert key not in found, key
            found[key] = sample.value
    return found


def value(measured: Metrics, name: str, *labels: str) -> float | None:
    return samples(measured).get((name, labels))


def test_jobs_are_counted_from_push_to_end(house: House, measured: Metrics) -> None:
    talk = house.talk()
    for number in range(4):
        talk.say(b"PUSH " + job(number))
    talk.say(b"PUSHB [" + job(4) + b"," + job(5) + b',{"jid":"refused00"}]')
    for _ in range(3):
        talk.say(b"FETCH default")
    talk.say(b"ACK " + named(0))
    talk.say(b"FAIL " + named(1))
    told = samples(measured)
    assert told["faktory_jobs_pushed_total", ()] == 6
    assert told["faktory_jobs_fetched_total", ()] == 3
    assert told["faktory_jobs_processed_total", ()] == 2
    assert told["faktory_jobs_failed_total", ()] == 1
    assert told["faktory_queue_size", ("default",)] == 3
    assert told["faktory_queue_busy", ("default",)] == 1
    assert told["faktory_set_size", ("working",)] == 1
    assert told["faktory_set_size", ("retries",)] == 1


def test_commands_are_counted_by_verb_and_outcome(house: House, measured: Metrics) -> None:
    talk = house.talk()
    for line in (b"PUSH " + job(1), b"PUSH {}", b"PUSH", b"INFO", b"NONSENSE", b"SELECT 1", b"FAIL " + named(1)):
        talk.say(line)
    house.talk().say(b"END")
    told = samples(measured)
    verbs = {labels: value for (name, labels), value in told.items() if name == "faktory_commands_total"}
    assert verbs == {
        ("ok", "PUSH"): 1,
        ("error", "PUSH"): 2,
        ("ok", "INFO"): 1,
        ("error", "INFO"): 0,
        ("ok", "FAIL"): 0,
        ("error", "FAIL"): 1,
        ("ok", "END"): 1,
        ("error", "END"): 0,
        ("error", "unknown"): 2,
    }


def test_a_command_that_fails_in_a_later_slice_counts_as_an_error(house: House, measured: Metrics) -> None:
    talk = house.talk()
    jobs = [json.loads(job(number)) for number in range(1500)]
    assert talk.say(b"PUSHB " + json.dumps([*jobs, 5]).encode()) is None
    house.commit()
    assert talk.later[0].startswith(b"-ERR")
    assert value(measured, "faktory_commands_total", "error", "PUSHB") == 1
    assert value(measured, "faktory_jobs_pushed_total") == 0


def test_a_defect_of_ours_counts_as_an_error(house: House, measured: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_sizes: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(house.server, "info", fail)
    with pytest.raises(ZeroDivisionError):
        house.talk().say(b"INFO")
    assert value(measured, "faktory_commands_total", "error", "INFO") == 1


def test_connections_are_counted(tmp_path: Path) -> None:
    house = House(password="right")
    measured = Metrics(house.server, tmp_path, SimpleNamespace(free=1, least=0))
    talk = house.talk(hello=None)
    talk.say(b'HELLO {"v":2,"pwdhash":"%b"}' % house.server.challenge().expected.encode())
    for _ in range(2):
        house.talk(hello=None).say(HELLO)
    house.server.refused_connections["limit"] += 1
    assert value(measured, "faktory_connections") == 1
    talk.leave()
    told = samples(measured)
    assert told["faktory_connections", ()] == 0
    assert told["faktory_connections_accepted_total", ()] == 1
    assert told["faktory_connections_refused_total", ("password",)] == 2
    assert told["faktory_connections_refused_total", ("limit",)] == 1
    house.close()


def test_workers_are_counted_by_state(house: House, measured: Metrics) -> None:
    for wid, state in (("one", ""), ("two", "quiet"), ("three", "quiet"), ("four", "terminate")):
        talk = house.talk(b'HELLO {"v":2,"wid":"%b"}' % wid.encode())
        talk.say(b'BEAT {"wid":"%b","current_state":"%b"}' % (wid.encode(), state.encode()))
    talk.say(b"FETCH nothing")
    told = samples(measured)
    assert [told["faktory_workers", (state,)] for state in ("running", "quiet", "terminate")] == [1, 2, 1]
    assert told["faktory_fetches_waiting", ()] == 1


def test_each_queue_has_its_size_latency_and_pause(house: House, measured: Metrics) -> None:
    talk = house.talk()
    talk.say(b"PUSH " + job(1, queue='"mail"'))
    house.reactor.advance(4)
    talk.say(b"PUSH " + job(2, queue='"mail"'))
    talk.say(b"PUSH " + job(3, queue='"web"'))
    talk.say(b"QUEUE PAUSE web")
    house.reactor.advance(2)
    told = samples(measured)
    for name, mail, web in (("size", 2, 1), ("latency_seconds", 6, 2), ("paused", 0, 1), ("busy", 0, 0)):
        assert told[f"faktory_queue_{name}", ("mail",)] == mail, name
        assert told[f"faktory_queue_{name}", ("web",)] == web, name
    assert told["faktory_queues", ()] == 2


def test_jobs_of_a_removed_queue_are_still_busy(house: House, measured: Metrics) -> None:
    talk = house.talk()
    talk.say(b"PUSH " + job(1, queue='"gone"'))
    talk.say(b"FETCH gone")
    talk.say(b"QUEUE REMOVE gone")
    told = samples(measured)
    assert told["faktory_queue_busy", ("gone",)] == 1
    assert ("faktory_queue_size", ("gone",)) not in told


def test_thousands_of_queues_are_told_in_many_short_slices(house: House, measured: Metrics) -> None:
    talk = house.talk()
    for number in range(1001):
        talk.say(b"PUSH " + job(number, queue=f'"q{number}"'))
    assert len(list(measured.scrape())) > 20
    told = samples(measured)
    for name in ("size", "latency_seconds", "paused", "busy"):
        assert sum(name_ == f"faktory_queue_{name}" for name_, _ in told) == 1001
    assert sum(value for (name, _), value in told.items() if name == "faktory_queue_size") == 1001


def test_many_reservations_are_counted_in_slices(
    house: House, measured: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_RESERVATIONS", 10)
    talk = house.talk()
    for number in range(35):
        talk.say(b"PUSH " + job(number))
        talk.say(b"FETCH default")
    assert list(measured.scrape())[:3] == [b""] * 3
    assert value(measured, "faktory_queue_busy", "default") == 35


def test_a_queue_that_changes_between_two_slices_does_no_harm(house: House, measured: Metrics) -> None:
    talk = house.talk()
    for number in range(600):
        talk.say(b"PUSH " + job(number, queue=f'"q{number}"'))
    pieces = measured.scrape()
    text = [next(pieces)]
    talk.say(b"QUEUE REMOVE *")
    talk.say(b"PUSH " + job(1, queue='"new"'))
    text += pieces
    assert list(text_string_to_metric_families(b"".join(text).decode()))


def push_large_jobs(house: House) -> None:
    """Thirty queues whose next jobs are on disk only, and too large to be read in one slice."""
    for number in range(30):
        house.talk().say(b"PUSH " + job(number, queue=f'"q{number}"', args=f'["{"x" * 900_000}"]'))
    house.manager._cache.clear()


def test_latencies_of_large_jobs_are_read_in_several_slices(house: House, measured: Metrics) -> None:
    push_large_jobs(house)
    assert next(measured.scrape()) == b""
    house.manager._head_times._remembered.clear()
    told = samples(measured)
    assert told["faktory_queue_latency_unknown", ()] == 0
    assert sum(name == "faktory_queue_latency_seconds" for name, _ in told) == 30


def test_a_latency_that_could_not_be_read_is_missing_and_counted(
    house: House, measured: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MORE_SLICES", 1)
    push_large_jobs(house)
    told, rounds = samples(measured), 1
    assert told["faktory_queue_latency_unknown", ()] == 30 - sum(
        name == "faktory_queue_latency_seconds" for name, _ in told
    )
    assert 0 < told["faktory_queue_latency_unknown", ()] < 30
    while samples(measured)["faktory_queue_latency_unknown", ()]:
        rounds += 1
        assert rounds < 30


def test_commits_are_told_as_a_histogram(house: House, measured: Metrics) -> None:
    house.committer._observe = measured.committed
    client = house.connect()
    for number in range(3):
        client.say(b"PUSH " + job(number))
        house.commit()
    told = samples(measured)
    assert told["faktory_commit_seconds_count", ()] == 3
    assert told["faktory_commit_seconds_bucket", ("+Inf",)] == 3
    assert not any(name.endswith("_created") for name, _ in told)


def test_a_write_in_the_reactors_thread_is_timed_too(house: House) -> None:
    house.committer._alone = lambda: True
    seconds: list[float] = []
    house.committer._observe = seconds.append
    house.connect().say(b"PUSH " + job(1))
    house.reactor.turn()
    assert len(seconds) == 1
    assert seconds[0] > 0


def test_the_lag_of_the_event_loop_is_a_histogram(measured: Metrics) -> None:
    for seconds in (0.0, 0.004, 0.3, 100.0):
        measured.lag(seconds)
    told = samples(measured)
    assert told["faktory_event_loop_lag_seconds_count", ()] == 4
    assert told["faktory_event_loop_lag_seconds_bucket", ("0.005",)] == 2
    assert told["faktory_event_loop_lag_seconds_sum", ()] == pytest.approx(100.304)


def test_without_backups_nothing_is_told_of_them(measured: Metrics) -> None:
    assert not any("backup" in name for name, _ in samples(measured))


def test_backups_are_told_with_their_age(house: House, measured: Metrics) -> None:
    house.server.backups = backups = SimpleNamespace(count=0, last=None, last_error="no room", running=True)
    told = samples(measured)
    assert told["faktory_backup_failed", ()] == 1
    assert told["faktory_backup_running", ()] == 1
    assert ("faktory_backup_age_seconds", ()) not in told
    last = SimpleNamespace(taken_at=EPOCH - 90, size_bytes=4096, jobs=12)
    vars(backups).update(count=3, last=last, last_error="", running=False)
    told = samples(measured)
    assert told["faktory_backups_total", ()] == 3
    assert told["faktory_backup_failed", ()] == 0
    assert told["faktory_backup_age_seconds", ()] == 90
    assert told["faktory_backup_last_success_timestamp_seconds", ()] == EPOCH - 90
    assert told["faktory_backup_size_bytes", ()] == 4096
    assert told["faktory_backup_jobs", ()] == 12


def test_the_disk_and_what_follows_from_it(house: House, measured: Metrics, tmp_path: Path) -> None:
    (tmp_path / "faktory.db").write_bytes(b"x" * 300)
    told = samples(measured)
    assert told["faktory_disk_free_bytes", ()] == 5_000_000
    assert told["faktory_disk_min_free_bytes", ()] == 1_000_000
    assert told["faktory_store_bytes", ("faktory.db",)] == 300
    assert told["faktory_store_bytes", ("faktory.db-wal",)] == 0
    assert (told["faktory_pushes_refused", ()], told["faktory_ready", ()]) == (0, 1)
    house.manager.refuse_pushes = "the disk is nearly full"
    told = samples(measured)
    assert (told["faktory_pushes_refused", ()], told["faktory_ready", ()]) == (1, 0)


def test_the_process_and_its_versions(house: House, measured: Metrics) -> None:
    house.reactor.advance(77)
    told = samples(measured)
    assert told["faktory_uptime_seconds", ()] == 77
    assert told["faktory_resident_memory_bytes", ()] > 1_000_000
    build = next(labels for name, labels in told if name == "faktory_build_info")
    assert __version__ in build
    assert "1.9.4" in build


def test_the_names_are_those_that_prometheus_asks_for(house: House, measured: Metrics) -> None:
    house.server.backups = SimpleNamespace(
        count=1, last=SimpleNamespace(taken_at=1.0, size_bytes=1, jobs=1), last_error="", running=False
    )
    house.talk().say(b"PUSH " + job(1))
    text = b"".join(measured.scrape()).decode()
    for family in text_string_to_metric_families(text):
        assert family.name.startswith(("faktory_", "process_"))
        assert family.name == family.name.lower()
        counted = family.type == "counter"
        assert counted == any(sample.name.endswith("_total") for sample in family.samples), family.name


@pytest.fixture(autouse=True)
def a_scrape_changes_nothing(house: House) -> Iterator[None]:
    """Whatever was told, the server goes on."""
    yield
    assert house.failures == []


def test_two_scrapes_at_a_time_do_not_disturb_each_other(house: House, measured: Metrics) -> None:
    talk = house.talk()
    for number in range(600):
        talk.say(b"PUSH " + job(number, queue=f'"q{number}"'))
    scrapes: list[Any] = [measured.scrape(), measured.scrape()]
    texts = [b"", b""]
    for _ in range(100):
        for number, scrape in enumerate(scrapes):
            texts[number] += next(scrape, b"")
    queues = [[line for line in text.splitlines() if line.startswith(b"faktory_queue_")] for text in texts]
    assert queues[0] == queues[1]
    assert len(queues[0]) == 4 * 600 + 1


def test_batches_and_tracks_are_counted(house: House, measured: Metrics) -> None:
    talk = house.talk()
    talk.say(b'BATCH NEW {"success":{"jobtype":"Done","args":[]}}')
    for number in range(2):
        talk.say(b"PUSH " + job(number, custom='{"track":1}'))
    told = samples(measured)
    assert told["faktory_batches", ()] == 1
    assert told["faktory_tracks", ()] == 2


def test_unique_and_expired_jobs_are_counted(house: House, measured: Metrics) -> None:
    talk = house.talk()
    for number in range(3):
        talk.say(b"PUSH " + job(number, args="[1]", custom='{"unique_for":60}'))
    talk.say(b"PUSH " + job(4, custom='{"expires_in":10}'))
    told = samples(measured)
    assert told["faktory_unique_locks", ()] == told["faktory_unique_locks_taken_total", ()] == 1
    assert told["faktory_unique_denied_total", ()] == 2
    assert told["faktory_jobs_expired_total", ()] == 0
    house.reactor.advance(61)
    house.manager.upkeep()
    told = samples(measured)
    assert told["faktory_jobs_expired_total", ()] == 1
    assert told["faktory_unique_locks", ()] == 0
    assert told["faktory_unique_locks_taken_total", ()] == 1
