"""Placing: when a call is due, in which line it waits, and which calls count as the same.

These options steer how a call is put into Redis. None of them travels with it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from jobq.core.duration import FORMS, MAX_SECONDS, seconds, show
from jobq.core.hints import shown
from jobq.core.ids import check_job_id
from jobq.core.lines import NORMAL, PRIORITIES, Priority, line_of
from jobq.core.uniqueness import (
    FOR_TIME,
    NEVER,
    UNTIL_DONE,
    UNTIL_START,
    By,
    Rule,
    Uniqueness,
    mode_of,
)
from jobq.errors import OptionError

#: What ``JobQ(max_delay=...)`` is if it is not given: a year, in seconds.
DEFAULT_MAX_DELAY: Final = 365 * 86400.0

#: How often ``debounce`` fits into ``debounce_max`` if that is not given.
LONGEST: Final = 10

#: More times than that are not kept for one key of ``throttle``.
MOST_THROTTLED: Final = 1000

#: What belongs to one call.
ONCE: Final = frozenset(("job_id", "delay", "at"))
#: What says which calls are the same.
SAME: Final = frozenset((
    "unique", "unique_for", "on_conflict", "debounce", "debounce_max", "throttle",
))  # fmt: skip

_ERAS: Final = (UNTIL_START, UNTIL_DONE)
_CONFLICTS: Final = {"existing": "e", "replace": "r", "raise": "x"}


@dataclass(frozen=True, slots=True)
class Placing:
    """How the calls of a job function are put into Redis, where that is not as usual.

    Attributes:
        given: the options that say so, checked, by name.
        job_id: the caller's own id.
        delay: ms from now until the calls are due; None: nothing was said.
        at: when they are due instead, ms since 1970.
        priority: of the line in which they wait.
        unique: which of them are the same.
    """

    given: Mapping[str, object]
    job_id: str | None = None
    delay: int | None = None
    at: int | None = None
    priority: Priority = NORMAL
    unique: Uniqueness | None = None

    def line(self, queue: str) -> str:
        """Return the line of a queue in which the calls wait."""
        return line_of(queue, self.priority)

    @property
    def due(self) -> tuple[int, int] | None:
        """When they are due: ms from now, or the time in ms where that is not 0; None: unsaid."""
        if self.at is not None:
            return 0, self.at
        return None if self.delay is None else (self.delay, 0)


def place(
    given: Mapping[str, object],
    *,
    where: str,
    lower: Placing | None = None,
    max_delay: float = DEFAULT_MAX_DELAY,
    now: float = 0.0,
) -> Placing | None:
    """Bring together the options that `CHECKS` has checked, or refuse them.

    Args:
        given: names and values.
        where: who takes them; opens each error.
        lower: what fills the gaps.
        max_delay: seconds from now after which nothing may be due.
        now: seconds since 1970.

    Returns:
        None where calls go in as usual.

    Raises:
        OptionError: two of them contradict each other, or one looks too far ahead.
    """
    every = {**lower.given, **given} if lower is not None else dict(given)
    # Of two that are about the same, the one that a single call gives stands over a lower one.
    for option, other in (("delay", "at"), ("at", "delay")):
        if option in given and other not in given:
            every.pop(other, None)
    for option in ("delay", "at"):  # None: now, so that `delay=wait if late else None` works
        if every.get(option, "") is None:
            del every[option]
    try:
        placing = _placed(every, max_delay)
        _check_horizon(every, max_delay, now)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
    return placing if placing != Placing(every) else None


def check_delay(value: object) -> float | None:
    """Check how long a call waits before it is due, and return it in seconds; None: not at all."""
    return None if value is None else seconds(value, what="delay")


def check_at(value: object) -> int | None:
    """Check when a call is due, and return it in ms since 1970; None: now."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise OptionError(f"at is {shown(value)}; use an aware datetime, or delay= for a duration")
    try:
        offset = value.utcoffset()
        if offset is None:
            raise OptionError(
                f"at is {value.isoformat()}, which has no time zone: that is another moment on "
                "another machine. Use an aware one, such as datetime(2030, 1, 1, 9, "
                'tzinfo=ZoneInfo("Europe/Madrid")), or value.astimezone() for local time'
            )
        # Never early: up to the next ms. What is over by now counts as now, however long.
        return max(1, math.ceil(round(value.timestamp() * 1000, 3)))
    except (OverflowError, ValueError) as error:
        raise OptionError(f"at is {shown(value)}, which is no moment: {error}") from None


