"""Garbage that has grown old is collected by the server, as the interpreter would only after days."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from faktory_tw import process
from tests.unit.stage import Stage


class Knot:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture
def old() -> Iterator[weakref.ref[Knot]]:
    """Garbage that has survived all young generations."""
    gc.disable()
    knot = Knot()
    gc.collect()
    found = weakref.ref(knot)
    del knot
    yield found
    gc.enable()


def test_old_garbage_is_collected(old: weakref.ref[Knot], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_COLLECTED", 10**9)
    gc.collect(1)
    assert old() is not None
    process.collect_garbage()
    assert old() is None


def test_of_many_objects_none_is_looked_at(old: weakref.ref[Knot], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_COLLECTED", 1)
    process.collect_garbage()
    assert old() is not None


def test_a_server_collects_garbage_every_ten_minutes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []
    monkeypatch.setattr(process, "collect_garbage", lambda: times.append(stage.reactor.seconds()))
    stage.service().startService()
    began = stage.reactor.seconds()
    for _ in range(25):
        stage.reactor.advance(60)
    assert [round(moment - began) for moment in times] == [600, 1200]
