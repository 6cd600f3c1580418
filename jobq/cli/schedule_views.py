"""Schedules as people and programs read them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, tzinfo

from jobq.cli.output import ago, clean, facts, paint, say, table, utc
from jobq.cli.shapes import Object, instant
from jobq.client.schedule_rows import ScheduleRow, TickRow
from jobq.core.zones import zone

#: The queues that workers read, each with the job functions that those workers know.
Readers = Mapping[str, Collection[str]]

#: How often schedules tick is written once for each line; these are the columns.
_HEADS = ("NAME", "RULE", "NEXT", "IN", "LAST", "OWNER")


def show_list(rows: Sequence[ScheduleRow], many: int, now: datetime, read: Readers) -> None:
    """Write the table of schedules.

    Args:
        many: next ticks of each.
        now: the time of Redis.
        read: who reads the queues.
    """
    lines = []
    for row in rows:
        upcoming = row.upcoming(many)
        first = upcoming[0] if upcoming else None
        lines.append(
            (
                row.name,
                row.rule,
                _local(first, row) if first else _why_not(row),
                ago(first, now).removeprefix("in ") if first and first > now else "",
                row.past[0].outcome if row.past else "",
                row.owner,
            )
        )
        lines += [
            ("", "", _local(one, row), ago(one, now).removeprefix("in "), "", "")
            for one in upcoming[1:]
        ]
    table(_HEADS, lines, cuttable=("RULE", "OWNER"))  # a name is typed again
    for row in rows:
        for warning in warnings(row, read):
            say(f"{clean(row.name)}: {clean(warning)}", err=True)


def show_one(row: ScheduleRow, many: int, now: datetime, read: Readers) -> None:
    """Write the page of a schedule."""
    declared = f"  (last declared {ago(row.declared_at, now)})" if row.owner else ""
    plan = row.schedule
    jitter = f"{plan.jitter:g} s" if plan and plan.jitter else ""
    facts(
        [
            ("name", row.name),
            ("rule", row.rule),
            ("job", row.job),
            ("queue", row.queue),
            ("owner", (row.owner or "added by a program") + declared),
            ("paused", f"since {utc(row.paused_at)}" if row.paused_at else ""),
            ("problem", row.problem),
            ("misfire", f"{plan.misfire}" if plan else ""),
            ("overlap", f"{plan.overlap}" if plan else ""),
            ("jitter", jitter),
            ("waiting", f"{row.waiting} ticks" if row.waiting else ""),
        ]
    )
    for warning in warnings(row, read):
        say(paint(clean(warning), "red"))
    if upcoming := row.upcoming(many):
        say()
        say(paint("next", "bold"))
        for one in upcoming:
            say(f"  {_local(one, row)}  ({ago(one, now)})")
    if row.past:
        say()
        table(
            ("TICK", "FIRED", "OUTCOME", "JOB"),
            [
                (
                    _local(one.nominal_at, row) if one.nominal_at else "by hand",
                    ago(one.fired_at, now),
                    outcome_text(one),
                    one.job_id,
                )
                for one in row.past
            ],
        )


def outcome_text(tick: TickRow) -> str:
    """Return what came of a tick, and of how many."""
    return tick.outcome if tick.many == 1 else f"{tick.outcome} ({tick.many:,})"


def warnings(row: ScheduleRow, read: Readers) -> list[str]:
    """Return what keeps a schedule from making jobs, or its jobs from running."""
    found = [row.problem] if row.problem else []
    if row.queue not in read:
        found.append(
            f"nobody ticks it: no worker reads its queue {row.queue!r}; jobq worker -q {row.queue}"
        )
    elif row.job not in read[row.queue]:
        found.append(
            f"nobody ticks it: no worker that reads its queue {row.queue!r} knows {row.job!r}"
        )
    return found


def schedule_object(row: ScheduleRow, many: int, read: Readers, *, past: bool = True) -> Object:
    """Return the object of a schedule."""
    plan = row.schedule
    found: Object = {
        "name": row.name,
        "queue": row.queue,
        "job": row.job,
        "rule": row.rule,
        "cron": plan.cron if plan else None,
        "every_seconds": plan.every if plan else None,
        "tz": plan.tz if plan and plan.cron else None,
        "misfire": plan.misfire if plan else None,
        "misfire_max": plan.misfire_max if plan and plan.misfire == "all" else None,
        "overlap": plan.overlap if plan else None,
        "jitter_seconds": plan.jitter if plan else None,
        "next": [instant(one) for one in row.upcoming(many)],
        "paused_at": instant(row.paused_at),
        "owner": row.owner or None,
        "declared_at": instant(row.declared_at),
        "waiting": row.waiting,
        "problem": row.problem or None,
        "is_ticked": row.job in read.get(row.queue, ()),
        "last": _tick(row.past[0]) if row.past else None,
    }
    if past:
        found["past"] = [_tick(one) for one in row.past]
    return found


def _tick(tick: TickRow) -> Object:
    return {
        "nominal_at": instant(tick.nominal_at),
        "fired_at": instant(tick.fired_at),
        "manual": tick.nominal_at is None,
        "job_id": tick.job_id or None,
        "outcome": tick.outcome,
        "many": tick.many,
    }


def _local(moment: datetime | None, row: ScheduleRow) -> str:
    """Write a moment in the time zone of a schedule."""
    if moment is None:
        return ""
    where: tzinfo = UTC if row.schedule is None else zone(row.schedule.tz)
    return f"{moment.astimezone(where):%a %Y-%m-%d %H:%M:%S %Z}"


def _why_not(row: ScheduleRow) -> str:
    return "paused" if row.paused_at else "never"
