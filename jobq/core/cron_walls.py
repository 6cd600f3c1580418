"""Which times on a clock on the wall a cron expression means: no time zone here."""

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import MAXYEAR, MINYEAR, date, datetime, time
from itertools import islice, pairwise
from typing import Final

from jobq.core.cron_fields import LAST, Fields

#: Months that are searched. What has no day in 50 years has none at all: the longest wait is for
#: a weekday on 29 February, 28 years, or 40 around the year 2100.
_MOST_MONTHS: Final = 50 * 12
#: Days that are looked at for the shortest gap: months of all lengths.
_SAMPLE_DAYS: Final = 100
_SAMPLE: Final = date(2000, 1, 1)


class Walls:
    """The times that a cron expression means, in both directions.

    The times of one day are numbered from 0: they are all hours with all minutes.

    Args:
        fields: what the expression says.
    """

    __slots__ = ("_fields", "_months", "_per_day")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._months = frozenset(fields.months)
        self._per_day = len(fields.hours) * len(fields.minutes)

    def after(self, wall: datetime) -> datetime | None:
        """Return the first time after another; None: there is none within 50 years.

        Args:
            wall: a time without a time zone.
        """
        today = wall.date()
        for day in self._days(today, step=1):
            number = self._count(wall) if day == today else 0
            if number < self._per_day:
                return self._time(day, number)
        return None

    def upto(self, wall: datetime) -> datetime | None:
        """Return the last time up to another, that time included; None: as for `after`.

        Args:
            wall: a time without a time zone.
        """
        today = wall.date()
        for day in self._days(today, step=-1):
            count = self._count(wall) if day == today else self._per_day
            if count:
                return self._time(day, count - 1)
        return None

    def shortest_gap(self) -> int:
        """Return the least number of minutes between two times."""
        hours, minutes = self._fields.hours, self._fields.minutes
        within = minutes[-1] - minutes[0]
        of_day = (hours[-1] - hours[0]) * 60 + within
        gaps = [later - earlier for earlier, later in pairwise(minutes)]
        gaps += [(later - earlier) * 60 - within for earlier, later in pairwise(hours)]
        days = islice(self._days(_SAMPLE, step=1), _SAMPLE_DAYS)
        gaps += [(later - earlier).days * 1440 - of_day for earlier, later in pairwise(days)]
        return min(gaps)

    def _count(self, wall: datetime) -> int:
        """Return how many times of a day are not after this one."""
        hours, minutes = self._fields.hours, self._fields.minutes
        whole = bisect_left(hours, wall.hour)
        count = whole * len(minutes)
        if whole < len(hours) and hours[whole] == wall.hour:
            count += bisect_right(minutes, wall.minute)
        return count

    def _time(self, day: date, number: int) -> datetime:
        hour, minute = divmod(number, len(self._fields.minutes))
        return datetime.combine(day, time(self._fields.hours[hour], self._fields.minutes[minute]))

    def _days(self, start: date, *, step: int) -> Iterator[date]:
        """Yield the days that are meant, from one on, forward or back."""
        year, month = start.year, start.month
        for _ in range(_MOST_MONTHS):
            if month in self._months:
                for day in self._of_month(year, month)[::step]:
                    found = date(year, month, day)
                    if found >= start if step > 0 else found <= start:
                        yield found
            turn, month = divmod(month - 1 + step, 12)
            year, month = year + turn, month + 1
            if not MINYEAR < year < MAXYEAR:
                return

    def _of_month(self, year: int, month: int) -> Sequence[int]:
        """Return the days of a month that are meant, ascending."""
        first, length = monthrange(year, month)  # of the weekdays 0 is Monday here
        everything = range(1, length + 1)
        fields = self._fields
        if fields.days is None and fields.weekdays is None:
            return everything
        by_day = {day for day in fields.days or () if day <= length}
        if fields.last_day:
            by_day.add(length)
        by_weekday: set[int] = set()
        for weekday in fields.weekdays or ():
            all_of_it = everything[(weekday - first - 1) % 7 :: 7]
            nth = fields.nth.get(weekday)
            if nth is None:
                by_weekday.update(all_of_it)
            else:
                by_weekday.update(day for n, day in enumerate(all_of_it, 1) if n in nth)
                by_weekday.update(all_of_it[-1:] if LAST in nth else ())
        return sorted(by_day | by_weekday)
