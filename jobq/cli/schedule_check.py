"""`jobq schedule check`: what a cron expression means, without Redis."""

from datetime import UTC, datetime
from typing import Final

import click

from jobq.cli import shapes
from jobq.cli.options import json_option
from jobq.cli.output import ago, paint, say, table, utc
from jobq.core.clock import SystemClock
from jobq.core.cron import Cron
from jobq.core.cron_notes import notes
from jobq.core.zones import check_tz, zone

_CLOCK: Final = SystemClock()


@click.command("check")
@click.argument("expression")
@click.option(
    "--tz",
    metavar="ZONE",
    default="UTC",
    show_default=True,
    help="The time zone of the expression.",
)
@click.option(
    "--next",
    "many",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="How many of the next ticks.",
)
@click.option("--name", metavar="NAME", default="", help="Of the schedule; it decides what H is.")
@json_option
def check_command(expression: str, tz: str, many: int, name: str, as_json: bool) -> None:
    """Check a cron expression.

    It shows when it ticks next, and what may surprise. It needs no Redis and no app. EXPRESSION
    has five fields (minute hour day-of-month month day-of-week), or is one of @hourly, @daily,
    @weekly, @monthly and @yearly.
    """
    cron = Cron(expression, check_tz(tz), name)
    now = round(_CLOCK.time() * 1000)
    ticks = _ticks(cron, now, many)
    said = notes(expression, tz, now, name)
    if as_json:
        click.echo(
            shapes.dump(
                {
                    "cron": cron.expression,
                    "tz": tz,
                    "next": [
                        {"at": shapes.instant(tick), "local": tick.isoformat(timespec="minutes")}
                        for tick in ticks
                    ],
                    "notes": said,
                }
            )
        )
        return
    say(paint(f"{cron.expression} ({tz})", "bold"))
    moment = datetime.fromtimestamp(now / 1000, UTC)
    table(
        ("NEXT", "UTC", "IN"),
        [
            (f"{tick:%a %Y-%m-%d %H:%M %z}", utc(tick), ago(tick, moment).removeprefix("in "))
            for tick in ticks
        ],
    )
    for note in said:
        say(f"note: {note}")


def _ticks(cron: Cron, now: int, many: int) -> list[datetime]:
    """Return the next ticks, in the time zone of the expression."""
    found = []
    for _ in range(many):
        now = cron.after(now)
        found.append(datetime.fromtimestamp(now // 1000, zone(cron.tz)))
    return found
