"""`jobq workers`: who is there to run jobs, and telling them to stop."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import click

from jobq.cli import shapes
from jobq.cli.exits import Code, NothingMatched
from jobq.cli.opening import open_desk
from jobq.cli.options import confirm, json_option, redis_options, redis_text, yes_option
from jobq.cli.output import ago, clean, say, table
from jobq.cli.weights import told
from jobq.client.desk import Desk
from jobq.client.worker_rows import WorkerRow
from jobq.store.ops.control import DRAIN, STOP, STOP_NOW

#: A worker says several times in this time that it lives; see `jobq.runtime`.
_SILENT: Final = timedelta(seconds=15)

#: Seconds to wait until a worker does as it was told.
_PATIENCE: Final = 5.0

#: What a worker was told → the states that say that it has heard, and how they are told.
_HEARD: Final[Mapping[str, Mapping[str, str]]] = {
    DRAIN: {
        "draining": "{} is draining: it finishes what it runs and takes nothing new.",
        "drained": "{} is drained: it runs nothing and takes nothing new, until it is stopped.",
        "stopping": "{} is stopping already.",
    },
    STOP: {"stopping": "{} is stopping: it finishes what it runs, within its grace."},
    STOP_NOW: {},
}

_names_argument = click.argument("names", metavar="[NAME…]", nargs=-1, type=redis_text)
_all_option = click.option("--all", "everyone", is_flag=True, help="All that are alive.")


@click.group(invoke_without_command=True)
@json_option
@redis_options
@click.pass_context
def workers(context: click.Context, as_json: bool, url: str | None, app: str | None) -> None:
    """Show the workers that are alive; drain or stop them."""
    if context.invoked_subcommand is None:
        _show(open_desk(url, app), as_json=as_json)
    elif as_json:
        raise click.UsageError("--json is for the list of workers")


@workers.command("drain")
@_names_argument
@_all_option
@yes_option
@redis_options
def drain_command(
    names: tuple[str, ...], everyone: bool, yes: bool, url: str | None, app: str | None
) -> int:
    """Let workers finish what they run and take nothing new; they stay until they are stopped."""
    return _tell(open_desk(url, app), names, everyone, DRAIN, yes=yes)


@workers.command("stop")
@_names_argument
@_all_option
@click.option("--now", is_flag=True, help="As a second SIGTERM: give back what runs.")
@yes_option
@redis_options
def stop_command(
    names: tuple[str, ...],
    everyone: bool,
    now: bool,
    yes: bool,
    url: str | None,
    app: str | None,
) -> int:
    """Stop workers as SIGTERM does: they finish what they run, within their grace."""
    return _tell(open_desk(url, app), names, everyone, STOP_NOW if now else STOP, yes=yes)


def _show(desk: Desk, *, as_json: bool) -> None:
    rows = desk.workers()
    if as_json:
        click.echo(shapes.dump([shapes.worker(one) for one in rows]))
        return
    if not rows:
        say("No workers. Start one where the app is: jobq worker")
        return
    now = desk.now()
    table(
        ("WORKER", "STATE", "RUNNING", "QUEUES", "PROCESSES", "APP", "JOBS", "STARTED", "SEEN"),
        [
            (
                one.name,
                one.state if _is_alive(one, now) else "silent",
                f"{one.running:,}",
                _queues(one),
                _size(one),
                one.app,
                str(len(one.jobs)),
                ago(one.started_at, now),
                ago(one.seen_at, now),
            )
            for one in rows
        ],
        right=("RUNNING", "JOBS"),
        cuttable=("APP", "QUEUES", "WORKER"),
    )


def _queues(row: WorkerRow) -> str:
    """Write the queues, in the order in which it reads them or with their weights."""
    weights = row.capacity.weights
    return told(row.queues, [weights.get(name, 1) for name in row.queues] if weights else [])


def _size(row: WorkerRow) -> str:
    """Write how much runs at once: processes, times threads and async jobs in each."""
    size = row.capacity
    return f"{size.processes} x {size.threads} sync, {size.concurrency} async"


def _tell(desk: Desk, names: tuple[str, ...], everyone: bool, action: str, *, yes: bool) -> Code:
    """Tell workers what to do, say what came of it, and return the exit code."""
    if bool(names) == everyone:
        raise click.UsageError("say which: one NAME or more, or --all")
    now, rows = desk.now(), desk.workers()
    alive = [one.name for one in rows if _is_alive(one, now)]
    known = alive if everyone else [one.name for one in rows if one.name in names]
    missing = [name for name in dict.fromkeys(names) if name not in known]
    if not known:
        raise NothingMatched(_missing(missing, alive))
    if everyone and not _agreed(known, action, yes=yes):
        return Code.ERROR
    states = desk.tell(known, action, _HEARD[action], _PATIENCE)
    answered = [_told(name, state, _HEARD[action]) for name, state in states.items()]
    if missing:
        _complain(_missing(missing, alive))
    if not all(answered):
        return Code.ERROR
    return Code.NOTHING if missing else Code.OK


def _told(name: str, state: str | None, heard: Mapping[str, str]) -> bool:
    """Say what became of a worker; tell whether it has done as it was told."""
    if state is None:
        say(f"{clean(name)} has stopped.")
    elif state in heard:
        say(heard[state].format(clean(name)))
    else:
        _complain(
            f"{name} was told, and is {state or 'there'} after {_PATIENCE:g} s as before\n"
            "fix: jobq workers shows when it was last seen"
        )
        return False
    return True


def _agreed(names: list[str], action: str, *, yes: bool) -> bool:
    number = f"{len(names):,} worker" + ("" if len(names) == 1 else "s")
    verb = "Drain" if action == DRAIN else "Stop"
    if confirm(f"{verb} {number}: {clean(', '.join(names))}?", yes=yes):
        return True
    say("Nothing was changed.", err=True)
    return False


def _missing(names: list[str], alive: list[str]) -> str:
    fix = f"alive are {', '.join(alive)}" if alive else "no worker is alive; start one: jobq worker"
    if not names:
        return f"no workers\nfix: {fix}"
    return f"no worker {' or '.join(names)}\nfix: {fix}"


def _complain(message: str) -> None:
    say(f"jobq: {clean(message, lines=True)}", err=True)


def _is_alive(row: WorkerRow, now: datetime) -> bool:
    return now - row.seen_at < _SILENT
