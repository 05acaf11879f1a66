"""What a test needs of the machine, in one place.

A developer without Node should still be able to run the tests, so a test that needs it is skipped there, with the reason.
Continuous integration installs everything and exports FAKTORY_TW_REQUIRE_ALL=1, because a skip nobody sees is a test
nobody runs: with it, what would be skipped fails.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest

REQUIRE_ALL = "FAKTORY_TW_REQUIRE_ALL"


def missing(reason: str) -> NoReturn:
    """Skip the running test for `reason`, or fail it where everything has to be there. Never returns."""
    if os.environ.get(REQUIRE_ALL, "") not in ("", "0"):
        pytest.fail(f"{reason} (and {REQUIRE_ALL} is set)", pytrace=False)
    pytest.skip(reason)


def require_module(name: str) -> None:
    """Without the module `name` the running test is skipped or fails, see `missing`."""
    if importlib.util.find_spec(name) is None:
        missing(f"the module {name!r} is not installed")


def require(tool: str) -> str:
    """Return the path of the program `tool`; without it the running test is skipped or fails, see `missing`."""
    path = shutil.which(tool)
    if path is None:
        missing(f"the program {tool!r} is not installed")
    return path
