"""`jobq worker`: run the jobs of an app."""

import logging
import os

import click

from jobq.cli.addresses import address
from jobq.cli.discovery import find
from jobq.cli.exits import report
from jobq.cli.exporting import Exporting, exporting
from jobq.cli.finishing import finishing
from jobq.cli.options import app_option, byte_size, duration
from jobq.cli.weights import WeightedQueue, queues_and_weights, told
from jobq.core.duration import show
from jobq.core.lease import check_lease
from jobq.core.ports import Application
from jobq.errors import OptionError
from jobq.observe.logs import configure
from jobq.runtime.arguments import log_jobs
from jobq.runtime.hello import Hello
from jobq.runtime.settings import DEFAULT_GRACE, WorkerSettings, default_name
from jobq.runtime.supervisor import Supervisor
from jobq.runtime.upkeep import lease_of


def _lease(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return check_lease(value, "--lease")
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


def _name(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
    name = value or default_name()
    if not 1 <= len(name) <= 100 or not name.isprintable() or " " in name:
        raise click.BadParameter("use 1 to 100 printable characters without spaces")
    return name


@click.command(
    epilog="Ctrl-C once finishes what runs, for as long as --grace; twice gives it back and stops "
    "now. SIGHUP starts all workers anew, with fresh code, one after the other."
)
@app_option
@click.option(
    "-q",
    "--queue",
    "queues",
    multiple=True,
    type=WeightedQueue(),
    metavar="QUEUE[=WEIGHT]",
    help="A queue to read; repeat it, the first one goes first, or each by its weight, "
    "from 1 to 1000. [default: those of the app]",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 1000),
    default=os.cpu_count() or 1,
    show_default="cores",
    help="Worker processes.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Sync jobs at once in a process; 1 runs them in its main thread.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 2000),
    default=100,
    show_default=True,
    help="Async jobs at once in a process.",
)
@click.option("--burst", is_flag=True, help="End when the queues are empty.")
@click.option(
    "--lease",
    callback=_lease,
    metavar="DURATION",
    help="How long a job may go without a sign of life before others take it. [default: the app's]",
)
@click.option(
    "--grace",
    type=duration,
    default=f"{DEFAULT_GRACE:g}s",
    metavar="DURATION",
    show_default=True,
    help="How long jobs have to finish after the first Ctrl-C or SIGTERM; 0 gives them back.",
)
@click.option(
    "--max-jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Replace a worker process that has run so many jobs. [default: never]",
)
@click.option(
    "--max-rss",
    type=byte_size,
    metavar="SIZE",
    help="Replace one that has more memory than this, such as 512MB. [default: never]",
)
@click.option(
    "--metrics",
    callback=address,
    metavar="HOST:PORT",
    help="Serve metrics for Prometheus there, such as 127.0.0.1:9464.",
)
@click.option("--name", callback=_name, help="The name of this worker. [default: host:pid]")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--log-args", is_flag=True, help="Log each start with the arguments; sensitive ones redacted."
)
@click.option("-v", "--verbose", is_flag=True, help="Log debug messages too.")
def worker(  # noqa: PLR0913, PLR0917  one parameter for each option
    app: str | None,
    queues: tuple[tuple[str, int | None], ...],
    processes: int,
    threads: int,
    concurrency: int,
    burst: bool,
    lease: float | None,
    grace: float,
    max_jobs: int | None,
    max_rss: int | None,
    metrics: str | None,
    name: str,
    log_format: str,
    log_args: bool,
    verbose: bool,
) -> int:
    """Run the jobs of an app.

    The app is found by --app, JOBQ_APP, [tool.jobq] app in pyproject.toml, or a jobs.py here.
    """
    settle_logs = configure("json" if log_format == "json" else "text", verbose=verbose)
    names, weights = queues_and_weights(queues)
    settings = WorkerSettings(
        queues=names,
        weights=weights,
        processes=processes,
        threads=threads,
        concurrency=concurrency,
        burst=burst,
        lease=lease,
        grace=grace,
        max_jobs=max_jobs,
        max_rss=max_rss,
        name=name,
    )

    aside = exporting(metrics)

    def load_app() -> tuple[Application, str]:
        found = find(app)
        settle_logs()
        if log_args or verbose:
            log_jobs(found.app, arguments=log_args, returns=logging.DEBUG if verbose else None)
        return found.app, found.name

    return Supervisor(
        settings,
        load_app,
        on_ready=lambda hello: _banner(hello, settings, aside, quiet=log_format == "json"),
        on_error=lambda error: report(error, debug=verbose),
        on_stopping=finishing(log_format),
        aside=aside,
    ).run()


def _banner(
    hello: Hello, settings: WorkerSettings, aside: Exporting | None, *, quiet: bool
) -> None:
    if quiet:
        return
    jobs = f"{len(hello.jobs)} job function" + ("" if len(hello.jobs) == 1 else "s")
    if not hello.jobs:
        jobs += " (is --app the right one?)"
    many, threads = settings.processes, settings.threads
    processes = f"{many} process" + ("" if many == 1 else "es")
    sync = f"{threads} sync job" + ("" if threads == 1 else "s")
    rows = (
        ("app", f"{hello.app}, {jobs}"),
        ("redis", hello.safe_url),
        ("queues", told(hello.queues, settings.weights)),
        ("runs", f"{processes}, in each {sync} and {settings.concurrency} async at once"),
        ("lease", show(lease_of(settings, hello))),
        *([("metrics", aside.url)] if aside is not None else []),
        ("stop", "Ctrl-C once: finish what runs; twice: give it back and stop now"),
    )
    lines = [f"jobq worker {settings.name}", *(f"  {name:7} {text}" for name, text in rows)]
    click.echo("\n".join(lines), err=True)
