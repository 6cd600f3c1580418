"""`jobq enqueue`: one call by name, from a shell."""

import click

from jobq.cli import shapes
from jobq.cli.opening import open_app
from jobq.cli.options import (
    json_array,
    json_object,
    json_option,
    moment,
    queue_name,
    redis_options,
    redis_text,
)
from jobq.cli.output import clean, say
from jobq.client.options import CallOptions
from jobq.core.lines import PRIORITIES
from jobq.errors import OptionError

_EXAMPLE = """\b
For example:
  jobq enqueue mail.send --args '["ada@example.org"]' --kwargs '{"subject": "Hi"}'
  jobq enqueue reports.build --delay 5m --priority low
"""


@click.command(epilog=_EXAMPLE)
@click.argument("name", type=redis_text)
@click.option("--args", "args", type=json_array, metavar="JSON", default="[]", help="A JSON array.")
@click.option(
    "--kwargs", "kwargs", type=json_object, metavar="JSON", default="{}", help="A JSON object."
)
@click.option(
    "-q", "--queue", metavar="QUEUE", type=queue_name, help="Where it waits.  [default: default]"
)
@click.option(
    "--job-id", metavar="ID", type=redis_text, help="An id of your own, unique while the job lives."
)
@click.option("--retries", type=int, help="Attempts after the first one.")
@click.option(
    "--timeout", metavar="DURATION", help="How long an attempt may take, such as 30 or 5m."
)
@click.option(
    "--result-ttl", metavar="DURATION", help="How long the result is kept; 0: not at all."
)
@click.option("--delay", metavar="DURATION", help="How long it waits before it may start.")
@click.option(
    "--at",
    metavar="TIME",
    type=moment,
    help="When it may start, with its offset from UTC: 2030-01-01T09:00+01:00.",
)
@click.option(
    "--priority",
    type=click.Choice(PRIORITIES),
    help="Which jobs of the queue go first.  [default: normal]",
)
@click.option("--expires", metavar="DURATION", help="How long it may wait for its start.")
@json_option
@redis_options
def enqueue(
    name: str,
    args: list[object],
    kwargs: dict[str, object],
    as_json: bool,
    url: str | None,
    app: str | None,
    **options: object,
) -> None:
    """Enqueue a call of the job function NAME, such as mail.send.

    It need not be importable here; with --app it is, and its queue and signature are used.
    """
    given: CallOptions = {key: one for key, one in options.items() if one is not None}  # type: ignore[assignment]
    found = open_app(url, app)
    try:
        handle = found.options(**given).send(name, *args, **kwargs)
    except OptionError as error:
        raise click.UsageError(str(error).partition(": ")[2] or str(error)) from error
    if as_json:
        click.echo(shapes.dump({"id": handle.id, "job": name, "queue": handle.queue}))
    else:
        say(f"Enqueued {clean(handle.id)} in queue {handle.queue!r}.")
