"""Batches (in progress)."""

from faktory_tw.core.facts import Feature
from faktory_tw.wire import CommandError


class Batches(Feature):
    """Batches."""

    kind = "batch"

    def execute(self, argument: bytes) -> bytes:
        """BATCH NEW, OPEN, COMMIT and STATUS."""
        raise CommandError("not yet")
