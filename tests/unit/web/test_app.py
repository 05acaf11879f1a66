"""What programs ask for that watch the server, and what all answers have in common."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faktory_tw.metrics import Metrics
from tests.unit.house import EPOCH, House, job
from tests.unit.web.browsing import Exchange, ask


def test_health_says_that_the_server_is_alive(house: House) -> None:
    house.connect()
    answer = ask(house, "/health")
    assert answer.status == 200
    told = answer.json()
    assert told.keys() == {"now", "server"}
    assert told["now"] == "2026-09-21T14:13:20.000000Z"
    assert told["server"] == {
        "description": "Faktory",
        "faktory_version": "1.9.4",
        "connections": 1,
        "command_count": 0,
    }


def test_health_needs_no_password(locked_house: House) -> None:
    assert ask(locked_house, "/health").status == 200


def test_stats_are_those_of_info(house: House) -> None:
    house.talk().say(b"PUSH " + job(1))
    told = ask(house, "/stats").json()
    for member in (told, expected := house.server.info()):
        member["server"].pop("used_memory_mb")
    assert told == expected
    assert told["faktory"]["queues"] == {"default": 1}


def test_stats_of_many_queues_are_gathered_in_slices_and_come_whole_and_in_order(house: House) -> None:
    for number in range(3000):
        house.talk().say(b"PUSH " + job(number, queue=f'"q{number}"'))
    exchange = Exchange(house)
    exchange.send(b"GET /stats HTTP/1.1\r\nHost: localhost:7420\r\nConnection: close\r\n\r\n")
    turns = 0
    while not exchange.answers():
        turns += 1
        house.reactor.turn()
    assert turns > 4
    [answer] = exchange.answers()
    exchange.leave()
    queues = answer.json()["faktory"]["queues"]
    assert list(queues) == sorted(house.manager.queue_names())
    assert sum(queues.values()) == 3000


def test_stats_are_told_to_who_knows_the_password(locked_house: House) -> None:
    answer = ask(locked_house, "/stats", password="sécret")
    assert answer.status == 200
    assert "faktory" in answer.json()


@pytest.mark.parametrize("password", [None, "", "secret", "sécret ", "S\u00c9CRET"])
def test_stats_are_not_told_to_who_does_not_know_the_password(locked_house: House, password: str | None) -> None:
    answer = ask(locked_house, "/stats", password=password)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')
    assert b"faktory_version" not in answer.body
    assert b"queues" not in answer.body


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic " + "=" * 50, "Bearer x", "Basic c29tZWJvZHk="])
def test_an_authorization_that_makes_no_sense_is_none(locked_house: House, header: str) -> None:
    assert ask(locked_house, "/stats", Authorization=header).status == 401


@pytest.mark.parametrize("path", ["/health", "/ready", "/stats", "/metrics"])
def test_answers_carry_the_headers_that_keep_a_browser_safe(locked_house: House, path: str) -> None:
    headers = ask(locked_house, path).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/nowhere", "/health/more", "/stats.json", "/%2e%2e/etc/passwd", "/health%00"])
def test_an_unknown_path_is_not_found(house: House, path: str) -> None:
    answer = ask(house, path)
    assert answer.status == 404
    assert b"Traceback" not in answer.body


def test_an_unknown_path_carries_the_headers_that_keep_a_browser_safe(house: House) -> None:
    headers = ask(house, "/<script>alert(1)</script>").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in (headers["Content-Security-Policy"] or "")


@pytest.mark.parametrize("path", ["/health", "/ready", "/stats"])
def test_head_gets_the_headers_and_no_body(house: House, path: str) -> None:
    answer, whole = ask(house, path, method="HEAD"), ask(house, path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == whole.headers["Content-Type"]
    assert answer.body == b""
    assert whole.body != b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_pages_that_only_tell_take_nothing(house: House, method: str) -> None:
    assert ask(house, "/stats", method=method, **{"Content-Length": "0"}).status == 405


def test_a_failure_shows_nothing_of_the_server(
    house: House, monkeypatch: pytest.MonkeyPatch, failures: list[str]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr(house.server, "health", fail)
    answer = ask(house, "/health")
    assert answer.status == 500
    assert b"secret inside" not in answer.body
    assert b"Traceback" not in answer.body
    assert len(failures) == 1
    assert "secret inside" in failures.pop()


# -- backups ---------------------------------------------------------------------------------------------------------


def backups(**others: Any) -> SimpleNamespace:
    """What is known of backups, when none was made."""
    return SimpleNamespace(**{"count": 0, "last": None, "last_error": "", "running": False, **others})


def test_health_is_well_and_tells_of_a_backup_that_failed_but_not_why(house: House) -> None:
    house.server.backups = backups(last_error="cannot write /srv/secret/place: no room")
    answer = ask(house, "/health")
    assert answer.status == 200
    assert answer.json()["backup"] == {"failed": True, "last_success": None}
    assert b"secret" not in answer.body


def test_health_tells_when_the_last_backup_was_made(house: House) -> None:
    house.server.backups = backups(count=1, last=SimpleNamespace(taken_at=EPOCH, size_bytes=1, jobs=2))
    assert ask(house, "/health").json()["backup"] == {"failed": False, "last_success": "2026-09-21T14:13:20.000000Z"}


def test_stats_tell_of_backups_with_the_other_tasks(house: House) -> None:
    assert "backup" not in ask(house, "/stats").json()["faktory"]["tasks"]
    last = SimpleNamespace(taken_at=EPOCH, size_bytes=4096, jobs=2)
    house.server.backups = backups(count=3, last=last, last_error="no room in /backups")
    assert ask(house, "/stats").json()["faktory"]["tasks"]["backup"] == {
        "count": 3,
        "last_error": "no room in /backups",
        "last_at": "2026-09-21T14:13:20.000000Z",
        "size": 4096,
        "jobs": 2,
    }


# -- ready -----------------------------------------------------------------------------------------------------------


def test_a_server_that_takes_jobs_is_ready(locked_house: House) -> None:
    answer = ask(locked_house, "/ready")
    assert answer.status == 200
    assert answer.json() == {"ready": True, "reasons": []}


@pytest.mark.parametrize(
    ("state", "reason"),
    [("stopping", "stopping"), ("store_failed", "the store failed")],
)
def test_a_server_that_takes_no_jobs_says_why(house: House, state: str, reason: str) -> None:
    setattr(house.server, state, True)
    answer = ask(house, "/ready")
    assert answer.status == 503
    told = answer.json()
    assert told["ready"] is False
    assert len(told["reasons"]) == 1
    assert reason in told["reasons"][0]
    assert ask(house, "/health").status == 200


def test_a_server_without_room_is_not_ready_until_there_is_some(house: House) -> None:
    house.manager.refuse_pushes = "the disk is nearly full, 5 MiB free"
    answer = ask(house, "/ready")
    assert answer.status == 503
    assert answer.json()["reasons"] == ["the disk is nearly full, 5 MiB free"]
    house.manager.refuse_pushes = ""
    assert ask(house, "/ready").status == 200


def test_a_store_that_failed_is_the_reason_that_counts(house: House) -> None:
    house.server.stopping = house.server.store_failed = True
    house.manager.refuse_pushes = "the disk is nearly full"
    assert len(ask(house, "/ready").json()["reasons"]) == 1


# -- metrics ---------------------------------------------------------------------------------------------------------


def measure(house: House, directory: Path) -> None:
    house.server.metrics = Metrics(house.server, directory, SimpleNamespace(free=1, least=0))


def test_metrics_are_text_as_prometheus_wants_it(house: House, tmp_path: Path) -> None:
    measure(house, tmp_path)
    house.talk().say(b"PUSH " + job(1))
    answer = ask(house, "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'faktory_queue_size{queue="default"} 1.0\n' in answer.body
    assert ask(house, "/metrics", method="HEAD").body == b""


def test_metrics_of_many_queues_come_whole(house: House, tmp_path: Path) -> None:
    measure(house, tmp_path)
    for number in range(600):
        house.talk().say(b"PUSH " + job(number, queue=f'"q{number}"'))
    assert ask(house, "/metrics").body.count(b"faktory_queue_paused{") == 600


def test_a_scrape_of_many_queues_lets_others_in(house: House, tmp_path: Path) -> None:
    measure(house, tmp_path)
    for number in range(600):
        house.talk().say(b"PUSH " + job(number, queue=f'"q{number}"'))
    exchange = Exchange(house)
    exchange.send(b"GET /metrics HTTP/1.0\r\n\r\n")
    count = 0
    while not exchange.raw:
        count += 1
        house.reactor.turn()
    assert count > 10
    exchange.leave()


def test_metrics_are_not_told_to_who_does_not_know_the_password(locked_house: House, tmp_path: Path) -> None:
    measure(locked_house, tmp_path)
    assert ask(locked_house, "/metrics").status == 401
    assert ask(locked_house, "/metrics", password="wrong").status == 401
    assert ask(locked_house, "/metrics", password="sécret").status == 200


def test_a_server_that_measures_nothing_has_no_metrics(house: House) -> None:
    assert ask(house, "/metrics").status == 404


@pytest.mark.parametrize("path", ["/stats", "/metrics"])
def test_the_web_may_have_a_password_of_its_own(locked_house: House, tmp_path: Path, path: str) -> None:
    measure(locked_house, tmp_path)
    locked_house.server.web_password = "öther"
    assert ask(locked_house, path, password="sécret").status == 401
    assert ask(locked_house, path).status == 401
    assert ask(locked_house, path, password="öther").status == 200


def test_the_web_may_have_a_password_where_clients_have_none(house: House) -> None:
    house.server.web_password = "other"
    assert ask(house, "/stats").status == 401
    assert ask(house, "/stats", password="other").status == 200
    assert ask(house, "/health").status == 200
    assert ask(house, "/ready").status == 200
