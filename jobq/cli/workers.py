"""`jobq workers`: who is there to run jobs."""

from datetime import timedelta
from typing import Final

import click

from jobq.cli import shapes
from jobq.cli.opening import open_desk
from jobq.cli.options import json_option, redis_options
from jobq.cli.output import ago, say, table
from jobq.client.rows import WorkerRow

#: A worker says several times in this time that it lives; see `jobq.runtime`.
_SILENT: Final = timedelta(seconds=15)


@click.command()
@json_option
@redis_options
def workers(as_json: bool, url: str | None, app: str | None) -> None:
    """Show the workers that are alive: where they are, their queues, how busy they are."""
    desk = open_desk(url, app)
    rows = desk.workers()
    if as_json:
        click.echo(shapes.dump([shapes.worker(one) for one in rows]))
        return
    if not rows:
        say("No workers. Start one where the app is: jobq worker")
        return
    now = desk.now()
    table(
        ("WORKER", "STATE", "RUNNING", "QUEUES", "PROCESSES", "APP", "JOBS", "STARTED", "SEEN"),
        [
            (
                one.name,
                one.state if now - one.seen_at < _SILENT else "silent",
                f"{one.running:,}",
                ", ".join(one.queues),
                _size(one),
                one.app,
                str(len(one.jobs)),
                ago(one.started_at, now),
                ago(one.seen_at, now),
            )
            for one in rows
        ],
        right=("RUNNING", "JOBS"),
        cuttable=("APP", "QUEUES", "WORKER"),
    )


def _size(row: WorkerRow) -> str:
    """Write how much runs at once: processes, times threads and async jobs in each."""
    size = row.capacity
    return f"{size.processes} x {size.threads} sync, {size.concurrency} async"
