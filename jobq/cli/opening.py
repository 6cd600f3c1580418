"""Where a command works: the app, or Redis alone."""

from typing import Final

import click

from jobq.cli.discovery import find_app
from jobq.client.app import JobQ
from jobq.client.desk import Desk
from jobq.client.letters import Letters
from jobq.errors import ConfigError

#: Seconds that a command goes on trying to reach Redis: long enough for a restart of a second to
#: pass half unnoticed, short enough for a person.
PATIENCE: Final = 0.5


def open_app(url: str | None, app: str | None) -> JobQ:
    """Return an app to reach Redis with, until the command ends.

    No user code is imported, unless ``--app`` says so.

    Raises:
        click.UsageError: both were given, or that is no URL of a Redis.
        ConfigError: the app cannot be found or used.
    """
    if url is not None and app is not None:
        raise click.UsageError("give --url or --app, not both: an app knows its Redis")
    found = _bare(url) if app is None else find_app(app)
    found.store.patience = PATIENCE
    click.get_current_context().call_on_close(found.close)
    return found


def open_desk(url: str | None, app: str | None) -> Desk:
    """Return the desk of the Redis that `open_app` reaches."""
    found = open_app(url, app)
    return Desk(found.store, found.codec)


def open_letters(url: str | None, app: str | None) -> Letters:
    """Return the dead letters of the Redis that `open_app` reaches."""
    found = open_app(url, app)
    return Letters(found.store, found.codec, found.signer, found.registry)


def _bare(url: str | None) -> JobQ:
    try:
        return JobQ(url)
    except ConfigError as error:
        raise click.UsageError(f"--url: {error}") from error
