"""What an operator does to whole queues: pause, resume, clear (the jobs go, the queue stays), remove.

A server may have tens of thousands of queues, so that is done in slices; each of them is valid by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faktory_tw.core.manager import JobManager
from faktory_tw.wire import CommandError

ACTIONS = ("pause", "resume", "clear", "remove")
_QUEUES = 200  # changed in one slice


class QueueChange:
    """Does ``action`` to the queues of these ``names``; None: to all that there are when it begins.

    ``queues`` is how many were there, ``jobs`` how many jobs went, ``unknown`` the names of which there is no queue.
    """

    def __init__(self, manager: JobManager, action: str, names: Sequence[str] | None) -> None:
        if action not in ACTIONS:
            raise CommandError(f"no such action: {action[:100]}; there are {', '.join(ACTIONS)}")
        self._manager = manager
        self._action = action
        self._names = names
        self.queues = self.jobs = 0
        self.unknown: list[str] = []

    def __str__(self) -> str:
        return f"{self.queues} queues, {self.jobs} jobs gone"

    def steps(self) -> Iterator[None]:
        """Carry it out, a slice at each step."""
        names = self._names
        if names is None:
            names = []
            for sizes in self._manager.views.queue_sizes():
                names.extend(sizes)
                yield
        for start in range(0, len(names), _QUEUES):
            self._change(names[start : start + _QUEUES])
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