def check_priority(value: object) -> Priority:
    """Check which jobs of a queue go first."""
    if not isinstance(value, str) or value not in PRIORITIES:
        raise OptionError(f'priority is {shown(value)}; use "high", "normal" or "low"')
    return value


def check_unique(value: object) -> By | None:
    """Check what makes calls the same; None: nothing does."""
    if value is None or callable(value):
        return value
    if isinstance(value, str) and value in {"args", "name"}:
        return cast("By", value)
    raise OptionError(
        f'unique is {shown(value)}; use "args", "name", a function of the arguments, or None'
    )


def check_unique_for(value: object) -> str | float:
    """Check until when a job keeps others out, and return a word, or seconds."""
    if isinstance(value, str) and value in _ERAS:
        return value
    try:
        return _above_zero(value, "unique_for")
    except OptionError:
        raise OptionError(
            f'unique_for is {shown(value)}; use "until_start", "until_done" or a duration above '
            f"0: {FORMS}"
        ) from None


def check_on_conflict(value: object) -> str:
    """Check what becomes of a call when a job has its key."""
    if not isinstance(value, str) or value not in _CONFLICTS:
        raise OptionError(f'on_conflict is {shown(value)}; use "existing", "replace" or "raise"')
    return value


def check_debounce(value: object) -> float | None:
    """Check how long there must be no call before the last one runs; None: it runs at once."""
    return None if value is None else _above_zero(value, "debounce")


def check_debounce_max(value: object) -> float:
    """Check how long calls may put off a job by ``debounce``."""
    return _above_zero(value, "debounce_max")


def check_throttle(value: object) -> tuple[int, float] | None:
    """Check how many calls become jobs in which time; None: all do."""
    if value is None:
        return None
    number, _, window = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not window or not (number.isascii() and number.isdigit() and len(number) < 10):
        raise OptionError(f'throttle is {shown(value)}; use text such as "1/10s" or "100/1h"')
    count = int(number)
    if not 1 <= count <= MOST_THROTTLED:
        raise OptionError(f"throttle is {value!r}; its number must be 1 to {MOST_THROTTLED}")
    return count, _above_zero(window, f"throttle is {value!r}: its duration")


def check_max_delay(value: object) -> float:
    """Check how far ahead a call may be due, and return it in seconds."""
    return _above_zero(value, "max_delay")


#: The check of each option; each takes what a user wrote, and returns it in its final form.
CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "job_id": check_job_id,
    "delay": check_delay,
    "at": check_at,
    "priority": check_priority,
    "unique": check_unique,
    "unique_for": check_unique_for,
    "on_conflict": check_on_conflict,
    "debounce": check_debounce,
    "debounce_max": check_debounce_max,
    "throttle": check_throttle,
}


def _above_zero(value: object, what: str) -> float:
    found = seconds(value, what=what)
    if found < 0.001:
        raise OptionError(f"{what} is {shown(value)}; use a duration of 1 ms or more")
    return found


def _check_horizon(every: Mapping[str, object], max_delay: float, now: float) -> None:
    """Refuse what looks further ahead than the app lets it."""
    ahead = {option: every.get(option) for option in ("delay", "debounce", "debounce_max")}
    at = every.get("at")
    if isinstance(at, int):
        ahead["at"] = at / 1000 - now
    for option, value in ahead.items():
        if isinstance(value, int | float) and value > max_delay:
            raise OptionError(
                f"{option} is {show(value)} ahead, and max_delay is {show(max_delay)}; use an "
                f"earlier time, or JobQ(max_delay=...), of at most {show(MAX_SECONDS)}"
            )


