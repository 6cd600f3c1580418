"""`jobq job run ID --here`: one job once more, in this process, with nothing of it changed."""

import logging
import sys
from bdb import BdbQuit
from datetime import UTC, datetime
from typing import Final

import click

from jobq.cli.describe import call_text
from jobq.cli.discovery import find_app
from jobq.cli.exits import NothingMatched
from jobq.cli.here import Here, OpenCall, headers_of, open_call
from jobq.cli.opening import PATIENCE
from jobq.cli.options import app_option, confirm, id_argument, queue_option, yes_option
from jobq.cli.output import clean, paint, say
from jobq.cli.shapes import represent
from jobq.client.app import JobQ
from jobq.client.finding import find_job
from jobq.client.rows import JobRow, call_row, job_row
from jobq.core.clock import SystemClock
from jobq.core.current import RunningJob
from jobq.core.duration import show
from jobq.core.job import JobState
from jobq.core.redact import Redactor, secrets_in
from jobq.core.signing import inner
from jobq.errors import JobqError
from jobq.runtime.describe import describe
from jobq.store.ops import inspect

_UNTOUCHED: Final = (
    "Nothing of the job is changed by this; what its function does is done for real."
)


@click.command("run")
@id_argument
@click.option("--here", is_flag=True, help="Run it in this process; there is no other way.")
@queue_option
@yes_option
@app_option
@click.pass_context
def run_command(
    ctx: click.Context, job_id: str, here: bool, queue: str | None, yes: bool, app: str | None
) -> int:
    """Run a job once more, in this terminal, and leave it as it is.

    It may wait or be dead: its function is called with its arguments, without timeouts, and a
    breakpoint() in it works. The job is not taken, settled or retried by that; but what its
    function does, such as sending mail or enqueueing jobs, is done for real.
    """
    if not here:
        raise click.UsageError(
            "add --here to run it in this process. To give a dead one back to the workers: "
            f"jobq dlq retry {clean(job_id)}"
        )
    found = find_app(app)
    found.store.patience = PATIENCE
    ctx.call_on_close(found.close)
    row, blob = _look(found, job_id, queue)
    call = open_call(found, row.queue, job_id, blob)
    if row.state is JobState.RUNNING and not confirm(
        f"It runs on {clean(row.worker or 'a worker')} just now. Run it here too?", yes=yes
    ):
        return 1
    say(f"Running {clean(call_text(call_row(blob, found.codec)))} here.", err=True)
    say(f"{_standing(row)} {_UNTOUCHED}", err=True)
    say(err=True)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    return _run(Here(found, _current(row, call)), call, blob)


def _look(app: JobQ, job_id: str, queue: str | None) -> tuple[JobRow, bytes]:
    names = app.store.run(inspect.queues()) if queue is None else [queue]
    name, seen = find_job(app.store, job_id, names)
    row = job_row(job_id, name, seen, app.codec)
    if row is None:
        where = f" in queue {queue!r}" if queue else ""
        raise NothingMatched(
            f"no job {job_id}{where}: it finished and its result is no longer kept, it was "
            "removed, or it was never there"
        )
    if seen.call is None:
        raise JobqError(
            f"job {job_id} {'was' if row.state == 'cancelled' else 'has'} {row.state}: its call is "
            "not kept, so it cannot be run again"
        )
    return row, seen.call


def _current(row: JobRow, call: OpenCall) -> RunningJob:
    """Return what the job function sees of its job: the attempt that was the last, or is next."""
    started = row.state in {JobState.DEAD, JobState.RUNNING}
    return RunningJob(
        row.id,
        call.definition.name,
        row.queue,
        max(1, row.attempt) if started else row.attempt + 1,
        row.enqueued_at or datetime.fromtimestamp(0, UTC),
        _headers=lambda: headers_of(call),
    )


def _standing(row: JobRow) -> str:
    attempts = f" after {row.attempt} attempts" if row.attempt > 1 else ""
    return f"It is {row.state}{attempts}, and stays so."


def _run(here: Here, call: OpenCall, blob: bytes) -> int:
    clock = SystemClock()
    began = clock.monotonic()
    try:
        value = here.call(call)
    except BdbQuit:
        raise click.Abort from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the job function raises
        marks = call.definition.sensitive
        failure = describe(error, Redactor(secrets_in(inner(blob), marks)))
        say(clean(failure.traceback, lines=True).rstrip(), err=True)
        say(err=True)
        raised = paint(f"It raised {clean(failure.error)}", "red", err=True)
        say(raised + _took(clock, began), err=True)
        return 1
    sys.stdout.flush()
    say(f"It returned{_took(clock, began)}", err=True)
    say(clean(represent(value)))
    return 0


def _took(clock: SystemClock, began: float) -> str:
    return f" after {show(max(0.001, round(clock.monotonic() - began, 3)))}."
