"""All traits."""

from __future__ import annotations

from tests.system.traits.batches import Batches
from tests.system.traits.cron import Cron
from tests.system.traits.expiry import Expiring
from tests.system.traits.orders import Cancelled, Gate, Orders, Patience
from tests.system.traits.policies import Crowded
from tests.system.traits.throttles import Throttles
from tests.system.traits.tracking import Tracked
from tests.system.traits.trait import Trait
from tests.system.traits.unique import Unique


def standard_traits() -> tuple[Trait, ...]:
    """New ones, for one run."""
    return (
        Cancelled(),  # the first: it says what becomes of a job, and others add to that
        Unique(),
        Expiring(),
        Tracked(),
        Throttles(),
        Gate(),
        Crowded(),
        Patience(),
        Batches(),
        Cron(),
        Orders(),
    )
