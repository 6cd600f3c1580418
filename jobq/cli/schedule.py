"""`jobq schedule`: the schedules of all apps."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import TypeVar, get_args

import click

from jobq.cli import shapes
from jobq.cli.exits import NothingMatched
from jobq.cli.opening import open_app
from jobq.cli.options import (
    confirm,
    json_array,
    json_object,
    json_option,
    queue_option,
    redis_options,
    redis_text,
    yes_option,
)
from jobq.cli.output import clean, say
from jobq.cli.schedule_check import check_command
from jobq.cli.schedule_views import Readers, schedule_object, show_list, show_one
from jobq.client.app import JobQ
from jobq.client.desk import Desk
from jobq.client.options import ScheduleOptions
from jobq.core.schedule import MOST_MISFIRES, Misfire, Overlap
from jobq.errors import ScheduleNotFound

F = TypeVar("F", bound=Callable[..., object])

_next_option = click.option(
    "--next",
    "many",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="How many of the next ticks.",
)
_name_argument = click.argument("name", metavar="NAME", type=redis_text)


@click.group()
def schedule() -> None:
    """Schedules: list, show, add, pause, resume, run and remove them; check an expression."""


@schedule.command("list")
@_next_option
@json_option
@redis_options
def list_command(many: int, as_json: bool, url: str | None, app: str | None) -> None:
    """List all schedules, with their next ticks, each in its time zone."""
    found = open_app(url, app)
    rows = found.schedules.list()
    desk, read = _desk(found), _readers(found)
    if as_json:
        objects = [schedule_object(row, many, read, past=False) for row in rows]
        click.echo(shapes.dump(objects))
    elif rows:
        show_list(rows, many, desk.now(), read)
    else:
        say('No schedules. @job(every="30s") and @job(cron="0 9 * * mon-fri") make some.')


@schedule.command("show")
@_name_argument
@queue_option
@_next_option
@json_option
@redis_options
def show_command(
    name: str, queue: str | None, many: int, as_json: bool, url: str | None, app: str | None
) -> None:
    """Show one schedule, with its last 100 ticks and what came of them."""
    found = open_app(url, app)
    row = _or_nothing(found, lambda: found.schedules.get(name, queue))
    read = _readers(found)
    if as_json:
        click.echo(shapes.dump(schedule_object(row, many, read)))
    else:
        show_one(row, many, _desk(found).now(), read)


@schedule.command("pause")
@_name_argument
@queue_option
@redis_options
def pause_command(name: str, queue: str | None, url: str | None, app: str | None) -> None:
    """Pause a schedule: it makes no jobs until it is resumed."""
    found = open_app(url, app)
    done = _or_nothing(found, lambda: found.schedules.pause(name, queue))
    say(f"{'Paused' if done else 'Already paused:'} {clean(name)}.")


@schedule.command("resume")
@_name_argument
@queue_option
@redis_options
def resume_command(name: str, queue: str | None, url: str | None, app: str | None) -> None:
    """Let a paused schedule go on; ticks in between are not made up for."""
    found = open_app(url, app)
    done = _or_nothing(found, lambda: found.schedules.resume(name, queue))
    say(f"{'Resumed' if done else 'Not paused:'} {clean(name)}.")


@schedule.command("run")
@_name_argument
@queue_option
@json_option
@redis_options
def run_command(
    name: str, queue: str | None, as_json: bool, url: str | None, app: str | None
) -> None:
    """Make a job of a schedule now; its ticks stay as they are."""
    found = open_app(url, app)
    handle = _or_nothing(found, lambda: found.schedules.run_now(name, queue))
    if as_json:
        click.echo(shapes.dump({"id": handle.id, "queue": handle.queue}))
    else:
        say(f"Enqueued {handle.id} in queue {handle.queue!r}.")


@schedule.command("remove")
@_name_argument
@queue_option
@yes_option
@redis_options
def remove_command(
    name: str, queue: str | None, yes: bool, url: str | None, app: str | None
) -> int:
    """Remove a schedule that a program has added, with its past."""
    found = open_app(url, app)
    _or_nothing(found, lambda: found.schedules.get(name, queue))
    if not confirm(f"Remove schedule {clean(name)} for good?", yes=yes):
        say("Nothing was changed.", err=True)
        return 1
    _or_nothing(found, lambda: found.schedules.remove(name, queue))
    say(f"Removed {clean(name)}.")
    return 0


@schedule.command("add")
@_name_argument
@click.argument("function", metavar="FUNCTION", type=redis_text)
@click.option("--cron", metavar="EXPRESSION", help='When it ticks, such as "0 9 * * mon-fri".')
@click.option("--every", metavar="DURATION", help="Or how often, such as 30s or 1h30m.")
@click.option(
    "--tz", metavar="ZONE", help="The time zone of --cron, such as Europe/Madrid.  [default: UTC]"
)
@click.option(
    "--misfire",
    type=click.Choice(get_args(Misfire)),
    help="What becomes of ticks that were missed.  [default: once]",
)
@click.option(
    "--misfire-max",
    metavar="N",
    type=click.IntRange(1, MOST_MISFIRES),
    help="The most jobs of --misfire all.  [default: 100]",
)
@click.option(
    "--overlap",
    type=click.Choice(get_args(Overlap)),
    help="What a tick does while the job of the one before has not ended.  [default: allow]",
)
@click.option("--jitter", metavar="DURATION", help="Each tick fires up to so much later.")
@click.option("--args", "args", metavar="JSON", type=json_array, default="[]", help="A JSON array.")
@click.option(
    "--kwargs", "kwargs", metavar="JSON", type=json_object, default="{}", help="A JSON object."
)
@click.option(
    "-q", "--queue", metavar="QUEUE", default=None, help="Where its jobs wait.  [default: default]"
)
@redis_options
def add_command(
    name: str,
    function: str,
    args: list[object],
    kwargs: dict[str, object],
    queue: str | None,
    url: str | None,
    app: str | None,
    **timing: str | int | None,
) -> None:
    """Add a schedule, or replace the one of that NAME.

    Its jobs call the job function FUNCTION, such as reports.build.
    """
    found = open_app(url, app)
    calls = found.options(queue=queue) if queue else found.options()
    given = ScheduleOptions(**{key: value for key, value in timing.items() if value})  # type: ignore[typeddict-item]
    found.schedules.add(name, calls.s(function, *args, **kwargs), **given)
    say(f"Added {clean(name)}: {clean(found.schedules.get(name).rule)}.")


schedule.add_command(check_command)


def _desk(found: JobQ) -> Desk:
    return Desk(found.store, found.codec)


def _readers(found: JobQ) -> Readers:
    read: dict[str, set[str]] = {}
    for worker in _desk(found).workers():
        for queue in worker.queues:
            read.setdefault(queue, set()).update(worker.jobs)
    return read


T = TypeVar("T")


def _or_nothing(found: JobQ, act: Callable[[], T]) -> T:
    try:
        return act()
    except ScheduleNotFound as error:
        queues = {row.name: row.queue for row in found.schedules.list()}
        raise NothingMatched(
            f"no schedule {error.name!r}{_guess(error.name, queues)}\n"
            "fix: jobq schedule list shows those there are"
        ) from None


def _guess(name: str, queues: dict[str, str]) -> str:
    """Say which schedule may be meant; nothing if none comes near.

    Args:
        queues: by the names of the schedules there are.
    """
    if name in queues:
        return f" in that queue; one is in {queues[name]!r}"
    # Many know the name of the function, and not that of its module before it.
    same = [one for one in queues if one.endswith(f".{name}")]
    near = same or get_close_matches(name, queues, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
