"""Plants faults one at a time and looks whether a test turns red."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.planted import (
    access,
    backups,
    batches,
    clocks,
    committer,
    core,
    crashes,
    cron,
    damage,
    features,
    fuzz,
    http,
    long_run,
    operations,
    overload,
    pages,
    policies,
    storage,
    throttles,
    tracking,
    turns,
)
from tests.planted.fault import Area, Fault

AREAS: Mapping[str, Area] = {
    "access": access.AREA,
    "core": core.AREA,
    "crashes": crashes.AREA,
    "storage": storage.AREA,
    "damage": damage.AREA,
    "committer": committer.AREA,
    "backups": backups.AREA,
    "clocks": clocks.AREA,
    "features": features.AREA,
    "tracking": tracking.AREA,
    "cron": cron.AREA,
    "batches": batches.AREA,
    "pages": pages.AREA,
    "throttles": throttles.AREA,
    "http": http.AREA,
    "operations": operations.AREA,
    "policies": policies.AREA,
    "overload": overload.AREA,
    "fuzz": fuzz.AREA,
    "long run": long_run.AREA,
    "turns": turns.AREA,
}
ROOT = Path(__file__).resolve().parent.parent.parent
NOT_COPIED = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "*.egg-info", "build")
MODEL = "tests/unit/core/test_model.py"
WITHOUT_MODEL = f"--ignore={MODEL}"
FAST = ["tests/unit", WITHOUT_MODEL, "--ignore=tests/unit/web"]
ENOUGH = 3  # red tests; the rest need not run
MOST_RED = 20  # tests that may be red without any fault
LONGEST_SECONDS = 120  # a fault may also make something go on for ever
ALL_SECONDS = 900  # all tests, without a fault, on a machine that has other things to do


def main(arguments: Sequence[str]) -> int:
    """Try faults; the exit status is 1 when one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted_faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"a fault, or an area: {', '.join(AREAS)}")
    parser.add_argument("--check", action="store_true", help="only look whether the faults still fit the source")
    given = parser.parse_args(arguments)
    chosen = wanted(given.names)
    problems = [problem for _, fault in chosen if (problem := misfit(ROOT, fault))]
    problems += [f"there is no {pattern}" for area in AREAS.values() for pattern in area.tests if not found(pattern)]
    if problems:
        sys.exit("\n".join(problems))
    if given.check:
        print(f"{len(chosen)} faults fit the source")  # noqa: T201
        return 0
    with copied() as copy:
        survivors = try_all(copy, chosen, red_from_the_start(copy))
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} faults were noticed")  # noqa: T201
    return 1 if survivors else 0


def wanted(names: Sequence[str]) -> list[tuple[Area, Fault]]:
    """The faults of these names and areas, all without any; exits when there is no such name."""
    everything = [(name, area, fault) for name, area in AREAS.items() for fault in area.faults]
    if unknown := set(names) - {known for name, _, fault in everything for known in (name, fault.name)}:
        sys.exit(f"no such fault or area: {', '.join(sorted(unknown))}")
    return [(area, fault) for name, area, fault in everything if not names or name in names or fault.name in names]


def misfit(tree: Path, fault: Fault) -> str:
    """Why a fault cannot be planted, or "". One that is no Python would be noticed by everything, and say nothing."""
    source = (tree / "faktory_tw" / fault.file).read_text(encoding="utf-8")
    count = source.count(fault.text)
    if count != 1:
        return f"{fault.name}: its text is {count} times in {fault.file}, not once"
    try:
        compile(source.replace(fault.text, fault.instead), fault.file, "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"{fault.name}: what it makes of {fault.file} is no Python: {error}"
    return ""


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the package and its unit tests."""
    with tempfile.TemporaryDirectory(prefix="faktory-faults-") as directory:
        copy = Path(directory) / "copy"
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
        yield copy


def red_from_the_start(copy: Path) -> list[str]:
    """The tests that fail without any fault; exits when they are so many that nothing can be learned."""
    known = red_tests(copy, [*FAST, MODEL], [], enough=10_000, seconds=ALL_SECONDS)
    if len(known) > MOST_RED or any(name.startswith("(") for name in known):
        sys.exit(f"without any fault {len(known)} tests are red, {known[0]} for one: nothing can be learned so")
    if known:
        print(f"red without any fault, and left out: {', '.join(known)}", flush=True)  # noqa: T201
    return known


def try_all(copy: Path, chosen: Sequence[tuple[Area, Fault]], known: Sequence[str]) -> list[str]:
    """Plant each fault; returns the names of those that no test noticed."""
    survivors = []
    for area, fault in chosen:
        with planted(copy, fault):
            red = next((red for tests in stages(area) if (red := red_tests(copy, tests, known))), [])
        if not red:
            survivors.append(fault.name)
        noticed = "noticed: " + ", ".join(dict.fromkeys(map(short, red))) if red else "SURVIVED"
        print(f"{fault.name}\n    {noticed}", flush=True)  # noqa: T201
    return survivors


def stages(area: Area) -> Iterator[list[str]]:
    """What to run until a test is red: the nearest tests, all fast ones, and the long one."""
    yield [*nearest(area), WITHOUT_MODEL]
    yield FAST
    yield [MODEL]


def nearest(area: Area) -> list[str]:
    """The files and folders of an area's tests."""
    return [path for pattern in area.tests for path in found(pattern)]


def found(pattern: str) -> list[str]:
    """What a pattern stands for. pytest fails when a file is missing, which would be taken for a fault noticed."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))


@contextmanager
def planted(copy: Path, fault: Fault) -> Iterator[None]:
    """The copy with a fault in it."""
    path = copy / "faktory_tw" / fault.file
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(fault.text, fault.instead), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def red_tests(
    copy: Path, tests: Sequence[str], known: Sequence[str], enough: int = ENOUGH, seconds: float = LONGEST_SECONDS
) -> list[str]:
    """The tests that fail there, ``enough`` of them; those ``known`` to fail are not run."""
    command = [sys.executable, "-m", "pytest", *tests, "-q", "-n", "0", "--tb=no", "-p", "no:cacheprovider"]
    command += [f"--maxfail={enough}"]
    command += [f"--deselect={name}" for name in known]
    try:
        run = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return ["(a test that went on for ever)"]
    if run.returncode == 0:
        return []
    red = re.findall(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    return red or [f"(pytest itself: {(run.stdout + run.stderr).strip().splitlines()[-1]})"]


def short(test: str) -> str:
    """The name of a test without its file and what it was given."""
    return test.rpartition("::")[2].partition("[")[0]
