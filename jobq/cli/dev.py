"""`jobq dev`: a worker for one who writes the code that it runs."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol

import click

from jobq.cli.dev_jobs import tell_of_jobs
from jobq.cli.discovery import find, locate
from jobq.cli.exits import report
from jobq.cli.finishing import finishing
from jobq.cli.options import app_option
from jobq.cli.output import clean, paint, say
from jobq.cli.weights import WeightedQueue, queues_and_weights, told
from jobq.core.ports import Application
from jobq.errors import AppNotFound
from jobq.observe.logs import configure
from jobq.runtime.hello import Hello
from jobq.runtime.settings import WorkerSettings
from jobq.runtime.supervisor import Supervisor

#: Signals that a supervisor catches, and that are ours again between two of them.
_CAUGHT: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGUSR1,
)


class Changes(Protocol):
    """What tells of changes. See `jobq.cli.watching.Watcher`."""

    def forget(self) -> None:
        """Forget those so far."""
        ...

    def wait(self) -> bool:
        """Wait for one."""
        ...


@click.command(
    epilog="Ctrl-C once finishes what runs; twice gives it back and stops now. Redis is the one of "
    "the app: JOBQ_REDIS_URL, else an embedded server that is started with it."
)
@app_option
@click.option(
    "-q",
    "--queue",
    "queues",
    multiple=True,
    type=WeightedQueue(),
    metavar="QUEUE[=WEIGHT]",
    help="A queue to read; repeat it. [default: those of the app]",
)
@click.option("--processes", type=click.IntRange(1, 100), default=1, show_default=True)
@click.option(
    "--threads", type=click.IntRange(1, 1000), default=1, show_default=True, help="As of a worker."
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 2000),
    default=100,
    show_default=True,
    help="As of a worker.",
)
@click.option(
    "--watch",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where source files are; repeat it. [default: the directory of the app]",
)
@click.option("--no-reload", is_flag=True, help="Do not watch for changes.")
def dev(
    app: str | None,
    queues: tuple[tuple[str, int | None], ...],
    processes: int,
    threads: int,
    concurrency: int,
    folders: tuple[Path, ...],
    no_reload: bool,
) -> int:
    """Run the jobs of an app, and load its code anew whenever a source file changes.

    Jobs that run when the code changes are finished by the old code; the next ones run the new one.
    Code that cannot be loaded is shown, and waits for the next change.
    """
    try:
        place = locate(app)
    except AppNotFound as error:
        raise AppNotFound(f"{error}\nor start with one: jobq init") from None
    names, weights = queues_and_weights(queues)
    settings = WorkerSettings(
        queues=names, weights=weights, processes=processes, threads=threads, concurrency=concurrency
    )
    roots = [folder.resolve() for folder in folders] or [place.root.resolve()]
    shown = "not watched" if no_reload else f"when Python files change in {_places(roots)}"
    shift = _Shift(app, settings, shown)
    if no_reload:
        return shift.run()
    with ExitStack() as stack:
        stack.enter_context(_own_hangup())
        watcher = import_module("jobq.cli.watching").Watcher(roots)
        stack.callback(watcher.close)
        return _again_and_again(shift, watcher, roots)


class _Shift:
    """One life of a supervisor, and whether it ever found the app.

    Args:
        app: what ``--app`` says.
        watched: what the banner says of reloading.
    """

    def __init__(self, app: str | None, settings: WorkerSettings, watched: str) -> None:
        self._app = app
        self._settings = settings
        self._watched = watched
        self.was_ready = False

    def run(self) -> int:
        """Run until stopped, or until the first worker could not load the app."""
        settle_logs = configure("text", verbose=False)

        def load_app() -> tuple[Application, str]:
            found = find(self._app)
            settle_logs()
            tell_of_jobs(found.app)
            return found.app, found.name

        with _own_signals():
            return Supervisor(
                self._settings,
                load_app,
                on_ready=self._ready,
                on_error=lambda error: report(error, debug=False),
                on_stopping=finishing("text"),
            ).run()

    def _ready(self, hello: Hello) -> None:
        self.was_ready = True
        jobs = f"{len(hello.jobs)} job function" + ("" if len(hello.jobs) == 1 else "s")
        rows = (
            ("app", f"{hello.app}, {jobs}"),
            ("redis", hello.safe_url),
            ("queues", told(hello.queues, self._settings.weights)),
            ("reload", self._watched),
            ("stop", "Ctrl-C once: finish what runs; twice: give it back and stop now"),
        )
        say(paint("jobq dev", "bold", err=True), err=True)
        for name, text in rows:
            say(f"  {paint(name.ljust(7), 'dim', err=True)} {clean(text)}", err=True)


def _again_and_again(shift: _Shift, changes: Changes, roots: list[Path]) -> int:
    """Run the supervisor; as long as the code cannot be loaded, once for each change of it."""
    while True:
        changes.forget()
        code = shift.run()
        if shift.was_ready or code == 0:
            return code
        say(f"Waiting for a change in {_places(roots)} to try again. Ctrl-C ends it.", err=True)
        try:
            if not changes.wait():
                return code
        except KeyboardInterrupt:
            return code


def _places(roots: list[Path]) -> str:
    return ", ".join(map(str, roots))


@contextmanager
def _own_hangup() -> Iterator[None]:
    """Take SIGHUP for what the watcher means by it, also while there is no supervisor."""
    before = signal.getsignal(signal.SIGHUP)
    if before != signal.SIG_IGN:  # of nohup: the supervisor looks for it
        signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Have the signals back that a supervisor has caught, when it has ended."""
    before = {number: signal.getsignal(number) for number in _CAUGHT}
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
