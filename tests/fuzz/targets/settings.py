"""What an operator writes: TOML, environment variables and options, values, cron schedules."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from faktory_tw import config
from faktory_tw.config import ConfigError
from faktory_tw.config.keys import SETTINGS
from faktory_tw.core.manager import JobManager, Limits
from faktory_tw.features.cron import Cron, check_job
from faktory_tw.features.standard import standard_features
from faktory_tw.schedule import Schedule
from faktory_tw.tap import check_address
from tests.fuzz.cost import limited
from tests.fuzz.memory import Memory
from tests.fuzz.state import do_duties, snapshot
from tests.unit.doubles import FakeClock

_README = Path(__file__).parents[3] / "README.rst"
_MOST_VARIABLES = 20
_LAST = 253_402_300_799.0
_KINDS = {setting.key: setting.kind for setting in SETTINGS}


@dataclass
class _Given:
    options: dict[str, Any]
    environ: dict[str, str]


def _given(text: str, directory: Path) -> _Given:
    """Variables and options, which stand in comments of the file: ``#env NAME=value``, ``#opt name=value``."""
    given = _Given({"config": str(directory)}, {"HOME": str(directory)})
    for line in islice((line for line in text.split("\n") if line[:5] in ("#env ", "#opt ")), _MOST_VARIABLES):
        name, _, value = line[5:].partition("=")
        if line.startswith("#env ") and name and "\0" not in line:
            given.environ[name] = value
        elif name in ("environment", "log-level"):
            given.options[name] = value
    return given


def toml(data: bytes) -> None:
    """Files of ``conf.d``, cut at lines ``#file``: read, and a server set up with them, or each mistake told."""
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="faktory-fuzz-", dir=memory if memory.is_dir() else None))
    try:
        (directory / "conf.d").mkdir()
        for number, part in enumerate(data.split(b"\n#file\n")[:3]):
            (directory / "conf.d" / f"{number}.toml").write_bytes(part)
        given = _given(data.decode("utf-8", "surrogateescape"), directory)
        _load(given, len(data))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _load(given: _Given, size: int) -> None:
    checked = limited(
        lambda: config.check(None, given.environ, given.options, check_address, check_job), 40 * size + 5000
    )
    for said in (*checked.problems, *checked.warnings, *checked.left_out):
        if not said.strip() or len(said) > 20_000:
            raise AssertionError(f"a complaint of {len(said)} characters: {said[:200]!r}")
    for row in checked.rows:
        f"{row.key} {row.value} {row.origin}".encode("utf-8", "surrogateescape")
    try:
        loaded = config.load(given.options, given.environ, check_address, check_job)
    except ConfigError as error:
        if list(error.problems) != list(checked.problems):
            raise AssertionError(f"{error.problems!r} here, {checked.problems!r} there") from None
        return
    if checked.problems:
        raise AssertionError(f"it starts with {checked.problems!r}")
    _set_up(loaded.settings)


def _set_up(settings: config.Settings) -> None:
    """Start with these settings, push to all queues they name, and let cron do its work for a day."""
    clock = FakeClock()
    store = Memory()
    limits = Limits(max_queue_size=settings.max_queue_size, policies=settings.queue_policies)
    manager = JobManager(store, clock, lambda n: 0, limits, standard_features())
    manager.facts.configure(settings)
    manager.load()
    for seconds in (0.0, 60.0, 86_400.0):
        clock.advance(seconds)
        do_duties(manager)
        store._take(manager.seal())
        store.written()
    for name in [*settings.queue_policies, *(throttle.queue for throttle in settings.throttles)][:50]:
        if manager.fetch((name or "default",), None) is not None:
            do_duties(manager)
    snapshot(manager)
    if len(manager.facts.find(Cron)) != len(settings.cron):
        raise AssertionError("an entry of cron is lost")


def readme_files() -> Iterator[bytes]:
    """The examples of the README that are TOML, and a file with everything."""
    block: list[str] = []
    for line in _README.read_text(encoding="utf-8").splitlines():
        if line.startswith("    ") or (block and not line.strip()):
            block.append(line[4:])
            continue
        if any(each.startswith("[") and each.rstrip().endswith("]") for each in block):
            yield "\n".join(block).strip().encode()
        block = []


def value(data: bytes) -> None:
    """The name of a setting, ``=`` and a text, as a variable or an option has it: read, or refused with a sentence."""
    name, _, text = data.decode("utf-8", "surrogateescape").partition("=")
    kind = _KINDS.get(name) or _KINDS[sorted(_KINDS)[len(name) % len(_KINDS)]]
    for read in (lambda: kind.read(kind.of_text(text)), lambda: kind.read(text)):
        try:
            found = limited(read, len(text))
        except ValueError as error:
            if not str(error).startswith("must "):
                raise AssertionError(f"{name} = {text!r} is refused with {error}") from error
            continue
        if isinstance(found, float) and not math.isfinite(found):
            raise AssertionError(f"{name} = {text!r} is {found}")


@cache
def _zones() -> tuple[str, ...]:
    return ("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu", "Pacific/Apia")


def schedule(data: bytes) -> None:
    """A schedule, then lines with a zone and a moment: ticks that grow, and the last ones before a moment."""
    lines = data.decode("utf-8", "replace").split("\n")
    zone = lines[1] if len(lines) > 1 and not lines[1].isdigit() else _zones()[len(data) % len(_zones())]
    try:
        moment = min(float(lines[2][:15]), _LAST + 86_400 * 366) if len(lines) > 2 else 1_763_726_400.0
    except ValueError:
        moment = 1_700_000_000.0
    if not math.isfinite(moment) or moment < 0:
        moment = 0.0
    try:
        entry = limited(lambda: Schedule(lines[0], zone), 1000 * len(data) + 100_000)
    except ValueError as error:
        if not str(error) or len(str(error)) > 1000:
            raise AssertionError(f"refused with {str(error)[:100]!r}") from error
        return
    last = moment
    ticks = []
    for _ in range(5):
        tick = limited(lambda at=last: entry.after(at), 20_000)  # type: ignore[misc]
        if tick is None:
            break
        if not tick > last or (tick % 60 and zone == "UTC"):
            raise AssertionError(f"{lines[0]!r} in {zone}: {tick} follows {last}")
        ticks.append(tick)
        last = tick
    if ticks:
        _check_newest(entry, moment, ticks)


def _check_newest(entry: Schedule, moment: float, ticks: list[float]) -> None:
    work = entry.newest(moment, ticks[-1], 2)
    while True:
        try:
            next(work)
        except StopIteration as end:
            if end.value != ticks[-2:]:
                raise AssertionError(f"{entry}: {end.value} and not {ticks[-2:]}") from None
            return


def defaults() -> Iterator[bytes]:
    """Each setting with a value that it may have."""
    for setting in SETTINGS:
        yield f"{setting.key}={setting.default}".encode()


def schedules() -> Iterator[bytes]:
    """Schedules in all forms."""
    for text in (
        "*/5 * * * *",
        "0 9 * * MON-FRI",
        "30 2 L * *",
        "0 0 29 2 *",
        "@hourly",
        "0 12 * * MON#2",
        "1-10/3,20 */4 LW * *",
    ):
        yield f"{text}\nEurope/Berlin\n1774742400".encode()
