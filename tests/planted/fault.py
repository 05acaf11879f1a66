"""What a fault is, and the faults of one area together."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """In ``file``, below faktory_tw (of the pages: ``../web/…``), ``text`` becomes ``instead``. ``name`` says what is wrong then."""

    name: str
    file: str
    text: str
    instead: str


class Area(NamedTuple):
    """Faults of one part of the server; ``tests``, patterns of paths, are most likely to notice them, and are run first."""

    tests: tuple[str, ...]
    faults: tuple[Fault, ...]
