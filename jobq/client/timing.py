"""Schedules that are declared with a job function: ``@job(cron=...)`` and ``@job(every=...)``."""

from collections.abc import Mapping
from typing import Final

from jobq.client.shape import Shape
from jobq.core.placing import ONCE, Placing
from jobq.core.schedule import parse_schedule, schedule_name
from jobq.core.timetable import Rule
from jobq.errors import ArgumentError, OptionError

_WHERE: Final = "@job"


def declared_rule(
    name: str,
    queue: str,
    placing: Placing | None,
    shape: Shape,
    timing: Mapping[str, object],
) -> Rule:
    """Return the schedule of a job function, named as the function is.

    Args:
        name: of the job function.
        queue: where its jobs wait.
        placing: how they are put there.
        shape: of the function: a schedule calls it without arguments.
        timing: options out of `jobq.core.options.SCHEDULE_OPTIONS`.

    Raises:
        OptionError: an option cannot take its value, or the function needs arguments.
    """
    check_placing(placing, _WHERE)
    schedule = parse_schedule(schedule_name(name), timing, _WHERE)
    try:
        shape.check((), {})
    except ArgumentError as error:
        raise OptionError(
            f"{_WHERE}: a schedule calls {name!r} without arguments, and it needs some: {error} "
            "Give its parameters defaults, or use app.schedules.add(name, function.s(...))."
        ) from None
    return Rule(schedule, name, queue if placing is None else placing.line(queue))


def check_placing(placing: Placing | None, where: str) -> None:
    """Check that the calls of a schedule have no option that belongs to a single one.

    Raises:
        OptionError: they have.
    """
    if placing is None:
        return
    for option in sorted(ONCE & placing.given.keys()):
        raise OptionError(
            f"{where}: option {option!r} belongs to a single job, and a schedule makes many"
        )
    if placing.unique is not None:
        call = "" if where == _WHERE else ", and let its call be function.options(unique=None).s()"
        raise OptionError(
            f"{where}: unique, debounce and throttle do not go with a schedule; give it "
            f'overlap="skip" or "queue" instead{call}'
        )
