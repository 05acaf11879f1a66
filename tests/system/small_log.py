"""The server with a write-ahead log of 1 MiB, a checkpoint every few dozen writes and a small reserve.

    python -m tests.system.small_log -n --pidfile= faktory -d …

What the real one does once in thousands of commands happens many times in a short test then.
"""

from __future__ import annotations

from collections.abc import Callable

from faktory_tw.storage import database, sqlite

LOG_PAGES = 200
FEWEST_WRITES = 25
RESERVE_BYTES = 4 << 20


def make_small(change: Callable[[object, str, object], None] = setattr) -> None:
    """Do it in this process; `change` is what undoes it again after a test."""
    change(database, "LOG_PAGES", LOG_PAGES)
    change(sqlite, "LOG_PAGES", LOG_PAGES)
    change(sqlite, "_FEWEST_WRITES", FEWEST_WRITES)
    change(database, "RESERVE_BYTES", RESERVE_BYTES)


if __name__ == "__main__":
    from twisted.scripts.twistd import run

    make_small()
    run()
