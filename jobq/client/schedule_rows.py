"""Schedules and their past ticks, as programs and people see them."""

from dataclasses import dataclass
from datetime import datetime

from jobq.client.rows import moment
from jobq.core.numbers import whole
from jobq.core.schedule import Schedule
from jobq.core.timetable import PastTick, Rule
from jobq.errors import CallUnreadable
from jobq.store.ops.schedules import Standing


@dataclass(frozen=True, slots=True)
class TickRow:
    """A past tick.

    Attributes:
        nominal_at: when it was to be; None: its job was made by hand.
        fired_at: when its job was made, or what became of it instead was decided.
        job_id: the id of its job; empty: it made none.
        outcome: ``succeeded``, ``dead``, ``cancelled`` or ``expired``; ``live`` while its job has
            not ended; ``queued`` while it waits for the job of the tick before; ``skipped``
            because of that one; ``missed``.
        many: how many ticks this row stands for: more than one of those that were missed.
    """

    nominal_at: datetime | None
    fired_at: datetime
    job_id: str
    outcome: str
    many: int = 1


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule as it stands.

    Attributes:
        name: its name.
        queue: where its jobs wait.
        job: the name of the job function.
        schedule: when it ticks; None: that cannot be read here, see ``problem``.
        next_at: when its next tick fires; None: it is paused, or cannot tick.
        paused_at: since when it is paused; None: it is not.
        owner: the app whose code declares it; empty: a program added it.
        declared_at: when that has last said so.
        waiting: how many ticks wait for the job of the tick before.
        problem: what keeps it from ticking; empty: nothing.
        past: its last ticks, the newest first, as far as they were asked for.
    """

    name: str
    queue: str
    job: str
    schedule: Schedule | None
    next_at: datetime | None
    paused_at: datetime | None
    owner: str
    declared_at: datetime | None
    waiting: int
    problem: str
    past: tuple[TickRow, ...]

    @property
    def rule(self) -> str:
        """When it ticks, in words."""
        return "?" if self.schedule is None else self.schedule.describe()

    def upcoming(self, many: int) -> list[datetime]:
        """Return when its next ticks fire; none while it is paused or cannot tick."""
        if self.schedule is None or self.next_at is None:
            return []
        found = [self.next_at]
        tick = self.schedule.next_after(_last_nominal(self.schedule, self.next_at))
        while len(found) < many:
            found.append(moment(self.schedule.fires_at(tick)))
            tick = self.schedule.next_after(tick)
        return found[:many]


def _last_nominal(schedule: Schedule, fires_at: datetime) -> int:
    """Return the nominal time, in ms, of the tick that fires at a time."""
    ms = round(fires_at.timestamp() * 1000)
    tick = schedule.last_before(ms)
    return ms if tick is None else tick


def schedule_row(queue: str, standing: Standing, past: list[str], problem: str) -> ScheduleRow:
    """Return the row of a schedule.

    Args:
        past: the texts of its last ticks.
        problem: what keeps it from ticking; empty: nothing that is known.
    """
    rule: Rule | None = None
    try:
        rule = Rule.decode(standing.definition)
    except CallUnreadable as error:
        problem = str(error)
    fires = None if problem else standing.fires_ms
    ticks = (PastTick.read(text) for text in past)
    return ScheduleRow(
        name=standing.name,
        queue=queue,
        job="?" if rule is None else rule.job,
        schedule=None if rule is None else rule.schedule,
        next_at=None if fires is None else moment(int(fires)),
        paused_at=None if standing.paused_ms is None else moment(standing.paused_ms),
        owner=standing.owner,
        declared_at=moment(standing.seen_ms) if standing.owner else None,
        waiting=standing.waiting,
        problem=problem,
        past=tuple(_tick_row(tick) for tick in ticks if tick is not None),
    )


def _tick_row(tick: PastTick) -> TickRow:
    outcome, _, many = tick.outcome.partition(":")
    return TickRow(
        nominal_at=moment(tick.nominal_ms) if tick.nominal_ms else None,
        fired_at=moment(tick.fired_ms),
        job_id=tick.job_id,
        outcome=outcome or "live",
        many=whole(many) or 1,
    )
