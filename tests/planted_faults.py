"""Faults planted one at a time into a copy of the package: each must turn a unit test red.

``python -m tests.planted_faults`` tries all of them and exits with 1 when one survives; names of faults or of areas as
arguments try those, and ``--check`` only looks whether they still fit the source. A test suite that stays green when an
ACK is not recorded is worth nothing, and nobody notices; so every promise has a fault in tests/planted that breaks it. A
fault whose text is no longer in the source is an error: the source has moved on, and the fault has to follow it.
"""

from __future__ import annotations

import sys

from tests.planted.runner import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
