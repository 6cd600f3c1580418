"""What somebody who writes a cron expression may not expect of it, in plain words."""

import re
from calendar import month_abbr
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from jobq.core.cron import Cron
from jobq.core.cron_fields import DAY, FIELDS, HOUR, MINUTE, texts

#: A time that the name decides; no other word of an expression has the letter by itself.
_HASHED: Final = re.compile(r"(?<![a-z])h(?![a-z])")
_STEP: Final = re.compile(r"[*h]/(\d+)")
_DAY: Final = 86400
_MINUTE: Final = timedelta(minutes=1)
#: Of February those of most years.
_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def notes(expression: str, tz: str, now_ms: int, name: str = "") -> list[str]:
    """Return what may surprise, a sentence for each thing; none for most expressions.

    Args:
        expression: a cron expression.
        tz: the name of its time zone.
        now_ms: milliseconds since 1970; changes of clocks are looked for in the year after it.
        name: of the schedule; decides about times written as ``H``.

    Raises:
        OptionError: as for `Cron`.
    """
    cron = Cron(expression, tz, name)
    return [
        *_hashed(cron, name),
        *_either_day(cron),
        *_uneven_steps(cron),
        *_short_months(cron),
        *_clocks(cron, now_ms),
    ]


def _hashed(cron: Cron, name: str) -> Iterator[str]:
    if not name and any(_HASHED.search(text) for text in texts(cron.expression)):
        yield "the name of the schedule decides what H is: with its --name these are its ticks."


def _either_day(cron: Cron) -> Iterator[str]:
    fields = cron.fields
    if (fields.days is not None or fields.last_day) and fields.weekdays is not None:
        yield (
            "day-of-month and day-of-week are both given: it ticks on the days that fit one of "
            "them, not only on those that fit both."
        )


def _uneven_steps(cron: Cron) -> Iterator[str]:
    fields = cron.fields
    values = (
        fields.minutes, fields.hours, fields.days or (), fields.months, fields.weekdays or (),
    )  # fmt: skip
    for index, text in enumerate(texts(cron.expression)):
        what, least, most = FIELDS[index]
        size = most - least + 1
        match = _STEP.fullmatch(text)
        step = int(match[1]) if match else 1
        if index == DAY and step > 1:
            yield f"day-of-month {text} starts again on the 1st of each month."
        elif size % step:
            first, last = min(values[index]), max(values[index])
            fix = {MINUTE: f' every="{step}m" is even.', HOUR: f' every="{step}h" is even.'}
            yield (
                f"{what} {text} is not even: after {last} comes {first} again, "
                f"{first + size - last} later and not {step}.{fix.get(index, '')}"
            )


def _short_months(cron: Cron) -> Iterator[str]:
    fields = cron.fields
    if fields.weekdays is None and fields.days and not fields.last_day:
        first = min(fields.days)
        without = [month for month in fields.months if _LENGTHS[month - 1] < first]
        if without:
            names = ", ".join(month_abbr[month] for month in without)
            leap = " except in leap years" if first == 29 else ""
            yield f"day {first} is not in every month: no tick in {names}{leap}. L is the last day."
    if fields.days is None and all(which == {5} for which in fields.nth.values()) and fields.nth:
        yield "not every month has a fifth such weekday; L before a weekday is the last one."


def _clocks(cron: Cron, now_ms: int) -> Iterator[str]:
    """Say which fixed times come never or twice within a year."""
    if cron.fields.elapsed:
        return
    start = now_ms // 1000
    for day in range(366):
        low = start + day * _DAY
        before, after = cron.ahead(low), cron.ahead(low + _DAY)
        if before == after:
            continue
        change = cron.change(low, low + _DAY)
        first = cron.wall_at(change - 1) + timedelta(seconds=1)  # what would come next
        length = timedelta(seconds=after - before)
        if length > timedelta(0):
            yield from _gap(cron, first, first + length)
        else:
            yield from _doubled(cron, first + length, first)


def _gap(cron: Cron, start: datetime, end: datetime) -> Iterator[str]:
    times = _between(cron, start, end)
    if times:
        yield (
            f"{_days_times(times)} does not come in {cron.tz}, where clocks go forward: it ticks "
            f"at {end:%H:%M} instead{', once' if len(times) > 1 else ''}."
        )


def _doubled(cron: Cron, start: datetime, end: datetime) -> Iterator[str]:
    times = _between(cron, start, end)
    if times:
        yield (
            f"{_days_times(times)} comes twice in {cron.tz}, where clocks go back: it ticks the "
            "first time only."
        )


def _between(cron: Cron, start: datetime, end: datetime) -> list[datetime]:
    def all_after(wall: datetime | None) -> Iterator[datetime]:
        while (wall := cron.walls.after(wall) if wall else None) is not None:
            yield wall

    return list(takewhile(lambda wall: wall < end, all_after(start - _MINUTE)))


def _days_times(times: list[datetime]) -> str:
    """Write one time, or from when to when they are."""
    text = f"{times[0]:%Y-%m-%d %H:%M}"
    return text if len(times) == 1 else f"{text} to {times[-1]:%H:%M}"
