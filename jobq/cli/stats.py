"""`jobq stats`: what was counted of the jobs, by job function, minute or hour."""

from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Final

import click

from jobq.cli import shapes, shapes_stats
from jobq.cli.exits import NothingMatched
from jobq.cli.opening import open_app
from jobq.cli.options import duration, json_option, queue_option, redis_options
from jobq.cli.output import fits, say, table
from jobq.client.desk import Desk
from jobq.client.numbers import HOURS, MINUTES, Kind, Numbers, Point, Step
from jobq.core.duration import show
from jobq.core.tally import Tally

#: Columns that are always there, and those that are when any row has something in them.
_ALWAYS: Final = ("enqueued", "succeeded", "failed")
_SOMETIMES: Final = ("retried", "dead", "crashed", "expired", "cancelled", "snoozed")

_TIMES: Final = ("WAIT P50", "WAIT P95", "RUN P50", "RUN P95")


@click.command()
@queue_option
@click.option("--job", metavar="NAME", help="Only this job function.")
@click.option("--last", metavar="TIME", type=duration, help="How far back; 1h, with --by hour 24h.")
@click.option("--by", type=click.Choice(("minute", "hour")), help="A row for each, in all.")
@json_option
@redis_options
def stats(
    queue: str | None,
    job: str | None,
    last: float | None,
    by: Step | None,
    as_json: bool,
    url: str | None,
    app: str | None,
) -> None:
    """Show what was counted of the jobs: outcomes, and how long they waited and ran.

    Without --by there is a row for each job function. Minutes are kept for 24 hours, hours for 30
    days; times are right to the width of their buckets.
    """
    seconds = last or (24 * 3600.0 if by == "hour" else 3600.0)
    step = by or ("minute" if seconds <= MINUTES * 60 else "hour")
    _check(step, seconds)
    found = open_app(url, app)
    since = Desk(found.store, found.codec).now() - timedelta(seconds=seconds)
    kinds: tuple[Kind, ...] = ("queue", "job") if by is None else ("at",)
    points = Numbers(found.store).grouped(queue, job, since=since, step=step, by=kinds)
    if as_json:
        click.echo(shapes.dump([shapes_stats.point(one, queue, job) for one in points]))
        return
    if not points:
        what = f"jobs of {job!r}" if job else "jobs"
        where = f" in queue {queue!r}" if queue else ""
        raise NothingMatched(f"no {what} were counted{where} in the last {show(seconds)}")
    _show(points, by)


def _check(step: Step, seconds: float) -> None:
    most = MINUTES * 60 if step == "minute" else HOURS * 3600
    if seconds > most:
        also = "; use --by hour for more" if step == "minute" else ""
        raise click.UsageError(f"--last: by the {step}, numbers are kept for {show(most)}{also}")


def _show(points: Sequence[Point], by: Step | None) -> None:
    totals = [one.tally.counters for one in points]
    some = [name for name in _SOMETIMES if any(one[name] for one in totals)]
    counters = (*_ALWAYS, *some)
    heads = ("QUEUE", "JOB") if by is None else (f"{by.upper()} (UTC)",)
    cuttable = heads if by is None else ()
    names = [_names(one, by) for one in points]
    counts = [tuple(f"{one[name]:,}" for name in counters) for one in totals]
    times = [_times(one.tally) for one in points]
    upper = tuple(map(str.upper, counters))
    rows = [(*name, *count, *time) for name, count, time in zip(names, counts, times, strict=True)]
    if fits((*heads, *upper, *_TIMES), rows, cuttable=cuttable):
        table((*heads, *upper, *_TIMES), rows, right=(*upper, *_TIMES), cuttable=cuttable)
    else:
        below = [(*name, *count) for name, count in zip(names, counts, strict=True)]
        table((*heads, *upper), below, right=upper, cuttable=cuttable)
        say("")
        below = [(*name, *time) for name, time in zip(names, times, strict=True)]
        table((*heads, *_TIMES), below, right=_TIMES, cuttable=cuttable)
    if by is None and any(one.job == "*" for one in points):
        say("*: job functions beyond the 200 of a queue that have numbers of their own.", err=True)


def _names(point: Point, by: Step | None) -> tuple[str, ...]:
    if by is None:
        return point.queue or "", point.job or ""
    return ("" if point.at is None else f"{point.at.astimezone(UTC):%Y-%m-%d %H:%M}",)


def _times(tally: Tally) -> tuple[str, ...]:
    return tuple(
        _short(histogram.percentile(q)) for histogram in (tally.waits, tally.runs) for q in (50, 95)
    )


def _short(seconds: float | None) -> str:
    """Write a duration in two digits or three: they are known to no more."""
    if seconds is None:
        return ""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f}ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 60 else show(round(seconds))
