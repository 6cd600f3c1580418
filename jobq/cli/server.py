"""`jobq server`: hold, stop and look at the embedded server of a project."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import sleep
from typing import BinaryIO

import click

from jobq.core.duration import show
from jobq.embedded import ensure, find_home
from jobq.embedded.control import (
    KEEPER_GONE,
    Status,
    await_keepers_end,
    look,
    server_url,
    stop,
    was_stopped,
)
from jobq.embedded.home import socket_path
from jobq.embedded.keeper import LOG, Events
from jobq.errors import ServerError

#: The exit code of `jobq server status` where no server runs.
NOT_RUNNING = 3
#: Seconds between two looks at a log that is followed.
FOLLOW_EVERY = 0.2


@click.group()
def server() -> None:
    """Hold, stop and look at the embedded server of this project.

    All jobq processes of a project start and share it by themselves; JOBQ_REDIS_URL makes them use
    another server.
    """


@server.command("start")
def start_command() -> None:
    """Keep the server running until Ctrl-C or SIGTERM.

    It holds the server as any other user does: when it ends, the server stays for the others.
    """
    home = find_home()
    events = Events((signal.SIGINT, signal.SIGTERM))
    url = server_url(ensure(home))
    click.echo(url)
    click.echo(f"Other programs reach it with JOBQ_REDIS_URL={url}", err=True)
    click.echo("jobq in this project needs no setting. Ctrl-C lets go of the server.", err=True)
    _hold(home, events)


def _hold(home: Path, events: Events) -> None:
    while True:
        await_keepers_end(home, events)
        happened = events.wait(None)
        if happened & {signal.SIGINT, signal.SIGTERM}:
            return
        if KEEPER_GONE in happened:
            if was_stopped(home):
                click.echo("The server was stopped by `jobq server stop`.", err=True)
                return
            ensure(home)


@server.command("stop")
def stop_command() -> None:
    """Stop the server now, whoever uses it; its data are kept.

    A process that still uses it reconnects, and starts it again.
    """
    home = find_home()
    clients = look(home).clients
    if not stop(home):
        click.echo(f"No server runs in {home}.", err=True)
        return
    click.echo(f"Stopped the server in {home}; its data are kept.", err=True)
    if clients:
        some = "1 connection was" if clients == 1 else f"{clients} connections were"
        click.echo(f"{some} open: a process that still needs it starts it again.", err=True)


@server.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def status_command(as_json: bool) -> None:
    """Show whether the server runs, and what it is (exit code 0: it runs, 3: it does not)."""
    status = look(find_home())
    if as_json:
        click.echo(json.dumps(asdict(status)))
    else:
        for name, value in _rows(status):
            click.echo(f"{name:<9}{value}")
    if not status.running:
        sys.exit(NOT_RUNNING)


def _rows(status: Status) -> Iterator[tuple[str, str]]:
    yield "state", status.state if status.running else f"not running ({status.state})"
    if status.server:
        last = "" if status.running else "   (the last one)"
        yield "server", f"{status.server} {status.version}{last}"
    if status.pid is not None:
        yield "pid", f"{status.pid}   (keeper {status.keeper or 'none'})"
    if status.uptime is not None:
        yield "uptime", show(status.uptime)
    if status.memory is not None:
        yield "memory", _bytes(status.memory)
    if status.clients is not None:
        yield "clients", str(status.clients)
    yield "data", f"{_bytes(status.data_bytes)} in {status.home}"
    yield "url", status.url


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


@server.command("logs")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="How many."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until Ctrl-C.")
def logs_command(lines: int, follow: bool) -> None:
    """Show the end of the server's log."""
    path = find_home() / LOG
    try:
        log = path.open("rb")
    except FileNotFoundError:
        raise ServerError(f"no log at {path}: no server was ever started there") from None
    with log:
        kept = log.read().splitlines(keepends=True)
        for line in kept[len(kept) - min(lines, len(kept)) :]:
            click.echo(line, nl=False)
        if follow:
            _follow(path, log)


def _follow(path: Path, log: BinaryIO) -> None:
    while True:
        added = log.read()
        if added:
            click.echo(added, nl=False)
        elif _turned_over(path, log):
            with path.open("rb") as new:
                _follow(path, new)
        else:
            sleep(FOLLOW_EVERY)


def _turned_over(path: Path, log: BinaryIO) -> bool:
    try:
        return not os.path.samestat(path.stat(), os.fstat(log.fileno()))
    except FileNotFoundError:
        return False


@server.command("path")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of two lines.")
def path_command(as_json: bool) -> None:
    """Show the URL of the server and its directory, running or not."""
    home = find_home()
    url = server_url(socket_path(home))
    click.echo(json.dumps({"url": url, "home": str(home)}) if as_json else f"{url}\n{home}")
