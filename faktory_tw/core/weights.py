"""``FETCH critical:5 default:1``: queues that are tried by chance, some more often than others.

Of the queues that stand side by side with a weight, and have a job, one is drawn; a weight of 5 is drawn five times as
often as one of 1. If it gives none after all, another one is drawn. A name without a weight keeps its place: in
``critical default:3 bulk:1`` critical is always first. Who has to wait waits for all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from faktory_tw.wire import CommandError

if TYPE_CHECKING:
    from faktory_tw.core.queues import Queue

MOST_WEIGHTED = 100  # in one FETCH: as many may have to be drawn
_WEIGHT = re.compile(r"([1-9]\d{0,2}|1000)", re.ASCII)
_MOST_QUOTED = 100

Weight = tuple[str, int]
"""A queue, and its weight; 0 is without."""


class Weighted(tuple[str, ...]):
    """The names of the queues in a FETCH, some of which have weights; ``weights`` has all of them, in order."""

    weights: tuple[Weight, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> Weighted:
        """What the words after FETCH mean, of which no two are the same. Raises CommandError."""
        weights = tuple(map(_weight, words))
        names = cls(name for name, _ in weights)
        for name, times in Counter(names).items():
            if times > 1:
                raise CommandError(f"FETCH: {name[:_MOST_QUOTED]} is there twice; name each queue once")
        if sum(weight > 0 for _, weight in weights) > MOST_WEIGHTED:
            raise CommandError(f"FETCH: more than {MOST_WEIGHTED} queues with a weight")
        names.weights = weights
        return names

    def drawn(self, queues: Mapping[str, Queue], random: Callable[[int], int]) -> Iterator[str]:
        """The names in an order that is drawn while it is gone through; empty queues are left out where there is a choice."""
        side_by_side: list[Weight] = []
        for name, weight in self.weights:
            if weight:
                if name in queues and len(queues[name]) and not queues[name].paused:
                    side_by_side.append((name, weight))
                continue
            yield from _draw(side_by_side, random)
            side_by_side = []
            yield name
        yield from _draw(side_by_side, random)


def _draw(left: list[Weight], random: Callable[[int], int]) -> Iterator[str]:
    while len(left) > 1:
        number = random(sum(weight for _, weight in left))
        for index, (name, weight) in enumerate(left):
            number -= weight
            if number < 0:
                del left[index]
                yield name
                break
    for name, _ in left:
        yield name


def _weight(word: str) -> Weight:
    name, colon, weight = word.partition(":")
    if not colon:
        return word, 0
    if not name or not _WEIGHT.fullmatch(weight):
        raise CommandError(
            f"FETCH: {word[:_MOST_QUOTED]} must be the name of a queue, a colon and a weight from 1 to 1000: critical:5"
        )
    return name, int(weight)
