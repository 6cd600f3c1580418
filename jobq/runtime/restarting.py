"""When a worker that ended is started again: at once, unless it keeps dying."""

import logging
from typing import Final

from jobq.core.clock import Clock
from jobq.runtime.children import Child

log = logging.getLogger("jobq.supervisor")

#: Seconds of life below which a worker counts as one that dies at once.
SHORT_LIFE: Final = 1.0

#: Seconds before a worker that died at once is started again: doubled each time, up to the last.
RESTART: Final = (0.5, 30.0)

#: Workers that may die at once in a job, one after the other, before the next one has to wait.
SPARED: Final = 20


class Restarts:
    """The slots that are to get a worker, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._short_lives = 0
        self._waiting: list[tuple[float, int]] = []

    def __bool__(self) -> bool:
        """Tell whether one waits."""
        return bool(self._waiting)

    def now(self, slot: int) -> None:
        """Start a worker in a slot in the next round: it was us who ended the one before."""
        self._waiting.append((self._clock.monotonic(), slot))

    def after(self, child: Child) -> None:
        """Start a worker in the slot of one that ended, later if that was very soon."""
        self._waiting.append((self._at(child), child.slot))

    def hurry(self) -> None:
        """Start all that wait in the next round: their code has changed."""
        self._short_lives = 0
        now = self._clock.monotonic()
        self._waiting = [(now, slot) for _, slot in self._waiting]

    def clear(self) -> None:
        """Start none."""
        self._waiting.clear()

    def due(self) -> list[int]:
        """Take the slots whose time has come."""
        now = self._clock.monotonic()
        due = [one for one in self._waiting if one[0] <= now]
        self._waiting = [one for one in self._waiting if one[0] > now]
        return [slot for _, slot in due]

    def _at(self, child: Child) -> float:
        now = self._clock.monotonic()
        if now - child.born > SHORT_LIFE:
            self._short_lives = 0
            return now
        # What died in a job will not run that one again, and the jobs behind it need not wait. But
        # a library that is broken for all jobs must not burn through the queue.
        spared = SPARED if child.board.running else 0
        least, most = RESTART
        pauses = self._short_lives - spared
        self._short_lives += 1
        if pauses < 0:
            return now
        pause = min(most, least * 2.0**pauses)
        log.error("worker died at once next_in=%.1fs", pause)
        return now + pause
