"""The features that every server has."""

from __future__ import annotations

from faktory_tw.core.facts import Feature
from faktory_tw.features.batches import Batches
from faktory_tw.features.cancel import Cancel
from faktory_tw.features.cron import Cron
from faktory_tw.features.expiry import Expiry
from faktory_tw.features.throttles import Throttles
from faktory_tw.features.tracking import Tracking
from faktory_tw.features.unique import Unique


def standard_features() -> tuple[Feature, ...]:
    """New ones, for one manager."""
    return (Unique(), Expiry(), Tracking(), Cancel(), Batches(), Cron(), Throttles())
