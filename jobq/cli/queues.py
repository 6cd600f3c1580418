"""`jobq queues`: what is in the queues."""

import click

from jobq.cli import shapes
from jobq.cli.opening import open_desk
from jobq.cli.options import json_option, redis_options
from jobq.cli.output import clean, paint, say, table
from jobq.cli.pausing import pause_text
from jobq.core.duration import show

_NUMBERS = ("READY", "DELAYED", "RUNNING", "RETRYING", "DEAD", "OLDEST", "SUCCEEDED")


@click.command()
@json_option
@redis_options
def queues(as_json: bool, url: str | None, app: str | None) -> None:
    """Show every queue with its jobs by state, and how long the oldest one waits."""
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
