"""`jobq demo`: a worker at work, killed on purpose, with nothing lost; needs no file, no Redis."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Final, NoReturn
from urllib.parse import quote

import click

from jobq.cli import shapes
from jobq.cli.demo_jobs import KINDS
from jobq.cli.demo_kill import Kill
from jobq.cli.demo_report import Report, farewell
from jobq.cli.demo_stage import Stage
from jobq.cli.demo_view import Scene, View, paint, view_of
from jobq.cli.demo_worker import PROCESSES, DemoWorker, jobq_environment, jobq_words
from jobq.cli.exits import Code
from jobq.cli.opening import PATIENCE
from jobq.cli.options import json_option, url_option
from jobq.client.app import JobQ
from jobq.client.where import EMBEDDED, VARIABLE
from jobq.core.clock import SystemClock
from jobq.embedded import ensure
from jobq.embedded.control import look, stop
from jobq.errors import ConfigError
from jobq.runtime.settings import default_name

#: Seconds between two pictures.
FRAME: Final = 0.05
#: Seconds after which something must be wrong: ten times what it takes.
LIMIT: Final = 60.0

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CLOCK: Final = SystemClock()


@dataclass(frozen=True, slots=True)
class Site:
    """The Redis of the demo.

    Attributes:
        url: where it is.
        prefix: what the names of its queues begin with, if they could meet others.
        own: a private server, which goes with the demo; None: it was named.
    """

    url: str
    prefix: str
    own: str | None


@click.command()
@json_option
@url_option
def demo(as_json: bool, url: str | None) -> int:
    """See jobq at work: some hundred jobs, one killed worker process, nothing lost.

    Takes about 6 seconds, needs no file and no Redis, and leaves nothing behind. Where --url or
    JOBQ_REDIS_URL names a Redis, it works there, in queues of its own.
    """
    view = view_of(sys.stderr if as_json else sys.stdout)
    with _signals(), TemporaryDirectory(prefix="jobq-demo-") as folder, ExitStack() as stack:
        try:
            report = _play(Path(folder).resolve(), url, view, stack)
        finally:
            _ignore_signals()  # what follows tidies up, and does not take long
    if as_json:
        click.echo(shapes.dump(report.as_json()))
    if report.problems:
        raise click.ClickException(report.complaint())
    return Code.OK


def _play(folder: Path, url: str | None, view: View, stack: ExitStack) -> Report:
    """Do all of it; the stack gets what is to be done in the end, however it comes."""
    stack.callback(view.close)
    notes = folder / "notes"
    site = stack.enter_context(_site(url, folder))
    stage = Stage(site.url, site.prefix)
    stack.callback(stage.close)
    name = f"demo-{default_name()}"
    if site.own is None:
        stack.callback(stage.clear, name)
    began = _CLOCK.monotonic()
    stage.enqueue(notes, patience=PATIENCE)
    jobs = sum(kind.jobs for kind in KINDS)
    where = f"a private {site.own}" if site.own else stage.safe_url()
    scene = Scene(f"jobq demo: {jobs} jobs, a worker with {PROCESSES} processes, {where}")
    scene.happened(_CLOCK.monotonic() - began, f"{jobs} jobs are enqueued in {len(KINDS)} queues")
    worker = DemoWorker(site.url, stage.queues, folder, name)
    stack.callback(worker.end)
    scene.happened(_CLOCK.monotonic() - began, "started: jobq worker")
    kill = Kill(stage, notes)
    _watch(stage, worker, kill, view, scene, began)
    view.close()
    letters = stage.letters()
    report = Report(
        ends=stage.ends(letters),
        letters=letters,
        kill=kill,
        seconds=scene.seconds,
        redis=stage.safe_url(),
        code=worker.finish(),
        log=worker.said(),
    )
    _show_letters(site, stage, view)
    view.say(farewell(report, colours=view.colours, width=view.width))
    return report


def _watch(
    stage: Stage, worker: DemoWorker, kill: Kill, view: View, scene: Scene, began: float
) -> None:
    """Show how far the jobs are until all have ended, or none ever will."""
    while True:
        alive = worker.running  # asked first: what it did before it ended is counted
        scene.progress = stage.progress()
        now = _CLOCK.monotonic()
        scene.seconds = now - began
        for event in kill.step(now, scene.progress):
            scene.happened(scene.seconds, event)
        left = sum(one.left for one in scene.progress)
        over = not left or not alive or scene.seconds > LIMIT
        view.show(scene, last=over)
        if over:
            return
        sleep(FRAME)


def _show_letters(site: Site, stage: Stage, view: View) -> None:
    """Let the real command show the dead letters."""
    queue = stage.queue("hopeless")
    colours = {"FORCE_COLOR": "1"} if view.colours else {"NO_COLOR": "1"}
    listed = subprocess.run(
        jobq_words("dlq", "list", "--queue", queue),
        env=jobq_environment(site.url, COLUMNS=str(view.width), **colours),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        check=False,
    )
    head = paint("The dead letters, as `jobq dlq list` shows them:", "bold", colours=view.colours)
    view.say(f"\n{head}\n{listed.stdout.rstrip()}")


@contextmanager
def _site(url: str | None, folder: Path) -> Iterator[Site]:
    """Find the Redis that was named, else start one that goes away with its data.

    Raises:
        click.UsageError: ``--url`` is no URL of a Redis.
        ServerError: there is no server to start, or it does not start.
    """
    named = os.environ.get(VARIABLE) if url is None else url
    if url is not None:
        try:
            JobQ(url)
        except ConfigError as error:
            raise click.UsageError(f"--url: {error}") from error
    if named:
        yield Site(named, f"demo-{secrets.token_hex(2)}-", None)
        return
    home = folder / "server"
    try:
        ensure(home, announce=lambda _line: None)
        status = look(home)
        yield Site(f"{EMBEDDED}//{quote(str(home))}", "", f"{status.server} {status.version}")
    finally:
        stop(home)


@contextmanager
def _signals() -> Iterator[None]:
    """Let signals end the demo in order; those that are ignored stay so, as under `nohup`."""
    ours = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _end) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: object) -> NoReturn:
    _ignore_signals()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _ignore_signals() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
