"""Tracking (in progress)."""

from faktory_tw.core.facts import Feature
from faktory_tw.wire import CommandError


class Tracking(Feature):
    """Tracks."""

    kind = "track"

    def execute(self, argument: bytes, wid: str) -> bytes:
        """TRACK SET and TRACK GET."""
        raise CommandError("not yet")

    def check_result(self, result: bytes) -> None:
        """Refuse a result that is too long."""

    def take_result(self, jid: str, result: bytes) -> None:
        """The job is done, and this came of it."""
