"""`jobq dlq purge`: dead letters removed for good."""

import click

from jobq.cli import shapes
from jobq.cli.choosing import agree, choose, tell
from jobq.cli.exits import Code
from jobq.cli.filters import filter_options
from jobq.cli.opening import open_letters
from jobq.cli.options import ids_argument, json_option, redis_options, yes_option
from jobq.cli.shapes_letters import changes
from jobq.client.filters import Filter


@click.command("purge")
@ids_argument
@click.option("--all", "everything", is_flag=True, help="All of them, or all of a queue.")
@filter_options
@yes_option
@json_option
@redis_options
def purge_command(
    job_ids: tuple[str, ...],
    everything: bool,
    wanted: Filter,
    yes: bool,
    as_json: bool,
    url: str | None,
    app: str | None,
) -> int:
    """Remove dead letters for good."""
    letters = open_letters(url, app)
    which = choose(letters, job_ids, everything, wanted)
    if not agree(letters, which, "Remove {} for good?", wanted, yes=yes):
        return Code.ERROR
    came = letters.purge(which, wanted.queue)
    if as_json:
        click.echo(shapes.dump(changes(came, "purged")))
        return Code.NOTHING if came.missing or not came.done else Code.OK
    return tell(came, "purged", wanted.queue)
