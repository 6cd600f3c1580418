"""`jobq job`: one job."""

from typing import Final

import click

from jobq.cli import shapes, shapes_reports
from jobq.cli.describe import show_job
from jobq.cli.exits import NothingMatched
from jobq.cli.job_logs import logs_command, watch_command
from jobq.cli.job_run import run_command
from jobq.cli.opening import open_desk
from jobq.cli.options import id_argument, json_option, queue_option, redis_options
from jobq.cli.output import clean, say
from jobq.core.job import JobState
from jobq.errors import JobqError

#: Seconds to wait until a job that runs has ended.
_PATIENCE: Final = 5.0


@click.group()
def job() -> None:
    """One job: look at it, read its log, watch it, cancel it, run it here."""


job.add_command(logs_command)
job.add_command(watch_command)
job.add_command(run_command)


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
    progress = desk.progress(found)
    if as_json:
        said = {**shapes.job(found), "progress": shapes_reports.progress(progress)}
        click.echo(shapes.dump(said))
    else:
        show_job(found, desk.now(), progress)


@job.command("cancel")
@id_argument
@queue_option
@click.option("-y", "--yes", is_flag=True, help="Accepted; one job by its id is never asked about.")
@redis_options
def cancel_command(
    job_id: str, queue: str | None, yes: bool, url: str | None, app: str | None
) -> None:
    """Cancel a job: one that waits at once; one that runs is interrupted."""
    del yes
    found = open_desk(url, app).cancel(job_id, queue, patience=_PATIENCE)
    if found is None:
        raise NothingMatched(_missing(job_id, queue))
    match found.state:
        case JobState.CANCELLED:
            say(f"Cancelled {clean(job_id)}.")
            return
        case JobState.RUNNING:
            raise JobqError(
                f"asked {found.worker} to end {job_id}: it is still running; "
                "it is killed after the grace of its worker"
            )
        case JobState.DEAD:
            why = f"it is dead\nfix: jobq dlq purge {job_id}"
        case other:
            why = f"it has {other} already"
    raise JobqError(f"job {job_id} was not cancelled: {why}")


def _missing(job_id: str, queue: str | None) -> str:
    where = f" in queue {queue!r}" if queue else ""
    return (
        f"no job {job_id}{where}: it finished and its result is no longer kept, it was removed, "
        "or it was never there\nfix: jobq queues shows what waits, jobq dlq list what failed"
    )
