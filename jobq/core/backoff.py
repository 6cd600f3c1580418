"""Backoff: the rule that gives the delay before the next attempt."""

from collections.abc import Callable
from dataclasses import dataclass

from jobq.core.duration import MAX_SECONDS, Duration, seconds
from jobq.errors import OptionError

#: A user's rule: the attempt that failed (from 1) and its exception, to a duration.
BackoffFunction = Callable[[int, BaseException], Duration]

#: The longest list of delays; it travels with a call.
MAX_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Exponential:
    """Delays that grow by a factor up to a cap, with full jitter.

    Attempt ``n`` waits a random time between 0 and ``min(cap, base * factor ** (n - 1))``: full
    jitter spreads the retries of many jobs that failed together (Exponential Backoff And
    Jitter, AWS Architecture Blog, 2015).

    Attributes:
        base: the ceiling after the first attempt; a duration.
        cap: the ceiling of ceilings; a duration.
        factor: by how much each ceiling exceeds the one before; at least 1.
        jitter: False waits exactly the ceiling.

    Raises:
        OptionError: a value is out of range.
    """

    base: Duration = 1.0
    cap: Duration = 600.0
    factor: float = 2.0
    jitter: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", seconds(self.base, what="Exponential.base"))
        object.__setattr__(self, "cap", seconds(self.cap, what="Exponential.cap"))
        factor = self.factor
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            raise OptionError(f"Exponential.factor is {factor!r}; use a number from 1 on")
        if not 1 <= factor <= 1e6:
            raise OptionError(f"Exponential.factor is {factor!r}; use a number from 1 to 1000000")
        object.__setattr__(self, "factor", float(factor))
        if not isinstance(self.jitter, bool):
            raise OptionError(f"Exponential.jitter is {self.jitter!r}; use True or False")

    def ceiling(self, attempt: int) -> float:
        """Return the longest delay after an attempt, in seconds."""
        base = seconds(self.base, what="base")
        cap = seconds(self.cap, what="cap")
        try:
            return float(min(cap, base * self.factor ** (attempt - 1)))
        except OverflowError:  # so many attempts that the power is no float any more
            return cap if base else 0.0


@dataclass(frozen=True, slots=True)
class Fixed:
    """Delays from a list, one after each attempt; the last one repeats.

    Attributes:
        delays: 1 to 1000 durations.

    Raises:
        OptionError: there are none, too many, or one is not a duration.
    """

    delays: tuple[Duration, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.delays) <= MAX_STEPS:
            raise OptionError(f"backoff has {len(self.delays)} delays; use 1 to {MAX_STEPS}")
        checked = tuple(
            seconds(delay, what=f"backoff[{index}]") for index, delay in enumerate(self.delays)
        )
        object.__setattr__(self, "delays", checked)

    def after(self, attempt: int) -> float:
        """Return the delay after an attempt, in seconds."""
        return seconds(self.delays[min(attempt, len(self.delays)) - 1], what="backoff")


@dataclass(frozen=True, slots=True)
class Custom:
    """A user's function, with a cap on what it returns.

    Attributes:
        function: called with the attempt that failed, from 1, and its exception.
        cap: the longest delay; a duration.

    Raises:
        OptionError: the function cannot be called, or the cap is not a duration.
    """

    function: BackoffFunction
    cap: Duration = MAX_SECONDS

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise OptionError(f"backoff is {self.function!r}, which cannot be called")
        object.__setattr__(self, "cap", seconds(self.cap, what="Custom.cap"))


Backoff = Exponential | Fixed | Custom


def delay(backoff: Backoff, attempt: int, error: BaseException, rng: Callable[[], float]) -> float:
    """Return the delay before the next attempt.

    Args:
        backoff: the rule.
        attempt: the attempt that failed, from 1.
        error: why it failed.
        rng: gives a number from 0 up to 1.

    Returns:
        Seconds, from 0 to the cap of the rule.

    Raises:
        OptionError: a user's function returned something that is not a duration.
        Exception: whatever a user's function raises.
    """
    match backoff:
        case Exponential():
            ceiling = backoff.ceiling(attempt)
            return ceiling * rng() if backoff.jitter else ceiling
        case Fixed():
            return backoff.after(attempt)
        case Custom():
            given = backoff.function(attempt, error)
            return min(seconds(given, what="the delay"), seconds(backoff.cap, what="cap"))


def parse_backoff(value: object) -> Backoff:
    """Turn what a user gave as ``backoff=`` into a rule.

    Args:
        value: `Exponential`, `Fixed` or `Custom`; a duration (always that long); a list of
            durations (the last one repeats); or a function of (attempt, error).

    Raises:
        OptionError: it is none of these.
    """
    if isinstance(value, Exponential | Fixed | Custom):
        return value
    if isinstance(value, list | tuple):
        return Fixed(tuple(value))
    if callable(value):
        if isinstance(value, type):
            raise OptionError(
                f"backoff is the class {value.__name__}; use an instance of it, "
                "or a function of (attempt, error)"
            )
        return Custom(value)
    return Fixed((seconds(value, what="backoff"),))


def to_wire(backoff: Backoff) -> list[object]:
    """Turn a rule into plain data that travels with a call.

    Returns:
        ``["e", base, cap, factor, jitter]`` or ``["f", delay, …]``, in seconds.

    Raises:
        OptionError: it is a function.
    """
    match backoff:
        case Exponential():
            return ["e", backoff.base, backoff.cap, backoff.factor, backoff.jitter]
        case Fixed():
            return ["f", *backoff.delays]
        case Custom():
            raise OptionError(
                "backoff is a function, which cannot travel with one call. Give it to @job, "
                "or use a list of delays or Exponential(...) here."
            )


def from_wire(data: object) -> Backoff:
    """Turn what `to_wire` made back into a rule.

    Raises:
        OptionError: the data is anything else.
    """
    match data:
        case ["e", base, cap, float(factor), bool(jitter)]:
            return Exponential(seconds(base, what="base"), seconds(cap, what="cap"), factor, jitter)
        case ["f", *delays]:
            return Fixed(tuple(seconds(delay, what="delay") for delay in delays))
    raise OptionError(f"the backoff of a call is unreadable: {str(data)[:80]}")
