"""The round of a supervisor: what it asks Redis in each tick, in one round trip.

Each of its services is a part of the round. A part is asked for its ops, is given their answers,
and says when it next has something to do, so that the supervisor waits no longer than that.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from jobq.core.clock import Clock
from jobq.errors import StoreError
from jobq.store.ops import fetch, promote
from jobq.store.ops.promote import Cursor, Promoted
from jobq.store.wire import Answers, AnyOp

log = logging.getLogger("jobq.supervisor")

#: Seconds between two rounds at most: what is enqueued or told meanwhile waits so long.
TICK: Final = 0.05

#: Seconds between two rounds at least, but where a part has more to do at once: of jobs that become
#: due one after the other, those of such a span are moved together.
GAP: Final = 0.01

#: Seconds after which what is due is looked at from the start again: it is where it is not
#: expected only when the clock of Redis was set back.
REWIND: Final = 30.0


class Part(Protocol):
    """A service that takes part in each round; to be inherited from.

    Attributes:
        next_ms: when it next has something to do, Redis time in ms; 0: at once; None: not known,
            the next round is soon enough.
        wakes: after `read`, that workers which wait for a job are to look again.
    """

    next_ms: float | None = None
    wakes: bool = False

    def ops(self) -> list[AnyOp]:
        """Return what to ask Redis in this round."""
        ...

    def read(self, answers: Answers) -> None:
        """Take what the ops came to, in their order; some may be a `StoreError`."""
        ...


class Round:
    """The parts, and one round trip for all of them.

    Args:
        parts: the first one is asked first.
        exchange: runs ops on the supervisor's connection.
    """

    def __init__(
        self, parts: Sequence[Part], exchange: Callable[[Sequence[AnyOp]], Answers]
    ) -> None:
        self._parts = parts
        self._exchange = exchange

    def run(self) -> None:
        """Ask and read, once.

        Raises:
            StoreUnavailable: Redis is away; no part was told.
        """
        asked = [(part, part.ops()) for part in self._parts]
        answers = self._exchange([op for _, ops in asked for op in ops])
        failed: Exception | None = None
        at = 0
        for part, ops in asked:
            try:
                part.read(answers[at : at + len(ops)])
            except Exception as error:  # noqa: BLE001  the others must hear their answers
                failed = error
            at += len(ops)
        if failed is not None:
            raise failed

    @property
    def wakes(self) -> bool:
        """Whether workers that wait for a job are to look again."""
        return any(part.wakes for part in self._parts)

    def rest(self, now_ms: float) -> float:
        """Return the seconds until the next round.

        Args:
            now_ms: Redis time.
        """
        known = [part.next_ms for part in self._parts if part.next_ms is not None]
        if not known:
            return TICK
        if (first := min(known)) <= 0:
            return 0.0
        # A millisecond more: never early, and Redis has only whole ones.
        return min(TICK, max(GAP, (first - now_ms + 1) / 1000))


class Promoter(Part):
    """Moves delayed jobs to where workers see them, and notices retries that are due.

    Any supervisor does it for all queues that its workers read; each batch is one atomic step.

    Args:
        queues: tells the queues.
        is_paused: tells whether a queue is: what is due there is for no worker.

    Attributes:
        now_ms: Redis time as of the last answer; None: there was none.
        suspects_wait: a job is due that must run alone.
        lines: by queue, which lines are in use beside the normal one, as of the last answers.
    """

    def __init__(
        self,
        queues: Callable[[], Collection[str]],
        clock: Clock,
        is_paused: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.now_ms: float | None = None
        self.suspects_wait = False
        self.lines: dict[str, int] = {}
        self._queues = queues
        self._clock = clock
        self._is_paused = is_paused
        self._asked: list[str] = []
        self._cursors: dict[str, Cursor] = {}
        self._rewind_at = 0.0
        #: The queues for which Redis refused it the last time.
        self._refused: set[str] = set()

    def ops(self) -> list[AnyOp]:
        """See `Part`."""
        self._asked = list(self._queues())
        if self._clock.monotonic() >= self._rewind_at:
            self._rewind_at = self._clock.monotonic() + REWIND
            self._cursors.clear()
        return [promote.promote(queue, self._cursors.get(queue)) for queue in self._asked]

    def read(self, answers: Answers) -> None:
        """See `Part`."""
        ready: set[str] = set()
        nexts: list[float] = []
        self.now_ms = None
        for queue, answer in zip(self._asked, answers, strict=True):
            if isinstance(answer, StoreError):
                self._cursors.pop(queue, None)
                if queue not in self._refused:
                    log.warning("cannot promote queue=%s error=%s", queue, answer)
                self._refused.add(queue)
                continue
            self._refused.discard(queue)
            self._take(queue, answer)
            if not self._is_paused(queue):
                ready |= set(answer.ready)
            if answer.more:
                nexts.append(0.0)
            elif answer.next_due_ms is not None:
                nexts.append(answer.next_due_ms)
        self.next_ms = min(nexts, default=None)
        self.suspects_wait = fetch.SUSPECT in ready
        self.wakes = bool(ready - {fetch.SUSPECT})

    def _take(self, queue: str, answer: Promoted) -> None:
        self.now_ms = answer.now_ms
        self._cursors[queue] = answer.cursor
        self.lines[queue] = answer.lines
        if answer.moved:
            log.debug("promoted jobs=%d queue=%s", answer.moved, queue)
        if answer.lost:
            log.error("dropped delayed jobs without a call jobs=%d queue=%s", answer.lost, queue)
