"""Crowds at the web port of a real process, few of them and for a moment; ``python -m tests.fuzz.http`` has more."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.http.trial import make_server, notice
from tests.requirements import require_module
from web.gate.connections import MOST_CONNECTIONS


def test_whatever_is_asked_is_answered_by_the_rules(tmp_path: Path) -> None:
    require_module("jsonschema")
    server = make_server(tmp_path)
    try:
        noticed = notice(server, "asking", connections=4, seconds=1.0, seed=1)
    finally:
        server.close()
    assert noticed.failures == []
    assert len(noticed.told["statuses"]) > 1


def test_more_silent_connections_than_there_are_places_keep_nobody_out(tmp_path: Path) -> None:
    server = make_server(tmp_path)
    try:
        noticed = notice(server, "silent", connections=MOST_CONNECTIONS + 100, seconds=1.0, seed=1)
    finally:
        server.close()
    assert noticed.failures == []
    assert noticed.told["opened"] > MOST_CONNECTIONS
    assert noticed.refused_healths == 0
    assert noticed.healths
