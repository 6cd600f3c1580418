"""What a cron expression says: croniter reads it, once what it would misread has been refused.

Five fields: minute, hour, day of the month, month, day of the week. Where both days are given, one
of them is enough, as in every cron. The names of months and weekdays, ``L`` (last), ``#`` (the n-th
weekday of a month) and ``H`` may be written in any case.

Refused, though croniter takes it: seconds and years (``every=`` is for that); ``R``, a new random
time whenever it is read; ranges that wrap around, or of one value, which croniter takes for all;
steps that leave their field, such as ``*/90``; ``W``, which not every croniter knows; and what
never comes, such as 30 February (`jobq.core.cron` sees that).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from jobq.core.hints import shown
from jobq.errors import OptionError

#: Reading 14 kB takes croniter 0.1 s.
MAX_CRON_CHARS: Final = 256

#: Short for the usual ones; croniter would give them hashed times.
ALIASES: Final[Mapping[str, str]] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

#: The fields, in order, with the least and the greatest value of each.
FIELDS: Final = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day-of-month", 1, 31),
    ("month", 1, 12),
    ("day-of-week", 0, 6),
)
MINUTE, HOUR, DAY, MONTH, WEEKDAY = range(5)
#: An example of each, for messages.
_EXAMPLES: Final = (
    "0,30 or */15", "9-17 or */2", "1,15 or L", "1-6 or jan,jul", "mon-fri or fri#2",
)  # fmt: skip
#: In place of a number in `Fields.nth`: the last one of the month.
LAST: Final = 0

_MONTHS: Final = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
)  # fmt: skip
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WORDS: Final[Mapping[int, Mapping[str, int]]] = {
    DAY: {"l": 31},
    MONTH: {name: number for number, name in enumerate(_MONTHS, 1)},
    WEEKDAY: {name: number for number, name in enumerate(_WEEKDAYS)},
}
_RANDOM: Final = re.compile(r"r([(/].*)?")
#: Days of the month that other crons know.
_FOREIGN_DAYS: Final = (
    (
        re.compile(r"w\d+|\d+w"),
        "(nearest weekday) is not supported; use a day, or a weekday such as mon#1",
    ),
    (
        re.compile(r"l-\d+"),
        "(days before the last) is not supported; use a day, or L, the last day",
    ),
)
_RANGE: Final = re.compile(r"(\w+)-(\w+)(?:/\d+)?(?:#\d+)?")
_STEP: Final = re.compile(r"(\*|h|\w+)/(\d+)")
#: An hour that is no fixed one: these are steps through the whole day.
_EVERY_HOUR: Final = re.compile(r"\*(/\d+)?|h/\d+")


@dataclass(frozen=True, slots=True)
class Fields:
    """What a cron expression says.

    Attributes:
        minutes: of an hour, ascending; so are the hours and months.
        hours: of a day.
        months: of a year, from 1.
        days: of a month, from 1; None: any.
        last_day: the last day of a month is one of them.
        weekdays: 0 is Sunday; None: any.
        nth: for the weekdays that are not meant each week: which of the month, from 1, or `LAST`.
        elapsed: the hours are steps through the whole day, and so go by elapsed time.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    days: frozenset[int] | None
    last_day: bool
    weekdays: frozenset[int] | None
    nth: Mapping[int, frozenset[int]]
    elapsed: bool


def check_cron(value: object) -> str:
    """Check what can be seen of a cron expression without its name and time zone.

    Returns:
        The same expression, with single spaces between its fields.

    Raises:
        OptionError: it is no str, too long, or has another number of fields.
    """
    if not isinstance(value, str):
        raise OptionError(f"cron is {shown(value)}; use a str such as '0 9 * * mon-fri'")
    if len(value) > MAX_CRON_CHARS:
        raise OptionError(f"cron has {len(value)} characters; use at most {MAX_CRON_CHARS}")
    texts(value)
    return " ".join(value.split())


def texts(expression: str) -> list[str]:
    """Return the texts of the five fields, in small letters.

    Raises:
        OptionError: there are more or fewer of them, or an unknown alias.
    """
    fields = expression.lower().split()
    if len(fields) == 1 and fields[0].startswith("@"):
        if fields[0] not in ALIASES:
            raise OptionError(f"cron is {shown(expression)}; use one of {', '.join(ALIASES)}")
        return ALIASES[fields[0]].split()
    if not expression.isascii():
        raise OptionError(f"cron is {shown(expression)}; use ASCII only")
    if len(fields) != len(FIELDS):
        fix = "use five fields: minute hour day-of-month month day-of-week"
        if len(fields) in (6, 7):
            fix += '; for seconds use every="30s"'
        raise OptionError(f"cron is {shown(expression)}, which has {len(fields)} fields; {fix}")
    return fields


