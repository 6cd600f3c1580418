"""Redis time in a worker: the one clock by which jobs are judged, whatever the host's says."""

import os
from collections.abc import Callable
from contextlib import suppress

from jobq.core.clock import Clock
from jobq.errors import StoreError
from jobq.runtime.board import Board
from jobq.store.connect import Locate
from jobq.store.ops import upkeep
from jobq.store.sync import Store
from jobq.store.wire import TEST_CLOCK


def redis_ms(board: Board, clock: Clock, locate: Locate | None = None) -> Callable[[], float]:
    """Return what tells Redis time in ms since 1970, without asking Redis.

    The board knows how far it is from the monotonic clock: the worker has asked when it connected,
    and its supervisor writes it in each round. Before both, the wall clock has to do.

    Where a test moves the clock, Redis is asked all the same: time can go on by hours between two
    rounds.

    Args:
        locate: where Redis is; None: never ask.
    """
    store = Store(locate) if locate is not None and os.environ.get(TEST_CLOCK) == "1" else None

    def now_ms() -> float:
        if store is not None:
            with suppress(StoreError):
                return store.run(upkeep.time_ms())
        monotonic = clock.monotonic()
        offset = board.offset or (clock.time() - monotonic) * 1000
        return monotonic * 1000 + offset

    return now_ms
