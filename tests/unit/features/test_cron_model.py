"""Cron against a model: which ticks were carried out, through commits, crashes, restarts, pauses and steps of the clock."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from faktory_tw.config.cron import CronEntry
from faktory_tw.features.cron.records import MOST_SPANS
from faktory_tw.storage.store import Place
from tests.unit.doubles import FakeClock, jid_of
from tests.unit.features.crontab import SETTINGS, Tower, entry

EXAMPLES = int(os.environ.get("FAKTORY_TW_EXAMPLES", "0"))
EVERY = {"* * * * *": 60, "*/5 * * * *": 300, "0 * * * *": 3600}  # seconds
POLICIES = ("skip", "last", "all")
LIMIT = 4
NAMES = ("a", "b")


@dataclass
class Known:
    """What the model knows of an entry: all ticks from ``since`` to ``settled`` are carried out or nobody's.

    ``past`` are other times of which that is true; the clock was set over what is between.
    """

    since: float
    settled: float
    schedule: str
    paused: bool = False
    there: bool = True
    past: list[tuple[float, float]] = field(default_factory=list)

    def move(self, since: float, settled: float) -> None:
        """Go on elsewhere."""
        self.past.append((self.since, self.settled))
        self.since, self.settled = since, settled
        self.past.sort()
        if len(self.past) > MOST_SPANS:
            first = int(self.past[0][0] <= since <= self.past[1][1])
            one, other = self.past.pop(first), self.past.pop(first)
            self.past.insert(first, (one[0], max(one[1], other[1])))

    def look(self, now: float) -> None:
        """The clock may have been set back."""
        if now < self.since:
            there = [span for span in self.past if span[0] <= now <= span[1]]
            if there:
                self.past.remove(there[0])
            self.move(*(there or [(now, now)])[0])

    def begin(self, now: float) -> None:
        """Ticks before now are nobody's."""
        self.look(now)
        self.settled = max(self.settled, now)

    def due(self) -> float:
        """The next tick."""
        every = EVERY[self.schedule]
        tick = (self.settled // every + 1) * every
        for start, end in sorted(self.past):
            if self.since < start <= tick:
                tick = max(tick, (end // every + 1) * every)
        return tick


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="faktory-cron-", dir=in_memory))
        self.tower = Tower(self.directory / "data", FakeClock())
        self.used: dict[str, CronEntry] = {}
        self.known: dict[str, Known] = {}
        self.expected: list[tuple[str, float]] = []  # ticks with a job, by entry
        self.by_hand = 0
        self.commit()

    # -- what happens --------------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NAMES),
        schedule=st.sampled_from(sorted(EVERY)),
        policy=st.sampled_from(POLICIES),
        there=st.sampled_from([True, True, True, False]),
        restart=st.booleans(),
    )
    def configure(self, name: str, schedule: str, policy: str, there: bool, restart: bool) -> None:
        used = {key: each for key, each in self.used.items() if key != name}
        if there:
            used[name] = entry(name, schedule, catch_up=policy, catch_up_limit=LIMIT)
        if restart:
            self.commit()
            self.tower.settings = replace(SETTINGS, cron=tuple(used.values()))
            self.tower.engine.restart()
        else:
            self.tower.use(*used.values())
        self.used = used
        self.admit()
        self.do_what_is_due()

    def admit(self) -> None:
        """The settings count from now on."""
        now = self.tower.clock.time()
        for name, each in self.used.items():
            known = self.known.get(name)
            if known is None:
                self.known[name] = Known(now, now, each.schedule.text)
                continue
            known.look(now)
            if not known.there or known.schedule != each.schedule.text:
                known.begin(now)
                known.there, known.schedule = True, each.schedule.text
        for name, known in self.known.items():
            known.there = name in self.used

    @rule(
        seconds=st.sampled_from([1, 7, 30, 60, 61, 300, 4000]),
        step=st.sampled_from([0, 0, 0, 0, -30, -90, -3600, 3600, 90_000]),
        upkeep=st.sampled_from([True, True, True, False]),
    )
    def pass_time(self, seconds: float, step: float, upkeep: bool) -> None:
        self.tower.clock.advance(seconds)
        self.tower.clock.step_wall(step)
        if upkeep:
            self.do_what_is_due()

    @rule(name=st.sampled_from(NAMES), paused=st.booleans())
    def pause(self, name: str, paused: bool) -> None:
        if name in self.used:
            self.tower.cron.pause(name, paused)
            known = self.known[name]
            if known.paused and not paused:
                known.begin(self.tower.clock.time())
            known.paused = paused

    @rule(name=st.sampled_from(NAMES))
    def run_now(self, name: str) -> None:
        if name in self.used:
            self.tower.cron.run_now(name)
            self.by_hand += 1

    @rule()
    def commit(self) -> None:
        self.tower.engine.commit()
        self.committed = copy.deepcopy((self.known, self.expected, self.by_hand))

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        if crash:
            self.known, self.expected, self.by_hand = copy.deepcopy(self.committed)
            self.tower.engine.crash()
        else:
            self.commit()
            self.tower.engine.restart()
        self.admit()
        self.do_what_is_due()

    @rule()
    def flush(self) -> None:
        self.tower.engine.manager.flush()
        self.expected, self.by_hand = [], 0
        self.known = {name: known for name, known in self.known.items() if known.there}

    # -- what is to come of it -----------------------------------------------------------------------------------

    def do_what_is_due(self) -> None:
        self.tower.engine.upkeep()
        now = self.tower.clock.time()
        for name, each in self.used.items():
            known = self.known[name]
            known.look(now)
            while not known.paused and known.due() <= now:
                self.catch_up(name, each.catch_up, now)

    def catch_up(self, name: str, policy: str, now: float) -> None:
        """Do what is due until now, or until a time that is settled."""
        known = self.known[name]
        every, first = EVERY[known.schedule], known.due()
        until = min([now, *(span[0] - 1e-3 for span in known.past if span[0] > first)])
        ticks = [
            number * every
            for number in range(int(max(first // every, until // every - LIMIT)), int(until // every) + 1)
        ]
        taken = ticks[-LIMIT:] if policy == "all" else ticks[-1:]
        if policy == "skip" and now - ticks[-1] >= 60:
            known.move(until, until)
            return
        if taken[0] != first:
            known.move(taken[0], taken[0])
        known.settled = ticks[-1]
        known.past = [span for span in known.past if not known.since < span[0] <= known.settled]
        self.expected += [(name, tick) for tick in taken]

    @invariant()
    def each_tick_has_one_job(self) -> None:
        manager = self.tower.engine.manager
        rows = [
            row
            for name in manager.queue_names()
            for rows in manager.views.page(Place.QUEUED, name, count=100_000)
            for row in rows
        ]
        jids = [jid_of(row) for row in rows]
        assert len(jids) == len(set(jids)) == len(self.expected) + self.by_hand
        assert len(self.expected) == len(set(self.expected))
        for view in self.tower.cron.entries():
            assert {run.jid for run in view.runs} - {""} <= set(jids)

    @invariant()
    def the_history_has_the_last_ticks(self) -> None:
        for name in self.used:
            runs = [run.tick for run in reversed(self.tower.cron.entry(name).runs) if run.tick is not None and run.jid]
            expected = [tick for each, tick in self.expected if each == name]
            assert runs == expected[len(expected) - len(runs) :]

    @invariant()
    def the_next_tick_is_the_one_after_the_last(self) -> None:
        for view in self.tower.cron.entries():
            known = self.known[view.name]
            assert view.paused == known.paused
            assert view.next_at == (None if known.paused else known.due())

    def teardown(self) -> None:
        try:
            self.restart(crash=False)
            self.each_tick_has_one_job()
            self.the_next_tick_is_the_one_after_the_last()
        finally:
            self.tower.engine.stop()
            shutil.rmtree(self.directory)


def test_each_tick_is_carried_out_once_as_a_simple_model_has_it() -> None:
    steps = settings(
        max_examples=EXAMPLES or 80,
        stateful_step_count=50,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=steps)
