"""Damage the files of a database at random, many times, and see what the server makes of them.

    python -m tests.system.damages --times 2000 --seed 1

The database of a server that was stopped, and that of one that was killed, with its log, are copied; a few bytes, a
sector or pages are overwritten, or a file is cut off or deleted; then it is opened as at a start, and every job is read. What may
come of it: all is well (nothing that counts was hit); it is refused, with the command that restores a backup; or jobs
are other ones, or fewer, without a word. The last is wrong when all are gone, or when the damage is one that is
promised to be found: of the log, before its last commits. Elsewhere it is counted: SQLite's pages have no checksums.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from faktory_tw.storage.store import StoreError
from tests.system.ledger import Verdict
from tests.system.power_loss import Opened, job_id
from tests.system.small_log import make_small
from tests.system.torture import say, table

JOBS = 300
LAST = 40  # written one by one, after the others
EVERY = 7  # of the jobs is too long for one page
PAGE, FRAME, HEADER = 4096, 4096 + 24, 32
# What may not be found: damage in the last commits, each of a few pages.
LAST_COMMITS = 3


class Original(NamedTuple):
    """What is damaged: a directory, and the jobs in it."""

    name: str
    directory: Path
    jobs: dict[str, bytes]


class Blow(NamedTuple):
    """One damage. `at` is where it begins, `size` how long it is."""

    how: str
    file: str
    at: int
    size: int


def make(directory: Path) -> Iterator[Original]:
    """Fill a database; yield what a killed and what a stopped server leave of it."""
    engine = Opened(directory / "filled")
    for number in range(JOBS):
        text = "x" * (5000 if number % EVERY == 0 else 100 + number)
        custom = ({"unique_for": 1e6}, {"expires_in": 1e6}, None)[number % 3]
        engine.push(f"job-{number:04}", args=[number, text], custom=custom)
        if number < 20 or number % 20 == 0 or number >= JOBS - LAST:
            engine.commit()
        if number == JOBS // 2:
            engine.store.checkpoint_soon()
            engine.store.upkeep()
    engine.commit()
    killed, stopped = directory / "killed", directory / "filled"
    (stopped / "reserve").write_bytes(b"")  # that there is one counts, and it is copied often
    shutil.copytree(stopped, killed)
    engine.stop()
    engine = Opened(stopped)
    jobs = read(engine)
    engine.stop()
    (stopped / "reserve").write_bytes(b"")
    assert len(jobs) == JOBS
    yield Original("killed", killed, jobs)
    yield Original("stopped", stopped, jobs)


def read(engine: Opened) -> dict[str, bytes]:
    """Return the text of every job, by jid, as workers would get it."""
    ids = [job_id for _, _, run in engine.store.queued() for job_id in run]
    return {job_id(row.body or b""): row.body for row in engine.store.read(ids)}


def strike(directory: Path, rng: random.Random) -> Blow:
    """Damage something; return what was done."""
    names = [name for name in ("faktory.db", "faktory.db-wal") if (directory / name).exists()]
    file = directory / rng.choice(names)
    whole = file.stat().st_size
    how = rng.choice(("overwritten",) * 6 + ("zeroed",) * 3 + ("cut off",) * 2 + ("emptied", "deleted"))
    size = min(rng.choice((1, 8, 512, PAGE, 8 * PAGE)), whole)
    at = rng.choice((0, rng.randrange(whole - size + 1), rng.randrange(whole - size + 1) // 512 * 512))
    if how == "deleted":
        file.unlink()
    elif how in ("cut off", "emptied"):
        at = 0 if how == "emptied" else at
        with file.open("r+b") as handle:
            handle.truncate(at)
        size = whole - at
    else:
        with file.open("r+b") as handle:
            handle.seek(at)
            handle.write(bytes(size) if how == "zeroed" else rng.randbytes(size))
    return Blow(how, file.name, at, size)


def outcome(original: Original, directory: Path) -> tuple[str, str]:
    """Open it; return what came of it and what was told."""
    engine = None
    try:
        engine = Opened(directory)
        jobs = read(engine)
    except StoreError as error:
        named = "faktory-tw restore latest -d " in str(error)
        return "refused" if named else "refused without a remedy", str(error)
    except Exception as error:  # noqa: BLE001 - that nothing else comes out is what is tested
        return "a traceback", repr(error)
    finally:
        if engine is not None:
            engine.stop()
    if jobs == original.jobs:
        return "all is well", ""
    if not jobs:
        return "begins anew", ""
    lost = len(original.jobs.keys() - jobs.keys())
    return ("fewer jobs", f"{lost} of them") if lost else ("other jobs", "")


def judge(original: Original, blow: Blow, result: str, first_of_last: int) -> bool:
    """Whether this outcome is a wrong one. Who deletes the database of a stopped server wants to begin anew."""
    if result == "begins anew":
        return blow.how != "deleted" or original.name == "killed"
    if result in ("a traceback", "refused without a remedy"):
        return True
    unpromised = blow.how in ("cut off", "emptied", "deleted") or blow.at + blow.size > first_of_last
    return result != "all is well" and blow.file.endswith("-wal") and result != "refused" and not unpromised


def start_of_last_commits(log: Path) -> int:
    """Return where in the log the commits begin of which a power cut may have damaged the end."""
    data = log.read_bytes()
    ends = [
        at
        for at in range(HEADER, len(data) - FRAME + 1, FRAME)
        if any(data[at + 4 : at + 8]) and data[at + 8 : at + 16] == data[16:24]
    ]
    return ends[-LAST_COMMITS - 1]


def damages(times: int, seed: int, report: Callable[[int], None] = lambda number: None) -> Verdict:
    """Run it all."""
    rng, verdict, figures = random.Random(seed), Verdict(), Counter[str]()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as workshop:
        originals = list(make(Path(workshop)))
        first_of_last = start_of_last_commits(originals[0].directory / "faktory.db-wal")
        copy = Path(workshop, "copy")
        for number in range(times):
            original = rng.choice(originals)
            shutil.copytree(original.directory, copy)
            blow = strike(copy, rng)
            result, told = outcome(original, copy)
            if judge(original, blow, result, first_of_last):
                verdict.find(result, f"{original.name}, {blow}: {told}")
            what = "log" if blow.file.endswith("-wal") else "database"
            figures[f"{what} {blow.how}: {result}"] += 1
            shutil.rmtree(copy)
            report(number + 1)
    verdict.figures = {"directories damaged": times, **dict(sorted(figures.items()))}
    return verdict


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    make_small()
    started = time.monotonic()
    verdict = damages(options.times, options.seed, lambda number: say(f"\r{number}", end=""))
    say("\n" + table(verdict, time.monotonic() - started))
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
