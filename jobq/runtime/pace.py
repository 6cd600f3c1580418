"""How many jobs to fetch at once: about ten milliseconds of work, one at a time when slow."""

from typing import Final

#: Seconds of work in a batch: what a kill repeats at most, and what a job waits behind others.
TARGET: Final = 0.010

#: The knee of the curve lies at 50 to 100 entries a read; beyond this nothing is gained.
MOST: Final = 256

#: Seconds between attempts to find jobs of one kind behind those of the other, first and last.
STUCK: Final = (0.050, 1.0)


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


class Probe:
    """How many jobs to read in search of one kind, while there is no room for the other.

    Each job of the other kind that is found must wait or be given back, so after one it looks ever
    more rarely; as long as it finds none, for ever more.
    """

    __slots__ = ("_at", "_pause", "_size")

    def __init__(self) -> None:
        self._size = 1
        self._pause = STUCK[0]
        self._at = 0.0

    def want(self, room: int, now: float) -> int:
        """Return how many to read.

        Args:
            room: for how many of the wanted kind there is room.
            now: monotonic seconds.
        """
        return min(room, self._size) if now >= self._at else 0

    def found(self, others: int, now: float) -> None:
        """Learn from what was read: how many were of the other kind."""
        if others:
            self._at = now + self._pause
            self._pause = min(STUCK[1], 2 * self._pause)
            self._size = 1
        else:
            self._pause = STUCK[0]
            self._size = min(MOST, 2 * self._size)


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
