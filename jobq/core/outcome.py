"""What an attempt came to, and the decision what follows from it; no I/O, no clock."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from jobq.core.backoff import Exponential, delay
from jobq.core.duration import MAX_SECONDS, seconds, show
from jobq.core.hints import shown
from jobq.core.options import Policy
from jobq.errors import Dead, OptionError, Retry, Snooze


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


@dataclass(frozen=True, slots=True)
class Snoozed:
    """It asked for another time: the same attempt is started again then.

    Attributes:
        after: seconds until then.
    """

    after: float


Outcome = Succeeded | Retrying | Buried | Snoozed

#: The reason of a job that was retried as often as it may be.
USED_UP = "attempts used up"

#: The reason of a job whose retries have taken as long as they may.
TIME_OVER = "retry_for is over"


@dataclass(frozen=True, slots=True)
class When:
    """What a decision needs to know of time.

    Attributes:
        now_ms: Redis time, milliseconds since 1970.
        first_failed_ms: when the first attempt failed; None: this is the first.
        max_delay: seconds that a job may be put off at most.
    """

    now_ms: float
    first_failed_ms: int | None = None
    max_delay: float = MAX_SECONDS


def decide(
    policy: Policy,
    attempt: int,
    error: BaseException,
    failure: Failure,
    rng: Callable[[], float],
    when: When,
) -> Retrying | Buried | Snoozed:
    """Decide what becomes of a job whose attempt failed, or asked for another time.

    Anything that user code raised is a failure, SystemExit and KeyboardInterrupt too. Nothing
    that a user's backoff does can lose the job: if it fails, the default backoff is used. Nor does
    a `Snooze` that makes no sense: the attempt is a failure then, and the job is retried.

    Args:
        policy: that of the job.
        attempt: the attempt that failed, from 1.
        error: what it raised; `Retry`, `Snooze` and `Dead` steer, everything else is a failure.
        failure: the same as text.
        rng: gives a number from 0 up to 1, for the jitter.
        when: what the time is.
    """
    if isinstance(error, Dead):
        return Buried(_text(error.reason) or "asked to be dead", failure)
    if isinstance(error, Snooze):
        try:
            return Snoozed(_snooze(error, when))
        except BaseException as wrong:  # noqa: BLE001  its parts are a user's; the job is kept
            note = f"{_text(wrong)} The snooze was taken for a failure."
            failure = _with_note(failure, note)
    decided = _again(policy, attempt, error, failure, rng)
    if isinstance(decided, Retrying) and is_over(policy, when, after=decided.after):
        return Buried(TIME_OVER, decided.error)
    return decided


def is_over(policy: Policy, when: When, *, after: float = 0.0) -> bool:
    """Tell whether ``retry_for`` is over by then, so that no retry may start any more.

    Args:
        after: seconds from now until the retry would start.
    """
    if policy.retry_for is None:
        return False
    first = when.now_ms if when.first_failed_ms is None else when.first_failed_ms
    return when.now_ms + after * 1000 > first + policy.retry_for * 1000


def _again(
    policy: Policy,
    attempt: int,
    error: BaseException,
    failure: Failure,
    rng: Callable[[], float],
) -> Retrying | Buried:
    """Decide by the kind and the number of the failure whether there is another attempt."""
    if not isinstance(error, Retry | Snooze):
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


def _snooze(error: Snooze, when: When) -> float:
    """Return for how many seconds a job is to sleep.

    Raises:
        OptionError: that cannot be told, or is longer than a job may be put off.
    """
    if (error.after is None) == (error.until is None):
        raise OptionError("Snooze() takes a duration, or until=..., and not both.")
    if error.after is not None:
        what, sleep = "Snooze(...)", seconds(error.after, what="Snooze(...)")
    elif not isinstance(error.until, datetime):
        raise OptionError(f"Snooze(until=...) is {shown(error.until)}; use a datetime.")
    elif error.until.utcoffset() is None:
        raise OptionError(
            "Snooze(until=...) is a datetime without a time zone; use "
            "datetime.now(UTC) + timedelta(...), or one with tzinfo=ZoneInfo(...)."
        )
    else:
        what = "Snooze(until=...)"
        sleep = max(0.0, error.until.timestamp() - when.now_ms / 1000)
    if sleep > when.max_delay:
        raise OptionError(f"{what} is {show(sleep)} from now, more than max_delay allows.")
    return sleep


def _with_note(failure: Failure, note: str) -> Failure:
    return replace(failure, message=f"{failure.message} [{note}]")


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  a broken __str__ of a user's class
        return f"<{type(value).__name__}>"
