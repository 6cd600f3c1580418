"""`jobq queue`: what is done to one queue: pause, resume, purge, move, drain."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Final, TypedDict, TypeVar, Unpack

import click

from jobq.cli import shapes
from jobq.cli.exits import Code, NothingMatched
from jobq.cli.opening import open_app
from jobq.cli.options import (
    confirm,
    duration,
    json_option,
    queue_name,
    redis_options,
    redis_text,
    yes_option,
)
from jobq.cli.output import clean, say
from jobq.cli.pausing import pause_text
from jobq.client.app import JobQ
from jobq.client.queue import Queue
from jobq.client.rows import Pause
from jobq.client.sweep import STATES, Choice, Sweep
from jobq.client.worker_rows import worker_row
from jobq.core.duration import show
from jobq.store.ops import inspect
from jobq.store.ops.inspect import Counted

F = TypeVar("F", bound=Callable[..., object])


class Filters(TypedDict):
    """Which of the jobs that wait are meant, as the options say."""

    job: str | None
    states: tuple[str, ...]
    older: float


#: Refusals that are named.
_MOST_NAMED: Final = 10

_NAME: Final = click.argument("name", metavar="NAME", type=queue_name)
_JOB: Final = click.option(
    "--job", metavar="FUNCTION", type=redis_text, help="Only the jobs of this job function."
)


def _filters(command: F) -> F:
    """Add the options that say which of the jobs that wait are meant."""
    state = click.option(
        "--state",
        "states",
        type=click.Choice(STATES),
        multiple=True,
        help="Only those in this state; can be given again.",
    )
    older = click.option(
        "--older",
        metavar="DURATION",
        type=duration,
        default=0.0,
        help="Only those enqueued so long ago, such as 1h.",
    )
    return _JOB(state(older(command)))


def _some_time(text: str) -> float:
    """Read a duration that is not 0."""
    found = duration(text)
    if not found:
        raise click.BadParameter("it is 0; leave it out for as long as it takes")
    return found


@click.group()
def queue() -> None:
    """One queue: pause, resume, purge, move or drain it."""


@queue.command("pause")
@_NAME
@_JOB
@click.option(
    "--for", "span", metavar="DURATION", type=_some_time, help="End after so long, such as 10m."
)
@click.option("--reason", metavar="TEXT", default="", help="Shown wherever jobs wait for it.")
@click.option("--by", metavar="WHO", help="Who does it.  [default: user@host]")
@json_option
@redis_options
def pause_command(
    name: str,
    job: str | None,
    span: float | None,
    reason: str,
    by: str | None,
    as_json: bool,
    url: str | None,
    app: str | None,
) -> None:
    """Start none of its jobs any more.

    None is started on any worker; those that run go on.
    """
    found = open_app(url, app)
    one = _known(found, name)
    one.pause(job, for_=span, reason=reason, by=by)
    counted = found.store.run(inspect.count(name))
    pauses = one.pauses()
    if as_json:
        click.echo(shapes.dump(_standing(name, pauses, counted)))
        return
    now = [pause for pause in pauses if pause.job == job]
    until = f" for {show(span)}" if span is not None and now else ""
    say(f"Paused {_what(name, job)}{until}: {_waiting(counted)}, {_running(counted)}.")
    if job is not None:
        _warn_of_unknown(found, job)


@queue.command("resume")
@_NAME
@_JOB
@json_option
@redis_options
def resume_command(
    name: str, job: str | None, as_json: bool, url: str | None, app: str | None
) -> None:
    """End a pause: what waited starts."""
    found = open_app(url, app)
    one = _known(found, name)
    was_paused = one.resume(job)
    pauses = one.pauses()
    if not was_paused:
        left = "".join(f"\npaused is {pause_text(pause)}" for pause in pauses)
        raise NothingMatched(f"{_what(name, job)} is not paused{left}")
    counted = found.store.run(inspect.count(name))
    if as_json:
        click.echo(shapes.dump(_standing(name, pauses, counted)))
        return
    say(f"Resumed {_what(name, job)}: {_waiting(counted)}.")
    for pause in pauses:
        say(f"Still paused: {clean(pause_text(pause))}", err=True)


@queue.command("purge")
@_NAME
@_filters
@yes_option
@json_option
@redis_options
def purge_command(
    name: str,
    yes: bool,
    as_json: bool,
    url: str | None,
    app: str | None,
    **filters: Unpack[Filters],
) -> int:
    """Cancel the jobs that wait; never those that run, nor dead letters."""
    found = open_app(url, app)
    _known(found, name)
    sweep = Sweep(found.store, found.signer)
    choice, number = _chosen(sweep, name, filters)
    if not _agreed(f"Cancel {_jobs(number)} in queue {name!r}?", yes=yes):
        return Code.ERROR
    done = sweep.purge(choice)
    if as_json:
        click.echo(shapes.dump({"queue": name, "cancelled": done}))
    else:
        say(f"{_jobs(done)} cancelled.")
    return Code.OK


@queue.command("move")
@click.argument("source", metavar="SRC", type=queue_name)
@click.argument("target", metavar="DST", type=queue_name)
@_filters
@click.option("--create", is_flag=True, help="DST need not be there yet.")
@yes_option
@json_option
@redis_options
def move_command(
    source: str,
    target: str,
    create: bool,
    yes: bool,
    as_json: bool,
    url: str | None,
    app: str | None,
    **filters: Unpack[Filters],
) -> int:
    """Move the jobs that wait to another queue.

    They keep their id, call, delay, priority and history.
    """
    if source == target:
        raise click.UsageError(f"SRC and DST are both {source!r}")
    found = open_app(url, app)
    _known(found, source)
    if not create:
        _known(found, target, "--create, if it shall be a new one")
    sweep = Sweep(found.store, found.signer)
    choice, number = _chosen(sweep, source, filters)
    if not _agreed(f"Move {_jobs(number)} from queue {source!r} to {target!r}?", yes=yes):
        return Code.ERROR
    moved = sweep.move(choice, target)
    if as_json:
        refused = [{"id": job_id, "why": why} for job_id, why in moved.refused]
        said = {"from": source, "to": target, "moved": moved.done, "refusals": moved.refusals}
        click.echo(shapes.dump({**said, "refused": refused}))
    else:
        say(f"{_jobs(moved.done)} moved.")
        for job_id, why in moved.refused[:_MOST_NAMED]:
            say(f"jobq: {clean(job_id)} stays: {clean(why)}", err=True)
        if moved.refusals > _MOST_NAMED:
            say(f"jobq: … and {moved.refusals - _MOST_NAMED:,} more", err=True)
    return Code.ERROR if moved.refusals else Code.OK


@queue.command("drain")
@_NAME
@click.option("--timeout", metavar="DURATION", type=duration, help="Give up after so long: 5m.")
@json_option
@redis_options
def drain_command(
    name: str, timeout: float | None, as_json: bool, url: str | None, app: str | None
) -> int:
    """Pause a queue, and wait until none of its jobs runs any more."""
    found = open_app(url, app)
    one = _known(found, name)
    running = _running(found.store.run(inspect.count(name)))
    say(f"Draining {_what(name, None)}: {running}.", err=True)
    left = one.drain(timeout)
    if as_json:
        click.echo(shapes.dump({"queue": name, "drained": not left, "running": left}))
    elif left:
        say(f"jobq: {_jobs(left)} of queue {name!r} still run; it stays paused", err=True)
    else:
        say(f"Drained {_what(name, None)}. It stays paused: jobq queue resume {name}")
    return Code.ERROR if left else Code.OK


def _known(app: JobQ, name: str, other: str = "") -> Queue:
    """Return a queue that was ever used.

    Args:
        other: what else can be done about one that was not.

    Raises:
        NothingMatched: there is none of that name.
    """
    names = app.store.run(inspect.queues())
    if name not in names:
        near = get_close_matches(name, names, n=1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        raise NothingMatched(
            f"no queue {name!r}{guess}\nfix: jobq queues shows those there are; one is there from "
            f"its first job or worker on{other and f'; or {other}'}"
        )
    return app.queue(name)


def _warn_of_unknown(app: JobQ, job: str) -> None:
    """Say so where no worker knows a job function: it may be a slip of the keyboard."""
    rows = [worker_row(one) for one in app.store.run(inspect.workers())]
    names = sorted({name for row in rows for name in row.jobs})
    if names and job not in names:
        near = get_close_matches(job, names, n=1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        say(f"jobq: no worker knows a job function {clean(repr(job))}{clean(guess)}", err=True)


def _chosen(sweep: Sweep, name: str, filters: Filters) -> tuple[Choice, int]:
    """Choose jobs, and count them.

    Raises:
        NothingMatched: there are none.
    """
    job, states, older = filters["job"], filters["states"], filters["older"]
    choice = sweep.choose(name, job=job, states=states or STATES, older=older)
    number = sweep.count(choice)
    if not number:
        which = [f"of {job!r}"] if job is not None else []
        which += [" or ".join(states)] if states else []
        which += [f"older than {show(older)}"] if older else []
        said = f" ({', '.join(which)})" if which else ""
        raise NothingMatched(f"no jobs wait in queue {choice.queue!r}{said}")
    return choice, number


def _agreed(question: str, *, yes: bool) -> bool:
    if confirm(question, yes=yes):
        return True
    say("Nothing was changed.", err=True)
    return False


def _standing(name: str, pauses: tuple[Pause, ...], counted: Counted) -> shapes.Object:
    return {
        "queue": name,
        "paused": [shapes.pause(one) for one in pauses],
        "waiting": counted.ready + counted.delayed + counted.retrying,
        "running": counted.running,
    }


def _what(name: str, job: str | None) -> str:
    return f"queue {name!r}" if job is None else f"{clean(job)} in queue {name!r}"


def _waiting(counted: Counted) -> str:
    number = counted.ready + counted.delayed + counted.retrying
    return f"{_jobs(number)} wait{'s' * (number == 1)}"


def _running(counted: Counted) -> str:
    return f"{counted.running:,} run{'s' * (counted.running == 1)}"


def _jobs(number: int) -> str:
    return f"{number:,} job" + ("" if number == 1 else "s")
