"""No turn takes longer because more is to be done: the situations of tests/bench/stalls.py, with work counted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from faktory_tw.core.facts import Feature
from faktory_tw.features.cron import Cron
from faktory_tw.schedule import Schedule
from faktory_tw.server import Server
from tests.bench.scene import Scene
from tests.bench.situations import SITUATIONS
from tests.unit.doubles import DAY, NOON, Engine, FakeClock
from tests.unit.features.crontab import entry
from tests.unit.house import Talk
from tests.unit.turns import lines_of, longest

MOST = 200_000  # lines in one turn: some 10 ms
SIZES = {  # situations, and how many to ask for: a little more than one slice
    "jobs expire": 550,
    "locks end": 550,
    "tracks forgotten": 550,
    "batches forgotten": 1100,
    "batches never committed": 550,
    "last members of nested batches deleted": 8000,
    "callbacks waited for room": 2200,
    "MUTATE kill": 280,
    "QUEUE REMOVE": 550,
    "FLUSH": 300,
    "cron: all due at once": 22_000,
    "cron: SIGHUP, all changed": 22_000,
    "throttles: a slot that many queues want": 55_000,
    "throttles: two SIGHUPs": 550,
}


def work(place: Path, name: str, count: int) -> tuple[int, int]:
    """The longest turn of a situation, and how many there were."""
    scene = Scene(place, FakeClock())
    try:
        _, turns = SITUATIONS[name](scene, count)
        scene.commit()
        return longest(turns, scene.commit)
    finally:
        scene.engine.stop()


@pytest.mark.parametrize("name", SIZES)
def test_a_turn_does_not_grow_with_what_is_to_be_done(tmp_path: Path, name: str) -> None:
    count = SIZES[name]
    few, turns = work(tmp_path / "few", name, count)
    many, more_turns = work(tmp_path / "many", name, 2 * count)
    assert many < MOST
    assert many < 1.2 * few + 2000
    assert more_turns > turns


def test_other_settings_of_cron_are_taken_over_in_slices(tmp_path: Path) -> None:
    lines = []
    for count in (300, 600):
        scene = Scene(tmp_path / str(count), FakeClock())
        entries = tuple(entry(f"entry-{number}") for number in range(count))
        lines.append(lines_of(partial(scene.engine.use, cron=entries)))
        assert len(scene.feature(Cron)) == 0
        scene.settle()
        assert len(scene.feature(Cron)) == count
        scene.engine.stop()
    assert lines[1] < 1.1 * lines[0]


def test_missed_ticks_are_looked_for_some_at_a_time() -> None:
    search = Schedule("*/5 * * * *", "Europe/Berlin").newest(NOON - 30 * DAY, NOON, 300)
    steps: list[int] = []
    more = [True]
    while more[0]:
        steps.append(lines_of(lambda: more.__setitem__(0, next(search, search) is not search)))
    assert max(steps) < 10_000, "some 0.5 ms"
    assert len(steps) > 20


def test_a_turn_of_a_bulk_push_has_one_job_whose_args_take_long(tmp_path: Path) -> None:
    scene = Scene(tmp_path, FakeClock())
    args = "[" + ",".join(["1e300"] * 3000) + ',"%d"]'
    jobs = [
        f'{{"jid":"job-{number:08}","jobtype":"A","args":{args % number},"custom":{{"unique_for":60}}}}'
        for number in range(5)
    ]
    later: list[Iterator[None]] = []
    talk = Talk(Server(scene.manager, scene.clock, lambda steps, _: later.append(steps)), b'HELLO {"v":2}')
    assert talk.session.execute(f"PUSHB [{','.join(jobs)}]".encode()) is None
    pushed = [scene.manager.pushed]
    for _ in later[0]:
        pushed.append(scene.manager.pushed)
    assert pushed == [1, 2, 3, 4, 5]
    scene.engine.stop()


def test_a_long_bulk_push_is_taken_apart_in_a_turn_of_its_own(tmp_path: Path) -> None:
    scene = Scene(tmp_path, FakeClock())
    later: list[Iterator[None]] = []
    talk = Talk(Server(scene.manager, scene.clock, lambda steps, _: later.append(steps)), b'HELLO {"v":2}')
    jobs = [f'{{"jid":"job-{number:08}","jobtype":"A","args":["{"x" * 60_000}"]}}' for number in range(20)]
    assert talk.session.execute(f"PUSHB [{','.join(jobs)}]".encode()) is None
    assert scene.manager.pushed == 0
    assert list(later[0]) == []
    assert scene.manager.pushed == 20
    scene.engine.stop()


class _Busy(Feature):
    """Always has something to do, which takes 20 ms."""

    def __init__(self) -> None:
        self.turns = 0

    def step(self) -> bool:
        self.turns += 1
        assert isinstance(self.clock, FakeClock)
        self.clock.advance(0.02)
        return True


def test_features_that_all_have_much_to_do_take_turns(tmp_path: Path) -> None:
    busy = [_Busy() for _ in range(3)]
    engine = Engine(tmp_path / "data", features=lambda: busy)
    for _ in range(4):
        assert engine.manager.upkeep()
    assert [each.turns for each in busy] == [2, 1, 1]
    engine.stop()
