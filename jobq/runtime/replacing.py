"""New workers for old ones: all of them with fresh code, or one that has grown too big."""

import logging
import signal
from collections.abc import Callable, Iterable
from typing import Final

from jobq.core.clock import Clock
from jobq.runtime.children import Child
from jobq.runtime.memory import resident

log = logging.getLogger("jobq.supervisor")

#: Seconds that new code has to import before it counts as code that cannot be loaded.
IMPORT: Final = 120.0

#: Seconds between two looks at the memory of the workers.
WEIGH: Final = 1.0


class Rolling:
    """A restart of all workers, one slot after the other.

    A new worker is started beside each old one; when it has imported the app, the old one is told
    to finish its jobs and end. If it cannot, the old ones stay.

    Args:
        start: starts a worker in a slot.
    """

    def __init__(self, start: Callable[[int], Child], clock: Clock) -> None:
        self._start = start
        self._clock = clock
        self._old: list[Child] = []
        self._isolated: list[Child] = []
        #: As of the last step. The process ids of others may be those of strangers by now.
        self._living: list[Child] = []
        self._newcomer: Child | None = None
        self._again = False

    @property
    def active(self) -> bool:
        """Whether one is going on."""
        return bool(self._old or self._again)

    def begin(self) -> None:
        """Begin one, at the next step; another one that is going on is finished first."""
        self._again = True

    def cancel(self) -> None:
        """Leave it at that: the supervisor is to stop."""
        self._old, self._newcomer, self._again = [], None, False

    def step(self, children: Iterable[Child]) -> None:
        """Go on, as far as that is possible now.

        Args:
            children: all workers that live.
        """
        every = self._living = list(children)
        if self._again and not self._old:
            self._again = False
            self._old = [child for child in every if not child.isolated and not child.leaving]
            self._isolated = [child for child in every if child.isolated]
            log.info("restarting workers=%d", len(self._old))
        if self._newcomer is None:
            # One that died meanwhile has a successor with the new code.
            self._old = [child for child in self._old if child in every and not child.leaving]
            if self._old:
                self._newcomer = self._start(self._old[0].slot)
        elif self._clock.monotonic() - self._newcomer.born > IMPORT:
            self._newcomer.signal(signal.SIGKILL)

    def arrived(self, child: Child) -> None:
        """Take in that a worker has imported the app."""
        if child is not self._newcomer:
            return
        old = self._old.pop(0)
        self._newcomer = None
        if old in self._living:
            old.leave()
        log.info("replaced worker pid=%d by=%d", old.pid, child.pid)
        if not self._old:
            for one in self._isolated:  # started anew when they are needed
                if one in self._living:
                    one.leave()
            self._isolated = []
            log.info("restarted all workers")

    def failed(self, child: Child) -> bool:
        """Tell whether a worker that died was a new one that had not imported the app yet."""
        if child is not self._newcomer:
            return False
        log.error("kept the old workers reason='the new code cannot be loaded'")
        again = self._again  # asked for since: that code may be a better one
        self.cancel()
        self._again = again
        return True


class Scales:
    """Finds workers that have grown too big.

    Args:
        limit: bytes of resident memory; None: any.
    """

    def __init__(self, limit: int | None, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._next = 0.0

    def heavy(self, children: Iterable[Child]) -> list[Child]:
        """Return, once a second, those whose place another one is to take.

        One whose predecessor in the slot still finishes its jobs is left alone: where the limit is
        below what every worker needs, there shall not be more and more of them.
        """
        now = self._clock.monotonic()
        if self._limit is None or now < self._next:
            return []
        self._next = now + WEIGH
        every = list(children)
        taken = {child.slot for child in every if child.leaving}
        found = []
        for child in every:
            if child.hello is None or child.slot in taken or child.cut:
                continue
            rss = resident(child.pid)
            if rss > self._limit:
                log.warning("replacing worker pid=%d reason=rss rss=%.0fMB", child.pid, rss / 1e6)
                found.append(child)
        return found
