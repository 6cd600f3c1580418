"""`jobq job logs` and `jobq job watch`: what a job says while it runs, and how it ends."""

import sys
from collections.abc import Iterable
from time import sleep
from typing import Final

import click

from jobq.cli import shapes, shapes_reports
from jobq.cli.describe import failure_text, progress_text
from jobq.cli.exits import NothingMatched
from jobq.cli.opening import open_app
from jobq.cli.options import id_argument, json_option, queue_option, redis_options
from jobq.cli.output import clean, columns, cut, paint, say
from jobq.cli.shapes import represent
from jobq.client.app import JobQ
from jobq.client.finding import find_job
from jobq.client.following import lines_after
from jobq.client.rows import JobRow, job_row
from jobq.core.job import JobState
from jobq.core.outcome import Failure
from jobq.core.reports import LogLine, Progress
from jobq.store.ops import inspect, reports

#: Seconds between two looks of `jobq job watch`.
_LOOK_EVERY: Final = 0.2

#: Cells of the bar that shows how far a job is.
_BAR: Final = 24

_ENDED: Final = frozenset((JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED))


@click.command("logs")
@id_argument
@click.option("-f", "--follow", is_flag=True, help="Wait for more, until the job has ended.")
@queue_option
@json_option
@redis_options
def logs_command(
    job_id: str, follow: bool, queue: str | None, as_json: bool, url: str | None, app: str | None
) -> None:
    """Show what a job has logged, the last 200 lines.

    These are the lines of current_job().log() and of jobq.JobLogHandler; with --json one object a
    line.
    """
    found = open_app(url, app)
    name = _find(found, job_id, queue)
    view = _JsonView() if as_json else _Lines()
    for line in found.handle(job_id, queue=name).logs(follow=follow):
        view.lines([line])
        sys.stdout.flush()
    if not view.any and not as_json and not follow:
        say(f"No log lines of {clean(job_id)}.")


@click.command("watch")
@id_argument
@queue_option
@json_option
@redis_options
def watch_command(
    job_id: str, queue: str | None, as_json: bool, url: str | None, app: str | None
) -> int:
    """Watch a job until it has ended: its state, its progress, its log lines.

    The exit code is 0 when it has succeeded, 1 when it is dead, cancelled or expired.
    """
    found = open_app(url, app)
    name = _find(found, job_id, queue)
    view = _JsonView() if as_json else _OnTerminal() if _is_terminal() else _Lines()
    row = _watch(found, name, job_id, view)
    view.end(row)
    return int(row is not None and row.state is not JobState.SUCCEEDED)


def _watch(app: JobQ, queue: str, job_id: str, view: "_View") -> JobRow | None:
    """Look again and again until the job has ended; None: it left no result."""
    run, after = app.store.run, ""
    while True:
        seen = run(inspect.look(queue, job_id))
        # After the state: when the job has ended, this is all there is.
        progress = run(reports.progress(queue, job_id))
        after, lines = lines_after(app.store, queue, job_id, after)
        view.lines(lines)
        if seen.state is None or seen.state in _ENDED:
            view.stand(str(seen.state or "ended"), seen.attempt, progress)
            return job_row(job_id, queue, seen, app.codec)
        view.stand(str(seen.state), seen.attempt, progress)
        sleep(_LOOK_EVERY)


def _find(app: JobQ, job_id: str, queue: str | None) -> str:
    """Return the queue of a job, or of what is kept of one that has ended.

    Raises:
        NothingMatched: there is neither.
    """
    run = app.store.run
    names = run(inspect.queues()) if queue is None else [queue]
    name, seen = find_job(app.store, job_id, names)
    if seen.state is None:
        name = next((one for one in names if run(reports.any_lines(one, job_id))), "")
    if not name:
        where = f" in queue {queue!r}" if queue else ""
        raise NothingMatched(
            f"no job {job_id}{where}: it finished and nothing of it is kept, it was removed, or it "
            "was never there"
        )
    return name


