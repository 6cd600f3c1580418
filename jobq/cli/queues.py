"""`jobq queues`: what is in the queues."""

import math
from typing import Final

import click

from jobq.cli import shapes
from jobq.cli.opening import open_desk
from jobq.cli.options import json_option, redis_options
from jobq.cli.output import clean, paint, say, table
from jobq.cli.pausing import pause_text
from jobq.core.duration import show

_NUMBERS = ("READY", "DELAYED", "RUNNING", "RETRYING", "DEAD", "OLDEST", "BACKLOG", "SUCCEEDED")

#: Seconds of a backlog beyond which it has no end: nothing is done about it, or next to nothing.
_LONG: Final = 365 * 86_400


@click.command()
@json_option
@redis_options
def queues(as_json: bool, url: str | None, app: str | None) -> None:
    """Show every queue with its jobs by state, and how long the oldest one waits.

    BACKLOG is how long what is ready will take, at the rate of the last minutes.
    """
    desk = open_desk(url, app)
    rows = desk.queues()
    if as_json:
        click.echo(shapes.dump([shapes.queue(one) for one in rows]))
        return
    if not rows:
        say("No queues yet. A queue is there from its first job on: jobq enqueue NAME --args '[]'")
        return
    table(
        ("QUEUE", *_NUMBERS),
        [
            (
                one.name,
                f"{one.ready:,}",
                f"{one.delayed:,}",
                f"{one.running:,}",
                f"{one.retrying:,}",
                f"{one.dead:,}",
                "" if one.oldest is None else show(round(one.oldest)),
                _backlog(one.rates.backlog),
                f"{one.totals.get('succeeded', 0):,}",
            )
            for one in rows
        ],
        right=_NUMBERS,
        cuttable=("QUEUE",),
    )
    now = desk.now() if any(one.pauses for one in rows) else None
    for one in rows:
        for pause in one.pauses:
            say(f"{clean(one.name)}: {paint('PAUSED', 'red')} {clean(pause_text(pause, now))}")
        if one.unknown:
            say(
                f"{clean(one.name)}: {one.unknown:,} of those that are retrying have a name "
                "that no worker knows. Start a worker whose app has it, or see which: "
                "jobq workers --json",
                err=True,
            )


def _backlog(seconds: float | None) -> str:
    """Write a backlog: nothing for none, and for a paused queue."""
    if not seconds:
        return ""
    return "endless" if seconds > _LONG else show(math.ceil(seconds))
