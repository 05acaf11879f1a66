"""Throttles with ``worker`` where many FETCHes wait of workers that may have no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faktory_tw.features.throttles.lanes import Lane
from tests.unit.features.mill import Mill, got


@pytest.fixture
def mill(tmp_path: Path) -> Iterator[Mill]:
    mill = Mill(tmp_path, "bulk = { worker = 1 }")
    yield mill
    mill.engine.stop()


def test_a_worker_with_many_connections_is_asked_once(mill: Mill) -> None:
    mill.push()
    mill.fetch(wid="full")
    full = [mill.wait(wid="full") for _ in range(300)]
    other = mill.wait(wid="other")
    (second,) = mill.push()
    assert got(other) == [second]
    assert not any(client.jobs for client in full)


def test_many_workers_that_may_have_no_more_are_asked_in_several_turns(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    wids = [f"w{number}" for number in range(150)]
    mill.push(count=150)
    held = [mill.fetch(wid=wid) for wid in wids]
    clients = [mill.wait(wid=wid) for wid in wids]
    full_for, asked = Lane.full_for, []

    def count(lane: Lane, wid: str) -> bool:
        asked.append(wid)
        return full_for(lane, wid)

    monkeypatch.setattr(Lane, "full_for", count)
    jids = mill.push(count=500)
    assert len(asked) < 5000, "of 75000 that are to be asked when each job is offered to all"
    assert mill.hurried[-1] == 0.0
    mill.ack(str(held[-1]))
    while mill.engine.manager.look_on():
        pass
    assert (got(clients[-1]), got(clients[0])) == ([jids[0]], [])
