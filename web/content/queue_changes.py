"""What an operator does to whole queues: pause, resume, clear (the jobs go, the queue stays), remove.

A server may have tens of thousands of queues, so that is done in slices; each of them is valid by itself.

Who was asked first has answered for the jobs that there were then. So clearing and removing may be given the ``newest`` of
that moment (see :mod:`faktory_tw.features.changes`): jobs that came later stay, and so does a queue that has any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faktory_tw.core.manager import JobManager
from faktory_tw.features.changes import Change, came_later
from faktory_tw.features.search import Place, Where
from faktory_tw.wire import CommandError

ACTIONS = ("pause", "resume", "clear", "remove")
_QUEUES = 200  # changed in one slice


class QueueChange:
    """Does ``action`` to the queues of these ``names``; None: to all that there are when it begins.

    ``queues`` is how many were there, ``jobs`` how many jobs went, ``unknown`` the names of which there is no queue.
    ``stayed`` is how many jobs are left in cleared queues because they came after ``newest``, ``kept`` the queues that were
    not removed because such jobs are in them.
    """

    def __init__(
        self, manager: JobManager, action: str, names: Sequence[str] | None, newest: int | None = None
    ) -> None:
        if action not in ACTIONS:
            raise CommandError(f"no such action: {action[:100]}; there are {', '.join(ACTIONS)}")
        self._manager = manager
        self._action = action
        self._names = names
        self._newest = newest if action in ("clear", "remove") else None
        self.queues = self.jobs = self.stayed = 0
        self.unknown: list[str] = []
        self.kept: list[str] = []

    def __str__(self) -> str:
        later = [f"{self.stayed} jobs came later"] * bool(self.stayed)
        later += [f"{len(self.kept)} queues kept for jobs that came later"] * bool(self.kept)
        return ", ".join([f"{self.queues} queues, {self.jobs} jobs gone", *later])

    def steps(self) -> Iterator[None]:
        """Carry it out, a slice at each step."""
        names = self._names
        if names is None:
            names = []
            for sizes in self._manager.views.queue_sizes():
                names.extend(sizes)
                yield
        if self._newest is not None:
            for name in names:
                yield from self._empty(name, self._newest)
            return
        for start in range(0, len(names), _QUEUES):
            self._change(names[start : start + _QUEUES])
            yield

    def _empty(self, name: str, newest: int) -> Iterator[None]:
        """Clear or remove a queue, but for what came after ``newest``."""
        manager = self._manager
        if not came_later(manager, name, newest):
            self._change([name])
        elif self._action == "remove":
            self.kept.append(name)
        else:
            change = Change(manager, "delete", Where(Place.QUEUED, name), None, newest=newest)
            yield from change.steps()
            self.queues += 1
            self.jobs += change.matched
            self.stayed += manager.views.size(Place.QUEUED, name)
        yield

    def _change(self, names: Sequence[str]) -> None:
        manager = self._manager
        sizes = {name: len(queue) for name in names if (queue := manager.queues().get(name)) is not None}
        self.unknown += [name for name in names if name not in sizes]
        self.queues += len(sizes)
        if not sizes:
            return
        if self._action in ("clear", "remove"):
            self.jobs += sum(sizes.values())
        if self._action == "clear":
            for name in sizes:
                manager.edits.clear_queue(name)
        elif self._action == "remove":
            manager.remove_queues(list(sizes))
        else:
            manager.pause(list(sizes), self._action == "pause")


def count(manager: JobManager, names: Sequence[str]) -> tuple[int, int]:
    """How many of these queues there are, and the jobs in them."""
    queues = manager.queues()
    sizes = [len(queues[name]) for name in dict.fromkeys(names) if name in queues]
    return len(sizes), sum(sizes)
