"""Coverage-guided fuzzing of a target, in a process of its own: libFuzzer never returns.

What fails is kept as a file, once for each place in the code where it failed, and the fuzzing goes on. What stops the
process, memory or a minute without an end, is kept by libFuzzer itself, and the rest of the time is begun anew.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz import corpus

MOST_MEMORY_MIB = 1500
MOST_SECONDS = 30  # for one input
MOST_KEPT = 40  # inputs of a target: all are replayed by the tests
LONGEST_KEPT = 600
_TELL_SECONDS = 1.0
_STATUS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_PEAK = re.compile(r"peak_rss_mb:\s+(\d+)|rss: (\d+)Mb")
HEAD = f"{'target':<14}{'inputs':>9}{'seconds':>9}{'edges':>8}{'new':>7}{'corpus':>8}{'slowest ms':>12}{'MiB':>6}{'failures':>10}"


class Outcome(NamedTuple):
    """What came of fuzzing a target. ``edges``: how many were seen of the code; ``new``: beyond those of the corpus."""

    target: str
    inputs: int
    seconds: float
    edges: int
    new: int
    corpus: int
    slowest_ms: float
    peak_mib: int
    failures: dict[str, str]  # the file that has the input, and what it broke

    def row(self) -> str:
        """A row of the table."""
        return (
            f"{self.target:<14}{self.inputs:>9,}{self.seconds:>9.0f}{self.edges:>8,}{self.new:>7,}{self.corpus:>8,}"
            f"{self.slowest_ms:>12.0f}{self.peak_mib:>6}{len(self.failures):>10}"
        )


def place_of(error: BaseException) -> str:
    """Where and how something failed: equal for two inputs that fail alike."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/fuzz/cost.py" not in frame.filename]
    last = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-3:]]
    return f"{type(error).__name__} at {' > '.join(last)}"


class Watch:
    """Runs a target and keeps what fails; tells the other process how it goes, once a second."""

    def __init__(self, run: Callable[[bytes], None], crashes: Path, told: Path) -> None:
        self._run = run
        self._crashes = crashes
        self._told = told
        self._inputs = 0
        self._slowest = 0.0
        self._failures: dict[str, str] = {}
        self._places: set[str] = set()
        self._tell_at = 0.0

    def __call__(self, data: bytes) -> None:
        began = time.perf_counter()
        try:
            self._run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            self._note(data, error)
        now = time.perf_counter()
        self._inputs += 1
        self._slowest = max(self._slowest, now - began)
        if now >= self._tell_at:
            self._tell_at = now + _TELL_SECONDS
            self._tell()

    def _note(self, data: bytes, error: Exception) -> None:
        place = place_of(error)
        if place in self._places:
            return
        self._places.add(place)
        path = self._crashes / f"crash-{corpus.name_of(data)}"
        path.write_bytes(data)
        self._failures[str(path)] = f"{place}: {error}"[:500]
        self._tell()

    def _tell(self) -> None:
        text = json.dumps({"inputs": self._inputs, "slowest": self._slowest, "failures": self._failures})
        self._told.write_text(text, encoding="utf-8")


def fuzz(
    target: str, seconds: float, seeds: Sequence[bytes], directory: Path, progress: Callable[[str], None]
) -> Outcome:
    """Fuzz a target for so long. ``directory`` keeps the corpus as it grows, and what fails."""
    inputs, crashes = directory / "corpus" / target, directory / "crashes" / target
    for path in (inputs, crashes):
        path.mkdir(parents=True, exist_ok=True)
    corpus.unpack(seeds, inputs)
    began = time.monotonic()
    total: dict[str, Any] = {"inputs": 0, "slowest": 0.0, "failures": {}, "edges": 0, "first": 0, "peak": 0}
    while (left := seconds - (time.monotonic() - began)) > 1:
        with tempfile.TemporaryDirectory() as told:
            _one_process(target, left, inputs, crashes, Path(told) / "told", total, progress)
        if not total["inputs"]:
            raise RuntimeError(f"{target} cannot be fuzzed: {total.get('said', '')}")
    return Outcome(
        target,
        total["inputs"],
        time.monotonic() - began,
        total["edges"],
        total["edges"] - total["first"],
        len(list(inputs.iterdir())),
        total["slowest"] * 1000,
        total["peak"],
        total["failures"],
    )


def _one_process(
    target: str,
    seconds: float,
    inputs: Path,
    crashes: Path,
    told: Path,
    total: dict[str, Any],
    progress: Callable[[str], None],
) -> None:
    command = [sys.executable, "-m", "tests.fuzz", target, "--be", str(told), "--corpus", str(inputs), "--crashes"]
    command += [str(crashes), "--seconds", str(int(seconds) + 1)]
    before = set(crashes.iterdir())
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    assert process.stderr is not None
    lines: list[str] = []
    with process.stderr:
        for line in process.stderr:
            lines = [*lines[-30:], line]
            _take_status(line, total)
            if _STATUS.match(line):
                progress(f"{target}: {line.strip()}")
    status = process.wait()
    total["said"] = "".join(lines)
    if told.exists():
        said = json.loads(told.read_text(encoding="utf-8"))
        total["inputs"] += said["inputs"]
        total["slowest"] = max(total["slowest"], said["slowest"])
        total["failures"].update(said["failures"])
    if status:
        for path in set(crashes.iterdir()) - before - set(map(Path, total["failures"])):
            why = next((line.strip() for line in reversed(lines) if "ERROR: " in line), f"exit status {status}")
            total["failures"][str(path)] = why


def keep(target: str, seeds: Sequence[bytes], directory: Path) -> int:
    """Put some of what was found beyond the seeds into tests/data/fuzz, beside what is there. Returns how many there are.

    libFuzzer keeps an input only when it showed something new, so any of them are worth to begin with.
    """
    found = set(corpus.packed(directory / "corpus" / target)).difference(seeds)
    small = sorted((data for data in found if len(data) <= LONGEST_KEPT), key=lambda data: (len(data), data))
    there = corpus.kept(target)
    every = max(-(-len(small) // max(MOST_KEPT - len(there), 1)), 1)
    return corpus.keep(target, [*there, *small[::every]][:MOST_KEPT])


def _take_status(line: str, total: dict[str, Any]) -> None:
    found = _STATUS.match(line)
    if found is not None:
        total["edges"] = max(total["edges"], int(found[2]))
        if "INITED" in line and not total["first"]:
            total["first"] = int(found[2])
    peak = _PEAK.search(line)
    if peak is not None:
        total["peak"] = max(total["peak"], int(peak[1] or peak[2]))
