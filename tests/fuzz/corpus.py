"""Inputs to begin with, kept in ``tests/data/fuzz``: a file for each target, and in it a line for each input.

A line is a JSON string whose characters are the bytes, so that a change of the corpus can be read. The coverage-guided
driver wants a file for each input; it gets them in a directory of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

KEPT = Path(__file__).parents[1] / "data" / "fuzz"


def kept(target: str, directory: Path = KEPT) -> list[bytes]:
    """The inputs that are kept for a target."""
    path = directory / f"{target}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line).encode("latin-1") for line in path.read_text(encoding="ascii").splitlines()]


def keep(target: str, inputs: Iterable[bytes], directory: Path = KEPT) -> int:
    """Write the inputs of a target, the shortest first. Returns how many there are."""
    found = sorted(set(inputs), key=lambda data: (len(data), data))
    text = "".join(json.dumps(data.decode("latin-1")) + "\n" for data in found)
    (directory / f"{target}.jsonl").write_text(text, encoding="ascii")
    return len(found)


def name_of(data: bytes) -> str:
    """The name of an input as a file."""
    return hashlib.sha256(data).hexdigest()[:16]


def unpack(inputs: Iterable[bytes], directory: Path) -> None:
    """Write each input into a file."""
    directory.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (directory / name_of(data)).write_bytes(data)


def packed(directory: Path) -> list[bytes]:
    """The inputs in the files of a directory."""
    return [path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()]
