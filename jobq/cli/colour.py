"""`--color`: taken by `jobq` and by each of its commands."""

import click

from jobq.cli.output import WHEN, wanted


def _choose(_ctx: click.Context, _param: click.Parameter, said: str | None) -> None:
    if said is not None:
        wanted.set(said)


def color_option(*, hidden: bool) -> click.Option:
    """Return the option.

    Args:
        hidden: leave it out of the help.
    """
    return click.Option(
        ["--color"],
        type=click.Choice(WHEN),
        expose_value=False,
        is_eager=True,  # before another option is found wrong
        callback=_choose,
        hidden=hidden,
        help="When to use colours; goes behind a command too.  [default: auto]",
    )


def takes_color(command: click.Command) -> click.Command:
    """Let a command, and the commands in it, take ``--color``, without a line in their help."""
    if not any("--color" in param.opts for param in command.params):
        command.params.append(color_option(hidden=True))
    if isinstance(command, click.Group):
        for one in command.commands.values():
            takes_color(one)
    return command
