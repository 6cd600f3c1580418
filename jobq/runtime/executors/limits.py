"""How long things may take: outcomes before they are settled, jobs before they are ended."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from jobq.errors import JobTimedOut

#: Seconds after which an outcome is in Redis at the latest, if Redis is there.
FLUSH: Final = 0.010

#: Seconds that a job may run before those behind it are given back.
PATIENCE: Final = 0.050

#: Seconds between looks whether the queues are empty, in a burst.
BURST_LOOK: Final = 0.2


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise JobTimedOut in the main thread after so many seconds.

    A job that catches it, or that never returns from C code, is not ended by it.
    """

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise JobTimedOut(seconds)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
