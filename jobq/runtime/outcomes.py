"""The past of schedules: what came of the jobs of their ticks, noted while it can be told."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from jobq.core.clock import Clock
from jobq.core.job import JobState
from jobq.core.letter import Letter
from jobq.core.result import is_expiry, state_of
from jobq.core.timetable import with_outcome
from jobq.errors import CallUnreadable
from jobq.runtime.known import Known
from jobq.runtime.steps import Steps
from jobq.store.ops import inspect, schedules
from jobq.store.ops.inspect import DeadEntry
from jobq.store.ops.schedules import Ended

#: Seconds between looks.
LOOK: Final = 1.0

#: Schedules in one look, and past ticks of each.
MOST: Final = 50
MOST_TICKS: Final = 20


class Recorder:
    """Notes outcomes of past ticks, of some schedules at a time.

    Args:
        steps: what it asks.
        clock: monotonic.
    """

    def __init__(self, steps: Steps, clock: Clock) -> None:
        self._steps = steps
        self._clock = clock
        self._look_at = 0.0
        self._turn: list[Known] = []

    def look(self, table: Iterable[Known]) -> None:
        """Add the steps that are due."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK
        if not self._turn:
            self._turn = [known for known in table if known.watch]
        for known in self._turn[:MOST]:
            self._steps.add(schedules.ended(known.queue, known.name), self._seen(known))
        del self._turn[:MOST]

    def _seen(self, known: Known) -> Callable[[tuple[int, list[Ended]]], None]:
        def read(answer: tuple[int, list[Ended]]) -> None:
            still_open, ended = answer
            known.watch = bool(still_open or ended)
            if ended:
                _Look(self._steps, known, ended[:MOST_TICKS]).begin()

        return read


class _Look:
    """One look at what came of some ticks of one schedule; then all of it is noted at once."""

    def __init__(self, steps: Steps, known: Known, ended: Sequence[Ended]) -> None:
        self._steps = steps
        self._known = known
        self._left = len(ended)
        self._ended = ended
        self._found: list[tuple[str, str]] = []

    def begin(self) -> None:
        queue = self._known.queue
        for one in self._ended:
            if one.letter:
                op = inspect.letter(queue, one.letter)
                self._steps.add(op, self._read_letter(one.text), self._done)
            else:
                head = schedules.result_head(queue, one.job_id)
                self._steps.add(head, self._read_result(one.text), self._done)

    def _read_letter(self, text: str) -> Callable[[list[DeadEntry]], None]:
        def read(entries: list[DeadEntry]) -> None:
            if entries:  # else it was retried or purged just now: the next look will tell
                self._found.append((text, with_outcome(text, _of_letter(entries[0]))))
            self._done()

        return read

    def _read_result(self, text: str) -> Callable[[bytes], None]:
        def read(head: bytes) -> None:
            # A job that is gone without a word has succeeded, and no result was wanted.
            state = state_of(head) if head else JobState.SUCCEEDED
            self._found.append((text, with_outcome(text, state or "unknown")))
            self._done()

        return read

    def _done(self) -> None:
        self._left -= 1
        if not self._left and self._found:
            known = self._known
            self._steps.add(schedules.note(known.queue, known.name, self._found), lambda _: None)


def _of_letter(entry: DeadEntry) -> str:
    try:
        letter = Letter.decode(entry.letter)
    except CallUnreadable:
        return JobState.DEAD
    expired = is_expiry(letter.failure.error, letter.attempts)
    return JobState.EXPIRED if expired else JobState.DEAD
