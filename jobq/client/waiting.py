"""What an observation of an awaited job means; pure, so that sync and async decide alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jobq.core import result as stored
from jobq.core.codec import Codec
from jobq.core.duration import Duration, seconds, show
from jobq.core.job import JobState
from jobq.core.letter import Letter
from jobq.errors import (
    CallUnreadable,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobNotFound,
    ResultNotReady,
    ResultUnreadable,
)

#: Seconds between two looks at the job itself while Redis is to tell of its result: what ends
#: without leaving one (result_ttl=0, purged) and a lost notice are found by these.
LOOK_EVERY: Final = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """The job succeeded.

    Attributes:
        value: what it returned.
    """

    value: object


class Waiting:
    """Somebody waits for the result of a job.

    Args:
        job_id: the job.
        codec: reads its result.
        build: makes the value what the job function's annotation says.
        timeout: how long to wait; None: for ever, 0: just look.
        now: a clock in seconds that never jumps.

    Raises:
        OptionError: the timeout is not a duration.
    """

    __slots__ = ("_alive", "_build", "_codec", "_deadline", "_job_id", "_look_at", "_timeout")

    def __init__(
        self,
        job_id: str,
        codec: Codec,
        build: Callable[[object], object] | None,
        timeout: Duration | None,
        now: float,
    ) -> None:
        self._job_id = job_id
        self._codec = codec
        self._build = build
        self._timeout = 0.0 if timeout is None else seconds(timeout, what="timeout")
        self._deadline = None if timeout is None else now + self._timeout
        self._look_at = now
        self._alive = False

    def must_look(self, now: float) -> bool:
        """Tell whether it is time to look at the job itself."""
        return now >= self._look_at

    def pause(self, now: float) -> float:
        """Return how many seconds to wait for a notice at most.

        Raises:
            ResultNotReady: the time is over.
        """
        left = max(0.0, self._look_at - now)
        if self._deadline is None:
            return left
        if now >= self._deadline:
            raise ResultNotReady(
                f"job {self._job_id} has not finished within {show(self._timeout)}; it goes on"
            )
        return min(left, self._deadline - now)

    def of_result(self, blob: bytes | None) -> Ended | None:
        """Judge what is stored as the result; None: nothing yet, wait.

        Raises:
            JobFailed: the job is dead.
            JobExpired: it waited too long, and was not started.
            JobCancelled: it was cancelled.
            ResultUnreadable: it succeeded, but there is no value to be had.
        """
        if blob is None:
            return None
        result = stored.decode(blob, self._codec)
        if result.has_expired:
            raise JobExpired(self._job_id, result.message)
        if result.state is JobState.DEAD:
            raise JobFailed(
                self._job_id, result.error, result.message, result.traceback, result.attempts
            )
        if result.state is JobState.CANCELLED:
            raise JobCancelled(self._job_id)
        if result.problem:
            raise ResultUnreadable(f"job {self._job_id} succeeded, but {result.problem}")
        value = result.value
        return Ended(value if self._build is None else self._build(value))

    def of_look(
        self, state: JobState | None, blob: bytes | None, letter: bytes | None, now: float
    ) -> Ended | None:
        """Judge the job as it is in Redis; None: it is on its way, wait.

        Args:
            state: its state; None: there is no such job.
            blob: its result, if there is one.
            letter: its dead letter, if it is dead.
            now: the clock.

        Raises:
            ResultError: there will be no value; see `of_result`, and
            JobNotFound: there is no such job.
        """
        self._look_at = now + LOOK_EVERY
        if blob is not None:
            return self.of_result(blob)
        if state is JobState.DEAD:
            raise self._failed(letter)
        if state is None:
            if not self._alive:
                raise JobNotFound(self._job_id)
            raise ResultUnreadable(
                f"job {self._job_id} has ended and left no result: its result_ttl is 0 or too "
                "short to be seen, or somebody removed it"
            )
        self._alive = True
        return None

    def _failed(self, letter: bytes | None) -> JobFailed | ResultUnreadable:
        """Return the error for a dead job whose result has expired: its letter knows."""
        try:
            known = Letter.decode(letter or b"")
        except CallUnreadable as error:
            return ResultUnreadable(f"job {self._job_id} is dead; its dead letter: {error}")
        failure = known.failure
        if stored.is_expiry(failure.error, known.attempts):
            return JobExpired(self._job_id, failure.message)
        return JobFailed(
            self._job_id, failure.error, failure.message, failure.traceback, known.attempts
        )
