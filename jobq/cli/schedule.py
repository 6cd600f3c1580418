"""`jobq schedule`: the schedules of all apps."""

from collections.abc import Callable
from typing import TypeVar

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
from jobq.cli.schedule_views import schedule_object, show_list, show_one
from jobq.client.app import JobQ
from jobq.client.desk import Desk
from jobq.client.options import ScheduleOptions
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
    """Schedules: list them, pause and resume them, run one now, check an expression."""


@schedule.command("list")
@_next_option
@json_option
@redis_options
def list_command(many: int, as_json: bool, url: str | None, app: str | None) -> None:
    """List all schedules, with their next ticks, each in its time zone."""
    found = open_app(url, app)
    rows = found.schedules.list()
    desk, read = _desk(found), _read_queues(found)
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
    row = _or_nothing(lambda: found.schedules.get(name, queue))
    read = _read_queues(found)
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
    done = _or_nothing(lambda: found.schedules.pause(name, queue))
    say(f"{'Paused' if done else 'Already paused:'} {clean(name)}.")


@schedule.command("resume")
@_name_argument
@queue_option
@redis_options
def resume_command(name: str, queue: str | None, url: str | None, app: str | None) -> None:
    """Let a paused schedule go on; ticks in between are not made up for."""
    found = open_app(url, app)
    done = _or_nothing(lambda: found.schedules.resume(name, queue))
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
    handle = _or_nothing(lambda: found.schedules.run_now(name, queue))
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
    _or_nothing(lambda: found.schedules.get(name, queue))
    if not confirm(f"Remove schedule {clean(name)} for good?", yes=yes):
        say("Nothing was changed.", err=True)
        return 1
    _or_nothing(lambda: found.schedules.remove(name, queue))
    say(f"Removed {clean(name)}.")
    return 0


@schedule.command("add")
@_name_argument
@click.argument("function", metavar="FUNCTION", type=redis_text)
@click.option("--cron", help='Such as "0 9 * * mon-fri".')
@click.option("--every", help="Such as 30s or 1h30m.")
@click.option("--tz", help="The time zone of --cron, such as Europe/Madrid; UTC if not given.")
@click.option("--misfire", help="skip, once or all: what becomes of ticks that were missed.")
@click.option("--overlap", help="allow, skip or queue: what if the job before has not ended.")
@click.option("--jitter", help="Each tick fires up to so much later.")
@click.option("--args", "args", type=json_array, default="[]", help="Arguments, a JSON array.")
@click.option("--kwargs", "kwargs", type=json_object, default="{}", help="By name, a JSON object.")
@click.option("-q", "--queue", default=None, help="Where its jobs wait; default, if not given.")
@redis_options
def add_command(
    name: str,
    function: str,
    args: list[object],
    kwargs: dict[str, object],
    queue: str | None,
    url: str | None,
    app: str | None,
    **timing: str | None,
) -> None:
    """Add a schedule that calls the job function FUNCTION; or replace the one of that NAME."""
    found = open_app(url, app)
    calls = found.options(queue=queue) if queue else found.options()
    given = ScheduleOptions(**{key: value for key, value in timing.items() if value})  # type: ignore[typeddict-item]
    found.schedules.add(name, calls.s(function, *args, **kwargs), **given)
    say(f"Added {clean(name)}: {clean(found.schedules.get(name).rule)}.")


schedule.add_command(check_command)


def _desk(found: JobQ) -> Desk:
    return Desk(found.store, found.codec, signer=found.signer)


def _read_queues(found: JobQ) -> set[str]:
    """Return the queues that workers read."""
    return {queue for worker in _desk(found).workers() for queue in worker.queues}


T = TypeVar("T")


def _or_nothing(act: Callable[[], T]) -> T:
    try:
        return act()
    except ScheduleNotFound as error:
        raise NothingMatched(
            f"no schedule {error.name!r}\nfix: jobq schedule list shows those there are"
        ) from None
