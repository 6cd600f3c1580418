"""How fast a queue goes, and how long what is ready will take at that; pure."""

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a queue has gone in its last minutes.

    Attributes:
        enqueued: jobs a second that were added.
        processed: attempts a second that ended, in whatever way.
        backlog: seconds until what is ready has been started, see `backlog`.
    """

    enqueued: float = 0.0
    processed: float = 0.0
    backlog: float | None = 0.0


#: Of a queue in which nothing happens.
IDLE: Final = Rates()


def backlog(ready: int, processed: float, *, paused: bool = False) -> float | None:
    """Return the seconds until what is ready has been started, if it goes on like this.

    Args:
        ready: the jobs that a worker could start.
        processed: attempts a second that end.
        paused: the queue is: no worker would shorten its wait.

    Returns:
        Infinity while jobs are ready and nothing is processed; None for a paused queue.
    """
    if paused:
        return None
    if ready <= 0:
        return 0.0
    return ready / processed if processed > 0 else math.inf
