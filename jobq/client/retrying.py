"""Dead letters brought back a few at a time, while it is watched what becomes of them.

Guarantees:
    * no job is brought back after it was decided to stop;
    * reads are bounded: of jobs that still wait for their first attempt, or are in it, only the
      place is looked at, and of a bounded number of them.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from jobq.client.letters import Letters, Refusal
from jobq.client.rows import history_of, letter_of
from jobq.client.walking import Found
from jobq.core.clock import Clock, SystemClock
from jobq.core.history import History
from jobq.core.job import JobState
from jobq.core.lines import LETTERS
from jobq.core.pacing import LOOK, Pacer, Plan, Release, Stop, Wait
from jobq.store.ops import inspect
from jobq.store.ops.inspect import Seen
from jobq.store.sync import Store

#: Dead letters that are brought back in one go: what a rate asks for in some hundredths of a
#: second, and not so many that a stop would come late.
BATCH: Final = 100

#: Jobs whose places are looked at in one look.
_PLACES: Final = 1000

#: Refusals that are told by name; the rest is counted.
_MOST_NAMED: Final = 100

#: Why it ended, when somebody asked for that.
INTERRUPTED: Final = "interrupted"

#: The letters of the streams in which first attempts wait and run.
_FIRST: Final = frozenset(LETTERS.values())


#: What tells an attempt from others of its job: its number, and when it ended.
Mark = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Attributes:
        retried: dead letters that were brought back.
        succeeded: of these, how many attempts have ended and had not failed.
        failed: of these, how many attempts have failed, whether they will be retried or not.
        in_canary: the others wait for the first ones.
        gone: how many were no dead letters any more.
        refusals: how many cannot be retried.
        refused: the first hundred of these.
        stopped: why it was stopped; empty: it was not.
    """

    retried: int = 0
    succeeded: int = 0
    failed: int = 0
    in_canary: bool = False
    gone: int = 0
    refusals: int = 0
    refused: tuple[Refusal, ...] = ()
    stopped: str = ""

    @property
    def open(self) -> int:
        """How many were brought back and have not ended an attempt, as far as was looked."""
        return self.retried - self.succeeded - self.failed


@dataclass(frozen=True, slots=True)
class _Watched:
    """A job that was brought back: where it is, and its last attempt before that."""

    queue: str
    job_id: str
    last: Mark | None


class PacedRetry:
    """Brings dead letters back as a plan says.

    Args:
        letters: the dead letters.
        store: the same Redis.
        plan: how.
        clock: what the rate is measured by.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        letters: Letters,
        store: Store,
        plan: Plan,
        *,
        clock: Clock = SystemClock(),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._letters = letters
        self._store = store
        self._plan = plan
        self._clock = clock
        self._sleep = sleep
        self._pacer = Pacer(plan, clock.monotonic())
        self._watched: deque[_Watched] = deque()
        self._look_at = 0.0
        self._gone = self._refusals = 0
        self._refused: list[Refusal] = []
        self._stopped = ""
        self._asked = False

    @property
    def progress(self) -> Progress:
        """How far it is."""
        pacer = self._pacer
        return Progress(
            pacer.released,
            pacer.succeeded,
            pacer.failed,
            pacer.in_canary,
            self._gone,
            self._refusals,
            tuple(self._refused),
            self._stopped,
        )

    def stop(self) -> None:
        """Let `run` come back soon; safe in a signal handler."""
        self._asked = True

    def run(
        self, chosen: Iterator[Found], tell: Callable[[Progress], None], *, resign: bool = False
    ) -> Progress:
        """Bring dead letters back until there is none left, or it is stopped.

        Args:
            chosen: the letters, in their order.
            tell: called some times in a second with how far it is.
            resign: sign the calls anew, whoever wrote them.

        Raises:
            ConfigError: there is no key to sign with.
            StoreError: Redis refused or is gone; `progress` says how far it came.
        """
        upcoming = next(chosen, None)  # one ahead: after the last one it does not wait for a turn
        while not self._stopped:
            if self._asked:
                self._stopped = INTERRUPTED
                break
            self._look()
            match self._pacer.step(self._clock.monotonic()):
                case Release(many):
                    batch: list[Found] = []
                    while upcoming is not None and len(batch) < min(many, BATCH):
                        batch.append(upcoming)
                        upcoming = next(chosen, None)
                    self._release(batch, resign=resign)
                    if upcoming is None:
                        self._pacer.has_no_more()
                case Wait(seconds):
                    self._sleep(min(seconds, LOOK))
                case Stop(why):
                    self._stopped = why
                    break
            tell(self.progress)
        return self.progress

    def _release(self, batch: list[Found], *, resign: bool) -> None:
        for queue in dict.fromkeys(one.queue for one in batch):
            here = {one.dead.job_id: one for one in batch if one.queue == queue}
            came = self._letters.revive(here.values(), resign=resign)
            self._pacer.has_released(len(came.done), self._clock.monotonic())
            self._gone += len(came.gone)
            self._refusals += len(came.refused)
            self._refused += came.refused[: _MOST_NAMED - len(self._refused)]
            if self._plan.judges:
                self._watched += [
                    _Watched(queue, job_id, _last(here[job_id])) for job_id in came.done
                ]

    def _look(self) -> None:
        """See what became of those that were brought back, the first ones first."""
        now = self._clock.monotonic()
        if not self._watched or now < self._look_at:
            return
        self._look_at = now + LOOK
        some = [self._watched.popleft() for _ in range(min(_PLACES, len(self._watched)))]
        for queue in dict.fromkeys(one.queue for one in some):
            here = [one for one in some if one.queue == queue]
            places = self._store.run(inspect.places(queue, [one.job_id for one in here]))
            moved: list[_Watched] = []
            for one, place in zip(here, places, strict=True):
                if place in _FIRST:
                    self._watched.append(one)
                else:
                    moved.append(one)
            looks = (inspect.look(queue, one.job_id) for one in moved)
            for one, seen in zip(moved, list(self._store.run_each(looks)), strict=True):
                failed = has_failed(seen, one.last)
                if failed is None:
                    self._watched.append(one)
                else:
                    self._pacer.judged(failed=failed, now=self._clock.monotonic())


def has_failed(seen: Seen, last: Mark | None) -> bool | None:
    """Tell whether the first attempt of a job since it was brought back has failed.

    Args:
        last: its last attempt before that.

    Returns:
        None: it has not ended an attempt.
    """
    if seen.state in {JobState.DEAD, JobState.EXPIRED}:
        return True
    if seen.state in {None, JobState.SUCCEEDED, JobState.CANCELLED}:
        return False
    history = history_of(seen.history)
    if _mark(history) != last:
        return True
    return False if history.snoozed_ms is not None else None


def _last(found: Found) -> Mark | None:
    letter = letter_of(found.dead.letter)
    return None if letter is None else _mark(letter.history)


def _mark(history: History) -> Mark | None:
    if not history.attempts:
        return None
    last = history.attempts[-1]
    return last.attempt, last.at_ms
