"""Moves what was counted into rows: of minutes that are over, and of all when it is much."""

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Final

from jobq.core.clock import Clock
from jobq.core.tally import Count
from jobq.errors import StoreError
from jobq.runtime.rounds import Part
from jobq.store.ops import numbers
from jobq.store.ops.numbers import Fresh
from jobq.store.wire import Answers, AnyOp

log = logging.getLogger("jobq.supervisor")

#: Seconds between two looks at what was counted; whole minutes would make all supervisors meet.
LOOK: Final = (8.0, 12.0)

#: Numbers from which on those of the minute that runs are moved too: scripts count to some
#: thousands, then they no longer tell minutes and job functions apart.
MUCH: Final = 2000

#: Ops that fill rows in one round, for all queues together: a few milliseconds of Redis.
_MOST_OPS: Final = 3

#: Seconds that a job function is remembered to have no room for rows of its own.
_FORGET: Final = 600.0


class Roller(Part):
    """Moves what was counted into rows; any supervisor does, each number is moved once.

    Args:
        queues: tells the queues.
        now_ms: tells Redis time.
    """

    def __init__(
        self, queues: Callable[[], Collection[str]], now_ms: Callable[[], float], clock: Clock
    ) -> None:
        self._queues = queues
        self._now_ms = now_ms
        self._clock = clock
        self._looks_at = 0.0
        self._looked: list[str] = []
        #: What is to be moved: ops, and the queue of each.
        self._moves: list[tuple[str, AnyOp]] = []
        self._moved: list[str] = []
        self._full: defaultdict[str, set[str]] = defaultdict(set)
        self._forgets_at = 0.0
        self._refused: set[str] = set()

    def ops(self) -> list[AnyOp]:
        """See `Part`."""
        some, self._moves = self._moves[:_MOST_OPS], self._moves[_MOST_OPS:]
        self._moved = [queue for queue, _ in some]
        ops = [op for _, op in some]
        self._looked = []
        now = self._clock.monotonic()
        if not some and now >= self._looks_at:
            self._looks_at = now + random.uniform(*LOOK)  # noqa: S311  so that hosts do not meet
            self._looked = list(self._queues())
            ops += [numbers.fresh(queue) for queue in self._looked]
        if now >= self._forgets_at:
            self._forgets_at = now + _FORGET
            self._full.clear()
        return ops

    def read(self, answers: Answers) -> None:
        """See `Part`."""
        for queue, answer in zip((*self._moved, *self._looked), answers, strict=True):
            if isinstance(answer, StoreError):
                self._say(queue, answer)
            elif isinstance(answer, Fresh):
                self._take(queue, answer)
            elif answer:  # of these it is known from now on that their numbers go to others'
                self._full[queue] |= answer
                self._looks_at = 0.0

    def _take(self, queue: str, fresh: Fresh) -> None:
        self._refused.discard(queue)
        if fresh.strange:
            self._moves.append((queue, numbers.drop(queue, fresh.strange)))
        this_minute = int(self._now_ms() // 60_000)
        counts: list[Count] = [
            one for one in fresh.counts if one.minute < this_minute or len(fresh.counts) > MUCH
        ]
        self._moves += [
            (queue, op) for op in numbers.roll(queue, counts, self._full.get(queue, ()))
        ]

    def _say(self, queue: str, error: StoreError) -> None:
        if queue not in self._refused:  # not again and again
            log.warning("cannot keep numbers queue=%s error=%s", queue, error)
        self._refused.add(queue)
