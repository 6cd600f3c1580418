"""`jobq job`: one job."""

import click

from jobq.cli import shapes
from jobq.cli.describe import show_job
from jobq.cli.exits import NothingMatched
from jobq.cli.opening import open_desk
from jobq.cli.options import id_argument, json_option, queue_option, redis_options
from jobq.cli.output import clean, say
from jobq.core.job import JobState
from jobq.errors import JobqError

_WHY = {
    JobState.RUNNING: "it is running; only jobs that wait can be cancelled",
    JobState.DEAD: "it is dead. fix: jobq dlq purge {id}",
}


@click.group()
def job() -> None:
    """One job: look at it, cancel it."""


@job.command("show")
@id_argument
@queue_option
@json_option
@redis_options
def show_command(
    job_id: str, queue: str | None, as_json: bool, url: str | None, app: str | None
) -> None:
    """Show where a job is, its call, its attempts, and its result while that is kept."""
    desk = open_desk(url, app)
    found = desk.job(job_id, queue)
    if found is None:
        raise NothingMatched(_missing(job_id, queue))
    if as_json:
        click.echo(shapes.dump(shapes.job(found)))
    else:
        show_job(found, desk.now())


@job.command("cancel")
@id_argument
@queue_option
@click.option("-y", "--yes", is_flag=True, help="Accepted; one job by its id is never asked about.")
@redis_options
def cancel_command(
    job_id: str, queue: str | None, yes: bool, url: str | None, app: str | None
) -> None:
    """Cancel a job that waits for its first or its next attempt."""
    del yes
    state = open_desk(url, app).cancel(job_id, queue)
    if state is None:
        raise NothingMatched(_missing(job_id, queue))
    if state is not JobState.CANCELLED:
        why = _WHY.get(state, f"it has {state} already").format(id=job_id)
        raise JobqError(f"job {job_id} was not cancelled: {why}")
    say(f"Cancelled {clean(job_id)}.")


def _missing(job_id: str, queue: str | None) -> str:
    where = f" in queue {queue!r}" if queue else ""
    return (
        f"no job {job_id}{where}: it finished and its result is no longer kept, it was removed, "
        "or it was never there\nfix: jobq queues shows what waits, jobq dlq list what failed"
    )