def _placed(every: Mapping[str, object], max_delay: float) -> Placing:
    if "delay" in every and "at" in every:
        raise OptionError("delay and at contradict each other: give one of them")
    delay = every.get("delay")
    return Placing(
        every,
        job_id=cast("str | None", every.get("job_id")),
        delay=None if delay is None else _ms(delay),
        at=cast("int | None", every.get("at")),
        priority=cast("Priority", every.get("priority", NORMAL)),
        unique=_unique(every, max_delay),
    )


def _unique(every: Mapping[str, object], max_delay: float) -> Uniqueness | None:
    by, debounce, throttle = (every.get(one) for one in ("unique", "debounce", "throttle"))
    if by is None and "unique" in every:
        return None  # it was taken back for this call, and with it all that goes with it
    if by is None and debounce is None and throttle is None:
        for option in ("unique_for", "on_conflict", "debounce_max"):
            if option in every and not {"debounce", "throttle"} & every.keys():
                needed = "debounce" if option == "debounce_max" else "unique, debounce or throttle"
                raise OptionError(f"{option} says nothing without {needed}")
        return None
    until = every.get("unique_for", NEVER if throttle is not None else UNTIL_DONE)
    conflict = cast("str", every.get("on_conflict", "existing" if debounce is None else "replace"))
    _check_together(every, until, conflict)
    timed = not isinstance(until, str)
    longest = every.get("debounce_max")
    if longest is None and debounce is not None:
        longest = min(max_delay, LONGEST * cast("float", debounce))
    count, window = cast("tuple[int, float]", throttle or (0, 0.0))
    rule = Rule(
        mode=FOR_TIME if timed else NEVER if until == NEVER else mode_of(str(until)),
        holds=_ms(until) if timed else 0,
        conflict=_CONFLICTS[conflict],
        debounce=_ms(debounce or 0),
        longest=_ms(longest or 0),
        passes=count,
        window=_ms(window),
    )
    return Uniqueness(cast("By", by or "name"), rule)


def _check_together(every: Mapping[str, object], until: object, conflict: str) -> None:
    """Refuse what contradicts each other, by both names."""
    same = next(one for one in ("unique", "debounce", "throttle") if every.get(one) is not None)
    if every.get("job_id") is not None:
        raise OptionError(
            f"job_id and {same} contradict each other: an id of your own is unique by itself. Give "
            "one of them; unique=None takes back that of @job"
        )
    if every.get("debounce") is not None:
        _check_debounced(every, conflict)
    elif "debounce_max" in every and "debounce" not in every:
        raise OptionError("debounce_max says nothing without debounce")
    if conflict == "replace" and every.get("throttle") is not None:
        raise OptionError('throttle and on_conflict="replace" contradict each other')
    if conflict == "replace" and not isinstance(until, str):
        raise OptionError(
            'unique_for, if it is a duration, and on_conflict="replace" contradict each other: '
            "only a job that still waits can be replaced"
        )


def _check_debounced(every: Mapping[str, object], conflict: str) -> None:
    for option in ("delay", "at", "throttle"):
        if every.get(option) is not None:
            raise OptionError(f"debounce and {option} contradict each other: give one of them")
    if conflict != "replace":
        raise OptionError(
            f'debounce and on_conflict="{conflict}" contradict each other: the latest call takes '
            'the place of the one that waits, which is on_conflict="replace"'
        )
    longest = every.get("debounce_max")
    if longest is not None and cast("float", longest) < cast("float", every["debounce"]):
        raise OptionError("debounce_max is less than debounce; it must not be")


def _ms(duration: object) -> int:
    """Return seconds as whole ms, and never less."""
    return math.ceil(round(cast("float", duration) * 1000, 3))
