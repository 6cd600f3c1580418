"""Whose turn it is among the queues of a worker: the first one first, or by their weights.

By weights is stride scheduling. Each queue has a pass, which grows by one over its weight with
each job that it gives; the one with the smallest pass is asked first. A queue that has no more to
give falls in with the others, so that it saves up no credit while it is idle; and what was taken
while there was room for all is no debt.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final

#: The largest weight; the least is 1. A share of one in a thousand is a queue that hardly runs.
MOST_WEIGHT: Final = 1000


class Turns:
    """The order in which queues are asked for jobs, by their numbers, and for how many each.

    Args:
        many: how many queues there are.
        weights: of each; empty: the first one first, as long as it has any.
    """

    __slots__ = ("_all", "_idle", "_passes", "_weights")

    def __init__(self, many: int, weights: Sequence[int] = ()) -> None:
        self._all = range(many)
        self._weights = tuple(weights)
        self._passes = [0.0] * many
        #: They had less than they were asked for the last time.
        self._idle = [False] * many

    def next(self, want: int) -> list[tuple[int, int]]:
        """Return the queues in the order in which to ask them, and each for how many at most.

        Args:
            want: how many jobs there is room for, in all.
        """
        weights = self._weights
        if not weights:
            return [(number, want) for number in self._all]
        busy = sum(weights[number] for number in self._all if not self._idle[number])
        found = []
        for number in sorted(self._all, key=self._passes.__getitem__):
            weight = weights[number]
            total = busy + weight if self._idle[number] else busy
            found.append((number, max(1, ceil(want * weight / total))))
        return found

    def took(self, number: int, many: int, asked: int) -> None:
        """Learn what came of asking a queue.

        Args:
            many: the jobs that it gave.
            asked: for how many it was asked.
        """
        if not self._weights:
            return
        passes = self._passes
        passes[number] += many / self._weights[number]
        self._idle[number] = many < asked
        if many >= asked:
            return
        busy = [passes[other] for other in self._all if not self._idle[other]]
        if busy:
            # Behind the others by a job that it did not have: so it is asked as often as its
            # weight says, and not each time.
            pays = 0 if many else 1 / self._weights[number]
            passes[number] = max(passes[number], min(busy) + pays)
        else:  # all had what they wanted
            self._passes = [0.0] * len(passes)