def read(expression: str, name: str) -> Fields:
    """Read a cron expression.

    Args:
        expression: as `check_cron` returns it.
        name: decides about times written as ``H``.

    Raises:
        OptionError: it is none, or one of those that are refused.
    """
    fields = texts(expression)
    for index, text in enumerate(fields):
        for part in text.split(","):
            problem = _problem(index, part, alone=part == text)
            if problem:
                where = f"cron is {shown(expression)}: {FIELDS[index][0]} {part[:40]!r}"
                raise OptionError(f"{where} {problem}")
    expanded, nth = _expand(expression, fields, name)
    minutes, hours, days, months, weekdays = expanded
    every_hour = all(_EVERY_HOUR.fullmatch(part) for part in fields[HOUR].split(","))
    return Fields(
        minutes=_values(minutes, MINUTE),
        hours=(of_day := _values(hours, HOUR)),
        months=_values(months, MONTH),
        days=None if "*" in days else frozenset(_numbers(days)),
        last_day="l" in days,
        weekdays=None if "*" in weekdays else frozenset(_numbers(weekdays)),
        nth={day: frozenset(_nth(which)) for day, which in nth.items()},
        elapsed=every_hour or len(of_day) == 24,
    )


_Expanded = tuple[list[list[int | str]], dict[int, set[int | str]]]


def _expand(expression: str, fields: list[str], name: str) -> _Expanded:
    """Let croniter turn the texts of fields into their values."""
    from croniter import croniter  # noqa: PLC0415  20 ms, which only those who use cron shall pay

    def expand(texts: list[str]) -> _Expanded:
        return croniter.expand(" ".join(texts), hash_id=name.encode())  # type: ignore[return-value]

    errors = (ValueError, LookupError, TypeError, AttributeError)  # all seen, for garbage
    try:
        return expand(fields)
    except errors:
        pass
    for index, text in enumerate(fields):
        alone = ["*"] * len(FIELDS)
        alone[index] = text
        try:
            expand(alone)
        except errors:
            what, least, most = FIELDS[index]
            raise OptionError(
                f"cron is {shown(expression)}: {what} {text[:40]!r} cannot be read; values go from "
                f"{least} to {most}, such as {_EXAMPLES[index]}"
            ) from None
    raise OptionError(f"cron is {shown(expression)}, which cannot be read")


def _problem(index: int, part: str, *, alone: bool) -> str | None:
    """Return what is wrong with a part of a field that croniter takes, and the fix."""
    if _RANDOM.fullmatch(part):
        return "is a new random time whenever it is read; use H, which the name decides"
    if index == DAY and (foreign := [why for days, why in _FOREIGN_DAYS if days.fullmatch(part)]):
        return foreign[0]
    if part in ("*", "?") and not alone:
        return "stands in a list; alone it means all values"
    if match := _RANGE.fullmatch(part):
        return _range_problem(index, match[1], match[2])
    if match := _STEP.fullmatch(part):
        return _step_problem(index, match[1], int(match[2]))
    return None


def _range_problem(index: int, first: str, last: str) -> str | None:
    _, least, most = FIELDS[index]
    low, high = _number(index, first), _number(index, last)
    if low is None or high is None:
        return None  # croniter says so
    if index == WEEKDAY and last == "sun" and low:
        high = 7  # mon-sun ends the week
    if low == high:
        return f"is one value; write {first}"
    if low > high:
        return f"wraps around; write {_span(low, most)},{_span(least, high)}"
    return None


def _step_problem(index: int, start: str, step: int) -> str | None:
    what, least, most = FIELDS[index]
    if start in ("*", "h"):
        if step <= most - least:
            return None
        unit = {MINUTE: "m", HOUR: "h"}.get(index)
        fix = f'use every="{step}{unit}"' if unit and step < 10**6 else "use one value"
        return f"is longer than all {most - least + 1} values of a {what}; {fix}"
    low = _number(index, start)
    if low is not None and low + step > most:
        return f"has no second value up to {most}; write {start}"
    return None


def _number(index: int, text: str) -> int | None:
    return int(text) if text.isdecimal() else _WORDS.get(index, {}).get(text)


def _span(low: int, high: int) -> str:
    return str(low) if low >= high else f"{low}-{high}"


def _values(values: Iterable[int | str], index: int) -> tuple[int, ...]:
    _, least, most = FIELDS[index]
    if "*" in values:
        return tuple(range(least, most + 1))
    return tuple(sorted(_numbers(values)))


def _numbers(values: Iterable[int | str]) -> set[int]:
    return {value for value in values if isinstance(value, int)}


def _nth(which: Iterable[int | str]) -> set[int]:
    return {LAST if number == "l" else int(number) for number in which}
