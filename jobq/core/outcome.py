"""What an attempt came to, and the decision what follows from it; no I/O, no clock."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from jobq.core.backoff import Exponential, delay
from jobq.core.duration import seconds
from jobq.core.options import Policy
from jobq.errors import Dead, OptionError, Retry


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, as text.

    Attributes:
        error: the qualified name of the exception.
        message: what it said.
        traceback: where it was raised.
    """

    error: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The job function returned.

    Attributes:
        value: what it returned.
    """

    value: object


@dataclass(frozen=True, slots=True)
class Retrying:
    """There will be another attempt.

    Attributes:
        after: seconds until then.
        error: why this one failed.
    """

    after: float
    error: Failure


@dataclass(frozen=True, slots=True)
class Buried:
    """There will be none: to the dead letters.

    Attributes:
        reason: why not.
        error: why this one failed.
    """

    reason: str
    error: Failure


Outcome = Succeeded | Retrying | Buried

#: The reason of a job that was retried as often as it may be.
USED_UP = "attempts used up"


def decide(
    policy: Policy,
    attempt: int,
    error: BaseException,
    failure: Failure,
    rng: Callable[[], float],
) -> Retrying | Buried:
    """Decide what becomes of a job whose attempt failed.

    Anything that user code raised is a failure, SystemExit and KeyboardInterrupt too. Nothing
    that a user's backoff does can lose the job: if it fails, the default backoff is used.

    Args:
        policy: that of the job.
        attempt: the attempt that failed, from 1.
        error: what it raised; `Retry` and `Dead` steer, everything else is a failure.
        failure: the same as text.
        rng: gives a number from 0 up to 1, for the jitter.
    """
    if isinstance(error, Dead):
        return Buried(_text(error.reason) or "asked to be dead", failure)
    if not isinstance(error, Retry):
        refusal = _refusal(policy, error)
        if refusal is not None:
            return Buried(refusal, failure)
    if attempt > policy.retries:
        return Buried(USED_UP, failure)
    if isinstance(error, Retry) and error.after is not None:
        try:
            return Retrying(seconds(error.after, what="Retry(after=...)"), failure)
        except OptionError as wrong:
            failure = _with_note(failure, f"{wrong} The job's backoff was used instead.")
    return _after_backoff(policy, attempt, error, failure, rng)


def is_retried(policy: Policy, error: BaseException) -> bool:
    """Tell whether a policy lets another attempt follow after an exception."""
    return _refusal(policy, error) is None


def _refusal(policy: Policy, error: BaseException) -> str | None:
    """Return why an exception is not retried, or None if it is."""
    name = type(error).__name__
    if isinstance(error, policy.no_retry_on):
        return f"not retried: {name} is in no_retry_on"
    # `Exception` in retry_on, the default, means every failure: sys.exit() in a job is one.
    if Exception in policy.retry_on or isinstance(error, policy.retry_on):
        return None
    return f"not retried: {name} is not in retry_on"


def _after_backoff(
    policy: Policy,
    attempt: int,
    error: BaseException,
    failure: Failure,
    rng: Callable[[], float],
) -> Retrying:
    try:
        return Retrying(delay(policy.backoff, attempt, error, rng), failure)
    except BaseException as broken:  # noqa: BLE001  a user's function; the job is kept
        note = (
            f"The backoff function failed with {type(broken).__name__}: {_text(broken)}. "
            "The default backoff was used instead."
        )
        after = delay(Exponential(), attempt, error, rng)
        return Retrying(after, _with_note(failure, note))


def _with_note(failure: Failure, note: str) -> Failure:
    return replace(failure, message=f"{failure.message} [{note}]")


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  a broken __str__ of a user's class
        return f"<{type(value).__name__}>"
