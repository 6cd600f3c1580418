"""Schedules: the standing rules that make jobs, and which of their ticks are due.

A *tick* is an instant at which a schedule makes a job: it is named by its *nominal* time, in
milliseconds since 1970, which is the same on all hosts. With ``jitter`` it *fires* a little later,
by a time that only its schedule and its nominal time decide, so all hosts agree on that too.

Misfires: what becomes of ticks that nobody was there to fire. Due are all ticks that have not
fired and whose time to fire has come. The newest of them is *on time* if that was at most
`ON_TIME` ago; all others are *missed*.

========  =========================================================================
misfire   jobs
========  =========================================================================
skip      one for the tick that is on time, if there is one; none for missed ticks
once      exactly one, for the newest tick, on time or missed
all       one for each tick, but at most ``misfire_max``: the newest ones
========  =========================================================================
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, cast
from zlib import crc32

from jobq.core.cron import Cron
from jobq.core.cron_fields import check_cron
from jobq.core.duration import seconds, show
from jobq.core.hints import shown
from jobq.core.options import SCHEDULE_OPTIONS
from jobq.core.zones import check_tz
from jobq.errors import CallUnreadable, OptionError

Misfire = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip", "queue"]

#: The shortest interval, in seconds.
LEAST_EVERY: Final = 1.0
DEFAULT_TZ: Final = "UTC"
DEFAULT_MISFIRE_MAX: Final = 100
MOST_MISFIRES: Final = 1000
#: Milliseconds after its time to fire up to which a tick is on time: a supervisor that restarts,
#: or a Redis that fails over, takes less.
ON_TIME: Final = 60_000
#: As many ticks of a cron expression are counted one by one.
MOST_COUNTED: Final = 1000
MAX_SCHEDULE_CHARS: Final = 100
#: Of what `Schedule.to_wire` makes.
WIRE_FORMAT: Final = 1


class Ticks(Protocol):
    """A rule that says when ticks are, in milliseconds since 1970."""

    def after(self, ms: int) -> int:
        """Return the first tick after a time."""

    def before(self, ms: int) -> int | None:
        """Return the last tick up to a time, that time included; None: there is none."""

    def shortest_gap(self) -> int:
        """Return the least time between two ticks, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Every:
    """Ticks at the multiples of an interval since 1970.

    Attributes:
        interval: milliseconds.
    """

    interval: int

    def after(self, ms: int) -> int:
        """See `Ticks.after`."""
        return (ms // self.interval + 1) * self.interval

    def before(self, ms: int) -> int | None:
        """See `Ticks.before`."""
        return ms // self.interval * self.interval if ms >= 0 else None

    def shortest_gap(self) -> int:
        """See `Ticks.shortest_gap`."""
        return self.interval


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a schedule makes jobs; made by `parse_schedule`, which checks all of it.

    Attributes:
        name: 1 to 100 printable ASCII characters without spaces and braces.
        cron: a cron expression; None: ``every`` says when.
        every: seconds, whole milliseconds, at least 1 s; None: ``cron`` says when.
        tz: the time zone of the cron expression.
        misfire: what becomes of missed ticks, see the module.
        misfire_max: the most jobs that ``misfire="all"`` makes at once.
        overlap: what a tick does while the job of an earlier one still lives.
        jitter: seconds; each tick fires up to that much later, shorter than any gap between ticks.

    Raises:
        OptionError: the cron expression or the time zone is none, or the jitter is too long.
    """

    name: str
    cron: str | None = None
    every: float | None = None
    tz: str = DEFAULT_TZ
    misfire: Misfire = "once"
    misfire_max: int = DEFAULT_MISFIRE_MAX
    overlap: Overlap = "allow"
    jitter: float = 0.0
    ticks: Ticks = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ticks: Ticks
        if self.cron is not None:
            ticks = Cron(self.cron, self.tz, self.name)
        elif self.every is not None:
            ticks = Every(_ms(self.every))
        else:
            raise OptionError("a schedule has one of cron and every")
        object.__setattr__(self, "ticks", ticks)
        if self.jitter and _ms(self.jitter) >= (gap := ticks.shortest_gap()):
            raise OptionError(
                f"jitter is {show(self.jitter)}, but two ticks can be {show(gap / 1000)} apart; "
                "use less than that"
            )

    def next_after(self, ms: int) -> int:
        """Return the nominal time of the first tick after a time, in milliseconds since 1970."""
        return self.ticks.after(ms)

    def last_before(self, ms: int) -> int | None:
        """Return the nominal time of the last tick up to a time, that time included.

        Returns:
            Milliseconds since 1970; None: there was none since then.
        """
        return self.ticks.before(ms)

    def fires_at(self, tick_ms: int) -> int:
        """Return when a tick fires: its nominal time, and the jitter that falls to it.

        Args:
            tick_ms: its nominal time, in milliseconds since 1970.
        """
        if not self.jitter:
            return tick_ms
        chance = _scattered(crc32(f"{self.name} {tick_ms}".encode()))
        return tick_ms + (chance * (_ms(self.jitter) + 1) >> 32)

    def describe(self) -> str:
        """Say when it ticks: ``every 30 s``, ``0 9 * * mon-fri (Europe/Madrid)``."""
        if self.cron is not None:
            return f"{self.cron} ({self.tz})"
        return f"every {show(self.every or 0.0)}"

    def to_wire(self) -> list[object]:
        """Return plain data for Redis: the format, then the fields; durations in milliseconds."""
        every = None if self.every is None else _ms(self.every)
        return [
            WIRE_FORMAT, self.name, self.cron, every, self.tz,
            self.misfire, self.misfire_max, self.overlap, _ms(self.jitter),
        ]  # fmt: skip

    @staticmethod
    def from_wire(data: object) -> "Schedule":
        """Turn what `to_wire` made back into a schedule.

        Raises:
            CallUnreadable: it is anything else, of a newer format, or in a time zone that this
                machine does not know.
        """
        match data:
            case [int(version), *_] if version > WIRE_FORMAT:
                raise CallUnreadable(f"schedule format {version} is newer than this release")
            case [
                1, str(name), (str() | None) as cron, (int() | None) as every, str(tz),
                str(misfire), int(most), str(overlap), int(jitter),
            ]:  # fmt: skip
                given: dict[str, object] = {"misfire": misfire, "overlap": overlap}
            case _:
                raise CallUnreadable(f"not a schedule: {shown(data)}")
        try:
            given["jitter"] = jitter / 1000
            if cron is not None:
                given |= {"cron": cron, "tz": tz}
            if every is not None:
                given["every"] = every / 1000
            if misfire == "all":
                given["misfire_max"] = most
            return parse_schedule(name, given, "a schedule in Redis")
        except (OptionError, OverflowError) as error:
            raise CallUnreadable(str(error)) from None


def parse_schedule(name: object, given: Mapping[str, object], where: str) -> Schedule:
    """Check the options of a schedule where they are given.

    Args:
        name: of the schedule.
        given: names and values out of `SCHEDULE_OPTIONS`.
        where: who takes them, such as ``@job`` or ``schedules.add()``; opens each error.

    Raises:
        OptionError: an option is unknown, missing, out of place, or cannot take its value.
    """
    try:
        return _parse(check_schedule_name(name), given)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None


def _parse(name: str, given: Mapping[str, object]) -> Schedule:
    for option in given:
        if option not in SCHEDULE_OPTIONS:
            known = ", ".join(sorted(SCHEDULE_OPTIONS))
            raise OptionError(f"unknown option {shown(option)}. Options of a schedule: {known}.")
    if ("cron" in given) == ("every" in given):
        beside = f" beside {', '.join(sorted(given))}" if given else ""
        neither = f"neither cron nor every is given{beside}"
        which = "cron and every are both given" if "cron" in given else neither
        raise OptionError(f'{which}; a schedule has one of cron="0 9 * * mon-fri" and every="30s"')
    if "tz" in given and "cron" not in given:
        raise OptionError("tz is given without cron; every= counts from 1970 in UTC")
    checked = {option: _CHECKS[option](value) for option, value in given.items()}
    if "misfire_max" in given and checked.get("misfire") != "all":
        raise OptionError('misfire_max is given without misfire="all", which alone it limits')
    return Schedule(name, **checked)  # type: ignore[arg-type]


def check_schedule_name(value: object) -> str:
    """Check the name of a schedule.

    Args:
        value: 1 to 100 printable ASCII characters without spaces and braces.

    Raises:
        OptionError: it is anything else.
    """
    if not isinstance(value, str):
        raise OptionError(f"the name of a schedule must be a str, not {type(value).__name__}")
    if not 1 <= len(value) <= MAX_SCHEDULE_CHARS:
        raise OptionError(
            f"the name of a schedule must have 1 to {MAX_SCHEDULE_CHARS} characters, "
            f"not {len(value)}"
        )
    if not all(map(_fits, value)):
        raise OptionError(
            f"the name of a schedule is {shown(value)}; use printable ASCII without spaces and "
            "braces, such as 'nightly-report'"
        )
    return str(value)


def schedule_name(function_name: str) -> str:
    """Return what the schedule of a job function is called: like it, where that is possible.

    Other characters become ``_``, and what is too long is cut; a checksum of the whole name then
    keeps two of them apart.

    Args:
        function_name: the name of the job function, as checked by ``@job``.
    """
    fitting = "".join(char if _fits(char) else "_" for char in function_name)
    if fitting == function_name and 1 <= len(fitting) <= MAX_SCHEDULE_CHARS:
        return fitting
    return f"{fitting[: MAX_SCHEDULE_CHARS - 9]}~{crc32(function_name.encode()):08x}"


@dataclass(frozen=True, slots=True)
class Due:
    """What is due of a schedule.

    Attributes:
        fire: the nominal times of the ticks that get a job, oldest first.
        skipped: how many due ticks get none. Exact for ``every``, and up to `MOST_COUNTED`; of a
            cron expression no more than that are counted.
        next: the nominal time of the first tick that is not due.
    """

    fire: tuple[int, ...]
    skipped: int
    next: int


def due_ticks(schedule: Schedule, expected_ms: int, now_ms: int) -> Due:
    """Decide which ticks get a job now, by the rule of misfires above.

    Takes no longer after a year than after a minute.

    Args:
        schedule: the schedule.
        expected_ms: the nominal time of the first tick that has not fired.
        now_ms: milliseconds since 1970.
    """
    newest = schedule.last_before(now_ms)
    while newest is not None and schedule.fires_at(newest) > now_ms:
        newest = schedule.last_before(newest - 1)  # once: jitter is shorter than a gap
    if newest is None or newest < expected_ms:
        return Due((), 0, expected_ms)
    most = 1
    if schedule.misfire == "all":
        most = schedule.misfire_max
    elif schedule.misfire == "skip":
        most = int(now_ms - schedule.fires_at(newest) <= ON_TIME)
    fire: list[int] = []
    tick: int | None = newest
    while tick is not None and tick >= expected_ms and len(fire) < most:
        fire.append(tick)
        tick = schedule.last_before(tick - 1)
    fire.reverse()
    return Due(tuple(fire), _count(schedule, expected_ms, tick), schedule.next_after(newest))


def _count(schedule: Schedule, first: int, last: int | None) -> int:
    """Return how many ticks there are from one time to another, at most `MOST_COUNTED` of cron."""
    if last is None or last < first:
        return 0
    if isinstance(schedule.ticks, Every):
        interval = schedule.ticks.interval
        return last // interval - (first - 1) // interval
    counted = 0
    tick: int | None = last
    while tick is not None and tick >= first and counted < MOST_COUNTED:
        counted += 1
        tick = schedule.last_before(tick - 1)
    return counted


def _ms(duration: float) -> int:
    return round(duration * 1000)


def _fits(char: str) -> bool:
    return "!" <= char <= "~" and char not in "{}"


def _scattered(number: int) -> int:
    """Mix 32 bits: checksums of neighbours look alike, and their jitter must not."""
    number = (number ^ number >> 16) * 0x7FEB352D & 0xFFFFFFFF
    number = (number ^ number >> 15) * 0x846CA68B & 0xFFFFFFFF
    return number ^ number >> 16


def _check_every(value: object) -> float:
    return _ms(seconds(value, what="every", minimum=LEAST_EVERY)) / 1000


def _check_jitter(value: object) -> float:
    return _ms(seconds(value, what="jitter")) / 1000


def _check_misfire(value: object) -> Misfire:
    return cast("Misfire", _among(value, "misfire", ("skip", "once", "all")))


def _check_overlap(value: object) -> Overlap:
    return cast("Overlap", _among(value, "overlap", ("allow", "skip", "queue")))


def _among(value: object, what: str, words: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in words:
        *first, last = (f'"{word}"' for word in words)
        raise OptionError(f"{what} is {shown(value)}; use {', '.join(first)} or {last}")
    return str(value)


def _check_misfire_max(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_MISFIRES:
        raise OptionError(f"misfire_max is {shown(value)}; use an int from 1 to {MOST_MISFIRES}")
    return int(value)


_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "cron": check_cron,
    "every": _check_every,
    "tz": check_tz,
    "misfire": _check_misfire,
    "misfire_max": _check_misfire_max,
    "overlap": _check_overlap,
    "jitter": _check_jitter,
}
