"""Sweeping: what says nothing any more is deleted now and then, a bounded part at a time."""

from collections.abc import Callable, Sequence
from typing import Final

from jobq.errors import StoreError
from jobq.store.ops import upkeep
from jobq.store.wire import Answers, AnyOp

#: Milliseconds after which a producer connection that is silent is not heard of again.
LANE_AGE: Final = 86_400_000

#: Notes of uniqueness that are looked at in one trip: about a millisecond of Redis.
PAGE: Final = 1000

#: Trips in one sweep and queue.
MOST_PAGES: Final = 50


class Sweeper:
    """Deletes stale lanes and notes of uniqueness; where it stopped, it goes on the next time.

    Args:
        exchange: carries ops to Redis.
    """

    def __init__(self, exchange: Callable[[Sequence[AnyOp]], Answers]) -> None:
        self._exchange = exchange
        self._cursors: dict[str, str] = {}

    def sweep(self, queues: Sequence[str], now_ms: float) -> None:
        """Sweep queues."""
        self._exchange([upkeep.sweep_lanes(queue, now_ms - LANE_AGE) for queue in queues])
        for queue in queues:
            cursor = self._cursors.get(queue, "0")
            for _ in range(MOST_PAGES):
                (answer,) = self._exchange([upkeep.sweep_unique(queue, cursor, PAGE)])
                if isinstance(answer, StoreError):
                    break
                cursor = answer[0]
                if cursor == "0":
                    break
            self._cursors[queue] = cursor