class _View:
    """How a watched job is shown; this one shows nothing.

    Attributes:
        any: whether there was a line.
    """

    def __init__(self) -> None:
        self.any = False

    def lines(self, lines: Iterable[LogLine]) -> None:
        """Show log lines."""

    def stand(self, state: str, attempt: int, progress: Progress | None) -> None:
        """Show how the job stands."""

    def end(self, row: JobRow | None) -> None:
        """Show how it has ended; None: it left no result."""


class _Lines(_View):
    """Writes line after line: log lines, and whenever the state or the progress is another."""

    def __init__(self) -> None:
        super().__init__()
        self._attempt = 1
        self._stood = ""

    def lines(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            self.any = True
            if line.attempt != self._attempt:
                self._attempt = line.attempt
                say(paint(f"-- attempt {line.attempt}", "bold"))
            level = f" {clean(line.level)}" if line.level else ""
            first, *more = clean(line.text, lines=True).split("\n")
            say(f"{paint(f'{line.at:%H:%M:%S}{level}', 'dim')} {first}".rstrip())
            for rest in more:
                say(f"  {rest}")

    def stand(self, state: str, attempt: int, progress: Progress | None) -> None:
        text = _standing(state, attempt, progress)
        if text != self._stood:
            self._stood = text
            say(text)
            sys.stdout.flush()

    def end(self, row: JobRow | None) -> None:
        if row is None:
            say("It has ended and left no result.")
            return
        result, letter = row.result, row.letter
        if row.state is JobState.SUCCEEDED:
            value = result.problem or represent(result.value) if result else ""
            say(f"{paint('It has succeeded', 'green')}: {clean(value)}")
            return
        failure = letter.failure if letter else None
        if failure is None and result is not None:
            failure = Failure(result.error, result.message, "")
        why = failure_text(failure) if failure else ""
        said = f"It is {row.state}"
        say(paint(said, "red") + (f": {clean(why)}" if why else ""))


class _OnTerminal(_Lines):
    """Writes log lines, and below them one line over and over: the state and a bar."""

    def lines(self, lines: Iterable[LogLine]) -> None:
        found = list(lines)
        if found:
            self._wipe()
            super().lines(found)

    def stand(self, state: str, attempt: int, progress: Progress | None) -> None:
        text = cut(_standing(state, attempt, progress, bar=True), columns() - 1)
        if text != self._stood:
            self._stood = text
            click.echo(f"\r{text}\x1b[K", nl=False, color=True)
            sys.stdout.flush()

    def end(self, row: JobRow | None) -> None:
        self._wipe()
        super().end(row)

    def _wipe(self) -> None:
        if self._stood:
            self._stood = ""
            click.echo("\r\x1b[K", nl=False, color=True)


class _JsonView(_View):
    """Writes one object a line."""

    def __init__(self) -> None:
        super().__init__()
        self._stood = ""

    def lines(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            self.any = True
            click.echo(shapes.dump(shapes_reports.line(line)))

    def stand(self, state: str, attempt: int, progress: Progress | None) -> None:
        found = shapes_reports.progress(progress)
        text = shapes.dump({"state": state, "attempt": attempt, "progress": found})
        if text != self._stood:
            self._stood = text
            click.echo(text)
            sys.stdout.flush()

    def end(self, row: JobRow | None) -> None:
        if row is not None:
            click.echo(shapes.dump(shapes.job(row)))


def _standing(state: str, attempt: int, progress: Progress | None, *, bar: bool = False) -> str:
    words = [state]
    if attempt > 1:
        words.append(f"attempt {attempt}")
    if progress is not None:
        full = round(_BAR * progress.fraction)
        if bar:
            words.append(f"[{'#' * full}{'.' * (_BAR - full)}]")
        words.append(clean(progress_text(progress)))
    return "  ".join(words)


def _is_terminal() -> bool:
    return sys.stdout.isatty()
