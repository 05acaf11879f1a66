"""Throttles of a queue with an aging: a job that stands aside counts for more and more, as all others do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faktory_tw.config.policies import QueuePolicy
from faktory_tw.core.manager import Limits
from tests.unit.features.mill import Mill


@pytest.fixture
def mill(tmp_path: Path) -> Iterator[Mill]:
    mill = Mill(tmp_path, 'tenants = { queue = "bulk", key = "0.tenant_id", concurrency = 1 }')
    mill.engine.manager.limit(Limits(policies={"bulk": QueuePolicy(aging=60)}))
    yield mill
    mill.engine.stop()


@pytest.mark.parametrize("tenant", [None, "busy"])
def test_a_job_that_stood_aside_is_served_however_many_of_a_high_priority_come(mill: Mill, tenant: str | None) -> None:
    (first,) = mill.push(tenant="a")
    (low,) = mill.push(tenant="a", priority=1)
    assert mill.fetch_all() == [first]
    mill.ack(first)
    if tenant is not None:  # those of the high priority stand aside, too, and may go as well
        (last,) = mill.push(tenant=tenant, priority=9)
        mill.push(tenant=tenant, priority=9, count=600)
        assert mill.fetch() == last
        mill.ack(last)
    served: list[str] = []
    while low not in served:
        mill.clock.advance(1)
        if tenant is None or len(served) >= 400:
            mill.push(tenant=tenant, priority=9, count=2)
        jid = mill.fetch()
        assert jid is not None
        mill.ack(jid)
        served.append(jid)
        assert len(served) <= 2 * 480 + 1


def test_those_that_stand_aside_go_in_the_order_of_their_aging(mill: Mill) -> None:
    workers = [mill.push(tenant=tenant)[0] for tenant in ("a", "b", "c")]
    assert mill.fetch_all() == workers
    (low,) = mill.push(tenant="a", priority=1)
    mill.clock.advance(481)
    (high,) = mill.push(tenant="b", priority=9)
    mill.clock.advance(1)
    (later,) = mill.push(tenant="c", priority=8)
    assert mill.fetch_all() == []
    mill.engine.manager._cache.clear()  # as in a long queue: their times are on disk
    mill.engine.commit()
    mill.ack(*workers)
    assert mill.fetch_all() == [low, high, later]


def test_a_job_that_is_pushed_goes_by_its_head_start(mill: Mill) -> None:
    (first,) = mill.push(tenant="a")
    (waits,) = mill.push(tenant="a", priority=5)
    assert mill.fetch_all() == [first]
    mill.clock.advance(239)
    (early,) = mill.push(priority=9)
    mill.clock.advance(2)
    (late,) = mill.push(priority=9)
    mill.ack(first)
    assert mill.fetch_all() == [early, waits, late]
