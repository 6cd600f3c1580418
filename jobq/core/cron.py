"""Ticks of cron expressions in a time zone, also where its clocks are put forward or back.

Fixed hours, such as ``30 2 * * *``, mean times that a clock on the wall shows:

- a time that comes twice, because clocks go back, ticks once: when it comes first;
- a time that never comes, because clocks go forward, ticks at the first instant after the gap;
  several of them tick there once.

Hours that are steps through the whole day, such as ``*`` and ``*/2``, go by elapsed time: the
doubled hour ticks twice, and the gap adds no tick.

`jobq.core.cron_fields` reads the expressions. The search is our own: croniter's counts a time that
comes twice twice, adds ticks at gaps, and does not find the same ticks backward as forward.
"""

from datetime import datetime, timedelta
from typing import Final

from jobq.core.cron_fields import Fields, check_cron, read
from jobq.core.cron_walls import Walls
from jobq.core.hints import shown
from jobq.core.zones import zone
from jobq.errors import OptionError

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  a clock on the wall
#: From here on, the rarest day comes within 50 years.
_START: Final = datetime(2000, 1, 1)  # noqa: DTZ001  a clock on the wall
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)


class Cron:
    """The ticks of a cron expression.

    Args:
        expression: five fields, or an alias such as ``@daily``.
        tz: the name of a time zone.
        name: of the schedule; decides about times written as ``H``.

    Attributes:
        expression: as given, with single spaces between its fields.
        tz: as given.
        fields: what the expression says.
        walls: the times it means, whatever the time zone.

    Raises:
        OptionError: it is no cron expression, it never ticks, or there is no such time zone.
    """

    __slots__ = ("_zone", "expression", "fields", "tz", "walls")

    def __init__(self, expression: str, tz: str = "UTC", name: str = "") -> None:
        self.expression: str = check_cron(expression)
        self.tz: str = tz
        self.fields: Fields = read(self.expression, name)
        self.walls: Walls = Walls(self.fields)
        self._zone = zone(tz)
        if self.walls.after(_START) is None:
            raise OptionError(
                f"cron is {shown(self.expression)}, which never comes: its months do not have "
                "such a day"
            )

    def after(self, ms: int) -> int:
        """Return the first tick after a time, both in milliseconds since 1970."""
        now = ms // 1000
        clock = self.wall_at(now)
        found: list[int] = []
        # In a doubled hour, what the clock has shown already may come again.
        wall = self.walls.after(clock - self.repeated(clock))
        while wall is not None:
            later = [instant for instant in self.instants(wall) if instant > now]
            found += later
            if later and wall > clock:
                break
            wall = self.walls.after(wall)
        return min(found) * 1000

    def before(self, ms: int) -> int | None:
        """Return the last tick up to a time, both in milliseconds since 1970.

        Args:
            ms: the time; a tick at it counts.

        Returns:
            None if there was none since 1970.
        """
        now = ms // 1000
        clock = self.wall_at(now)
        found: list[int] = [-1]
        wall = self.walls.upto(clock + self.repeated(clock))
        while wall is not None:
            earlier = [instant for instant in self.instants(wall) if instant <= now]
            found += earlier
            if earlier and wall <= clock:
                break
            wall = self.walls.upto(wall - _MINUTE)
        last = max(found)
        return None if last < 0 else last * 1000

    def shortest_gap(self) -> int:
        """Return the least time between two ticks, in milliseconds, while no clock is changed."""
        return self.walls.shortest_gap() * 60_000

    def wall_at(self, instant: int) -> datetime:
        """Return what a clock on the wall shows.

        Args:
            instant: seconds since 1970.

        Returns:
            A time without a time zone; of those that come twice, ``fold`` is 1 the second time.
        """
        return datetime.fromtimestamp(instant, self._zone).replace(tzinfo=None)

    def repeated(self, wall: datetime) -> timedelta:
        """Return by how much clocks go back, where a time comes twice; else 0."""
        first, second = self.offsets(wall)
        return max(first - second, timedelta(0))

    def instants(self, wall: datetime) -> tuple[int, ...]:
        """Return when a time on the wall ticks, in seconds since 1970, by the rule above."""
        first, second = self.offsets(wall)
        early, late = _seconds(wall - first), _seconds(wall - second)
        if first == second:
            return (early,)
        if self.fields.elapsed:
            return (early, late) if early < late else ()
        return (early,) if early < late else (self.change(late, early),)

    def offsets(self, wall: datetime) -> tuple[timedelta, timedelta]:
        """Return what clocks are ahead of UTC, before and after a change that a time falls into."""
        aware = wall.replace(tzinfo=self._zone, fold=0)
        return aware.utcoffset() or timedelta(0), aware.replace(fold=1).utcoffset() or timedelta(0)

    def change(self, low: int, high: int) -> int:
        """Return when clocks are changed to what they are ahead of UTC at the end of a time.

        Args:
            low: seconds since 1970, before the change.
            high: seconds since 1970, after the change or at it.

        Returns:
            The first second after it.
        """
        ahead = self.ahead(high)
        while high - low > 1:
            middle = (low + high) // 2
            if self.ahead(middle) == ahead:
                high = middle
            else:
                low = middle
        return high

    def ahead(self, instant: int) -> int:
        """Return how many seconds clocks are ahead of UTC at an instant."""
        return _seconds(self.wall_at(instant)) - instant


def _seconds(wall: datetime) -> int:
    return (wall - _EPOCH) // _SECOND
