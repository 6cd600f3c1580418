"""`jobq completion`: what a shell needs to complete the words of a command line."""

from typing import Final

import click
from click.shell_completion import get_completion_class

#: Where each shell reads it, for the help.
SHELLS: Final = ("bash", "zsh", "fish")

_EPILOG: Final = """\b
To have it in each new shell:
  bash  echo 'eval "$(jobq completion bash)"' >> ~/.bashrc
  zsh   echo 'eval "$(jobq completion zsh)"' >> ~/.zshrc     (after compinit)
  fish  jobq completion fish > ~/.config/fish/completions/jobq.fish
"""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Write what completes commands, options, queues and job functions in a shell.

    Names come from Redis, if it answers within 0.2 s: queues, and the job functions of the workers
    that are alive. No code of yours is imported for that, and no server is started.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "jobq", "_JOBQ_COMPLETE").source())
