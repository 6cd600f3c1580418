"""Addresses that commands listen on, as options."""

import click

from jobq.errors import ConfigError
from jobq.observe.listening import host_and_port


def address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Check the address of an option.

    Raises:
        click.BadParameter: it is no HOST:PORT.
    """
    if value is not None:
        try:
            host_and_port(value)
        except ConfigError as error:
            raise click.BadParameter(str(error)) from None
    return value
