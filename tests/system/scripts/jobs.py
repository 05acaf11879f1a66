"""The jobs that every worker program of the system tests can do, here for the Python libraries.

record text…            prints `done ["text", …]`
fail_first path text…   fails the first time (it makes the file `path`), prints `done ["text", …]` the next
always_fails text       fails with `ValueError: text`
"""

import json
import os
from pathlib import Path
from typing import Any


def record(*args: Any) -> None:
    """Print the arguments in one write, because jobs may run in several processes at once."""
    os.write(1, b"done " + json.dumps(args).encode() + b"\n")


def fail_first(path: str, *args: Any) -> None:
    marker = Path(path)
    if not marker.exists():
        marker.touch()
        raise RuntimeError("not the first time")
    record(*args)


def always_fails(text: str) -> None:
    raise ValueError(text)


JOBS = {"record": record, "fail_first": fail_first, "always_fails": always_fails}
