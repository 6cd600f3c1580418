"""How many jobs to fetch at once: about ten milliseconds of work, one at a time when slow."""

from typing import Final

#: Seconds of work in a batch: what a kill repeats at most, and what a job waits behind others.
TARGET: Final = 0.010

#: The knee of the curve lies at 50 to 100 entries a read; beyond this nothing is gained.
MOST: Final = 256


class Pace:
    """The size of the next batch, learnt from how long the last ones took.

    Attributes:
        size: how many jobs to fetch at once, from 1 to `MOST`.
    """

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 1

    def ran(self, jobs: int, took: float) -> None:
        """Learn from a batch: double at most, fall to what fits the target at once.

        Args:
            jobs: how many ran, one after the other.
            took: seconds that they took together.
        """
        if jobs <= 0:
            return
        fits = int(TARGET * jobs / took) if took > 0 else MOST
        self.size = max(1, min(fits, 2 * self.size, MOST))


def share(want_sync: int, want_async: int, sync_part: float) -> int:
    """Return how many to read from a queue that has both kinds, so that neither overflows.

    Args:
        want_sync: sync jobs that there is room for.
        want_async: async jobs that there is room for.
        sync_part: the part of sync jobs among those read lately, 0 to 1.
    """
    if want_sync <= 0 or want_async <= 0:
        return 0
    by_sync = want_sync / sync_part if sync_part > 0 else float("inf")
    by_async = want_async / (1 - sync_part) if sync_part < 1 else float("inf")
    return max(1, int(min(by_sync, by_async)))
