"""What the models of features have in common: a real engine that is killed and restarted, and a simple model beside it.

A model derives from :class:`Model`, adds rules and invariants, and is run by :func:`run_model`. Hypothesis finds a short
sequence of rules after which an invariant does not hold.
"""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from faktory_tw.core.facts import Feature
from faktory_tw.core.reservations import Reservation
from faktory_tw.storage.journal import JOURNAL_SECONDS
from faktory_tw.storage.store import JobRow, Place
from tests.unit.doubles import Engine, FakeClock

EXAMPLES = int(os.environ.get("FAKTORY_TW_EXAMPLES", "0"))
NUMBER = st.integers(0, 50)
"""Which one: of n things the one at the remainder of its division by n."""


class Model(RuleBasedStateMachine):
    """An engine with some features, and in ``items`` what the model has to know of each job that exists, by jid.

    ``kept`` names the attributes, containers, that come back as they were committed after a crash and are empty after
    FLUSH. ``held`` has the reservations made since the start; ``finish`` tells what becomes of one.
    """

    kept: ClassVar[tuple[str, ...]] = ("items",)

    def __init__(self) -> None:
        super().__init__()
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="faktory-model-", dir=in_memory))
        self.clock = FakeClock()
        self.items: dict[str, Any] = {}
        self.held: dict[str, Reservation] = {}
        self.pushed = 0
        self.begin()
        self.engine = Engine(self.directory / "data", self.clock, JOURNAL_SECONDS, features=self.features)
        self.committed = self._kept()

    # -- what a model says of itself ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make further attributes, before the engine is started."""

    def features(self) -> Sequence[Feature]:
        """Make new features, at each start of the engine."""
        raise NotImplementedError

    def finish(self, jid: str, fate: str) -> None:
        """End a reservation by ``ack``, ``fail`` or ``give back``, and note what became of the job."""
        raise NotImplementedError

    def time_passed(self) -> None:
        """Time has passed, and all that was due is done."""

    def restarted(self) -> None:
        """The engine was started again on what was committed, and the model is back there, too."""

    def check_end(self) -> None:
        """After all rules, when everything is committed and the engine was killed once more."""

    # -- rules and parts of rules ------------------------------------------------------------------------------------

    def new_jid(self) -> str:
        """Return the jid of another job."""
        self.pushed += 1
        return f"jid-{self.pushed:04}"

    def stays(self, reservation: Reservation) -> bool:
        """Whether the queue is still there to which a job is given back."""
        queue = self.engine.manager.queues().get(reservation.job.queue)
        return queue is not None and reservation.job.position >= queue.floor

    def rows(self) -> list[JobRow]:
        """Read all jobs that nobody works on."""
        manager = self.engine.manager
        places = [(Place.QUEUED, name) for name in manager.queue_names()]
        places += [(place, "") for place in (Place.SCHEDULED, Place.RETRIES, Place.DEAD)]
        return [row for where in places for rows in manager.views.page(*where, count=100_000) for row in rows]

    @rule(which=NUMBER, fate=st.sampled_from(["ack", "fail", "give back"]))
    def finish_one(self, which: int, fate: str) -> None:
        jids = sorted(reservation.job.jid for reservation in self.engine.manager.reservations())
        if jids:
            self.finish(jids[which % len(jids)], fate)

    @rule(seconds=st.sampled_from([1, 9, 50, 90]), step=st.sampled_from([0, 0, 0, -30, 30]))
    def pass_time(self, seconds: float, step: float) -> None:
        self.clock.advance(seconds)
        self.clock.step_wall(step)
        self.engine.upkeep()
        self.time_passed()

    @rule(what=st.sampled_from(["commit", "commit", "crash", "restart", "flush"]))
    def lose(self, what: str) -> None:
        if what == "flush":
            self.engine.manager.flush()
            for name in self.kept:
                getattr(self, name).clear()
            self.held = {}
        elif what == "commit":
            self.engine.commit()
            self.committed = self._kept()
        else:
            if what == "restart":
                self.committed = self._kept()
            getattr(self.engine, what)()
            for name, value in copy.deepcopy(self.committed).items():
                setattr(self, name, value)
            self.held = {}
            self.restarted()

    def _kept(self) -> dict[str, Any]:
        return {name: copy.deepcopy(getattr(self, name)) for name in self.kept}

    def teardown(self) -> None:
        try:
            self.pass_time(0, 0)
            self.lose("commit")
            self.lose("crash")
            self.check_end()
        finally:
            self.engine.stop()
            shutil.rmtree(self.directory)


def run_model(model: type[Model]) -> None:
    """Try sequences of the rules; as many as FAKTORY_TW_EXAMPLES says."""
    steps = settings(
        max_examples=EXAMPLES or 150,
        stateful_step_count=50,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(model, settings=steps)
